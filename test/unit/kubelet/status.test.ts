import assert from 'node:assert/strict';
import type { Container, Pod } from '../../../api/types.ts';
import { generateStatus, type StatusContext } from '../../../kubelet/status/generate.ts';
import { pod, ran, sandbox, state } from './pods.ts';

const NOW = Date.parse('2030-01-01T00:00:10Z');
const context = (over: Partial<StatusContext> = {}): StatusContext => ({
  now: NOW,
  hostIPs: ['192.0.2.1'],
  runtimeName: 'containerd',
  previous: undefined,
  waiting: new Map(),
  started: () => true,
  ready: () => true,
  terminating: false,
  ...over,
});
const c: Container = { name: 'c', image: 'busybox:1' };
const condition = (s: NonNullable<Pod['status']>, type: string) => s.conditions!.find((x) => x.type === type)!;

describe('kubelet pod status', () => {
  it('is Pending with a reason before anything runs', () => {
    const s = generateStatus(pod({}, { generation: 3 }), state([], []), context());
    assert.equal(s.phase, 'Pending');
    assert.equal(s.observedGeneration, 3);
    assert.equal(s.containerStatuses![0]!.state!.waiting!.reason, 'ContainerCreating');
    assert.equal(condition(s, 'PodReadyToStartContainers').status, 'False');
    assert.equal(condition(s, 'Ready').reason, 'ContainersNotReady');
    assert.equal(condition(s, 'Ready').message, 'containers with unready status: [c]');
    assert.equal(condition(s, 'Ready').observedGeneration, 3);
  });

  it('is Running and Ready with addresses when all is well', () => {
    const s = generateStatus(pod(), state([ran(c)]), context());
    assert.equal(s.phase, 'Running');
    assert.equal(condition(s, 'Ready').status, 'True');
    assert.deepEqual(s.podIPs, [{ ip: '10.0.0.5' }]);
    assert.deepEqual(s.hostIPs, [{ ip: '192.0.2.1' }]);
    assert.equal(s.containerStatuses![0]!.containerID, 'containerd://c-id');
    const user = { linux: { uid: 1, gid: 2, supplemental_groups: [2, 3] } };
    const asUser = generateStatus(pod(), state([ran(c, { user })]), context()).containerStatuses![0]!.user;
    assert.deepEqual(asUser, { linux: { uid: 1, gid: 2, supplementalGroups: [2, 3] } });
    assert.equal(s.qosClass, 'BestEffort');
  });

  it('keeps transition times while nothing changes', () => {
    const first = generateStatus(pod(), state([ran(c)]), context());
    const later = generateStatus(pod(), state([ran(c)]), context({ now: NOW + 60_000, previous: first }));
    assert.deepEqual(later, first);
  });

  it('shows the back-off of a crashing container with its last end', () => {
    const waiting = new Map([['c', { reason: 'CrashLoopBackOff', message: 'back-off 10s' }]]);
    const s = generateStatus(
      pod(),
      state([ran(c, { exit: 3, restartCount: 2, message: 'bye' })]),
      context({ waiting }),
    );
    const cs = s.containerStatuses![0]!;
    assert.equal(s.phase, 'Running');
    assert.equal(cs.state!.waiting!.reason, 'CrashLoopBackOff');
    assert.equal(cs.lastState!.terminated!.exitCode, 3);
    assert.equal(cs.lastState!.terminated!.message, 'bye');
    assert.equal(cs.restartCount, 2);
  });

  it('shows init containers that are not through', () => {
    const i = { name: 'i', image: 'x' };
    const s = generateStatus(pod({ initContainers: [i] }), state([ran(i)]), context());
    assert.equal(s.phase, 'Pending');
    assert.equal(condition(s, 'Initialized').message, 'containers with incomplete status: [i]');
    assert.equal(s.containerStatuses![0]!.state!.waiting!.reason, 'PodInitializing');
  });

  it('ends Succeeded or Failed by exit codes and restart policy', () => {
    const end = (code: number, restartPolicy: string) =>
      generateStatus(
        pod({ restartPolicy }),
        state([ran(c, { exit: code })], [sandbox({ state: 'SANDBOX_NOTREADY' })]),
        context(),
      );
    assert.equal(end(0, 'Never').phase, 'Succeeded');
    assert.equal(condition(end(0, 'Never'), 'Ready').reason, 'PodCompleted');
    assert.equal(end(1, 'Never').phase, 'Failed');
    assert.equal(end(1, 'OnFailure').phase, 'Running');
    assert.equal(end(0, 'OnFailure').phase, 'Succeeded');
    assert.equal(end(0, 'Always').phase, 'Running');
  });

  it('keeps Running while a sidecar still runs', () => {
    const s = { name: 's', image: 'x', restartPolicy: 'Always' };
    const status = generateStatus(
      pod({ initContainers: [s], restartPolicy: 'Never' }),
      state([ran(c, { exit: 0 }), ran(s)]),
      context(),
    );
    assert.equal(status.phase, 'Running');
  });

  it('is not over while an init container’s rule has all start again', () => {
    const exitCodes = { operator: 'In', values: [42] };
    const i: Container = {
      name: 'i',
      image: 'x',
      restartPolicy: 'Never',
      restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes }],
    };
    const phase = (exit: number) =>
      generateStatus(pod({ initContainers: [i], restartPolicy: 'Never' }), state([ran(i, { exit })]), context()).phase;
    assert.equal(phase(42), 'Pending');
    assert.equal(phase(1), 'Failed');
    const sidecar: Container = { ...i, restartPolicy: 'Always' };
    const ended = state([ran(c, { exit: 137, created_at: 10 }), ran(sidecar, { exit: 42, created_at: 10 })]);
    const said = generateStatus(pod(), state([ran(c)]), context());
    const s = generateStatus(
      pod({ initContainers: [sidecar], restartPolicy: 'Never' }),
      ended,
      context({ previous: said, restartAllSince: 20 }),
    );
    assert.equal(s.phase, 'Running', 'all that was stopped for a sidecar');
  });

  it('never leaves a terminal phase', () => {
    const s = generateStatus(pod(), state([ran(c)]), context({ previous: { phase: 'Failed' } }));
    assert.equal(s.phase, 'Failed');
  });

  it('says why a pod was ended', () => {
    const s = generateStatus(
      pod(),
      state([ran(c, { exit: 137 })]),
      context({ terminating: true, override: { phase: 'Failed', reason: 'DeadlineExceeded', message: 'late' } }),
    );
    assert.deepEqual([s.phase, s.reason, s.message], ['Failed', 'DeadlineExceeded', 'late']);
  });

  it('waits for readiness gates', () => {
    const gated = pod({ readinessGates: [{ conditionType: 'a.b/c' }] });
    assert.equal(
      condition(generateStatus(gated, state([ran(c)]), context()), 'Ready').reason,
      'ReadinessGatesNotReady',
    );
    const open = { ...gated, status: { conditions: [{ type: 'a.b/c', status: 'True' }] } };
    assert.equal(condition(generateStatus(open, state([ran(c)]), context()), 'Ready').status, 'True');
  });

  it('takes readiness and startup from probes', () => {
    const slow = generateStatus(pod(), state([ran(c)]), context({ started: () => false }));
    assert.deepEqual([slow.containerStatuses![0]!.started, slow.containerStatuses![0]!.ready], [false, false]);
    const unready = generateStatus(pod(), state([ran(c)]), context({ ready: () => false }));
    assert.deepEqual([unready.containerStatuses![0]!.started, unready.containerStatuses![0]!.ready], [true, false]);
  });
});
