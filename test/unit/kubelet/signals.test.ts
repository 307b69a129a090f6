import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { systemClock } from '../../../base/clock.ts';
import { heedsTerm, untilStoppable } from '../../../kubelet/pods/signals.ts';

/** The lines of /proc/PID/status that count. */
const status = (o: { name?: string; pids?: string; caught?: string; ignored?: string }) =>
  [
    `Name:\t${o.name ?? 'web'}`,
    `NSpid:\t${o.pids ?? '4711\t1'}`,
    `SigIgn:\t${o.ignored ?? '0000000000000000'}`,
    `SigCgt:\t${o.caught ?? '0000000000000000'}`,
  ].join('\n');

describe('a container that has just begun', () => {
  it('is not stoppable before its first process has a handler', () => {
    assert.equal(heedsTerm(status({})), false);
    assert.equal(heedsTerm(status({ caught: '0000000000010002' })), false);
    assert.equal(heedsTerm(status({ caught: 'fffffffd7fc1feff' })), true);
    assert.equal(heedsTerm(status({ caught: '0000000000004000' })), true);
  });

  it('is not stoppable while the runtime still stands in for it', () =>
    assert.equal(heedsTerm(status({ name: 'runc:[2:INIT]', caught: 'fffffffd7fc1feff' })), false));

  it('is not waited for where that would change nothing', () => {
    assert.equal(heedsTerm(status({ ignored: '0000000000004000' })), true);
    assert.equal(heedsTerm(status({ pids: '4711\t25' })), true);
    assert.equal(heedsTerm(status({ pids: '4711' })), true);
    assert.equal(heedsTerm(readFileSync('/proc/self/status', 'utf8')), true);
  });

  it('is stopped all the same where nothing is known of its process', async () => {
    const now = systemClock.now();
    await untilStoppable(now, () => Promise.resolve(undefined), systemClock);
    await untilStoppable(now, () => Promise.reject(new Error('no such container')), systemClock);
    await untilStoppable(now, () => Promise.resolve(2 ** 30), systemClock);
    await untilStoppable(0, () => assert.fail('an old container is not looked at'), systemClock);
  });
});
