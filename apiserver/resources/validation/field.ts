/**
 * Validation as a list of rules: a Field is a value with its place in the object and the list that complaints go to.
 * Paths are only put together when something is wrong, so a valid object costs no strings.
 */
import * as fe from '../../../api/field-errors.ts';
import type { FieldError } from '../../../api/field-errors.ts';
import { semanticEqual } from '../../../api/meta.ts';

/** Says what is wrong with a text: one message per complaint, none when it is fine. */
export type Format = (value: string) => readonly string[];
/** Rules for one value. */
export type Rule<T> = (field: Field<T>) => void;

type Present<T> = Exclude<T, undefined | null>;
/** The child's value type; fields of `unknown` are unknown. */
type Child<T, K extends keyof T> = Present<T[K]>;
type Element<T> = T extends readonly (infer E)[] ? Present<E> : never;
type MapValue<T> = T extends Readonly<Record<string, infer V>> ? Present<V> : never;

/** A value at a path. `value` is undefined when it is absent or null. */
export class Field<T> {
  readonly value: T | undefined;
  readonly errors: FieldError[];
  readonly #parent: Field<unknown> | undefined;
  /** A member's name, an index, or a key in its brackets. */
  readonly #name: string | number;

  constructor(value: T | undefined | null, errors: FieldError[], name: string | number = '', parent?: Field<unknown>) {
    this.value = value ?? undefined;
    this.errors = errors;
    this.#name = name;
    this.#parent = parent;
  }

  /** `spec.containers[0].name`. */
  get path(): string {
    const head = this.#parent?.path ?? '';
    if (this.#name === '') return head;
    const name = typeof this.#name === 'number' ? `[${this.#name}]` : this.#name;
    return head === '' || name.startsWith('[') ? head + name : `${head}.${name}`;
  }

  /** A member. */
  get<K extends keyof T & string>(name: K): Field<Child<T, K>> {
    const value = this.value === undefined ? undefined : (this.value as T)[name];
    return new Field(value as Child<T, K> | undefined, this.errors, name, this as Field<unknown>);
  }

  /** The same errors and value under another name than the member's (where complaints go elsewhere). */
  named<V = T>(name: string, value?: V): Field<V> {
    return new Field(value, this.errors, name, this as Field<unknown>);
  }
  at<V>(index: number, value: V): Field<V> {
    return new Field(value, this.errors, index, this as Field<unknown>);
  }
  key<V>(key: string, value: V): Field<V> {
    return new Field(value, this.errors, `[${key}]`, this as Field<unknown>);
  }

  /** Applies `rule` to each element of a list. */
  each(rule: (element: Field<Element<T>>, index: number) => void): this {
    if (Array.isArray(this.value)) {
      (this.value as Element<T>[]).forEach((v, i) => rule(this.at(i, v), i));
    }
    return this;
  }

  /** Applies `rule` to each value of a map. */
  eachKey(rule: (value: Field<MapValue<T>>, key: string) => void): this {
    if (this.value !== undefined && typeof this.value === 'object') {
      for (const [k, v] of Object.entries(this.value as Record<string, MapValue<T>>)) rule(this.key(k, v), k);
    }
    return this;
  }

  /** Applies `rule` when the value is there. */
  with(rule: Rule<T>): this {
    if (this.value !== undefined) rule(this);
    return this;
  }

  get isSet(): boolean {
    return this.value !== undefined;
  }
  /** Go's zero value: absent, "", 0, false, an empty list or map. */
  get isEmpty(): boolean {
    return isZero(this.value);
  }

  /** Not empty; false after complaining. */
  need(detail = ''): boolean {
    if (!this.isEmpty) return true;
    this.add(fe.required(this.path, detail));
    return false;
  }
  /** As need, for chains. */
  required(detail = ''): this {
    this.need(detail);
    return this;
  }
  /** One of these; an absent value is fine. */
  oneOf(values: readonly string[]): this {
    if (this.value !== undefined && !values.includes(this.value as string))
      this.add(fe.notSupported(this.path, this.value, values));
    return this;
  }
  /** Present and one of these: an empty value is missing, another is not supported. */
  enumerated(values: readonly string[], detail = ''): this {
    return this.need(detail) ? this.oneOf(values) : this;
  }
  /** A text in a form; empty texts are not looked at. */
  format(...formats: Format[]): this {
    if (typeof this.value === 'string' && this.value !== '') this.formatAll(...formats);
    return this;
  }
  /** As format, empty texts included. */
  formatAll(...formats: Format[]): this {
    for (const f of formats) for (const m of f((this.value as string | undefined) ?? '')) this.invalid(m);
    return this;
  }
  /** Present and in this form. */
  requiredFormat(...formats: Format[]): this {
    return this.need() ? this.format(...formats) : this;
  }
  nonNegative(): this {
    return this.check(this.value === undefined || Number(this.value) >= 0, 'must be greater than or equal to 0');
  }
  positive(): this {
    return this.check(this.value === undefined || Number(this.value) > 0, 'must be greater than zero');
  }
  range(min: number, max: number): this {
    const n = Number(this.value);
    return this.check(
      this.value === undefined || (n >= min && n <= max),
      `must be between ${min} and ${max}, inclusive`,
    );
  }
  maxLength(max: number): this {
    if (typeof this.value === 'string' && Buffer.byteLength(this.value) > max) this.add(fe.tooLong(this.path, max));
    return this;
  }
  maxItems(max: number): this {
    const n = Array.isArray(this.value) ? this.value.length : 0;
    if (n > max) this.add(fe.tooMany(this.path, n, max));
    return this;
  }
  /** Must be absent or zero. */
  absent(detail: string): this {
    if (!this.isEmpty) this.forbidden(detail);
    return this;
  }
  /** Must not differ from the stored value. */
  immutable(old: unknown, detail = 'field is immutable'): this {
    if (!semanticEqual(this.value, old)) this.invalid(detail);
    return this;
  }
  /** As immutable, where an empty object isn't the same as none. */
  immutablePointer(old: unknown): this {
    const was = old !== undefined && old !== null;
    return this.isSet === was ? this.immutable(old) : this.invalid('field is immutable');
  }
  check(ok: boolean, detail: string): this {
    if (!ok) this.invalid(detail);
    return this;
  }
  /** No element (by `keyOf`) twice; complains at the later one. */
  unique(keyOf: (value: Element<T>) => string | undefined, at?: (element: Field<Element<T>>) => Field<unknown>): this {
    const seen = new Set<string>();
    return this.each((e) => {
      const k = keyOf(e.value as Element<T>);
      if (k === undefined) return;
      if (seen.has(k)) (at ? at(e) : e).duplicate(k);
      seen.add(k);
    });
  }

  add(error: FieldError): this {
    this.errors.push(error);
    return this;
  }
  invalid(detail: string, value: unknown = this.value): this {
    return this.add(fe.invalid(this.path, value, detail));
  }
  forbidden(detail: string): this {
    return this.add(fe.forbiddenField(this.path, detail));
  }
  missing(detail = ''): this {
    return this.add(fe.required(this.path, detail));
  }
  duplicate(value: unknown = this.value): this {
    return this.add(fe.duplicate(this.path, value));
  }
  notFound(value: unknown = this.value): this {
    return this.add(fe.notFoundField(this.path, value));
  }
  notSupported(values: readonly string[], value: unknown = this.value): this {
    return this.add(fe.notSupported(this.path, value, values));
  }
  tooLong(max: number): this {
    return this.add(fe.tooLong(this.path, max));
  }
}

/** Go's zero value. */
export function isZero(v: unknown): boolean {
  if (v === undefined || v === null || v === '' || v === 0 || v === false) return true;
  if (Array.isArray(v)) return v.length === 0;
  return typeof v === 'object' && Object.keys(v).length === 0;
}

/** Starts validation of an object: runs the rules and returns the complaints. */
export function validating<T>(object: T, ...rules: Rule<T>[]): FieldError[] {
  const errors: FieldError[] = [];
  const root = new Field<T>(object, errors);
  for (const rule of rules) rule(root);
  return errors;
}

/** Whether anything was complained about inside `run`. */
export function clean(field: { errors: FieldError[] }, run: () => void): boolean {
  const before = field.errors.length;
  run();
  return field.errors.length === before;
}

export type { FieldError };
