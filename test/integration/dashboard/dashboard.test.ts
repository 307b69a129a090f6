import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { issue } from '../../../base/pki.ts';
import { startDashboard } from '../../../dashboard/server.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

interface Answer {
  code: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}
type Ask = { method?: string; headers?: Record<string, string>; body?: string };

const OWN = { 'x-k8ts-dashboard': '1' };

describe('dashboard', () => {
  let server: TestServer;
  let running: Awaited<ReturnType<typeof startDashboard>>;
  let dir: string;

  before(async () => {
    server = await startTestServer();
    dir = mkdtempSync(join(tmpdir(), 'dashboard-'));
    const identity = issue(server.authority, {
      subject: { commonName: 'dashboard' },
      altNames: { dns: ['localhost'], ip: ['127.0.0.1'] },
      extendedUsages: ['server auth'],
      notBefore: Date.now() - 1000,
      notAfter: Date.now() + 86_400_000,
    });
    const file = (name: string, text: string) => {
      writeFileSync(join(dir, name), text);
      return join(dir, name);
    };
    running = await startDashboard({
      apiServer: server.url,
      caFile: file('ca.crt', server.ca),
      certFile: file('tls.crt', identity.cert),
      keyFile: file('tls.key', identity.key),
      bindAddress: '127.0.0.1',
      port: 0,
      clock: systemClock,
      logger: silentLogger,
    });
  });
  after(async () => {
    await running.stop();
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  const ask = (path: string, o: Ask = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const r = https.request(
        { host: '127.0.0.1', port: running.port, path, method: o.method ?? 'GET', headers: o.headers, ca: server.ca },
        (res) => {
          let body = '';
          res.setEncoding('utf8').on('data', (c: string) => (body += c));
          res.on('end', () => resolve({ code: res.statusCode!, headers: res.headers, body }));
        },
      );
      r.on('error', reject).end(o.body);
    });

  async function token(name: string, role?: string): Promise<string> {
    const { client } = server;
    const accounts = '/api/v1/namespaces/default/serviceaccounts';
    await client.request({ method: 'POST', path: accounts, body: { metadata: { name } } });
    if (role)
      await client.request({
        method: 'POST',
        path: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
        body: {
          metadata: { name },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
          subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
        },
      });
    const made = await client.request<{ status: { token: string } }>({
      method: 'POST',
      path: `${accounts}/${name}/token`,
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
    });
    return made.status.token;
  }
  const signIn = async (t: string): Promise<Record<string, string>> => {
    const answer = await ask('/session', { method: 'POST', headers: OWN, body: t });
    assert.equal(answer.code, 200, answer.body);
    const [cookie] = answer.headers['set-cookie'] as string[];
    return { cookie: cookie!.split(';')[0]! };
  };

  it('serves a page whose scripts run in a browser as they are', async () => {
    const page = await ask('/');
    assert.equal(page.code, 200);
    assert.match(String(page.headers['content-security-policy']), /default-src 'self'/);
    const loaded = new Set<string>();
    const load = async (path: string): Promise<void> => {
      if (loaded.has(path)) return;
      loaded.add(path);
      const script = await ask(path);
      assert.equal(script.code, 200, path);
      assert.match(String(script.headers['content-type']), /^text\/javascript/);
      for (const [, from] of script.body.matchAll(/^(?:import|export)\s[^'"]*?from\s+'([^']+)'/gm))
        await load(new URL(from!, `https://x${path}`).pathname);
    };
    await load(/src="([^"]+)"/.exec(page.body)![1]!);
    assert.ok(loaded.size > 5);
    assert.equal((await ask('/assets/dashboard/server.ts')).code, 404);
    assert.equal((await ask('/assets/../package.json')).code, 404);
  });

  it('shows nothing of the cluster before somebody signs in', async () => {
    assert.equal((await ask('/api/v1/pods')).code, 401);
    assert.equal((await ask('/metrics')).code, 404);
    assert.equal((await ask('/session', { method: 'POST', headers: OWN, body: 'nonsense' })).code, 401);
    assert.equal((await ask('/session', { method: 'POST', headers: OWN, body: 'a b\r\nc' })).code, 400);
    assert.equal((await ask('/session', { method: 'POST', headers: OWN, body: 'x'.repeat(100_000) })).code, 400);
  });

  it('keeps the token where scripts and other sites cannot reach it', async () => {
    const answer = await ask('/session', { method: 'POST', headers: OWN, body: await token('careful') });
    assert.match(String(answer.headers['set-cookie']), /; Path=\/; Secure; HttpOnly; SameSite=Strict$/);
    assert.equal(JSON.parse(answer.body).username, 'system:serviceaccount:default:careful');
    const end = await ask('/session', { method: 'DELETE', headers: OWN });
    assert.match(String(end.headers['set-cookie']), /Max-Age=0/);
  });

  it('gives everybody what their own rights allow, and writes only from its own page', async () => {
    const nobody = await signIn(await token('nobody'));
    const owner = await signIn(await token('owner', 'cluster-admin'));
    assert.equal((await ask('/api/v1/pods', { headers: nobody })).code, 403);
    assert.equal((await ask('/api/v1/pods', { headers: owner })).code, 200);
    const create: Ask = {
      method: 'POST',
      headers: { ...owner, 'content-type': 'application/json' },
      body: JSON.stringify({ metadata: { name: 'made' } }),
    };
    assert.equal((await ask('/api/v1/namespaces/default/configmaps', create)).code, 403);
    create.headers = { ...create.headers, ...OWN };
    assert.equal((await ask('/api/v1/namespaces/default/configmaps', create)).code, 201);
  });

  it('follows changes', async () => {
    const owner = await signIn(await token('watcher', 'cluster-admin'));
    const seen = new Promise<string>((resolve, reject) => {
      const r = https.request(
        {
          host: '127.0.0.1',
          port: running.port,
          path: '/api/v1/namespaces/default/secrets?watch=true&fieldSelector=metadata.name%3Dnews',
          headers: owner,
          ca: server.ca,
        },
        (res) => {
          res.setEncoding('utf8').once('data', (line: string) => {
            resolve(line);
            r.destroy();
          });
        },
      );
      r.on('error', reject).end();
    });
    await server.client.request({
      method: 'POST',
      path: '/api/v1/namespaces/default/secrets',
      body: { metadata: { name: 'news' } },
    });
    assert.equal(JSON.parse((await seen).split('\n')[0]!).type, 'ADDED');
  });
});
