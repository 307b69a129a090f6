import assert from 'node:assert/strict';
import { Action, type ClusterEvent, type Plugin } from '../../../scheduler/core/framework.ts';
import { PodInfo } from '../../../scheduler/core/pod-info.ts';
import { prioritySort } from '../../../scheduler/plugins/priority-sort.ts';
import { schedulingGates } from '../../../scheduler/plugins/scheduling-gates.ts';
import { Heap } from '../../../scheduler/queue/heap.ts';
import { SchedulingQueue } from '../../../scheduler/queue/queue.ts';
import { manualClock } from '../../support/clock.ts';
import { pod } from './world.ts';

const NODE_ADD: ClusterEvent = { resource: 'Node', action: Action.Add, label: 'NodeAdd' };
const POD_DELETE: ClusterEvent = { resource: 'Pod', action: Action.Delete, label: 'AssignedPodDelete' };

function setUp() {
  const clock = manualClock(0);
  // Turns pods away, and hopes for nodes whose name is the pod's.
  const picky: Plugin = {
    name: 'Picky',
    events: [{ resource: 'Node', actions: Action.Add, hint: (p, _old, name) => name === p.name }],
    preFilter: () => undefined,
  };
  const profile = { preEnqueue: [schedulingGates()], plugins: [picky, schedulingGates()] };
  const sort = prioritySort();
  let ready = 0;
  const queue = new SchedulingQueue({
    clock,
    profiles: new Map([['default-scheduler', profile]]),
    less: (a, b) => sort.less!(a, b),
    onReady: () => ready++,
  });
  queue.start();
  const pop = () => queue.pop()?.info.name;
  const reject = (name: string, plugins = ['Picky']) => {
    const q = queue.pop()!;
    assert.equal(q.info.name, name);
    queue.addUnschedulable(q, { plugins: new Set(plugins), pendingPlugins: new Set(), error: false });
  };
  return { clock, queue, pop, reject, readies: () => ready };
}

describe('the scheduling queue', () => {
  it('hands out pods by priority, then by age', () => {
    const { clock, queue, pop } = setUp();
    queue.add(pod({ name: 'old' }));
    clock.advance(1);
    queue.add(pod({ name: 'young' }));
    queue.add(pod({ name: 'important', priority: 5 }));
    assert.deepEqual([pop(), pop(), pop(), pop()], ['important', 'old', 'young', undefined]);
  });

  it('wakes a rejected pod only by an event that its plugin has hopes in', () => {
    const { clock, queue, pop, reject } = setUp();
    queue.add(pod({ name: 'a' }));
    reject('a');
    clock.advance(20_000);
    queue.move(POD_DELETE, 'x', undefined);
    queue.move(NODE_ADD, undefined, 'b');
    assert.equal(pop(), undefined);
    queue.move(NODE_ADD, undefined, 'a');
    assert.equal(pop(), 'a');
  });

  it('does not miss what happens during an attempt', () => {
    const { queue, pop } = setUp();
    queue.add(pod({ name: 'a' }));
    queue.add(pod({ name: 'b' }));
    const a = queue.pop()!;
    const b = queue.pop()!;
    queue.move(NODE_ADD, undefined, 'a');
    for (const q of [b, a])
      queue.addUnschedulable(q, { plugins: new Set(['Picky']), pendingPlugins: new Set(), error: false });
    assert.equal(queue.sizes.unschedulable, 1);
    assert.equal(pop(), 'a');
  });

  it('lets pods that met an error wait longer and longer, others be tried while nobody else wants to', () => {
    const { clock, queue, pop } = setUp();
    queue.add(pod({ name: 'a' }));
    for (const wait of [1000, 2000, 4000, 8000, 10_000, 10_000]) {
      queue.addUnschedulable(queue.pop()!, { plugins: new Set(), pendingPlugins: new Set(), error: true });
      clock.advance(wait - 1);
      assert.equal(pop(), undefined);
      clock.advance(1);
      assert.equal(queue.sizes.active, 1);
    }
    queue.add(pod({ name: 'b', priority: 1 }));
    const b = queue.pop()!;
    queue.move(NODE_ADD, undefined, 'b');
    queue.addUnschedulable(b, { plugins: new Set(['Picky']), pendingPlugins: new Set(), error: false });
    assert.equal(queue.sizes.backoff, 1);
    assert.deepEqual([pop(), pop()], ['a', 'b']);
  });

  it('tries pods again that nothing ever woke', () => {
    const { clock, queue, pop, reject } = setUp();
    queue.add(pod({ name: 'a' }));
    reject('a');
    clock.advance(5 * 60_000);
    assert.equal(pop(), undefined);
    clock.advance(30_000);
    assert.equal(pop(), 'a');
  });

  it('goes on with its back-offs after it was stopped, whatever the wall clock says', () => {
    const { clock, queue, pop } = setUp();
    const failed = () =>
      queue.addUnschedulable(queue.pop()!, { plugins: new Set(), pendingPlugins: new Set(), error: true });
    queue.add(pod({ name: 'a' }));
    failed();
    clock.setBack(3_600_000);
    clock.advance(1000);
    assert.equal(queue.sizes.active, 1);
    failed();
    queue.stop();
    clock.advance(60_000);
    assert.equal(pop(), undefined);
    queue.start();
    clock.advance(1);
    assert.equal(pop(), 'a');
  });

  it('tries pods again that nothing ever woke, after it was stopped, too', () => {
    const { clock, queue, pop, reject } = setUp();
    queue.add(pod({ name: 'a' }));
    reject('a');
    queue.stop();
    queue.start();
    clock.advance(5 * 60_000 + 30_000);
    assert.equal(pop(), 'a');
  });

  it('holds gated pods, whatever happens, until their gates are gone', () => {
    const { clock, queue, pop, readies } = setUp();
    const gated = pod({ name: 'a', schedulingGates: [{ name: 'g' }] });
    queue.add(gated);
    queue.move(NODE_ADD, undefined, 'a');
    queue.activateNow([gated.uid]);
    clock.advance(10 * 60_000);
    assert.equal(pop(), undefined);
    assert.equal(queue.sizes.gated, 1);
    assert.equal(readies(), 0);
    const free = new PodInfo({
      ...gated.pod,
      spec: { ...gated.pod.spec!, schedulingGates: undefined },
    } as PodInfo['pod']);
    queue.update(free);
    assert.equal(pop(), 'a');
  });

  it('forgets deleted pods, in an attempt too', () => {
    const { queue, pop, reject } = setUp();
    const [a, b] = [pod({ name: 'a', status: { nominatedNodeName: 'n' } }), pod({ name: 'b' })];
    queue.add(a);
    assert.deepEqual(
      queue.nominator.on('n').map((p) => p.name),
      ['a'],
    );
    reject('a');
    queue.delete(a.uid);
    assert.equal(queue.nominator.on('n').length, 0);
    queue.add(b);
    const q = queue.pop()!;
    queue.delete(b.uid);
    queue.addUnschedulable(q, { plugins: new Set(), pendingPlugins: new Set(), error: true });
    queue.move(NODE_ADD, undefined, 'a');
    assert.equal(pop(), undefined);
    assert.deepEqual(queue.sizes, { active: 0, backoff: 0, unschedulable: 0, gated: 0 });
  });
});

describe('a heap', () => {
  it('keeps its order while members come, go and change', () => {
    const heap = new Heap<{ n: number }>((a, b) => a.n < b.n);
    const items = Array.from({ length: 200 }, (_, i) => ({ n: (i * 7919) % 211 }));
    for (const i of items) heap.push(i);
    for (const [k, i] of items.entries()) {
      if (k % 3 === 0) heap.delete(i);
      else if (k % 3 === 1) {
        i.n = (i.n * 31) % 97;
        heap.fix(i);
      }
    }
    const expected = items
      .filter((_, k) => k % 3 !== 0)
      .map((i) => i.n)
      .sort((a, b) => a - b);
    const got: number[] = [];
    for (let i = heap.pop(); i; i = heap.pop()) got.push(i.n);
    assert.deepEqual(got, expected);
  });
});
