import assert from 'node:assert/strict';
import { CelError, CelSyntaxError, CostLimitError, createCelEnv, DYN, toJson } from '../../../api/cel/index.ts';
import type { JsonValue } from '../../../api/types.ts';

const env = createCelEnv({ variables: { x: DYN, y: DYN, self: DYN } });
const run = (source: string, vars: Record<string, JsonValue> = {}, limit?: number) =>
  env.compile(source).evaluate(Object.fromEntries(Object.entries(vars).map(([k, json]) => [k, { json }])), limit);
const value = (source: string, vars?: Record<string, JsonValue>) => toJson(run(source, vars).value);

describe('CEL: the language', () => {
  const cases: [string, JsonValue, Record<string, JsonValue>?][] = [
    ['1 + 2 * 3', 7],
    ['-(-3) - 1', 2],
    ['7 / -2', -3],
    ['-7 % 3', -1],
    ['1.5 + 2.5', 4],
    ['"a" + "b"', 'ab'],
    ['[1] + [2, 3]', [1, 2, 3]],
    ['dyn(1) == 1.0 && 1u == dyn(1)', true],
    ['dyn(1) == "1"', false],
    ['dyn([{"a": 2}]) == [{"a": 2u}]', true],
    ['true ? 1 : 1/0', 1],
    ['false && 1/0 == 1', false],
    ['1/0 == 1 || true', true],
    ['2 in [1, 2] && !("z" in {"a": 1})', true],
    ['x.a.b[1]', 'q', { x: { a: { b: ['p', 'q'] } } }],
    ['has(x.a) && !has(x.b)', true, { x: { a: null } }],
    ['[1, 2, 3].all(i, i > 0)', true],
    ['[0, 1].exists(i, 1 / i > 0)', true],
    ['[1, 2, 2].exists_one(i, i == 1)', true],
    ['[1, 2, 3].filter(i, i % 2 == 1).map(i, i * 10)', [10, 30]],
    ['[1, 2, 3].map(i, i > 1, i * 2)', [4, 6]],
    ['{"a": 1, "b": 2}.exists(k, k == "b")', true],
    ['[[1, 2], [3]].map(l, l.map(i, i + size(l)))', [[3, 4], [4]]],
    ['["a", "b"].all(i, v, v == ["a", "b"][i])', true],
    ['{"a": 1}.transformMap(k, v, v + 1)', { a: 2 }],
    ['["x", "y"].transformList(i, v, i == 1, v + string(i))', ['y1']],
    ['{"a": "b"}.transformMapEntry(k, v, {v: k})', { b: 'a' }],
    ['x.?a.?b.orValue("none")', 'none', { x: { a: {} } }],
    ['x.?a.b.hasValue()', true, { x: { a: { b: 1 } } }],
    ['[?x.?a, ?x.?b]', [1], { x: { a: 1 } }],
    ['{?"k": x.?a}', {}, { x: {} }],
    ['optional.of(3).optMap(v, v + 1).value()', 4],
    ['optional.none().or(optional.of(2)).value()', 2],
    ['type(1) == int && type("") == string && type(type) == type', true],
    ["\"\\u00e9\\x41\\101\\n\" + r\"\\n\" + '''a\n'b'''", "éAA\n\\na\n'b"],
    ['size("héllo😀") == 6 && size(b"é") == 2', true],
    ['string(1.0) + string(1e21) + string(0.00001)', '11e+211e-05'],
    ['int("42") + int(3.99) + int(2u)', 47],
    ['duration("1h30m") > duration("89m") && string(duration("90s")) == "90s"', true],
    ['timestamp("2024-02-29T12:00:00.5Z") + duration("12h") == timestamp("2024-03-01T00:00:00.500Z")', true],
    ['timestamp("2024-01-01T00:30:00Z").getHours("-01:00")', 23],
    ['timestamp("2024-07-01T00:00:00Z").getHours("Europe/Berlin")', 2],
    ['"abc".matches("^a.c$") && !"abc".matches("^b")', true],
    ['x == null', true, { x: null }],
    ['self.n + 1', 3, { self: { n: 2 } }],
    ['self.big - 1 == 9007199254740992', true, { self: { big: 9007199254740993n } }],
    ['1 + // a comment\n 2', 3],
  ];
  for (const [source, want, vars] of cases) {
    it(source, () => assert.deepEqual(value(source, vars), want));
  }

  for (const source of [
    '1 / 0 == 1',
    '[1, 0].all(i, 1 / i > 0)',
    '9223372036854775807 + 1',
    '-9223372036854775807 - 2',
    '1u - 2u',
    '[1][1]',
    '{"a": 1}["b"]',
    'x.missing',
    'dyn(1) + 1.0',
    'dyn("a") < 1',
    'int("x")',
    'timestamp(dyn("2024-02-30T00:00:00Z"))',
    'duration(dyn("1x"))',
    '"a".matches(dyn("("))',
    '{dyn(1): 1, dyn(1u): 2}',
    'dyn(1) && true',
    'y',
  ]) {
    it(`${source} is an error`, () => assert.throws(() => run(source, { x: {} }), CelError));
  }
  for (const source of [
    '1 +',
    '(1',
    '[1',
    'a b',
    '"x',
    "'\n'",
    '1 ? 2',
    'for',
    'has(x)',
    '[1].all(1, true)',
    'nope',
    'nope(1)',
    'x.nope()',
    'size(1, 2)',
    '1.',
    '99999999999999999999',
    '"\\q"',
    '{1}',
    'Obj{a: 1}',
  ]) {
    it(`${JSON.stringify(source)} does not compile`, () => assert.throws(() => env.compile(source), CelSyntaxError));
  }
  it('says where a mistake is', () => {
    assert.throws(
      () => env.compile('x.a\n  && nope'),
      (e: Error) =>
        e.message === "ERROR: <input>:2:6: undeclared reference to 'nope' (in container '')\n |   && nope\n | .....^",
    );
  });
  it('is bounded in depth', () => {
    assert.throws(() => env.compile(`${'('.repeat(5000)}1${')'.repeat(5000)}`), CelSyntaxError);
    assert.equal(value(Array.from({ length: 2000 }, () => 'true').join(' && ')), true);
  });
  it('takes hostile patterns in linear time', () => {
    assert.equal(value(`"${'a'.repeat(40)}!".matches("^(a+)+$")`), false);
  });
});

describe('CEL: cost', () => {
  const cost = (source: string, vars?: Record<string, JsonValue>) => run(source, vars).cost;
  it('counts as kube-apiserver does', () => {
    assert.equal(cost('true'), 0);
    assert.equal(cost('x', { x: 1 }), 1);
    assert.equal(cost('x.a.b', { x: { a: { b: 1 } } }), 3);
    assert.equal(cost('x + 1', { x: 1 }), 2);
    assert.equal(cost('x == "abc"', { x: 'abc' }), 2);
    assert.equal(cost('x in [1, 2, 3]', { x: 9 }), 14);
    assert.equal(cost('x.contains("0123456789a")', { x: 'a'.repeat(100) }), 1 + 10 * 2);
    assert.equal(cost('[1, 2].all(i, i > 0)'), 10 + 2 * (2 + 1 + 1 + 1) + 1);
  });
  it('stops an evaluation that costs too much, whatever is or-ed to it', () => {
    const list = Array.from({ length: 200 }, (_, i) => i);
    assert.throws(() => run('x.all(a, x.all(b, x.all(c, a + b + c < 10000))) || true', { x: list }), CostLimitError);
    assert.equal(run('true || x.exists(i, false)', { x: list }, 10).value, true, 'what is not evaluated costs nothing');
  });
});
