/**
 * UDP has no end of connection: a client that goes on sending to a backend that left must be forgotten by the kernel,
 * else its packets keep going there.
 */
import { CommandError, type Exec } from '../base/exec.ts';
import type { ServicePort } from './rules/model.ts';

/** Where packets may go: another port of the same address is another backend. */
const usable = (p: ServicePort) =>
  new Map(
    p.backends.filter((b) => b.ready || (b.serving && b.terminating)).map((b) => [`${b.ip} ${b.port}`, b] as const),
  );

/** The conntrack deletions that a change of service ports asks for. Pure. */
export function staleConnections(before: readonly ServicePort[], after: readonly ServicePort[]): string[][] {
  const commands: string[][] = [];
  const now = new Map(after.map((p) => [`${p.id}/${p.protocol}`, p]));
  const was = new Map(before.map((p) => [`${p.id}/${p.protocol}`, p]));
  const fronts = (p: ServicePort): string[][] => [
    ...[p.clusterIP, ...p.externalIPs, ...p.loadBalancerIPs].map((ip) => ['--orig-dst', ip, '--dport', String(p.port)]),
    ...(p.nodePort ? [['--dport', String(p.nodePort)]] : []),
  ];
  for (const [key, old] of was) {
    if (old.protocol !== 'udp') continue;
    const present = now.get(key);
    const kept = present ? usable(present) : new Map<string, unknown>();
    for (const [where, { ip, port }] of usable(old)) {
      if (kept.has(where)) continue;
      const backend = ['--dst-nat', ip, '--reply-port-src', String(port)];
      for (const f of fronts(old)) commands.push(['-D', '-p', 'udp', ...f, ...backend]);
    }
  }
  for (const [key, p] of now) {
    if (p.protocol !== 'udp' || usable(p).size === 0) continue;
    const old = was.get(key);
    // entries made while there was no backend lead nowhere
    if (!old || usable(old).size === 0) for (const f of fronts(p)) commands.push(['-D', '-p', 'udp', ...f]);
  }
  return commands;
}

/** Runs them; an entry that isn't there is no error. */
export async function cleanUpConnections(
  exec: Exec,
  before: readonly ServicePort[],
  after: readonly ServicePort[],
): Promise<void> {
  for (const args of staleConnections(before, after))
    await exec('conntrack', args).catch((error: unknown) => {
      if (!(error instanceof CommandError && error.stderr.includes('0 flow entries'))) throw error;
    });
}
