/** An empty API server with the settings the corpus was recorded under, as a process of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../support/ports.ts';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

/** True when the server is ready. */
export const answers = (url: string) =>
  new Promise<boolean>((resolve) => {
    const req = request(`${url}/readyz`, { rejectUnauthorized: false, timeout: 1000 }, (res) => {
      res.resume();
      resolve(res.statusCode === 200);
    });
    req.on('error', () => resolve(false));
    req.on('timeout', () => req.destroy());
    req.end();
  });

/** The flags that the corpus was recorded under, for kube-apiserver and ours alike. */
export function serverFlags(pki: string, port: number): string[] {
  const at = (f: string) => join(pki, f);
  return [
    `--secure-port=${port}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--client-ca-file=${at('ca.crt')}`,
    `--tls-cert-file=${at('apiserver.crt')}`,
    `--tls-private-key-file=${at('apiserver.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${at('sa.pub')}`,
    `--service-account-signing-key-file=${at('sa.key')}`,
    '--authorization-mode=Node,RBAC',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--requestheader-client-ca-file=${at('ca.crt')}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-username-headers=X-Remote-User',
    `--proxy-client-cert-file=${at('front.crt')}`,
    `--proxy-client-key-file=${at('front.key')}`,
    `--kubelet-client-certificate=${at('kubelet-client.crt')}`,
    `--kubelet-client-key=${at('kubelet-client.key')}`,
  ];
}

/** Starts it with its files in `dir`; resolves when it is ready. */
export async function startPeerLikeServer(dir: string): Promise<{ url: string; pki: string; stop(): Promise<void> }> {
  const pki = join(dir, 'pki');
  execFileSync('bash', [join(root, '..', 'shared', 'parity', 'pki.sh'), pki], { stdio: 'ignore' });
  const port = await freePort();
  const log = createWriteStream(join(dir, 'apiserver.log'));
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(root, 'apiserver', 'main.ts'),
      '--storage-backend=memory',
      ...serverFlags(pki, port),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = `https://127.0.0.1:${port}`;
  for (let i = 0; i < 300 && !(await answers(url)); i++) await new Promise((r) => setTimeout(r, 100));
  return {
    url,
    pki,
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(timer);
    },
  };
}
