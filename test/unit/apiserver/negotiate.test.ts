import assert from 'node:assert/strict';
import { hasCode, StatusError } from '../../../api/status.ts';
import { negotiate } from '../../../apiserver/http/negotiate.ts';
import { humanDuration } from '../../../apiserver/http/table.ts';
import type { ApiRequest } from '../../../apiserver/http/request.ts';

const request = (accept?: string, url = '', agent = 'test') =>
  ({
    rawQuery: url,
    query: new URLSearchParams(url),
    header: (n: string) => (n === 'accept' ? accept : n === 'user-agent' ? agent : undefined),
  }) as unknown as ApiRequest;
const all = { transforms: true, protobuf: true };

describe('negotiate', () => {
  const cases: [string | undefined, string][] = [
    [undefined, 'json'],
    ['*/*', 'json'],
    ['application/yaml', 'yaml'],
    ['application/vnd.kubernetes.protobuf,application/json', 'protobuf'],
    ['application/json;q=0.1,application/yaml', 'yaml'],
    ['text/html,application/json', 'json'],
    ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json', 'json/Table/v1'],
    ['application/json;as=Table;v=v9;g=meta.k8s.io,application/json', 'json'],
    [
      'application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
      'protobuf/PartialObjectMetadataList/v1',
    ],
  ];
  for (const [accept, key] of cases)
    it(`${accept} gives ${key}`, () => assert.equal(negotiate(request(accept), all).key, key));

  it('refuses with 406', () => {
    for (const accept of [
      'text/html',
      'application/*',
      'application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io',
    ])
      assert.throws(
        () => negotiate(request(accept), all),
        (e) => hasCode(e, 406),
        accept,
      );
    assert.throws(() => negotiate(request('application/yaml'), { ...all, watch: true }), StatusError);
  });
  it('is pretty for people', () => {
    assert.equal(negotiate(request('*/*', '', 'curl/8'), all).pretty, true);
    assert.equal(negotiate(request('*/*', 'pretty=false', 'curl/8'), all).pretty, false);
    assert.equal(negotiate(request('*/*', 'pretty=true'), all).pretty, true);
  });
});

describe('humanDuration', () => {
  const s = 1000;
  const m = 60 * s;
  const h = 60 * m;
  const d = 24 * h;
  const cases: [number, string][] = [
    [0, '0s'],
    [119 * s, '119s'],
    [2 * m, '2m'],
    [2 * m + 30 * s, '2m30s'],
    [10 * m, '10m'],
    [179 * m, '179m'],
    [3 * h, '3h'],
    [3 * h + 5 * m, '3h5m'],
    [47 * h, '47h'],
    [2 * d, '2d'],
    [3 * d + 2 * h, '3d2h'],
    [8 * d, '8d'],
    [2 * 365 * d + d, '2y1d'],
    [9 * 365 * d, '9y'],
  ];
  for (const [ms, text] of cases) it(text, () => assert.equal(humanDuration(ms), text));
});
