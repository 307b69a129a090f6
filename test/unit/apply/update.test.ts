import assert from 'node:assert/strict';
import { decodeManagedFields, FieldManager, parentEntries, scaleEntries } from '../../../api/apply/index.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { normalize } from '../../../api/schema/normalize.ts';
import type { JsonObject, KubeObject, ManagedFieldsEntry } from '../../../api/types.ts';

const T1 = '2024-01-01T00:00:00Z';
const T2 = '2024-01-01T00:00:05Z';
const setup = (group: string, version: string, kind: string) => {
  const type = builtinSchemas().forKind({ group, version, kind })!;
  const manager = new FieldManager(type, { kind: { group, version, kind } });
  return {
    manager,
    object: (value: JsonObject): KubeObject =>
      normalize({ apiVersion: group ? `${group}/${version}` : version, kind, ...value }, type).object as KubeObject,
  };
};
const owned = (object: KubeObject, managedFields: ManagedFieldsEntry[] | undefined): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, uid: 'u', ...(managedFields ? { managedFields } : {}) },
});
const fieldsOf = (entries: ManagedFieldsEntry[] | undefined, manager: string, subresource = ''): unknown =>
  entries?.find((e) => e.manager === manager && (e.subresource ?? '') === subresource)?.fieldsV1;

describe('managed fields of ordinary writes', () => {
  const cm = setup('', 'v1', 'ConfigMap');
  const dep = setup('apps', 'v1', 'Deployment');

  it('a create owns what was sent, without identity and server fields', () => {
    const object = cm.object({ metadata: { name: 'x', namespace: 'n', labels: { a: '1' } }, data: { k: 'v' } });
    assert.deepEqual(cm.manager.update(undefined, object, { manager: 'me', time: T1 }), [
      {
        manager: 'me',
        operation: 'Update',
        apiVersion: 'v1',
        time: T1,
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:data': { '.': {}, 'f:k': {} }, 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } } },
      },
    ]);
  });
  it('nothing to own gives no entry', () => {
    assert.equal(
      cm.manager.update(undefined, cm.object({ metadata: { name: 'x' } }), { manager: 'me', time: T1 }),
      undefined,
    );
  });
  it('structs that are always there are not owned, keyed lists and their keys are', () => {
    const object = dep.object({
      metadata: { name: 'd' },
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80 }], securityContext: {} }] } },
      },
      status: { replicas: 3 },
    });
    const entries = dep.manager.update(undefined, object, { manager: '', time: T1, resetFields: [['status']] });
    assert.deepEqual(fieldsOf(entries, 'unknown'), {
      'f:spec': {
        'f:selector': {},
        'f:template': {
          'f:spec': {
            'f:containers': {
              'k:{"name":"c"}': {
                '.': {},
                'f:name': {},
                'f:ports': {
                  '.': {},
                  'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
                },
                'f:resources': {},
                'f:securityContext': {},
              },
            },
          },
        },
      },
    });
  });

  const first = cm.object({ metadata: { name: 'x' }, data: { a: '1', b: '2', c: '3' } });
  const live = owned(first, cm.manager.update(undefined, first, { manager: 'one', time: T1 }));
  const withData = (data: JsonObject): KubeObject => ({ ...live, data }) as KubeObject;

  it('an update moves changed fields to the new owner and drops removed ones', () => {
    const entries = cm.manager.update(live, withData({ a: '1', b: '9', d: '4' }), { manager: 'two', time: T2 });
    assert.deepEqual(fieldsOf(entries, 'one'), { 'f:data': { '.': {}, 'f:a': {} } });
    assert.deepEqual(fieldsOf(entries, 'two'), { 'f:data': { 'f:b': {}, 'f:d': {} } });
    assert.deepEqual(
      entries?.map((e) => e.time),
      [T1, T2],
    );
  });
  it('an update that changes nothing keeps entries and times', () => {
    assert.deepEqual(cm.manager.update(live, live, { manager: 'one', time: T2 }), live.metadata!.managedFields);
  });
  it('a manager that only removes keeps its time', () => {
    const entries = cm.manager.update(live, withData({ a: '1' }), { manager: 'one', time: T2 });
    assert.deepEqual(fieldsOf(entries, 'one'), { 'f:data': { '.': {}, 'f:a': {} } });
    assert.equal(entries?.[0]?.time, T1);
  });
  it('the same manager through a subresource is another entry', () => {
    const pod = setup('', 'v1', 'Pod');
    const object = pod.object({ metadata: { name: 'p' }, spec: { containers: [{ name: 'c' }] } });
    const before = owned(object, pod.manager.update(undefined, object, { manager: 'kubelet', time: T1 }));
    const after = { ...before, status: { phase: 'Running' }, spec: {} } as KubeObject;
    const write = { manager: 'kubelet', time: T2, subresource: 'status', resetFields: [['spec']] };
    const entries = pod.manager.update(before, after, write);
    assert.deepEqual(fieldsOf(entries, 'kubelet', 'status'), { 'f:status': { 'f:phase': {} } });
    assert.deepEqual(fieldsOf(entries, 'kubelet'), fieldsOf(before.metadata!.managedFields, 'kubelet'));
  });
  it('an object that lost its entries stays without', () => {
    const { managedFields: _gone, ...metadata } = live.metadata!;
    const bare = { ...live, metadata };
    assert.equal(
      cm.manager.update(bare, { ...bare, data: { z: '1' } } as KubeObject, { manager: 'two', time: T2 }),
      undefined,
    );
  });
  it('an empty entry, or an empty list, clears everything', () => {
    for (const managedFields of [[{}], []]) {
      const sent = { ...live, metadata: { ...live.metadata, managedFields } };
      assert.equal(cm.manager.update(live, sent, { manager: 'two', time: T2 }), undefined);
    }
  });
  it('entries that a client sends count, malformed ones do not', () => {
    const entry = { manager: 'zed', operation: 'Update', apiVersion: 'v1', time: T1, fieldsType: 'FieldsV1' };
    const sent = (fieldsV1: object, more: object = {}): KubeObject => ({
      ...live,
      metadata: { ...live.metadata, managedFields: [{ ...entry, fieldsV1, ...more }] },
    });
    const write = { manager: 'two', time: T2 };
    const taken = cm.manager.update(live, sent({ 'f:data': { 'f:b': {}, 'f:a': {} } }), write);
    assert.equal(
      JSON.stringify(taken?.map((e) => [e.manager, e.fieldsV1])),
      '[["zed",{"f:data":{"f:a":{},"f:b":{}}}]]',
    );
    for (const bad of [sent({ nonsense: {} }), sent({}, { operation: 'X' }), sent({}, { fieldsType: '' })]) {
      assert.deepEqual(cm.manager.update(live, bad, write), live.metadata!.managedFields);
    }
  });
  it('the oldest of more than ten updaters are merged', () => {
    let object = owned(first, undefined);
    let entries: ManagedFieldsEntry[] | undefined = live.metadata!.managedFields;
    for (let i = 0; i < 12; i++) {
      object = { ...object, metadata: { ...object.metadata, managedFields: entries } };
      const next = { ...object, data: { ...(object as { data?: object }).data, [`k${i}`]: 'x' } } as KubeObject;
      entries = cm.manager.update(object, next, {
        manager: `m${i}`,
        time: `2024-01-01T00:01:${String(i).padStart(2, '0')}Z`,
      });
      object = next;
    }
    assert.equal(entries?.length, 10);
    assert.deepEqual(fieldsOf(entries, 'ancient-changes'), {
      'f:data': { '.': {}, 'f:a': {}, 'f:b': {}, 'f:c': {}, 'f:k0': {}, 'f:k1': {}, 'f:k2': {} },
    });
  });
  it('entries of a version that is gone are dropped', () => {
    const old = structuredClone(live);
    old.metadata!.managedFields![0]!.apiVersion = 'v0';
    const entries = cm.manager.update(old, { ...old, data: { q: '1' } } as KubeObject, { manager: 'two', time: T2 });
    assert.deepEqual(
      entries?.map((e) => e.manager),
      ['two'],
    );
  });
  it('objects in lists that repeat a key are owned as one', () => {
    const pod = setup('', 'v1', 'Pod');
    const object = pod.object({
      metadata: { name: 'p' },
      spec: {
        containers: [
          {
            name: 'c',
            env: [
              { name: 'A', value: '1' },
              { name: 'A', value: '2' },
            ],
          },
        ],
      },
    });
    const entries = pod.manager.update(undefined, object, { manager: 'm', time: T1 });
    assert.match(JSON.stringify(entries), /"k:\{\\"name\\":\\"A\\"\}":\{\}/);
  });
});

describe('managed fields through scale', () => {
  const paths = { 'apps/v1': ['spec', 'replicas'] };
  const entry = (manager: string, fieldsV1: object): ManagedFieldsEntry => ({
    manager,
    operation: 'Update',
    apiVersion: 'apps/v1',
    fieldsType: 'FieldsV1',
    fieldsV1,
  });
  const parent = [
    entry('a', { 'f:spec': { 'f:replicas': {}, 'f:paused': {} } }),
    entry('b', { 'f:spec': { 'f:selector': {} } }),
  ];

  it('shows the owners of the replicas', () => {
    const shown = scaleEntries(parent, paths);
    assert.deepEqual(
      shown?.map((e) => [e.manager, e.apiVersion]),
      [['a', 'autoscaling/v1']],
    );
  });
  it('takes the replicas to their new owner', () => {
    const scale = [
      { ...entry('hpa', { 'f:spec': { 'f:replicas': {} } }), apiVersion: 'autoscaling/v1', subresource: 'scale' },
    ];
    const owners = [...decodeManagedFields(parentEntries(parent, scale, paths, 'apps/v1'), true).values()];
    assert.deepEqual(
      owners.map((o) => [o.manager, o.subresource, o.apiVersion, o.fields]),
      [
        ['a', '', 'apps/v1', { 'f:spec': { 'f:paused': {} } }],
        ['b', '', 'apps/v1', { 'f:spec': { 'f:selector': {} } }],
        ['hpa', 'scale', 'apps/v1', { 'f:spec': { 'f:replicas': {} } }],
      ],
    );
  });
  it('keeps who applied them as it is, and splits the entry of who wrote them', () => {
    const applied: ManagedFieldsEntry = { ...parent[0]!, operation: 'Apply' };
    for (const [owner, want] of [
      [applied, [['Apply', { 'f:spec': { 'f:replicas': {}, 'f:paused': {} } }]]],
      [
        parent[0]!,
        [
          ['Update', { 'f:spec': { 'f:paused': {} } }],
          ['Update', { 'f:spec': { 'f:replicas': {} } }],
        ],
      ],
    ] as const) {
      const entries = parentEntries([owner], scaleEntries([owner], paths), paths, 'apps/v1');
      assert.deepEqual(
        entries?.map((e) => [e.operation, e.fieldsV1]),
        want,
      );
    }
  });
  it('leaves the owners of other versions alone, whether those have a scale or not', () => {
    const versions = { 'x.io/v1': ['spec', 'replicas'], 'x.io/v2': ['spec', 'size'], 'x.io/v3': [] };
    const at = (apiVersion: string, fieldsV1: object): ManagedFieldsEntry => ({
      ...entry(apiVersion, fieldsV1),
      operation: 'Apply',
      apiVersion,
    });
    const mine = [
      at('x.io/v1', { 'f:spec': { 'f:other': {} } }),
      at('x.io/v2', { 'f:spec': { 'f:size': {} } }),
      at('x.io/v3', { 'f:spec': { 'f:replicas': {} } }),
    ];
    const shown = scaleEntries(mine, versions);
    assert.deepEqual(
      shown?.map((e) => e.manager),
      ['x.io/v2'],
    );
    assert.deepEqual(parentEntries(mine, shown, versions, 'x.io/v1'), mine);
    assert.deepEqual(parentEntries(mine, [], versions, 'x.io/v1'), [mine[0], mine[2]]);
  });
});
