/** The two servers: kube-apiserver with etcd from the peer kit, and ours. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import { answers, serverFlags } from '../server.ts';

/** Starts etcd and kube-apiserver with the settings of `startPeerLikeServer`; their programs lie in $PEER/bin. */
export async function startPeer(
  dir: string,
  pkiScript: string,
): Promise<{ url: string; pki: string; stop(): Promise<void> }> {
  const bin = join(process.env['PEER'] ?? join(homedir(), '.cache', 'k8ts-peer'), 'bin');
  const pki = join(dir, 'peer-pki');
  mkdirSync(dir, { recursive: true });
  execFileSync('bash', [pkiScript, pki], { stdio: 'ignore' });
  const children: ChildProcess[] = [];
  const run = (name: string, args: readonly string[]) => {
    const child = spawn(join(bin, name), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const log = createWriteStream(join(dir, `${name}.log`));
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    children.push(child);
  };
  const [client, peers, port] = [await freePort(), await freePort(), await freePort()];
  const local = (p: number) => `http://127.0.0.1:${p}`;
  run('etcd', [
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=${local(client)}`,
    `--advertise-client-urls=${local(client)}`,
    `--listen-peer-urls=${local(peers)}`,
    `--initial-advertise-peer-urls=${local(peers)}`,
    `--initial-cluster=default=${local(peers)}`,
    '--unsafe-no-fsync',
  ]);
  run('kube-apiserver', [`--etcd-servers=${local(client)}`, ...serverFlags(pki, port)]);
  const url = `https://127.0.0.1:${port}`;
  for (let i = 0; i < 1200 && !(await answers(url)); i++) await new Promise((r) => setTimeout(r, 100));
  return {
    url,
    pki,
    async stop() {
      for (const c of children.reverse()) {
        const ended = new Promise((resolve) => c.once('exit', resolve));
        c.kill('SIGTERM');
        await ended;
      }
    },
  };
}
