/** A UDP client that never stops sending from one socket is led to the backends that there are now: real kernel. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { systemClock } from '../../../base/clock.ts';
import { createExec, type Exec } from '../../../base/exec.ts';
import { silentLogger } from '../../../base/log.ts';
import { cleanUpConnections } from '../../../proxy/conntrack.ts';
import { serviceRules } from '../../../proxy/rules/desired.ts';
import type { ServicePort } from '../../../proxy/rules/model.ts';
import { RuleState } from '../../../proxy/rules/state.ts';

const NS = `k8ts-ct${process.pid}`;
const BACKENDS = ['10.244.0.2', '10.244.0.3'];
/** In the namespace: a server on each address that says its address, and a client that asks when told. */
const PROGRAM = `
const d = require('dgram');
for (const ip of ${JSON.stringify(BACKENDS)}) { const s = d.createSocket('udp4'); s.on('message', (m, r) => s.send(ip + ' ' + m, r.port, r.address)); s.on('error', () => {}); s.bind(53, ip); }
const c = d.createSocket('udp4'); let timer, turn = 0;
const say = (t) => { clearTimeout(timer); process.stdout.write(t + '\\n'); };
c.on('message', (m) => { const [ip, n] = String(m).split(' '); if (n === String(turn)) say(ip); }); c.on('error', () => {});
c.bind(5000, '10.0.0.1', () => say('ready'));
process.stdin.on('data', () => { timer = setTimeout(() => { turn++; say('nothing'); }, 500); c.send(String(++turn), 53, '10.96.0.5'); });
`;
const port = (ips: readonly string[]): ServicePort => ({
  id: 'ns/dns:',
  namespace: 'ns',
  name: 'dns',
  portName: '',
  protocol: 'udp',
  port: 53,
  clusterIP: '10.96.0.5',
  externalIPs: [],
  loadBalancerIPs: [],
  sourceRanges: [],
  nodePort: 0,
  healthCheckNodePort: 0,
  affinitySeconds: 0,
  internalLocal: false,
  externalLocal: false,
  backends: ips.map((ip) => ({
    ip,
    port: 53,
    ready: true,
    serving: true,
    terminating: false,
    node: 'n1',
    zoneHints: [],
    nodeHints: [],
  })),
});

describe('UDP connections', function () {
  let child: ChildProcess;
  let lines: AsyncIterator<string>;
  const node = {
    name: 'n1',
    zone: '',
    clusterCidr: '',
    family: 4,
    masqueradeAll: false,
    nodePortAddresses: [],
  } as const;
  const state = new RuleState(node);
  let served: ServicePort[] = [];
  const plain = createExec({ clock: systemClock, logger: silentLogger });
  const exec: Exec = (command, args, o) => plain('ip', ['netns', 'exec', NS, command, ...args], o);
  const next = async () => String((await lines.next()).value);
  /** As the proxy does when the Service's endpoints change. */
  async function point(...ips: string[]): Promise<void> {
    const after = [port(ips)];
    state.replace('ns/dns', serviceRules(after, node));
    await exec('nft', ['-f', '-'], { input: state.take() });
    await cleanUpConnections(exec, served, after);
    served = after;
  }
  /** Sends on until the client hears this (a busy machine may answer late); what it heard last when it never does. */
  async function hears(want: string): Promise<string> {
    const until = performance.now() + 60_000;
    for (;;) {
      child.stdin!.write('x');
      const heard = await next();
      if (heard === want || heard !== 'nothing' || performance.now() > until) return heard;
    }
  }

  before(async () => {
    execFileSync('ip', ['netns', 'add', NS]);
    for (const args of [
      ['link', 'set', 'lo', 'up'],
      ...['10.0.0.1', ...BACKENDS].map((ip) => ['addr', 'add', `${ip}/32`, 'dev', 'lo']),
      ['route', 'add', '10.96.0.0/16', 'dev', 'lo'],
    ])
      execFileSync('ip', ['-n', NS, ...args]);
    child = spawn('ip', ['netns', 'exec', NS, process.execPath, '-e', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    assert.equal(await next(), 'ready');
  });
  after(async () => {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    execFileSync('ip', ['netns', 'del', NS]);
  });

  it('begin when the first backend comes, and follow the backends from then on', async () => {
    await point();
    assert.equal(await hears('nothing'), 'nothing');
    await point(BACKENDS[0]!);
    assert.equal(await hears(BACKENDS[0]!), BACKENDS[0]);
    await point(...BACKENDS);
    assert.equal(await hears(BACKENDS[0]!), BACKENDS[0], 'a backend that is still there is kept');
    await point(BACKENDS[1]!);
    assert.equal(await hears(BACKENDS[1]!), BACKENDS[1]);
    await point();
    assert.equal(await hears('nothing'), 'nothing');
  });
});
