/** Definitions of custom resources that are refused, or not, new and changed. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { crdOf, KEEP, obj, rule, Scenario } from './step.ts';

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

export function definitions(): Scenario {
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
export function changes(): Scenario {
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
