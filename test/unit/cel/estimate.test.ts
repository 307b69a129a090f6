import assert from 'node:assert/strict';
import { createCelEnv, declTypeOf, fromJson } from '../../../api/cel/index.ts';
import type { JsonValue } from '../../../api/types.ts';

const self = declTypeOf({
  type: 'object',
  properties: {
    b: { type: 'boolean' },
    short: { type: 'string', maxLength: 10 },
    text: { type: 'string' },
    list: { type: 'array', maxItems: 5, items: { type: 'string', maxLength: 10 } },
    long: {
      type: 'array',
      items: { type: 'object', required: ['name'], properties: { name: { type: 'string', maxLength: 10 } } },
    },
    map: { type: 'object', maxProperties: 4, additionalProperties: { type: 'integer' } },
    colour: { type: 'string', enum: ['red', 'green'] },
  },
});
const env = createCelEnv({ variables: { self } });
const estimate = (source: string) => env.compile(source).estimate();

describe('CEL: estimated cost', () => {
  const REQUEST = 3 * 1024 * 1024 - 2;
  const cases: [string, number, number][] = [
    ['true', 0, 0],
    ['self.b', 2, 2],
    ['self.short == "abc"', 3, 3],
    ['self.text == self.text', 5, 4 + Math.ceil(REQUEST / 10)],
    ['self.colour == self.text', 5, 5],
    ['self.b || self.text == self.text', 2, 2 + 4 + Math.ceil(REQUEST / 10)],
    ['self.list.all(x, x == "a")', 2 + 1, 2 + 1 + 5 * 5],
    ['self.map.all(k, self.map[k] > 0)', 2 + 1, 2 + 1 + 4 * (2 + 1 + 2 + 1 + 1 + 1)],
    ['self.long.all(x, x.name == "a")', 2 + 1, 2 + 1 + Math.floor(REQUEST / 13) * 6],
    ['has(self.b)', 1, 1],
  ];
  for (const [source, min, max] of cases) {
    it(source, () => assert.deepEqual(estimate(source), { min, max }));
  }
  it('is without bound where nothing bounds it', () => {
    assert.equal(estimate('self.text == string(self.b)').max, Math.ceil(REQUEST / 10) + 2 + 3);
    assert.equal(estimate('self.long.map(x, string(x.name + "a")).all(y, y.contains(y))').max, Infinity);
  });
  it('is never less than what evaluating costs', () => {
    const json: JsonValue = {
      b: false,
      short: 'abcdefghij',
      text: 'x'.repeat(500),
      list: ['aaaaaaaaaa', 'b', 'c', 'd', 'e'],
      long: Array.from({ length: 50 }, (_, i) => ({ name: `n${i}` })),
      map: { a: 1, b: 2, c: 3, d: 4 },
      colour: 'green',
    };
    for (const source of [
      'self.list.all(x, self.list.exists(y, x == y && y.size() > 0))',
      'self.long.filter(x, x.name.startsWith("n")).map(x, x.name).size() == 50',
      'self.text.matches("^x+$") && self.text.contains("xx")',
      'self.map.exists_one(k, self.map[k] == 4) ? self.short + self.colour == "" : self.list.join(",") == ""',
      'sets.contains(self.list, self.list) && self.list.sort().reverse()[0] == "e" && self.list.distinct().size() == 5',
      'self.?short.orValue("") == self.short && self.list[?9].orValue("none") == "none"',
      'self.text.replace("x", "yy").size() == 1000 && self.text.split("").size() == 500 && lists.range(9).sum() == 36',
    ]) {
      const program = env.compile(source);
      const { cost } = program.evaluate({ self: { cel: fromJson(json, self) } });
      const { min, max } = program.estimate();
      assert.ok(min <= cost && cost <= max, `${source}: ${min} <= ${cost} <= ${max}`);
    }
  });
});
