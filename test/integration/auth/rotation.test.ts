/** The API server's own files, replaced while it runs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { start, type RunningServer } from '../../../apiserver/start.ts';
import { Flags, parseFlags } from '../../../apiserver/flags.ts';
import { optionsFromFlags } from '../../../apiserver/options.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createAuthority, issue, type Identity } from '../../../base/pki.ts';
import { createClient } from '../../../client/client.ts';
import { configMaps, nodes } from '../../../client/resources.ts';
import { until } from '../../support/wait.ts';

const validity = { notBefore: Date.now() - 3600_000, notAfter: Date.now() + 3600_000 };
const authority = (commonName: string) => createAuthority({ commonName, ...validity });
const user = (ca: Identity, commonName: string) =>
  issue(ca, {
    subject: { commonName, organizations: ['system:masters'] },
    extendedUsages: ['client auth'],
    ...validity,
  });
const serving = (ca: Identity) =>
  issue(ca, {
    subject: { commonName: 'kube-apiserver' },
    altNames: { ip: ['127.0.0.1'] },
    extendedUsages: ['server auth'],
    ...validity,
  });

describe("the API server's files", function () {
  const dir = mkdtempSync(join(tmpdir(), 'rotation-'));
  const put = (name: string, text: string) => {
    writeFileSync(join(dir, `${name}.new`), text);
    renameSync(join(dir, `${name}.new`), join(dir, name));
  };
  const pair = (name: string, identity: Identity) => {
    put(`${name}.key`, identity.key);
    put(`${name}.crt`, identity.cert);
  };
  const [old, next] = [authority('old'), authority('next')];
  let server: RunningServer;
  let close: () => Promise<void>;
  before(async () => {
    put('ca.crt', old.cert);
    pair('server', serving(old));
    pair('kubelet', user(old, 'first'));
    const flags: Record<string, string> = {
      'tls-cert-file': join(dir, 'server.crt'),
      'tls-private-key-file': join(dir, 'server.key'),
      'client-ca-file': join(dir, 'ca.crt'),
      'kubelet-client-certificate': join(dir, 'kubelet.crt'),
      'kubelet-client-key': join(dir, 'kubelet.key'),
      'service-account-issuer': 'https://issuer',
      'service-account-signing-key-file': join(dir, 'server.key'),
      'service-account-key-file': join(dir, 'server.key'),
      'authorization-mode': 'Node,RBAC',
      'storage-backend': 'memory',
      'bind-address': '127.0.0.1',
      'secure-port': '0',
    };
    const given = new Flags(parseFlags(Object.entries(flags).map(([k, v]) => `--${k}=${v}`)));
    const deps = { clock: systemClock, logger: silentLogger, readFile: (path: string) => readFileSync(path) };
    const set = await optionsFromFlags(given, deps);
    close = set.close;
    server = await start({ ...set.options, securePort: 0 });
    set.follow(server);
  });
  after(async () => {
    await server.stop();
    await close();
    rmSync(dir, { recursive: true });
  });
  /** A client that trusts `ca` alone, with a certificate of `by`. */
  const client = (ca: Identity, by: Identity) =>
    createClient({
      server: `https://127.0.0.1:${server.port}`,
      ca: ca.cert,
      ...user(by, 'somebody'),
      userAgent: 'test',
    });
  const nodeNames = async (ca: Identity, by: Identity): Promise<string[]> => {
    const c = client(ca, by);
    try {
      return (await c.list(nodes)).items.map((n) => n.metadata!.name!);
    } finally {
      c.close();
    }
  };
  const works = (ca: Identity, by: Identity) => nodeNames(ca, by).then(() => true);

  it('lets clients of a new authority in, beside the old one and alone, and publishes it', async () => {
    assert.ok(await works(old, old));
    await assert.rejects(works(old, next), { code: 401 });
    put('ca.crt', old.cert + next.cert);
    await until(() => works(old, next));
    assert.ok(await works(old, old));
    put('ca.crt', next.cert);
    await until(async () => !(await works(old, old).catch(() => false)));
    assert.ok(await works(old, next));
    const c = client(old, next);
    await until(async () => {
      const published = await c.get(configMaps, 'extension-apiserver-authentication', 'kube-system');
      return published.data?.['client-ca-file'] === next.cert;
    });
    c.close();
  });

  it('gives the server its new certificate, and keeps the authorities of its clients', async () => {
    pair('server', serving(next));
    await until(() => works(next, next));
    await assert.rejects(works(old, next));
    await assert.rejects(works(next, old), { code: 401 });
  });

  it('shows kubelets the new client certificate', async () => {
    const shown = new Set<string>();
    const options = { ...serving(old), ca: old.cert, requestCert: true, rejectUnauthorized: false };
    const kubelet = https.createServer(options, (req, res) => {
      shown.add((req.socket as TLSSocket).getPeerCertificate().subject?.CN as string);
      res.end('ok');
    });
    kubelet.listen(0, '127.0.0.1');
    await once(kubelet, 'listening');
    const c = client(next, next);
    try {
      await c.create(nodes, { metadata: { name: 'n' } });
      const { port } = kubelet.address() as AddressInfo;
      await c.patch(
        nodes,
        'n',
        'merge',
        {
          status: {
            addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
            daemonEndpoints: { kubeletEndpoint: { Port: port } },
          },
        },
        { subresource: 'status' },
      );
      const ask = () => c.request({ path: '/api/v1/nodes/n/proxy/configz' });
      await ask();
      assert.deepEqual([...shown], ['first']);
      pair('kubelet', user(old, 'second'));
      await until(async () => {
        await ask();
        return shown.has('second');
      });
    } finally {
      c.close();
      kubelet.closeAllConnections();
      kubelet.close();
    }
  });
});
