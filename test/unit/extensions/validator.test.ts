import assert from 'node:assert/strict';
import type { SchemaProps } from '../../../apiserver/extensions/schema/props.ts';
import type { Value } from '../../../apiserver/extensions/schema/equal.ts';
import { SchemaValidator } from '../../../apiserver/extensions/schema/validator.ts';
import { validateEmbedded, validateLists } from '../../../apiserver/extensions/schema/walk.ts';
import { isKnownFormat, formatCheck } from '../../../apiserver/extensions/schema/formats.ts';

const causes = (schema: SchemaProps, value: Value, old?: Value): string[] => {
  const v = new SchemaValidator(schema);
  return (old === undefined ? v.validate(value) : v.validateUpdate(value, old))
    .map((e) => `${e.type.replace('FieldValue', '')} ${e.field}`)
    .sort();
};
const of = (spec: SchemaProps): SchemaProps => ({ type: 'object', properties: { spec } });

describe('validation by an openAPIV3Schema', () => {
  it('names the type that was found, in the form Go keeps it in where there is a format', () => {
    const said = (schema: SchemaProps, value: Value) => new SchemaValidator(schema).validate(value)[0]!.message;
    const found = (type: string, value: string) =>
      `Invalid value: "${value}": spec in body must be of type ${type}: "${value}"`;
    for (const [schema, value, message] of [
      [{ type: 'string' }, 3, found('string', 'integer')],
      [{ type: 'string' }, null, found('string', 'null')],
      [{ type: 'string', format: 'date-time' }, 3, found('date-time', 'int64')],
      [{ type: 'integer', format: 'int32' }, 1.5, found('int32', 'float64')],
      [{ type: 'integer', format: 'int64' }, [], found('integer', 'array')],
      [{ type: 'number', format: 'double' }, true, found('double', '')],
    ] as [SchemaProps, Value, string][])
      assert.equal(said(of(schema), { spec: value }), message);
    const rest: SchemaProps = { type: 'object', additionalProperties: { type: 'string' } };
    const [error] = new SchemaValidator(rest).validate({ x: 1 }, 'a.default');
    assert.deepEqual(
      [error!.field, error!.message],
      ['a.default.x', 'Invalid value: "integer": .x in body must be of type string: "integer"'],
    );
  });
  const cases: [string, SchemaProps, Value, string[]][] = [
    ['a value of the type', { type: 'integer' }, 3, []],
    ['another type', { type: 'string' }, 3, ['TypeInvalid spec']],
    ['a fraction for an integer', { type: 'integer' }, 1.5, ['Invalid <nil>', 'TypeInvalid spec']],
    ['an integer for a number', { type: 'number' }, 3, []],
    ['more than an int32', { type: 'integer', format: 'int32' }, 3_000_000_000, ['Invalid <nil>']],
    ['an int64 beyond doubles', { type: 'integer', format: 'int64' }, 9_223_372_036_854_775_807n, []],
    ['null', { type: 'string' }, null, ['TypeInvalid spec']],
    ['null where it is allowed', { type: 'string', nullable: true }, null, []],
    ['too long, in characters', { type: 'string', maxLength: 2 }, 'äöü', ['TooLong spec']],
    ['long enough, in characters', { type: 'string', maxLength: 2 }, '😀😀', []],
    ['too short', { type: 'string', minLength: 2 }, 'a', ['Invalid spec']],
    ['not the pattern', { type: 'string', pattern: '^a+$' }, 'b', ['Invalid spec']],
    [
      'a pattern that would never end elsewhere',
      { type: 'string', pattern: '^(a+)+$' },
      `${'a'.repeat(50)}!`,
      ['Invalid spec'],
    ],
    ['none of the values', { type: 'string', enum: ['a'] }, 'b', ['NotSupported spec']],
    ['beyond an exclusive bound', { type: 'integer', maximum: 3, exclusiveMaximum: true }, 3, ['Invalid spec']],
    ['no multiple', { type: 'number', multipleOf: 0.5 }, 1.3, ['Invalid spec']],
    ['too many items', { type: 'array', maxItems: 1, items: { type: 'string' } }, ['a', 'b'], ['TooMany spec']],
    ['a wrong item', { type: 'array', items: { type: 'string' } }, ['a', 1], ['TypeInvalid spec[1]']],
    ['a missing field', { type: 'object', required: ['a'] }, {}, ['Required spec.a']],
    [
      'too many keys',
      { type: 'object', additionalProperties: { type: 'string' }, maxProperties: 1 },
      { a: '', b: '' },
      ['TooMany spec'],
    ],
    [
      'a wrong value of a map',
      { type: 'object', additionalProperties: { type: 'string' } },
      { a: 1 },
      ['TypeInvalid spec.a'],
    ],
    ['int or string', { 'x-kubernetes-int-or-string': true }, 'a', []],
    ['neither int nor string', { 'x-kubernetes-int-or-string': true }, true, ['TypeInvalid spec']],
    ['a format', { type: 'string', format: 'ipv4' }, '1.2.3', ['TypeInvalid spec']],
    ['an unknown format', { type: 'string', format: 'zip' }, 'x', []],
    [
      'none of several',
      { type: 'string', anyOf: [{ pattern: '^a' }, { maxLength: 1 }] },
      'bb',
      ['Invalid <nil>', 'Invalid spec'],
    ],
    [
      'two of exactly one',
      { type: 'object', oneOf: [{ required: ['a'] }, { required: ['b'] }] },
      { a: 1, b: 1 },
      ['Invalid <nil>'],
    ],
    ['not all', { type: 'string', allOf: [{ minLength: 3 }] }, 'a', ['Invalid <nil>', 'Invalid spec']],
    ['what must not be', { type: 'string', not: { enum: ['no'] } }, 'no', ['Invalid <nil>']],
  ];
  for (const [what, schema, value, expected] of cases)
    it(`${what}: ${expected.join(', ') || 'fine'}`, () =>
      assert.deepEqual(causes(of(schema), { spec: value }), expected));

  describe('of an update', () => {
    const schema = of({
      type: 'object',
      properties: {
        a: { type: 'string', maxLength: 1 },
        b: { type: 'integer' },
        list: { type: 'array', items: { type: 'string', maxLength: 1 } },
        map: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['k'],
          items: { type: 'object', properties: { k: { type: 'string' }, v: { type: 'string', maxLength: 1 } } },
        },
      },
    });
    it('lets pass what has not changed', () =>
      assert.deepEqual(causes(schema, { spec: { a: 'long', b: 2 } }, { spec: { a: 'long', b: 1 } }), []));
    it('complains about what has', () =>
      assert.deepEqual(causes(schema, { spec: { a: 'other' } }, { spec: { a: 'long' } }), ['TooLong spec.a']));
    it('can tell items of keyed lists apart', () =>
      assert.deepEqual(
        causes(
          schema,
          {
            spec: {
              map: [
                { k: 'y', v: 'new' },
                { k: 'x', v: 'old' },
              ],
            },
          },
          { spec: { map: [{ k: 'x', v: 'old' }] } },
        ),
        ['TooLong spec.map[0].v'],
      ));
    it("can't tell items of plain lists apart", () =>
      assert.deepEqual(causes(schema, { spec: { list: ['old', 'b'] } }, { spec: { list: ['old'] } }), [
        'TooLong spec.list[0]',
      ]));
  });
});

describe('values that extensions of a schema speak of', () => {
  const list = (type: string, more: SchemaProps = {}): SchemaProps =>
    of({ type: 'array', 'x-kubernetes-list-type': type, items: { type: 'string' }, ...more });
  it('sets have no item twice', () =>
    assert.deepEqual(
      validateLists({ spec: ['a', 'b', 'a', 'a'] }, list('set')).map((e) => `${e.type} ${e.field}`),
      ['FieldValueDuplicate spec[2]'],
    ));
  it('maps have no key twice', () =>
    assert.deepEqual(
      validateLists(
        { spec: [{ k: 1 }, { k: 1, v: 2 }] },
        list('map', { 'x-kubernetes-list-map-keys': ['k'], items: { type: 'object' } }),
      ).map((e) => e.field),
      ['spec[1]'],
    ));
  it('embedded resources have a kind and valid metadata', () =>
    assert.deepEqual(
      validateEmbedded(
        { spec: { apiVersion: 'v1', metadata: { name: 'a/b' } } },
        of({ type: 'object', 'x-kubernetes-embedded-resource': true }),
      )
        .map((e) => `${e.type} ${e.field}`)
        .sort(),
      ['FieldValueInvalid spec.metadata.name', 'FieldValueRequired spec.kind'],
    ));
});

describe('string formats', () => {
  const good: Record<string, string[]> = {
    'date-time': ['2020-01-01T00:00:00Z', '2020-01-01t00:00:00.5+01:00'],
    date: ['2020-02-29'],
    duration: ['5m', '1h5s', '3 weeks'],
    email: ['a@b', 'A <a@b.c>'],
    hostname: ['example.com'],
    uri: ['http://a/b', '/a', 'urn:x:y'],
    uuid: ['123e4567-e89b-12d3-a456-426614174000'],
    byte: ['AAAA', 'AA=='],
    cidr: ['10.0.0.0/8', '::/0'],
    isbn: ['0321751043', '978-0321751041'],
    creditcard: ['4111 1111 1111 1111'],
    'k8s-short-name': ['a-b'],
  };
  const bad: Record<string, string[]> = {
    'date-time': ['2020-01-01', '2020-13-01T00:00:00Z'],
    date: ['2021-02-29', '2020-1-1'],
    duration: ['5 parsecs', ''],
    email: ['a', '@b'],
    hostname: ['-a', 'a b'],
    uri: ['a/b', ''],
    uuid: ['x'],
    byte: ['!!', 'A', ''],
    cidr: ['10.0.0.0', '10.0.0.0/33'],
    isbn: ['1'],
    creditcard: ['4111111111111112'],
    'k8s-short-name': ['A', 'a.b'],
  };
  for (const format of Object.keys(good))
    it(format, () => {
      for (const t of good[format]!) assert.ok(formatCheck(format)!(t), `${t} is one`);
      for (const t of bad[format]!) assert.ok(!formatCheck(format)!(t), `${t} is none`);
    });
  it('belong to types', () => {
    assert.ok(isKnownFormat('int32', 'integer'));
    assert.ok(!isKnownFormat('int32', 'string'));
    assert.ok(!isKnownFormat('zip', 'string'));
  });
});
