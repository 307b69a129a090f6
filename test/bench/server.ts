/** An empty API server of ours as a process of its own, with a PKI of its own, for measurements from outside. */
import { spawn } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createAuthority, issue, type Identity } from '../../base/pki.ts';
import { program } from '../../deploy/paths.ts';
import { usage } from './measure.ts';
import { createClient, type Client } from '../../client/client.ts';

export interface BenchServer {
  readonly url: string;
  /** As a member of system:masters. */
  readonly client: Client;
  /** Writes a kubeconfig for a user and answers its file. */
  kubeconfig(user: string, ...groups: string[]): string;
  readonly pid: number;
  /** From the start of the program to its first answer that it is ready, in ms. */
  readonly readyMs: number;
  /** The CPU time of that, in ms. */
  readonly readyCpuMs: number;
  stop(): Promise<void>;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const s = createServer().listen(0, '127.0.0.1', () => {
      const { port } = s.address() as { port: number };
      s.close(() => resolve(port));
    });
  });
}

/** Starts it (or another program that takes the same flags) with its files in `dir`; resolves when it is ready. */
export async function startBenchServer(
  dir: string,
  flags: readonly string[] = ['--storage-backend=memory'],
  run: { command: string; args: readonly string[]; env?: Record<string, string> } = program('apiserver/main.ts'),
): Promise<BenchServer> {
  const validity = { notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 86_400_000 };
  const authority = createAuthority({ commonName: 'bench-ca', ...validity });
  const serving = issue(authority, {
    subject: { commonName: 'kube-apiserver' },
    altNames: { dns: ['localhost', 'kubernetes.default.svc'], ip: ['127.0.0.1', '10.96.0.1'] },
    extendedUsages: ['server auth'],
    ...validity,
  });
  const user = (name: string, groups: string[]): Identity =>
    issue(authority, {
      subject: { commonName: name, organizations: groups },
      extendedUsages: ['client auth'],
      ...validity,
    });
  const file = (name: string, text: string) => {
    const path = join(dir, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const key = file('server.key', serving.key);
  const began = performance.now();
  const child = spawn(
    run.command,
    [
      ...run.args,
      `--secure-port=${port}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=192.0.2.1',
      `--client-ca-file=${file('ca.crt', authority.cert)}`,
      `--tls-cert-file=${file('server.crt', serving.cert)}`,
      `--tls-private-key-file=${key}`,
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${key}`,
      `--service-account-signing-key-file=${key}`,
      '--authorization-mode=Node,RBAC',
      '--service-cluster-ip-range=10.96.0.0/16',
      ...flags,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...run.env } },
  );
  const log = createWriteStream(join(dir, 'apiserver.log'));
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const admin = user('admin', ['system:masters']);
  const client = createClient({ server: url, ca: authority.cert, ...admin, userAgent: 'bench' });
  const stop = async () => {
    client.close();
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(timer);
  };
  for (let i = 0; ; i++) {
    try {
      await client.request({ path: '/readyz', timeoutMs: 1000 });
      break;
    } catch (error) {
      if (i === 6000 || child.exitCode !== null) {
        await stop();
        throw new Error(`the API server did not become ready; see ${join(dir, 'apiserver.log')}`, { cause: error });
      }
      await new Promise((r) => setTimeout(r, 20));
    }
  }
  const readyMs = performance.now() - began;
  const readyCpuMs = usage(child.pid!).cpuMs;
  return {
    url,
    readyMs,
    readyCpuMs,
    client,
    pid: child.pid!,
    kubeconfig(name, ...groups) {
      const id = user(name, groups);
      const data = (text: string) => Buffer.from(text).toString('base64');
      return file(
        `${name.replaceAll(':', '-')}.conf`,
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Config',
          'current-context': 'x',
          contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
          clusters: [{ name: 'x', cluster: { server: url, 'certificate-authority-data': data(authority.cert) } }],
          users: [{ name: 'x', user: { 'client-certificate-data': data(id.cert), 'client-key-data': data(id.key) } }],
        }),
      );
    },
    stop,
  };
}
