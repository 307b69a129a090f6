import assert from 'node:assert/strict';
import type { Clock } from '../../../base/clock.ts';
import { MetricsRegistry } from '../../../base/metrics.ts';
import { allocate, seatLimits } from '../../../apiserver/flowcontrol/borrowing.ts';
import { Integrator } from '../../../apiserver/flowcontrol/integrator.ts';
import { PriorityLevel, Refused, type Running } from '../../../apiserver/flowcontrol/level.ts';
import { Matcher } from '../../../apiserver/flowcontrol/matcher.ts';
import { flowMetrics } from '../../../apiserver/flowcontrol/metrics.ts';
import { Dealer } from '../../../apiserver/flowcontrol/shuffle.ts';
import type { FlowSchema } from '../../../apiserver/flowcontrol/types.ts';
import { parseRequestInfo } from '../../../apiserver/http/request-info.ts';

const info = (method: string, path: string) => parseRequestInfo(method, path, new URLSearchParams());
const user = (name: string, ...groups: string[]) => ({ name, groups });

/** Time that passes when it is told to. */
class ManualClock implements Clock {
  time = 0;
  #timers: { at: number; fn: () => void }[] = [];
  now = () => this.time;
  monotonic = () => this.time;
  after(ms: number, fn: () => void) {
    const timer = { at: this.time + ms, fn };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((t) => t !== timer)) };
  }
  every(): never {
    throw new Error('not used');
  }
  sleep(): never {
    throw new Error('not used');
  }
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.time = next.at;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      next.fn();
    }
    this.time = end;
  }
}

describe('flow control: matching', () => {
  const schema = (name: string, precedence: number, rule: object): FlowSchema =>
    ({ metadata: { name }, spec: { matchingPrecedence: precedence, rules: [rule] } }) as never;
  const everything = { verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true };
  const matcher = new Matcher(
    [
      schema('z-all', 500, { subjects: [{ kind: 'Group', group: { name: '*' } }], resourceRules: [everything] }),
      schema('paths', 400, {
        subjects: [{ kind: 'User', user: { name: 'ann' } }],
        nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/logs/*', '/version'] }],
      }),
      schema('accounts', 300, {
        subjects: [{ kind: 'ServiceAccount', serviceAccount: { namespace: 'ops', name: '*' } }],
        resourceRules: [{ ...everything, resources: ['pods/status'], namespaces: ['a'], clusterScope: false }],
      }),
    ].map((s) => ({ schema: s, target: s.metadata!.name! })),
  );
  const match = (who: ReturnType<typeof user>, method: string, path: string) =>
    matcher.match({ user: who, info: info(method, path) });

  it('takes the first by precedence whose subject and rule fit', () => {
    const account = user('system:serviceaccount:ops:x', 'system:serviceaccounts');
    assert.equal(match(account, 'PUT', '/api/v1/namespaces/a/pods/p/status'), 'accounts');
    assert.equal(match(account, 'PUT', '/api/v1/namespaces/b/pods/p/status'), 'z-all');
    assert.equal(match(account, 'PUT', '/api/v1/namespaces/a/pods/p'), 'z-all');
    assert.equal(match(user('ann', 'g'), 'GET', '/logs/x/y'), 'paths');
    assert.equal(match(user('ann', 'g'), 'GET', '/version'), 'paths');
    assert.equal(match(user('ann', 'g'), 'POST', '/version'), undefined);
    assert.equal(match(user('bob', 'g'), 'GET', '/version'), undefined);
  });
});

describe('flow control: shares', () => {
  it('gives each level its part, and says what it lends and borrows', () => {
    const limits = seatLimits(600, [
      { shares: 100, lendablePercent: 90, borrowingLimitPercent: undefined },
      { shares: 20, lendablePercent: 50, borrowingLimitPercent: 10 },
    ]);
    assert.deepEqual(limits, [
      { nominal: 500, min: 50, max: 1100 },
      { nominal: 100, min: 50, max: 110 },
    ]);
  });

  it('shares seats in proportion to the targets, within the bounds', () => {
    const even = allocate(100, [
      { lower: 0, upper: 100, target: 30 },
      { lower: 0, upper: 100, target: 10 },
    ]);
    assert.deepEqual(even.seats, [75, 25]);
    const bounded = allocate(100, [
      { lower: 40, upper: 100, target: 10 },
      { lower: 0, upper: 100, target: 10 },
      { lower: 0, upper: 15, target: 10 },
    ]);
    assert.deepEqual(
      bounded.seats,
      [45, 45, 15].map((n, i) => (i === 2 ? 15 : 42.5)),
    );
    const poor = allocate(10, [
      { lower: 8, upper: 20, target: 50 },
      { lower: 8, upper: 20, target: 50 },
    ]);
    assert.deepEqual(poor.seats, [8, 8]);
  });

  it('follows average, deviation and maximum of the demand', () => {
    const i = new Integrator(0);
    i.set(4, 0);
    i.set(0, 500);
    assert.deepEqual(i.reset(1000), { average: 2, deviation: 2, max: 4 });
    assert.deepEqual(i.reset(2000), { average: 0, deviation: 0, max: 0 });
  });
});

describe('flow control: queues', () => {
  it('deals each flow the same hand of different queues', () => {
    const dealer = new Dealer(64, 6);
    for (const flow of ['a', 'b', 'c']) {
      const hand = dealer.hand('s', flow);
      assert.equal(new Set(hand).size, 6);
      assert.ok(hand.every((q) => q >= 0 && q < 64));
      assert.deepEqual(new Dealer(64, 6).hand('s', flow), hand);
    }
    assert.notDeepEqual(dealer.hand('s', 'a'), dealer.hand('s', 'b'));
  });

  function setup(limit: number, lengthLimit = 1000) {
    const clock = new ManualClock();
    const level = new PriorityLevel('l', clock, 15_000);
    level.configure({ queues: 32, handSize: 1, lengthLimit });
    level.setLimit(limit);
    const schema = { name: 's', metrics: flowMetrics(new MetricsRegistry()).schema('l', 's') };
    const started: { flow: string; running: Running }[] = [];
    const refused: string[] = [];
    const enter = (flow: string, seats = 1) => {
      const keep = (running: Running) => void started.push({ flow, running });
      const arrival = {
        digest: { user: user(flow), info: info('GET', '/version') },
        schema,
        flow,
        estimate: { initialSeats: seats, finalSeats: 0, additionalMs: 0 },
        signal: () => new AbortController().signal,
        arrivedAt: clock.time,
      };
      try {
        const entered = level.enter(arrival);
        if (entered instanceof Promise)
          entered.then(keep, (e: unknown) => refused.push(e instanceof Refused ? e.reason : String(e)));
        else keep(entered);
      } catch (error) {
        refused.push((error as Refused).reason);
      }
    };
    return { clock, level, enter, started, refused, settle: () => new Promise((r) => setImmediate(r)) };
  }

  it('serves a flow that asks for little beside one that floods', async () => {
    const { clock, enter, started, settle } = setup(2);
    for (let i = 0; i < 50; i++) enter('flood');
    for (let i = 0; i < 3; i++) enter('small');
    let served = 0;
    while (started.filter((s) => s.flow === 'small').length < 3) {
      clock.pass(10);
      started[served++]!.running.done();
      await settle();
      assert.ok(served < 12, 'the small flow waits behind the flood');
    }
  });

  it('gives what is wider than the level all of it, alone', async () => {
    const { level, enter, started, settle } = setup(4);
    enter('a');
    enter('b', 10);
    started[0]!.running.done();
    await settle();
    assert.equal(started.at(-1)!.flow, 'b');
    assert.equal(level.seatsInUse, 10);
    enter('c');
    await settle();
    assert.equal(level.waiting, 1);
    started[1]!.running.done();
    await settle();
    assert.equal(started.at(-1)!.flow, 'c');
  });

  it('refuses what finds its queue full or waits for too long', async () => {
    const { clock, level, enter, started, refused, settle } = setup(1, 1);
    enter('a');
    enter('a');
    enter('a');
    assert.deepEqual(refused, ['queue-full']);
    clock.pass(15_001);
    await settle();
    assert.deepEqual(refused, ['queue-full', 'time-out']);
    started[0]!.running.done();
    assert.ok(level.idle);
    assert.equal(level.activeQueues, 0);
  });
});
