import assert from 'node:assert/strict';
import { Path } from '../../../api/field-errors.ts';
import { acceptNames } from '../../../apiserver/extensions/crd/naming.ts';
import { validateSchema } from '../../../apiserver/extensions/crd/schema-rules.ts';
import { RuleChecker } from '../../../apiserver/extensions/crd/rule-checker.ts';
import { validateStructural } from '../../../apiserver/extensions/crd/structural.ts';
import { validateDefaults } from '../../../apiserver/extensions/crd/defaults.ts';
import { withCondition, type Crd, type CrdNames } from '../../../apiserver/extensions/crd/types.ts';
import type { SchemaProps } from '../../../apiserver/extensions/schema/props.ts';
import { cell } from '../../../apiserver/extensions/serving/columns.ts';
import { parseJsonPath } from '../../../apiserver/extensions/serving/jsonpath.ts';
import { userHeaders } from '../../../apiserver/extensions/aggregation/backend.ts';
import { compareVersions, DiscoveryOverlay } from '../../../apiserver/discovery/overlay.ts';
import { Catalog } from '../../../apiserver/registry/catalog.ts';

const ROOT = Path.root('s');
const spec = (s: SchemaProps): SchemaProps => ({ type: 'object', properties: { spec: s } });
const short = (e: { type: string; field: string }) =>
  `${e.type.replace('FieldValue', '')} ${e.field.replace('s.properties[spec]', '*')}`;

describe('structural schemas', () => {
  const cases: [string, SchemaProps, string[]][] = [
    ['a type is needed', {}, ['Required *.type']],
    ['items are needed', { type: 'array' }, ['Required *.items']],
    ['unknown things may be kept instead of a type', { 'x-kubernetes-preserve-unknown-fields': true }, []],
    ['conditions make no structure', { type: 'object', anyOf: [{ type: 'object' }] }, ['Forbidden *.anyOf[0].type']],
    [
      'the pattern for int or string is the exception',
      { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
      [],
    ],
    ['patterns must compile', { type: 'string', pattern: '[' }, ['Invalid *.pattern']],
    [
      'embedded resources are objects',
      { 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
      ['Required *.type'],
    ],
  ];
  for (const [what, schema, expected] of cases)
    it(what, () => assert.deepEqual(validateStructural(spec(schema), ROOT).map(short), expected));

  it('conditions speak of declared fields', () =>
    assert.deepEqual(
      validateStructural({ type: 'object', allOf: [{ properties: { a: { minLength: 1 } } }] }, ROOT).map(short),
      ['Required s.properties[a]'],
    ));

  it('metadata can be restricted in its names only', () => {
    const meta = (properties: Record<string, SchemaProps>): SchemaProps => ({
      type: 'object',
      properties: { metadata: { type: 'object', properties } },
    });
    assert.deepEqual(validateStructural(meta({ name: { type: 'string', maxLength: 3 } }), ROOT), []);
    assert.equal(validateStructural(meta({ labels: { type: 'object' } }), ROOT).length, 1);
  });
});

describe('schemas of definitions', () => {
  const demands = { validTypes: true, atomicSets: true, listKeys: true };
  const check = (s: SchemaProps) => validateSchema(spec(s), ROOT, demands, new RuleChecker()).map(short);
  it('refuse words without support', () =>
    assert.deepEqual(check({ type: 'string', $ref: '#' }), ['Forbidden *.$ref']));
  it('want keys to be there', () =>
    assert.deepEqual(
      check({
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
        items: { type: 'object', properties: { k: { type: 'string' } } },
      }),
      ['Required *.items.properties[k].default'],
    ));
  it('want items of sets to be atomic', () =>
    assert.deepEqual(check({ type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'object' } }), [
      'Invalid *.items.x-kubernetes-map-type',
    ]));
  it('want rules that compile', () =>
    assert.deepEqual(check({ type: 'string', maxLength: 3, 'x-kubernetes-validations': [{ rule: 'self.x' }] }), [
      'Invalid *.x-kubernetes-validations[0].rule',
    ]));
  it('want rules that are affordable', () => {
    const checker = new RuleChecker();
    const s = spec({
      type: 'array',
      items: { type: 'string' },
      'x-kubernetes-validations': [{ rule: 'self.all(x, self.all(y, x.contains(y)))' }],
    });
    assert.deepEqual(validateSchema(s, ROOT, demands, checker).map(short), [
      'Forbidden *.x-kubernetes-validations[0].rule',
    ]);
    assert.ok(checker.total(ROOT).length > 0);
  });
  it("can't compare items of plain lists", () =>
    assert.ok(
      check({
        type: 'array',
        maxItems: 2,
        items: { type: 'string', maxLength: 2, 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] },
      }).includes('Invalid *.items.x-kubernetes-validations[0].rule'),
    ));
  it('take defaults that are valid and known', () => {
    const defaults = (s: SchemaProps) => validateDefaults(spec(s), ROOT, true).map(short);
    assert.deepEqual(defaults({ type: 'integer', default: 'x' }), ['TypeInvalid *.default']);
    assert.deepEqual(defaults({ type: 'object', properties: { a: { type: 'string' } }, default: { b: 1 } }), [
      'Invalid *.default',
    ]);
    assert.deepEqual(defaults({ type: 'object', properties: { a: { type: 'string' } }, default: { a: 'x' } }), []);
    assert.deepEqual(defaults({ type: 'object', properties: { a: { type: 'string' } }, default: { a: null, b: 1 } }), [
      'Invalid *.default',
      'TypeInvalid *.default.a',
    ]);
    const embedded: SchemaProps = {
      type: 'object',
      'x-kubernetes-embedded-resource': true,
      default: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', more: 'x' } },
    };
    assert.deepEqual(defaults(embedded), []);
    const labels: SchemaProps = { type: 'object', additionalProperties: { type: 'string' }, default: { a: '_b' } };
    const kind: SchemaProps = { type: 'string', default: 'A_' };
    const around: SchemaProps = { type: 'object', 'x-kubernetes-embedded-resource': true };
    const metadata: SchemaProps = { type: 'object', properties: { labels } };
    assert.deepEqual(defaults({ ...around, properties: { metadata, kind } }), [
      'Invalid *.properties[metadata].properties[labels].default',
      'Invalid *.properties[kind].default',
    ]);
  });
});

describe('names of definitions', () => {
  const crd = (name: string, names: CrdNames, accepted?: CrdNames): Crd => ({
    metadata: { name },
    spec: { group: 'g', names, scope: 'Namespaced', versions: [] },
    status: accepted ? { acceptedNames: accepted } : {},
  });
  const mine: CrdNames = { plural: 'cats', singular: 'cat', kind: 'Cat', listKind: 'CatList', shortNames: ['c'] };
  it('are accepted when they are free', () => {
    const { accepted, condition } = acceptNames(crd('a', mine), []);
    assert.deepEqual([accepted, condition.status], [mine, 'True']);
  });
  it('are refused one by one', () => {
    const other = crd('b', mine, mine);
    const { accepted, condition } = acceptNames(crd('a', { ...mine, plural: 'felines', shortNames: ['f'] }), [other]);
    assert.deepEqual(
      [accepted, condition.status, condition.reason],
      [{ plural: 'felines', kind: '', shortNames: ['f'] }, 'False', 'ListKindConflict'],
    );
  });
  it('stay with who has them', () =>
    assert.equal(acceptNames(crd('a', mine, mine), [crd('a', mine, mine)]).condition.status, 'True'));
  it('conditions keep their time while their status stays', () => {
    const first = withCondition([], { type: 'T', status: 'True', reason: 'A' }, 'then');
    const second = withCondition(first, { type: 'T', status: 'True', reason: 'B' }, 'now');
    assert.deepEqual(second, [{ type: 'T', status: 'True', reason: 'B', lastTransitionTime: 'then' }]);
    assert.equal(withCondition(second, { type: 'T', status: 'False' }, 'now')[0]!.lastTransitionTime, 'now');
  });
});

describe('columns', () => {
  const object = { spec: { a: { 'b.c': 1 }, l: [{ k: 'x', v: 1 }, { k: 'y', v: 2 }, { k: 'z' }] } };
  const cases: [string, unknown[]][] = [
    ['.spec.l[0].v', [1]],
    ['.spec.l[-1].k', ['z']],
    ['.spec.l[*].v', [1, 2]],
    ['.spec.l[0:2].k', ['x', 'y']],
    ['.spec.l[?(@.k=="y")].v', [2]],
    ['.spec.l[?(@.v>1)].k', ['y']],
    ['.spec.l[?(@.v)].k', ['x', 'y']],
    [".spec.a['b.c']", [1]],
    ['.spec.a.b\\.c', [1]],
    ['..v', [1, 2]],
    ['.nosuch.thing', []],
  ];
  for (const [path, expected] of cases) it(path, () => assert.deepEqual(parseJsonPath(path).find(object), expected));
  it('paths that are none are refused', () => assert.throws(() => parseJsonPath('.a[')));
  it('cells fit their types', () => {
    assert.equal(cell('string', { a: 1 }, 0), '{"a":1}');
    assert.equal(cell('integer', 1.7, 0), 1);
    assert.equal(cell('integer', 'x', 0), null);
    assert.equal(cell('date', '1970-01-01T00:00:00Z', 90_000), '90s');
    assert.equal(cell('date', 'x', 0), '<invalid>');
  });
});

describe('discovery', () => {
  it('orders versions by how stable they are', () =>
    assert.deepEqual(
      ['v1', 'v10', 'v1beta2', 'foo', 'v2', 'v1alpha1', 'v1beta10', 'bar'].sort((a, b) => -compareVersions(a, b)),
      ['v10', 'v2', 'v1', 'v1beta10', 'v1beta2', 'v1alpha1', 'bar', 'foo'],
    ));
  it('orders groups by priority, then by name', () => {
    const overlay = new DiscoveryOverlay();
    overlay.setRemote(['b.io', 'a.io', 'high.io'].map((group) => ({ group, version: 'v1', resources: [] })));
    overlay.setPriorities([['high.io/v1', { group: 5000, version: 1 }]]);
    assert.deepEqual([...overlay.groups(new Catalog()).keys()], ['high.io', 'a.io', 'b.io']);
  });
});

describe('the front proxy', () => {
  it('tells the user in headers, whatever its keys contain', () =>
    assert.deepEqual(userHeaders({ name: 'a', uid: 'u', groups: ['g', 'h'], extra: { 'x.y/z': ['1'] } }), {
      'X-Remote-User': 'a',
      'X-Remote-Uid': 'u',
      'X-Remote-Group': ['g', 'h'],
      'X-Remote-Extra-x.y%2Fz': ['1'],
    }));
});
