/**
 * Validation of values against an openAPIV3Schema, compiled once into closures. Complaints have the paths and reasons
 * that kube-apiserver gives. With an old value at hand, complaints about unchanged parts are dropped (KEP-4008).
 */
import { invalid, required, tooMany, type FieldError } from '../../../api/field-errors.ts';
import { isKnownFormat } from './formats.ts';
import {
  correlateItem,
  correlateKey,
  isObject,
  sameBySchema,
  sameValue,
  type Correlated,
  type Value,
} from './equal.ts';
import type { SchemaProps } from './props.ts';
import { enumCheck, NO_FIELD, numberCheck, show, stringCheck, typeCheck } from './scalars.ts';

/** What one schema says of one value; `matches` tells the closest of several alternatives. */
interface Result {
  errors: FieldError[] | undefined;
  matches: number;
}

/** `old` is present when the value can be compared with an earlier one. */
type Check = (value: Value, path: string, old: Correlated | undefined) => Result;

const OK: Result = { errors: undefined, matches: 0 };

/** A schema, ready to be held against values. */
export class SchemaValidator {
  readonly #check: Check;
  readonly #schema: SchemaProps;

  constructor(schema: SchemaProps) {
    this.#schema = schema;
    this.#check = compile(schema);
  }

  /** Complaints about `value`; `base` is the path of the value itself ('' for a whole object). */
  validate(value: Value, base = ''): FieldError[] {
    return withBase(this.#check(value, '', undefined).errors ?? [], base);
  }

  /** As `validate`, but what has not changed since `old` is let pass. */
  validateUpdate(value: Value, old: Value | undefined, base = ''): FieldError[] {
    if (old === undefined) return this.validate(value, base);
    const errors = this.#check(value, '', { old }).errors;
    if (!errors || sameBySchema(this.#schema, value, old)) return [];
    return withBase(errors, base);
  }
}

/** Paths so far start with a dot; complaints without a field are about the base, when there is one. */
function withBase(errors: FieldError[], base: string): FieldError[] {
  return errors.map((e) => {
    if (e.field === NO_FIELD) return base === '' ? e : { ...e, field: base };
    const own = e.field.replace(/^\.+/, '');
    const join = own === '' || base === '' ? `${base}${own}` : `${base}.${own}`;
    return { ...e, field: join === '' ? NO_FIELD : join };
  });
}

const compiledSchemas = new WeakMap<SchemaProps, Check>();
function compile(schema: SchemaProps): Check {
  const known = compiledSchemas.get(schema);
  if (known) return known;
  const made = build(schema);
  compiledSchemas.set(schema, made);
  return made;
}

function build(schema: SchemaProps): Check {
  const types = schema['x-kubernetes-int-or-string'] ? ['integer', 'string'] : schema.type ? [schema.type] : [];
  const single = types.length === 1 ? types[0]! : '';
  const format = schema.format && isKnownFormat(schema.format, single) ? schema.format : '';
  const checkType = typeCheck(types, format, schema.nullable ?? false);
  const checkEnum = enumCheck(schema.enum);
  const combined = combinations(schema);
  const checkString = stringCheck(schema, format);
  const checkNumber = numberCheck(schema, single, format);
  const checkList = listCheck(schema);
  const checkObject = objectCheck(schema);
  return (value, path, old) => {
    const errors: FieldError[] = [];
    // Every check that applies counts, so that the best of several alternatives can be told.
    let matches = 0;
    const take = (r: Result) => {
      if (r.errors) errors.push(...r.errors);
      matches += r.matches + 1;
    };
    if (checkType) {
      const complaint = checkType(value, path);
      if (complaint) errors.push(complaint);
      else matches++;
      matches++;
    }
    if (value !== null) {
      if (combined) take(combined(value, path, old));
      else matches += 2;
      if (typeof value === 'string') checkString?.(value, path, errors);
      else if (typeof value === 'number' || typeof value === 'bigint') checkNumber(value, path, errors);
      else if (Array.isArray(value)) {
        if (checkList) take(checkList(value as Value[], path, old));
      } else if (isObject(value) && checkObject) take(checkObject(value, path, old));
    }
    const notOne = checkEnum?.(value, path);
    if (notOne) errors.push(notOne);
    return { errors: errors.length > 0 ? errors : undefined, matches: matches + 1 };
  };
}

/** Items and fields: with their old value when it is known, and then let pass when nothing changed. */
function inner(check: Check, schema: SchemaProps, value: Value, path: string, old: Correlated | undefined): Result {
  const r = check(value, path, old);
  return r.errors && old && sameBySchema(schema, value, old.old) ? { errors: undefined, matches: r.matches } : r;
}

function listCheck(
  schema: SchemaProps,
): ((v: readonly Value[], path: string, old: Correlated | undefined) => Result) | undefined {
  const { maxItems, minItems } = schema;
  const single = Array.isArray(schema.items) ? undefined : schema.items;
  const each = Array.isArray(schema.items) ? schema.items.map(compile) : undefined;
  const items = single && compile(single);
  return (v, path, old) => {
    const errors: FieldError[] = [];
    let matches = 1;
    for (let i = 0; i < v.length; i++) {
      const check = items ?? each?.[i];
      if (!check) break;
      const own = single ?? (schema.items as readonly SchemaProps[])[i]!;
      const r = inner(check, own, v[i]!, `${path}[${i}]`, correlateItem(schema, old, v[i]!));
      if (r.errors) errors.push(...r.errors);
      matches += r.matches;
    }
    if (minItems !== undefined && v.length < minItems)
      errors.push(invalid(path, v.length, `${show(path)} in body should have at least ${minItems} items`));
    if (maxItems !== undefined && v.length > maxItems) errors.push(tooMany(path, v.length, maxItems));
    if (schema.uniqueItems && v.some((x, i) => v.slice(0, i).some((y) => sameValue(x, y))))
      errors.push(invalid(path, '', `${show(path)} in body shouldn't contain duplicates`));
    return { errors: errors.length > 0 ? errors : undefined, matches };
  };
}

function objectCheck(
  schema: SchemaProps,
): ((v: { readonly [k: string]: Value | undefined }, path: string, old: Correlated | undefined) => Result) | undefined {
  const { maxProperties, minProperties } = schema;
  const fields = new Map(
    Object.entries(schema.properties ?? {}).map(([k, s]) => [k, { schema: s, check: compile(s) }]),
  );
  const rest = schema.additionalProperties;
  const more = typeof rest === 'object' ? { schema: rest, check: compile(rest) } : undefined;
  const closed = schema.additionalProperties === false;
  const needed = schema.required ?? [];
  if (
    fields.size === 0 &&
    !more &&
    !closed &&
    needed.length === 0 &&
    maxProperties === undefined &&
    minProperties === undefined
  )
    return undefined;
  return (v, path, old) => {
    const errors: FieldError[] = [];
    let matches = 0;
    let count = 0;
    for (const key of Object.keys(v)) {
      const value = v[key];
      if (value === undefined) continue;
      count++;
      const own = fields.get(key);
      const known = own ?? more;
      if (!own && closed) errors.push(invalid(path, '', `${show(path)}.${key} in body is a forbidden property`));
      if (!known) continue;
      // kind and apiVersion are not what was stored: both sides are in the request's version.
      const typeMeta = path === '' && (key === 'kind' || key === 'apiVersion');
      const before = typeMeta ? undefined : correlateKey(old, key);
      // Messages, which leave the first dot of a path out, show one before what additionalProperties says of the root.
      const at = own || path !== '' ? `${path}.${key}` : `..${key}`;
      const r = inner(known.check, known.schema, value, at, before);
      if (r.errors) errors.push(...r.errors);
      matches += r.matches;
    }
    if (minProperties !== undefined && count < minProperties)
      errors.push(invalid(path, '', `${show(path)} in body should have at least ${minProperties} properties`));
    if (maxProperties !== undefined && count > maxProperties) errors.push(tooMany(path, count, maxProperties));
    for (const k of needed) if (!Object.hasOwn(v, k) || v[k] === undefined) errors.push(required(`${path}.${k}`));
    return { errors: errors.length > 0 ? errors : undefined, matches };
  };
}

/** allOf, anyOf, oneOf and not. */
function combinations(schema: SchemaProps): Check | undefined {
  const any = schema.anyOf?.map(compile) ?? [];
  const one = schema.oneOf?.map(compile) ?? [];
  const all = schema.allOf?.map(compile) ?? [];
  const not = schema.not && compile(schema.not);
  if (any.length + one.length + all.length === 0 && !not) return undefined;
  return (value, path, old) => {
    const errors: FieldError[] = [];
    let matches = 1;
    const composite = (text: string) => errors.push(invalid(NO_FIELD, '', `${JSON.stringify(show(path))} ${text}`));
    const merge = (r: Result) => {
      if (r.errors) errors.push(...r.errors);
      matches += r.matches;
    };
    if (any.length > 0) {
      let best: Result = OK;
      let passed = false;
      for (const check of any) {
        const r = check(value, path, old);
        if (!r.errors) {
          best = r;
          passed = true;
          break;
        }
        if (best === OK || r.matches > best.matches) best = r;
      }
      if (!passed) composite('must validate at least one schema (anyOf)');
      merge(best);
    }
    if (one.length > 0) {
      let best: Result | undefined;
      let first: Result | undefined;
      let passed = 0;
      for (const check of one) {
        const r = check(value, path, old);
        if (!r.errors) {
          passed++;
          first ??= r;
        } else if (passed === 0 && (!best || r.matches > best.matches)) best = r;
      }
      if (passed === 1) merge(first!);
      else {
        composite(
          `must validate one and only one schema (oneOf). ${passed === 0 ? 'Found none valid' : `Found ${passed} valid alternatives`}`,
        );
        if (passed === 0 && best) merge(best);
      }
    }
    if (all.length > 0) {
      let failed = 0;
      for (const check of all) {
        const r = check(value, path, old);
        if (r.errors) failed++;
        merge(r);
      }
      if (failed > 0)
        composite(`must validate all the schemas (allOf)${failed === all.length ? '. None validated' : ''}`);
    }
    if (not && !not(value, path, old).errors) composite('must not validate the schema (not)');
    return { errors: errors.length > 0 ? errors : undefined, matches: matches + 1 };
  };
}
