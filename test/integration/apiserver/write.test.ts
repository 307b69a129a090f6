import assert from 'node:assert/strict';
import { namespaces } from '../../../client/resources.ts';
import type { JsonObject } from '../../../api/types.ts';
import { startTestServer, type TestServer } from './harness.ts';
import { ask } from './http.ts';

const MAPS = '/api/v1/namespaces/wr/configmaps';
const DEPLOYMENTS = '/apis/apps/v1/namespaces/wr/deployments';
const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };

describe('writes', () => {
  let server: TestServer;
  const make = (name: string, more: JsonObject = {}, meta: JsonObject = {}) =>
    ask(server, { path: MAPS, body: { metadata: { name, ...meta }, ...more } });
  const patch = (path: string, type: string, body: unknown) =>
    ask(server, { method: 'PATCH', path, body, type: `application/${type}` });
  before(async () => {
    server = await startTestServer();
    await server.client.create(namespaces, { metadata: { name: 'wr' } });
  });
  after(() => server.stop());

  it('makes names and refuses to make one twice', async () => {
    const one = await ask(server, { path: MAPS, body: { metadata: { generateName: 'gen-' } } });
    assert.match(one.json.metadata.name!, /^gen-[a-z0-9]{5}$/);
    await make('twice');
    const again = await make('twice');
    assert.deepEqual([again.code, again.json.reason], [409, 'AlreadyExists']);
  });

  it('takes every kind of patch', async () => {
    await make('p', { data: { a: '1', b: '2' } });
    const merged = await patch(`${MAPS}/p`, 'merge-patch+json', { data: { a: null, c: '3' } });
    assert.deepEqual(merged.json.data, { b: '2', c: '3' });
    const json = await patch(`${MAPS}/p`, 'json-patch+json', [{ op: 'replace', path: '/data/b', value: 'x' }]);
    assert.deepEqual(json.json.data, { b: 'x', c: '3' });
    await ask(server, {
      path: DEPLOYMENTS,
      body: { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template } },
    });
    const strategic = await patch(`${DEPLOYMENTS}/d`, 'strategic-merge-patch+json', {
      spec: { template: { spec: { containers: [{ name: 'side', image: 's' }] } } },
    });
    const spec = strategic.json.spec as unknown as { template: { spec: { containers: { name: string }[] } } };
    assert.deepEqual(spec.template.spec.containers.map((c) => c.name).sort(), ['c', 'side']);
    const applied = await patch(`${MAPS}/q?fieldManager=me`, 'apply-patch+yaml', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'q' },
      data: { k: 'v' },
    });
    assert.equal(applied.code, 201);
    const conflict = await patch(`${MAPS}/q?fieldManager=you`, 'apply-patch+yaml', {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'q' },
      data: { k: 'w' },
    });
    assert.deepEqual([conflict.code, conflict.json.reason], [409, 'Conflict']);
    assert.equal((await patch(`${MAPS}/q`, 'apply-patch+yaml', {})).code, 422);
  });

  it('outlives conflicts when no version is named', async () => {
    await make('many', { data: {} });
    const codes = await Promise.all(
      Array.from(
        { length: 5 },
        async (_, i) => (await patch(`${MAPS}/many`, 'merge-patch+json', { data: { [`k${i}`]: 'v' } })).code,
      ),
    );
    assert.deepEqual(codes, [200, 200, 200, 200, 200]);
    const got = await ask(server, { path: `${MAPS}/many` });
    assert.equal(Object.keys(got.json.data as JsonObject).length, 5);
    const stale = await patch(`${MAPS}/many`, 'merge-patch+json', { metadata: { resourceVersion: '1' } });
    assert.equal(stale.code, 409);
  });

  it('writes nothing when nothing changes', async () => {
    const made = await make('same', { data: { a: 'b' } });
    const put = await ask(server, {
      method: 'PUT',
      path: `${MAPS}/same`,
      body: { metadata: { name: 'same' }, data: { a: 'b' } },
    });
    assert.equal(put.json.metadata.resourceVersion, made.json.metadata.resourceVersion);
    const patched = await patch(`${MAPS}/same`, 'merge-patch+json', { data: { a: 'b' } });
    assert.equal(patched.json.metadata.resourceVersion, made.json.metadata.resourceVersion);
  });

  it('leaves no trace of a dry run', async () => {
    assert.equal((await ask(server, { path: `${MAPS}?dryRun=All`, body: { metadata: { name: 'dry' } } })).code, 201);
    assert.equal((await ask(server, { path: `${MAPS}/dry` })).code, 404);
    await make('dry2', { data: { a: '1' } });
    const changed = await patch(`${MAPS}/dry2?dryRun=All`, 'merge-patch+json', { data: { a: '2' } });
    assert.deepEqual(changed.json.data, { a: '2' });
    await ask(server, { method: 'DELETE', path: `${MAPS}/dry2?dryRun=All` });
    assert.deepEqual((await ask(server, { path: `${MAPS}/dry2` })).json.data, { a: '1' });
  });

  it('refuses what a dry run, a name or a form can not be, and writes nothing then', async () => {
    await make('kept', { data: { a: 'b' } });
    const path = `${MAPS}/kept`;
    for (const [method, type] of [
      ['DELETE', ''],
      ['PATCH', 'application/merge-patch+json'],
    ] as const) {
      const answer = await ask(server, { method, path: `${path}?dryRun=`, ...(type ? { type, body: {} } : {}) });
      assert.deepEqual([answer.code, answer.json.reason], [422, 'Invalid'], method);
    }
    const nameless = await patch(path, 'merge-patch+json', { metadata: { name: null } });
    assert.deepEqual([nameless.code, nameless.json.reason], [400, 'BadRequest']);
    const deep = await patch(`${DEPLOYMENTS}/none?fieldManager=m`, 'apply-patch+yaml', {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'none' },
      spec: { selector: {}, template: { spec: { containers: [{ name: 'c', command: [7] }] } } },
    });
    assert.equal(deep.code, 500, String(deep.body));
    assert.match(deep.body.toString('utf8'), /spec\.template\.spec\.containers.*command.*expected string/);
    const one = await ask(server, {
      path,
      headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
    });
    assert.deepEqual([one.code, one.json.reason], [406, 'NotAcceptable']);
    assert.equal((await ask(server, { path })).code, 200);
  });

  it('keeps what is always shown as null when it is empty', async () => {
    const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/wr/roles';
    const role = { metadata: { name: 'empty' }, rules: [] };
    assert.equal((await ask(server, { path, body: role })).json.rules, null);
    assert.equal((await ask(server, { path: `${path}/empty` })).json.rules, null);
  });

  it('waits for finalizers', async () => {
    await make('fin', {}, { finalizers: ['x.io/f'] });
    const deleted = await ask(server, { method: 'DELETE', path: `${MAPS}/fin` });
    assert.equal(deleted.json.kind, 'ConfigMap');
    assert.ok(deleted.json.metadata.deletionTimestamp);
    const more = await patch(`${MAPS}/fin`, 'merge-patch+json', { metadata: { finalizers: ['x.io/f', 'x.io/g'] } });
    assert.equal(more.code, 422);
    await patch(`${MAPS}/fin`, 'merge-patch+json', { metadata: { finalizers: null } });
    assert.equal((await ask(server, { path: `${MAPS}/fin` })).code, 404);
  });

  it('propagates deletion as asked and heeds preconditions', async () => {
    const made = await make('own');
    const wrong = await ask(server, { method: 'DELETE', path: `${MAPS}/own`, body: { preconditions: { uid: 'x' } } });
    assert.equal(wrong.code, 409);
    const orphan = await ask(server, { method: 'DELETE', path: `${MAPS}/own?propagationPolicy=Orphan` });
    assert.deepEqual(orphan.json.metadata.finalizers, ['orphan']);
    await patch(`${MAPS}/own`, 'merge-patch+json', { metadata: { finalizers: [] } });
    const plain = await make('own');
    assert.notEqual(plain.json.metadata.uid, made.json.metadata.uid);
    const gone = await ask(server, { method: 'DELETE', path: `${MAPS}/own` });
    assert.deepEqual(
      [gone.json.kind, gone.json.status, gone.json.details.uid],
      ['Status', 'Success', plain.json.metadata.uid],
    );
    assert.equal((await ask(server, { method: 'DELETE', path: `${MAPS}/own?propagationPolicy=Nope` })).code, 422);
  });

  it('deletes collections by selector', async () => {
    for (const n of ['c1', 'c2', 'c3']) await make(n, {}, { labels: { set: n === 'c3' ? 'no' : 'yes' } });
    const gone = await ask(server, { method: 'DELETE', path: `${MAPS}?labelSelector=set%3Dyes` });
    assert.deepEqual(
      gone.json.items.map((i) => (i.metadata as JsonObject).name),
      ['c1', 'c2'],
    );
    assert.equal((await ask(server, { path: `${MAPS}/c3` })).code, 200);
  });

  it('scales', async () => {
    await ask(server, {
      path: DEPLOYMENTS,
      body: { metadata: { name: 's' }, spec: { replicas: 2, selector: { matchLabels: { a: 'b' } }, template } },
    });
    const scale = await ask(server, { path: `${DEPLOYMENTS}/s/scale` });
    assert.deepEqual([scale.json.kind, scale.json.spec], ['Scale', { replicas: 2 }]);
    const put = await ask(server, {
      method: 'PUT',
      path: `${DEPLOYMENTS}/s/scale`,
      body: { metadata: { name: 's' }, spec: { replicas: 5 } },
    });
    assert.equal(put.code, 200);
    const parent = await ask(server, { path: `${DEPLOYMENTS}/s` });
    assert.equal((parent.json.spec as JsonObject).replicas, 5);
    assert.equal(parent.json.metadata.generation, 2);
  });

  it('keeps spec and status apart', async () => {
    await ask(server, {
      path: DEPLOYMENTS,
      body: {
        metadata: { name: 'st' },
        spec: { selector: { matchLabels: { a: 'b' } }, template },
        status: { replicas: 9 },
      },
    });
    const status = await patch(`${DEPLOYMENTS}/st/status`, 'merge-patch+json', {
      spec: { replicas: 7 },
      status: { replicas: 3 },
    });
    assert.equal((status.json.status as JsonObject).replicas, 3);
    assert.equal((status.json.spec as JsonObject).replicas, 1);
  });

  it('lets only those in that authorization allows', async () => {
    const jo = server.identity('jo', 'devs');
    const denied = await ask(server, { path: MAPS, identity: jo });
    assert.deepEqual([denied.code, denied.json.reason], [403, 'Forbidden']);
    const nobody = await ask(server, { path: MAPS, identity: null });
    assert.equal(nobody.code, 403);
    const bad = await ask(server, { path: MAPS, identity: null, headers: { authorization: 'Bearer nope' } });
    assert.equal(bad.code, 401);
    assert.equal((await ask(server, { path: '/readyz', identity: null })).code, 200);
  });
});
