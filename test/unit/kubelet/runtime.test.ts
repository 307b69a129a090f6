import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { systemClock, systemIds, systemRand, type Clock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { Container, Pod } from '../../../api/types.ts';
import { cpuWeight, podCgroupPath } from '../../../kubelet/cgroups/manager.ts';
import { createHollowRuntime } from '../../../kubelet/cri/hollow.ts';
import { staleLeases } from '../../../kubelet/cri/leases.ts';
import { rotateLogs } from '../../../kubelet/logs/rotate.ts';
import { garbage } from '../../../kubelet/pods/container-gc.ts';
import { addMessages } from '../../../kubelet/pods/messages.ts';
import { byUrgency, createResizer, needsRestart, sameResources } from '../../../kubelet/pods/resize.ts';
import { gracePeriod } from '../../../kubelet/pods/termination.ts';
import { check, portNumber, type ProbeSpec } from '../../../kubelet/probes/check.ts';
import { createProbeManager } from '../../../kubelet/probes/manager.ts';
import { manualClock } from '../../support/clock.ts';
import { pod, ran, sandbox, state } from './pods.ts';

describe('kubelet log rotation', () => {
  it('renames what is too large, compresses the older ones and keeps the number', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-rotate-'));
    try {
      const path = join(dir, '0.log');
      const c = ran({ name: 'c' }, { log_path: path });
      let now = Date.parse('2030-01-01T00:00:00Z');
      const clock: Clock = { ...systemClock, now: () => now };
      const runtime = { ...createHollowRuntime({ clock, ids: systemIds }), reopenLog: () => writeFile(path, '') };
      const rotate = () =>
        rotateLogs({
          workers: [{ state: state([c]) }],
          runtime,
          clock,
          maxSize: 10,
          maxFiles: 3,
          logger: silentLogger,
        });
      await writeFile(path, 'short');
      await rotate();
      assert.deepEqual(await readdir(dir), ['0.log']);
      for (let i = 0; i < 4; i++) {
        await writeFile(path, `a long line ${i}`);
        await rotate();
        now += 1000;
      }
      const files = (await readdir(dir)).sort();
      assert.deepEqual(files, ['0.log', '0.log.20300101-000002.gz', '0.log.20300101-000003']);
      assert.equal(gunzipSync(await readFile(join(dir, files[1]!))).toString(), 'a long line 2');
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('takes last words from the file, or from the log of a failure', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-words-'));
    try {
      await writeFile(join(dir, 'msg'), 'from the file');
      await writeFile(join(dir, 'log'), '2030-01-01T00:00:00Z stdout F first\n2030-01-01T00:00:01Z stderr F last\n');
      const ended = (name: string, exit: number, file: string, policy: string) =>
        ran(
          { name },
          {
            exit,
            log_path: join(dir, 'log'),
            annotations: {
              'k8ts.io/termination-file': join(dir, file),
              'io.kubernetes.container.terminationMessagePolicy': policy,
            },
          },
        );
      const s = await addMessages(
        state([
          ended('a', 1, 'msg', 'File'),
          ended('b', 1, 'none', 'FallbackToLogsOnError'),
          ended('c', 0, 'none', 'FallbackToLogsOnError'),
        ]),
        undefined,
      );
      assert.deepEqual(
        s.containers.map((c) => c.message),
        ['from the file', 'first\nlast\n', ''],
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('kubelet resize', () => {
  const withCpu = (cpu: string, memory = '64Mi'): Container => ({
    name: 'c',
    image: 'x',
    resources: { requests: { cpu, memory }, limits: { cpu, memory } },
    resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }],
  });

  it('grants, then puts into force', () => {
    const before = pod({ containers: [withCpu('100m')] });
    const after = pod({ containers: [withCpu('200m')] });
    const r = createResizer(before, undefined);
    assert.equal(r.wanted(before), false);
    assert.equal(r.wanted(after), true);
    assert.equal(r.allocated(after).spec!.containers[0]!.resources!.limits!['cpu'], '100m', 'not granted yet');
    r.grant(after);
    assert.equal(r.pending(after).length, 1);
    r.applied('c', after.spec!.containers[0]!.resources);
    assert.deepEqual(r.pending(after), []);
    assert.equal(r.resources(after.spec!.containers[0]!).actual!.limits!['cpu'], '200m');
  });

  it('knows from the status after a restart what is in force', () => {
    const wanted = pod({ containers: [withCpu('200m')] });
    const status: Pod['status'] = {
      containerStatuses: [
        {
          name: 'c',
          image: '',
          imageID: '',
          ready: true,
          restartCount: 0,
          containerID: 'x://1',
          allocatedResources: { cpu: '100m', memory: '64Mi' },
          resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '100m', memory: '64Mi' } },
        },
      ],
    };
    assert.equal(createResizer(wanted, status).wanted(wanted), true);
  });

  it('bounds containers without limits by the pod, and changes them with it', () => {
    const whole = (cpu: string): Pod =>
      pod({ containers: [{ name: 'c', image: 'x' }], resources: { limits: { cpu } } });
    const r = createResizer(whole('1'), undefined);
    r.grant(whole('2'));
    assert.equal(r.podPending(), true);
    assert.equal(r.allocated(whole('1')).spec!.resources!.limits!['cpu'], '2');
    assert.equal(r.actual(whole('2')).spec!.resources!.limits!['cpu'], '1');
    assert.deepEqual(
      r.pending(whole('2')).map((c) => c.name),
      ['c'],
    );
    r.applied('c', undefined);
    r.podApplied();
    assert.deepEqual([r.pending(whole('2')), r.podPending()], [[], false]);
    assert.deepEqual(r.bounds('c')!.limits, { cpu: '2' });
  });

  it("finds the pod's own resources in what was told of the whole, without the overhead", () => {
    const spec = {
      containers: [{ name: 'c', image: 'x' }],
      resources: { requests: { cpu: '3' }, limits: { memory: '2Gi' } },
      overhead: { cpu: '100m', memory: '1Gi' },
    };
    const status = {
      containerStatuses: [{ name: 'c', image: '', imageID: '', ready: true, restartCount: 0, containerID: 'x://1' }],
      allocatedResources: { cpu: '2100m', memory: '1Gi' },
      resources: { requests: { cpu: '1100m', memory: '1Gi' }, limits: { memory: '3Gi' } },
    };
    const r = createResizer(pod(spec), status);
    assert.equal(r.wanted(pod(spec)), true);
    assert.deepEqual(r.allocated(pod(spec)).spec!.resources, { requests: { cpu: '2' }, limits: { memory: '2Gi' } });
    assert.deepEqual(r.actual(pod(spec)).spec!.resources!.requests, { cpu: '1' });
  });

  it('gives room to higher priority, then to Guaranteed pods, then to those that wait longest', () => {
    const waiting = (name: string, since: number, priority: number, container: Container) => ({
      pod: { ...pod({ containers: [container], priority }), metadata: { name } },
      since,
    });
    const plain: Container = { name: 'c', image: 'x', resources: { requests: { cpu: '1' } } };
    const order = [
      waiting('late', 2, 0, plain),
      waiting('early', 1, 0, plain),
      waiting('guaranteed', 3, 0, withCpu('1')),
      waiting('important', 4, 10, plain),
    ].sort(byUrgency);
    assert.deepEqual(
      order.map((w) => w.pod.metadata.name),
      ['important', 'guaranteed', 'early', 'late'],
    );
  });

  it('asks for a restart where the policy says so, and sees no difference in notation', () => {
    assert.equal(needsRestart(withCpu('1'), withCpu('1').resources, withCpu('2').resources), false);
    assert.equal(needsRestart(withCpu('1'), withCpu('1').resources, withCpu('1', '128Mi').resources), true);
    assert.equal(
      sameResources({ requests: { cpu: '1000m', memory: '1Gi' } }, { requests: { memory: '1024Mi', cpu: '1' } }),
      true,
    );
  });
});

describe('kubelet probes', () => {
  const container: Container = { name: 'c', ports: [{ name: 'web', containerPort: 8080 }] };
  const target = (runtime = createHollowRuntime({ clock: systemClock, ids: systemIds })) => ({
    containerId: 'x',
    podIP: '127.0.0.1',
    container,
    runtime,
  });
  const ask = async (spec: ProbeSpec) => (await check(spec, target(), systemClock)).result;

  it('finds ports by name', () => {
    assert.equal(portNumber('web', container), 8080);
    assert.equal(portNumber('81', container), 81);
    assert.throws(() => portNumber('none', container), /couldn't find port/);
  });

  it('asks over HTTP, follows redirects on the same host, and gives up in time', async () => {
    const seen: http.IncomingHttpHeaders[] = [];
    const server = http.createServer((req, res) => {
      seen.push(req.headers);
      if (req.url === '/ok') res.end('fine');
      else if (req.url === '/there') res.writeHead(302, { Location: '/ok' }).end();
      else if (req.url === '/away') res.writeHead(302, { Location: 'http://elsewhere.invalid/' }).end();
      else if (req.url === '/bad') res.writeHead(503).end();
      else if (req.url === '/endless') {
        res.writeHead(200);
        const drip = setInterval(() => res.write('.'), 100);
        res.once('close', () => clearInterval(drip));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const get = (path: string) =>
      ask({ httpGet: { path, port, httpHeaders: [{ name: 'X-A', value: 'b' }] }, timeoutSeconds: 1 });
    try {
      assert.deepEqual(await Promise.all(['/ok', '/there', '/away', '/bad', '/silent', '/endless'].map(get)), [
        'success',
        'success',
        'success',
        'failure',
        'failure',
        'unknown',
      ]);
      assert.equal(seen[0]!['x-a'], 'b');
      assert.match(seen[0]!['user-agent']!, /^kube-probe\//);
    } finally {
      server.closeAllConnections();
      server.close();
    }
    assert.equal(await get('/ok'), 'failure', 'nobody listens');
  });

  it('connects over TCP', async () => {
    const server = net.createServer((s) => s.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    assert.equal(await ask({ tcpSocket: { port } }), 'success');
    await new Promise((resolve) => server.close(resolve));
    assert.equal(await ask({ tcpSocket: { port } }), 'failure');
  });

  it('counts thresholds, holds readiness back until startup, and gives liveness up', async () => {
    const clock = manualClock();
    const answer = { startup: 1, readiness: 0, liveness: 0 };
    const asked: string[] = [];
    const runtime = {
      ...createHollowRuntime({ clock, ids: systemIds }),
      execSync: async (_id: string, [kind]: string[]) => {
        asked.push(kind!);
        return { exit_code: answer[kind as 'startup'], stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
      },
    };
    const probe = (kind: string, more = {}) => ({
      exec: { command: [kind] },
      periodSeconds: 1,
      failureThreshold: 2,
      ...more,
    });
    const p = pod({
      containers: [
        {
          name: 'c',
          image: 'x',
          startupProbe: probe('startup', { failureThreshold: 10 }),
          readinessProbe: probe('readiness', { successThreshold: 2 }),
          livenessProbe: probe('liveness'),
        },
      ],
    });
    const run = ran(p.spec!.containers[0]!, { started_at: clock.now() * 1e6 });
    const changes: string[] = [];
    const probes = createProbeManager({
      runtime,
      clock,
      rand: systemRand,
      changed: (uid) => void changes.push(uid),
      failed: () => {},
    });
    probes.sync(p, state([run]), '10.0.0.5');
    await clock.advanceAsync(3000);
    assert.deepEqual(new Set(asked), new Set(['startup']), 'nothing but startup is asked before it succeeds');
    assert.deepEqual([probes.started(p, run), probes.ready(p, run)], [false, false]);
    answer.startup = 0;
    await clock.advanceAsync(1000);
    assert.equal(probes.started(p, run), true);
    assert.equal(probes.ready(p, run), false, 'once is not enough');
    await clock.advanceAsync(1500);
    assert.equal(probes.ready(p, run), true);
    answer.liveness = 1;
    await clock.advanceAsync(1000);
    assert.equal(probes.unhealthy('uid-1').size, 0);
    await clock.advanceAsync(1500);
    assert.deepEqual([...probes.unhealthy('uid-1')], [['c-id', 'liveness']]);
    assert.ok(changes.length >= 3);
    probes.remove('uid-1');
    assert.equal(clock.timers(), 0, 'no timer is left');
  });

  it('asks a container that has just begun sooner whether it is ready, and later as often as it is told', async () => {
    const clock = manualClock();
    const began = clock.now();
    const asked: number[] = [];
    let answer = 1;
    const runtime = {
      ...createHollowRuntime({ clock, ids: systemIds }),
      execSync: async () => {
        asked.push(Math.round((clock.now() - began) / 1000));
        return { exit_code: answer, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
      },
    };
    const p = pod({
      containers: [{ name: 'c', image: 'x', readinessProbe: { exec: { command: ['a'] }, periodSeconds: 10 } }],
    });
    const run = ran(p.spec!.containers[0]!, { started_at: clock.now() * 1e6 });
    const probes = createProbeManager({ runtime, clock, rand: systemRand, changed: () => {}, failed: () => {} });
    probes.sync(p, state([run]), '10.0.0.5');
    for (let s = 0; s < 40; s++) await clock.advanceAsync(1000);
    assert.deepEqual(asked, [0, 1, 2, 4, 8, 16, 26, 36]);
    answer = 0;
    for (let s = 0; s < 40; s++) await clock.advanceAsync(1000);
    assert.equal(probes.ready(p, run), true);
    assert.deepEqual(asked.slice(8), [46, 56, 66, 76]);
    probes.remove('uid-1');
  });
});

describe('kubelet housekeeping', () => {
  it('ends leases of an earlier process of the runtime, but for those that never expire', () => {
    const lease = (
      id: string,
      seconds: number,
      labels: Record<string, string> = { 'containerd.io/gc.expire': 'x' },
    ) => ({
      id,
      created_at: { seconds, nanos: 500_000_000 },
      labels,
    });
    const all = [
      lease('before', 99),
      lease('after', 100),
      lease('own', 99, {}),
      { ...lease('odd', 99), created_at: null },
    ];
    assert.deepEqual(staleLeases(all, 100_000), ['before']);
  });

  it('keeps the last ended containers of each name and their sandboxes', () => {
    const c = { name: 'c' };
    const s = state(
      [
        ran(c, { id: 'run' }),
        ran(c, { id: 'e1', exit: 1 }),
        ran(c, { id: 'e2', exit: 1, sandboxId: 's0' }),
        ran(c, { id: 'e3', exit: 1, sandboxId: 's00' }),
      ],
      [sandbox(), sandbox({ id: 's0', state: 'SANDBOX_NOTREADY' }), sandbox({ id: 's00', state: 'SANDBOX_NOTREADY' })],
    );
    const g = garbage(s);
    assert.deepEqual(
      g.containers.map((x) => x.id),
      ['e3'],
    );
    assert.deepEqual(g.sandboxes, ['s00']);
  });

  it('places pods in cgroups by class', () => {
    assert.equal(podCgroupPath('/node-a', 'cgroupfs', 'Guaranteed', 'u-1'), '/node-a/kubepods/podu-1');
    assert.equal(podCgroupPath('/', 'cgroupfs', 'Burstable', 'u-1'), '/kubepods/burstable/podu-1');
    assert.equal(podCgroupPath('/', 'systemd', 'BestEffort', 'u-1'), 'kubepods-besteffort-podu_1.slice');
    assert.deepEqual([2, 1024, 262_144].map(cpuWeight), [1, 39, 10_000]);
  });

  it('gives at least a second of grace', () => {
    assert.equal(gracePeriod(pod({ terminationGracePeriodSeconds: 30 })), 30);
    assert.equal(gracePeriod(pod({ terminationGracePeriodSeconds: 30 }, { deletionGracePeriodSeconds: 5 })), 5);
    assert.equal(gracePeriod(pod({}, { deletionGracePeriodSeconds: 0 })), 1);
    assert.equal(gracePeriod(pod(), 0), 1);
  });
});
