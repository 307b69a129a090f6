import assert from 'node:assert/strict';
import { FieldManager, keepTimesOfNoop } from '../../../api/apply/index.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { normalize } from '../../../api/schema/normalize.ts';
import { structuralType } from '../../../api/schema/structural.ts';
import type { ObjectType } from '../../../api/schema/model.ts';
import { StatusError } from '../../../api/status.ts';
import type { GroupVersionKind, JsonObject, KubeObject } from '../../../api/types.ts';

/** A server of one object: applies, normalises, keeps. */
class Server {
  readonly manager: FieldManager;
  readonly #type: ObjectType;
  readonly #kind: GroupVersionKind;
  live: KubeObject | undefined;
  #tick = 0;

  constructor(type: ObjectType, kind: GroupVersionKind) {
    this.#type = type;
    this.#kind = kind;
    this.manager = new FieldManager(type, { kind });
  }
  #time(): string {
    return `2024-01-01T00:00:${String(this.#tick++).padStart(2, '0')}Z`;
  }
  #full(config: JsonObject): JsonObject {
    const { group, version, kind } = this.#kind;
    return { apiVersion: group === '' ? version : `${group}/${version}`, kind, ...config };
  }
  #keep(object: KubeObject, managedFields: object[] | undefined): JsonObject {
    const plain = normalize(object as JsonObject, this.#type).object as KubeObject;
    this.live = { ...plain, metadata: { ...plain.metadata, uid: 'u' } };
    if (managedFields) this.live.metadata!.managedFields = managedFields as never;
    return plain as JsonObject;
  }
  apply(manager: string, config: JsonObject, force = false): JsonObject {
    const r = this.manager.apply(this.live, this.#full(config), { manager, force, time: this.#time() });
    return this.#keep(r.object, r.managedFields);
  }
  update(manager: string, config: JsonObject): void {
    const object = normalize(this.#full(config), this.#type).object as KubeObject;
    const entries = this.manager.update(this.live, object, { manager, time: this.#time() });
    this.#keep(object, entries);
  }
  owners(): Record<string, unknown> {
    return Object.fromEntries(
      (this.live?.metadata?.managedFields ?? []).map((e) => [`${e.manager}/${e.operation}`, e.fieldsV1]),
    );
  }
}
const server = (group: string, version: string, kind: string) =>
  new Server(builtinSchemas().forKind({ group, version, kind })!, { group, version, kind });
const status = (fn: () => unknown): StatusError => {
  try {
    fn();
  } catch (e) {
    if (e instanceof StatusError) return e;
    throw e;
  }
  throw new Error('nothing was thrown');
};
const map = (data: JsonObject): JsonObject => ({ metadata: { name: 'x' }, data });

describe('server-side apply', () => {
  it('creates, shares, conflicts, forces, drops', () => {
    const s = server('', 'v1', 'ConfigMap');
    s.apply('m1', map({ k1: 'v1', k2: 'v2' }));
    assert.deepEqual(s.owners(), { 'm1/Apply': { 'f:data': { 'f:k1': {}, 'f:k2': {} } } });
    assert.deepEqual(s.apply('m2', map({ k3: 'v3' }))['data'], { k1: 'v1', k2: 'v2', k3: 'v3' });
    const e = status(() => s.apply('m2', map({ k1: 'changed', k3: 'v3' })));
    assert.equal(e.code, 409);
    assert.equal(e.message, 'Apply failed with 1 conflict: conflict with "m1": .data.k1');
    assert.deepEqual(e.status.details, {
      causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "m1"', field: '.data.k1' }],
    });
    assert.deepEqual(s.apply('m2', map({ k1: 'changed', k3: 'v3' }), true)['data'], {
      k1: 'changed',
      k2: 'v2',
      k3: 'v3',
    });
    assert.deepEqual(s.owners()['m1/Apply'], { 'f:data': { 'f:k2': {} } });
    // m1 lost k1: leaving it out removes nothing. m2 owns it: leaving it out removes it.
    assert.deepEqual(s.apply('m1', map({ k2: 'v2' }))['data'], { k1: 'changed', k2: 'v2', k3: 'v3' });
    assert.deepEqual(s.apply('m2', map({ k3: 'v3' }))['data'], { k2: 'v2', k3: 'v3' });
    s.apply('m3', map({ k3: 'v3' }));
    assert.deepEqual(s.apply('m2', { metadata: { name: 'x' } })['data'], { k2: 'v2', k3: 'v3' }, 'm3 owns k3 too');
    assert.deepEqual(s.apply('m3', { metadata: { name: 'x' } })['data'], { k2: 'v2' });
    assert.equal(s.apply('m1', { metadata: { name: 'x' } })['data'], undefined);
  });

  it('names every conflict, by manager', () => {
    const s = server('', 'v1', 'ConfigMap');
    s.update('old', map({ a: '1', b: '2' }));
    s.apply('app', map({ c: '3' }));
    assert.equal(
      status(() => s.apply('new', map({ a: 'x', b: 'y', c: 'z' }))).message,
      'Apply failed with 3 conflicts: conflicts with "app":\n- .data.c\nconflicts with "old" using v1:\n- .data.a\n- .data.b',
    );
  });

  it('the same value is shared, not fought over', () => {
    const s = server('', 'v1', 'ConfigMap');
    s.update('old', map({ a: '1' }));
    s.apply('new', map({ a: '1' }));
    assert.deepEqual(Object.keys(s.owners()), ['new/Apply', 'old/Update']);
  });

  it('merges lists by all their keys, with key defaults', () => {
    const s = server('', 'v1', 'Service');
    const ports = (...p: JsonObject[]): JsonObject => ({ metadata: { name: 'x' }, spec: { ports: p } });
    const portsOf = (o: JsonObject) => (o['spec'] as JsonObject)['ports'];
    s.apply('a', ports({ port: 53, name: 'tcp' }));
    const out = s.apply('b', ports({ port: 53, protocol: 'UDP', name: 'udp' }));
    assert.equal((portsOf(out) as JsonObject[]).length, 2);
    assert.deepEqual((s.owners()['a/Apply'] as JsonObject)['f:spec'], {
      'f:ports': { 'k:{"port":53,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } },
    });
    assert.deepEqual(portsOf(s.apply('b', { metadata: { name: 'x' }, spec: {} })), [
      { name: 'tcp', port: 53, targetPort: 0 },
    ]);
  });

  it('orders list items as the configuration does and keeps those of others', () => {
    const s = server('', 'v1', 'Pod');
    const pod = (...names: string[]): JsonObject => ({
      metadata: { name: 'x' },
      spec: { containers: names.map((name) => ({ name })) },
    });
    const names = (o: JsonObject) => ((o['spec'] as JsonObject)['containers'] as JsonObject[]).map((c) => c['name']);
    s.apply('a', pod('a', 'b', 'c'));
    assert.deepEqual(names(s.apply('b', pod('c', 'x'))), ['a', 'b', 'c', 'x']);
    assert.deepEqual(names(s.apply('a', pod('c', 'a'))), ['c', 'x', 'a']);
  });

  it('sets are owned by value', () => {
    const s = server('', 'v1', 'ConfigMap');
    const fin = (...finalizers: string[]): JsonObject => ({ metadata: { name: 'x', finalizers } });
    const of = (o: JsonObject) => (o['metadata'] as JsonObject)['finalizers'];
    s.apply('a', fin('a/1', 'a/2'));
    assert.deepEqual(of(s.apply('b', fin('b/1'))), ['a/1', 'a/2', 'b/1']);
    assert.deepEqual(of(s.apply('a', fin('a/2'))), ['a/2', 'b/1']);
  });

  it('atomic values are owned and replaced whole', () => {
    const s = server('apps', 'v1', 'Deployment');
    const sel = (labels: JsonObject): JsonObject => ({
      metadata: { name: 'x' },
      spec: { selector: { matchLabels: labels } },
    });
    s.apply('a', sel({ a: '1' }));
    assert.equal(
      status(() => s.apply('b', sel({ b: '1' }))).message,
      'Apply failed with 1 conflict: conflict with "a": .spec.selector',
    );
    assert.deepEqual((s.apply('b', sel({ b: '1' }), true)['spec'] as JsonObject)['selector'], {
      matchLabels: { b: '1' },
    });
  });

  it('what was there before the first apply belongs to before-first-apply', () => {
    const s = server('', 'v1', 'ConfigMap');
    s.live = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x', uid: 'u' }, data: { a: '1' } } as KubeObject;
    s.apply('m', map({ b: '2' }));
    assert.deepEqual(s.owners(), {
      'm/Apply': { 'f:data': { 'f:b': {} } },
      'before-first-apply/Update': { 'f:data': { '.': {}, 'f:a': {} } },
    });
  });

  it('an apply that changes nothing keeps object and time', () => {
    const s = server('', 'v1', 'ConfigMap');
    s.apply('m', map({ a: '1' }));
    const before = s.live!;
    const config = { apiVersion: 'v1', kind: 'ConfigMap', ...map({ a: '1' }) };
    const r = s.manager.apply(before, config, { manager: 'm', force: false, time: '2030-01-01T00:00:00Z' });
    assert.equal(r.changed, false);
    assert.deepEqual(r.managedFields, before.metadata!.managedFields);
  });

  it('kubectl takes over what it applied on the client side', () => {
    const note = 'kubectl.kubernetes.io/last-applied-configuration';
    const s = server('', 'v1', 'ConfigMap');
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { a: '1', b: '2' } };
    s.update('kubectl-client-side-apply', {
      metadata: { name: 'x', annotations: { [note]: JSON.stringify(applied) } },
      data: { a: '1', b: '2' },
    });
    const out = s.apply('kubectl', map({ a: 'new', b: '2' }));
    assert.deepEqual(out['data'], { a: 'new', b: '2' });
    assert.equal(
      ((out['metadata'] as JsonObject)['annotations'] as JsonObject)[note],
      '{"apiVersion":"v1","data":{"a":"new","b":"2"},"kind":"ConfigMap","metadata":{"name":"x"}}\n',
    );
    assert.equal(status(() => s.apply('other', map({ b: 'z' }))).code, 409, 'only kubectl may');
  });

  it('refuses configurations that do not fit', () => {
    const s = server('', 'v1', 'ConfigMap');
    const pod = server('', 'v1', 'Pod');
    const wrong = (config: JsonObject) =>
      status(() => s.apply('m', { metadata: { name: 'x', namespace: 'n' }, ...config }));
    assert.equal(
      wrong({ bogus: 1 }).message,
      'failed to create typed patch object (n/x; v1, Kind=ConfigMap): .bogus: field not declared in schema',
    );
    assert.equal(wrong({ bogus: 1 }).code, 500);
    assert.match(wrong({ data: { a: 5 } }).message, /\.data\.a: expected string, got /);
    assert.match(wrong({ data: 'x' }).message, /\.data: expected map, got /);
    assert.equal(wrong({ kind: 'Secret' }).code, 400);
    assert.equal(wrong({ metadata: { name: 'x', managedFields: [] } }).code, 400);
    const spec = (containers: JsonObject[]) =>
      status(() => pod.apply('m', { metadata: { name: 'x' }, spec: { containers } })).message;
    assert.match(spec([{ name: 'a' }, { name: 'a' }]), /duplicate entries for key \[name="a"\]/);
  });

  it('tracks custom resources, declared and free-form parts', () => {
    const kind = { group: 'x.io', version: 'v1', kind: 'Thing' };
    const type = structuralType(kind, {
      type: 'object',
      properties: {
        spec: {
          type: 'object',
          properties: {
            items: {
              type: 'array',
              'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['id'],
              items: { type: 'object', properties: { id: { type: 'integer' }, v: { type: 'string' } } },
            },
            free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            plain: { type: 'array', items: { type: 'string' } },
          },
        },
      },
    });
    const s = new Server(type, kind);
    s.apply('a', {
      metadata: { name: 'x' },
      spec: { items: [{ id: 1, v: 'a' }], free: { deep: { k: 1 }, list: [1] }, plain: ['p'] },
    });
    assert.deepEqual((s.owners()['a/Apply'] as JsonObject)['f:spec'], {
      'f:free': { 'f:deep': { '.': {}, 'f:k': {} }, 'f:list': {} },
      'f:items': { 'k:{"id":1}': { '.': {}, 'f:id': {}, 'f:v': {} } },
      'f:plain': {},
    });
    s.apply('b', { metadata: { name: 'x' }, spec: { items: [{ id: 2 }], free: { deep: { z: 2 } } } });
    const spec = s.apply('a', { metadata: { name: 'x' }, spec: { items: [{ id: 1 }], free: {} } })[
      'spec'
    ] as JsonObject;
    assert.deepEqual(spec, { items: [{ id: 1 }, { id: 2 }], free: { deep: { z: 2 } } });
    assert.match(
      status(() => s.apply('a', { metadata: { name: 'x' }, spec: { items: [{ v: 'a' }] } })).message,
      /\.spec\.items: element 0: associative list with keys has an element that omits all key fields \["id"\]/,
    );
  });

  it('a set written when a field was granular counts for the whole once it is atomic', () => {
    const s = server('apps', 'v1', 'Deployment');
    s.apply('a', { metadata: { name: 'x' }, spec: { selector: { matchLabels: { a: '1' } } } });
    s.live!.metadata!.managedFields![0]!.fieldsV1 = { 'f:spec': { 'f:selector': { 'f:matchLabels': { 'f:a': {} } } } };
    s.update('b', {
      metadata: { ...s.live!.metadata, labels: { z: '1' } } as JsonObject,
      spec: (s.live as { spec?: JsonObject }).spec!,
    });
    assert.deepEqual(s.owners()['a/Apply'], { 'f:spec': { 'f:selector': {} } });
  });

  it('a write whose only news are times is none', () => {
    const s = server('', 'v1', 'ConfigMap');
    s.apply('m', map({ a: '1' }));
    const live = s.live!;
    const again = structuredClone(live);
    again.metadata!.managedFields![0]!.time = '2031-01-01T00:00:00Z';
    assert.deepEqual(keepTimesOfNoop(again, live), live);
    const changed = { ...again, data: { a: '2' } } as KubeObject;
    assert.equal(keepTimesOfNoop(changed, live), changed);
  });
});
