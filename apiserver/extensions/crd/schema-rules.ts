/** Rules of each openAPIV3Schema in a definition, beyond its being structural. */
import {
  forbiddenField,
  invalid,
  notSupported,
  required,
  type FieldError,
  type Path,
} from '../../../api/field-errors.ts';
import { itemsOf, valuesOf, type SchemaProps, type ValidationRule } from '../schema/props.ts';
import { schemaAtFieldPath } from '../schema/field-path.ts';
import type { RuleChecker } from './rule-checker.ts';

/** What is asked of a schema; what an old definition already had wrong isn't asked of its new one. */
export interface SchemaDemands {
  readonly validTypes: boolean;
  readonly atomicSets: boolean;
  readonly listKeys: boolean;
}

interface Place {
  readonly root: boolean;
  /** Inside metadata of the resource or of an embedded one. */
  readonly inMeta: boolean;
  /** Why no default may stand here. */
  readonly noDefault: string | undefined;
  /** From here on an old value can't be told any more. */
  readonly uncorrelated: Path | undefined;
}

const TYPES = ['string', 'number', 'integer', 'boolean', 'array', 'object'];
const META_FIELDS = new Set(['metadata', 'kind', 'apiVersion']);
const REASONS = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];

/** Checks a whole schema; `rules` collects the expressions, when they are to be looked at at all. */
export function validateSchema(
  schema: SchemaProps,
  path: Path,
  demands: SchemaDemands,
  rules: RuleChecker | undefined,
): FieldError[] {
  const found = { schema: [] as FieldError[], rules: [] as FieldError[] };
  visit(
    schema,
    path,
    { root: true, inMeta: false, noDefault: undefined, uncorrelated: undefined },
    demands,
    rules,
    found,
  );
  return [...found.schema, ...found.rules];
}

interface Found {
  schema: FieldError[];
  rules: FieldError[];
}

function visit(
  s: SchemaProps,
  path: Path,
  place: Place,
  demands: SchemaDemands,
  rules: RuleChecker | undefined,
  found: Found,
): void {
  const before = found.schema.length;
  const errors = found.schema;
  unsupported(s, path, place, demands, errors);
  if (s.uniqueItems)
    errors.push(
      forbiddenField(
        path.child('uniqueItems'),
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    );
  const inner = { ...place, root: false };
  const go = (next: SchemaProps | undefined, at: Path, where: Place, r: RuleChecker | undefined) => {
    if (next) visit(next, at, where, demands, r, found);
  };
  if (s.additionalProperties !== undefined) {
    if (Object.keys(s.properties ?? {}).length > 0 && s.additionalProperties !== true)
      errors.push(
        forbiddenField(path.child('additionalProperties'), 'additionalProperties and properties are mutual exclusive'),
      );
    const values = valuesOf(s);
    const where = place.inMeta
      ? { ...inner, noDefault: 'inside additionalProperties applying to object metadata' }
      : inner;
    go(values, path.child('additionalProperties'), where, rules?.inside(s));
  }
  const isResource = place.root || s['x-kubernetes-embedded-resource'] === true;
  for (const [k, p] of Object.entries(s.properties ?? {})) {
    const where: Place = {
      root: false,
      inMeta: place.inMeta || (isResource && META_FIELDS.has(k)),
      noDefault: place.root && META_FIELDS.has(k) ? `in top-level ${k}` : place.noDefault,
      uncorrelated: place.uncorrelated,
    };
    go(p, path.child('properties').key(k), where, rules?.inside(s));
  }
  go(s.not, path.child('not'), inner, undefined);
  for (const word of ['allOf', 'oneOf', 'anyOf'] as const)
    s[word]?.forEach((n, i) => go(n, path.child(word).index(i), inner, undefined));
  for (const [k, d] of Object.entries(s.definitions ?? {})) go(d, path.child('definitions').key(k), inner, undefined);
  if (s.items !== undefined) {
    const where = {
      ...inner,
      uncorrelated: place.uncorrelated ?? (s['x-kubernetes-list-type'] === 'map' ? undefined : path),
    };
    const single = itemsOf(s);
    go(single, path.child('items'), where, rules?.inside(s));
    if (Array.isArray(s.items)) s.items.forEach((n, i) => go(n, path.child('items').index(i), where, undefined));
  }
  for (const [k, d] of Object.entries(s.dependencies ?? {}))
    if (!Array.isArray(d)) go(d, path.child('dependencies').key(k), inner, undefined);
  extensions(s, path, demands, errors);
  const list = s['x-kubernetes-validations'] ?? [];
  list.forEach((r, i) => ruleShape(s, r, path.child('x-kubernetes-validations').index(i), errors));
  if (list.length > 0 && errors.length === before && rules)
    found.rules.push(...rules.check(s, path.child('x-kubernetes-validations'), place.uncorrelated));
}

/** Words of JSON schema that custom resources can't have. */
function unsupported(s: SchemaProps, path: Path, place: Place, demands: SchemaDemands, errors: FieldError[]): void {
  const no = (word: keyof SchemaProps, why = `${word} is not supported`) =>
    errors.push(forbiddenField(path.child(word), why));
  if (demands.validTypes && s.type && !TYPES.includes(s.type))
    errors.push(notSupported(path.child('type'), s.type, TYPES));
  if (s.default !== undefined && s.default !== null && place.noDefault !== undefined)
    no('default', `must not be set ${place.noDefault}`);
  if (s.id) no('id');
  if (s.additionalItems !== undefined) no('additionalItems');
  if (Object.keys(s.patternProperties ?? {}).length > 0) no('patternProperties');
  if (Object.keys(s.definitions ?? {}).length > 0) no('definitions');
  if (s.dependencies !== undefined) no('dependencies');
  if (s.$ref !== undefined) no('$ref');
  if (s.type === 'null') no('type', 'type cannot be set to null, use nullable as an alternative');
  if (Array.isArray(s.items) && s.items.length > 0) no('items', 'items must be a schema object and not an array');
  if (place.inMeta && s['x-kubernetes-embedded-resource'])
    no('x-kubernetes-embedded-resource', 'must not be used inside of resource meta');
}

function extensions(s: SchemaProps, path: Path, demands: SchemaDemands, errors: FieldError[]): void {
  const preserve = s['x-kubernetes-preserve-unknown-fields'];
  if (preserve === false)
    errors.push(invalid(path.child('x-kubernetes-preserve-unknown-fields'), false, 'must be true or undefined'));
  const ofType = (word: string, wanted: string) => {
    const at = path.child('type');
    const why = `must be ${wanted} if ${word} is specified`;
    errors.push(s.type ? invalid(at, s.type, why) : required(at, why));
  };
  const map = s['x-kubernetes-map-type'];
  if (map !== undefined) {
    if (s.type !== 'object') ofType('x-kubernetes-map-type', 'object');
    if (map !== 'atomic' && map !== 'granular')
      errors.push(notSupported(path.child('x-kubernetes-map-type'), map, ['atomic', 'granular']));
  }
  const list = s['x-kubernetes-list-type'];
  const items = itemsOf(s);
  if (list !== undefined && s.type !== 'array') ofType('x-kubernetes-list-type', 'array');
  else if (demands.atomicSets && list === 'set' && items && !isAtomic(items)) {
    const word = items.type === 'array' ? 'x-kubernetes-list-type' : 'x-kubernetes-map-type';
    errors.push(
      invalid(
        path.child('items', word),
        items['x-kubernetes-list-type'],
        'must be atomic as item of a list with x-kubernetes-list-type=set',
      ),
    );
  }
  if (list !== undefined && list !== 'atomic' && list !== 'set' && list !== 'map')
    errors.push(notSupported(path.child('x-kubernetes-list-type'), list, ['atomic', 'set', 'map']));
  const keys = s['x-kubernetes-list-map-keys'] ?? [];
  if (keys.length > 0 && list !== 'map') {
    const why = 'must be map if x-kubernetes-list-map-keys is non-empty';
    const at = path.child('x-kubernetes-list-type');
    errors.push(list === undefined ? required(at, why) : invalid(at, list, why));
  }
  if (list === 'map') mapList(s, items, keys, path, errors);
  if (demands.listKeys) errors.push(...listKeyErrors(s, path));
}

/** Scalars always are; lists unless said otherwise; objects only when said so. */
export const isAtomic = (s: SchemaProps): boolean => {
  if (s.type === 'array') return (s['x-kubernetes-list-type'] ?? 'atomic') === 'atomic';
  return s.type !== 'object' || s['x-kubernetes-map-type'] === 'atomic';
};

function mapList(
  s: SchemaProps,
  items: SchemaProps | undefined,
  keys: readonly string[],
  path: Path,
  errors: FieldError[],
): void {
  const at = path.child('x-kubernetes-list-map-keys');
  if (keys.length === 0) errors.push(required(at, 'must not be empty if x-kubernetes-list-type is map'));
  if (s.items === undefined)
    errors.push(required(path.child('items'), 'must have a schema if x-kubernetes-list-type is map'));
  else if (!items)
    errors.push(
      invalid(path.child('items'), s.items, 'must only have a single schema if x-kubernetes-list-type is map'),
    );
  else if (items.type !== 'object')
    errors.push(
      invalid(
        path.child('items', 'type'),
        items.type ?? '',
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    );
  else {
    const seen = new Set<string>();
    for (const k of keys) {
      const p = items.properties && Object.hasOwn(items.properties, k) ? items.properties[k] : undefined;
      if (!p) errors.push(invalid(at, keys, 'entries must all be names of item properties'));
      else if (p.type === 'array' || p.type === 'object')
        errors.push(
          invalid(
            path.child('items', 'properties').key(k).child('type'),
            items.type,
            "must be a scalar type if parent array's x-kubernetes-list-type is map",
          ),
        );
      if (seen.has(k)) errors.push(invalid(at, keys, 'must not contain duplicate entries'));
      seen.add(k);
    }
  }
}

/** Items of sets and maps can't be null, and keys are always there. */
export function listKeyErrors(s: SchemaProps, path: Path): FieldError[] {
  const items = itemsOf(s);
  const list = s['x-kubernetes-list-type'];
  if (!items || (list !== 'set' && list !== 'map')) return [];
  const errors: FieldError[] = [];
  if (items.nullable)
    errors.push(
      forbiddenField(path.child('items', 'nullable'), `cannot be nullable when x-kubernetes-list-type is ${list}`),
    );
  if (list === 'set') return errors;
  for (const k of s['x-kubernetes-list-map-keys'] ?? []) {
    const p = items.properties && Object.hasOwn(items.properties, k) ? items.properties[k] : undefined;
    if (!p) continue;
    const at = path.child('items', 'properties').key(k);
    if (!items.required?.includes(k) && (p.default === undefined || p.default === null))
      errors.push(
        required(
          at.child('default'),
          'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      );
    if (p.nullable)
      errors.push(
        forbiddenField(
          at.child('nullable'),
          'this property is in x-kubernetes-list-map-keys, so it cannot be nullable',
        ),
      );
  }
  return errors;
}

const breaks = (text: string) => /[\n\r]/.test(text);

/** The form of a rule; what it means is the engine's to say. */
function ruleShape(s: SchemaProps, r: ValidationRule, path: Path, errors: FieldError[]): void {
  const rule = (r.rule ?? '').trim();
  const message = (r.message ?? '').trim();
  if (rule === '') errors.push(required(path.child('rule'), 'rule is not specified'));
  else if (r.message && message === '')
    errors.push(invalid(path.child('message'), r.message, 'must be non-empty if specified'));
  else if (breaks(message)) errors.push(invalid(path.child('message'), r.message, 'must not contain line breaks'));
  else if (breaks(rule) && message === '')
    errors.push(required(path.child('message'), 'message must be specified if rule contains line breaks'));
  if (r.messageExpression && r.messageExpression.trim() === '')
    errors.push(required(path.child('messageExpression'), 'messageExpression must be non-empty if specified'));
  if (r.reason !== undefined && !REASONS.includes(r.reason))
    errors.push(notSupported(path.child('reason'), r.reason, REASONS));
  if (!r.fieldPath) return;
  const at = path.child('fieldPath');
  if (r.fieldPath.trim() === '') errors.push(invalid(at, r.fieldPath, 'must be non-empty if specified'));
  if (breaks(r.fieldPath)) errors.push(invalid(at, r.fieldPath, 'must not contain line breaks'));
  if (schemaAtFieldPath(s, r.fieldPath) === undefined) errors.push(invalid(at, r.fieldPath, 'must be a valid path'));
}
