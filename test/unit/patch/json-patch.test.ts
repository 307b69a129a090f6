import assert from 'node:assert/strict';
import { applyJsonPatch, jsonPatchComplaints, JsonPatchError } from '../../../api/patch/json-patch.ts';
import { StatusError } from '../../../api/status.ts';
import type { JsonValue } from '../../../api/types.ts';

const code = (fn: () => unknown): number => {
  try {
    fn();
  } catch (e) {
    if (e instanceof StatusError) return e.code;
    throw e;
  }
  return 200;
};

describe('JSON patch', () => {
  const doc: JsonValue = { a: '1', list: [1, 2, 3], deep: { x: { y: null } }, 'k/~': true };
  const cases: [string, JsonValue, JsonValue][] = [
    ['adds a key at the end', [{ op: 'add', path: '/b', value: 2 }], { ...doc, b: 2 }],
    ['inserts into a list', [{ op: 'add', path: '/list/1', value: 9 }], { ...doc, list: [1, 9, 2, 3] }],
    ['appends with -', [{ op: 'add', path: '/list/-', value: 9 }], { ...doc, list: [1, 2, 3, 9] }],
    ['inserts at the length', [{ op: 'add', path: '/list/3', value: 9 }], { ...doc, list: [1, 2, 3, 9] }],
    ['counts negative indices from the end', [{ op: 'remove', path: '/list/-1' }], { ...doc, list: [1, 2] }],
    ['unescapes pointers', [{ op: 'replace', path: '/k~1~0', value: 0 }], { ...doc, 'k/~': 0 }],
    ['replaces an absent key', [{ op: 'replace', path: '/new', value: 1 }], { ...doc, new: 1 }],
    ['adds null for a missing value', [{ op: 'add', path: '/n' }], { ...doc, n: null }],
    ['copies null from an absent key', [{ op: 'copy', from: '/zz', path: '/n' }], { ...doc, n: null }],
    [
      'moves',
      [{ op: 'move', from: '/a', path: '/deep/x/a' }],
      { list: [1, 2, 3], deep: { x: { y: null, a: '1' } }, 'k/~': true },
    ],
    ['tests objects in any order', [{ op: 'test', path: '/deep', value: { x: { y: null } } }], doc],
    ['takes absent for null in tests', [{ op: 'test', path: '/zz', value: null }], doc],
    ['replaces the whole document', [{ op: 'replace', path: '', value: { z: 1 } }], { z: 1 }],
    ['does nothing for null', null, doc],
    [
      'keeps copies apart',
      [
        { op: 'copy', from: '/deep', path: '/twin' },
        { op: 'add', path: '/twin/x/z', value: 1 },
        { op: 'add', path: '/deep/x/w', value: 2 },
      ],
      { ...doc, deep: { x: { y: null, w: 2 } }, twin: { x: { y: null, z: 1 } } },
    ],
  ];
  for (const [name, patch, want] of cases) {
    it(name, () => {
      const before = JSON.stringify(doc);
      assert.equal(JSON.stringify(applyJsonPatch(doc, patch)), JSON.stringify(want));
      assert.equal(JSON.stringify(doc), before, 'the input changed');
    });
  }

  it('keeps a key called __proto__ plain', () => {
    const out = applyJsonPatch({}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }]);
    assert.ok(Object.hasOwn(out as object, '__proto__'));
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
    assert.equal(
      code(() => applyJsonPatch({}, [{ op: 'add', path: '/__proto__/x', value: 1 }])),
      422,
    );
  });

  const failures: [string, JsonValue, number][] = [
    ['a failing test', [{ op: 'test', path: '/a', value: '2' }], 422],
    ['a missing key to remove', [{ op: 'remove', path: '/zz' }], 422],
    ['a missing parent', [{ op: 'add', path: '/zz/x', value: 1 }], 422],
    ['a parent that is null', [{ op: 'add', path: '/deep/x/y/z', value: 1 }], 422],
    ['an index out of range', [{ op: 'replace', path: '/list/3', value: 1 }], 422],
    ['an index below the start', [{ op: 'remove', path: '/list/-4' }], 422],
    ['an index that is no number', [{ op: 'add', path: '/list/x', value: 1 }], 422],
    ['adding the whole document', [{ op: 'add', path: '', value: {} }], 422],
    ['a missing path', [{ op: 'add', value: {} }], 422],
    ['an unknown operation', [{ op: 'nope', path: '/a' }], 422],
    ['a null operation', [null], 422],
    ['an object for a patch', { op: 'add' }, 400],
    ['an operation that is no object', ['x'], 400],
    ['a path that is no string', [{ op: 'remove', path: 5 }], 400],
    ['too many operations', Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/a', value: '1' })), 413],
  ];
  for (const [name, patch, want] of failures) {
    it(`refuses ${name} with ${want}`, () =>
      assert.equal(
        code(() => applyJsonPatch(doc, patch)),
        want,
      ));
  }

  it('bounds what copies may amount to', () => {
    const grow: JsonValue = Array.from({ length: 30 }, (_, i) => ({ op: 'copy', from: '/a', path: `/a/${i}` }));
    assert.equal(
      code(() => applyJsonPatch({ a: { x: 'y'.repeat(1000) } }, grow)),
      422,
    );
  });

  it('says why in detail, to logs only', () => {
    assert.throws(
      () => applyJsonPatch(doc, [{ op: 'remove', path: '/zz' }]),
      (e) => e instanceof JsonPatchError && /zz/.test(e.detail) && !/zz/.test(e.message),
    );
  });

  it('names unknown members', () => {
    assert.deepEqual(jsonPatchComplaints([{ op: 'test', path: '/a', foo: 1 }]), ['json patch unknown field "[0].foo"']);
  });

  it('applies many operations on a long list quickly', () => {
    const list = Array.from({ length: 5000 }, (_, i) => i);
    const patch = list.map((i) => ({ op: 'replace', path: `/list/${i}`, value: -i }));
    assert.deepEqual(applyJsonPatch({ list }, patch), { list: list.map((i) => -i) });
  });
});
