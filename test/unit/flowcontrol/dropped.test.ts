import assert from 'node:assert/strict';
import { DroppedRequests } from '../../../apiserver/flowcontrol/dropped.ts';

describe('what refused clients are told of when to come again', () => {
  const told = (dropped: DroppedRequests, second: number, times: number, level = 'l') => {
    let last = 0;
    for (let i = 0; i < times; i++) last = dropped.note(level, second * 1000 + i);
    return last;
  };

  it('doubles while much is refused, and not before the last advice had time to work', () => {
    const dropped = new DroppedRequests();
    const seconds = [100, 101, 102, 103, 104, 105, 106, 107].map((s) => told(dropped, s, 50));
    assert.deepEqual(seconds, [1, 2, 2, 4, 4, 4, 4, 8]);
    for (let s = 108; s < 400; s++) told(dropped, s, 100);
    assert.equal(told(dropped, 400, 1), 32);
  });

  it('falls by one when little is refused, down to a second', () => {
    const dropped = new DroppedRequests();
    for (const s of [100, 101, 102, 103]) told(dropped, s, 50);
    assert.deepEqual(
      [200, 300, 400, 500, 600].map((s) => told(dropped, s, 1)),
      [3, 2, 1, 1, 1],
    );
  });

  it('counts each level by itself, and only those that are configured', () => {
    const dropped = new DroppedRequests();
    told(dropped, 100, 50);
    assert.equal(told(dropped, 101, 1), 2);
    assert.equal(told(dropped, 101, 1, 'other'), 1);
    dropped.keepOnly(new Set(['other']));
    assert.equal(told(dropped, 101, 1), 1);
  });
});
