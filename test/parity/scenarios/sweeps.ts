/** The same steps with every kind: protobuf, apply by several managers, patches, deletion, selectors, watches. */
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeProtobuf, hasProtobuf } from '../../../api/codec/protobuf.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { parseApiVersion, type JsonObject, type JsonValue, type KubeObject } from '../../../api/types.ts';
import { changed, mutations, type Mutation } from '../differ/mutate.ts';
import { NAMESPACE, readSeeds, type Seed } from '../differ/seeds.ts';
import { Scenario } from './step.ts';

const corpus = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'shared', 'parity');
const PROTO = 'application/vnd.kubernetes.protobuf';
const as = (form: string, of = 'application/json') => ({ Accept: `${of};as=${form};v=v1;g=meta.k8s.io` });
const proto = { headers: { Accept: PROTO } };
const code = { view: 'code' };

/** Fields that some kind can be selected by, and some that none can. */
const FIELDS = [
  'metadata.name=x',
  'metadata.namespace!=x',
  'metadata.uid=x',
  'spec.nodeName=',
  'spec.unschedulable=false',
  'spec.type=ClusterIP',
  'spec.clusterIP=None',
  'spec.signerName=x',
  'spec.driver=x',
  'spec.group=x',
  'spec.schedulerName=default-scheduler',
  'spec.serviceAccountName=default',
  'spec.restartPolicy!=Always',
  'spec.hostNetwork=true',
  'spec.replicas=1',
  'status.phase=Active',
  'status.replicas=0',
  'status.successful=0',
  'status.podIP=',
  'status.nominatedNodeName=',
  'type=Opaque',
  'reason=x',
  'reportingController=x',
  'involvedObject.kind=Pod',
  'regarding.kind=Pod',
  'source=x',
];

/** The metadata with these parts over it. */
const having = (o: JsonObject, metadata: JsonObject): JsonObject => ({
  ...o,
  metadata: { ...(o['metadata'] as JsonObject), ...metadata },
});

const nameOf = (o: JsonObject) => (o['metadata'] as { name: string }).name;

/** What each sweep works on. */
interface Subject {
  readonly s: Scenario;
  readonly all: string;
  readonly one: string;
  readonly object: JsonObject;
  /** Some variations of the object that change one value. */
  readonly variations: readonly Mutation[];
}

function clean({ s, one }: Subject): void {
  s.patch('merge', one, { metadata: { finalizers: null } }, code);
  s.del(`${one}?gracePeriodSeconds=0`, undefined, code);
}

function protobuf({ s, all, one, object }: Subject): void {
  const { apiVersion, kind: name } = object as { apiVersion: string; kind: string };
  const kind = { ...parseApiVersion(apiVersion), kind: name };
  if (!hasProtobuf(kind)) return;
  const bytes = (o: JsonObject) => ({
    bodyB64: encodeProtobuf(o as KubeObject, kind).toString('base64'),
    contentType: PROTO,
  });
  s.send('POST', all, undefined, { ...bytes(object), ...proto });
  s.get(one, proto);
  s.get(one);
  s.get(`${all}?labelSelector=no%3Dsuch`, proto);
  s.get(one, { headers: as('PartialObjectMetadata', PROTO) });
  s.get(one, { headers: as('Table', PROTO) });
  s.get(one, { headers: { Accept: `${PROTO};as=Table;v=v1;g=meta.k8s.io,application/json` } });
  s.get(one, { headers: { Accept: 'application/yaml' } });
  s.send('PUT', one, undefined, bytes(having(object, { labels: { changed: 'yes' } })));
  s.send('PUT', `${one}?dryRun=All`, undefined, { ...bytes(having(object, { resourceVersion: '1' })), ...proto });
  s.patch('merge', one, { metadata: { annotations: { a: 'b' } } }, proto);
  s.patch('strategic', one, { metadata: { annotations: { a: null }, $patch: 'merge' } }, proto);
  s.get(`${one}/status`, proto);
  s.send('POST', all, undefined, { ...bytes(having(object, { name: 'Bad_Name!' })), ...proto });
  s.del(one, { gracePeriodSeconds: 0 }, proto);
  clean({ s, all, one, object, variations: [] });
}

function applying(subject: Subject): void {
  const { s, one, object, variations } = subject;
  const bare = (metadata: JsonObject = {}): JsonObject => ({
    apiVersion: object['apiVersion']!,
    kind: object['kind']!,
    metadata: { name: (object['metadata'] as JsonObject)['name']!, ...metadata },
  });
  const apply = (manager: string, o: JsonObject, more = '') =>
    s.patch('apply', `${one}?fieldManager=${manager}${more}`, o);
  apply('first', bare());
  apply('first', object);
  apply('first', object);
  apply('second', having(object, { labels: { second: 'yes' } }));
  apply('second', bare({ labels: { second: 'no' }, annotations: { x: 'y' } }));
  for (const m of variations) {
    apply('third', changed(object, m), '&dryRun=All');
    apply('third', changed(object, m), '&dryRun=All&force=true');
    apply('first', changed(object, m), '&dryRun=All');
  }
  const forced = variations[0];
  if (forced) apply('third', changed(object, forced), '&force=true');
  s.get(one);
  s.patch('apply', `${one}/status?fieldManager=state`, object);
  apply('second', bare());
  apply('first', bare());
  s.get(one);
  s.put(`${one}?fieldManager=put`, object);
  s.patch('merge', `${one}?fieldManager=merge`, { metadata: { labels: { merged: 'x' }, managedFields: [] } });
  apply('third', bare({ finalizers: ['a.io/x', 'a.io/x'] }));
  apply('third', bare({ finalizers: ['a.io/x'], ownerReferences: [] }));
  apply('fourth', bare({ finalizers: ['a.io/y'] }));
  s.patch('merge', one, { metadata: { managedFields: [{}] } });
  apply('fifth', bare({ labels: { merged: 'y' } }));
  s.get(one);
  clean(subject);
}

function patching(subject: Subject): void {
  const { s, all, one, object, variations } = subject;
  s.post(all, object, code);
  for (const m of variations) {
    const at = `/${m.path.map((p) => String(p).replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`;
    const op: JsonObject =
      m.value === undefined ? { op: 'remove', path: at } : { op: 'replace', path: at, value: m.value as JsonValue };
    s.patch('json', `${one}?dryRun=All`, [{ op: 'test', path: at, value: 'surely not' }, op]);
    s.patch('json', `${one}?dryRun=All`, [op]);
    s.patch('json', `${one}?dryRun=All&fieldValidation=Strict`, [op, { op: 'add', path: '/nothing', value: 1 }]);
  }
  for (const form of ['merge', 'strategic'] as const) {
    s.patch(form, `${one}?dryRun=All`, { spec: null });
    s.patch(form, `${one}?dryRun=All`, { metadata: { name: 'other' } });
    s.patch(form, `${one}?dryRun=All`, { metadata: { uid: '00000000-0000-4000-8000-000000000077' } });
    s.patch(form, `${one}?dryRun=All`, { metadata: { creationTimestamp: null, generation: 77, selfLink: '/x' } });
    s.patch(form, `${one}?dryRun=All`, { metadata: { deletionTimestamp: '2020-01-01T00:00:00Z' } });
    s.patch(form, `${one}?dryRun=All`, { metadata: { ownerReferences: [{ name: 'x' }] } });
    s.patch(form, `${one}?dryRun=All`, { metadata: { labels: { $patch: 'replace', q: 'r' } } });
    s.patch(form, `${one}?dryRun=All`, { metadata: { finalizers: ['x.io/y'], generateName: 'g-' } });
    s.patch(form, `${one}?dryRun=All`, { $retainKeys: ['metadata'], metadata: { labels: { z: 'z' } } });
    s.patch(form, `${one}?dryRun=All`, { $patch: 'delete' });
    s.patch(form, `${one}?dryRun=All`, { kind: 'Other', apiVersion: 'v9' });
    s.patch(form, `${one}/status?dryRun=All`, { metadata: { labels: { st: 'x' } }, spec: {}, status: {} });
    s.patch(form, `${one}/scale?dryRun=All`, { spec: { replicas: 3 } });
  }
  s.put(`${one}?dryRun=All`, having(object, { labels: { a: 'b' }, name: 'other' }));
  s.put(`${one}?dryRun=All`, having(object, { namespace: 'elsewhere' }));
  s.put(`${one}?dryRun=All`, having(object, { uid: '00000000-0000-4000-8000-000000000077' }));
  s.put(`${one}-none?dryRun=All`, having(object, { name: `${nameOf(object)}-none` }));
  s.put(`${one}/status`, having(object, { labels: { only: 'status' } }));
  s.put(`${one}?dryRun=All`, { ...object, status: { nonsense: true } });
  s.table(one);
  clean(subject);
}

const DELETIONS: readonly (readonly [query: string, body: JsonObject | undefined, metadata?: JsonObject])[] = [
  ['', undefined],
  ['', { propagationPolicy: 'Foreground' }],
  ['', { propagationPolicy: 'Orphan' }],
  ['', { orphanDependents: true }],
  ['?propagationPolicy=Background&gracePeriodSeconds=7', undefined],
  ['', { gracePeriodSeconds: -1 }],
  ['?dryRun=All', undefined],
  ['', { preconditions: { uid: '${uid}', resourceVersion: '${rv}' } }],
  ['', { preconditions: { uid: '${uid}', resourceVersion: '1' } }],
  ['', undefined, { finalizers: ['x.io/f'] }],
  ['', { propagationPolicy: 'Foreground' }, { finalizers: ['x.io/f', 'orphan'] }],
  ['?orphanDependents=true', { propagationPolicy: 'Background' }],
];

function deleting(subject: Subject): void {
  const { s, all, one, object } = subject;
  for (const [query, body, metadata = {}] of DELETIONS) {
    s.post(all, having(object, metadata), {
      ...code,
      capture: { uid: '.metadata.uid', rv: '.metadata.resourceVersion' },
    });
    s.del(one + query, body && { apiVersion: 'v1', kind: 'DeleteOptions', ...body });
    s.get(one);
    if ('finalizers' in metadata) {
      s.patch('merge', one, { metadata: { labels: { late: 'yes' } } });
      s.patch('merge', one, { metadata: { finalizers: ['x.io/f', 'x.io/g'] } });
      s.put(one, having(object, { finalizers: [] }));
      s.del(one);
    }
    clean(subject);
  }
}

function watching(subject: Subject): void {
  const { s, all, one, object } = subject;
  s.get(`${all}?limit=1`, { ...code, capture: { rv: '.metadata.resourceVersion' } });
  s.post(all, having(object, { labels: { s: 'on' } }), code);
  for (const v of ['off', 'on']) s.patch('merge', one, { metadata: { labels: { s: v } } }, code);
  clean(subject);
  const from = (more: string, max: number, headers?: Record<string, string>) =>
    s.get(`${all}?watch=true&timeoutSeconds=2&resourceVersion=\${rv}${more}`, {
      watch: { timeoutMs: 3000, max, dropBookmarks: true },
      ...(headers ? { headers } : {}),
    });
  const name = `&fieldSelector=${encodeURIComponent(`metadata.name=${nameOf(object)}`)}`;
  from(`&labelSelector=s%3Don${name}`, 4);
  from(`&labelSelector=s%3Don${name}`, 4, as('Table'));
  from(`&labelSelector=s%3Doff${name}`, 2, as('PartialObjectMetadata'));
}

function selecting({ s, all }: Subject): void {
  for (const f of FIELDS) s.get(`${all}?fieldSelector=${encodeURIComponent(f)}`, { view: 'items' });
  s.get(`${all}?labelSelector=no%3Dsuch`, { headers: as('Table') });
  s.get(`${all}?labelSelector=no%3Dsuch`, { headers: as('PartialObjectMetadataList') });
  s.get(`${all}?labelSelector=no%3Dsuch`, { headers: { Accept: 'application/yaml' } });
}

const LISTS = ['0', '1', '${rv}', '${rv2}', 'x', '99999999'].flatMap((rv) =>
  ['', 'Exact', 'NotOlderThan'].flatMap((match) =>
    ['', '&limit=2', '&limit=2&labelSelector=i'].map(
      (more) => `resourceVersion=${rv}${match && `&resourceVersionMatch=${match}`}${more}`,
    ),
  ),
);

/** Lists and single reads at every kind of version, in pages while objects change. */
function listing(subject: Subject): void {
  const { s, all, object } = subject;
  const name = (i: number) => `l${i}`;
  const partial = { headers: as('PartialObjectMetadataList') };
  for (const i of [1, 2, 3])
    s.post(all, having(object, { name: name(i), labels: { i: String(i) } }), {
      ...code,
      capture: { [i === 2 ? 'rv2' : 'rv']: '.metadata.resourceVersion' },
    });
  for (const q of LISTS) s.get(`${all}?${q}`, q.includes('99999999') ? { ...partial, view: 'code' } : partial);
  for (const rv of ['0', '1', '${rv2}', 'x', '-1', '99999999'])
    s.get(`${all}/${name(1)}?resourceVersion=${rv}`, { headers: as('PartialObjectMetadata') });
  s.get(`${all}?limit=1`, { ...partial, capture: { c: '.metadata.continue' } });
  s.patch('merge', `${all}/${name(2)}`, { metadata: { labels: { i: null } } }, code);
  s.patch('merge', `${all}/${name(3)}`, { metadata: { labels: { late: 'yes' } } }, code);
  for (const q of ['', '&limit=1', '&labelSelector=late', '&labelSelector=i&limit=1', '&resourceVersion=0'])
    s.get(`${all}?continue=\${c}${q}`, partial);
  for (const q of [
    'resourceVersion=x',
    'resourceVersion=0',
    'resourceVersion=1',
    'resourceVersion=${rv2}',
    'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
  ])
    s.get(`${all}?watch=true&timeoutSeconds=1&${q}`, {
      watch: { timeoutMs: 2200, sort: true, looseBookmarks: true },
      headers: as('PartialObjectMetadata'),
    });
  s.del(`${all}?labelSelector=late`, { gracePeriodSeconds: 0 }, code);
  s.del(`${all}?fieldSelector=metadata.name%3D${name(1)}&gracePeriodSeconds=0`, undefined, { view: 'items' });
  s.del(`${all}?gracePeriodSeconds=0&limit=1`, undefined, { view: 'items' });
  s.del(`${all}?gracePeriodSeconds=0`, undefined, code);
}

/** Kinds whose objects go only when something else has been done, or whose deletion others notice. */
const LASTING = new Set(['namespaces', 'customresourcedefinitions', 'apiservices']);

function sweep(seed: Seed, plain: Seed): Scenario {
  const { apiVersion, kind, metadata } = seed.object as { apiVersion: string; kind: string; metadata: JsonObject };
  const s = new Scenario('sweep', `${seed.resource}-${parseApiVersion(apiVersion).group || 'core'}`);
  const ns = s.namespace(`sw-${seed.resource}`);
  const put = (o: Seed): JsonObject =>
    JSON.parse(
      JSON.stringify(having(o.object, { name: metadata['name']! })).replaceAll(`"${NAMESPACE}"`, `"${ns}"`),
    ) as JsonObject;
  const all = seed.path.replace(`/namespaces/${NAMESPACE}/`, `/namespaces/${ns}/`);
  const type = builtinSchemas().forKind({ ...parseApiVersion(apiVersion), kind })!;
  const object = put(seed);
  const found = [...mutations(object, type)].filter(
    (m) =>
      m.path[0] !== 'metadata' &&
      m.path.at(-1) !== 'name' &&
      m.value !== null &&
      !/Bad|aaaa/.test(JSON.stringify(m.value ?? '')),
  );
  const variations = Array.from(
    { length: Math.min(6, found.length) },
    (_, i) => found[Math.floor((i * found.length) / 6)]!,
  );
  const one = `${all}/${nameOf(seed.object)}`;
  const subject = { s, all, one, object, variations };
  protobuf(subject);
  applying(subject);
  patching(subject);
  selecting(subject);
  if (LASTING.has(seed.resource)) return s;
  watching(subject);
  if (seed.path.includes('/namespaces/')) listing({ ...subject, object: put(plain) });
  deleting({ ...subject, object: put(plain) });
  return s;
}

/** One scenario for every kind that the recorded corpus creates. */
export function sweeps(): Scenario[] {
  const byPath = new Map<string, Seed[]>();
  for (const seed of readSeeds(realpathSync(corpus), ['a-defaults']))
    byPath.set(seed.path, [...(byPath.get(seed.path) ?? []), seed]);
  return [...byPath.values()].map((seeds) => sweep(seeds[0]!, seeds.at(-1)!));
}
