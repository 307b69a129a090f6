import assert from 'node:assert/strict';
import type { Container } from '../../../api/types.ts';
import { plan, restartTriggers, shouldRestart, type PlanContext } from '../../../kubelet/pods/plan.ts';
import type { RuntimeContainerState } from '../../../kubelet/pods/state.ts';
import { pod, ran, sandbox, state } from './pods.ts';

const context = (over: Partial<PlanContext> = {}): PlanContext => ({
  unhealthy: new Map(),
  started: () => true,
  ...over,
});
const c: Container = { name: 'c', image: 'busybox:1' };
const d: Container = { name: 'd', image: 'busybox:1' };
const kinds = (p: ReturnType<typeof plan>) =>
  p.actions.map((a) => (a.kind === 'startContainer' ? `start ${a.container.name}` : a.kind));

describe('kubelet plan', () => {
  it('makes a sandbox and starts all containers of a new pod', () => {
    const p = plan(pod({ containers: [c, d] }), state([], []), context());
    assert.deepEqual(kinds(p), ['createSandbox', 'start c', 'start d']);
    assert.equal(p.finished, false);
  });

  it('does nothing for a pod that runs', () => {
    assert.deepEqual(plan(pod(), state([ran(c)]), context()), { actions: [], finished: false });
  });

  it('starts init containers one after the other, and the first alone with a new sandbox', () => {
    const i1 = { name: 'i1', image: 'x' };
    const i2 = { name: 'i2', image: 'x' };
    const p = pod({ initContainers: [i1, i2] });
    assert.deepEqual(kinds(plan(p, state([], []), context())), ['createSandbox', 'start i1']);
    assert.deepEqual(kinds(plan(p, state([ran(i1)]), context())), []);
    assert.deepEqual(kinds(plan(p, state([ran(i1, { exit: 0 })]), context())), ['start i2']);
    assert.deepEqual(kinds(plan(p, state([ran(i1, { exit: 0 }), ran(i2, { exit: 0 })]), context())), ['start c']);
  });

  it('tries a failed init container again, but not in a pod that never restarts', () => {
    const i1 = { name: 'i1', image: 'x' };
    const failed = state([ran(i1, { exit: 1 })]);
    assert.deepEqual(kinds(plan(pod({ initContainers: [i1], restartPolicy: 'OnFailure' }), failed, context())), [
      'start i1',
    ]);
    assert.deepEqual(plan(pod({ initContainers: [i1], restartPolicy: 'Never' }), failed, context()), {
      actions: [],
      finished: true,
    });
  });

  it('waits for a sidecar to have started, and restarts it beside running containers', () => {
    const s = { name: 's', image: 'x', restartPolicy: 'Always' };
    const p = pod({ initContainers: [s], restartPolicy: 'Never' });
    assert.deepEqual(kinds(plan(p, state([ran(s)]), context({ started: () => false }))), []);
    assert.deepEqual(kinds(plan(p, state([ran(s)]), context())), ['start c']);
    assert.deepEqual(kinds(plan(p, state([ran(c), ran(s, { exit: 1 })]), context())), ['start s']);
  });

  it('is finished when all has ended for good, sidecars or not', () => {
    const s = { name: 's', image: 'x', restartPolicy: 'Always' };
    assert.equal(plan(pod({ restartPolicy: 'Never' }), state([ran(c, { exit: 1 })]), context()).finished, true);
    assert.equal(plan(pod({ restartPolicy: 'OnFailure' }), state([ran(c, { exit: 1 })]), context()).finished, false);
    assert.equal(plan(pod({ restartPolicy: 'OnFailure' }), state([ran(c, { exit: 0 })]), context()).finished, true);
    assert.equal(
      plan(pod({ initContainers: [s], restartPolicy: 'Never' }), state([ran(s), ran(c, { exit: 0 })]), context())
        .finished,
      true,
    );
  });

  it('kills and restarts a container whose liveness failed; in a pod that never restarts it only kills', () => {
    const unhealthy = new Map([['c-id', 'liveness' as const]]);
    assert.deepEqual(kinds(plan(pod(), state([ran(c)]), context({ unhealthy }))), ['killContainer', 'start c']);
    assert.deepEqual(kinds(plan(pod({ restartPolicy: 'Never' }), state([ran(c)]), context({ unhealthy }))), [
      'killContainer',
    ]);
  });

  it('replaces a container whose image changed', () => {
    const changed = { name: 'c', image: 'busybox:2' };
    assert.deepEqual(kinds(plan(pod({ containers: [changed] }), state([ran(c)]), context())), [
      'killContainer',
      'start c',
    ]);
  });

  it('makes a new sandbox with a higher attempt when the old one is gone, and counts restarts on', () => {
    const dead = sandbox({ state: 'SANDBOX_NOTREADY' });
    const p = plan(pod(), state([ran(c, { exit: 137, restartCount: 2 })], [dead]), context());
    assert.deepEqual(kinds(p), ['killPod', 'createSandbox', 'start c']);
    assert.deepEqual(
      p.actions.map((a) => ('attempt' in a ? a.attempt : undefined)),
      [undefined, 1, 3],
    );
  });

  it('starts nothing a second time in a pod that never restarts', () => {
    const dead = sandbox({ state: 'SANDBOX_NOTREADY' });
    const p = plan(pod({ restartPolicy: 'Never' }), state([ran(c, { exit: 0 })], [dead]), context());
    assert.deepEqual(p, { actions: [], finished: true });
  });

  it('goes on counting restarts that only the API knows of', () => {
    const p = plan(pod(), state([], []), context({ lostRestarts: () => 4 }));
    assert.equal(p.actions.find((a) => a.kind === 'startContainer')!.attempt, 5);
  });

  it('starts ephemeral containers once', () => {
    const e = { name: 'e', image: 'x' };
    const p = pod({ ephemeralContainers: [e] });
    assert.deepEqual(kinds(plan(p, state([ran(c)]), context())), ['start e']);
    assert.deepEqual(kinds(plan(p, state([ran(c), ran(e, { exit: 1 })]), context())), []);
  });

  it('follows restart rules of a container', () => {
    const rule = {
      name: 'c',
      image: 'x',
      restartPolicy: 'Never',
      restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
    };
    assert.equal(shouldRestart(pod(), rule, 42), true);
    assert.equal(shouldRestart(pod(), rule, 1), false);
  });
});

describe('restart of all containers', () => {
  const rule = (action: string) => [{ action, exitCodes: { operator: 'In', values: [42] } }];
  const p = pod({
    restartPolicy: 'Never',
    initContainers: [{ name: 'i', image: 'x' }],
    containers: [
      { name: 'a', image: 'x', restartPolicyRules: rule('RestartAllContainers') },
      { name: 'b', image: 'x' },
    ],
  });
  const [a, b] = p.spec!.containers as [Container, Container];
  const i = p.spec!.initContainers![0]!;
  const none: PlanContext = { unhealthy: new Map(), started: () => true };
  const at = (created: number, finished = 0) => ({ created_at: created, finished_at: finished });
  const view = (containers: RuntimeContainerState[]) => ({
    uid: 'uid-1',
    sandboxes: [sandbox()],
    containers,
    ips: ['10.0.0.5'],
  });
  const steps = (containers: RuntimeContainerState[], restartAllSince?: number) =>
    plan(p, view(containers), { ...none, restartAllSince }).actions.map((x) =>
      x.kind === 'startContainer' ? `start ${x.container.name} ${x.attempt}` : `${x.kind} ${'name' in x ? x.name : ''}`,
    );
  const ended = ran(a, { exit: 42, ...at(20, 50) });
  const initOnce = ran(i, { exit: 0, ...at(10, 15) });

  it('stops the others, then begins again with the init containers, and does so once', () => {
    // b was started after a had ended, but before that was seen
    const late = ran(b, at(55));
    assert.deepEqual(restartTriggers(p, view([late, ended, initOnce])), [ended.id]);
    assert.deepEqual(steps([late, ended, initOnce], 60), ['killContainer b']);
    const gone = ran(b, { exit: 137, ...at(55, 65) });
    assert.deepEqual(steps([gone, ended, initOnce], 60), ['start i 1']);
    const again = ran(i, { id: 'i2', exit: 0, restartCount: 1, ...at(70, 80) });
    assert.deepEqual(steps([again, gone, ended, initOnce], 60), ['start a 1', 'start b 1']);
    const both = [ran(a, { id: 'a2', ...at(90) }), ran(b, { id: 'b2', ...at(91) })];
    assert.deepEqual(steps([...both, again, gone, ended, initOnce], 60), []);
    assert.deepEqual(restartTriggers(p, view([...both, again, gone, ended, initOnce])), []);
  });

  it('leaves other exits to the pod’s policy', () => {
    assert.deepEqual(steps([ran(a, { exit: 1, ...at(20, 50) }), ran(b, at(21)), initOnce]), []);
  });
});
