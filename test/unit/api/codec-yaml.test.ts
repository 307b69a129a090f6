import assert from 'node:assert/strict';
import { DecodeError } from '../../../api/codec/errors.ts';
import { encodeJson } from '../../../api/codec/json.ts';
import { decodeYaml, encodeYaml } from '../../../api/codec/yaml.ts';
import { deepEqual } from '../../../api/meta.ts';
import { json, seeded } from './gen.ts';

const value = (text: string) => decodeYaml(text).value;

describe('YAML codec', () => {
  const scalars: [string, unknown][] = [
    ['yes', true],
    ['Off', false],
    ['y', true],
    ['N', false],
    ['TRUE', true],
    ['yEs', 'yEs'],
    ['"yes"', 'yes'],
    ['~', null],
    ['', null],
    ['Null', null],
    ['0x1F', 31],
    ['017', 15],
    ['0o17', 15],
    ['-0b101', -5],
    ['1_000', 1000],
    ['+5', 5],
    ['08', 8],
    ['1.50', 1.5],
    ['.5', 0.5],
    ['1e3', 1000],
    ['9223372036854775807', 9223372036854775807n],
    ['2020-01-01', '2020-01-01'],
    ['2020-01-01T00:00:00Z', '2020-01-01T00:00:00Z'],
    ['12:30:45', '12:30:45'],
    ['1.2.3', '1.2.3'],
    ['- x', ['x']],
    ['!!str 5', '5'],
    ['!!int "7"', 7],
    ['1Gi', '1Gi'],
  ];
  for (const [text, expected] of scalars) {
    it(`reads ${JSON.stringify(text)} as ${typeof expected} ${encodeJson(expected)}`, () => {
      const v = value(text.startsWith('-  ') || text === '- x' ? text : `a: ${text}`);
      assert.deepEqual(text === '- x' ? v : (v as { a: unknown }).a, expected);
    });
  }

  it('reads any JSON, and what it wrote itself', () => {
    const r = seeded(3);
    for (let i = 0; i < 300; i++) {
      const v = { top: json(r, 3) };
      assert.ok(deepEqual(value(encodeJson(v)), v), encodeJson(v));
      const yaml = encodeYaml(v);
      assert.ok(deepEqual(value(yaml), v), `${encodeJson(v)}\n${yaml}`);
    }
  });

  it('writes lines as kube-apiserver does', () => {
    const long = 'word '.repeat(20).trim();
    const value = {
      h10: null,
      h2: 1_234_567.5,
      g: [[1, { z: [], x: {} }]],
      f: long,
      e: '\u{1F600}',
      d: 'one\ntwo',
      c: '2020-01-01T00:00:00Z',
      b: "'x'",
      a1: 'true',
      a: '*',
    };
    assert.deepEqual(encodeYaml(value).split('\n'), [
      "a: '*'",
      'a1: "true"',
      "b: '''x'''",
      'c: "2020-01-01T00:00:00Z"',
      'd: |-',
      '  one',
      '  two',
      'e: "\\U0001F600"',
      // Behind column 80 the next space becomes a new line.
      `f: ${'word '.repeat(16).trim()}`,
      `  ${'word '.repeat(4).trim()}`,
      'g:',
      '- - 1',
      '  - x: {}',
      '    z: []',
      'h2: 1.2345675e+06',
      'h10: null',
      '',
    ]);
  });

  it('merges maps; own keys win, earlier sources before later ones', () => {
    const v = value('b: &b {x: 1, w: 2}\nz:\n  <<: *b\n  w: 3\nq: {<<: [*b, {v: 1, x: 5}]}\n');
    assert.deepEqual(v, { b: { x: 1, w: 2 }, z: { x: 1, w: 3 }, q: { x: 1, w: 2, v: 1 } });
    assert.throws(() => value('a: {<<: 5}'), DecodeError);
  });

  it('gives each alias a value of its own', () => {
    const v = value('a: &a {num: 1}\nb: *a\n') as { a: { num: number }; b: { num: number } };
    v.a.num = 2;
    assert.equal(v.b.num, 1);
  });

  it('names keys given twice', () => {
    assert.deepEqual(decodeYaml('a: 1\na: 2\nb:\n- c: 1\n  c: 2\n'), {
      value: { a: 2, b: [{ c: 2 }] },
      duplicates: ['a', 'b[0].c'],
      notes: ['line 2: key "a" already set in map', 'line 5: key "c" already set in map'],
    });
    assert.deepEqual(decodeYaml('{"a":1,"a":2}').duplicates, ['a']);
  });

  it('makes texts of keys', () => {
    assert.deepEqual(
      value('1: a\ntrue: b\n1.5: c\n__proto__: {x: 1}'),
      JSON.parse('{"1":"a","true":"b","1.5":"c","__proto__":{"x":1}}'),
    );
    assert.throws(() => value('? [a]\n: b'), DecodeError);
    assert.throws(() => value('? ~\n: b'), DecodeError);
  });

  it('refuses bombs, endless nesting and anchors within themselves, quickly', () => {
    let bomb = 'a0: &a0 [x,x,x,x,x,x,x,x,x]\n';
    for (let i = 1; i < 12; i++)
      bomb += `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(',')}]\n`;
    assert.throws(() => value(bomb), /excessive aliasing/);
    assert.throws(() => value('['.repeat(100_000)), /max depth/);
    assert.throws(() => value('{a: '.repeat(100_000)), /max depth/);
    assert.throws(() => value('- '.repeat(100_000)), /max depth/);
    assert.throws(() => value('a: &a [*a]'), /contains itself/);
    assert.throws(() => value('a: *nope'), /unknown anchor/);
  });

  it('says in which line a document is broken', () => {
    assert.throws(() => value('a: 1\nb: [1\nc: 2\n'), /^DecodeError: error converting YAML to JSON: yaml: line 3:/);
    assert.throws(() => value('a: b: c'), /line 1/);
    assert.throws(() => value('a: .inf'), /unsupported value/);
  });

  it('takes the first of several documents, null for none', () => {
    assert.deepEqual(value('---\na: 1\n---\nb: 2\n'), { a: 1 });
    assert.equal(value(''), null);
    assert.equal(value('# nothing\n'), null);
  });
});
