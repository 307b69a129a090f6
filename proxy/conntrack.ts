/**
 * UDP has no end of connection: a client that goes on sending would stay with a backend that has left, or with the
 * nothing that there was before the first backend came. Such entries of the kernel's table are looked for after each
 * change of a Service with UDP ports, and deleted.
 */
import { CommandError, type Exec } from '../base/exec.ts';
import type { ServicePort } from './rules/model.ts';
import { isV6 } from './network/addresses.ts';

/** One entry: where the client sends to, and who answers. */
export interface Flow {
  dst: string;
  dport: number;
  replySrc: string;
  replyPort: number;
}

/** Reads what `conntrack -L` prints. Pure. */
export function parseFlows(text: string): Flow[] {
  const out: Flow[] = [];
  for (const line of text.split('\n')) {
    const to = [...line.matchAll(/\bdst=(\S+)/g)];
    const from = [...line.matchAll(/\bsrc=(\S+)/g)];
    const port = /\bdport=(\d+)/.exec(line);
    const back = [...line.matchAll(/\bsport=(\d+)/g)][1];
    if (port && back && to[0] && from[1])
      out.push({ dst: to[0][1]!, dport: Number(port[1]), replySrc: from[1][1]!, replyPort: Number(back[1]) });
  }
  return out;
}

/** Where connections to a port may be led: another port of the same address is another backend. */
const usable = (p: ServicePort) =>
  new Set(p.backends.filter((b) => b.ready || (b.serving && b.terminating)).map((b) => `${b.ip} ${b.port}`));

/** The flows (one for each that looks the same) that no longer lead where their Service does. Pure. */
export function staleFlows(flows: readonly Flow[], ports: readonly ServicePort[]): Flow[] {
  const fronts = new Map<string, Set<string>>();
  const nodePorts = new Map<number, Set<string>>();
  for (const p of ports) {
    const backends = usable(p);
    for (const ip of [p.clusterIP, ...p.externalIPs, ...p.loadBalancerIPs]) fronts.set(`${ip} ${p.port}`, backends);
    if (p.nodePort) nodePorts.set(p.nodePort, backends);
  }
  const stale = new Map<string, Flow>();
  for (const f of flows) {
    const front = fronts.get(`${f.dst} ${f.dport}`);
    const translated = f.replySrc !== f.dst || f.replyPort !== f.dport;
    // a port alone says little: somebody may send to the same port elsewhere, which is none of our business
    const backends = front ?? (translated ? nodePorts.get(f.dport) : undefined);
    if (!backends || backends.has(`${f.replySrc} ${f.replyPort}`)) continue;
    // without a backend before and now, there is nothing better to lead to
    if (!translated && backends.size === 0) continue;
    stale.set(`${f.dst} ${f.dport} ${f.replySrc} ${f.replyPort}`, f);
  }
  return [...stale.values()];
}

const digest = (ports: readonly ServicePort[]) =>
  JSON.stringify(ports.map((p) => [p.clusterIP, p.port, p.nodePort, p.externalIPs, p.loadBalancerIPs, [...usable(p)]]));

/** Deletes what the change from `before` to `after` (UDP ports of the Services that changed) made stale; resolves with how many went. */
export async function cleanUpConnections(
  exec: Exec,
  before: readonly ServicePort[],
  after: readonly ServicePort[],
): Promise<Record<4 | 6, number>> {
  const deleted = { 4: 0, 6: 0 };
  if (digest(before) === digest(after)) return deleted;
  // ports that are gone have no backends any more
  const here = new Set(after.map((p) => `${p.clusterIP} ${p.port}`));
  const gone = before.filter((p) => !here.has(`${p.clusterIP} ${p.port}`)).map((p) => ({ ...p, backends: [] }));
  const all = [...after, ...gone];
  for (const v6 of [false, true]) {
    const ports = all.filter((p) => isV6(p.clusterIP) === v6);
    if (ports.length === 0) continue;
    const family = v6 ? 'ipv6' : 'ipv4';
    const listing = await exec('conntrack', ['-L', '-f', family, '-p', 'udp'], { maxOutput: 256 << 20 });
    for (const f of staleFlows(parseFlows(listing), ports)) {
      const there = ['--orig-dst', f.dst, '--dport', String(f.dport)];
      const which = [...there, '--reply-src', f.replySrc, '--reply-port-src', String(f.replyPort)];
      try {
        await exec('conntrack', ['-D', '-f', family, '-p', 'udp', ...which]);
        deleted[v6 ? 6 : 4]++;
      } catch (error) {
        // it has run out meanwhile
        if (!(error instanceof CommandError && error.stderr.includes('0 flow entries'))) throw error;
      }
    }
  }
  return deleted;
}
