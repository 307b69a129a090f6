import assert from 'node:assert/strict';
import * as meta from '../../../api/meta.ts';
import * as time from '../../../api/time.ts';
import { int, json, seeded } from './gen.ts';

describe('deep equality', () => {
  it('holds for copies and fails after any change', () => {
    const r = seeded(21);
    for (let i = 0; i < 500; i++) {
      const v = { a: json(r), b: [json(r)] };
      const copy = meta.deepCopy(v);
      assert.ok(meta.deepEqual(v, copy));
      copy.b.push(null);
      assert.ok(!meta.deepEqual(v, copy));
    }
  });

  it('ignores key order and undefined, not null or emptiness', () => {
    assert.ok(meta.deepEqual({ a: 1, b: 2 }, { b: 2, a: 1, c: undefined }));
    assert.ok(!meta.deepEqual({ a: null }, {}));
    assert.ok(!meta.deepEqual([], {}));
    assert.ok(!meta.deepEqual({ toString: 1 }, { x: 1 }));
    assert.ok(!meta.deepEqual({ a: undefined, b: 1 }, { a: 1, b: undefined }));
  });

  it('has a semantic form that takes empty for absent', () => {
    assert.ok(meta.semanticEqual({ a: [], b: { c: null } }, { b: {} }));
    assert.ok(meta.semanticEqual(undefined, {}));
    assert.ok(!meta.semanticEqual({ a: 0 }, {}));
    assert.ok(!meta.semanticEqual({ a: [1] }, { a: [1, 2] }));
  });
});

describe('metadata', () => {
  it('is changed in a copy', () => {
    const pod = meta.deepFreeze({ metadata: { name: 'a' } });
    assert.deepEqual(
      meta.withMeta(pod, (m) => (m.labels = { x: 'y' })),
      { metadata: { name: 'a', labels: { x: 'y' } } },
    );
  });

  it('names the owner that manages the object', () => {
    const ref = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'r', uid: 'u' };
    const ownerReferences = [
      { ...ref, uid: 'o' },
      { ...ref, controller: true },
    ];
    assert.equal(meta.controllerOf({ metadata: { ownerReferences } })?.uid, 'u');
    assert.equal(meta.controllerOf({ metadata: {} }), undefined);
  });
});

describe('times and durations', () => {
  it('read RFC 3339 as Go does', () => {
    assert.deepEqual(time.parseRfc3339('1970-01-01T00:00:01Z'), { seconds: 1, nanos: 0 });
    assert.deepEqual(time.parseRfc3339('1970-01-01T01:00:00.5+01:00'), { seconds: 0, nanos: 500_000_000 });
    for (const bad of [
      '',
      '2020-01-01',
      '2020-13-01T00:00:00Z',
      '2021-02-29T00:00:00Z',
      '2020-01-01T24:00:00Z',
      '2020-01-01 00:00:00Z',
      '2020-01-01T00:00:00',
    ])
      assert.equal(time.parseRfc3339(bad), undefined, bad);
    assert.equal(time.formatSeconds(1704067200), '2024-01-01T00:00:00Z');
    assert.equal(time.formatMicros({ seconds: -1, nanos: 1999 }), '1969-12-31T23:59:59.000001Z');
  });

  it('agree with Date for random instants', () => {
    const r = seeded(22);
    for (let i = 0; i < 500; i++) {
      const date = new Date(int(r, -2_000_000_000, 4_000_000_000) * 1000);
      assert.equal(time.parseRfc3339(date.toISOString())?.seconds, date.getTime() / 1000);
      assert.equal(time.formatSeconds(date.getTime() / 1000), date.toISOString().replace('.000Z', 'Z'));
    }
  });

  it('read and write durations', () => {
    const cases: [string, string][] = [
      ['1h', '1h0m0s'],
      ['90s', '1m30s'],
      ['1.5s', '1.5s'],
      ['250ms', '250ms'],
      ['1h2m3.004s', '1h2m3.004s'],
      ['0', '0s'],
      ['-1m', '-1m0s'],
      ['100us', '100µs'],
      ['1.5h', '1h30m0s'],
    ];
    for (const [given, expected] of cases)
      assert.equal(time.formatDuration(time.parseDuration(given)!), expected, given);
    for (const bad of ['', '1', 'x', '1d', '1h2', '.s', '-']) assert.equal(time.parseDuration(bad), undefined, bad);
  });
});
