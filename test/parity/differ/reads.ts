/** Requests that change nothing, or nothing that lasts: negotiation, lists, selectors, watches, wrong methods. */
import type { Send } from './client.ts';

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const PARTIAL = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
const PARTIALS = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
const ACCEPTS = [
  TABLE,
  `${TABLE},application/json`,
  'application/json;as=Table;v=v1beta1;g=meta.k8s.io',
  'application/json;as=Table;v=v2;g=meta.k8s.io',
  'application/json;as=Foo;v=v1;g=meta.k8s.io',
  PARTIAL,
  PARTIALS,
  'application/yaml',
  'application/yaml;as=Table;v=v1;g=meta.k8s.io',
  'application/xml',
  'text/plain, */*;q=0.1',
  'application/json;q=0.1,application/yaml',
  'application/json;pretty=1',
  'application/json;stream=watch',
  'application/cbor',
  '*/*;as=Table',
];
const LIST_QUERIES = [
  'limit=1',
  'limit=0',
  'limit=-1',
  'limit=x',
  'continue=x',
  'continue=&limit=1',
  'limit=1&resourceVersion=0',
  'limit=1&resourceVersion=1',
  'resourceVersion=x',
  'resourceVersion=-1',
  'resourceVersion=0',
  'resourceVersion=0&resourceVersionMatch=Exact',
  'resourceVersion=0&resourceVersionMatch=NotOlderThan',
  'resourceVersionMatch=NotOlderThan',
  'resourceVersionMatch=Foo&resourceVersion=0',
  'resourceVersion=99999999999&resourceVersionMatch=Exact',
  'labelSelector=a%3Db',
  'labelSelector=a%20in%20(b,c),!d',
  'labelSelector=%3D%3D',
  'labelSelector=a%20in',
  'labelSelector=a%3DBad%20value!',
  'labelSelector=a/b/c%3Dd',
  'labelSelector=a%3E1',
  'labelSelector=a%3Ex',
  'fieldSelector=metadata.name%3Dnone',
  'fieldSelector=metadata.name!%3Dnone',
  'fieldSelector=metadata.namespace%3Ddiffer',
  'fieldSelector=spec.foo%3Dx',
  'fieldSelector=status.phase%3DRunning',
  'fieldSelector=spec.nodeName%3D',
  'fieldSelector=metadata.name',
  'fieldSelector=metadata.name%3D%3Da%3Db',
  'fieldSelector=type%3DOpaque',
  'fieldSelector=involvedObject.name%3Dx,type!%3DNormal',
  'timeoutSeconds=x',
  'timeoutSeconds=-1',
  'timeout=x',
  'timeout=-1s',
  'timeout=0s',
  'pretty=x',
  'includeObject=None',
  'watch=x&timeoutSeconds=1',
  'watch=false',
  'allowWatchBookmarks=x&limit=1',
  'sendInitialEvents=true',
  'sendInitialEvents=true&watch=1',
  'sendInitialEvents=true&watch=1&resourceVersionMatch=Exact&timeoutSeconds=1',
  'sendInitialEvents=true&watch=1&resourceVersionMatch=NotOlderThan&timeoutSeconds=1',
  'sendInitialEvents=true&watch=1&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1&limit=1',
  'watch=1&timeoutSeconds=1&resourceVersionMatch=NotOlderThan',
  'watch=1&timeoutSeconds=1&continue=x',
  'watch=1&timeoutSeconds=1&resourceVersion=x',
  'watch=1&timeoutSeconds=1&fieldSelector=spec.foo%3Dx',
  'watch=1&timeoutSeconds=1&labelSelector=%3D',
  'unknown=1',
  'shardSelector=x',
  'dryRun=All',
];
const GET_QUERIES = [
  'resourceVersion=x',
  'resourceVersion=0',
  'resourceVersion=1',
  'pretty=true',
  'export=true',
  'foo=1',
];
const WRITE_QUERIES = [
  'dryRun=x',
  'dryRun=All&dryRun=x',
  'dryRun=',
  'fieldManager=',
  'fieldValidation=x&dryRun=All',
  'fieldValidation=Strict&dryRun=All',
  `fieldManager=${'m'.repeat(130)}&dryRun=All`,
  'fieldManager=%01&dryRun=All',
  'force=true&dryRun=All',
  'propagationPolicy=x&dryRun=All',
  'gracePeriodSeconds=x&dryRun=All',
  'gracePeriodSeconds=-1&dryRun=All',
  'orphanDependents=x&dryRun=All',
];
const DELETE_BODIES = [
  { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: 'x' } },
  { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { resourceVersion: '1' } },
  { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Foo' },
  { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Orphan', orphanDependents: true },
  { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['x'] },
  { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: -5 },
  { kind: 'DeleteOptions', apiVersion: 'v9' },
  { kind: 'Foo', apiVersion: 'v1' },
  { kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', foo: 1 },
  {},
  'x',
];
const PATCHES: readonly (readonly [string, unknown])[] = [
  ['application/json', {}],
  ['application/merge-patch+json', []],
  ['application/merge-patch+json', 'x'],
  ['application/merge-patch+json', '{"a":'],
  ['application/merge-patch+json', {}],
  ['application/merge-patch+json', { metadata: { labels: { 'bad key!': 'x' } } }],
  ['application/merge-patch+json', { metadata: { resourceVersion: '1' } }],
  ['application/merge-patch+json', { metadata: { uid: 'x' } }],
  ['application/merge-patch+json', { unknownField: 1 }],
  ['application/json-patch+json', {}],
  ['application/json-patch+json', []],
  ['application/json-patch+json', [{ op: 'foo', path: '/a' }]],
  ['application/json-patch+json', [{ op: 'test', path: '/kind', value: 'x' }]],
  ['application/json-patch+json', [{ op: 'remove', path: '/nothing' }]],
  ['application/json-patch+json', [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }]],
  ['application/json-patch+json', [{ op: 'replace', path: '/metadata/namespace', value: 'zz' }]],
  ['application/strategic-merge-patch+json', { $patch: 'replace' }],
  ['application/strategic-merge-patch+json', { metadata: { $patch: 'foo' } }],
  ['application/strategic-merge-patch+json', { metadata: { labels: { $patch: 'delete' } } }],
  [
    'application/strategic-merge-patch+json',
    { metadata: { finalizers: ['a/b'], '$deleteFromPrimitiveList/finalizers': ['c/d'] } },
  ],
  ['application/apply-patch+yaml', {}],
  ['application/apply-patch+yaml', 'a: b: c'],
  ['text/plain', 'x'],
  ['', {}],
];

/** What is sent for one collection and one item in it. */
export function* reads(collection: string, item: string): Generator<{ label: string; send: Send }> {
  const get = (label: string, path: string, accept?: string) => ({
    label,
    send: { method: 'GET', path, ...(accept ? { accept } : {}) },
  });
  for (const a of ACCEPTS) {
    yield get(`list accept ${a}`, collection, a);
    yield get(`get accept ${a}`, item, a);
  }
  for (const i of ['None', 'Metadata', 'Object', 'Foo']) yield get(`table ${i}`, `${item}?includeObject=${i}`, TABLE);
  for (const q of LIST_QUERIES) yield get(`list ${q}`, `${collection}?${q}`);
  for (const q of GET_QUERIES) yield get(`get ${q}`, `${item}?${q}`);
  for (const q of WRITE_QUERIES) {
    yield {
      label: `delete ${q}`,
      send: { method: 'DELETE', path: `${item}?${q.includes('dryRun') ? q : `${q}&dryRun=All`}` },
    };
    yield {
      label: `patch ${q}`,
      send: { method: 'PATCH', path: `${item}?${q}`, type: 'application/merge-patch+json', body: {} },
    };
    yield { label: `post ${q}`, send: { method: 'POST', path: `${collection}?${q}`, body: {} } };
  }
  for (const body of DELETE_BODIES) {
    const text = JSON.stringify(body).slice(0, 90);
    yield { label: `delete body ${text}`, send: { method: 'DELETE', path: `${item}?dryRun=All`, body } };
    yield {
      label: `deletecollection body ${text}`,
      send: { method: 'DELETE', path: `${collection}?dryRun=All&limit=1`, body },
    };
  }
  for (const [type, body] of PATCHES) {
    const path = `${item}?dryRun=All&fieldManager=m`;
    yield { label: `patch ${type} ${JSON.stringify(body).slice(0, 90)}`, send: { method: 'PATCH', path, type, body } };
  }
  for (const method of ['PUT', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'FOO'])
    yield { label: `${method} on a collection`, send: { method, path: collection } };
  for (const method of ['POST', 'HEAD', 'OPTIONS', 'FOO'])
    yield { label: `${method} on an item`, send: { method, path: item } };
  for (const body of [
    '',
    'x',
    '[]',
    'null',
    '{"kind":"Foo","apiVersion":"v1"}',
    '{"apiVersion":"v9"}',
    '{"metadata":{"name":7}}',
  ])
    for (const type of ['application/json', 'application/yaml', 'text/plain', 'application/vnd.kubernetes.protobuf']) {
      yield { label: `post ${type} ${body}`, send: { method: 'POST', path: `${collection}?dryRun=All`, type, body } };
      yield { label: `put ${type} ${body}`, send: { method: 'PUT', path: `${item}?dryRun=All`, type, body } };
    }
  for (const sub of [
    'status',
    'scale',
    'foo',
    'status/x',
    'log',
    'exec',
    'proxy',
    'binding',
    'eviction',
    'finalize',
    'token',
    'approval',
  ])
    for (const method of ['GET', 'POST', 'PUT', 'DELETE'])
      yield {
        label: `${method} ${sub}`,
        send: { method, path: `${item}/${sub}?dryRun=All`, ...(method === 'GET' ? {} : { body: {} }) },
      };
  yield get('a name that is not there', `${item}-none`);
  yield get('a name in capitals', `${item}-NONE`);
  yield get('an empty segment', `${collection}//x`);
  yield get('a trailing slash', `${collection}/`);
}
