/**
 * Bodies that nobody would send on purpose, for every kind: each gets a proper answer, none breaks the server.
 * The seeds are fixed, so every run sends the same.
 */
import assert from 'node:assert/strict';
import type { ClientHttp2Session } from 'node:http2';
import { encodeJson } from '../../../api/codec/json.ts';
import { encodeProtobuf, hasProtobuf } from '../../../api/codec/protobuf.ts';
import { encodeYaml } from '../../../api/codec/yaml.ts';
import type { JsonObject, KubeObject } from '../../../api/types.ts';
import { normalize } from '../../../api/schema/normalize.ts';
import type { Rand } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { ServedResource } from '../../../apiserver/registry/catalog.ts';
import { namespaces, serviceAccounts } from '../../../client/resources.ts';
import { int, json, pick, random, seeded } from '../../unit/api/gen.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask2, session, type Answer } from './http.ts';

/** Bodies of each kind and sort; many more in the long run. */
const ROUNDS = process.env['K8TS_FULL'] === '1' ? 40 : 4;
const NAMESPACE = 'fuzz';
const collectionOf = (r: ServedResource) =>
  `${r.group === '' ? '/api' : `/apis/${r.group}`}/${r.version}${r.namespaced ? `/namespaces/${NAMESPACE}` : ''}/${r.resource}`;

describe('fuzzed bodies', function () {
  this.timeout(ROUNDS > 4 ? 30 * 60_000 : 180_000);
  const failures: string[] = [];
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error(message, fields) {
      failures.push(`${message} ${JSON.stringify(fields, (_k, v: unknown) => (v instanceof Error ? v.stack : v))}`);
    },
    with: () => logger,
  };
  let server: TestServer;
  let http2: ClientHttp2Session;
  let creatable: ServedResource[];
  before(async () => {
    server = await startTestServer({ logger });
    http2 = session(server);
    await server.client.create(namespaces, { metadata: { name: NAMESPACE } });
    // Pods are refused for want of it otherwise.
    await server.client.create(serviceAccounts, { metadata: { name: 'default', namespace: NAMESPACE } });
    creatable = server.app.catalog.all().filter((r) => r.verbs.includes('create') && r.type);
    assert.ok(creatable.length > 60);
  });
  after(async () => {
    http2?.destroy();
    await server.stop();
  });

  /** Sends it; the answer is an object or a Status whose code is the client's fault. */
  async function send(method: string, path: string, type: string, body: Buffer | string): Promise<Answer> {
    const answer = await ask2(http2, path, { ':method': method, 'content-type': type }, body);
    const said = () =>
      `${method} ${path} ${type} ${String(body).slice(0, 2000)} -> ${answer.code} ${answer.body.toString().slice(0, 500)}`;
    assert.deepEqual(failures, [], said());
    if (answer.code >= 300) {
      assert.equal(answer.json.kind, 'Status', said());
      // Upstream's few refusals with 500 (a binding that isn't valid) name no reason.
      assert.ok(answer.code < 500 || answer.json.reason === undefined, said());
    }
    return answer;
  }

  const objectOf = (r: Rand, resource: ServedResource, depth: number): KubeObject =>
    named(r, resource, spice(r, random(r, resource.type!, depth)));
  const named = (r: Rand, resource: ServedResource, value: JsonObject): KubeObject => {
    const object = value as KubeObject & JsonObject;
    object.kind = resource.kind;
    object.apiVersion = resource.apiVersion;
    if (r.next() < 0.9)
      object.metadata = { ...object.metadata, name: 'fuzzed', namespace: resource.namespaced ? NAMESPACE : undefined };
    if (object.metadata && r.next() < 0.9) delete object.metadata.resourceVersion;
    return object;
  };

  it('answers random objects of every kind', async () => {
    const r = seeded(21);
    for (const resource of creatable)
      for (let i = 0; i < ROUNDS; i++) {
        const object = objectOf(r, resource, int(r, 2, 6));
        await send('POST', `${collectionOf(resource)}?dryRun=All`, 'application/json', encodeJson(object));
      }
  });

  it('answers fields of the wrong type, in JSON and in YAML', async () => {
    const r = seeded(22);
    for (const resource of creatable)
      for (let i = 0; i < ROUNDS; i++) {
        const object = disturb(r, objectOf(r, resource, int(r, 2, 4)) as JsonObject, 1 + (i % 3));
        const strict = pick(r, ['', '&fieldValidation=Strict', '&fieldValidation=Ignore']);
        const yaml = i % 2 === 1;
        await send(
          'POST',
          `${collectionOf(resource)}?dryRun=All${strict}`,
          yaml ? 'application/yaml' : 'application/json',
          yaml ? encodeYaml(object) : encodeJson(object),
        );
      }
  });

  it('answers damaged text and damaged protobuf', async () => {
    const r = seeded(23);
    for (const resource of creatable)
      for (let i = 0; i < ROUNDS; i++) {
        const binary = i % 3 === 0 && hasProtobuf(resource);
        let object = binary ? named(r, resource, random(r, resource.type!, 4)) : objectOf(r, resource, int(r, 2, 4));
        if (binary) object = normalize(object as JsonObject, resource.type!).object as KubeObject;
        const body = binary
          ? encodeProtobuf(object)
          : Buffer.from(i % 3 === 1 ? encodeYaml(object) : encodeJson(object));
        for (let n = int(r, 1, 3); n > 0; n--) body[int(r, binary ? 4 : 0, body.length - 1)] = int(r, 0, 255);
        const end = r.next() < 0.2 ? int(r, 0, body.length) : body.length;
        await send(
          'POST',
          `${collectionOf(resource)}?dryRun=All`,
          binary ? 'application/vnd.kubernetes.protobuf' : i % 3 === 1 ? 'application/yaml' : 'application/json',
          body.subarray(0, end),
        );
      }
  });

  it('answers random changes of valid objects, by every way of changing them', async () => {
    const r = seeded(24);
    for (const [key, base] of Object.entries(BASES)) {
      const resource = creatable.find((c) => `${c.apiVersion}/${c.resource}` === key)!;
      const made = await ask2(
        http2,
        collectionOf(resource),
        { ':method': 'POST', 'content-type': 'application/json' },
        JSON.stringify({ ...base, metadata: { name: 'fuzzed' } }),
      );
      assert.ok(made.code === 201, `${key}: ${made.body.toString()}`);
      for (let i = 0; i < 4 * ROUNDS; i++) {
        const [type, body] = change(r, resource, made.json, i);
        const sub =
          r.next() < 0.3 && resource.subresources.get('status')?.definition.type === 'update' ? '/status' : '';
        const path = `${collectionOf(resource)}/fuzzed${sub}?dryRun=All&fieldManager=f${i % 3}`;
        await send(type === 'application/json' ? 'PUT' : 'PATCH', path, type, body);
      }
    }
  });

  it('answers bodies that are no objects', async () => {
    const types = ['json', 'merge-patch+json', 'strategic-merge-patch+json', 'json-patch+json', 'apply-patch+yaml'];
    const bodies = [
      '',
      'null',
      '[]',
      '"x"',
      '5',
      'true',
      '{}',
      '[null]',
      '{"metadata":null}',
      '{"metadata":5}',
      '{"kind":null}',
    ];
    for (const [i, type] of types.entries())
      for (const body of bodies) {
        const path = '/api/v1/namespaces/default?dryRun=All&fieldManager=f';
        await send(i === 0 ? 'PUT' : 'PATCH', path, `application/${type}`, body);
        if (i === 0) await send('POST', '/api/v1/namespaces?dryRun=All', `application/${type}`, body);
        if (i === 0) await send('DELETE', '/api/v1/namespaces/none', `application/${type}`, body);
      }
  });

  /** One change of `object`: a whole new one, or a patch of some kind. */
  function change(r: Rand, resource: ServedResource, object: JsonObject, i: number): [type: string, body: string] {
    const news = spice(r, random(r, resource.type!, int(r, 2, 6)));
    news.kind = resource.kind;
    news.apiVersion = resource.apiVersion;
    if (r.next() < 0.8) delete news.metadata;
    switch (i % 4) {
      case 0:
        return ['application/json', encodeJson({ ...object, ...news, metadata: object.metadata } as JsonObject)];
      case 1:
        return ['application/merge-patch+json', encodeJson(news)];
      case 2:
        return ['application/strategic-merge-patch+json', encodeJson(disturb(r, news, i % 3))];
      default:
        if (r.next() < 0.5) return ['application/apply-patch+yaml', encodeJson(disturb(r, news, i % 2))];
        return ['application/json-patch+json', encodeJson(operations(r, object, news))];
    }
  }
});

/** Puts words that mean something to some kind in place of half of the strings. */
function spice<T>(r: Rand, value: T): T {
  if (typeof value === 'string') return (r.next() < 0.5 ? pick(r, WORDS) : value) as T;
  if (Array.isArray(value)) return value.map((v: unknown) => spice(r, v)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, spice(r, v)])) as T;
}
const WORDS = (
  '* a/b a=b / // .. ../x /x x/y:tag 10.0.0.0/8 10.1.2.3 ::1 fd00::/64 example.com *.example.com http://x:1/y https://[ ' +
  '80 0 -1 1e999 100% 101% -5% 5% 1Gi 0.5m @daily * * * * * TZ=x 2020-01-01T00:00:00Z TCP UDP Always Never None ClusterIP ' +
  'ExternalName Local IPv4 IPv6 SingleStack RequireDualStack ReadWriteOnce Block Filesystem In Exists Gt Lt Equal ' +
  'system:masters system:node:x kubernetes.io/hostname kubernetes.io/basic-auth node.kubernetes.io/not-ready cpu memory ' +
  'object.x object.metadata.name.matches("(a+)+$") self [ ( {.a} {"a":1} $(A) -----BEGIN \u0000 {} []'
).split(' ');

/** Replaces `n` values somewhere within by something else. */
function disturb(r: Rand, value: JsonObject, n: number): JsonObject {
  const copy = structuredClone(value);
  for (; n > 0; n--) {
    let at: Record<string, unknown> = copy;
    for (;;) {
      const keys = Object.keys(at).filter((k) => k !== 'kind' && k !== 'apiVersion');
      if (keys.length === 0) break;
      const key = pick(r, keys);
      const inner = at[key];
      if (typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0 && r.next() < 0.8) {
        at = inner as Record<string, unknown>;
        continue;
      }
      at[key] = r.next() < 0.2 ? structuredClone(pick(r, DIRECTIVES)) : json(r, 2);
      break;
    }
  }
  return copy;
}

const DIRECTIVES: JsonObject[] = [
  { $patch: 'delete' },
  { $patch: 'replace' },
  { $patch: 'merge' },
  { $retainKeys: ['a', 1] },
  { '$setElementOrder/containers': [{ name: 'x' }, null] },
  { '$deleteFromPrimitiveList/finalizers': ['x', {}] },
];

/** A JSON patch whose paths are taken from the object and from what is new. */
function operations(r: Rand, object: JsonObject, news: JsonObject): JsonObject[] {
  const path = (from: unknown): string => {
    if (typeof from !== 'object' || from === null || r.next() < 0.1) return '';
    const keys = Object.keys(from);
    const key = keys.length === 0 || r.next() < 0.1 ? pick(r, ['-', '~1', '~', '0', '', '__proto__']) : pick(r, keys);
    return `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}${path((from as Record<string, unknown>)[key])}`;
  };
  return Array.from({ length: int(r, 0, 4) }, () => ({
    op: pick(r, ['add', 'remove', 'replace', 'move', 'copy', 'test', 'nothing']),
    path: path(pick(r, [object, news])),
    from: path(object),
    value: json(r, 3),
  }));
}

const TEMPLATE = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
/** A valid object of kinds with much to compare on an update. */
const BASES: Record<string, JsonObject> = {
  'v1/pods': { spec: TEMPLATE.spec },
  'v1/services': { spec: { ports: [{ port: 80 }], selector: { a: 'b' } } },
  'v1/configmaps': { data: { a: 'b' } },
  'v1/secrets': { data: { a: 'Yg==' } },
  'v1/nodes': {},
  'v1/namespaces': {},
  'v1/serviceaccounts': {},
  'v1/endpoints': { subsets: [{ addresses: [{ ip: '10.1.2.3' }], ports: [{ port: 80 }] }] },
  'v1/resourcequotas': { spec: { hard: { 'requests.storage': '1Ti' } } },
  'v1/limitranges': { spec: { limits: [{ type: 'PersistentVolumeClaim', max: { storage: '1Gi' } }] } },
  'v1/persistentvolumes': {
    spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } },
  },
  'v1/persistentvolumeclaims': {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  },
  'v1/replicationcontrollers': { spec: { selector: { a: 'b' }, template: TEMPLATE } },
  'apps/v1/deployments': { spec: { selector: { matchLabels: { a: 'b' } }, template: TEMPLATE } },
  'apps/v1/replicasets': { spec: { selector: { matchLabels: { a: 'b' } }, template: TEMPLATE } },
  'apps/v1/daemonsets': { spec: { selector: { matchLabels: { a: 'b' } }, template: TEMPLATE } },
  'apps/v1/statefulsets': { spec: { selector: { matchLabels: { a: 'b' } }, serviceName: 's', template: TEMPLATE } },
  'batch/v1/jobs': { spec: { template: { spec: { ...TEMPLATE.spec, restartPolicy: 'Never' } } } },
  'batch/v1/cronjobs': {
    spec: {
      schedule: '* * * * *',
      jobTemplate: { spec: { template: { spec: { ...TEMPLATE.spec, restartPolicy: 'Never' } } } },
    },
  },
  'policy/v1/poddisruptionbudgets': { spec: { minAvailable: 1, selector: { matchLabels: { a: 'b' } } } },
  'autoscaling/v2/horizontalpodautoscalers': {
    spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' } },
  },
  'networking.k8s.io/v1/networkpolicies': { spec: { podSelector: {} } },
  'networking.k8s.io/v1/ingresses': {
    spec: { defaultBackend: { service: { name: 's', port: { number: 80 } } } },
  },
  'discovery.k8s.io/v1/endpointslices': {
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.1.2.3'] }],
    ports: [{ port: 80 }],
  },
  'rbac.authorization.k8s.io/v1/roles': { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
  'rbac.authorization.k8s.io/v1/rolebindings': {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
    subjects: [{ kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' }],
  },
  'storage.k8s.io/v1/storageclasses': { provisioner: 'example.com/p' },
  'scheduling.k8s.io/v1/priorityclasses': { value: 5 },
  'coordination.k8s.io/v1/leases': { spec: { holderIdentity: 'me' } },
  'admissionregistration.k8s.io/v1/validatingadmissionpolicies': {
    spec: {
      matchConstraints: {
        resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['x'] }],
      },
      validations: [{ expression: 'object.metadata.name != "never"' }],
    },
  },
  'flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations': {
    spec: { type: 'Limited', limited: { limitResponse: { type: 'Reject' } } },
  },
};
