import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatCpus, parseCpus } from '../../../kubelet/cpus/cpuset.ts';
import { createCpuManager } from '../../../kubelet/cpus/manager.ts';
import { takeCpus, type Cpu } from '../../../kubelet/cpus/topology.ts';
import { resolveCdi } from '../../../kubelet/devices/cdi.ts';
import { swapCapacity, swapLimit } from '../../../kubelet/pods/swap.ts';
import { pod } from './pods.ts';

/** Two sockets of two cores with two threads: CPU n and n+4 share a core. */
const CPUS: Cpu[] = [0, 1, 2, 3, 4, 5, 6, 7].map((id) => ({ id, core: id % 4, socket: id % 4 < 2 ? 0 : 1 }));

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
        reserved: [0],
        strict: false,
        wholeCores: false,
        sharedChanged: () => changes++,
      });
    const m = make();
    m.allocate(asks('a', '2'));
    assert.deepEqual(m.exclusive('a', 'c'), [1, 5]);
    m.allocate(asks('b', '1500m'));
    assert.deepEqual(m.exclusive('b', 'c'), [], 'no whole number');
    assert.equal(m.cpuset('b', 'c'), '0,2-4,6-7');
    assert.equal(changes, 1);
    const again = make();
    assert.deepEqual(again.exclusive('a', 'c'), [1, 5]);
    assert.throws(
      () => again.allocate(asks('d', '6')),
      /not enough cpus available to satisfy request: requested=6, available=5/,
    );
    again.release('a');
    assert.equal(again.cpuset('b', 'c'), '0-7');
    assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { defaultCpuSet: string }).defaultCpuSet, '0-7');
  });

  it('lets the containers use again what init containers had', () => {
    const options = { file: join(dir, 's'), cpus: CPUS, reserved: [0, 4], strict: false, wholeCores: false };
    const m = createCpuManager({ ...options, sharedChanged() {} });
    const resources = { requests: { cpu: '6', memory: '1Mi' }, limits: { cpu: '6', memory: '1Mi' } };
    m.allocate(asks('a', '6', { initContainers: [{ name: 'i', image: 'i', resources }] }));
    assert.deepEqual(m.exclusive('a', 'i'), m.exclusive('a', 'c'));
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
