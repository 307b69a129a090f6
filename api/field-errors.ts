/** Validation errors: a list of these becomes one Status of reason Invalid. */
import { StatusError, type StatusCause } from './status.ts';

/** The cause reasons that clients may branch on. */
export type FieldErrorType =
  | 'FieldValueNotFound'
  | 'FieldValueRequired'
  | 'FieldValueDuplicate'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'InternalError'
  | 'FieldValueTypeInvalid';

/** One complaint about one field; `message` is what stands behind the field name. */
export interface FieldError {
  type: FieldErrorType;
  field: string;
  message: string;
}

/** A path to a field: `spec.containers[0].name`, map keys as `metadata.labels[a/b]`. */
export class Path {
  readonly #text: string;
  private constructor(text: string) {
    this.#text = text;
  }
  static root(...names: string[]): Path {
    return new Path(names.join('.'));
  }
  child(...names: string[]): Path {
    return new Path(this.#text === '' ? names.join('.') : `${this.#text}.${names.join('.')}`);
  }
  index(i: number): Path {
    return new Path(`${this.#text}[${i}]`);
  }
  key(key: string): Path {
    return new Path(`${this.#text}[${key}]`);
  }
  toString(): string {
    return this.#text;
  }
}

/** How Go prints a value in a field error. */
function showValue(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return value.toString();
  return JSON.stringify(value, (_k, v: unknown) => (typeof v === 'bigint' ? v.toString() : v)) ?? 'null';
}

const make = (type: FieldErrorType, path: Path | string, message: string): FieldError => ({
  type,
  field: String(path),
  message,
});
const tail = (detail: string) => (detail === '' ? '' : `: ${detail}`);

export const required = (path: Path | string, detail = '') =>
  make('FieldValueRequired', path, `Required value${tail(detail)}`);
export const invalid = (path: Path | string, value: unknown, detail: string) =>
  make('FieldValueInvalid', path, `Invalid value: ${showValue(value)}${tail(detail)}`);
export const duplicate = (path: Path | string, value: unknown) =>
  make('FieldValueDuplicate', path, `Duplicate value: ${showValue(value)}`);
export const notSupported = (path: Path | string, value: unknown, supported: readonly string[]) =>
  make(
    'FieldValueNotSupported',
    path,
    `Unsupported value: ${showValue(value)}${
      supported.length
        ? `: supported values: ${[...supported]
            .sort()
            .map((s) => JSON.stringify(s))
            .join(', ')}`
        : ''
    }`,
  );
export const forbiddenField = (path: Path | string, detail: string) =>
  make('FieldValueForbidden', path, `Forbidden${tail(detail)}`);
export const tooLong = (path: Path | string, max: number) =>
  make('FieldValueTooLong', path, `Too long: may not be more than ${max} byte${max === 1 ? '' : 's'}`);
export const tooMany = (path: Path | string, actual: number, max: number) =>
  make('FieldValueTooMany', path, `Too many: ${actual}: must have at most ${max} item${max === 1 ? '' : 's'}`);
export const notFoundField = (path: Path | string, value: unknown) =>
  make('FieldValueNotFound', path, `Not found: ${showValue(value)}`);
export const typeInvalid = (path: Path | string, value: unknown, detail: string) =>
  make('FieldValueTypeInvalid', path, `Invalid value: ${showValue(value)}${tail(detail)}`);
export const internalField = (path: Path | string, detail: string) =>
  make('InternalError', path, `Internal error${tail(detail)}`);

/** Turns field errors into the 422 Status; `kind` is the object's kind with its group. */
export function invalidObject(
  kind: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const seen = new Set<string>();
  const causes: StatusCause[] = [];
  for (const e of errors) {
    const text = `${e.field}: ${e.message}`;
    if (seen.has(text)) continue;
    seen.add(text);
    causes.push({ reason: e.type, message: e.message, field: e.field });
  }
  const texts = [...seen];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  return new StatusError(
    422,
    'Invalid',
    `${qualified} ${JSON.stringify(name)} is invalid${texts.length ? `: ${list}` : ''}`,
    {
      ...(name === '' ? {} : { name }),
      ...(kind.group === '' ? {} : { group: kind.group }),
      ...(kind.kind === '' ? {} : { kind: kind.kind }),
      causes,
    },
  );
}
