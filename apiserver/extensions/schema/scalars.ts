/** What a schema says of one value without parts: its type, its alternatives, bounds of texts and numbers. */
import { encodeJson } from '../../../api/codec/json.ts';
import { invalid, notSupported, tooLong, typeInvalid, type FieldError } from '../../../api/field-errors.ts';
import { sameValue, type Value } from './equal.ts';
import { formatCheck } from './formats.ts';
import { compilePattern } from './pattern.ts';
import type { SchemaProps } from './props.ts';

/** Complaints that concern no field by name (alternatives, numbers out of their type's range). */
export const NO_FIELD = '<nil>';

const typeOf = (v: Value): string => {
  if (v === null) return 'null';
  if (Array.isArray(v)) return 'array';
  switch (typeof v) {
    case 'boolean':
      return 'boolean';
    case 'string':
      return 'string';
    case 'number':
      return Number.isInteger(v) ? 'integer' : 'number';
    case 'bigint':
      return 'integer';
    default:
      return 'object';
  }
};

/** A path as messages have it. */
export const show = (path: string) => (path.startsWith('.') ? path.slice(1) : path);

/** Undefined where any type will do. */
export function typeCheck(
  types: readonly string[],
  format: string,
  nullable: boolean,
): ((v: Value, path: string) => FieldError | undefined) | undefined {
  if (types.length === 0 && format === '') return undefined;
  const wanted = types.join(',');
  const numeric = types.includes('number') || types.includes('integer');
  const wrong = (path: string, what: string, found: string) =>
    typeInvalid(path, found, `${show(path)} in body must be of type ${what}: ${encodeJson(found)}`);
  return (v, path) => {
    if (v === null) return types.length > 0 && !nullable ? wrong(path, wanted, 'null') : undefined;
    const found = typeOf(v);
    const fits = types.includes(found) || (found === 'integer' && types.includes('number'));
    if (format !== '' && found !== 'string' && found !== 'array') {
      // What has a format must have it in the form that Go would keep the value in.
      const kept = found === 'integer' ? 'int64' : found === 'number' ? 'float64' : '';
      return fits || kept === format ? undefined : wrong(path, format, kept);
    }
    // A string with a format is the format's business.
    if (fits || (!numeric && format !== '')) return undefined;
    return wrong(path, wanted, found);
  };
}

/** Undefined where the schema names no values. */
export function enumCheck(
  values: SchemaProps['enum'],
): ((v: Value, path: string) => FieldError | undefined) | undefined {
  if (!values || values.length === 0) return undefined;
  const texts = values.map((v) => (typeof v === 'string' ? v : encodeJson(v)));
  return (v, path) => (v !== null && values.some((e) => sameValue(e, v)) ? undefined : notSupported(path, v, texts));
}

/** Characters as people count them: code points. */
function runes(text: string): number {
  let n = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0xd800 && c <= 0xdbff && i + 1 < text.length) i++;
    n++;
  }
  return n;
}

/** Length, pattern and format; undefined where none is asked for. */
export function stringCheck(
  schema: SchemaProps,
  format: string,
): ((v: string, path: string, errors: FieldError[]) => void) | undefined {
  const { maxLength, minLength, pattern } = schema;
  const check = format === '' ? undefined : formatCheck(format);
  if (maxLength === undefined && minLength === undefined && !pattern && !check) return undefined;
  const regex = pattern ? compilePattern(pattern) : undefined;
  const shape = (v: string, path: string): FieldError | undefined => {
    if (maxLength !== undefined && v.length > maxLength && runes(v) > maxLength) return tooLong(path, maxLength);
    if (minLength !== undefined && (v.length < minLength || runes(v) < minLength))
      return invalid(path, v, `${show(path)} in body should be at least ${minLength} chars long`);
    if (pattern && !(regex?.matcher(v).find() ?? false))
      return invalid(path, v, `${show(path)} in body should match '${pattern}'`);
    return undefined;
  };
  return (v, path, errors) => {
    const complaint = shape(v, path);
    if (complaint) errors.push(complaint);
    if (check && !check(v))
      errors.push(typeInvalid(path, v, `${show(path)} in body must be of type ${format}: ${encodeJson(v)}`));
  };
}

const INT32 = 2_147_483_648;
const INT64 = 9_223_372_036_854_775_808n;
const MAX_FLOAT32 = 3.402_823_466_385_288_6e38;

/** Whether a number fits the type that the schema names. */
function fits(v: number | bigint, type: string, format: string): boolean {
  if (type === 'integer') {
    if (typeof v === 'number' && !Number.isInteger(v)) return false;
    if (format === 'int32') return v >= -INT32 && v < INT32;
    return typeof v === 'bigint' ? v >= -INT64 && v < INT64 : Math.abs(v) < Number(INT64);
  }
  if (type === 'number' && format === 'float') return Math.abs(Number(v)) <= MAX_FLOAT32;
  return true;
}

/** Bounds, multiples, and whether the number fits its type. */
export function numberCheck(
  schema: SchemaProps,
  type: string,
  format: string,
): (v: number | bigint, path: string, errors: FieldError[]) => void {
  const { multipleOf, maximum, minimum } = schema;
  const over = schema.exclusiveMaximum ?? false;
  const under = schema.exclusiveMinimum ?? false;
  const misfit = (what: string, path: string) =>
    invalid(
      NO_FIELD,
      '',
      `${what} value must be of type ${type}${format === '' ? ' (default format)' : ` with format ${format}`} in ${show(path)}`,
    );
  return (v, path, errors) => {
    if (!fits(v, type, format)) errors.push(misfit('Checked', path));
    // Whole numbers are compared with whole bounds, as upstream does, unless the bound doesn't fit the type.
    const whole = typeof v === 'bigint' || Number.isInteger(v);
    const bound = (limit: number, what: string): number => {
      const good = fits(limit, type, format);
      if (!good) errors.push(misfit(what, path));
      return good && whole ? Math.trunc(limit) : limit;
    };
    if (multipleOf !== undefined) {
      const factor = bound(multipleOf, 'MultipleOf');
      if (!isMultiple(v, factor))
        errors.push(invalid(path, v, `${show(path)} in body should be a multiple of ${multipleOf}`));
    }
    if (maximum !== undefined) {
      const limit = bound(maximum, 'Maximum boundary');
      if (over ? v >= limit : v > limit)
        errors.push(
          invalid(path, v, `${show(path)} in body should be less than ${over ? '' : 'or equal to '}${maximum}`),
        );
    }
    if (minimum !== undefined) {
      const limit = bound(minimum, 'Minimum boundary');
      if (under ? v <= limit : v < limit)
        errors.push(
          invalid(path, v, `${show(path)} in body should be greater than ${under ? '' : 'or equal to '}${minimum}`),
        );
    }
  };
}

function isMultiple(v: number | bigint, factor: number): boolean {
  if (factor <= 0) return false;
  if (typeof v === 'bigint' && Number.isInteger(factor)) return v % BigInt(factor) === 0n;
  const n = Number(v);
  if (Number.isInteger(n) && Number.isInteger(factor)) return n % factor === 0;
  const times = factor < 1 ? (1 / factor) * n : n / factor;
  return Math.abs(times - Math.round(times)) < 1e-9;
}
