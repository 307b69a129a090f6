import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemIds } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { openEncryption, type Encryption } from '../../../apiserver/storage/encryption/encryption.ts';
import { createMemoryStore } from '../../../apiserver/storage/memory/store.ts';
import type { Store } from '../../../apiserver/storage/store.ts';
import { transformValues } from '../../../apiserver/storage/transform.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { ask } from '../apiserver/http.ts';
import { startPlugin, type Plugin } from './kms-plugin.ts';

const SECRETS = '/api/v1/namespaces/default/secrets';
const key = (name: string, fill: number) => `{name: ${name}, secret: ${Buffer.alloc(32, fill).toString('base64')}}`;
const rule = (resources: string, ...providers: string[]) =>
  `- resources: [${resources}]\n  providers:\n${providers.map((p) => `  - ${p}\n`).join('')}`;
const config = (...rules: string[]) =>
  `apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n${rules.join('')}`;

describe('encryption at rest', () => {
  let dir: string;
  let raw: Store;
  let encryption: Encryption | undefined;
  let server: TestServer | undefined;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'k8ts-encryption-'));
    raw = createMemoryStore({ clock: systemClock });
  });
  afterEach(async () => {
    await stop();
    await raw.close();
    rmSync(dir, { recursive: true });
  });
  const file = () => join(dir, 'config.yaml');
  const write = (text: string) => writeFileSync(file(), text);
  async function start(text: string): Promise<TestServer> {
    write(text);
    const options = { clock: systemClock, ids: systemIds, logger: silentLogger, file: file(), reload: true };
    const opened = (encryption = await openEncryption(options));
    return (server = await startTestServer({
      store: transformValues(raw, opened.transformer),
      checks: [{ name: 'kms-providers', check: () => opened.check() }],
    }));
  }
  async function stop(): Promise<void> {
    await server?.stop();
    encryption?.close();
    server = encryption = undefined;
  }
  const reload = async (text: string) => {
    write(text);
    await encryption!.refresh();
  };
  const make = (name: string, path = SECRETS) =>
    ask(server!, { path, body: { metadata: { name }, ...(path === SECRETS ? { stringData: { k: 'hidden' } } : {}) } });
  const stored = async (k: string) => (await raw.get(k))!.value.toString('latin1');

  for (const type of ['aescbc', 'aesgcm', 'secretbox'])
    it(`keeps secrets encrypted with ${type}`, async () => {
      const s = await start(config(rule('secrets', `${type}: {keys: [${key('one', 1)}]}`, 'identity: {}')));
      assert.equal((await make('a')).code, 201);
      const value = await stored('/secrets/default/a');
      assert.ok(value.startsWith(`k8s:enc:${type}:v1:one:`), value.slice(0, 40));
      assert.ok(!value.includes(Buffer.from('hidden').toString('base64')));
      await make('plain', '/api/v1/namespaces/default/configmaps');
      assert.ok((await stored('/configmaps/default/plain')).startsWith('{'));
      // Nobody's cache: a new server reads what the first one wrote.
      await stop();
      const again = await start(config(rule('secrets', `${type}: {keys: [${key('one', 1)}]}`)));
      const { json } = await ask(again, { path: `${SECRETS}/a` });
      assert.deepEqual(json.data, { k: Buffer.from('hidden').toString('base64') });
      assert.notEqual(s, again);
    });

  it('takes wildcards, and leaves alone what identity is named for', async () => {
    await start(
      config(
        rule('configmaps', 'identity: {}'),
        rule("'*.apps'", `aesgcm: {keys: [${key('apps', 2)}]}`),
        rule("'*.*'", `aesgcm: {keys: [${key('all', 3)}]}`),
      ),
    );
    await make('a');
    await make('m', '/api/v1/namespaces/default/configmaps');
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const d = { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template } };
    await ask(server!, { path: '/apis/apps/v1/namespaces/default/deployments', body: d });
    assert.match(await stored('/secrets/default/a'), /^k8s:enc:aesgcm:v1:all:/);
    assert.match(await stored('/apps/deployments/default/d'), /^k8s:enc:aesgcm:v1:apps:/);
    assert.match(await stored('/configmaps/default/m'), /^\{/);
  });

  it('rewrites with the new key by an update that changes nothing, once', async () => {
    await start(config(rule('secrets', 'identity: {}')));
    await make('a');
    const gcm = (...keys: string[]) => config(rule('secrets', `aesgcm: {keys: [${keys.join()}]}`, 'identity: {}'));
    const patchNothing = () =>
      ask(server!, { method: 'PATCH', path: `${SECRETS}/a`, type: 'application/merge-patch+json', body: {} });
    assert.match(await stored('/secrets/default/a'), /^\{/);
    for (const [keys, prefix] of [
      [[key('one', 1)], 'k8s:enc:aesgcm:v1:one:'],
      [[key('two', 2), key('one', 1)], 'k8s:enc:aesgcm:v1:two:'],
    ] as const) {
      await reload(gcm(...keys));
      const { json: before } = await ask(server!, { path: `${SECRETS}/a` });
      const { json: after } = await patchNothing();
      assert.ok((await stored('/secrets/default/a')).startsWith(prefix));
      assert.notEqual(after.metadata.resourceVersion, before.metadata.resourceVersion);
      const { json: again } = await patchNothing();
      assert.equal(again.metadata.resourceVersion, after.metadata.resourceVersion);
      assert.deepEqual(again.data, before.data);
    }
  });

  it('fails reads that no key fits, and no others, until the key is there', async () => {
    const one = `aesgcm: {keys: [${key('one', 1)}]}`;
    const two = `aesgcm: {keys: [${key('two', 2)}]}`;
    await start(config(rule('secrets', one)));
    await make('a');
    await stop();
    await start(config(rule('secrets', two)));
    const get = await ask(server!, { path: `${SECRETS}/a` });
    assert.equal(get.code, 500);
    assert.match(
      get.json.message as string,
      /unable to transform key "\/secrets\/default\/a": no matching prefix found/,
    );
    assert.equal((await ask(server!, { path: SECRETS })).code, 500);
    assert.equal((await make('a')).code, 409);
    assert.equal((await make('b')).code, 201);
    assert.equal((await ask(server!, { path: `${SECRETS}/b` })).code, 200);
    assert.equal((await ask(server!, { path: '/api/v1/namespaces/default/configmaps' })).code, 200);
    await reload(config(rule('secrets', two, one)));
    const list = await ask(server!, { path: SECRETS });
    assert.deepEqual(
      list.json.items.map((i) => (i.metadata as { name: string }).name),
      ['a', 'b'],
    );
  });

  it('does not take a value that was moved to another key', async () => {
    await start(config(rule('secrets', `aesgcm: {keys: [${key('one', 1)}]}`)));
    await make('a');
    const { value } = (await raw.get('/secrets/default/a'))!;
    await raw.create('/secrets/default/stolen', value);
    assert.equal((await ask(server!, { path: `${SECRETS}/stolen` })).code, 500);
    assert.equal((await ask(server!, { path: `${SECRETS}/a` })).code, 200);
  });

  it('keeps the old configuration when the new one is wrong', async () => {
    await start(config(rule('secrets', `aesgcm: {keys: [${key('one', 1)}]}`)));
    await reload('kind: Nonsense');
    assert.equal((await make('a')).code, 201);
    assert.match(await stored('/secrets/default/a'), /^k8s:enc:aesgcm:v1:one:/);
  });

  describe('with a KMS plugin', () => {
    let plugin: Plugin;
    const kms = () => config(rule('secrets', `kms: {apiVersion: v2, name: plug, endpoint: '${plugin.endpoint}'}`));
    beforeEach(async () => (plugin = await startPlugin(join(dir, 'kms.sock'))));
    afterEach(() => plugin.stop());

    it('asks it once for many values, and once again after a restart', async () => {
      await start(kms());
      for (const n of ['a', 'b', 'c']) assert.equal((await make(n)).code, 201);
      assert.match(await stored('/secrets/default/a'), /^k8s:enc:kms:v2:plug:/);
      assert.equal(plugin.calls['Encrypt'], 1);
      await stop();
      await start(kms());
      assert.equal((await ask(server!, { path: SECRETS })).json.items.length, 3);
      assert.equal(plugin.calls['Decrypt'], 1);
    });

    it('follows its key', async () => {
      await start(kms());
      await make('a');
      const before = await stored('/secrets/default/a');
      const put = async () => {
        const { json } = await ask(server!, { path: `${SECRETS}/a` });
        return (await ask(server!, { method: 'PUT', path: `${SECRETS}/a`, body: json })).code;
      };
      assert.equal(await put(), 200);
      assert.equal(await stored('/secrets/default/a'), before);
      plugin.keyId = 'key-2';
      await encryption!.refresh();
      assert.equal(await put(), 200);
      const after = await stored('/secrets/default/a');
      assert.ok(before.includes('key-1') && after.includes('key-2') && !after.includes('key-1'));
    });

    it('says so when the plugin is not well', async () => {
      await start(kms());
      assert.equal((await ask(server!, { path: '/readyz' })).code, 200);
      plugin.healthz = 'the safe is locked';
      await encryption!.refresh();
      assert.equal((await ask(server!, { path: '/readyz' })).code, 500);
      // The seed is at hand: reads and writes go on for a while.
      assert.equal((await make('a')).code, 201);
    });

    it('does not start without it', async () => {
      plugin.stop();
      await assert.rejects(start(kms()), /UNAVAILABLE/);
    });
  });
});
