import assert from 'node:assert/strict';
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { extensionHooks } from '../../../apiserver/extensions/index.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { ask } from './http.ts';
import { startTestServer, type TestServer } from './harness.ts';

const NS = '/api/v1/namespaces/default';
const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const as = (form: string, of = 'application/json') => `${of};as=${form};v=v1;g=meta.k8s.io`;

/** What anybody may ask of any kind, answered as kube-apiserver v1.36.3 does; one case a class. */
describe('answers that hold for every kind', () => {
  let server: TestServer;
  const get = (path: string, accept = 'application/json') => ask(server, { path, headers: { accept } });
  const send = (method: string, path: string, body?: JsonValue, type = 'application/json') =>
    ask(server, { method, path, type, ...(body === undefined ? {} : { body }) });
  const meta = (o: unknown) => (o as { metadata: JsonObject }).metadata;

  before(async () => {
    server = await startTestServer({
      hooks: [...bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }), ...extensionHooks()],
    });
    await send('POST', `${NS}/serviceaccounts`, { metadata: { name: 'default' } });
  });
  after(() => server.stop());

  it('knows methods by path: documents may only be read, indices answer anything', async () => {
    const codes: [string, string, number][] = [
      ['HEAD', '/api/v1', 405],
      ['POST', '/version', 405],
      ['POST', '/apis/apps', 200],
      ['POST', '/apis/apps/v1', 405],
      ['DELETE', '/', 200],
      ['PUT', '/openapi/v3', 200],
      ['OPTIONS', '/apis/apps/v1/nosuch', 404],
      ['OPTIONS', '/apis/apps/v1/deployments', 405],
      ['POST', '/api/v1/watch/pods', 405],
      ['GET', '/api/v1/watch', 500],
    ];
    for (const [method, path, code] of codes) assert.equal((await send(method, path)).code, code, `${method} ${path}`);
  });

  it('takes no notice of parameters where only one form is served', async () => {
    assert.equal((await get('/version', 'application/json;as=Foo')).code, 200);
    const refused = await get('/version', 'application/xml');
    assert.deepEqual([refused.code, refused.json.details], [406, {}]);
    assert.equal((await get('/apis', 'application/xml')).json.details, undefined);
  });

  it('says only the code where an OpenAPI document is not in the form that is asked for', async () => {
    const spec = (version: string) => `application/com.github.proto-openapi.spec.${version}@v1.0+protobuf`;
    assert.equal((await get('/openapi/v2', spec('v2'))).code, 200);
    for (const [path, accept] of [
      ['/openapi/v2', spec('v3')],
      ['/openapi/v3/apis/apps/v1', spec('v2')],
      ['/openapi/v3/apis/apps/v1', 'text/plain'],
    ] as const) {
      const { code, body } = await get(path, accept);
      assert.deepEqual([code, body.length], [406, 0], `${path} ${accept}`);
    }
  });

  it('says what went wrong in JSON to who wants a form that errors have not', async () => {
    const answer = await get(`${NS}/configmaps/none`, as('PartialObjectMetadata', PROTOBUF));
    assert.deepEqual([answer.code, answer.json.reason], [404, 'NotFound']);
    const members = ['kind', 'apiVersion', 'metadata', 'status', 'message', 'reason', 'details', 'code'];
    assert.deepEqual(Object.keys(answer.json), members);
  });

  it('shows no list where partial metadata has no items', async () => {
    const { body } = await get(`${NS}/configmaps`, as('PartialObjectMetadataList'));
    assert.equal((JSON.parse(body.toString()) as JsonObject)['items'], null);
  });

  it('reads events past the cache, and by the fields of the version asked for', async () => {
    for (const name of ['a', 'b'])
      await send('POST', `${NS}/events`, { metadata: { name }, involvedObject: { namespace: 'default' } });
    const listed = await get(`${NS}/events?resourceVersion=0&limit=1`);
    assert.equal((JSON.parse(listed.body.toString()) as { items: unknown[] }).items.length, 1);
    assert.equal((await get(`${NS}/events/a?resourceVersion=x`)).code, 400);
    const newer = '/apis/events.k8s.io/v1/namespaces/default/events';
    assert.equal((await get(`${NS}/events?fieldSelector=regarding.name%3Dx`)).code, 400);
    assert.equal((await get(`${newer}?fieldSelector=regarding.name%3Dx`)).code, 200);
    assert.equal((await get(`${newer}?fieldSelector=source%3Dx`)).code, 400);
  });

  it('keeps the time of creation whatever is sent, and looks at the uid before the version', async () => {
    const webhooks = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
    const made = await send('POST', webhooks, { metadata: { name: 'w' } });
    const { creationTimestamp } = meta(made.json);
    const body = (metadata: JsonObject) => ({ metadata: { name: 'w', ...metadata } });
    assert.equal((await send('PUT', `${webhooks}/w`, body({ uid: 'other' }))).code, 409);
    assert.equal((await send('PUT', `${webhooks}/w`, body({}))).code, 422);
    const { resourceVersion } = meta(made.json);
    const put = await send(
      'PUT',
      `${webhooks}/w`,
      body({ resourceVersion: resourceVersion!, creationTimestamp: '2020-01-01T00:00:00Z' }),
    );
    assert.deepEqual([put.code, meta(put.json)['creationTimestamp']], [200, creationTimestamp]);
  });

  it('gives one node port to the protocols of a port, and refuses it to another port', async () => {
    const ports = (second: number) => [
      { name: 'a', port: 80, nodePort: 30_080 },
      { name: 'b', port: second, protocol: 'UDP', nodePort: 30_080 },
    ];
    const service = (name: string, second: number) => ({
      metadata: { name },
      spec: { type: 'NodePort', ports: ports(second) },
    });
    assert.equal((await send('POST', `${NS}/services`, service('other', 81))).code, 422);
    assert.equal((await send('POST', `${NS}/services`, service('same', 80))).code, 201);
    const twice = [
      { name: 'a', port: 80, nodePort: 30_080 },
      { name: 'b', port: 81, nodePort: 30_080 },
    ];
    const changed = await send(
      'PATCH',
      `${NS}/services/same`,
      { spec: { ports: twice } },
      'application/merge-patch+json',
    );
    assert.equal(changed.code, 500);
  });

  it('probes the parts of the control plane when it is asked for their state', async () => {
    const { body } = await get('/api/v1/componentstatuses', as('Table'));
    const rows = (JSON.parse(body.toString()) as { rows: { cells: string[] }[] }).rows;
    assert.deepEqual(
      rows.map((r) => r.cells[0]),
      ['controller-manager', 'etcd-0', 'scheduler'],
    );
    assert.equal(rows[1]!.cells[1], 'Healthy');
    assert.equal((await get('/api/v1/componentstatuses/none')).code, 404);
  });

  it('refuses reviews whose selectors can not be meant, and says which it could not use', async () => {
    const review = async (fieldSelector: JsonObject) =>
      send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
        metadata: { namespace: 'ignored' },
        spec: { resourceAttributes: { verb: 'list', resource: 'pods', fieldSelector } },
      });
    assert.equal((await review({ requirements: [{ key: 'a', operator: 'In' }] })).code, 422);
    const unclear = await review({ rawSelector: 'a in (b)' });
    assert.equal(unclear.code, 201);
    const { status } = JSON.parse(unclear.body.toString()) as { status: JsonObject };
    assert.match(status['evaluationError'] as string, /fieldSelector ignored/);
  });

  it('counts no generation for what belongs to a feature that is off, but for devices', async () => {
    const container = { name: 'c', image: 'i' };
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [container] } };
    const generation = async (path: string, body: JsonValue) => {
      const { json } = await send('PATCH', path, body, 'application/merge-patch+json');
      return (json as { metadata: JsonObject }).metadata['generation'];
    };
    const sets = '/apis/apps/v1/namespaces/default/daemonsets';
    await send('POST', sets, { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template } });
    const containers = [{ ...container, lifecycle: { stopSignal: 'SIGTERM' } }];
    assert.equal(await generation(`${sets}/d`, { spec: { template: { spec: { containers } } } }), 1);
    const slices = '/apis/resource.k8s.io/v1/resourceslices';
    const spec = {
      driver: 'd.example.com',
      nodeName: 'n',
      pool: { name: 'p', generation: 1, resourceSliceCount: 1 },
      devices: [{ name: 'gpu', attributes: { size: { int: 1 } } }],
    };
    assert.equal((await send('POST', slices, { metadata: { name: 's' }, spec })).code, 201);
    const devices = [{ name: 'gpu', attributes: { size: { int: 1, ints: [1] } } }];
    assert.equal(await generation(`${slices}/s`, { spec: { devices } }), 2);
  });
});
