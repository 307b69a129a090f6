/** Lists, watches and deletion with every combination of parameters; names and owners. */
import type { JsonObject } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { Scenario } from './step.ts';

/** Lists, watches and deletion with every combination of parameters. */
export function lists(): Scenario {
  const s = new Scenario('listwatch', 'params');
  const ns = s.namespace('sc-lists');
  const maps = core(ns, 'configmaps');
  for (const i of [0, 1, 2, 3, 4])
    s.post(maps, { metadata: { name: `m${i}`, labels: { i: String(i), odd: String(i % 2) } } });
  s.get(maps, { capture: { rv: '.metadata.resourceVersion' } });
  s.del(`${maps}/m4`);
  const versions = ['', '0', '1', '${rv}', '99999999', 'x', '-1'];
  for (const rv of versions)
    for (const match of ['', 'Exact', 'NotOlderThan', 'Foo'])
      for (const limit of ['', '2'])
        if (rv !== '99999999' || match === '')
          s.get(
            `${maps}?${[rv && `resourceVersion=${rv}`, match && `resourceVersionMatch=${match}`, limit && `limit=${limit}`].filter(Boolean).join('&')}`,
            rv === '99999999' ? { view: 'code' } : {},
          );
  s.get(`${maps}?limit=2`, { capture: { c: '.metadata.continue' } });
  for (const q of [
    '',
    '&resourceVersion=0',
    '&resourceVersion=1',
    '&resourceVersionMatch=Exact',
    '&limit=1',
    '&labelSelector=odd%3D1',
    '&limit=1&labelSelector=odd%3D1',
    '&fieldSelector=metadata.name%3Dm3',
  ])
    s.get(`${maps}?continue=\${c}${q}`);
  for (const sel of [
    'i in (0,1)',
    'i notin (0,1)',
    'i',
    '!i',
    'i=0,odd=0',
    'i!=0',
    'i==0',
    'i>1',
    'i<3',
    'i>x',
    'i in ()',
    'i in (0',
    '=a',
    'i=',
    'i=a b',
    'a/b/c',
    'i,,odd',
    ',',
    ' i = 0 ',
    'i=0,',
    '(i)',
    'i in (a,,b)',
    `${'a'.repeat(64)}=b`,
    `i=${'a'.repeat(64)}`,
  ])
    s.get(`${maps}?labelSelector=${encodeURIComponent(sel)}`);
  for (const sel of [
    'metadata.name=m0',
    'metadata.name!=m0',
    `metadata.namespace=${ns}`,
    'metadata.name=m0,metadata.name=m1',
    'data.x=1',
    'metadata.name',
    'metadata.name=',
    'metadata.name==m0',
    'metadata.name=a\\,b',
    'metadata.labels.i=0',
    ',',
    '=x',
    'metadata.name=m0,',
  ])
    s.get(`${maps}?fieldSelector=${encodeURIComponent(sel)}`);
  const w = { watch: { timeoutMs: 2500, sort: true, dropBookmarks: true } };
  for (const q of [
    '',
    'resourceVersion=0',
    'resourceVersion=${rv}',
    'resourceVersion=1',
    'resourceVersion=x',
    'resourceVersion=99999999',
    'sendInitialEvents=true',
    'sendInitialEvents=true&resourceVersionMatch=NotOlderThan',
    'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
    'sendInitialEvents=false&resourceVersionMatch=NotOlderThan',
    'resourceVersionMatch=Exact',
    'resourceVersionMatch=NotOlderThan',
    'limit=1',
    'continue=x',
    'labelSelector=%3D',
    'fieldSelector=x%3Dy',
    'labelSelector=odd%3D1',
    'timeoutSeconds=x',
    'allowWatchBookmarks=x',
  ])
    s.get(`${maps}?watch=true&timeoutSeconds=1&${q}`, w);
  for (const accept of [
    'application/json;as=Table;v=v1;g=meta.k8s.io',
    'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
    'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
    'application/yaml',
    'application/xml',
  ])
    s.get(`${maps}?watch=true&timeoutSeconds=1&resourceVersion=0`, { headers: { Accept: accept }, ...w });
  s.get(`/api/v1/watch/namespaces/${ns}/configmaps?timeoutSeconds=1`, w);
  s.get(`/api/v1/watch/namespaces/${ns}/configmaps/m0?timeoutSeconds=1`, w);
  s.get(`${maps}/m0?watch=true&timeoutSeconds=1`, w);
  s.get(`/api/v1/namespaces/${ns}/nothing?watch=true`);
  for (const body of [
    { propagationPolicy: 'Orphan' },
    { propagationPolicy: 'Foreground' },
    { propagationPolicy: 'Background' },
    { propagationPolicy: 'Foo' },
    { preconditions: { uid: 'x' } },
    { preconditions: { resourceVersion: '1' } },
    { gracePeriodSeconds: 5 },
    { gracePeriodSeconds: -1 },
    { orphanDependents: true },
    { orphanDependents: true, propagationPolicy: 'Orphan' },
    { dryRun: ['All'] },
    { dryRun: ['x'] },
    { ignoreStoreReadErrorWithClusterBreakingPotential: true },
    { ignoreStoreReadErrorWithClusterBreakingPotential: true, dryRun: ['All'] },
  ] as JsonObject[]) {
    s.del(`${maps}/m0?dryRun=All`, { apiVersion: 'v1', kind: 'DeleteOptions', ...body });
    s.del(`${maps}?dryRun=All`, { apiVersion: 'v1', kind: 'DeleteOptions', ...body });
  }
  s.del(`${maps}/m0?propagationPolicy=Foreground`);
  s.get(`${maps}/m0`);
  s.del(`${maps}/m1?propagationPolicy=Orphan`);
  s.get(`${maps}/m1`);
  s.patch('merge', `${maps}/m1`, { metadata: { finalizers: null } });
  s.get(`${maps}/m1`);
  s.del(`${maps}?labelSelector=i%3D2`);
  s.del(`${maps}?fieldSelector=metadata.name%3Dm3&limit=1`);
  s.get(maps);
  for (const [name, body] of [
    ['generate', { metadata: { generateName: 'x-' } }],
    ['both', { metadata: { name: 'both', generateName: 'y-' } }],
    ['long', { metadata: { generateName: 'a'.repeat(260) } }],
    ['bad', { metadata: { generateName: 'Bad_' } }],
    ['longname', { metadata: { name: 'a'.repeat(254) } }],
    ['max', { metadata: { name: 'a'.repeat(253) } }],
    [
      'own',
      {
        metadata: {
          name: 'own',
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true },
            { apiVersion: 'v1', kind: 'Pod', name: 'q', uid: 'v', controller: true },
          ],
        },
      },
    ],
    [
      'own2',
      {
        metadata: {
          name: 'own2',
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Event', name: 'p', uid: 'u' },
            { apiVersion: '', kind: '', name: '', uid: '' },
          ],
        },
      },
    ],
    [
      'own3',
      {
        metadata: {
          name: 'own3',
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' },
            { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' },
          ],
        },
      },
    ],
    [
      'fin',
      { metadata: { name: 'fin', finalizers: ['kubernetes', 'a', 'x/y', 'bad name', 'orphan', 'foregroundDeletion'] } },
    ],
    ['fin2', { metadata: { name: 'fin2', finalizers: ['orphan', 'foregroundDeletion'] } }],
    ['anno', { metadata: { name: 'anno', annotations: { 'a b': 'c', ok: 'x'.repeat(300000) } } }],
    ['neg', { metadata: { name: 'neg', generation: -1, deletionGracePeriodSeconds: -1 } }],
    [
      'man',
      {
        metadata: {
          name: 'man',
          managedFields: [
            {
              manager: 'x',
              operation: 'Apply',
              apiVersion: 'v1',
              time: '2020-01-01T00:00:00Z',
              fieldsType: 'FieldsV1',
              fieldsV1: { 'f:data': {} },
            },
          ],
        },
      },
    ],
    [
      'man2',
      {
        metadata: {
          name: 'man2',
          managedFields: [{ manager: 'x', operation: 'Foo', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: {} }],
        },
      },
    ],
    [
      'man3',
      {
        metadata: {
          name: 'man3',
          managedFields: [
            { manager: 'x', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV2', fieldsV1: { x: 1 } },
          ],
        },
      },
    ],
  ] as [string, JsonObject][]) {
    s.post(maps, { apiVersion: 'v1', kind: 'ConfigMap', ...body });
    void name;
  }
  return s;
}
