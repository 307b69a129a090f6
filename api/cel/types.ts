/** Types of expressions, as the checker works them out. `max` is the largest size that a declaration allows. */
import type { TypeName } from './functions.ts';
import type { DeclType } from './json-values.ts';

type Simple = 'bool' | 'bytes' | 'double' | 'duration' | 'dyn' | 'int' | 'null' | 'string' | 'timestamp' | 'uint';
export type CelType =
  /** `free`: not known yet (the elements of `[]`); takes whatever it meets. */
  | { readonly kind: Simple | 'free'; readonly max?: number }
  | { readonly kind: 'list'; readonly items: CelType; readonly max?: number }
  | { readonly kind: 'map'; readonly key: CelType; readonly values: CelType; readonly max?: number }
  | { readonly kind: 'object'; readonly decl: Extract<DeclType, { kind: 'object' }> }
  | { readonly kind: 'optional'; readonly of: CelType }
  | { readonly kind: 'type'; readonly of: CelType }
  | { readonly kind: 'opaque'; readonly name: string };

const simple = (kind: Simple | 'free'): CelType => ({ kind });
export const T = {
  bool: simple('bool'),
  bytes: simple('bytes'),
  double: simple('double'),
  duration: simple('duration'),
  dyn: simple('dyn'),
  free: simple('free'),
  int: simple('int'),
  null: simple('null'),
  string: simple('string'),
  timestamp: simple('timestamp'),
  uint: simple('uint'),
} as const;
export const listOf = (items: CelType): CelType => ({ kind: 'list', items });
export const mapOf = (key: CelType, values: CelType): CelType => ({ kind: 'map', key, values });
export const optionalOf = (of: CelType): CelType => ({ kind: 'optional', of });

/** Not known before evaluating. */
export const isDyn = (t: CelType): boolean => t.kind === 'dyn' || t.kind === 'free';

/** The type of a variable as it was declared. */
export function fromDecl(decl: DeclType): CelType {
  switch (decl.kind) {
    case 'date':
      return T.timestamp;
    case 'list':
      return { ...sized(decl.max), kind: 'list', items: fromDecl(decl.items) };
    case 'map':
      return { ...sized(decl.max), kind: 'map', key: T.string, values: fromDecl(decl.values) };
    case 'object':
      return { kind: 'object', decl };
    case 'optional':
      return optionalOf(fromDecl(decl.of));
    case 'struct':
      return { kind: 'opaque', name: decl.name };
    default:
      return decl.max === undefined ? T[decl.kind] : { kind: decl.kind, max: decl.max };
  }
}
const sized = (max: number | undefined) => (max === undefined ? {} : { max });

/** The type that a plain name stands for; elements of lists and maps may be anything. */
export function fromName(name: TypeName): CelType {
  switch (name) {
    case 'any':
      return T.dyn;
    case 'list':
      return listOf(T.dyn);
    case 'map':
      return mapOf(T.dyn, T.dyn);
    case 'optional':
      return optionalOf(T.dyn);
    case 'type':
      return { kind: 'type', of: T.dyn };
    case 'null':
    case 'bool':
    case 'bytes':
    case 'double':
    case 'duration':
    case 'int':
    case 'string':
    case 'timestamp':
    case 'uint':
      return T[name];
    default:
      return { kind: 'opaque', name };
  }
}

/** Whether a value of the type may stand for a parameter. */
export function fits(t: CelType, param: TypeName): boolean {
  if (isDyn(t) || param === 'any') return true;
  return t.kind === 'opaque' ? t.name === param : t.kind === param;
}

/** Types that null may stand for. */
const NULLABLE: ReadonlySet<string> = new Set(['object', 'timestamp', 'duration', 'opaque', 'optional']);

/** Like join, for the elements of one literal: null is a type of its own there. */
export function joinElements(a: CelType, b: CelType): CelType | undefined {
  const oneNull = (a.kind === 'null') !== (b.kind === 'null');
  return oneNull && !isDyn(a) && !isDyn(b) ? undefined : join(a, b);
}

/** One type for both, or undefined when they have nothing to do with each other. */
export function join(a: CelType, b: CelType): CelType | undefined {
  if (a.kind === 'free') return b;
  if (b.kind === 'free') return a;
  if (a.kind === 'dyn' || b.kind === 'dyn') return T.dyn;
  if (a.kind === 'null' && NULLABLE.has(b.kind)) return b;
  if (b.kind === 'null' && NULLABLE.has(a.kind)) return a;
  if (a.kind === 'list' && b.kind === 'list') {
    const items = join(a.items, b.items);
    return items && listOf(items);
  }
  if (a.kind === 'map' && b.kind === 'map') {
    const key = join(a.key, b.key);
    const values = join(a.values, b.values);
    return key && values && mapOf(key, values);
  }
  if (a.kind === 'optional' && b.kind === 'optional') {
    const of = join(a.of, b.of);
    return of && optionalOf(of);
  }
  if (a.kind === 'object' && b.kind === 'object') return a.decl.name === b.decl.name ? a : undefined;
  if (a.kind === 'opaque' && b.kind === 'opaque') return a.name === b.name ? a : undefined;
  return a.kind === b.kind ? a : undefined;
}

/** A type as messages have it: `list(string)`. */
export function showType(t: CelType): string {
  switch (t.kind) {
    case 'list':
      return `list(${showType(t.items)})`;
    case 'map':
      return `map(${showType(t.key)}, ${showType(t.values)})`;
    case 'object':
      return t.decl.name;
    case 'optional':
      return `optional_type(${showType(t.of)})`;
    case 'type':
      return `type(${showType(t.of)})`;
    case 'opaque':
      return t.name;
    case 'timestamp':
      return 'google.protobuf.Timestamp';
    case 'duration':
      return 'google.protobuf.Duration';
    case 'free':
      return 'dyn';
    default:
      return t.kind;
  }
}
