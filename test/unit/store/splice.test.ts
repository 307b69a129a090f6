import assert from 'node:assert/strict';
import { replaceRevision, spliceRevision, withNewline } from '../../../apiserver/storage/cache/splice.ts';

interface Parsed {
  metadata: { resourceVersion: string; name?: string };
  spec?: { metadata?: { resourceVersion?: string } };
}

describe('splicing the resourceVersion', () => {
  const cases: [string, string][] = [
    ['the usual order', '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"x":1}}'],
    ['another order', '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}'],
    ['empty metadata', '{"kind":"Pod","apiVersion":"v1","metadata":{}}'],
    ['spaces', '{ "kind" : "Pod" , "metadata" : { "name":"a"} }'],
    ['spaces in empty metadata', '{"metadata": \n{ }}'],
    ['metadata elsewhere first', '{"spec":{"metadata":{"name":"inner"}},"metadata":{"name":"a"}}'],
    [
      'metadata named in a string',
      '{"note":"\\"metadata\\":{","a":[{"metadata":{}},"}"],"n":-1.5e3,"metadata":{"name":"a"}}',
    ],
    ['escapes at the end of strings', '{"a\\\\":"b\\\\","c":{"d":"\\\\\\""},"metadata":{"name":"a"}}'],
    ['no metadata', '{"kind":"X"}'],
    ['an empty object', '{}'],
    ['letters of several bytes', '{"kind":"日本😀","metadata":{"name":"ä"}}'],
  ];
  for (const [name, text] of cases) {
    it(`works with ${name}`, () => {
      const value = Buffer.from(text);
      const out = spliceRevision(value, 123456);
      const parsed = JSON.parse(out.toString()) as Parsed;
      assert.equal(parsed.metadata.resourceVersion, '123456');
      assert.equal(parsed.spec?.metadata?.resourceVersion, undefined);
      const original = JSON.parse(text) as Parsed;
      assert.deepEqual(parsed, { ...original, metadata: { ...original.metadata, resourceVersion: '123456' } });
      assert.equal(value.toString(), text, 'the original changed');
      assert.equal(out.buffer.byteLength, out.length + 1, 'the copy keeps a slab alive');
      assert.deepEqual(replaceRevision(out, 7), spliceRevision(value, 7));
    });
  }

  it('puts it where Kubernetes writes it', () => {
    for (const [metadata, want] of [
      ['{"name":"a"}', '{"name":"a","resourceVersion":"5"}'],
      [
        '{"name":"a","namespace":"b","uid":"u","generation":1}',
        '{"name":"a","namespace":"b","uid":"u","resourceVersion":"5","generation":1}',
      ],
      [
        '{ "name" : "a", "uid": "u" , "labels":{} }',
        '{ "name" : "a", "uid": "u" ,"resourceVersion":"5", "labels":{} }',
      ],
      ['{"labels":{"name":"x"},"name":"a"}', '{"resourceVersion":"5","labels":{"name":"x"},"name":"a"}'],
    ] as const)
      assert.deepEqual(
        spliceRevision(Buffer.from(`{"kind":"Pod","metadata":${metadata}}`), 5)
          .toString()
          .split('"metadata":')[1],
        `${want}}`,
      );
  });

  it('refuses what is no JSON object', () => {
    for (const bad of ['', '[]', 'null', 'k8s\0xyz', '{"metadata']) {
      assert.throws(() => spliceRevision(Buffer.from(bad), 1), SyntaxError);
    }
  });

  it('leaves room for a newline, which is there for those who ask', () => {
    const value = Buffer.from('{"metadata":{"name":"a"}}');
    const spliced = spliceRevision(value, 7);
    for (const json of [spliced, replaceRevision(spliced, 12345), value, Buffer.from('{"cut":1}{').subarray(0, 9)]) {
      const text = json.toString();
      assert.equal(withNewline(json).toString(), `${text}\n`);
      assert.equal(json.toString(), text);
    }
  });
});
