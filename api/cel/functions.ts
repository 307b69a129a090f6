/** How functions are declared: overloads told apart by the types of their arguments. */
import {
  CelError,
  DurationValue,
  ListValue,
  MapValue,
  noSuchOverload,
  OpaqueValue,
  OptionalValue,
  TimestampValue,
  TypeValue,
  UintValue,
  type Value,
} from './values.ts';

/** Types of parameters and results; other names are those of opaque values (`kubernetes.Quantity`). */
export type TypeName =
  | 'any'
  | 'bool'
  | 'bytes'
  | 'double'
  | 'duration'
  | 'int'
  | 'list'
  | 'map'
  | 'null'
  | 'optional'
  | 'string'
  | 'timestamp'
  | 'type'
  | 'uint'
  | `kubernetes.${string}`
  | `net.${string}`;

export interface Overload {
  /** `string_to_int64`; costs go by it. */
  readonly id: string;
  /** Called as `x.f(...)`: the target is the first parameter. */
  readonly member: boolean;
  readonly params: readonly TypeName[];
  readonly result: TypeName;
  // Arguments are checked against `params` before.
  call(...args: never[]): Value;
}
export type Functions = Readonly<Record<string, readonly Overload[]>>;

type Fn<A extends readonly unknown[]> = (...args: A) => Value;
/** A global function `f(x)`. */
export const fn = <A extends never[]>(
  id: string,
  params: readonly TypeName[],
  result: TypeName,
  call: Fn<A>,
): Overload => ({
  id,
  member: false,
  params,
  result,
  call,
});
/** A method `x.f()`. */
export const method = <A extends never[]>(
  id: string,
  params: readonly TypeName[],
  result: TypeName,
  call: Fn<A>,
): Overload => ({
  id,
  member: true,
  params,
  result,
  call,
});

function matchesType(value: Value, type: TypeName): boolean {
  switch (type) {
    case 'any':
      return true;
    case 'bool':
      return typeof value === 'boolean';
    case 'int':
      return typeof value === 'bigint';
    case 'double':
      return typeof value === 'number';
    case 'string':
      return typeof value === 'string';
    case 'null':
      return value === null;
    case 'uint':
      return value instanceof UintValue;
    case 'bytes':
      return value instanceof Uint8Array;
    case 'list':
      return value instanceof ListValue;
    case 'map':
      return value instanceof MapValue;
    case 'duration':
      return value instanceof DurationValue;
    case 'timestamp':
      return value instanceof TimestampValue;
    case 'optional':
      return value instanceof OptionalValue;
    case 'type':
      return value instanceof TypeValue;
    default:
      return value instanceof OpaqueValue && value.typeName === type;
  }
}

/** The overload for these arguments. Throws CelError when there is none. */
export function select(overloads: readonly Overload[], args: readonly Value[], name: string): Overload {
  for (const o of overloads) {
    if (o.params.length !== args.length) continue;
    let fits = true;
    for (let i = 0; fits && i < args.length; i++) fits = matchesType(args[i]!, o.params[i]!);
    if (fits) return o;
  }
  if (overloads.some((o) => o.params.length === args.length)) throw noSuchOverload();
  throw new CelError(`no such overload: ${name} with ${args.length} arguments`);
}

/** All tables as one. */
export function mergeFunctions(...tables: readonly Functions[]): Map<string, Overload[]> {
  const out = new Map<string, Overload[]>();
  for (const table of tables) {
    for (const [name, overloads] of Object.entries(table)) out.set(name, [...(out.get(name) ?? []), ...overloads]);
  }
  return out;
}
