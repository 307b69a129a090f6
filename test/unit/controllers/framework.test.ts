import assert from 'node:assert/strict';
import { silentLogger } from '../../../base/log.ts';
import { MetricsRegistry } from '../../../base/metrics.ts';
import type { KubeObject } from '../../../api/types.ts';
import type { Informer } from '../../../client/informer.ts';
import { createWorkQueueMetrics } from '../../../client/metrics.ts';
import { createWorkQueue } from '../../../client/workqueue.ts';
import { pods } from '../../../client/resources.ts';
import { createExpectations } from '../../../controllers/expectations.ts';
import type { InformerFactory } from '../../../controllers/factory.ts';
import { defineController, runController, type RunOptions } from '../../../controllers/framework.ts';
import { slowStart } from '../../../controllers/lib/podcontrol.ts';
import { manualClock } from '../../support/clock.ts';

describe('work queue', () => {
  it('works on a key once at a time, and again when it was added meanwhile', async () => {
    const clock = manualClock(0);
    const log: string[] = [];
    let release: () => void = () => {};
    const queue = createWorkQueue({
      clock,
      logger: silentLogger,
      name: 'q',
      workers: 3,
      process: async (key) => {
        log.push(`begin ${key}`);
        if (log.length === 1) await new Promise<void>((resolve) => (release = resolve));
        log.push(`end ${key}`);
      },
    });
    queue.start();
    queue.add('a');
    await Promise.resolve();
    queue.add('a');
    queue.add('a');
    await Promise.resolve();
    assert.deepEqual(log, ['begin a']);
    release();
    await queue.idle();
    assert.deepEqual(log, ['begin a', 'end a', 'begin a', 'end a']);
    await queue.stop();
  });

  it('never works inside the caller of add', async () => {
    const clock = manualClock(0);
    let worked = false;
    const queue = createWorkQueue({
      clock,
      logger: silentLogger,
      name: 'q',
      process: async () => void (worked = true),
    });
    queue.start();
    queue.add('a');
    assert.equal(worked, false);
    await queue.idle();
    assert.equal(worked, true);
    await queue.stop();
  });

  it('comes back later and later after failures, and forgets them after a success', async () => {
    const clock = manualClock(0);
    const at: number[] = [];
    const queue = createWorkQueue({
      clock,
      logger: silentLogger,
      name: 'q',
      baseDelayMs: 10,
      process: async () => {
        at.push(clock.now());
        if (at.length < 4) throw new Error('no');
      },
    });
    queue.start();
    queue.add('a');
    await queue.idle();
    await clock.advanceAsync(1000);
    assert.deepEqual(at, [0, 10, 30, 70]);
    await queue.stop();
  });

  it('waits no longer than it is told to, and counts what it does', async () => {
    const clock = manualClock(0);
    const registry = new MetricsRegistry();
    const at: number[] = [];
    const queue = createWorkQueue({
      clock,
      logger: silentLogger,
      name: 'q',
      baseDelayMs: 100,
      maxDelayMs: 200,
      metrics: createWorkQueueMetrics(registry),
      process: async () => {
        at.push(clock.now());
        if (at.length < 5) throw new Error('no');
      },
    });
    queue.start();
    queue.add('a');
    await queue.idle();
    await clock.advanceAsync(2000);
    assert.deepEqual(at, [0, 100, 300, 500, 700]);
    await queue.stop();
    queue.add('b');
    queue.add('b');
    const shown = registry.text().split('\n');
    for (const line of [
      'workqueue_adds_total{name="q"} 6',
      'workqueue_retries_total{name="q"} 4',
      'workqueue_depth{name="q"} 1',
      'workqueue_unfinished_work_seconds{name="q"} 0',
      'workqueue_work_duration_seconds_count{name="q"} 5',
      'workqueue_queue_duration_seconds_count{name="q"} 5',
    ])
      assert.ok(shown.includes(line), `${line} in\n${shown.join('\n')}`);
  });

  it('keeps the earlier of two delays', async () => {
    const clock = manualClock(0);
    const at: number[] = [];
    const queue = createWorkQueue({
      clock,
      logger: silentLogger,
      name: 'q',
      process: async () => void at.push(clock.now()),
    });
    queue.start();
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 200);
    await clock.advanceAsync(1000);
    assert.deepEqual(at, [50]);
    await queue.stop();
  });
});

describe('expectations', () => {
  const object = (name: string, uid: string, resourceVersion: string, deleting = false): KubeObject => ({
    metadata: { name, namespace: 'ns', uid, resourceVersion, ...(deleting ? { deletionTimestamp: 'now' } : {}) },
  });

  it('waits until the cache has reached what was written', () => {
    const informer = { resourceVersion: '10', get: () => undefined } as unknown as Informer<object>;
    const e = createExpectations(() => {});
    assert.equal(e.satisfied('k'), true);
    e.wrote('k', informer, object('a', 'u', '12'));
    assert.equal(e.satisfied('k'), false);
    assert.equal(e.satisfied('other'), true);
    (informer as { resourceVersion: string }).resourceVersion = '12';
    assert.equal(e.satisfied('k'), true);
  });

  it('waits until a deleted object is gone, going, or another one', () => {
    let cached: KubeObject | undefined = object('a', 'u', '5');
    const informer = { resourceVersion: '10', get: () => cached } as unknown as Informer<object>;
    const e = createExpectations(() => {});
    for (const after of [undefined, object('a', 'u', '6', true), object('a', 'v', '7')]) {
      cached = object('a', 'u', '5');
      e.deleted('k', informer, cached);
      assert.equal(e.satisfied('k'), false);
      cached = after;
      assert.equal(e.satisfied('k'), true);
    }
  });
});

describe('a controller', () => {
  it('goes on when its cache shows the outcome without any event', async () => {
    const clock = manualClock();
    const cache = {
      resourceVersion: '10',
      hasSynced: true,
      synced: () => Promise.resolve(),
      on() {},
      get: () => undefined,
    } as unknown as Informer<object>;
    let made = 0;
    const controller = defineController({
      name: 'c',
      account: 'c',
      inputs: { pods },
      outputs: [],
      triggers: {},
      seeds: () => ['k'],
      async reconcile(key, { expectations }) {
        if (!expectations.satisfied(key)) return;
        expectations.wrote(key, cache, { metadata: { name: `p${++made}`, resourceVersion: `${10 + made}` } });
        if (made === 1) return { requeueAfterMs: 1 };
      },
    });
    const factory = { informer: () => cache } as unknown as InformerFactory;
    const others = { client: {}, ids: {}, rand: {}, recorder: {}, options: {}, logger: silentLogger } as never;
    const run = { ...(others as RunOptions), clock, factory };
    const running = await runController(controller, run, new AbortController().signal);
    await running.queue.idle();
    clock.advance(1000);
    await running.queue.idle();
    assert.equal(made, 1);
    // The pod was made and removed again while the watch was broken: a new list shows neither.
    (cache as { resourceVersion: string }).resourceVersion = '20';
    clock.advance(30_000);
    await running.queue.idle();
    assert.equal(made, 2);
    await running.stop();
  });
});

describe('slow start', () => {
  it('stops soon when creations fail', async () => {
    let calls = 0;
    const failed = await slowStart(100, async () => {
      calls++;
      throw new Error('quota');
    });
    assert.deepEqual([calls, failed.successes], [1, 0]);
    calls = 0;
    const partly = await slowStart(100, async (i) => {
      calls++;
      if (i === 4) throw new Error('quota');
    });
    assert.deepEqual([calls, partly.successes], [7, 6]);
    assert.deepEqual((await slowStart(5, async () => {})).successes, 5);
  });
});
