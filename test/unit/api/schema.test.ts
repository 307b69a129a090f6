import assert from 'node:assert/strict';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { applyDefaults } from '../../../api/schema/defaults.ts';
import { DecodeError, normalize } from '../../../api/schema/normalize.ts';
import type { ObjectType } from '../../../api/schema/model.ts';
import { structuralType } from '../../../api/schema/structural.ts';
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { random, seeded } from './gen.ts';

const registry = builtinSchemas();
const core = (kind: string) => registry.type(`io.k8s.api.core.v1.${kind}`);
const deployment = registry.type('io.k8s.api.apps.v1.Deployment');

describe('built-in types', () => {
  it('has every kind that is served', () => {
    const kinds = registry.kinds();
    assert.ok(kinds.length > 100);
    assert.equal(registry.forKind({ group: 'apps', version: 'v1', kind: 'Deployment' }), deployment);
    assert.equal(registry.forKind({ group: '', version: 'v1', kind: 'Nope' }), undefined);
    assert.ok(registry.forKind({ group: 'policy', version: 'v1', kind: 'DeleteOptions' }));
    assert.throws(() => registry.type('io.k8s.api.core.v1.Nope'));
  });

  it('knows lists, maps, merge keys and defaults', () => {
    const containers = core('PodSpec').field('containers')!;
    assert.deepEqual(containers.patchStrategy, ['merge']);
    assert.equal(containers.patchMergeKey, 'name');
    const node = containers.node;
    assert.ok(node.form === 'list' && node.listType === 'map' && node.items.form === 'object');
    assert.deepEqual(node.listMapKeys, ['name']);
    const ports = node.items.type.field('ports')!.node;
    assert.ok(ports.form === 'list' && ports.listType === 'map');
    assert.deepEqual(ports.listMapKeys, ['containerPort', 'protocol']);
    assert.equal(core('ContainerPort').field('protocol')!.node.default, 'TCP');
    const selector = core('ServiceSpec').field('selector')!.node;
    assert.ok(selector.form === 'map' && selector.mapType === 'atomic');
    assert.equal(core('SecretKeySelector').field('name')?.inlinedFrom, 'io.k8s.api.core.v1.LocalObjectReference');
    assert.equal(core('ContainerPort').field('containerPort')!.required, true);
  });
});

describe('normalize', () => {
  const pod = (spec: JsonObject) =>
    normalize({ apiVersion: 'v1', kind: 'Pod', spec }, core('Pod')).object['spec'] as JsonObject;

  it('drops zero values and keeps what is set by presence, in the order of the type', () => {
    const { object, unknown } = normalize(
      {
        metadata: { labels: { b: '1', a: null }, name: 'x', annotations: {}, creationTimestamp: null },
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        spec: {
          replicas: 0,
          paused: false,
          selector: { matchLabels: {} },
          template: { spec: { containers: [{ image: '', name: 'c' }] } },
        },
      },
      deployment,
    );
    assert.equal(
      JSON.stringify(object),
      '{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"x","labels":{"a":"","b":"1"}},"spec":{"replicas":0,"selector":{},"template":{"metadata":{},"spec":{"containers":[{"name":"c","resources":{}}]}},"strategy":{}},"status":{}}',
    );
    assert.deepEqual(unknown, []);
  });

  it('writes null for an unset list that is always there, and takes null for unset', () => {
    const role = registry.type('io.k8s.api.rbac.v1.ClusterRole');
    assert.deepEqual(normalize({ kind: 'ClusterRole' }, role).object, {
      kind: 'ClusterRole',
      metadata: {},
      rules: null,
    });
    assert.deepEqual(normalize({ rules: [] }, role).object, { metadata: {}, rules: [] });
    assert.deepEqual(pod({ containers: [null], nodeName: null, tolerations: null, priority: null }), {
      containers: [{ name: '', resources: {} }],
    });
  });

  it('brings quantities, times and ports into their canonical form', () => {
    const c = (
      pod({ containers: [{ name: 'c', resources: { limits: { memory: '1024Mi', cpu: 0.5 } } }] })[
        'containers'
      ] as JsonObject[]
    )[0]!;
    assert.deepEqual(c['resources'], { limits: { cpu: '500m', memory: '1Gi' } });
    const meta = normalize({ metadata: { deletionTimestamp: '2024-02-29T12:00:00.9+02:00' } }, core('Pod')).object[
      'metadata'
    ];
    assert.deepEqual(meta, { deletionTimestamp: '2024-02-29T10:00:00Z' });
    const lease = registry.type('io.k8s.api.coordination.v1.Lease');
    const spec = normalize({ spec: { renewTime: '2024-01-01T00:00:00.123456+01:00' } }, lease).object['spec'];
    assert.deepEqual(spec, { renewTime: '2023-12-31T23:00:00.123456Z' });
    assert.throws(() => normalize({ spec: { renewTime: '2024-01-01T00:00:00Z' } }, lease), /parsing time/);
  });

  it('reports unknown fields by path and drops them', () => {
    const r = normalize(
      {
        kind: 'Pod',
        foo: 1,
        Kind: 'x',
        metadata: { bar: {} },
        spec: { containers: [{ name: 'a' }, { name: 'b', baz: null }] },
      },
      core('Pod'),
    );
    assert.deepEqual(r.unknown.sort(), ['Kind', 'foo', 'metadata.bar', 'spec.containers[1].baz']);
    assert.ok(!('foo' in r.object));
    assert.deepEqual(normalize({ foo: 1 }, core('Pod'), { ignoreUnknown: true }).unknown, []);
  });

  const wrong: [string, JsonValue, string, string][] = [
    [
      'a text for a number',
      { spec: { replicas: '3' } },
      'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
      'spec.replicas',
    ],
    [
      'a fraction for an integer',
      { spec: { minReadySeconds: 1.5 } },
      'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.minReadySeconds of type int32',
      'spec.minReadySeconds',
    ],
    [
      'a number beyond int32',
      { spec: { replicas: 2147483648 } },
      'json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32',
      'spec.replicas',
    ],
    [
      'a number beyond int64',
      { metadata: { generation: 1e19 } },
      'json: cannot unmarshal number 10000000000000000000 into Go struct field ObjectMeta.metadata.generation of type int64',
      'metadata.generation',
    ],
    [
      'a number for a text in a list',
      { spec: { template: { spec: { containers: [{ name: 'a' }, { name: 5 }] } } } },
      'json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string',
      'spec.template.spec.containers[1].name',
    ],
    [
      'a text for a list',
      { spec: { template: { spec: { containers: 'x' } } } },
      'json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container',
      'spec.template.spec.containers',
    ],
    [
      'a list for an object',
      { metadata: [] },
      'json: cannot unmarshal array into Go struct field Deployment.metadata of type v1.ObjectMeta',
      'metadata',
    ],
    [
      'a boolean for a label',
      { metadata: { labels: { k: true } } },
      'json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string',
      'metadata.labels.k',
    ],
    ['a list for the whole', [], 'json: cannot unmarshal array into Go value of type v1.Deployment', ''],
  ];
  for (const [what, value, message, path] of wrong) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => normalize(value, deployment),
        (e) => e instanceof DecodeError && e.message === message && e.path === path,
      );
    });
  }

  it('refuses malformed texts', () => {
    const bad = (data: JsonObject, type: ObjectType) =>
      assert.throws(() => normalize(data, type), DecodeError, JSON.stringify(data));
    bad({ data: { a: 'not base64!' } }, core('Secret'));
    bad({ data: { a: 'abc' } }, core('Secret'));
    bad({ metadata: { creationTimestamp: 'yesterday' } }, core('Secret'));
    bad({ metadata: { creationTimestamp: '2023-02-29T00:00:00Z' } }, core('Secret'));
    bad({ spec: { hard: { cpu: '1x' } } }, core('ResourceQuota'));
    bad({ spec: { ports: [{ targetPort: 1.5 }] } }, core('Service'));
  });

  it('keeps int64 exact', () => {
    const r = normalize({ metadata: { generation: 9223372036854775807n } }, core('Pod'));
    assert.equal((r.object['metadata'] as JsonObject)['generation'], 9223372036854775807n);
  });

  it('reads boolean, list and schema forms of JSON schemas', () => {
    const crd = registry.type('io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps');
    const schema = {
      properties: { a: { items: { type: 'string' }, additionalProperties: false } },
      'x-kubernetes-preserve-unknown-fields': true,
      default: null,
    };
    const { object } = normalize(schema, crd);
    assert.deepEqual(object, {
      properties: { a: { items: { type: 'string' }, additionalProperties: false } },
      'x-kubernetes-preserve-unknown-fields': true,
    });
  });

  it('is settled after one pass, for random objects of every kind', () => {
    const r = seeded(11);
    for (const k of registry.kinds()) {
      const type = registry.type(k.type);
      const once = normalize(random(r, type, 4), type).object;
      const text = JSON.stringify(once, big);
      assert.equal(JSON.stringify(normalize(once, type).object, big), text, k.kind);
      applyDefaults(once, type);
      const defaulted = JSON.stringify(once, big);
      applyDefaults(once, type);
      assert.equal(JSON.stringify(once, big), defaulted, k.kind);
    }
  });
});

const big = (_: string, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v);

describe('defaults', () => {
  it('follow the schema into nested objects and lists', () => {
    const o = normalize(
      { spec: { template: { spec: { containers: [{ name: 'c', ports: [{ containerPort: 80 }] }] } } } },
      deployment,
    ).object;
    applyDefaults(o, deployment);
    assert.deepEqual(o['spec'], {
      selector: null,
      template: {
        metadata: {},
        spec: { containers: [{ name: 'c', ports: [{ containerPort: 80, protocol: 'TCP' }], resources: {} }] },
      },
      strategy: {},
    });
  });

  it('leave what is given alone, and do not invent what Go leaves out', () => {
    const service = core('Service');
    const o = normalize({ spec: { ports: [{ port: 53, protocol: 'UDP' }], selector: {} } }, service).object;
    applyDefaults(o, service);
    assert.deepEqual(o['spec'], { ports: [{ port: 53, protocol: 'UDP', targetPort: 0 }] });
    const env = core('ConfigMapEnvSource');
    const e = normalize({}, env).object;
    applyDefaults(e, env);
    assert.deepEqual(e, {});
  });
});

describe('custom resource types', () => {
  const type = structuralType(
    { group: 'example.com', version: 'v1', kind: 'Widget' },
    {
      type: 'object',
      properties: {
        spec: {
          type: 'object',
          default: { size: 1 },
          required: ['size'],
          properties: {
            size: { type: 'integer' },
            color: { type: 'string', default: 'red', enum: ['red', 'blue'] },
            maybe: { type: 'string', nullable: true, default: 'x' },
            port: { 'x-kubernetes-int-or-string': true },
            any: {
              type: 'object',
              'x-kubernetes-preserve-unknown-fields': true,
              properties: { known: { type: 'object', properties: {} } },
            },
            parts: {
              type: 'array',
              'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['name'],
              items: { type: 'object', properties: { name: { type: 'string' }, n: { type: 'integer', default: 5 } } },
            },
            labels: {
              type: 'object',
              additionalProperties: { type: 'object', properties: { v: { type: 'string', default: 'd' } } },
            },
            inner: {
              type: 'object',
              'x-kubernetes-embedded-resource': true,
              properties: { spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
            },
          },
        },
      },
    },
  );

  it('prune what the schema does not name and keep the rest as it is', () => {
    const { object, unknown } = normalize(
      {
        apiVersion: 'example.com/v1',
        kind: 'Widget',
        metadata: { name: 'w', labels: { a: 'b' }, nope: 1 },
        spec: {
          size: 'not a number, but validation says so',
          nope: {},
          any: { free: { x: 1 }, known: { y: 1 } },
          parts: [{ name: 'a', z: 1 }],
          labels: { k: { v: '1', w: '2' } },
          inner: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'i', huh: 1 }, spec: { a: 1 }, status: {} },
        },
        status: {},
      },
      type,
    );
    assert.deepEqual(unknown.sort(), [
      'metadata.nope',
      'spec.any.known.y',
      'spec.inner.metadata.huh',
      'spec.inner.status',
      'spec.labels.k.w',
      'spec.nope',
      'spec.parts[0].z',
      'status',
    ]);
    assert.deepEqual(object, {
      apiVersion: 'example.com/v1',
      kind: 'Widget',
      metadata: { name: 'w', labels: { a: 'b' } },
      spec: {
        size: 'not a number, but validation says so',
        any: { free: { x: 1 }, known: {} },
        parts: [{ name: 'a' }],
        labels: { k: { v: '1' } },
        inner: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'i' }, spec: { a: 1 } },
      },
    });
  });

  it('default absent values, and null where null is not allowed', () => {
    const o: JsonObject = {
      spec: { color: null, maybe: null, parts: [{ name: 'a' }, { name: 'b', n: 0 }], labels: { k: {} } },
    };
    applyDefaults(o, type);
    assert.deepEqual(o, {
      spec: {
        color: 'red',
        maybe: null,
        parts: [
          { name: 'a', n: 5 },
          { name: 'b', n: 0 },
        ],
        labels: { k: { v: 'd' } },
      },
    });
    const empty: JsonObject = {};
    applyDefaults(empty, type);
    assert.deepEqual(empty, { spec: { size: 1, color: 'red', maybe: 'x' } });
    (empty['spec'] as JsonObject)['size'] = 2;
    const other: JsonObject = {};
    applyDefaults(other, type);
    assert.equal((other['spec'] as JsonObject)['size'], 1);
  });

  it('refuse metadata of the wrong type', () => {
    assert.throws(
      () => normalize({ metadata: { name: 5 } }, type),
      (e) => e instanceof DecodeError && e.path === 'metadata.name',
    );
    assert.throws(() => normalize('x', type), DecodeError);
  });

  it('tell list types and formats', () => {
    const spec = type.field('spec')!.node;
    assert.ok(spec.form === 'object');
    const parts = spec.type.field('parts')!.node;
    assert.ok(parts.form === 'list' && parts.listType === 'map');
    assert.deepEqual(parts.listMapKeys, ['name']);
    assert.equal(spec.type.field('port')!.node.form, 'intOrString');
    assert.equal(spec.type.field('labels')!.node.form, 'map');
    assert.equal(spec.type.field('size')!.required, true);
    assert.equal(type.field('metadata')!.node.form, 'object');
  });
});
