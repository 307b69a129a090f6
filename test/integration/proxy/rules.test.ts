/** A long way of changes leaves the kernel with the same rules as the shortest way to the same Services. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serviceRules } from '../../../proxy/rules/desired.ts';
import type { NodeView, ServicePort } from '../../../proxy/rules/model.ts';
import { RuleState } from '../../../proxy/rules/state.ts';

const view = (family: 4 | 6): NodeView => ({
  name: 'n1',
  zone: '',
  clusterCidr: family === 4 ? '10.244.0.0/16' : 'fd00:10::/48',
  family,
  masqueradeAll: false,
  nodePortAddresses: [],
});

/** The same numbers every time. */
function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return (x >>> 8) % below;
  };
}

function randomPorts(name: string, family: 4 | 6, next: (below: number) => number): ServicePort[] {
  const ip = (net: number, host: number) => (family === 4 ? `10.${net}.0.${host + 1}` : `fd00:${net}::${host + 1}`);
  const number = Number(name.slice(1));
  const protocols = ['tcp', 'udp', 'sctp'] as const;
  return Array.from({ length: 1 + next(2) }, (_, i) => ({
    id: `ns/${name}:p${i}`,
    namespace: 'ns',
    name,
    portName: `p${i}`,
    protocol: protocols[next(3)]!,
    port: 80 + i,
    clusterIP: ip(96, number),
    externalIPs: next(3) === 0 ? [ip(7, next(2))] : [],
    loadBalancerIPs: next(3) === 0 ? [ip(8, number)] : [],
    sourceRanges: next(2) === 0 ? [family === 4 ? '192.0.2.0/24' : '2001:db8::/32'] : [],
    nodePort: next(2) === 0 ? 30000 + number * 2 + i : 0,
    healthCheckNodePort: 0,
    affinitySeconds: next(4) === 0 ? 60 : 0,
    internalLocal: next(4) === 0,
    externalLocal: next(4) === 0,
    backends: Array.from({ length: next(4) }, (_u, b) => ({
      ip: ip(244, next(6)),
      port: 8080 + b,
      ready: next(5) > 0,
      serving: true,
      terminating: next(5) === 0,
      node: `n${next(2) + 1}`,
      zoneHints: [],
      nodeHints: [],
    })),
  }));
}

/** What a new kernel says after these transactions. */
function load(transactions: readonly string[]): string {
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-nft-'));
  try {
    transactions.forEach((text, i) => writeFileSync(join(dir, `${String(i).padStart(4, '0')}.nft`), text));
    return execFileSync(
      'unshare',
      ['-n', 'sh', '-ec', 'for f in "$0"/*.nft; do nft -f "$f"; done; nft list ruleset', dir],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
/** Lines in an order of their own: sets and chains stand in the order they were made in. */
const blocks = (listing: string) =>
  listing
    .split(/\n(?=\t(?:chain|set|map) )/)
    .map((b) =>
      b.replace(/elements = \{([^}]*)\}/s, (_, e: string) =>
        e
          .split(/,\s*/)
          .map((x) => x.trim())
          .sort()
          .join(),
      ),
    )
    .map((b) => b.replace(/\n\}\s*$/, '').trim())
    .sort();

describe('service rules in the kernel', function () {
  for (const family of [4, 6] as const)
    it(`are the same by all ways (IPv${family})`, () => {
      const next = numbers(family);
      const state = new RuleState(view(family));
      const services = new Map<string, ServicePort[]>();
      const transactions: string[] = [];
      for (let step = 0; step < 60; step++) {
        for (let i = next(4); i >= 0; i--) {
          const name = `s${next(8)}`;
          const ports = next(4) === 0 ? [] : randomPorts(name, family, next);
          if (ports.length) services.set(name, ports);
          else services.delete(name);
          // the first to want an address keeps it: so the short way must come in the same order
          state.replace(name, undefined);
          if (ports.length) state.replace(name, serviceRules(ports, view(family)));
        }
        const text = state.take();
        if (text !== '') transactions.push(text);
      }
      const direct = new RuleState(view(family));
      for (const [name, ports] of services) direct.replace(name, serviceRules(ports, view(family)));
      const [long, short] = [blocks(load(transactions)), blocks(load([direct.take()]))];
      assert.ok(short.length > 20, 'there is something to compare');
      const external = (b: string) => b.startsWith('map service-ips') || b.startsWith('map no-endpoint-services');
      assert.deepEqual(
        long.filter((b) => !external(b)),
        short.filter((b) => !external(b)),
      );
    });
});
