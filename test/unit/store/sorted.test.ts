import assert from 'node:assert/strict';
import { compareKeys, prefixEnd, sliceByPrefix, SortedList } from '../../../apiserver/storage/sorted.ts';

/** A small seeded generator (mulberry32), so that a failure can be repeated. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe('keys', () => {
  it('compare as their UTF-8 bytes do', () => {
    const keys = [
      '',
      'a',
      'a/',
      'a/b',
      'ab',
      'b',
      'ä',
      '日',
      '\ud7ff',
      '\ue000',
      '\uffee',
      '😀',
      '😀a',
      '𐀀',
      'a😀',
      'a\uffee',
    ];
    for (const a of keys) {
      for (const b of keys) {
        const expected = Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
        assert.equal(Math.sign(compareKeys(a, b)), expected, `${a} ${b}`);
      }
    }
  });

  it('under a prefix lie below its end', () => {
    assert.equal(prefixEnd('/pods/a/'), '/pods/a0');
    assert.equal(prefixEnd(''), '');
  });
});

describe('SortedList', () => {
  it('agrees with a plain map under random changes', () => {
    const next = random(7);
    const list = new SortedList<{ key: string; n: number }>();
    const model = new Map<string, number>();
    for (let n = 0; n < 20_000; n++) {
      const key = `/${Math.floor(next() * 40)}/${Math.floor(next() * 60)}`;
      if (next() < 0.6) {
        list.set({ key, n });
        model.set(key, n);
      } else assert.equal(list.delete(key), model.delete(key));
      if (n % 500 === 0) {
        const expected = [...model].toSorted((a, b) => compareKeys(a[0], b[0])).map(([k, v]) => ({ key: k, n: v }));
        assert.deepEqual(list.all(), expected);
        const inside = expected.filter((e) => e.key.startsWith('/7/'));
        assert.deepEqual(list.range('/7/', prefixEnd('/7/')), inside);
        assert.equal(list.count('/7/', prefixEnd('/7/')), inside.length);
        assert.equal(list.count('', ''), list.size);
        assert.deepEqual(sliceByPrefix(list.all(), '/7/'), inside);
        assert.equal(list.size, model.size);
        assert.equal(list.get(key)?.n, model.get(key));
      }
    }
  });

  it('never changes an array it has given', () => {
    const list = new SortedList<{ key: string }>();
    for (let i = 0; i < 1000; i++) list.set({ key: String(i).padStart(4, '0') });
    const before = list.all();
    const copy = [...before];
    assert.equal(list.all(), before);
    list.set({ key: '0500x' });
    list.delete('0001');
    assert.deepEqual(before, copy);
    assert.equal(list.all().length, 1000);
  });
});
