import assert from 'node:assert/strict';
import { rewriteLinks } from '../../../apiserver/proxying/html.ts';

describe('links of proxied pages', () => {
  const map = (url: string) => (url.startsWith('/') ? `/prefix${url}` : url);
  for (const [from, to] of [
    ['<a href="/x">/x</a>', '<a href="/prefix/x">/x</a>'],
    ["<IMG alt='/no' SRC = '/y'/>", "<IMG alt='/no' SRC = '/prefix/y'/>"],
    ['<a href="rel">', '<a href="rel">'],
    ['<form action="/go" method=post>', '<form action="/prefix/go" method=post>'],
    ['text href="/x" text', 'text href="/x" text'],
    [
      '<script src="/a.js"></script><link href="/b.css">',
      '<script src="/prefix/a.js"></script><link href="/prefix/b.css">',
    ],
  ] as const)
    it(from, () => assert.equal(rewriteLinks(from, map), to));
  it('take no longer on hostile pages', () => {
    const page = `<a ${' href='.repeat(100_000)}`;
    assert.equal(rewriteLinks(page, map), page);
  });
});
