/** kube-apiserver and ours as processes that take turns on the same etcd. */
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority, generateKey, issue, keyToPem, publicKeyToPem } from '../../../base/pki.ts';
import { answers, serverFlags } from '../../parity/server.ts';
import { freePort } from '../../support/ports.ts';
import { serverAt, type Server } from '../../parity/differ/client.ts';

const DAY = 86_400_000;

/** What `serverFlags` and `serverAt` look for. */
export function makePki(dir: string): void {
  const times = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY };
  const ca = createAuthority({ commonName: 'kubernetes', ...times });
  const write = (name: string, identity: { cert: string; key: string }) => {
    writeFileSync(join(dir, `${name}.crt`), identity.cert);
    writeFileSync(join(dir, `${name}.key`), identity.key, { mode: 0o600 });
  };
  const make = (name: string, commonName: string, ...organizations: string[]) =>
    write(
      name,
      issue(ca, {
        subject: { commonName, organizations },
        altNames: { dns: ['localhost'], ip: ['127.0.0.1', '10.96.0.1'] },
        extendedUsages: ['server auth', 'client auth'],
        ...times,
      }),
    );
  write('ca', ca);
  make('apiserver', 'kube-apiserver');
  make('admin', 'admin', 'system:masters');
  make('front', 'front-proxy-client');
  make('kubelet-client', 'kube-apiserver-kubelet-client', 'system:masters');
  const signing = generateKey('rsa-2048');
  writeFileSync(join(dir, 'sa.key'), keyToPem(signing), { mode: 0o600 });
  writeFileSync(join(dir, 'sa.pub'), publicKeyToPem(signing));
}

export interface Running extends Server {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts one of the two with its files in `dir`; resolves when it is ready. */
export async function startOn(
  which: { program: string } | 'ours',
  dir: string,
  ...flags: readonly string[]
): Promise<Running> {
  const port = await freePort();
  const [program, args] =
    which === 'ours'
      ? [process.execPath, ['--disable-warning=ExperimentalWarning', 'apiserver/main.ts']]
      : [which.program, []];
  const file = join(dir, `${port}.log`);
  const log = createWriteStream(file);
  const child = spawn(program, [...args, ...serverFlags(dir, port), ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = `https://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(timer);
  };
  for (const deadline = Date.now() + 180_000; !(await answers(url));) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`${program} doesn't start: ${readFileSync(file, 'utf8').slice(-3000)}`);
    }
    await new Promise((r) => setTimeout(r, 100));
  }
  return { ...serverAt(url, dir), url, stop };
}
