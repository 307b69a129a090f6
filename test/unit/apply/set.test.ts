import assert from 'node:assert/strict';
import {
  difference,
  type FieldSet,
  hasPath,
  intersection,
  LEAF,
  parseFieldSet,
  paths,
  recursiveDifference,
  setsEqual,
  union,
} from '../../../api/apply/set.ts';
import { comparePathElements, isPathElement, showPath } from '../../../api/apply/path-element.ts';

/** A small generator with a seed: the same sets in every run. */
function randomSets(seed: number): () => FieldSet {
  let state = seed;
  const next = (n: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * n);
  };
  const node = (depth: number): FieldSet => {
    const out: Record<string, FieldSet> = {};
    const n = depth === 0 ? 0 : next(4);
    for (let i = 0; i < n; i++) out[['f:a', 'f:b', 'f:c', 'k:{"name":"x"}', 'v:1'][next(5)]!] = node(depth - 1);
    if (n > 0 && next(2) === 0) out['.'] = LEAF;
    return out;
  };
  return () => parseFieldSet(node(3));
}
const flat = (set: FieldSet): Set<string> => new Set([...paths(set)].map((p) => JSON.stringify(p)));
const sorted = (s: Iterable<string>): string[] => [...s].sort();
/** Keys of every node stand in order. */
function ordered(set: FieldSet): boolean {
  const keys = Object.keys(set).filter((k) => k !== '.');
  return (
    keys.every((k, i) => i === 0 || comparePathElements(keys[i - 1]!, k) < 0) && keys.every((k) => ordered(set[k]!))
  );
}

describe('field sets', () => {
  const make = randomSets(7);
  const pairs = Array.from({ length: 400 }, () => [make(), make()] as const);

  it('are what sets of paths are under union, intersection and difference', () => {
    for (const [a, b] of pairs) {
      const x = flat(a);
      const y = flat(b);
      assert.deepEqual(sorted(flat(union(a, b))), sorted(new Set([...x, ...y])));
      assert.deepEqual(sorted(flat(intersection(a, b))), sorted([...x].filter((p) => y.has(p))));
      assert.deepEqual(sorted(flat(difference(a, b))), sorted([...x].filter((p) => !y.has(p))));
      const below = (p: string) =>
        [...y].some((q) => {
          const [path, prefix] = [JSON.parse(p) as string[], JSON.parse(q) as string[]];
          return prefix.every((e, i) => path[i] === e);
        });
      assert.deepEqual(sorted(flat(recursiveDifference(a, b))), sorted([...x].filter((p) => !below(p))));
    }
  });
  it('stay in order and in their own form', () => {
    for (const [a, b] of pairs) {
      for (const set of [union(a, b), intersection(a, b), difference(a, b), recursiveDifference(a, b)]) {
        assert.ok(ordered(set), JSON.stringify(set));
        assert.ok(setsEqual(set, parseFieldSet(JSON.parse(JSON.stringify(set)))));
      }
    }
  });
  it('give back the set itself when nothing goes', () => {
    const set = parseFieldSet({ 'f:a': { 'f:b': {} } });
    assert.equal(difference(set, parseFieldSet({ 'f:z': {} })), set);
  });
  it('know their members', () => {
    const set = parseFieldSet({ 'f:a': { '.': {}, 'f:b': {} }, 'f:c': { 'f:d': {} } });
    assert.ok(hasPath(set, ['f:a']) && hasPath(set, ['f:a', 'f:b']) && hasPath(set, ['f:c', 'f:d']));
    assert.ok(!hasPath(set, ['f:c']) && !hasPath(set, []) && !hasPath(set, ['f:a', 'f:b', 'f:c']));
  });
  it('are read from any spelling into one', () => {
    const set = parseFieldSet({
      'v:"b"': {},
      'k:{"protocol":"TCP", "port":80}': { '.': {} },
      'k:{"port":8,"protocol":"TCP"}': {},
      'f:b': {},
      'f:a': { '.': {} },
      'x:future': { 'f:y': {} },
    });
    assert.equal(
      JSON.stringify(set),
      '{"f:a":{},"f:b":{},"k:{\\"port\\":8,\\"protocol\\":\\"TCP\\"}":{},"k:{\\"port\\":80,\\"protocol\\":\\"TCP\\"}":{},"v:\\"b\\"":{}}',
    );
  });
  it('refuse nonsense', () => {
    for (const bad of [
      5,
      null,
      { 'f:a': 5 },
      { a: {} },
      { fa: {} },
      { 'k:x': {} },
      { 'k:[]': {} },
      { 'v:{': {} },
      { 'i:x': {} },
    ]) {
      assert.throws(() => parseFieldSet(bad), JSON.stringify(bad));
    }
  });
  it('escape markup in values as Go does', () => {
    assert.equal(isPathElement('v:"a<b"'), 'v:"a\\u003cb"');
  });
  it('show paths as people read them', () => {
    assert.equal(
      showPath(['f:spec', 'f:containers', 'k:{"containerPort":80,"name":"web"}', 'v:"x"', 'i:3', 'f:image']),
      '.spec.containers[containerPort=80,name="web"][="x"][3].image',
    );
  });
});
