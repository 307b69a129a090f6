/** Custom resources: schemas, rules, versions, refused definitions, ratcheting. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { crdOf, groupOf, removeCrd, RUN, Scenario } from './step.ts';

const obj = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({ type: 'object', properties, ...more });
const KEEP = { 'x-kubernetes-preserve-unknown-fields': true };

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

/** Definitions that are refused, or not. The value is the schema of `spec.a`, or a change of the definition's spec. */
const SCHEMAS: readonly JsonValue[] = [
  { type: 'string', minimum: 1 },
  { type: 'string', minLength: -1 },
  { type: 'string', maxLength: -1 },
  { type: 'string', pattern: '(' },
  { type: 'string', pattern: '^(?=a)' },
  { type: 'string', enum: [] },
  { type: 'string', enum: ['a', 'a'] },
  { type: 'string', enum: [1] },
  { type: 'string', default: 1 },
  { type: 'string', default: 'abc', maxLength: 2 },
  { type: 'string', default: 'abc', enum: ['x'] },
  { type: 'string', format: 'date', default: 'x' },
  { type: 'string', format: 'foo' },
  { type: 'integer', default: 1.5 },
  { type: 'integer', multipleOf: 0 },
  { type: 'integer', multipleOf: -1 },
  { type: 'integer', minimum: 5, maximum: 1 },
  { type: 'integer', exclusiveMinimum: true },
  { type: 'number', format: 'foo' },
  { type: 'foo' },
  { type: '' },
  {},
  { type: 'array' },
  { type: 'array', items: {} },
  { type: 'array', items: { type: 'string' }, minItems: -1 },
  { type: 'array', items: { type: 'string' }, uniqueItems: true },
  { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'foo' },
  { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'map' },
  { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['a'] },
  { type: 'array', items: obj({ a: { type: 'string' } }), 'x-kubernetes-list-type': 'map' },
  {
    type: 'array',
    items: obj({ a: { type: 'string' } }),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['a'],
  },
  {
    type: 'array',
    items: obj({ a: { type: 'string' } }, { required: ['a'] }),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['a', 'a'],
  },
  {
    type: 'array',
    items: obj({ a: { type: 'string', default: 'x' } }),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['b'],
  },
  {
    type: 'array',
    items: obj({ a: obj({}) }, { required: ['a'] }),
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['a'],
  },
  { type: 'array', items: obj({}), 'x-kubernetes-list-type': 'set' },
  { type: 'array', items: obj({}, { 'x-kubernetes-map-type': 'atomic' }), 'x-kubernetes-list-type': 'set' },
  { type: 'array', items: { type: 'array', items: { type: 'string' } }, 'x-kubernetes-list-type': 'set' },
  { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-map-keys': ['a'] },
  { type: 'array', items: { type: 'string', nullable: true }, 'x-kubernetes-list-type': 'set' },
  { type: 'string', 'x-kubernetes-list-type': 'atomic' },
  { type: 'string', 'x-kubernetes-map-type': 'atomic' },
  { type: 'string', ...KEEP },
  { type: 'object', 'x-kubernetes-preserve-unknown-fields': false },
  { type: 'object', additionalProperties: true },
  { type: 'object', additionalProperties: false },
  { type: 'object', additionalProperties: { type: 'string' }, properties: { a: { type: 'string' } } },
  { type: 'object', additionalProperties: {} },
  { 'x-kubernetes-int-or-string': true },
  { type: 'string', 'x-kubernetes-int-or-string': true },
  { 'x-kubernetes-int-or-string': true, default: true },
  { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
  { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'string' }, { type: 'integer' }] },
  { 'x-kubernetes-int-or-string': true, allOf: [{ anyOf: [{ type: 'integer' }, { type: 'string' }] }] },
  { 'x-kubernetes-int-or-string': true, allOf: [{ pattern: 'a' }] },
  { ...KEEP },
  { type: 'object', 'x-kubernetes-embedded-resource': true },
  { type: 'object', 'x-kubernetes-embedded-resource': true, ...KEEP },
  { type: 'string', 'x-kubernetes-embedded-resource': true, ...KEEP },
  {
    type: 'object',
    'x-kubernetes-embedded-resource': true,
    properties: { metadata: obj({ name: { type: 'string' } }), apiVersion: { type: 'integer' } },
  },
  { type: 'object', 'x-kubernetes-embedded-resource': true, ...KEEP, default: { kind: 'x' } },
  { type: 'string', anyOf: [{ type: 'string' }] },
  { type: 'string', anyOf: [{ pattern: 'a' }, { default: 'x' }] },
  { type: 'string', allOf: [{ description: 'x' }] },
  { type: 'string', oneOf: [{ nullable: true }] },
  { type: 'string', not: { title: 'x' } },
  { type: 'string', not: { type: 'string' } },
  { type: 'object', anyOf: [{ properties: { b: { pattern: 'x' } } }] },
  { type: 'object', properties: { b: { type: 'string' } }, anyOf: [{ properties: { b: { pattern: 'x' } } }] },
  { type: 'object', properties: { b: { type: 'string' } }, oneOf: [{ required: ['b'] }, { required: ['c'] }] },
  { type: 'object', allOf: [{ ...KEEP }] },
  { type: 'object', allOf: [{ additionalProperties: { type: 'string' } }] },
  { type: 'object', definitions: { a: { type: 'string' } } },
  { type: 'object', $ref: '#/x' },
  { type: 'object', id: 'x' },
  { type: 'object', patternProperties: { a: { type: 'string' } } },
  { type: 'object', dependencies: { a: ['b'] } },
  { type: 'array', items: { type: 'string' }, additionalItems: true },
  { type: 'object', minProperties: -1 },
  { type: 'object', maxProperties: -1, required: ['a', 'a'] },
  { type: 'object', required: [''] },
  { type: 'string', nullable: true, enum: ['a'], default: null },
  { type: 'object', properties: { b: { type: 'string', default: 'x' } }, default: {} },
  { type: 'object', properties: { b: { type: 'string' } }, default: { c: 1 } },
  { type: 'object', properties: { b: { type: 'string' } }, required: ['b'], default: {} },
  { type: 'array', items: { type: 'string', default: 'x' }, default: [null] },
  { type: 'string', title: 'x', description: 'y', example: 'z', externalDocs: { url: 'x' } },
];
const rule = (r: JsonObject | string, type: JsonObject = { type: 'string' }): JsonObject => ({
  ...type,
  'x-kubernetes-validations': [typeof r === 'string' ? { rule: r } : r],
});
const RULES: readonly JsonValue[] = [
  rule(''),
  rule(' '),
  rule('self'),
  rule('self =='),
  rule('self.x'),
  rule('self == oldSelf'),
  rule({ rule: 'self == oldSelf', optionalOldSelf: true }),
  rule({ rule: 'self == oldSelf.value()', optionalOldSelf: true }),
  rule({ rule: 'self == "a"', optionalOldSelf: true }),
  rule({ rule: 'true', message: '' }),
  rule({ rule: 'true', message: ' ' }),
  rule({ rule: 'true', message: 'a\nb' }),
  rule({ rule: 'true', message: 'a'.repeat(3000) }),
  rule({ rule: 'true', messageExpression: '' }),
  rule({ rule: 'true', messageExpression: ' ' }),
  rule({ rule: 'true', messageExpression: '1' }),
  rule({ rule: 'true', messageExpression: '"a" + self' }),
  rule({ rule: 'true', messageExpression: '"a" +' }),
  rule({ rule: 'true', messageExpression: 'oldSelf' }),
  rule({ rule: 'true', reason: 'Foo' }),
  rule({ rule: 'true', reason: 'FieldValueForbidden' }),
  rule({ rule: 'true', fieldPath: '.a' }),
  rule({ rule: 'true', fieldPath: '.b' }, obj({ b: { type: 'string' } })),
  rule({ rule: 'true', fieldPath: 'b' }, obj({ b: { type: 'string' } })),
  rule({ rule: 'true', fieldPath: '.b.c' }, obj({ b: { type: 'string' } })),
  rule({ rule: 'true', fieldPath: ".b['x y']" }, obj({ b: obj({ 'x y': { type: 'string' } }) })),
  rule({ rule: 'true', fieldPath: '.b[0]' }, obj({ b: { type: 'array', items: { type: 'string' } } })),
  rule({ rule: 'true', fieldPath: '' }),
  rule('self.all(x, x == "a")', { type: 'array', items: { type: 'string' } }),
  rule('self.all(x, self.exists(y, x == y))', { type: 'array', items: { type: 'string' } }),
  rule('self.all(x, self.exists(y, x == y))', { type: 'array', items: { type: 'string' }, maxItems: 10 }),
  rule('self.all(x, self.exists(y, x == y))', {
    type: 'array',
    items: { type: 'string', maxLength: 5 },
    maxItems: 100,
  }),
  rule('self.matches("[")'),
  rule('self.matches("a+")'),
  rule('self.contains(self + self)'),
  rule('self > 1'),
  rule('self > 1', { type: 'integer' }),
  rule('self > 1.0', { type: 'number' }),
  rule('self == 1', { 'x-kubernetes-int-or-string': true }),
  rule('type(self) == int', { 'x-kubernetes-int-or-string': true }),
  rule('has(self.b)', obj({ b: { type: 'string' } })),
  rule('has(self.c)', obj({ b: { type: 'string' } })),
  rule('self.__if__ == "x"', obj({ if: { type: 'string' } })),
  rule('self.a__dash__b == "x"', obj({ 'a-b': { type: 'string' } })),
  rule('self.metadata.name == "x"', obj({ metadata: obj({}) })),
  rule('self.b == "x"', { type: 'object', ...KEEP }),
  rule('self["b"] == "x"', { type: 'object', additionalProperties: { type: 'string' } }),
  rule('size(self) > 1', { type: 'object', additionalProperties: { type: 'string' } }),
  rule('isQuantity(self) && quantity(self).isGreaterThan(quantity("1"))'),
  rule('isIP(self) && ip(self).family() == 4'),
  rule('isCIDR(self) && cidr(self).containsIP("1.2.3.4")'),
  rule('isURL(self) && url(self).getScheme() == "https"'),
  rule('isSemver(self) && semver(self).major() > 1'),
  rule('!format.dns1123Label().validate(self).hasValue()'),
  rule('self.format([1]) == "x"'),
  rule('"%s".format([self]) == "x"'),
  rule('self.lowerAscii() == self'),
  rule('self.split(",").size() < 3'),
  rule('self.replace("a","b").indexOf("c") == -1'),
  rule('duration(self) < duration("1h")'),
  rule('self < duration("1h")', { type: 'string', format: 'duration' }),
  rule('self > timestamp("2020-01-01T00:00:00Z")', { type: 'string', format: 'date-time' }),
  rule('self > timestamp("2020-01-01T00:00:00Z")', { type: 'string', format: 'date' }),
  rule('self == b"abc"', { type: 'string', format: 'byte' }),
  rule('authorizer.group("").check("get").allowed()'),
  rule('sets.contains(self, ["a"])', { type: 'array', items: { type: 'string' } }),
  rule('lists.range(3).size() == 3'),
  rule('self.sum() > 1', { type: 'array', items: { type: 'integer' } }),
  rule('self.isSorted()', { type: 'array', items: { type: 'string' } }),
  rule('self.exists_one(i, v, i == 0 && v == "a")', { type: 'array', items: { type: 'string' }, maxItems: 5 }),
  rule('self.transformList(i, v, v).size() > 0', { type: 'array', items: { type: 'string' }, maxItems: 5 }),
  rule('self.?b.orValue("x") == "x"', obj({ b: { type: 'string' } })),
  rule('optional.of(self).hasValue()'),
  rule('unknownFunction(self)'),
  rule('cel.bind(x, self, x == "a")'),
  rule('self.b.c == "x"', obj({ b: obj({ c: { type: 'string' } }, { nullable: true }) })),
  rule('self != null', { type: 'string', nullable: true }),
  rule('self.b == 1', obj({ b: { type: 'string' } })),
  rule('self.b == self.c', obj({ b: { type: 'integer' }, c: { type: 'number' } })),
];
const v1: JsonObject = {
  name: 'v1',
  served: true,
  storage: true,
  schema: { openAPIV3Schema: { type: 'object' } },
};
/** Changes of the definition's spec. */
const SPECS: readonly JsonObject[] = [
  { group: '' },
  { group: 'Bad_Group' },
  { group: 'nodots' },
  { scope: '' },
  { scope: 'Foo' },
  { names: { plural: '', kind: '' } },
  { names: { plural: 'BAD', kind: 'bad kind' } },
  { names: { plural: 'xbads', kind: 'Xbad', singular: 'Bad_One', listKind: 'Xbad' } },
  { names: { plural: 'xbads', kind: 'Xbad', shortNames: ['Bad Name', 'ok', 'ok'], categories: ['Bad Cat', 'all'] } },
  { names: { plural: 'other', kind: 'Xbad' } },
  { versions: [] },
  { versions: [{ ...v1, name: 'Bad' }] },
  { versions: [{ ...v1, name: '' }] },
  { versions: [v1, v1] },
  { versions: [{ ...v1, storage: false }] },
  { versions: [{ ...v1, served: false }] },
  { versions: [v1, { ...v1, name: 'v2' }] },
  { versions: [{ name: 'v1', served: true, storage: true }] },
  { versions: [{ ...v1, schema: {} }] },
  { versions: [{ ...v1, schema: { openAPIV3Schema: {} } }] },
  { versions: [{ ...v1, schema: { openAPIV3Schema: { type: 'string' } } }] },
  { versions: [{ ...v1, schema: { openAPIV3Schema: { type: 'object', nullable: true } } }] },
  { versions: [{ ...v1, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-embedded-resource': true } } }] },
  { versions: [{ ...v1, schema: { openAPIV3Schema: obj({ metadata: obj({ labels: { type: 'object' } }) }) } }] },
  {
    versions: [
      {
        ...v1,
        schema: { openAPIV3Schema: obj({ metadata: obj({ name: { type: 'string', pattern: 'a', maxLength: 3 } }) }) },
      },
    ],
  },
  { versions: [{ ...v1, schema: { openAPIV3Schema: obj({ kind: { type: 'string', enum: ['X'] } }) } }] },
  { versions: [{ ...v1, schema: { openAPIV3Schema: obj({ metadata: { type: 'string' } }) } }] },
  { versions: [{ ...v1, deprecated: true, deprecationWarning: 'x' }] },
  { versions: [{ ...v1, deprecationWarning: 'x' }] },
  { versions: [{ ...v1, deprecated: true, deprecationWarning: '' }] },
  { versions: [{ ...v1, deprecated: true, deprecationWarning: 'a'.repeat(300) }] },
  { versions: [{ ...v1, deprecated: true, deprecationWarning: 'a\nb' }] },
  { versions: [{ ...v1, subresources: {} }] },
  { versions: [{ ...v1, subresources: { status: {}, scale: {} } }] },
  { versions: [{ ...v1, subresources: { scale: { specReplicasPath: '.x', statusReplicasPath: '.y' } } }] },
  {
    versions: [
      {
        ...v1,
        subresources: {
          scale: {
            specReplicasPath: '.spec.replicas',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.x',
          },
        },
      },
    ],
  },
  {
    versions: [
      { ...v1, subresources: { scale: { specReplicasPath: '.spec.r[0]', statusReplicasPath: 'status.replicas' } } },
    ],
  },
  { versions: [{ ...v1, additionalPrinterColumns: [{ name: '', type: '', jsonPath: '' }] }] },
  { versions: [{ ...v1, additionalPrinterColumns: [{ name: 'A', type: 'foo', jsonPath: '.a' }] }] },
  { versions: [{ ...v1, additionalPrinterColumns: [{ name: 'A', type: 'string', jsonPath: 'a', format: 'foo' }] }] },
  { versions: [{ ...v1, additionalPrinterColumns: [{ name: 'A', type: 'string', jsonPath: '.a[?(' }] }] },
  {
    versions: [
      {
        ...v1,
        additionalPrinterColumns: [
          { name: 'A', type: 'string', jsonPath: '.a' },
          { name: 'A', type: 'integer', jsonPath: '.b', priority: -1 },
        ],
      },
    ],
  },
  { versions: [{ ...v1, selectableFields: [{ jsonPath: '' }] }] },
  { versions: [{ ...v1, selectableFields: [{ jsonPath: '.spec.a' }] }] },
  { versions: [{ ...v1, selectableFields: [{ jsonPath: '.metadata.name' }] }] },
  {
    versions: [
      {
        ...v1,
        schema: { openAPIV3Schema: obj({ spec: obj({ a: { type: 'string' }, o: obj({}), n: { type: 'number' } }) }) },
        selectableFields: [
          { jsonPath: '.spec.a' },
          { jsonPath: '.spec.a' },
          { jsonPath: '.spec.o' },
          { jsonPath: '.spec.n' },
          { jsonPath: 'spec.a' },
          { jsonPath: '.spec.a[0]' },
        ],
      },
    ],
  },
  { versions: [{ ...v1, selectableFields: Array.from({ length: 9 }, (_, i) => ({ jsonPath: `.spec.a${i}` })) }] },
  { conversion: {} },
  { conversion: { strategy: 'Foo' } },
  { conversion: { strategy: 'None', webhook: { conversionReviewVersions: ['v1'] } } },
  { conversion: { strategy: 'Webhook' } },
  { conversion: { strategy: 'Webhook', webhook: { conversionReviewVersions: [] } } },
  { conversion: { strategy: 'Webhook', webhook: { conversionReviewVersions: ['v9'], clientConfig: {} } } },
  {
    conversion: {
      strategy: 'Webhook',
      webhook: { conversionReviewVersions: ['v1', 'v1', 'Bad'], clientConfig: { url: 'http://a', caBundle: 'YQ==' } },
    },
  },
  {
    conversion: {
      strategy: 'Webhook',
      webhook: {
        conversionReviewVersions: ['v1'],
        clientConfig: { url: 'https://a/b?c#d', service: { name: 'a', namespace: 'b' } },
      },
    },
  },
  {
    conversion: {
      strategy: 'Webhook',
      webhook: {
        conversionReviewVersions: ['v1'],
        clientConfig: { service: { name: '', namespace: '', path: 'x//y', port: 0 } },
      },
    },
  },
  { preserveUnknownFields: true },
  { group: 'x.k8s.io' },
  { group: 'apps' },
];

function definitions(): Scenario {
  const s = new Scenario('crd', 'definitions');
  const all = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All';
  for (const a of [...SCHEMAS, ...RULES]) s.post(all, crdOf('Xbad', obj({ a })));
  for (const a of SCHEMAS) s.post(all, crdOf('Xbad', obj({ l: { type: 'array', items: a } })));
  for (const a of SCHEMAS) s.post(all, crdOf('Xbad', obj({ m: { type: 'object', additionalProperties: a } })));
  for (const over of SPECS) {
    const crd = crdOf('Xbad', obj({}), over);
    const { group, names } = crd['spec'] as { group: string; names: { plural: string } };
    s.post(all, { ...crd, metadata: { name: `${names.plural === 'other' ? 'xbads' : names.plural}.${group}` } });
  }
  return s;
}

/** Changes of a definition that is there. */
function changes(): Scenario {
  const s = new Scenario('crd', 'changes');
  const crd = crdOf('Xchange', obj({ a: { type: 'string' }, n: { type: 'integer' } }));
  s.crd(crd, 'default');
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${(crd['metadata'] as { name: string }).name}`;
  for (const over of SPECS) s.patch('merge', `${path}?dryRun=All`, { spec: over });
  for (const a of [...SCHEMAS, ...RULES])
    s.patch('json', `${path}?dryRun=All`, [
      { op: 'replace', path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a', value: a },
    ]);
  for (const status of [
    {},
    { storedVersions: [] },
    { storedVersions: ['v9'] },
    { conditions: [{ type: 'Foo', status: 'Bar' }] },
    { conditions: [], acceptedNames: { plural: 'x', kind: 'Y' } },
    { acceptedNames: { plural: 'BAD', kind: '' } },
  ])
    for (const form of ['merge', 'apply'] as const)
      s.patch(form, `${path}/status?dryRun=All${form === 'apply' ? '&fieldManager=m&force=true' : ''}`, {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: (crd['metadata'] as { name: string }).name },
        status,
      });
  s.del(path);
  return s;
}

function versions(): Scenario {
  const s = new Scenario('crd', 'versions');
  const ns = s.namespace('sc-versions');
  const schema = (more: JsonObject) => ({
    openAPIV3Schema: obj({ spec: obj({ a: { type: 'string' }, ...more }), status: { type: 'object', ...KEEP } }),
  });
  const crd = crdOf('Xver', obj({}), {
    versions: [
      { name: 'v1alpha1', served: false, storage: false, schema: schema({}) },
      {
        name: 'v1beta1',
        served: true,
        storage: false,
        deprecated: true,
        schema: schema({ d: { type: 'string', default: 'beta' } }),
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
        },
      },
      {
        name: 'v1',
        served: true,
        storage: false,
        deprecated: true,
        deprecationWarning: 'go on',
        schema: schema({ b: { type: 'string' } }),
        additionalPrinterColumns: [
          { name: 'A', type: 'string', jsonPath: '.spec.a' },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        selectableFields: [{ jsonPath: '.spec.b' }],
      },
      {
        name: 'v2',
        served: true,
        storage: true,
        schema: schema({ b: { type: 'string' }, c: { type: 'string', default: 'two' } }),
        subresources: { status: {} },
        selectableFields: [{ jsonPath: '.spec.a' }],
      },
    ],
  });
  s.crd(crd, ns);
  const group = groupOf(crd);
  const at = (v: string, rest = '') => `/apis/${group}/${v}/namespaces/${ns}/xvers${rest}`;
  const make = (v: string, name: string, spec: JsonObject, more: JsonObject = {}) => ({
    apiVersion: `${group}/${v}`,
    kind: 'Xver',
    metadata: { name },
    spec,
    ...more,
  });
  s.get(`/apis/${group}`);
  for (const v of ['v1alpha1', 'v1beta1', 'v1', 'v2', 'v3']) {
    s.get(`/apis/${group}/${v}`);
    s.post(at(v), make(v, `n-${v}`, { a: '1', b: '2', c: '3', d: '4' }, { status: { x: 1 } }));
    s.post(`${at(v)}?fieldValidation=Strict&dryRun=All`, make(v, `s-${v}`, { a: '1', b: '2', c: '3', d: '4' }));
  }
  for (const v of ['v1beta1', 'v1', 'v2']) {
    s.get(at(v));
    s.table(at(v));
    for (const other of ['v1beta1', 'v1', 'v2']) s.get(at(v, `/n-${other}`));
    s.get(`${at(v)}?fieldSelector=spec.a%3D1`);
    s.get(`${at(v)}?fieldSelector=spec.b%3D2`);
    s.patch('apply', `${at(v, `/ap`)}?fieldManager=m-${v}`, make(v, 'ap', { a: v }));
    s.patch('apply', `${at(v, `/ap`)}?fieldManager=m-${v}&force=true`, make(v, 'ap', { a: v, b: v }));
    s.patch('apply', `${at(v, `/ap`)}?fieldManager=one&force=true`, make(v, 'ap', { a: v, c: v }));
    s.patch('merge', `${at(v, '/ap')}?fieldManager=mp`, { spec: { a: `${v}2` }, status: { y: v } });
    s.patch('merge', at(v, '/ap/status'), { spec: { a: `${v}3` }, status: { y: v } });
    s.get(at(v, '/ap/scale'));
    s.patch('merge', at(v, '/ap/scale'), { spec: { replicas: 3 } });
    s.get(at(v, '/ap'));
    s.get(`/openapi/v3/apis/${group}/${v}`, { retry: true, expect: 200, view: 'openapi3' });
  }
  s.get(`${at('v1')}?watch=1&timeoutSeconds=1&resourceVersion=0`, { watch: { timeoutMs: 2500, sort: true } });
  s.post(at('v1'), make('v2', 'wrong', {}));
  s.post(at('v1'), { ...make('v1', 'wrong', {}), kind: 'Other' });
  s.del(at('v1', '/n-v2'));
  s.del(at('v2'));
  removeCrd(s, crd);
  return s;
}

function features(): Scenario {
  const s = new Scenario('crd', 'features2');
  const ns = s.namespace('sc-features');
  const crd = crdOf(
    'Xfeature',
    obj({
      replicas: { type: 'integer', default: 1, minimum: 0 },
      color: { type: 'string', enum: ['red', 'blue'] },
      when: { type: 'string', format: 'date-time' },
      flag: { type: 'boolean' },
      size: { type: 'integer' },
      ratio: { type: 'number' },
      list: { type: 'array', items: { type: 'string' } },
      set: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
      ports: {
        type: 'array',
        items: obj(
          { port: { type: 'integer' }, protocol: { type: 'string', default: 'TCP' }, name: { type: 'string' } },
          { required: ['port'] },
        ),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port', 'protocol'],
      },
      whole: obj({ a: { type: 'string' }, b: { type: 'string' } }, { 'x-kubernetes-map-type': 'atomic' }),
      free: { type: 'object', ...KEEP },
      quantity: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
      embedded: { type: 'object', 'x-kubernetes-embedded-resource': true, ...KEEP },
      nested: obj({ deep: obj({ d: { type: 'string', default: 'x' } }, { default: {} }) }),
      nullable: { type: 'string', nullable: true },
      map: { type: 'object', additionalProperties: obj({ v: { type: 'integer', default: 5 } }) },
    }),
    { names: { plural: 'xfeatures', kind: 'Xfeature', shortNames: ['xf'], categories: ['all'], singular: 'xfeature' } },
    {
      subresources: {
        status: {},
        scale: {
          specReplicasPath: '.spec.replicas',
          statusReplicasPath: '.status.replicas',
          labelSelectorPath: '.status.selector',
        },
      },
      additionalPrinterColumns: [
        { name: 'Color', type: 'string', jsonPath: '.spec.color', description: 'd', priority: 1 },
        { name: 'When', type: 'date', jsonPath: '.spec.when' },
        { name: 'Flag', type: 'boolean', jsonPath: '.spec.flag' },
        { name: 'Size', type: 'integer', jsonPath: '.spec.size', format: 'int32' },
        { name: 'Ratio', type: 'number', jsonPath: '.spec.ratio' },
        { name: 'List', type: 'string', jsonPath: '.spec.list' },
        { name: 'First', type: 'string', jsonPath: '.spec.list[0]' },
        { name: 'All', type: 'string', jsonPath: '.spec.list[*]' },
        { name: 'Ports', type: 'string', jsonPath: '.spec.ports[*].port' },
        { name: 'Tcp', type: 'integer', jsonPath: '.spec.ports[?(@.protocol=="TCP")].port' },
        { name: 'Free', type: 'string', jsonPath: '.spec.free' },
        { name: 'WrongDate', type: 'date', jsonPath: '.spec.color' },
        { name: 'WrongInt', type: 'integer', jsonPath: '.spec.color' },
        { name: 'WrongBool', type: 'boolean', jsonPath: '.spec.size' },
        { name: 'StrInt', type: 'string', jsonPath: '.spec.size' },
        { name: 'Label', type: 'string', jsonPath: '.metadata.labels.app\\.kubernetes\\.io/name' },
        { name: 'Cond', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
      ],
      selectableFields: [{ jsonPath: '.spec.color' }, { jsonPath: '.spec.flag' }, { jsonPath: '.spec.size' }],
    },
  );
  const path = s.crd(crd, ns);
  const apiVersion = `${groupOf(crd)}/v1`;
  const make = (name: string, spec: JsonValue, more: JsonObject = {}) => ({
    apiVersion,
    kind: 'Xfeature',
    metadata: { name },
    spec,
    ...more,
  });
  const specs: JsonValue[] = [
    {},
    null,
    { replicas: 3, color: 'red', when: '2020-01-01T00:00:00Z', flag: true, size: 5, ratio: 1.5, list: ['a', 'b'] },
    { flag: false, size: 0, ratio: 2, list: [], ports: [{ port: 80 }, { port: 80, protocol: 'UDP' }] },
    { ports: [{ port: 80 }, { port: 80, protocol: 'TCP' }] },
    { ports: [{ protocol: 'TCP' }] },
    { set: ['a', 'b', 'a'] },
    { color: 'green' },
    { when: 'x' },
    { free: { a: { b: 1 }, c: [1, 'x', null] }, map: { a: {}, b: { v: 1 } }, nested: {} },
    { quantity: '10Gi' },
    { quantity: 10 },
    { quantity: 1.5 },
    { quantity: true },
    { embedded: {} },
    { embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'Bad_Name' } } },
    { embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', unknown: 1, labels: { a: 'b' } }, spec: 1 } },
    { nullable: null, color: null },
    { list: [null] },
    { list: 'x' },
    { size: 9007199254740994 },
    { size: 1.0 },
    { size: 1.5 },
    { replicas: -1 },
    { unknown: 1, nested: { unknown: { x: 1 } }, ports: [{ port: 1, u: 1 }] },
    { whole: { a: '1', c: '2' } },
  ];
  for (const [i, spec] of specs.entries()) {
    s.post(path, make(`o${i}`, spec, { status: { conditions: [{ type: 'Ready', status: 'True' }] } }));
    s.patch('apply', `${path}/a${i}?fieldManager=m`, make(`a${i}`, spec));
    s.patch('merge', `${path}/o2?dryRun=All`, { spec });
    s.put(`${path}/o${i}?dryRun=All`, make(`o${i}`, spec));
  }
  s.table(path);
  s.table(`${path}/o2`);
  s.get(path, { headers: { Accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' } });
  for (const f of [
    'spec.color=red',
    'spec.flag=true',
    'spec.flag=false',
    'spec.flag=',
    'spec.size=5',
    'spec.size!=5',
    'spec.x=1',
    'metadata.namespace=x',
  ])
    s.get(`${path}?fieldSelector=${encodeURIComponent(f)}`);
  for (const sub of ['/o2/status', '/o2/scale', '/o0/scale', '/none/scale', '/o2/foo', '/o2/log']) s.get(path + sub);
  const status = (v: JsonValue) => s.patch('merge', `${path}/o2/status`, { status: v, spec: { size: 99 } });
  status({ replicas: 4, selector: 'a=b', conditions: [{ type: 'Ready', status: 'False' }] });
  s.get(`${path}/o2/scale`);
  status({ replicas: 'x', selector: 5 });
  s.get(`${path}/o2/scale`);
  status(null);
  s.get(`${path}/o2/scale`);
  const scale = (replicas: JsonValue, more: JsonObject = {}) => ({
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'o2' },
    spec: { replicas },
    ...more,
  });
  for (const body of [
    scale(2),
    scale(-1),
    scale('x'),
    { ...scale(2), kind: 'Foo' },
    { ...scale(2), metadata: { name: 'zz' } },
    { ...scale(0), spec: {} },
    { ...scale(3), metadata: { name: 'o2', resourceVersion: '1' } },
  ]) {
    s.put(`${path}/o2/scale`, body);
    s.patch('apply', `${path}/o2/scale?fieldManager=sc&force=true`, body);
  }
  s.patch('merge', `${path}/o2/scale`, { spec: { replicas: 6 }, status: { replicas: 9 } });
  s.patch('json', `${path}/o2/scale`, [{ op: 'test', path: '/spec/replicas', value: 6 }]);
  s.patch('strategic', `${path}/o2/scale`, { spec: { replicas: 6 } });
  s.get(`${path}/o2`);
  // apply: lists of each type
  const apply = (who: string, spec: JsonObject, q = '') =>
    s.patch('apply', `${path}/ssa?fieldManager=${who}${q}`, make('ssa', spec));
  apply('one', { ports: [{ port: 1, name: 'x' }], set: ['a', 'b'], list: ['a'], whole: { a: '1' }, free: { x: 1 } });
  apply('two', { ports: [{ port: 1, name: 'y' }], set: ['c'], list: ['b'], whole: { b: '1' }, free: { y: 1 } });
  apply('two', { ports: [{ port: 2, name: 'y' }], set: ['c', 'a'] });
  apply('two', { ports: [{ port: 1, name: 'y' }], set: ['c'], list: ['b'], whole: { b: '1' } }, '&force=true');
  apply('one', { set: ['b'] });
  apply('one', {});
  apply('two', { ports: [{ port: 1 }, { port: 1 }] });
  apply('two', { set: ['a', 'a'] });
  apply('three', { map: { k: { v: 1 } }, nested: { deep: { d: 'y' } }, embedded: { apiVersion: 'v1', kind: 'X' } });
  apply('four', { map: { k: { v: 2 } } });
  s.patch('merge', `${path}/ssa?fieldManager=up`, { spec: { map: { k: { v: 3 }, l: { v: 4 } }, set: ['z'] } });
  s.patch('json', `${path}/ssa?fieldManager=up`, [{ op: 'remove', path: '/spec/map/k' }]);
  s.patch('json', `${path}/ssa`, [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }]);
  apply('five', { color: 'red' });
  s.get(`${path}/ssa`);
  s.post(
    path,
    make(
      'own',
      {},
      {
        metadata: {
          name: 'own',
          finalizers: ['x/y'],
          ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }],
        },
      },
    ),
  );
  s.del(`${path}/own`);
  s.patch('merge', `${path}/own`, { metadata: { finalizers: ['x/y', 'z/z'] } });
  s.patch('merge', `${path}/own`, { metadata: { finalizers: null } });
  s.get(`${path}/own`);
  for (const bad of [
    { name: 'x', labels: { 'a b': 'c' } },
    { name: 'x', annotations: { 'a b': 'c' } },
    { name: 'x', finalizers: ['bad finalizer'] },
    { name: 'x', ownerReferences: [{ apiVersion: '', kind: '', name: '', uid: '' }] },
    { name: 'x', labels: 'a' },
    { name: 'x', annotations: { a: 1 } },
    { name: 'x', generateName: 1 },
    { name: 'x', creationTimestamp: 'yesterday' },
    { name: 'x', namespace: 'other' },
    { name: 'x', deletionGracePeriodSeconds: 5, deletionTimestamp: '2020-01-01T00:00:00Z', uid: 'zz', generation: 9 },
    { name: 'x', resourceVersion: '5' },
    {
      name: 'x',
      managedFields: [{ manager: 'a', operation: 'Apply', apiVersion, fieldsType: 'FieldsV1', fieldsV1: {} }],
    },
    {
      name: 'x',
      managedFields: [{ manager: 'a', operation: 'Foo', apiVersion, fieldsType: 'FieldsV2', fieldsV1: {} }],
    },
  ])
    s.post(`${path}?dryRun=All`, make('x', {}, { metadata: bad as unknown as JsonObject }));
  s.del(path);
  removeCrd(s, crd);
  return s;
}

/** Objects that a stricter schema no longer allows may stay as they are. */
function ratchet(): Scenario {
  const s = new Scenario('crd', 'ratchet');
  const ns = s.namespace('sc-ratchet');
  const loose = obj({
    s: { type: 'string' },
    n: { type: 'integer' },
    l: {
      type: 'array',
      items: obj({ k: { type: 'string' }, v: { type: 'string' } }, { required: ['k'] }),
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['k'],
    },
    m: { type: 'object', additionalProperties: { type: 'string' } },
    at: { type: 'array', items: { type: 'string' } },
    o: obj({ a: { type: 'string' }, b: { type: 'string' } }),
    r: { type: 'string' },
    f: { type: 'string' },
  });
  const crd = crdOf('Xratchet', loose);
  const path = s.crd(crd, ns);
  const all = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const name = (crd['metadata'] as { name: string }).name;
  const make = (spec: JsonObject) => ({
    apiVersion: `${groupOf(crd)}/v1`,
    kind: 'Xratchet',
    metadata: { name: 'a' },
    spec,
  });
  const old = {
    s: 'LONG VALUE',
    n: 50,
    l: [
      { k: 'a', v: 'BAD' },
      { k: 'b', v: 'BAD' },
    ],
    m: { x: 'BAD', y: 'BAD' },
    at: ['BAD', 'B'],
    o: { a: 'BAD', b: 'x' },
    r: 'BAD',
    f: 'BAD',
  };
  s.post(path, make(old));
  const strict = obj(
    {
      s: { type: 'string', maxLength: 3 },
      n: { type: 'integer', maximum: 10 },
      l: {
        type: 'array',
        maxItems: 1,
        items: obj({ k: { type: 'string' }, v: { type: 'string', pattern: '^[a-z]+$' } }, { required: ['k'] }),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
      },
      m: { type: 'object', maxProperties: 1, additionalProperties: { type: 'string', pattern: '^[a-z]+$' } },
      at: { type: 'array', items: { type: 'string', pattern: '^[a-z]+$' } },
      o: obj({ a: { type: 'string', enum: ['x'] }, b: { type: 'string' } }, { required: ['c'] }),
      r: rule({ rule: 'self == "ok"', message: 'not ok' }),
      f: { type: 'string', format: 'date' },
      q: { type: 'string' },
    },
    {
      required: ['q'],
      'x-kubernetes-validations': [{ rule: 'self.n < 20' }, { rule: 'self.s == oldSelf.s', message: 'kept' }],
    },
  );
  s.patch('json', `${all}/${name}`, [
    { op: 'replace', path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec', value: strict },
  ]);
  s.post(`${path}?dryRun=All`, { ...make({ q: '1', n: 30 }), metadata: { name: 'b' } }, { retry: true, expect: 422 });
  const change = (patch: JsonObject) => s.patch('merge', `${path}/a?dryRun=All`, patch);
  for (const patch of [
    { metadata: { labels: { a: 'b' } } },
    { spec: { q: 'x' } },
    { spec: { q: 'x', s: 'LONG VALUE 2' } },
    { spec: { q: 'x', n: 60 } },
    { spec: { q: 'x', n: 5 } },
    { spec: { q: 'x', n: 15 } },
    { spec: { q: 'x', l: [{ k: 'a', v: 'BAD' }] } },
    { spec: { q: 'x', l: [{ k: 'a', v: 'WORSE' }] } },
    {
      spec: {
        q: 'x',
        l: [
          { k: 'b', v: 'BAD' },
          { k: 'a', v: 'BAD' },
        ],
      },
    },
    {
      spec: {
        q: 'x',
        l: [
          { k: 'a', v: 'BAD' },
          { k: 'c', v: 'BAD' },
        ],
      },
    },
    { spec: { q: 'x', m: { z: 'BAD' } } },
    { spec: { q: 'x', m: { x: null } } },
    { spec: { q: 'x', at: ['BAD'] } },
    { spec: { q: 'x', at: ['B', 'BAD'] } },
    { spec: { q: 'x', o: { b: 'y' } } },
    { spec: { q: 'x', o: { a: 'y' } } },
    { spec: { q: 'x', r: 'BADDER' } },
    { spec: { q: 'x', f: 'x' } },
    { spec: null },
    { status: { a: 1 } },
  ] as JsonObject[])
    change(patch);
  s.get(`${path}/a`);
  removeCrd(s, crd);
  return s;
}

function names(): Scenario {
  const s = new Scenario('crd', 'names');
  const all = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const group = `names.${RUN}.example.com`;
  const make = (plural: string, kind: string, more: JsonObject = {}): JsonObject => {
    const base = crdOf(kind, obj({}), { group, names: { plural, kind, ...more } });
    return { ...base, metadata: { name: `${plural}.${group}` } };
  };
  const wait = (plural: string, type = 'NamesAccepted', status = 'False') =>
    s.get(`${all}/${plural}.${group}`, { until: { [`.status.conditions[?type=${type}].status`]: status } });
  s.post(all, make('ones', 'One', { singular: 'one', shortNames: ['on'], listKind: 'OneList' }));
  wait('ones', 'Established', 'True');
  const rivals: [string, string, JsonObject][] = [
    ['twos', 'One', {}],
    ['threes', 'Three', { singular: 'one' }],
    ['fours', 'Four', { shortNames: ['on', 'fo'] }],
    ['fives', 'Five', { listKind: 'OneList' }],
    ['sixes', 'Six', { shortNames: ['ones'] }],
    ['sevens', 'Seven', { singular: 'on' }],
    ['eights', 'OneList', {}],
  ];
  for (const [plural, kind, more] of rivals) {
    s.post(all, make(plural, kind, more));
    wait(plural);
    s.get(`/apis/${group}/v1/namespaces/default/${plural}`);
  }
  s.get(`/apis/${group}/v1`);
  s.del(`${all}/ones.${group}`);
  wait('twos', 'NamesAccepted', 'True');
  s.get(`${all}/ones.${group}`, { retry: true, expect: 404 });
  for (const [plural] of rivals) s.del(`${all}/${plural}.${group}`);
  return s;
}

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
