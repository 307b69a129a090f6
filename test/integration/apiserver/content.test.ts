import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { namespaces } from '../../../client/resources.ts';
import { decodeProtobuf } from '../../../api/codec/protobuf.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask, ask2, session } from './http.ts';

const MAPS = '/api/v1/namespaces/con/configmaps';

describe('forms of requests and answers', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.client.create(namespaces, { metadata: { name: 'con' } });
    for (let i = 0; i < 200; i++)
      await ask(server, {
        path: MAPS,
        body: { metadata: { name: `m${i}`, labels: { i: String(i % 3) } }, data: { text: 'x'.repeat(1000) } },
      });
  });
  after(() => server.stop());

  it('reads YAML and writes YAML', async () => {
    const made = await ask(server, {
      path: MAPS,
      body: 'metadata:\n  name: yam\ndata:\n  a: "1"\n',
      type: 'application/yaml',
      headers: { accept: 'application/yaml' },
    });
    assert.equal(made.code, 201);
    assert.equal(made.headers['content-type'], 'application/yaml');
    assert.match(made.body.toString(), /^apiVersion: v1\ndata:\n {2}a: "1"\nkind: ConfigMap\n/);
  });

  it('has no table of what is not stored', async () => {
    const review = (accept: string) =>
      ask(server, {
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: { spec: { nonResourceAttributes: { path: '/', verb: 'get' } } },
        headers: { accept },
      });
    const table = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    assert.equal((await review(table)).code, 406);
    assert.equal((await review(`${table},application/json`)).code, 201);
  });

  it('writes protobuf', async () => {
    const got = await ask(server, { path: `${MAPS}/m1`, headers: { accept: 'application/vnd.kubernetes.protobuf' } });
    assert.equal(got.headers['content-type'], 'application/vnd.kubernetes.protobuf');
    const object = decodeProtobuf(got.body) as { kind?: string; metadata?: { name?: string } };
    assert.deepEqual([object.kind, object.metadata?.name], ['ConfigMap', 'm1']);
  });

  it('gzips long lists only for who takes it, and the bytes are the same', async () => {
    const plain = await ask(server, { path: MAPS });
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(Number(plain.headers['content-length']), plain.body.length);
    const packed = await ask(server, { path: MAPS, headers: { 'accept-encoding': 'gzip' } });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.ok(packed.body.length < plain.body.length / 5);
    assert.deepEqual(gunzipSync(packed.body), plain.body);
    assert.equal(plain.json.items.length >= 200, true);
    assert.equal('kind' in plain.json.items[0]!, false);
  });

  it('makes Tables and partial metadata', async () => {
    const table = await ask(server, {
      path: `${MAPS}?limit=2`,
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
    });
    const t = table.json as unknown as {
      kind: string;
      rows: { cells: unknown[]; object: { kind: string } }[];
      columnDefinitions: { name: string }[];
    };
    assert.equal(t.kind, 'Table');
    assert.deepEqual(
      t.columnDefinitions.map((c) => c.name),
      ['Name', 'Data', 'Age'],
    );
    assert.equal(t.rows[0]!.cells.length, 3);
    assert.equal(t.rows[0]!.object.kind, 'PartialObjectMetadata');
    const partial = await ask(server, {
      path: `${MAPS}?limit=2`,
      headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
    });
    assert.equal(partial.json.kind, 'PartialObjectMetadataList');
    assert.deepEqual(Object.keys(partial.json.items[0]!).sort(), ['apiVersion', 'kind', 'metadata']);
  });

  it('refuses what it can not read or write', async () => {
    const codes = async (o: Parameters<typeof ask>[1]) => (await ask(server, o)).code;
    assert.equal(await codes({ path: MAPS, headers: { accept: 'text/html' } }), 406);
    assert.equal(await codes({ path: MAPS, body: 'x', type: 'text/plain' }), 415);
    assert.equal(await codes({ path: `${MAPS}/m1`, method: 'PATCH', body: '{}', type: 'application/json' }), 415);
    assert.equal(await codes({ path: MAPS, body: '{"metadata":' }), 400);
    assert.equal(await codes({ path: MAPS, body: '[]' }), 400);
    assert.equal(await codes({ path: MAPS, body: { kind: 'Pod', apiVersion: 'v1' } }), 400);
    assert.equal(await codes({ path: MAPS, body: { metadata: { name: 'n' }, data: { a: 1 } } }), 400);
    assert.equal(await codes({ path: MAPS, body: Buffer.alloc(3 * 1024 * 1024 + 1, 0x20) }), 413);
    assert.equal(await codes({ path: '/api/v1/namespaces/con/nothings' }), 404);
    assert.equal(await codes({ path: MAPS, method: 'PUT', body: {} }), 405);
  });

  it('validates unknown fields as asked', async () => {
    const body = { metadata: { name: 'u' }, dat: { a: 'b' } };
    const warned = await ask(server, { path: `${MAPS}?dryRun=All`, body });
    assert.equal(warned.code, 201);
    assert.match(String(warned.headers['warning']), /^299 - "unknown field \\"dat\\""/);
    const strict = await ask(server, { path: `${MAPS}?dryRun=All&fieldValidation=Strict`, body });
    assert.equal(strict.code, 400);
    const ignored = await ask(server, { path: `${MAPS}?dryRun=All&fieldValidation=Ignore`, body });
    assert.deepEqual([ignored.code, ignored.headers['warning']], [201, undefined]);
  });

  it('answers over HTTP/2 as over HTTP/1.1', async () => {
    const s = session(server);
    try {
      const [one, two] = await Promise.all([ask(server, { path: MAPS }), ask2(s, MAPS)]);
      assert.equal(two.code, 200);
      assert.deepEqual(two.json.items, one.json.items);
      assert.equal((await ask2(s, `${MAPS}/missing`)).json.reason, 'NotFound');
      const many = await Promise.all(Array.from({ length: 40 }, () => ask2(s, MAPS)));
      assert.ok(many.every((m) => m.body.length === two.body.length));
    } finally {
      s.close();
    }
  });

  it('serves discovery in both forms, with an ETag', async () => {
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
    const all = await ask(server, { path: '/apis', headers: { accept } });
    assert.equal(all.json.kind, 'APIGroupDiscoveryList');
    const again = await ask(server, { path: '/apis', headers: { accept, 'if-none-match': String(all.headers.etag) } });
    assert.deepEqual([again.code, again.body.length], [304, 0]);
    const form = accept.slice('application/json'.length).split(',')[0]!;
    const inForm = (type: string) => ask(server, { path: '/apis', headers: { accept: type + form } });
    const protobuf = await inForm('application/vnd.kubernetes.protobuf');
    assert.equal(protobuf.headers['content-type'], `application/vnd.kubernetes.protobuf${form}`);
    assert.equal(protobuf.headers.etag, all.headers.etag);
    assert.match(
      protobuf.body.toString('latin1'),
      /^k8s\0.*apidiscovery\.k8s\.io\/v2.*APIGroupDiscoveryList.*deployments/s,
    );
    assert.match((await inForm('application/yaml')).body.toString(), /^apiVersion: apidiscovery\.k8s\.io\/v2\nitems:/);
    const old = await ask(server, { path: '/apis/apps/v1' });
    assert.equal(old.json.kind, 'APIResourceList');
    assert.equal((await ask(server, { path: '/version' })).json.gitVersion, 'v1.36.3');
    assert.equal((await ask(server, { path: '/openapi/v3/apis/apps/v1' })).json.openapi, '3.0.0');
  });

  it('tells what it is and with which flags it runs, in text and in a form for programs', async () => {
    const page = (path: string, accept: string) => ask(server, { path, headers: { accept } });
    const form = (v: string, as: string) => `application/json;g=config.k8s.io;v=${v};as=${as}`;
    assert.match((await page('/statusz', '*/*')).body.toString(), /^\napiserver statusz\n/);
    const status = await page('/statusz', `text/html,${form('v1beta1', 'Statusz')}`);
    assert.equal(status.headers['content-type'], 'application/json;g=config.k8s.io;v=v1beta1;as=Statusz');
    const { kind, binaryVersion, paths } = status.json;
    assert.deepEqual([kind, binaryVersion], ['Statusz', '1.36.3']);
    assert.ok((paths as string[]).includes('/flagz'));
    const flags = await page('/flagz', form('v1alpha1', 'Flagz'));
    assert.deepEqual([flags.json.kind, flags.json.flags], ['Flagz', {}]);
    assert.match(String(flags.headers['warning']), /deprecated/);
    assert.equal((await page('/flagz', form('v1beta1', 'Statusz'))).code, 406);
    assert.equal((await ask(server, { path: '/statusz', identity: server.identity('ann') })).code, 403);
  });

  it('tells how it is', async () => {
    const ready = await ask(server, { path: '/readyz?verbose' });
    assert.match(ready.body.toString(), /\[\+\]etcd ok[\s\S]*readyz check passed/);
    assert.equal((await ask(server, { path: '/livez/ping' })).body.toString(), 'ok');
    const metrics = (await ask(server, { path: '/metrics' })).body.toString();
    assert.match(
      metrics,
      /apiserver_request_total\{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="CREATE",version="v1"\} \d+/,
    );
  });
});
