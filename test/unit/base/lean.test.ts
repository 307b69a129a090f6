import assert from 'node:assert/strict';
import { systemClock, type Clock } from '../../../base/clock.ts';
import { tidyWhenQuiet } from '../../../base/lean.ts';

describe('a program that waits', () => {
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** A tidier whose looks the test calls for. */
  const tidier = () => {
    let look = () => {};
    const clock: Clock = { ...systemClock, every: (_ms, fn) => ((look = fn), { cancel() {} }) };
    tidyWhenQuiet(clock);
    return () => look();
  };
  /** Something large that nobody holds after this turn. */
  const garbage = async (): Promise<WeakRef<object>> => {
    const made = new WeakRef({ much: Array.from({ length: 400_000 }, (_, i) => ({ i })) });
    await turn();
    return made;
  };

  it('gives back what work has left', async () => {
    const look = tidier();
    const first = await garbage();
    look(); // what it took to make all that was work
    await turn();
    look();
    assert.equal(first.deref(), undefined);
  });
});
