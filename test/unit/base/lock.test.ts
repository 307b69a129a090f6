import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { underLock } from '../../../base/lock.ts';
import { freePort } from '../../support/ports.ts';

describe('work under a lock', () => {
  it('is done by one at a time, also after one that failed, and apart from other locks', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'lock-test-'));
    const told: string[] = [];
    const work = (name: string, fails = false) =>
      underLock(join(dir, 'a'), async () => {
        told.push(`begin ${name}`);
        await new Promise(setImmediate);
        told.push(`end ${name}`);
        if (fails) throw new Error('it fails');
        return name;
      });
    try {
      const all = await Promise.allSettled([work('one'), work('two', true), work('three')]);
      assert.deepEqual(
        all.map((r) => (r.status === 'fulfilled' ? r.value : 'failed')),
        ['one', 'failed', 'three'],
      );
      assert.equal(told.length, 6);
      for (let i = 0; i < told.length; i += 2)
        assert.equal(told[i]!.replace('begin', 'end'), told[i + 1], told.join(', '));
      assert.equal(await underLock(join(dir, 'a'), () => underLock(join(dir, 'b'), () => 'inner')), 'inner');
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('gives every port once', async () => {
    const ports = await Promise.all(Array.from({ length: 50 }, () => freePort()));
    assert.equal(new Set(ports).size, 50);
  });
});
