/** What a runtime leaves that was killed while it made a sandbox: real namespaces and CNI plugins; what the runtime says is made up. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createExec, findProgram } from '../../../base/exec.ts';
import { systemClock, systemIds } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { networksOf } from '../../../kubelet/cri/networks.ts';
import type { Sandbox } from '../../../kubelet/cri/types.ts';
import { createLeftovers } from '../../../kubelet/network/leftovers.ts';

const AGE_MS = 60_000;

describe('what a killed runtime left', function () {
  const realExec = createExec({ clock: systemClock, logger: silentLogger });
  let dir = '';
  let host = '';
  let now = 0;
  let oldest: number | undefined;
  let tells = true;
  /** Sandboxes that the runtime knows, with their namespaces. */
  let recorded = new Map<string, string>();
  let children: ChildProcess[] = [];

  const at = (...path: string[]) => join(dir, ...path);
  const run = (command: string, args: string[], env: Record<string, string> = {}, input = '') =>
    execFileSync(command, args, { encoding: 'utf8', input, env: { ...process.env, ...env }, timeout: 30_000 });
  const onHost = (command: string, ...args: string[]) => run('nsenter', [`--net=${host}`, command, ...args]);
  const namespace = (file: string): string => {
    writeFileSync(file, '');
    run('unshare', [`--net=${file}`, 'true']);
    return file;
  };
  const fresh = () => namespace(at('netns', `cni-${systemIds.uuid()}`));
  const binDir = dirname(findProgram('host-local') ?? '');
  const plugins = () => [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipam: {
        type: 'host-local',
        dataDir: at('data'),
        ranges: [[{ subnet: '10.11.12.0/24' }], [{ subnet: 'fd00:12::/64' }]],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true }, snat: true },
  ];
  /** Connects a namespace as containerd would, but for telling anybody; its sandbox's id. */
  const connect = (path: string): string => {
    const id = randomBytes(32).toString('hex');
    let prevResult: unknown;
    for (const plugin of plugins()) {
      const env = {
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: id,
        CNI_NETNS: path,
        CNI_IFNAME: 'eth0',
        CNI_PATH: binDir,
      };
      const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
      const input = JSON.stringify({ ...plugin, name: 'net', cniVersion: '0.4.0', prevResult, runtimeConfig });
      prevResult = JSON.parse(run('nsenter', [`--net=${host}`, join(binDir, plugin.type)], env, input));
    }
    writeFileSync(at('results', `net-${id}-eth0`), JSON.stringify({ kind: 'cniCacheV1', result: prevResult }));
    return id;
  };
  const addressesOf = (id: string) =>
    readdirSync(at('data', 'net')).filter((f) => readFileSync(at('data', 'net', f), 'utf8').startsWith(id));
  const there = () => readdirSync(at('netns')).map((n) => at('netns', n));

  const collector = () =>
    createLeftovers({
      // the collector stands on the node's network
      exec: (command, args, options) => realExec('nsenter', [`--net=${host}`, command, ...args], options),
      clock: { ...systemClock, monotonic: () => now },
      logger: silentLogger,
      ageMs: AGE_MS,
      results: at('results'),
      runtime: {
        networks: async () =>
          networksOf({
            config: JSON.stringify({ netnsMountsUnderStateDir: true, stateDir: dir }),
            cniconfig: JSON.stringify({
              PluginDirs: [binDir],
              Networks: [
                { Config: { Source: '{"name":"cni-loopback","cniVersion":"0.3.1","plugins":[{"type":"loopback"}]}' } },
                { Config: { Source: JSON.stringify({ name: 'net', cniVersion: '0.4.0', plugins: plugins() }) } },
              ],
            }),
          }),
        listSandboxes: async () => [...recorded.keys()].map((id) => ({ id }) as Sandbox),
        sandboxNamespace: async (id) => (tells ? recorded.get(id) : undefined),
        oldestStart: () => oldest,
      },
    });
  const grown = async (collected: { look(): Promise<void> }) => {
    await collected.look();
    now += AGE_MS;
    await collected.look();
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'leftovers-test-'));
    for (const d of ['netns', 'data', 'results']) mkdirSync(at(d));
    host = namespace(at('host'));
    [now, oldest, tells, recorded, children] = [1000, undefined, true, new Map(), []];
  });
  afterEach(() => {
    for (const c of children) c.kill('SIGKILL');
    for (const path of [...there(), host]) run('sh', ['-c', 'umount -l "$0" 2>/dev/null || true', path]);
    rmSync(dir, { recursive: true, force: true });
  });

  it('goes with its addresses, interfaces and host ports; what belongs to a sandbox stays', async () => {
    const lost = fresh();
    const lostId = connect(lost);
    const kept = fresh();
    const keptId = connect(kept);
    recorded.set(keptId, kept);
    const empty = fresh();
    const unmounted = at('netns', `cni-${systemIds.uuid()}`);
    writeFileSync(unmounted, '');
    const mine = at('netns', 'cni-of-mine');
    writeFileSync(mine, '');
    assert.equal(addressesOf(lostId).length, 2);
    assert.ok(onHost('iptables-save', '-t', 'nat').includes(lostId));

    const collected = collector();
    await collected.look();
    assert.deepEqual(new Set(there()), new Set([lost, kept, empty, unmounted, mine]), 'nothing goes at first sight');
    now += AGE_MS;
    await collected.look();
    assert.deepEqual(new Set(there()), new Set([kept, empty, unmounted, mine]), 'empty ones could be of others');
    assert.deepEqual(addressesOf(lostId), []);
    assert.equal(addressesOf(keptId).length, 2);
    const rules = onHost('iptables-save', '-t', 'nat');
    assert.ok(!rules.includes(lostId) && rules.includes(keptId));
    assert.deepEqual(readdirSync(at('results')), [`net-${keptId}-eth0`]);
    now += 5 * AGE_MS;
    await collected.look();
    assert.deepEqual(new Set(there()), new Set([kept, mine]));
  });

  it('goes when only an address is left, as after a power cut', async () => {
    const path = fresh();
    const id = connect(path);
    run('umount', ['-l', path]);
    rmSync(path);
    await grown(collector());
    assert.deepEqual(addressesOf(id), []);
    assert.deepEqual(readdirSync(at('results')), []);
  });

  it('stays while a sandbox is being made that it could be of', async () => {
    const path = fresh();
    const id = connect(path);
    oldest = now - 1;
    const collected = collector();
    await grown(collected);
    assert.deepEqual(there(), [path]);
    // made at last
    oldest = undefined;
    recorded.set(id, path);
    await collected.look();
    assert.deepEqual(there(), [path]);
    assert.equal(addressesOf(id).length, 2);
  });

  it('stays when a process lives in it, or it has addresses of others', async () => {
    const living = fresh();
    const id = connect(living);
    const child = spawn('nsenter', [`--net=${living}`, 'sleep', '1000'], { stdio: 'ignore' });
    children.push(child);
    // it is in when its namespace is no more this process'
    while (readlinkSync(`/proc/${child.pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) await systemClock.sleep(5);
    const foreign = fresh();
    run('nsenter', [`--net=${foreign}`, 'ip', 'address', 'add', '192.0.2.1/24', 'dev', 'lo']);
    await grown(collector());
    assert.deepEqual(new Set(there()), new Set([living, foreign]));
    assert.equal(addressesOf(id).length, 2);
  });

  it('stays where the runtime does not tell whose it is', async () => {
    const path = fresh();
    recorded.set('other', path);
    tells = false;
    await grown(collector());
    assert.deepEqual(there(), [path]);
  });
});
