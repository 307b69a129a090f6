import assert from 'node:assert/strict';
import { CelSyntaxError, createCelEnv, declTypeOf, DYN, MUTATION_TYPES } from '../../../api/cel/index.ts';

const self = declTypeOf(
  {
    type: 'object',
    properties: {
      i: { type: 'integer' },
      d: { type: 'number' },
      s: { type: 'string' },
      t: { type: 'string', format: 'date-time' },
      l: { type: 'array', items: { type: 'string' } },
      m: { type: 'object', additionalProperties: { type: 'string' } },
      o: { type: 'object', properties: { x: { type: 'integer' } } },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  },
  'spec',
);
const env = createCelEnv({ variables: { self, any: DYN } });
const typeOf = (source: string): string => env.compile(source).resultType;

describe('CEL: the checker', () => {
  const types: [string, string][] = [
    ['self.i + 1', 'int'],
    ['self.l.map(x, x.size())', 'list(int)'],
    ['{"a": [self.s]}', 'map(string, list(string))'],
    ['self.?o.?x', 'optional_type(int)'],
    ['self.l[?0].orValue("x")', 'string'],
    ['any.a.b', 'dyn'],
    ['any + any', 'dyn'],
    ['self.m.transformMap(k, v, v.size())', 'map(string, int)'],
    ['self.t - self.t', 'google.protobuf.Duration'],
    ['self.l.sort()', 'list(string)'],
    ['self.o', 'spec.o'],
    ['quantity(self.s)', 'kubernetes.Quantity'],
    ['self.i > 1 ? [] : self.l', 'list(string)'],
    ['"%s %d".format(["a", 1])', 'string'],
    ['self.i < self.d', 'bool'],
    ['self.t == null', 'bool'],
  ];
  for (const [source, want] of types) it(`${source} is ${want}`, () => assert.equal(typeOf(source), want));

  const mistakes: [string, RegExp][] = [
    ['self.nope', /1:5: undefined field 'nope'/],
    ['self.free.a', /undefined field 'a'/],
    ['self.s + self.i', /found no matching overload for '_\+_' applied to '\(string, int\)'/],
    ['self.i == self.d', /'_==_' applied to '\(int, double\)'/],
    ['self.s == null', /'_==_' applied to '\(string, null\)'/],
    ['self.l.all(x, x > 1)', /'_>_' applied to '\(string, int\)'/],
    ['self.i.all(x, true)', /expression of type 'int' cannot be range of a comprehension/],
    ['self.i.x', /type 'int' does not support field selection/],
    ['self.o["x"]', /'_\[_\]' applied to '\(spec\.o, string\)'/],
    ['[1, "a"]', /1:5: expected type 'int' but found 'string'/],
    ['[1, null]', /expected type 'int' but found 'null'/],
    ['true ? 1 : "a"', /'_\?_:_' applied to '\(bool, int, string\)'/],
    ['1 in self.l', /'@in' applied to '\(int, list\(string\)\)'/],
    ['self.l.sum()', /'sum' applied to 'list\(string\)\.\(\)'/],
    ['self.?i.orValue("a")', /'orValue' applied to/],
    ['timestamp("x")', /1:11: invalid timestamp argument/],
    ['self.s.matches("(")', /1:16: invalid matches argument/],
    ['!self.i', /'!_' applied to '\(int\)'/],
  ];
  for (const [source, message] of mistakes) {
    it(`${source} is refused`, () =>
      assert.throws(
        () => env.compile(source),
        (e) => e instanceof CelSyntaxError && message.test(e.message),
      ));
  }
  it('can be left out', () => {
    const loose = createCelEnv({ variables: { any: DYN }, checked: false });
    assert.equal(loose.compile('[1, "a"][1] == 1').evaluate({}).value, false);
  });
});

describe('objects that expressions make', () => {
  const env = createCelEnv({ variables: { object: DYN }, structs: MUTATION_TYPES });
  const type = (source: string): string => env.compile(source).resultType;

  it('have the types of their names', () => {
    assert.equal(type('Object{spec: Object.spec{nodeName: 1}}'), 'Object');
    assert.equal(type('Object.spec{}'), 'Object.spec');
    assert.equal(type('[JSONPatch{op: "add", path: "/a", value: Object.spec{}}]'), 'list(JSONPatch)');
    assert.equal(type('object.spec.containers.map(c, JSONPatch{op: "add", path: "/" + c.name})'), 'list(JSONPatch)');
    assert.equal(type('null'), 'null_type');
  });
  it('are refused with types and fields that there are not', () => {
    for (const [source, why] of [
      ['Foo{}', /undeclared reference to 'Foo'/],
      ['JSONPatch.foo{}', /undeclared reference to 'JSONPatch.foo'/],
      ['JSONPatch{op: 1}', /1:13: expected type of field 'op' is 'string' but provided type is 'int'/],
      ['JSONPatch{val: "b"}', /expected type of field 'val' is '' but provided type is 'string'/],
      ['JSONPatch{op: JSONPatch{}.foo}', /expected type of field 'op' is 'string' but provided type is ''/],
      ['true ? Object{} : JSONPatch{}', /no matching overload/],
    ] as const)
      assert.throws(() => env.compile(source), why, source);
  });
  it('give their fields back', () => {
    const value = (source: string) => env.compile(source).evaluate({}).value;
    assert.equal(value('Object.spec{a: "x"}.a'), 'x');
    assert.equal(value('has(Object.spec{a: "x"}.b) || has(JSONPatch{op: "add"}.path)'), false);
    assert.throws(() => value('Object{}.a'), /no such key/);
  });
});
