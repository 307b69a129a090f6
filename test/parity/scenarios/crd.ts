/** Values that the schemas of custom resources take and refuse. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { changes, definitions } from './crd-definitions.ts';
import { features, names, ratchet, versions } from './crd-objects.ts';
import { crdOf, groupOf, KEEP, obj, removeCrd, rule, Scenario } from './step.ts';

/** One kind whose spec has these properties, and objects with these specs: created, put again, applied. */
function values(name: string, properties: JsonObject, specs: readonly JsonValue[], more: JsonObject = {}): Scenario {
  const s = new Scenario('crd', name);
  const ns = s.namespace(`sc-${name}`);
  const crd = crdOf(`X${name}`, obj(properties, more));
  const path = s.crd(crd, ns);
  const apiVersion = `${groupOf(crd)}/v1`;
  const kind = `X${name}`;
  for (const [i, spec] of specs.entries()) {
    s.post(path, { apiVersion, kind, metadata: { name: `o${i}` }, spec });
    s.patch('apply', `${path}/ap${i}?fieldManager=m&dryRun=All`, {
      apiVersion,
      kind,
      metadata: { name: `ap${i}` },
      spec,
    });
    s.post(`${path}?dryRun=All&fieldValidation=Strict`, { apiVersion, kind, metadata: { name: `s${i}` }, spec });
    s.patch('merge', `${path}/o0?dryRun=All`, { spec });
    s.patch('json', `${path}/o0?dryRun=All`, [{ op: 'replace', path: '/spec', value: spec }]);
  }
  s.get(path);
  s.table(path);
  s.get(`/openapi/v3/apis/${groupOf(crd)}/v1`, { retry: true, expect: 200, view: 'openapi3' });
  removeCrd(s, crd);
  return s;
}

const FORMATS = {
  bsonobjectid: ['507f1f77bcf86cd799439011', 'x'],
  uri: ['http://a.b/c', '/a', 'a b', '', 'urn:x:y'],
  email: ['a@b.c', 'A <a@b.c>', 'a', ''],
  hostname: ['a.b', 'a_b', '-a', 'a'.repeat(64), ''],
  ipv4: ['1.2.3.4', '::1', '01.2.3.4', '1.2.3'],
  ipv6: ['::1', '1.2.3.4', '::ffff:1.2.3.4', 'fe80::1%eth0', '::g'],
  cidr: ['10.0.0.0/8', '10.0.0.1/8', '::/0', '10.0.0.0', '10.0.0.0/33'],
  mac: ['00:00:5e:00:53:01', '00-00-5E-00-53-01', '0000.5e00.5301', 'x'],
  uuid: ['123e4567-e89b-12d3-a456-426614174000', '123E4567E89B12D3A456426614174000', 'x', ''],
  uuid3: ['123e4567-e89b-32d3-a456-426614174000', '123e4567-e89b-12d3-a456-426614174000'],
  uuid4: ['123e4567-e89b-42d3-a456-426614174000', '123e4567-e89b-42d3-c456-426614174000'],
  uuid5: ['123e4567-e89b-52d3-a456-426614174000', 'x'],
  isbn: ['978-3-16-148410-0', '0321751043', '1'],
  isbn10: ['0321751043', '0-321-75104-3', '1'],
  isbn13: ['9783161484100', '978 3161484100', '1'],
  creditcard: ['4111111111111111', '4111 1111 1111 1111', '1'],
  ssn: ['111-22-3333', '111 22 3333', '11'],
  hexcolor: ['#fff', 'ffffff', '#ffffg', 'red'],
  rgbcolor: ['rgb(1,2,3)', 'rgb(1, 2, 3)', 'rgb(256,2,3)', 'x'],
  byte: ['YQ==', 'YQ', '', '!!', 'YQ==\n'],
  password: ['', 'x'],
  date: ['2020-02-29', '2019-02-29', '2020-1-1', '', '2020-01-01T00:00:00Z'],
  duration: ['1h', '1h30m', '1d', '5 s', '1.5h', '', '10', '-1s', '1w', '5 days'],
  datetime: ['2020-01-01T00:00:00Z', '2020-01-01'],
  'date-time': [
    '2020-01-01T00:00:00Z',
    '2020-01-01T00:00:00.123456789+01:00',
    '2020-01-01 00:00:00Z',
    '2020-01-01T00:00:00',
    '2020-01-01T24:00:00Z',
    '2020-01-01t00:00:00z',
    '',
  ],
  'k8s-short-name': ['abc', 'ABC', 'a'.repeat(64), ''],
  'k8s-long-name': ['a.b', 'A', 'a'.repeat(254), ''],
  int32: ['a'],
  'unknown-format': ['a'],
} as const;

export function crdScenarios(): Scenario[] {
  const formats = Object.entries(FORMATS);
  const key = (f: string) => f.replaceAll('-', '');
  return [
    values(
      'formats',
      Object.fromEntries(formats.map(([f]) => [key(f), { type: 'string', format: f }])),
      formats.flatMap(([f, list]) => list.map((v) => ({ [key(f)]: v }))),
    ),
    values(
      'numbers',
      {
        i: { type: 'integer', minimum: -5, maximum: 10 },
        x: { type: 'integer', minimum: 1, exclusiveMinimum: true, maximum: 5, exclusiveMaximum: true },
        n: { type: 'number', minimum: 0.5, multipleOf: 0.5 },
        i32: { type: 'integer', format: 'int32' },
        i64: { type: 'integer', format: 'int64' },
        fl: { type: 'number', format: 'float' },
        db: { type: 'number', format: 'double' },
        e: { type: 'integer', enum: [1, 2] },
        b: { type: 'boolean' },
        mu: { type: 'integer', multipleOf: 3 },
      },
      [
        {},
        { i: -6 },
        { i: 11 },
        { i: 10 },
        { i: 1.0 },
        { i: 1.5 },
        { i: '1' },
        { i: null },
        { i: 1e3 },
        { x: 1 },
        { x: 2 },
        { x: 5 },
        { n: 0.25 },
        { n: 0.75 },
        { n: 1 },
        { i32: 2147483648 },
        { i64: 9007199254740994 },
        { fl: 3.5e38 },
        { fl: 1e39 },
        { db: 1e300 },
        { e: 3 },
        { e: 1.0 },
        { b: 'true' },
        { b: 0 },
        { mu: 9 },
        { mu: 10 },
      ],
    ),
    values(
      'objects',
      {
        m: { type: 'object', additionalProperties: { type: 'integer' }, minProperties: 1, maxProperties: 2 },
        r: obj({ a: { type: 'string' }, b: { type: 'string' } }, { required: ['a'] }),
        l: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1, maxItems: 3 },
        ll: { type: 'array', items: { type: 'array', items: { type: 'integer' } } },
        st: { type: 'array', items: { type: 'integer' }, 'x-kubernetes-list-type': 'set' },
        lm: {
          type: 'array',
          items: obj({ n: { type: 'string' }, p: { type: 'integer', default: 1 } }, { required: ['n'] }),
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['n', 'p'],
        },
        d: obj({ x: { type: 'string', default: 'dx' } }, { default: { x: 'dd' } }),
        nd: { type: 'string', nullable: true, default: 'dn' },
        de: { type: 'array', items: obj({ y: { type: 'integer', default: 3 } }) },
      },
      [
        {},
        { m: {} },
        { m: { a: 1 } },
        { m: { a: 1, b: 2, c: 3 } },
        { m: { a: 'x' } },
        { m: { a: null } },
        { r: {} },
        { r: { a: 'x', c: 1 } },
        { r: null },
        { r: [] },
        { l: [] },
        { l: [''] },
        { l: ['a', 'b', 'c', 'd'] },
        { l: [1] },
        { l: {} },
        { ll: [[1], []] },
        { ll: [['x'], [null]] },
        { st: [1, 2, 1, 2] },
        { lm: [{ n: 'a' }, { n: 'a', p: 1 }] },
        { lm: [{ n: 'a' }, { n: 'a', p: 2 }] },
        { lm: [{ p: 1 }] },
        { d: {} },
        { d: null },
        { nd: null },
        { nd: '' },
        { de: [{}, { y: null }, { y: 4 }] },
        'x',
        [],
        5,
      ],
    ),
    values(
      'logic',
      {
        a: { type: 'integer', anyOf: [{ minimum: 10 }, { maximum: 2 }] },
        o: { type: 'object', ...KEEP, oneOf: [{ required: ['x'] }, { required: ['y'] }] },
        l: { type: 'string', allOf: [{ minLength: 2 }, { pattern: '^a' }] },
        n: { type: 'string', not: { enum: ['bad'] } },
        nn: { type: 'integer', not: { anyOf: [{ minimum: 5 }, { maximum: 1 }] } },
        ip: {
          'x-kubernetes-int-or-string': true,
          anyOf: [{ type: 'integer' }, { type: 'string' }],
          pattern: '^[0-9]+%$',
        },
        p: { type: 'object', properties: { q: { type: 'string' } }, anyOf: [{ properties: { q: { enum: ['a'] } } }] },
      },
      [
        { a: 5 },
        { a: 1 },
        { o: {} },
        { o: { x: 1 } },
        { o: { x: 1, y: 1 } },
        { l: 'b' },
        { l: 'bb' },
        { l: 'ab' },
        { n: 'bad' },
        { nn: 5 },
        { nn: 3 },
        { ip: 5 },
        { ip: '5%' },
        { ip: '5' },
        { ip: [] },
        { p: { q: 'b' } },
        { p: { q: 'a' } },
        { p: {} },
      ],
    ),
    values(
      'cel',
      {
        q: rule({ rule: 'quantity(self).isLessThan(quantity("1Gi"))', message: 'too much' }),
        ip: rule({ rule: 'isIP(self)', reason: 'FieldValueForbidden', messageExpression: '"no ip: " + self' }),
        u: rule({ rule: 'self == oldSelf', message: 'immutable' }),
        opt: rule({ rule: '!oldSelf.hasValue() || self == oldSelf.value()', optionalOldSelf: true }),
        dup: rule(
          { rule: 'self.all(x, self.exists_one(y, x == y))', reason: 'FieldValueDuplicate' },
          {
            type: 'array',
            maxItems: 5,
            items: { type: 'string', maxLength: 10 },
          },
        ),
        req: rule(
          { rule: 'has(self.a) || has(self.b)', reason: 'FieldValueRequired', fieldPath: '.a' },
          obj({ a: { type: 'string' }, b: { type: 'string' } }),
        ),
        err: rule('self.size() / (self.size() - 1) > 0 && [1][self.size()] == 1'),
        t: rule('self < timestamp("2021-01-01T00:00:00Z")', { type: 'string', format: 'date-time' }),
        du: rule('self <= duration("1h")', { type: 'string', format: 'duration' }),
        ios: rule('type(self) == int ? self > 5 : self.endsWith("%")', { 'x-kubernetes-int-or-string': true }),
        fm: rule('!format.dns1123Subdomain().validate(self).hasValue()'),
        me: rule(
          { rule: 'self > 0', messageExpression: 'self / 0 == 1 ? "a" : "b"', message: 'fallback' },
          { type: 'integer' },
        ),
        lm: {
          type: 'array',
          maxItems: 5,
          items: obj(
            { n: { type: 'string', maxLength: 10 }, v: rule('self >= oldSelf', { type: 'integer' }) },
            { required: ['n'] },
          ),
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['n'],
        },
        semver: rule('isSemver(self) && semver(self).isGreaterThan(semver("1.0.0"))'),
        url: rule('isURL(self) && url(self).getHostname() == "a.b"'),
        nul: rule('self == null || self == "x"', { type: 'string', nullable: true }),
        by: rule('self == b"a"', { type: 'string', format: 'byte' }),
        i: rule('int(self) > 3'),
      },
      [
        { q: '1Mi', u: 'a', opt: 'a', lm: [{ n: 'a', v: 5 }] },
        { q: '2Gi' },
        { q: 'x' },
        { ip: '1.2.3.4' },
        { ip: 'x' },
        { u: 'b' },
        { opt: 'b' },
        { dup: ['a', 'a'] },
        { dup: ['a', 'b'] },
        { req: {} },
        { req: { b: 'x' } },
        { err: 'a' },
        { err: '' },
        { t: '2020-01-01T00:00:00Z' },
        { t: '2022-01-01T00:00:00Z' },
        { t: 'x' },
        { du: '2h' },
        { du: '5m' },
        { ios: 3 },
        { ios: '3%' },
        { ios: 'x' },
        { fm: 'A' },
        { me: 0 },
        { lm: [{ n: 'a', v: 4 }] },
        { lm: [{ n: 'b', v: 4 }] },
        { semver: '1.2.3' },
        { semver: 'x' },
        { url: 'https://a.b/c' },
        { url: 'x' },
        { nul: null },
        { nul: 'y' },
        { by: 'YQ==' },
        { by: 'Yg==' },
        { i: '4' },
        { i: 'x' },
      ],
      { 'x-kubernetes-validations': [{ rule: '!has(self.q) || !has(self.ip)' }, { rule: 'self == oldSelf || true' }] },
    ),
    definitions(),
    changes(),
    versions(),
    features(),
    ratchet(),
    names(),
  ];
}
