/** Pods of two nodes on two segments reach each other: real namespaces, a router between them, the kernel's VXLAN. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { systemClock } from '../../../base/clock.ts';
import { createExec, type Exec } from '../../../base/exec.ts';
import { silentLogger } from '../../../base/log.ts';
import { inRanges } from '../../../proxy/network/addresses.ts';
import { macOf, OVERLAY, overhead, syncOverlay } from '../../../proxy/network/overlay.ts';
import { planNetwork, syncRoutes, type NetworkMode } from '../../../proxy/network/routes.ts';

const TAG = `k8ts-it${process.pid}`;
const ns = (name: string) => `${TAG}-${name}`;
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe', timeout: 60_000 });
const inside = (name: string, ...args: string[]) =>
  execFileSync('ip', ['netns', 'exec', ns(name), ...args], { encoding: 'utf8', stdio: 'pipe', timeout: 60_000 });

const NODES = ['1', '2'].map((n) => ({
  metadata: { name: `node${n}` },
  spec: { podCIDR: `10.244.${n}.0/24`, podCIDRs: [`10.244.${n}.0/24`, `fd00:244:0:${n}::/64`] },
  status: { addresses: [{ type: 'InternalIP', address: `10.201.${n}.2` }] },
}));
const HOSTS = ['router', 'node1', 'node2', 'pod1', 'pod2'];

/** A link between two namespaces with addresses at both ends. */
function link(a: string, devA: string, addressesA: string[], b: string, addressesB: string[]): void {
  ip('link', 'add', devA, 'netns', ns(a), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns(b));
  for (const [host, dev, addresses] of [
    [a, devA, addressesA],
    [b, 'eth0', addressesB],
  ] as const) {
    ip('-n', ns(host), 'link', 'set', dev, 'up');
    for (const x of addresses) ip('-n', ns(host), 'addr', 'add', x, 'dev', dev, ...(x.includes(':') ? ['nodad'] : []));
  }
}

/** What the node's agent does for its network. */
async function sync(n: '1' | '2', mode: NetworkMode): Promise<void> {
  const plain = createExec({ clock: systemClock, logger: silentLogger });
  const exec: Exec = (command, args, o) => plain('ip', ['netns', 'exec', ns(`node${n}`), command, ...args], o);
  const plan = planNetwork(NODES, `node${n}`, mode, inRanges([`10.201.${n}.0/24`]));
  const under = `10.201.${n}.2`;
  await syncOverlay(exec, {
    mac: macOf(under),
    ends: [`10.244.${n}.0`, `fd00:244:0:${n}::`],
    mtu: 1500 - overhead(under),
    peers: plan.peers,
  });
  await syncRoutes(exec, plan.routes, silentLogger);
}

/** Sends much from pod1 to pod2 and answers who the receiver saw, and how much came. */
function talk(address: string): string {
  const server = `const s = require('net').createServer((c) => { let n = 0; c.on('data', (b) => { n += b.length; }); c.on('end', () => { c.end(c.remoteAddress + ' ' + n); s.close(); }); }); s.listen(8080, '::', () => { require('child_process').execFile('ip', ['netns', 'exec', '${ns('pod1')}', process.execPath, '-e', process.argv[1]], { timeout: 30000 }, (e, out) => { process.stdout.write(e ? String(e) : out); process.exit(0); }); });`;
  const client = `const c = require('net').connect(8080, '${address}', () => c.end(Buffer.alloc(300000))); c.pipe(process.stdout); c.setTimeout(10000, () => process.exit(1));`;
  return inside('pod2', process.execPath, '-e', server, client);
}

describe('the overlay between segments', function () {
  before(() => {
    for (const h of HOSTS) {
      ip('netns', 'add', ns(h));
      ip('-n', ns(h), 'link', 'set', 'lo', 'up');
      inside(h, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    }
    for (const n of ['1', '2']) {
      link('router', `r${n}`, [`10.201.${n}.1/24`], `node${n}`, [`10.201.${n}.2/24`]);
      ip('-n', ns(`node${n}`), 'route', 'add', 'default', 'via', `10.201.${n}.1`);
      const gateways = [`10.244.${n}.1/24`, `fd00:244:0:${n}::1/64`];
      link(`node${n}`, 'pod', gateways, `pod${n}`, [`10.244.${n}.2/24`, `fd00:244:0:${n}::2/64`]);
      for (const g of gateways) ip('-n', ns(`pod${n}`), 'route', 'add', 'default', 'via', g.split('/')[0]!);
      ip('-n', ns(`node${n}`), 'link', 'set', 'pod', 'mtu', '1450');
      ip('-n', ns(`pod${n}`), 'link', 'set', 'eth0', 'mtu', '1450');
    }
  });
  after(() => {
    for (const h of HOSTS) ip('netns', 'del', ns(h));
  });

  it('carries what pods send, both families, with the addresses they have', async () => {
    await sync('1', 'auto');
    await sync('2', 'auto');
    assert.equal(talk('10.244.2.2'), '::ffff:10.244.1.2 300000');
    assert.equal(talk('fd00:244:0:2::2'), 'fd00:244:0:1::2 300000');
  });
  it('is as it was after it is set up again, and without its device', async () => {
    const state = () => [
      inside('node1', 'bridge', 'fdb', 'show', 'dev', OVERLAY),
      inside('node1', 'ip', 'neigh', 'show', 'dev', OVERLAY, 'nud', 'permanent'),
      inside('node1', 'ip', 'route', 'show', 'proto', '107'),
    ];
    const before = state();
    await sync('1', 'auto');
    assert.deepEqual(state(), before);
    inside('node1', 'ip', 'link', 'del', OVERLAY);
    await sync('1', 'auto');
    assert.equal(talk('10.244.2.2'), '::ffff:10.244.1.2 300000');
  });
  it('goes when it is not wanted any more', async () => {
    await sync('1', 'routes');
    assert.throws(() => inside('node1', 'ip', 'link', 'show', OVERLAY), /does not exist/);
  });
});
