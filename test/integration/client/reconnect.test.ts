import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { MetricsRegistry } from '../../../base/metrics.ts';
import { createAuthority, issue, type Identity } from '../../../base/pki.ts';
import { createClient, type Client } from '../../../client/client.ts';
import { followKubeconfig, loadKubeconfig } from '../../../client/kubeconfig.ts';
import { createRequestMetrics } from '../../../client/metrics.ts';
import { nodes } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

describe('a client of a kubeconfig', function () {
  let server: TestServer;
  let dir: string;
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
    server = await startTestServer();
  });
  after(async () => {
    await server.stop();
    rmSync(dir, { recursive: true });
  });
  const put = (name: string, text: string) => {
    writeFileSync(join(dir, `${name}.new`), text);
    renameSync(join(dir, `${name}.new`), join(dir, name));
  };
  const config = (user: object) =>
    put(
      'config',
      stringify({
        clusters: [{ name: 'c', cluster: { server: server.url, 'certificate-authority': 'ca.crt' } }],
        users: [{ name: 'u', user }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
  const pair = (identity: Identity) => {
    put('user.key', identity.key);
    put('user.crt', identity.cert);
  };
  const files = { 'client-certificate': 'user.crt', 'client-key': 'user.key' };

  async function who(client: Client): Promise<string> {
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const body = { kind: 'SelfSubjectReview', apiVersion: 'authentication.k8s.io/v1' };
    type Review = { status: { userInfo: { username: string } } };
    return (await client.request<Review>({ method: 'POST', path, body })).status.userInfo.username;
  }
  async function until(client: Client, name: string): Promise<void> {
    let now = '';
    for (let i = 0; i < 600; i++) {
      // those who may not ask are named in the refusal
      now = await who(client).catch((e: Error) => /User "([^"]+)"/.exec(e.message)?.[1] ?? e.message);
      if (now === name) return;
      await systemClock.sleep(50);
    }
    assert.fail(`still ${now}`);
  }

  it('counts its requests by code, through a change of its connection', async () => {
    const registry = new MetricsRegistry();
    const { userAgent, ...connection } = server.client.options;
    const client = createClient({ ...connection, userAgent, metrics: createRequestMetrics(registry, systemClock) });
    await client.list(nodes);
    client.reconnect(connection);
    await client.list(nodes);
    await assert.rejects(client.get(nodes, 'nobody'));
    await assert.rejects(client.list(nodes, { signal: AbortSignal.abort() }));
    client.close();
    const { host } = new URL(server.url);
    const lines = registry.text().split('\n');
    for (const [code, n] of [
      ['200', 2],
      ['404', 1],
      ['<error>', 1],
    ])
      assert.ok(
        lines.includes(`rest_client_requests_total{code="${code}",host="${host}",method="GET"} ${n}`),
        lines.join('\n'),
      );
    assert.ok(lines.includes(`rest_client_request_duration_seconds_count{host="${host}",verb="GET"} 4`));
  });

  it('takes up rotated certificates, a changed file and a new authority without a restart', async () => {
    put('ca.crt', server.ca);
    pair(server.identity('first'));
    config(files);
    const file = join(dir, 'config');
    const client = createClient({ ...loadKubeconfig(file), userAgent: 'test' });
    let refused = (): void => {};
    const followed = followKubeconfig(file, {
      clock: systemClock,
      logger: { ...silentLogger, error: () => refused() },
      changed: (c) => client.reconnect(c),
    });
    try {
      assert.equal(await who(client), 'first');
      pair(server.identity('second'));
      await until(client, 'second');
      // what is of no use changes nothing
      const refusal = new Promise<void>((resolve) => (refused = resolve));
      put('user.crt', server.identity('other').cert);
      await refusal;
      assert.equal(await who(client), 'second');
      pair(server.identity('third'));
      await until(client, 'third');
      // the kubeconfig itself: another user, who shows nothing
      config({});
      await until(client, 'system:anonymous');
      config(files);
      await until(client, 'third');

      // another authority signs the server: both are trusted for a while, then the new one only
      const validity = { notBefore: Date.now() - 3600_000, notAfter: Date.now() + 3600_000 };
      const next = createAuthority({ commonName: 'next', ...validity });
      const serving = issue(next, {
        subject: { commonName: 'kube-apiserver' },
        altNames: { ip: ['127.0.0.1'] },
        extendedUsages: ['server auth'],
        ...validity,
      });
      put('ca.crt', server.ca + next.cert);
      server.running.setTls({ ...serving, clientCa: [server.ca] });
      await until(client, 'third');
      put('ca.crt', next.cert);
      client.reconnect(loadKubeconfig(file));
      assert.equal(await who(client), 'third');
    } finally {
      followed.close();
      client.close();
    }
  });
});
