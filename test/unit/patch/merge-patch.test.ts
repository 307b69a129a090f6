import assert from 'node:assert/strict';
import { applyMergePatch } from '../../../api/patch/merge-patch.ts';
import type { JsonObject, JsonValue } from '../../../api/types.ts';

describe('merge patch', () => {
  // The examples of RFC 7386's appendix whose document and patch are objects.
  const cases: [JsonObject, JsonObject, JsonObject][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    [{ a: 'x' }, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
  ];
  for (const [document, patch, want] of cases) {
    it(`${JSON.stringify(document)} + ${JSON.stringify(patch)}`, () => {
      const before = JSON.stringify(document);
      assert.deepEqual(applyMergePatch(document, patch), want);
      assert.equal(JSON.stringify(document), before);
    });
  }
  it('keeps the order of keys', () => {
    assert.equal(JSON.stringify(applyMergePatch({ b: 1, a: 2 }, { c: 3, b: 4 })), '{"b":4,"a":2,"c":3}');
  });
  it('refuses what is no object', () => {
    for (const patch of [null, [], 'x', 1] as JsonValue[]) {
      assert.throws(
        () => applyMergePatch({}, patch),
        (e: { code?: number }) => e.code === 400,
      );
    }
  });
  it('takes __proto__ for a plain key', () => {
    const patch = JSON.parse('{"__proto__":{"x":1}}') as JsonObject;
    const out = applyMergePatch({}, patch);
    assert.equal(JSON.stringify(out), '{"__proto__":{"x":1}}');
  });
});
