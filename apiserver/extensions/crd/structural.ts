/**
 * What makes a schema structural: types stand outside of logical connectives, which only add conditions.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
import { forbiddenField, invalid, required, type FieldError, type Path } from '../../../api/field-errors.ts';
import { sameValue, type Value } from '../schema/equal.ts';
import { compilePattern } from '../schema/pattern.ts';
import { itemsOf, valuesOf, type SchemaProps } from '../schema/props.ts';

type Level = 'root' | 'item' | 'field';

/** Complaints about a schema that isn't structural, in the order of their texts. */
export function validateStructural(schema: SchemaProps, path: Path): FieldError[] {
  const errors = [...invariants(schema, 'root', path), ...completeness(schema, schema, path, path)];
  const text = (e: FieldError) => `${e.field}: ${e.message}`;
  return errors.sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

/** Words that structural schemas have no place for. */
const UNREADABLE = [
  'id',
  '$schema',
  '$ref',
  'additionalItems',
  'patternProperties',
  'definitions',
  'dependencies',
] as const;

/** A schema that can't even be read as structural: lists of item schemas. */
export function readsAsStructural(schema: SchemaProps): boolean {
  if (Array.isArray(schema.items) || UNREADABLE.some((word) => schema[word] !== undefined && schema[word] !== ''))
    return false;
  const inner = [
    itemsOf(schema),
    valuesOf(schema),
    schema.not,
    ...Object.values(schema.properties ?? {}),
    ...(schema.allOf ?? []),
    ...(schema.anyOf ?? []),
    ...(schema.oneOf ?? []),
  ];
  return inner.every((s) => s === undefined || readsAsStructural(s));
}

const INT_OR_STRING: SchemaProps[] = [{ type: 'integer' }, { type: 'string' }];
const isIntOrStringAny = (list: SchemaProps[] | undefined) =>
  list?.length === 2 && sameValue(list as unknown as Value, INT_OR_STRING as unknown as Value);

const EMPTY_TYPE: Record<Level, string> = {
  root: 'must not be empty at the root',
  item: 'must not be empty for specified array items',
  field: 'must not be empty for specified object fields',
};

function invariants(s: SchemaProps, level: Level, path: Path): FieldError[] {
  const errors: FieldError[] = [];
  const items = itemsOf(s);
  if (s.type === 'array' && !items) errors.push(required(path.child('items'), 'must be specified'));
  if (items) errors.push(...invariants(items, 'item', path.child('items')));
  for (const [k, v] of Object.entries(s.properties ?? {}))
    errors.push(...invariants(v, 'field', path.child('properties').key(k)));
  if (s.additionalProperties !== undefined) {
    if (level === 'root')
      errors.push(forbiddenField(path.child('additionalProperties'), 'must not be used at the root'));
    const values = valuesOf(s);
    if (values) errors.push(...invariants(values, 'field', path.child('additionalProperties')));
  }
  const preserve = s['x-kubernetes-preserve-unknown-fields'] === true;
  const embedded = s['x-kubernetes-embedded-resource'] === true;
  const intOrString = s['x-kubernetes-int-or-string'] === true;
  if (intOrString && preserve)
    errors.push(
      invalid(
        path.child('x-kubernetes-preserve-unknown-fields'),
        true,
        'must be false if x-kubernetes-int-or-string is true',
      ),
    );
  if (intOrString && embedded)
    errors.push(
      invalid(
        path.child('x-kubernetes-embedded-resource'),
        true,
        'must be false if x-kubernetes-int-or-string is true',
      ),
    );
  const skipAny = isIntOrStringAny(s.anyOf);
  const skipFirstAll = isIntOrStringAny(s.allOf?.[0]?.anyOf);
  errors.push(...conditions(s, skipAny, skipFirstAll, path));

  const type = s.type ?? '';
  if (embedded && type !== 'object') {
    const at = path.child('type');
    const why = 'must be object if x-kubernetes-embedded-resource is true';
    errors.push(type === '' ? required(at, why) : invalid(at, type, why));
  } else if (type === '' && !intOrString && !preserve) errors.push(required(path.child('type'), EMPTY_TYPE[level]));
  if (embedded && s.additionalProperties !== undefined)
    errors.push(
      forbiddenField(path.child('additionalProperties'), 'must not be used if x-kubernetes-embedded-resource is set'),
    );
  if (level === 'root' && type !== '' && type !== 'object')
    errors.push(invalid(path.child('type'), type, 'must be object at the root'));

  const isResource = level === 'root' || embedded;
  const properties = s.properties ?? {};
  if (isResource)
    for (const name of ['kind', 'apiVersion'] as const) {
      const p = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (p && p.type !== 'string')
        errors.push(invalid(path.child('properties').key(name).child('type'), p.type ?? '', 'must be string'));
    }
  const metadata = Object.hasOwn(properties, 'metadata') ? properties['metadata'] : undefined;
  if (metadata) {
    const at = path.child('properties').key('metadata');
    if (isResource && metadata.type !== 'object')
      errors.push(invalid(at.child('type'), metadata.type ?? '', 'must be object'));
    if (level === 'root' && !restrictsNamesOnly(metadata))
      errors.push(
        forbiddenField(
          at,
          'must not specify anything other than name and generateName, but metadata is implicitly specified',
        ),
      );
  }
  if (embedded && !preserve && Object.keys(properties).length === 0)
    errors.push(
      required(
        path.child('properties'),
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      ),
    );
  return errors;
}

function restrictsNamesOnly(metadata: SchemaProps): boolean {
  const { type: _type, default: _default, properties, ...rest } = metadata;
  if (Object.values(rest).some((v) => v !== undefined)) return false;
  return Object.keys(properties ?? {}).every((k) => k === 'name' || k === 'generateName');
}

/** Conditions on values, at any depth of allOf, anyOf, oneOf and not. */
function conditions(s: SchemaProps, skipAny: boolean, skipFirstAll: boolean, path: Path): FieldError[] {
  const errors: FieldError[] = [];
  if (!skipAny) s.anyOf?.forEach((n, i) => errors.push(...nested(n, false, path.child('anyOf').index(i))));
  s.allOf?.forEach((n, i) => errors.push(...nested(n, skipFirstAll && i === 0, path.child('allOf').index(i))));
  s.oneOf?.forEach((n, i) => errors.push(...nested(n, false, path.child('oneOf').index(i))));
  if (s.not) errors.push(...nested(s.not, false, path.child('not')));
  if (s.pattern && !compilePattern(s.pattern))
    errors.push(invalid(path.child('pattern'), s.pattern, "must be a valid regular expression, but isn't"));
  return errors;
}

/** Words that make structure, with what is said when they stand in a condition. */
const STRUCTURE: readonly (readonly [keyof SchemaProps, string])[] = [
  ['type', 'must be empty to be structural'],
  ['additionalProperties', 'must be undefined to be structural'],
  ['default', 'must be undefined to be structural'],
  ['title', 'must be empty to be structural'],
  ['description', 'must be empty to be structural'],
  ['nullable', 'must be false to be structural'],
  ['x-kubernetes-preserve-unknown-fields', 'must be false to be structural'],
  ['x-kubernetes-embedded-resource', 'must be false to be structural'],
  ['x-kubernetes-int-or-string', 'must be false to be structural'],
  ['x-kubernetes-list-map-keys', 'must be empty to be structural'],
  ['x-kubernetes-list-type', 'must be undefined to be structural'],
  ['x-kubernetes-map-type', 'must be undefined to be structural'],
  ['x-kubernetes-validations', 'must be empty to be structural'],
];

function nested(s: SchemaProps, skipAny: boolean, path: Path): FieldError[] {
  const errors = conditions(s, skipAny, false, path);
  const items = itemsOf(s);
  if (items) errors.push(...nested(items, false, path.child('items')));
  for (const [k, v] of Object.entries(s.properties ?? {}))
    errors.push(...nested(v, false, path.child('properties').key(k)));
  for (const [word, why] of STRUCTURE) {
    const v = s[word];
    if (v === undefined || v === false || v === '' || (Array.isArray(v) && v.length === 0)) {
      // `additionalProperties: false` says something all the same.
      if (!(word === 'additionalProperties' && v === false)) continue;
    }
    errors.push(forbiddenField(path.child(word), why));
  }
  if (s.properties && Object.hasOwn(s.properties, 'metadata'))
    errors.push(forbiddenField(path.child('properties').key('metadata'), 'must not be specified in a nested context'));
  return errors;
}

/** What a condition speaks of must be declared outside of it too. */
function completeness(conditions: SchemaProps, s: SchemaProps, at: Path, from: Path): FieldError[] {
  const errors: FieldError[] = [];
  const look = (n: SchemaProps | undefined, path: Path) => {
    if (n) errors.push(...nestedCompleteness(n, s, at, path));
  };
  look(conditions.not, from.child('not'));
  for (const word of ['allOf', 'anyOf', 'oneOf'] as const)
    conditions[word]?.forEach((n, i) => look(n, from.child(word).index(i)));
  return errors;
}

function nestedCompleteness(n: SchemaProps, s: SchemaProps | undefined, at: Path, from: Path): FieldError[] {
  if (!s) return [required(at, `because it is defined in ${from.toString()}`)];
  const errors = completeness(n, s, at, from);
  const items = itemsOf(n);
  if (items) errors.push(...nestedCompleteness(items, itemsOf(s), at.child('items'), from.child('items')));
  for (const [k, v] of Object.entries(n.properties ?? {})) {
    const own = s.properties && Object.hasOwn(s.properties, k) ? s.properties[k] : undefined;
    errors.push(...nestedCompleteness(v, own, at.child('properties').key(k), from.child('properties').key(k)));
  }
  return errors;
}
