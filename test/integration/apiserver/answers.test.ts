import assert from 'node:assert/strict';
import { Agent } from 'node:https';
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { extensionHooks } from '../../../apiserver/extensions/index.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { registerProxyHandlers } from '../../../apiserver/proxying/handlers.ts';
import { until } from '../../support/wait.ts';
import { ask, type Answer } from './http.ts';
import { startTestServer, type TestServer } from './harness.ts';

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const PATCH = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
  json: 'application/json-patch+json',
};
const MAPS = '/api/v1/namespaces/default/configmaps';
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** What differed from kube-apiserver v1.36.3 once, one case a class. */
describe('answers as kube-apiserver gives them', () => {
  let server: TestServer;
  const post = (path: string, body: JsonValue) => ask(server, { path, body });
  const patch = (form: keyof typeof PATCH, path: string, body: JsonValue) =>
    ask(server, { method: 'PATCH', path, body, type: PATCH[form] });
  const causes = (a: Answer) =>
    ((a.json.details?.['causes'] ?? []) as { reason: string; field: string }[]).map((c) => `${c.reason} ${c.field}`);

  before(async () => {
    server = await startTestServer({
      hooks: [...bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }), ...extensionHooks()],
      handlers: (parts) =>
        registerProxyHandlers(parts.special, {
          reader: parts.reader,
          rand: parts.rand,
          clock: parts.clock,
          kubelet: { preferredAddressTypes: ['InternalIP'], agent: new Agent() },
        }),
    });
    await post('/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  });
  after(() => server.stop());

  /** Makes a kind and waits until it is served; gives its collection. */
  async function serve(kind: string, spec: JsonObject): Promise<string> {
    const plural = `${kind.toLowerCase()}s`;
    const group = `${plural}.example.com`;
    const made = await post(DEFINITIONS, {
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        scope: 'Namespaced',
        names: { plural, kind },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
          },
        ],
      },
    });
    assert.equal(made.code, 201, made.body.toString());
    const path = `/apis/${group}/v1/namespaces/default/${plural}`;
    await until(async () => (await ask(server, { path })).code === 200);
    return path;
  }

  it('lets pass what breaks a newer rule and has not changed, and warns of it', async () => {
    const path = await serve('Ratchet', {
      type: 'object',
      properties: {
        n: { type: 'integer' },
        l: {
          type: 'array',
          items: { type: 'object', properties: { k: { type: 'string' } }, required: ['k'] },
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['k'],
        },
      },
    });
    const object = {
      apiVersion: 'ratchets.example.com/v1',
      kind: 'Ratchet',
      metadata: { name: 'a' },
      spec: { n: 50, l: [{ k: 'a' }, { k: 'b' }] },
    };
    assert.equal((await post(path, object)).code, 201);
    const at = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties';
    const stricter = await patch('json', `${DEFINITIONS}/ratchets.ratchets.example.com`, [
      { op: 'add', path: `${at}/n/x-kubernetes-validations`, value: [{ rule: 'self < 30', message: 'too many' }] },
      { op: 'add', path: `${at}/l/maxItems`, value: 1 },
    ]);
    assert.equal(stricter.code, 200, stricter.body.toString());
    const fresh = { ...object, metadata: { name: 'b' } };
    await until(async () => (await post(`${path}?dryRun=All`, fresh)).code === 422);
    // The items of a list with keys may change places.
    const kept = await patch('merge', `${path}/a`, { spec: { l: [{ k: 'b' }, { k: 'a' }] } });
    assert.equal(kept.code, 200, kept.body.toString());
    assert.equal(kept.headers['warning'], '299 - "spec.n: Invalid value: 50: too many"');
    const changed = await patch('merge', `${path}/a`, { spec: { n: 40 } });
    assert.deepEqual(causes(changed), ['FieldValueInvalid spec.n']);
  });

  it('judges nulls that are applied to a custom resource, and fields of structs that are atomic', async () => {
    const path = await serve('Whole', {
      type: 'object',
      properties: {
        n: { type: 'integer' },
        w: { type: 'object', properties: { a: { type: 'string' } }, 'x-kubernetes-map-type': 'atomic' },
        p: { 'x-kubernetes-int-or-string': true },
      },
    });
    const apply = (spec: JsonObject) =>
      patch('apply', `${path}/a?fieldManager=m`, {
        apiVersion: 'wholes.example.com/v1',
        kind: 'Whole',
        metadata: { name: 'a' },
        spec,
      });
    assert.deepEqual(causes(await apply({ n: null })), ['FieldValueTypeInvalid spec.n']);
    assert.deepEqual(causes(await apply({ p: [] })), ['FieldValueTypeInvalid spec.p']);
    assert.equal((await apply({ w: { b: '1' } })).code, 500);
    assert.equal((await apply({ w: { a: '1' } })).code, 201);
    const scaled = await patch('strategic', `${path}/a`, { spec: {} });
    assert.equal(scaled.code, 415);
  });

  it('looks at the members of JSON patches as closely as at fields', async () => {
    await post(MAPS, { metadata: { name: 'closely' } });
    const path = `${MAPS}/closely?dryRun=All&fieldValidation`;
    const operations = [{ op: 'add', path: '/data', value: { a: '1' }, foo: 1 }];
    const strict = await patch('json', `${path}=Strict`, operations);
    assert.deepEqual([strict.code, causes(strict)], [422, ['FieldValueInvalid patch']]);
    assert.match(strict.body.toString(), /strict decoding error: json patch unknown field \\"\[0\]\.foo\\"/);
    const warned = await patch('json', `${path}=Warn`, [...operations, { op: 'add', path: '/nothing', value: 1 }]);
    assert.equal(warned.code, 200);
    assert.equal(
      warned.headers['warning'],
      '299 - "json patch unknown field \\"[0].foo\\"", 299 - "unknown field \\"nothing\\""',
    );
    assert.equal((await patch('json', `${path}=Ignore`, operations)).headers['warning'], undefined);
  });

  it('answers paths that belong to nobody with a page, not with a Status', async () => {
    for (const path of ['/nope', '/apis/nope.example.com', '/apis/nope.example.com/v1/things']) {
      const a = await ask(server, { path });
      assert.equal(a.code, 404);
      assert.equal(a.body.toString(), '404 page not found\n', path);
    }
    assert.equal((await ask(server, { path: '/apis/apps/v9' })).json['kind'], 'Status');
    const things = { group: 'nope.example.com', version: 'v1', resource: 'things', kind: 'Thing', namespaced: false };
    await assert.rejects(server.client.list(things), { code: 404, reason: 'NotFound' });
  });

  it('cuts integers of strategic and applied patches to 32 bits', async () => {
    const path = '/apis/apps/v1/namespaces/default/deployments';
    const labels = { a: 'b' };
    const made = await post(path, {
      metadata: { name: 'd' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
      },
    });
    assert.equal(made.code, 201);
    const over = { spec: { replicas: 2 ** 31 } };
    assert.deepEqual(causes(await patch('strategic', `${path}/d`, over)), ['FieldValueInvalid spec.replicas']);
    assert.deepEqual(causes(await patch('merge', `${path}/d`, over)), ['FieldValueInvalid patch']);
    const replaced = await patch('strategic', `${path}/d`, { $patch: 'replace', metadata: { name: 'd' } });
    assert.ok(causes(replaced).includes('FieldValueRequired spec.selector'), replaced.body.toString());
  });

  it('forgets the owners of fields when a request empties the list', async () => {
    const path = '/api/v1/namespaces/default/configmaps';
    const made = await post(path, { metadata: { name: 'owners' }, data: { a: 'b' } });
    assert.equal(((made.json.metadata as unknown as JsonObject)['managedFields'] as JsonValue[]).length, 1);
    const emptied = await patch('merge', `${path}/owners`, { metadata: { managedFields: [] }, data: { a: 'c' } });
    assert.equal((emptied.json.metadata as unknown as JsonObject)['managedFields'], undefined);
  });

  it('checks the options of a log before it looks for the pod', async () => {
    const path = '/api/v1/namespaces/default/pods/none/log';
    assert.deepEqual(causes(await ask(server, { path: `${path}?tailLines=-1` })), ['FieldValueInvalid tailLines']);
    assert.deepEqual(causes(await ask(server, { path: `${path}?stream=All` })), ['FieldValueForbidden stream']);
    assert.equal((await ask(server, { path })).code, 404);
  });

  it('leaves owners out that are named twice', async () => {
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' };
    const a = await post('/api/v1/namespaces/default/configmaps', {
      metadata: { name: 'owned', ownerReferences: [owner, owner] },
    });
    assert.equal(a.code, 201);
    assert.match(String(a.headers['warning']), /duplicate UID\(s\) observed: u/);
    assert.deepEqual((a.json.metadata as unknown as JsonObject)['ownerReferences'], [owner]);
  });

  it('types the variables of a policy and demands a type that is known', async () => {
    const make = (spec: JsonObject) =>
      post('/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies?dryRun=All', {
        metadata: { name: 'p' },
        spec: {
          matchConstraints: {
            resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
          },
          ...spec,
        },
      });
    const at = 'FieldValueInvalid spec.validations[0].expression';
    const variables = [{ name: 'x', expression: '"text"' }];
    assert.deepEqual(causes(await make({ variables, validations: [{ expression: 'variables.x == 1' }] })), [at]);
    assert.deepEqual(causes(await make({ validations: [{ expression: 'object.data.a' }] })), [at]);
    assert.deepEqual(causes(await make({ validations: [{ expression: 'namespaceObject.spec.x == 1' }] })), [at]);
    assert.equal((await make({ variables, validations: [{ expression: 'variables.x == "text"' }] })).code, 201);
  });

  it('keeps the system priority classes, and shows no rows where a kind has no printer of its own', async () => {
    const path = '/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical';
    assert.equal((await ask(server, { method: 'DELETE', path })).code, 403);
    const rows = async (resource: string) =>
      (await ask(server, { path: `/api/v1/namespaces/none/${resource}`, headers: { accept: TABLE } })).json['rows'];
    assert.equal(await rows('limitranges'), null);
    assert.deepEqual(await rows('configmaps'), []);
  });

  it('looks for the object before it reads a patch', async () => {
    for (const form of ['merge', 'json', 'strategic'] as const) {
      const at = (name: string) =>
        ask(server, { method: 'PATCH', path: `${MAPS}/${name}`, body: '{"a":', type: PATCH[form] });
      assert.equal((await at('none')).code, 404, form);
      await post(MAPS, { metadata: { name: 'there' } });
      assert.equal((await at('there')).code, 400, form);
    }
  });

  it('warns of old kinds on watches too, but not with what it can not write or read', async () => {
    const path = '/api/v1/namespaces/default/endpoints';
    const watched = await ask(server, { path: `${path}?watch=1&timeoutSeconds=1` });
    assert.match(String(watched.headers['warning']), /deprecated/);
    const xml = await ask(server, { path, headers: { accept: 'application/xml' } });
    assert.deepEqual([xml.code, xml.headers['warning']], [406, undefined]);
  });

  it('writes into bookmarks what a kind always writes', async () => {
    const query = 'watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan';
    const path = `/apis/batch/v1/namespaces/default/jobs?${query}&allowWatchBookmarks=true`;
    const first = (await ask(server, { path })).body.toString().split('\n')[0]!;
    const { type, object } = JSON.parse(first) as { type: string; object: JsonObject };
    const spec = { template: { metadata: {}, spec: { containers: null } } };
    assert.deepEqual([type, object['spec'], object['status']], ['BOOKMARK', spec, {}]);
  });

  it('leaves dependents of events and definitions alone, and names resources in conflicts of namespaces', async () => {
    const events = '/api/v1/namespaces/default/events';
    await post(events, { metadata: { name: 'e' }, involvedObject: { namespace: 'default' } });
    const gone = await ask(server, { method: 'DELETE', path: `${events}/e?propagationPolicy=Orphan` });
    assert.equal(gone.json.status, 'Success');
    const other = await post('/api/v1/namespaces/kube-system/events', {});
    assert.deepEqual(causes(other), ['FieldValueInvalid involvedObject.namespace']);
    const kinds = async (path: string) => {
      const body = { preconditions: { uid: 'x' } };
      const { code, json } = await ask(server, { method: 'DELETE', path, body });
      return [code, json.details?.['kind']];
    };
    assert.deepEqual(await kinds('/api/v1/namespaces/default'), [409, 'namespaces']);
    await post(MAPS, { metadata: { name: 'kept' } });
    assert.deepEqual(await kinds(`${MAPS}/kept`), [409, 'ConfigMap']);
  });

  it('selects requests for certificates by no namespace', async () => {
    const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests?fieldSelector=metadata.namespace%3Dx';
    assert.equal((await ask(server, { path })).code, 400);
  });

  it('fails on versions that are none, creates by PUT whatever version was expected', async () => {
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    const put = (path: string, kind: string, apiVersion: string, name: string, resourceVersion: string) =>
      ask(server, {
        method: 'PUT',
        path: `${path}/${name}`,
        body: { kind, apiVersion, metadata: { name, resourceVersion } },
      });
    assert.equal((await put(leases, 'Lease', 'coordination.k8s.io/v1', 'new', '5')).code, 201);
    assert.equal((await put(leases, 'Lease', 'coordination.k8s.io/v1', 'new', '5')).code, 409);
    assert.equal((await put(leases, 'Lease', 'coordination.k8s.io/v1', 'other', 'x')).code, 500);
    assert.equal((await put(MAPS, 'ConfigMap', 'v1', 'absent', 'x')).code, 404);
    const made = await post(MAPS, { metadata: { name: 'odd', resourceVersion: 'x' } });
    assert.equal(made.code, 201);
    assert.match((made.json.metadata as unknown as JsonObject)['resourceVersion'] as string, /^\d+$/);
    assert.equal((await put(MAPS, 'ConfigMap', 'v1', 'odd', 'x')).code, 500);
  });

  it('merges nothing into what is kept as bytes', async () => {
    const path = '/apis/apps/v1/namespaces/default/controllerrevisions';
    await post(path, { metadata: { name: 'r' }, revision: 1, data: { spec: { a: 1 } } });
    const data = { spec: { a: 1 } };
    assert.equal((await patch('strategic', `${path}/r`, { data })).code, 500);
    assert.equal((await patch('merge', `${path}/r`, { data })).code, 200);
    assert.equal((await patch('strategic', `${path}/r`, { $setElementOrder: 1 })).code, 500);
  });
});
