/** Starts etcd for tests: plain or with TLS. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EtcdOptions } from '../../../apiserver/storage/etcd/connection.ts';
import { createEtcdStore } from '../../../apiserver/storage/etcd/store.ts';
import { systemClock } from '../../../base/clock.ts';
import { createAuthority, issue } from '../../../base/pki.ts';
import { freePort } from '../../support/ports.ts';

export interface Etcd {
  readonly options: EtcdOptions;
  /** Stops the process at once and waits until it is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same data and ports. */
  start(): Promise<void>;
  /** Stops it and removes its data. */
  close(): Promise<void>;
}

/** Whether a program can be run. */
export function available(binary: string): boolean {
  return spawnSync(binary, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** etcd programs by name: Debian's in any case; all that are there with K8TS_FULL=1. */
export function etcdBinaries(): { name: string; binary: string }[] {
  const peer = join(process.env['PEER'] ?? join(homedir(), '.cache/k8ts-peer'), 'bin/etcd');
  const list = [{ name: 'etcd', binary: 'etcd' }];
  if (process.env['K8TS_FULL'] === '1' && existsSync(peer)) list.push({ name: 'etcd (newer)', binary: peer });
  return list;
}

async function makeCertificates(dir: string): Promise<void> {
  const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 86_400_000 };
  const ca = createAuthority({ commonName: 'test-etcd-ca', ...times });
  await writeFile(join(dir, 'ca.crt'), ca.cert);
  for (const name of ['server', 'client']) {
    const identity = issue(ca, {
      subject: { commonName: name },
      altNames: { ip: ['127.0.0.1'], dns: ['localhost'] },
      extendedUsages: ['server auth', 'client auth'],
      ...times,
    });
    await writeFile(join(dir, `${name}.crt`), identity.cert);
    await writeFile(join(dir, `${name}.key`), identity.key, { mode: 0o600 });
  }
}

/** Starts an etcd of its own; rejects when it doesn't answer. */
export async function startEtcd(options: { binary?: string; tls?: boolean } = {}): Promise<Etcd> {
  const binary = options.binary ?? 'etcd';
  if (!available(binary)) throw new Error(`these tests need ${binary} (Debian: apt-get install etcd-server)`);
  const dir = await mkdtemp(join(tmpdir(), 'k8ts-etcd-'));
  const port = await freePort();
  const peerPort = await freePort();
  const scheme = options.tls ? 'https' : 'http';
  const url = `${scheme}://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const args = ['--data-dir', join(dir, 'data'), '--log-level', 'error'];
  args.push('--listen-client-urls', url, '--advertise-client-urls', url);
  args.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`);
  const client: EtcdOptions = { servers: [url] };
  if (options.tls) {
    await makeCertificates(dir);
    const file = (name: string) => join(dir, name);
    args.push('--cert-file', file('server.crt'), '--key-file', file('server.key'));
    args.push('--trusted-ca-file', file('ca.crt'), '--client-cert-auth');
    Object.assign(client, { cafile: file('ca.crt'), certfile: file('client.crt'), keyfile: file('client.key') });
  }
  let stop: (() => Promise<void>) | undefined;
  const etcd: Etcd = {
    options: client,
    async kill() {
      await stop?.();
      stop = undefined;
    },
    async start() {
      const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      let log = '';
      child.stderr.on('data', (d: Buffer) => (log = (log + d.toString()).slice(-4000)));
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      stop = async () => {
        child.kill('SIGKILL');
        await gone;
      };
      const store = createEtcdStore({ ...client, clock: systemClock });
      try {
        const deadline = Date.now() + 60_000;
        for (;;) {
          const error = await store.ping().then(
            () => undefined,
            (e: Error) => e,
          );
          if (!error) return;
          if (child.exitCode !== null || Date.now() > deadline) throw new Error(`etcd doesn't start: ${error}\n${log}`);
          await systemClock.sleep(50);
        }
      } finally {
        await store.close();
      }
    },
    async close() {
      await etcd.kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
  await etcd.start();
  return etcd;
}
