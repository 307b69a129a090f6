import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MetricsRegistry } from '../../../base/metrics.ts';
import { formatCpus, parseCpus } from '../../../kubelet/cpus/cpuset.ts';
import { createCpuManager } from '../../../kubelet/cpus/manager.ts';
import { distributeCpus } from '../../../kubelet/cpus/distribute.ts';
import { cpuOptions, NO_OPTIONS, type CpuOptions } from '../../../kubelet/cpus/options.ts';
import { readCpus, takeCpus, type Cpu } from '../../../kubelet/cpus/topology.ts';
import { resolveCdi } from '../../../kubelet/devices/cdi.ts';
import { createPartMetrics } from '../../../kubelet/metrics/parts.ts';
import { swapCapacity, swapLimit } from '../../../kubelet/pods/swap.ts';
import type { Container, Pod } from '../../../api/types.ts';
import { checkReserved, createMemoryManager } from '../../../kubelet/memory/manager.ts';
import { mergeHints, type Hint, type Hints, type TopologyPolicy } from '../../../kubelet/topology/hints.ts';
import { createTopologyManager, type HintProvider } from '../../../kubelet/topology/manager.ts';
import { readNumaNodes, type NumaNode } from '../../../kubelet/topology/numa.ts';
import { manualClock } from '../../support/clock.ts';
import { pod } from './pods.ts';

/** Two sockets of two cores with two threads: CPU n and n+4 share a core. */
const CPUS: Cpu[] = [0, 1, 2, 3, 4, 5, 6, 7].map((id) => ({
  id,
  core: id % 4,
  socket: id % 4 < 2 ? 0 : 1,
  cache: `${id % 4 < 2}`,
  numa: id % 4 < 2 ? 0 : 1,
}));

/** Each socket is a NUMA node. */
const NUMA: NumaNode[] = [0, 1].map((id) => ({
  id,
  cpus: CPUS.filter((c) => c.socket === id).map((c) => c.id),
  memory: 10 * 2 ** 30,
  hugePages: [],
  distances: id === 0 ? [10, 20] : [20, 10],
}));
const give = (m: HintProvider, p: Pod) => {
  for (const c of [...(p.spec!.initContainers ?? []), ...p.spec!.containers]) void m.allocate(p, c, undefined);
};

describe('CPUs of containers', () => {
  let dir: string;
  beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'kubelet-cpus-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('reads and writes CPU lists', () => {
    assert.deepEqual(parseCpus('0-2,5\n'), [0, 1, 2, 5]);
    assert.equal(formatCpus([5, 2, 1, 0]), '0-2,5');
    assert.equal(formatCpus([]), '');
    assert.throws(() => parseCpus('a-b'), /not a list of CPUs/);
  });

  it('takes whole sockets, then whole cores, then single threads', () => {
    const all = CPUS.map((c) => c.id);
    assert.deepEqual(takeCpus(CPUS, all, 4), [0, 1, 4, 5]);
    assert.deepEqual(takeCpus(CPUS, all, 2), [0, 4]);
    assert.deepEqual(takeCpus(CPUS, all.slice(1), 1), [4], 'a core that is broken already');
    assert.equal(takeCpus(CPUS, [1], 2), undefined);
  });

  const asks = (uid: string, cpu: string, more = {}) => {
    const resources = { requests: { cpu, memory: '1Mi' }, limits: { cpu, memory: '1Mi' } };
    return pod({ containers: [{ name: 'c', image: 'i', resources }], ...more }, { uid });
  };

  it('gives whole CPUs to guaranteed pods, remembers them, and takes them back', () => {
    let changes = 0;
    const file = join(dir, 'cpu_manager_state');
    const make = () =>
      createCpuManager({
        file,
        cpus: CPUS,
        numa: NUMA,
        reserved: [0],
        options: NO_OPTIONS,
        sharedChanged: () => changes++,
      });
    const m = make();
    give(m, asks('a', '2'));
    assert.deepEqual(m.exclusive('a', 'c'), [1, 5]);
    give(m, asks('b', '1500m'));
    assert.deepEqual(m.exclusive('b', 'c'), [], 'no whole number');
    assert.equal(m.cpuset('b', 'c'), '0,2-4,6-7');
    assert.equal(changes, 1);
    const again = make();
    assert.deepEqual(again.exclusive('a', 'c'), [1, 5]);
    assert.throws(
      () => give(again, asks('d', '6')),
      /not enough cpus available to satisfy request: requested=6, available=5/,
    );
    again.release('a');
    assert.equal(again.cpuset('b', 'c'), '0-7');
    assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { defaultCpuSet: string }).defaultCpuSet, '0-7');
  });

  it('is counted: who got CPUs, who could not, and which are whose', async () => {
    const registry = new MetricsRegistry();
    const parts = createPartMetrics(registry, manualClock());
    const raw = createCpuManager({
      file: join(dir, 'counted'),
      cpus: CPUS,
      numa: NUMA,
      reserved: [0],
      options: NO_OPTIONS,
      sharedChanged() {},
    });
    const m = parts.provider('cpu', raw, (uid, name) => raw.exclusive(uid, name).length > 0);
    const policy = { policy: 'none', numa: NUMA, closest: false } as const;
    const topology = parts.topology(createTopologyManager({ merger: policy, scope: 'container', providers: [m] }), [m]);
    parts.cpus(() => ({ shared: [0, 2, 3, 4, 6, 7], exclusive: raw.exclusive('a', 'c') }), NUMA);
    await topology.allocate(asks('a', '2'));
    // each look at a pod asks again
    await topology.allocate(asks('a', '2'));
    await topology.allocate(asks('b', '500m'));
    await assert.rejects(topology.allocate(asks('c', '7')), /not enough cpus/);
    const shown = registry.text().split('\n');
    for (const line of [
      'kubelet_cpu_manager_pinning_requests_total 2',
      'kubelet_cpu_manager_pinning_errors_total 1',
      'kubelet_topology_manager_admission_requests_total 2',
      'kubelet_topology_manager_admission_errors_total 1',
      'kubelet_topology_manager_admission_duration_ms_count 2',
      'kubelet_cpu_manager_shared_pool_size_millicores 6000',
      'kubelet_cpu_manager_exclusive_cpu_allocation_count 2',
    ])
      assert.ok(shown.includes(line), `${line}\n${registry.text()}`);
  });

  it('lets the containers use again what init containers had', () => {
    const options = {
      file: join(dir, 's'),
      cpus: CPUS,
      numa: NUMA,
      reserved: [0, 4],
      options: NO_OPTIONS,
    };
    const m = createCpuManager({ ...options, sharedChanged() {} });
    const resources = { requests: { cpu: '6', memory: '1Mi' }, limits: { cpu: '6', memory: '1Mi' } };
    give(m, asks('a', '6', { initContainers: [{ name: 'i', image: 'i', resources }] }));
    assert.deepEqual(m.exclusive('a', 'i'), m.exclusive('a', 'c'));
  });
});

describe("the CPU manager's options", () => {
  /** Two sockets of two nodes each; a node has two caches of two cores of two threads: CPU n and n+16 share a core. */
  const MANY: Cpu[] = Array.from({ length: 32 }, (_, id) => {
    const core = id % 16;
    return { id, core, socket: core >> 3, numa: core >> 2, cache: `${core >> 1}` };
  });
  const NODES: NumaNode[] = [0, 1, 2, 3].map((id) => ({
    id,
    cpus: MANY.filter((c) => c.numa === id).map((c) => c.id),
    memory: 2 ** 30,
    hugePages: [],
    distances: [10, 10, 10, 10],
  }));
  const all = MANY.map((c) => c.id);
  const ids = (numa: number) => NODES[numa]!.cpus;
  let dir: string;
  beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'kubelet-cpus-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('are checked', () => {
    const read = (options: Record<string, string>, more = {}) =>
      cpuOptions({
        cpuManagerPolicy: 'static',
        cpuManagerPolicyOptions: options,
        topologyManagerPolicy: 'none',
        ...more,
      });
    const alpha = { featureGates: { CPUManagerPolicyAlphaOptions: true } };
    assert.deepEqual(read({}), NO_OPTIONS);
    assert.equal(read({ 'full-pcpus-only': 'true', 'strict-cpu-reservation': '0' }).wholeCores, true);
    assert.equal(read({ 'align-by-socket': 'T' }, alpha).bySocket, true);
    assert.throws(() => read({ 'align-by-socket': 'true' }), /needs the feature CPUManagerPolicyAlphaOptions/);
    assert.throws(
      () => read({ 'align-by-socket': 'true' }, { ...alpha, topologyManagerPolicy: 'single-numa-node' }),
      /single-numa-node/,
    );
    assert.throws(() => read({ toString: 'true' }), /unknown CPU manager policy option: "toString"/);
    assert.throws(() => read({ 'full-pcpus-only': 'yes' }), /bad value .* "full-pcpus-only": "yes"/);
    const both = { 'prefer-align-cpus-by-uncorecache': 'true', 'distribute-cpus-across-numa': 'true' };
    assert.throws(() => read(both), /can not be used together/);
    assert.throws(() => read({ 'full-pcpus-only': 'true' }, { cpuManagerPolicy: 'none' }), /takes no options/);
  });

  it('pack by whole sockets, then whole nodes, then whole cores', () => {
    assert.equal(formatCpus(takeCpus(MANY, all, 16)!), '0-7,16-23');
    assert.equal(formatCpus(takeCpus(MANY, all, 8)!), '0-3,16-19');
    const without0 = all.filter((i) => i !== 0);
    assert.equal(formatCpus(takeCpus(MANY, without0, 8)!), '4-7,20-23', 'a whole node beside the broken one');
    assert.equal(formatCpus(takeCpus(MANY, without0, 2)!), '1,17', 'where most is taken already');
  });

  it('keep to one cache when they are to', () => {
    // one thread is left of cache 0, three of cache 1: they would be taken first
    const free = all.filter((i) => ![0, 1, 16, 2].includes(i));
    assert.equal(formatCpus(takeCpus(MANY, free, 4)!), '3-4,19-20');
    assert.equal(formatCpus(takeCpus(MANY, free, 4, { caches: true })!), '4-5,20-21');
    assert.equal(formatCpus(takeCpus(MANY, free, 3, { caches: true })!), '3,18-19');
    assert.equal(
      formatCpus(takeCpus(MANY, all, 6, { caches: true })!),
      '0-2,16-18',
      'a whole one and a part of the next',
    );
  });

  it('spread over cores when they are to', () => {
    assert.equal(formatCpus(takeCpus(MANY, all, 4, { spread: true })!), '0-3');
    assert.equal(formatCpus(takeCpus(MANY, all, 4)!), '0-1,16-17');
  });

  it('take equal shares of as few nodes as can be', () => {
    assert.equal(formatCpus(distributeCpus(MANY, all, 8, 1)!), '0-3,16-19', 'one is enough');
    assert.equal(formatCpus(distributeCpus(MANY, all, 12, 2)!), '0-2,4-6,16-18,20-22');
    // 7 of node 0 are taken: nodes of which enough is left share
    const free = [...ids(0).slice(0, 1), ...ids(1), ...ids(2), ...ids(3)];
    assert.equal(formatCpus(distributeCpus(MANY, free, 10, 1)!), '4-6,8-10,20-21,24-25');
    assert.equal(distributeCpus(MANY, all, 3, 2)!.length, 3, 'what can not be parted so is packed');
    assert.equal(distributeCpus(MANY, [1], 2, 1), undefined);
  });

  it('count the whole socket as near when they are to', () => {
    const near = (options: Partial<CpuOptions>) => {
      const m = createCpuManager({
        file: join(dir, `state-${Object.keys(options).length}`),
        cpus: MANY,
        numa: NODES,
        reserved: [0],
        options: { ...NO_OPTIONS, ...options },
        sharedChanged() {},
      });
      const ask = (uid: string, cpu: string, nodes: number[]) => {
        const resources = { requests: { cpu, memory: '1Mi' }, limits: { cpu, memory: '1Mi' } };
        const p = pod({ containers: [{ name: 'c', image: 'i', resources }] }, { uid });
        void m.allocate(p, p.spec!.containers[0]!, nodes);
        return formatCpus(m.exclusive(uid, 'c'));
      };
      assert.equal(ask('first', '12', [2]), '8-13,24-29');
      return ask('second', '10', [1]);
    };
    assert.equal(near({ bySocket: true }), '1,4-7,17,20-23');
    assert.equal(near({}), '4-7,14,20-23,30', 'the rest comes from where most is taken');
  });

  it('are read from the kernel', () => {
    for (const [id, core] of [
      [0, 0],
      [1, 0],
    ] as const) {
      mkdirSync(join(dir, `cpu${id}`, 'topology'), { recursive: true });
      mkdirSync(join(dir, `cpu${id}`, 'cache', 'index3'), { recursive: true });
      writeFileSync(join(dir, `cpu${id}`, 'topology', 'core_id'), `${core}\n`);
      writeFileSync(join(dir, `cpu${id}`, 'topology', 'physical_package_id'), '3\n');
      writeFileSync(join(dir, `cpu${id}`, 'cache', 'index3', 'shared_cpu_list'), '0-1\n');
    }
    writeFileSync(join(dir, 'online'), '0-1\n');
    assert.deepEqual(readCpus([{ id: 2, cpus: [0, 1] }], dir), [
      { id: 0, core: 0, socket: 3, cache: '0-1', numa: 2 },
      { id: 1, core: 0, socket: 3, cache: '0-1', numa: 2 },
    ]);
  });
});

describe('NUMA nodes', () => {
  let dir: string;
  beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'kubelet-numa-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const GI = 2 ** 30;
  const ask = (name: string, cpu: string, memory: string): Container => ({
    name,
    image: 'i',
    resources: { requests: { cpu, memory }, limits: { cpu, memory } },
  });
  const memory = (numa = NUMA) =>
    createMemoryManager({
      file: join(dir, 'memory_manager_state'),
      numa,
      reserved: [{ numaNode: 0, limits: { memory: '1Gi' } }],
    });
  const cpus = () =>
    createCpuManager({
      file: join(dir, 'cpu_manager_state'),
      cpus: CPUS,
      numa: NUMA,
      reserved: [0],
      options: NO_OPTIONS,
      sharedChanged() {},
    });
  const manager = (policy: TopologyPolicy, providers: HintProvider[], scope: 'container' | 'pod' = 'container') =>
    createTopologyManager({ merger: { policy, numa: NUMA, closest: false }, scope, providers });

  it('are read from the kernel', () => {
    const node = join(dir, 'node0');
    mkdirSync(join(node, 'hugepages', 'hugepages-2048kB'), { recursive: true });
    writeFileSync(join(node, 'cpulist'), '0-1\n');
    writeFileSync(join(node, 'meminfo'), 'Node 0 MemTotal:       1024 kB\n');
    writeFileSync(join(node, 'distance'), '10 21\n');
    writeFileSync(join(node, 'hugepages', 'hugepages-2048kB', 'nr_hugepages'), '3\n');
    assert.deepEqual(readNumaNodes(dir), [
      { id: 0, cpus: [0, 1], memory: 2 ** 20, hugePages: [{ bytes: 2 ** 21, count: 3 }], distances: [10, 21] },
    ]);
    assert.deepEqual(readNumaNodes(join(dir, 'none')), []);
  });

  const merged = (policy: TopologyPolicy, ...lists: Hint[][]) =>
    mergeHints(
      { policy, numa: NUMA, closest: false },
      lists.map((l, i): Hints => new Map([[`r${i}`, l]])),
    );
  const hint = (preferred: boolean, ...nodes: number[]): Hint => ({ nodes, preferred });

  it('are chosen so that all resources agree, and the policy says what happens when they can’t', () => {
    const either = [hint(true, 0), hint(true, 1), hint(false, 0, 1)];
    assert.deepEqual(merged('restricted', either, [hint(true, 1), hint(false, 0, 1)]), {
      hint: hint(true, 1),
      admit: true,
    });
    const apart = [[hint(true, 0)], [hint(true, 1), hint(false, 0, 1)]] as const;
    assert.deepEqual(merged('best-effort', ...apart.map((l) => [...l])), { hint: hint(false, 0), admit: true });
    assert.equal(merged('restricted', ...apart.map((l) => [...l])).admit, false);
    // two nodes that a container needs in any case are preferred, but they are not one
    assert.equal(merged('restricted', [hint(true, 0, 1)]).admit, true);
    assert.equal(merged('single-numa-node', [hint(true, 0, 1)]).admit, false);
    const none: Hints = new Map();
    assert.deepEqual(mergeHints({ policy: 'single-numa-node', numa: NUMA, closest: false }, [none]), {
      hint: { nodes: undefined, preferred: true },
      admit: true,
    });
    const impossible: Hints = new Map([['x', []]]);
    assert.equal(mergeHints({ policy: 'restricted', numa: NUMA, closest: false }, [impossible]).admit, false);
  });

  it('give memory to Guaranteed containers, remember it, and take it back', async () => {
    const m = memory();
    const p = pod({ containers: [ask('a', '1', '6Gi'), ask('b', '1', '6Gi')] }, { uid: 'p' });
    await m.allocate(p, p.spec!.containers[0]!, undefined);
    await m.allocate(p, p.spec!.containers[1]!, undefined);
    assert.deepEqual([m.mems('p', 'a'), m.mems('p', 'b')], [[0], [1]]);
    const again = memory();
    assert.deepEqual(again.blocks('p', 'b'), [{ numaAffinity: [1], type: 'memory', size: 6 * GI }]);
    const large = pod({ containers: [ask('c', '1', '12Gi')] }, { uid: 'q' });
    // both nodes together would have it, but each serves containers alone
    assert.throws(() => void again.allocate(large, large.spec!.containers[0]!, undefined), /no NUMA nodes with enough/);
    again.keep(new Set());
    void again.allocate(large, large.spec!.containers[0]!, undefined);
    assert.deepEqual(again.mems('q', 'c'), [0, 1]);
    const burstable = pod({ containers: [{ name: 'c', image: 'i' }] }, { uid: 'r' });
    void again.allocate(burstable, burstable.spec!.containers[0]!, undefined);
    assert.equal(again.mems('r', 'c'), undefined);
    assert.deepEqual(
      again.allocatable().map((b) => b.size),
      [9 * GI, 10 * GI],
    );
  });

  it('lend the memory of init containers to those that come after them', async () => {
    const m = memory([NUMA[1]!]);
    const p = pod({ initContainers: [ask('i', '1', '8Gi')], containers: [ask('c', '1', '9Gi')] }, { uid: 'p' });
    for (const c of [...p.spec!.initContainers!, ...p.spec!.containers]) await m.allocate(p, c, undefined);
    assert.equal(m.blocks('p', 'c')[0]!.size, 9 * GI);
    m.release('p');
    const whole = pod({ containers: [ask('c', '1', '10Gi')] }, { uid: 'q' });
    await m.allocate(whole, whole.spec!.containers[0]!, undefined);
    assert.deepEqual(m.mems('q', 'c'), [1], 'all came back');
  });

  it('give CPUs and memory from the same side, or nothing', async () => {
    const [c, m] = [cpus(), memory()];
    const t = manager('single-numa-node', [c, m]);
    // node 0 has one CPU reserved: three are left there, four on node 1
    const four = pod({ containers: [ask('c', '4', '8Gi')] }, { uid: 'four' });
    await t.allocate(four);
    assert.deepEqual([c.exclusive('four', 'c'), m.mems('four', 'c')], [[2, 3, 6, 7], [1]]);
    // 4 GiB are left on node 1 alone, CPUs on node 0 alone
    const apart = pod({ containers: [ask('c', '2', '9500Mi')] }, { uid: 'apart' });
    await assert.rejects(t.allocate(apart), /Resources cannot be allocated with Topology locality/);
    assert.equal(c.has('apart') || m.has('apart'), false);
    const near = pod({ containers: [ask('c', '2', '4Gi')] }, { uid: 'near' });
    await t.allocate(near);
    assert.deepEqual([c.exclusive('near', 'c'), m.mems('near', 'c')], [[1, 5], [0]]);
    // what it has it keeps: it is not judged again
    await t.allocate(near);
  });

  it('judge a pod as a whole where the scope says so', async () => {
    const two = (uid: string) => pod({ containers: [ask('a', '2', '1Gi'), ask('b', '2', '1Gi')] }, { uid });
    const c = cpus();
    await manager('single-numa-node', [c], 'pod').allocate(two('whole'));
    const got = [...c.exclusive('whole', 'a'), ...c.exclusive('whole', 'b')];
    assert.equal(formatCpus(got), '2-3,6-7');
    await assert.rejects(manager('single-numa-node', [c], 'pod').allocate(two('again')), /Topology locality/);
    c.release('whole');
    const d = cpus();
    await manager('single-numa-node', [d]).allocate(two('parts'));
    assert.equal(d.exclusive('parts', 'a').length, 2);
  });

  it('must keep back together what the node keeps back', () => {
    checkReserved([{ numaNode: 0, limits: { memory: '1Gi' } }], [0, 1], { memory: GI });
    assert.throws(
      () => checkReserved([{ numaNode: 1, limits: { memory: '1Gi' } }], [0, 1], { memory: 2 * GI }),
      /the total amount "1Gi" of type "memory" is not equal to the value "2Gi" determined by Node Allocatable feature/,
    );
    assert.throws(() => checkReserved([{ numaNode: 7, limits: {} }], [0], {}), /NUMA node 7 that does not exist/);
  });
});

describe('swap of containers', () => {
  it('goes to burstable pods by their share of the memory', () => {
    const dir = mkdtempSync(join(tmpdir(), 'kubelet-swap-'));
    try {
      writeFileSync(
        join(dir, 'swaps'),
        'Filename Type Size Used Priority\n/swap file 1024 0 -2\n/swap2 file 1024 0 -3\n',
      );
      assert.equal(swapCapacity(join(dir, 'swaps')), 2 << 20);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
    const settings = { behavior: 'LimitedSwap', memory: 1000, swap: 500 } as const;
    const of = (requests: Record<string, string>, limits: Record<string, string> = {}) => {
      const p = pod({ containers: [{ name: 'c', image: 'i', resources: { requests, limits } }] });
      return swapLimit(p, p.spec!.containers[0]!, settings);
    };
    assert.equal(of({ memory: '100' }), 50);
    assert.equal(of({ memory: '100', cpu: '1' }, { memory: '100' }), 0, 'all of it in memory');
    assert.equal(of({}), 0, 'best effort');
    const p = pod({ containers: [{ name: 'c', image: 'i', resources: { requests: { memory: '100' } } }] });
    assert.equal(swapLimit(p, p.spec!.containers[0]!, { ...settings, behavior: 'NoSwap' }), 0);
  });
});

describe('CDI devices', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'kubelet-cdi-'));
    const edits = {
      env: ['A=1=2'],
      deviceNodes: [{ path: '/dev/x', hostPath: '/dev/null' }],
      mounts: [{ hostPath: '/h', containerPath: '/c', options: ['ro', 'bind'] }],
    };
    writeFileSync(
      join(dir, 'vendor.json'),
      JSON.stringify({
        cdiVersion: '0.6.0',
        kind: 'example.com/x',
        containerEdits: { env: ['ALL=yes'] },
        devices: [
          { name: 'd1', containerEdits: edits },
          { name: 'd2', containerEdits: { hooks: [{}] } },
        ],
      }),
    );
    writeFileSync(join(dir, 'broken.json'), '{');
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('stand for changes of a container', async () => {
    assert.deepEqual(await resolveCdi(['example.com/x=d1'], [dir]), {
      envs: [
        { key: 'ALL', value: 'yes' },
        { key: 'A', value: '1=2' },
      ],
      devices: [{ container_path: '/dev/x', host_path: '/dev/null', permissions: 'rwm' }],
      mounts: [{ container_path: '/c', host_path: '/h', readonly: true }],
      gids: [],
    });
  });
  it('are refused when nobody knows them or the runtime is needed', async () => {
    await assert.rejects(resolveCdi(['example.com/x=no'], [dir]), /unresolvable CDI devices example.com\/x=no/);
    await assert.rejects(resolveCdi(['example.com/x=d2'], [dir]), /needs hooks/);
  });
});
