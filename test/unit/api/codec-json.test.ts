import assert from 'node:assert/strict';
import { DecodeError, decodeJson, encodeJson } from '../../../api/codec/json.ts';
import { strictComplaints } from '../../../api/codec/errors.ts';
import { parseJsonExactly } from '../../../api/codec/json-parser.ts';
import { deepEqual } from '../../../api/meta.ts';
import { json, seeded } from './gen.ts';

const value = (text: string) => decodeJson(text).value;

describe('JSON codec', () => {
  it('gives back what it encoded, whatever it was', () => {
    const r = seeded(1);
    for (let i = 0; i < 2000; i++) {
      const v = json(r);
      const text = encodeJson(v);
      const got = decodeJson(Buffer.from(text));
      assert.ok(deepEqual(got.value, v), text);
      assert.deepEqual(got.duplicates, []);
      assert.equal(encodeJson(got.value), text);
      assert.ok(deepEqual(parseJsonExactly(text, 100).value, v), text);
    }
  });

  it('keeps int64 exact and takes longer integers for doubles', () => {
    assert.equal(value('9223372036854775807'), 9223372036854775807n);
    assert.equal(value('-9223372036854775808'), -9223372036854775808n);
    assert.equal(value('9007199254740991'), 9007199254740991);
    assert.equal(value('9007199254740993'), 9007199254740993n);
    assert.equal(value('9223372036854775808'), 9223372036854775808);
    assert.equal(value('1.5e3'), 1500);
    assert.equal(
      encodeJson({ a: [1n, { b: 9223372036854775807n }], c: undefined }),
      '{"a":[1,{"b":9223372036854775807}]}',
    );
  });

  it('refuses numbers that no double can hold', () => {
    assert.throws(() => value('{"a":1e400}'), DecodeError);
  });

  it('takes __proto__ for a key like any other', () => {
    for (const text of ['{"__proto__":{"x":1}}', '{"__proto__":{"x":1},"n":12345678901234567890123}']) {
      const v = value(text) as Record<string, unknown>;
      assert.ok(Object.hasOwn(v, '__proto__'));
      assert.equal((v as { x?: number }).x, undefined);
      assert.match(encodeJson(v), /^\{"__proto__":\{"x":1\}/);
    }
  });

  it('names every key given twice and lets the last one win', () => {
    const d = decodeJson('{"spec":{"replicas":1,"replicas":2,"list":[{"a":1},{"a":1,"a":2}]},"kind":"x","kind":"y"}');
    assert.deepEqual(d.duplicates, ['spec.replicas', 'spec.list[1].a', 'kind']);
    assert.deepEqual(d.value, { spec: { replicas: 2, list: [{ a: 1 }, { a: 2 }] }, kind: 'y' });
    assert.deepEqual(decodeJson('{"a":{"a":1},"b":[{"a":1},{"a":2}]}').duplicates, []);
  });

  it('keeps the order of keys', () => {
    assert.equal(encodeJson(value('{"z":1,"a":{"y":2,"b":3}}')), '{"z":1,"a":{"y":2,"b":3}}');
  });

  it('is not confused by strings that look like JSON', () => {
    const text = '{"a":"{\\"b\\":1,\\\\","c":"::\\\\\\"","d":"12345678901234567890"}';
    assert.deepEqual(decodeJson(text), { value: JSON.parse(text), duplicates: [] });
  });

  it('replaces lone surrogates and broken UTF-8', () => {
    assert.equal(value('"\\ud800x"'), '\ufffdx');
    assert.equal(value('"\\ud834\\udd1e"'), '𝄞');
    assert.equal(decodeJson(Buffer.from([0x22, 0xff, 0x22])).value, '\ufffd');
  });

  it('bounds nesting', () => {
    const nested = (n: number) => '['.repeat(n) + ']'.repeat(n);
    assert.throws(() => value(nested(10_000)), /exceeded max depth/);
    assert.throws(() => value('{"a":'.repeat(200_000)), /exceeded max depth/);
    assert.throws(() => decodeJson(nested(11), { maxDepth: 10 }), /exceeded max depth/);
    assert.doesNotThrow(() => decodeJson(nested(10), { maxDepth: 10 }));
  });

  const broken: [string, string][] = [
    ['', 'unexpected end of JSON input'],
    ['{', 'unexpected end of JSON input'],
    ['{"a":1', 'unexpected end of JSON input'],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{a:1}', "invalid character 'a' looking for beginning of object key string"],
    ['{"a":1}x', "invalid character 'x' after top-level value"],
    ['[1 2]', "invalid character '2' after array element"],
    ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
    ['tru', 'unexpected end of JSON input'],
    ['trux', "invalid character 'x' in literal true (expecting 'e')"],
    ['"\n"', "invalid character '\\n' in string literal"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['-x', "invalid character 'x' in numeric literal"],
    ['1.x', "invalid character 'x' after decimal point in numeric literal"],
    ['01', "invalid character '1' after top-level value"],
    ['x', "invalid character 'x' looking for beginning of value"],
  ];
  for (const [text, message] of broken) {
    it(`says of ${JSON.stringify(text)}: ${message}`, () => {
      assert.throws(
        () => value(text),
        (e) => e instanceof DecodeError && e.message === message,
      );
    });
  }

  it('accepts exactly what JSON.parse accepts', () => {
    const r = seeded(2);
    for (let i = 0; i < 3000; i++) {
      const whole = JSON.stringify(JSON.parse(encodeJson(json(r, 3))));
      const at = Math.floor(r.next() * whole.length);
      const text = (
        whole.slice(0, at) +
        [':', '"', '}', '', '0', ',', ' ', '\\'][i % 8] +
        whole.slice(at + 1)
      ).toWellFormed();
      let expected: unknown;
      let fine = true;
      try {
        expected = JSON.parse(text);
      } catch {
        fine = false;
      }
      if (fine) assert.ok(deepEqual(JSON.parse(encodeJson(value(text))), expected), text);
      else assert.throws(() => value(text), DecodeError, text);
    }
  });

  it('lists strict complaints in the order of the document', () => {
    const document = { a: { z: 1, b: 2 }, c: 3 };
    assert.deepEqual(strictComplaints(['a.b'], ['c', 'a.z'], document), [
      'unknown field "a.z"',
      'duplicate field "a.b"',
      'unknown field "c"',
    ]);
  });
});
