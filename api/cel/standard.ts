/** The functions of the language itself. Operators with their own ways of evaluating are in compile.ts. */
import { type Functions, fn, method, type Overload } from './functions.ts';
import { patternOf } from './regex.ts';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp, timeField, type TimeField } from './times.ts';
import {
  ArrayList,
  CelError,
  compare,
  DurationValue,
  equals,
  int,
  INT_MAX,
  INT_MIN,
  ListValue,
  MapValue,
  noSuchOverload,
  OptionalValue,
  stringSize,
  TimestampValue,
  typeOf,
  UintValue,
  type Value,
} from './values.ts';

const uint = (v: bigint) => new UintValue(v);
const concatBytes = (a: Uint8Array, b: Uint8Array) => Uint8Array.from(Buffer.concat([a, b]));
const divide = (b: bigint | number): void => {
  if (b == 0) throw new CelError('division by zero');
};
const modulo = (b: bigint): void => {
  if (b === 0n) throw new CelError('modulus by zero');
};

/** A list that a loop builds up: nobody else sees it before it is done. */
export class GrowingList extends ListValue {
  readonly items: Value[] = [];
  get size(): number {
    return this.items.length;
  }
  get(index: number): Value {
    return this.items[index]!;
  }
  /** The list as others may have it. */
  done(): ListValue {
    return new ArrayList(this.items);
  }
}
function concatLists(a: ListValue, b: ListValue): ListValue {
  if (!(a instanceof GrowingList)) return a.concat(b);
  for (const item of b) a.items.push(item);
  return a;
}

const ordering = (op: (c: number) => boolean): readonly Overload[] => [
  fn('ordered', ['any', 'any'], 'bool', (a: Value, b: Value) => {
    const c = compare(a, b);
    return c !== undefined && op(c);
  }),
];

/** Rounds towards zero as an int. */
function truncate(v: number): bigint {
  if (Number.isNaN(v) || v <= -(2 ** 63) || v >= 2 ** 63) throw new CelError('integer overflow');
  return BigInt(Math.trunc(v));
}
function parseInteger(text: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) throw new CelError(`cannot convert ${JSON.stringify(text)} to int`);
  return int(BigInt(text.replace(/^\+/, '')));
}
const BOOLS: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

/** %g of Go: exponents below -4 and from 21 on. */
export function formatDouble(v: number): string {
  if (Number.isNaN(v)) return 'NaN';
  if (!Number.isFinite(v)) return v > 0 ? '+Inf' : '-Inf';
  if (Object.is(v, -0)) return '-0';
  const exponent = v === 0 ? 0 : Math.floor(Math.log10(Math.abs(v)));
  const text = exponent < -4 ? v.toExponential() : v.toString();
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}

const decoder = new TextDecoder('utf-8', { fatal: true });
function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new CelError('invalid UTF-8 in bytes, cannot convert to string');
  }
}

const FIELDS: readonly [string, TimeField][] = [
  ['getFullYear', 'fullYear'],
  ['getMonth', 'month'],
  ['getDate', 'date'],
  ['getDayOfMonth', 'dayOfMonth'],
  ['getDayOfWeek', 'dayOfWeek'],
  ['getDayOfYear', 'dayOfYear'],
  ['getHours', 'hours'],
  ['getMinutes', 'minutes'],
  ['getSeconds', 'seconds'],
  ['getMilliseconds', 'milliseconds'],
];
const DURATION_UNITS: Readonly<Record<string, bigint>> = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
  getMilliseconds: 1_000_000n,
};
const timeFunctions = (): Record<string, readonly Overload[]> =>
  Object.fromEntries(
    FIELDS.map(([name, field]) => {
      const unit = DURATION_UNITS[name];
      return [
        name,
        [
          method(`timestamp_${name}`, ['timestamp'], 'int', (t: TimestampValue) => timeField(t, field, 'UTC')),
          method(`timestamp_${name}_tz`, ['timestamp', 'string'], 'int', (t: TimestampValue, z: string) =>
            timeField(t, field, z),
          ),
          ...(unit === undefined
            ? []
            : [
                method(`duration_${name}`, ['duration'], 'int', (d: DurationValue) =>
                  name === 'getMilliseconds' ? (d.nanos / unit) % 1000n : d.nanos / unit,
                ),
              ]),
        ],
      ];
    }),
  );

const sizes = (make: typeof fn): Overload[] => [
  make('size_string', ['string'], 'int', (s: string) => BigInt(stringSize(s))),
  make('size_bytes', ['bytes'], 'int', (b: Uint8Array) => BigInt(b.length)),
  make('size_list', ['list'], 'int', (l: ListValue) => BigInt(l.size)),
  make('size_map', ['map'], 'int', (m: MapValue) => BigInt(m.size)),
];

export const STANDARD: Functions = {
  '_+_': [
    fn('add_int64', ['int', 'int'], 'int', (a: bigint, b: bigint) => int(a + b)),
    fn('add_string', ['string', 'string'], 'string', (a: string, b: string) => a + b),
    fn('add_list', ['list', 'list'], 'list', concatLists),
    fn('add_double', ['double', 'double'], 'double', (a: number, b: number) => a + b),
    fn('add_uint64', ['uint', 'uint'], 'uint', (a: UintValue, b: UintValue) => uint(a.value + b.value)),
    fn('add_bytes', ['bytes', 'bytes'], 'bytes', concatBytes),
    fn(
      'add_duration_duration',
      ['duration', 'duration'],
      'duration',
      (a: DurationValue, b: DurationValue) => new DurationValue(a.nanos + b.nanos),
    ),
    fn(
      'add_timestamp_duration',
      ['timestamp', 'duration'],
      'timestamp',
      (a: TimestampValue, b: DurationValue) => new TimestampValue(a.nanos + b.nanos),
    ),
    fn(
      'add_duration_timestamp',
      ['duration', 'timestamp'],
      'timestamp',
      (a: DurationValue, b: TimestampValue) => new TimestampValue(a.nanos + b.nanos),
    ),
  ],
  '_-_': [
    fn('subtract_int64', ['int', 'int'], 'int', (a: bigint, b: bigint) => int(a - b)),
    fn('subtract_double', ['double', 'double'], 'double', (a: number, b: number) => a - b),
    fn('subtract_uint64', ['uint', 'uint'], 'uint', (a: UintValue, b: UintValue) => uint(a.value - b.value)),
    fn(
      'subtract_duration_duration',
      ['duration', 'duration'],
      'duration',
      (a: DurationValue, b: DurationValue) => new DurationValue(a.nanos - b.nanos),
    ),
    fn(
      'subtract_timestamp_duration',
      ['timestamp', 'duration'],
      'timestamp',
      (a: TimestampValue, b: DurationValue) => new TimestampValue(a.nanos - b.nanos),
    ),
    fn(
      'subtract_timestamp_timestamp',
      ['timestamp', 'timestamp'],
      'duration',
      (a: TimestampValue, b: TimestampValue) => new DurationValue(a.nanos - b.nanos),
    ),
  ],
  '_*_': [
    fn('multiply_int64', ['int', 'int'], 'int', (a: bigint, b: bigint) => int(a * b)),
    fn('multiply_double', ['double', 'double'], 'double', (a: number, b: number) => a * b),
    fn('multiply_uint64', ['uint', 'uint'], 'uint', (a: UintValue, b: UintValue) => uint(a.value * b.value)),
  ],
  '_/_': [
    fn('divide_int64', ['int', 'int'], 'int', (a: bigint, b: bigint) => (divide(b), int(a / b))),
    fn('divide_double', ['double', 'double'], 'double', (a: number, b: number) => a / b),
    fn(
      'divide_uint64',
      ['uint', 'uint'],
      'uint',
      (a: UintValue, b: UintValue) => (divide(b.value), uint(a.value / b.value)),
    ),
  ],
  '_%_': [
    fn('modulo_int64', ['int', 'int'], 'int', (a: bigint, b: bigint) => {
      modulo(b);
      if (a === INT_MIN && b === -1n) throw new CelError('integer overflow');
      return a % b;
    }),
    fn(
      'modulo_uint64',
      ['uint', 'uint'],
      'uint',
      (a: UintValue, b: UintValue) => (modulo(b.value), uint(a.value % b.value)),
    ),
  ],
  '-_': [
    fn('negate_int64', ['int'], 'int', (a: bigint) => int(-a)),
    fn('negate_double', ['double'], 'double', (a: number) => -a),
  ],
  '!_': [fn('logical_not', ['bool'], 'bool', (a: boolean) => !a)],
  '_==_': [fn('equals', ['any', 'any'], 'bool', equals)],
  '_!=_': [fn('not_equals', ['any', 'any'], 'bool', (a: Value, b: Value) => !equals(a, b))],
  '_<_': ordering((c) => c < 0),
  '_<=_': ordering((c) => c <= 0),
  '_>_': ordering((c) => c > 0),
  '_>=_': ordering((c) => c >= 0),
  '@in': [
    fn('in_list', ['any', 'list'], 'bool', (v: Value, l: ListValue) => {
      for (const item of l) if (equals(v, item)) return true;
      return false;
    }),
    fn('in_map', ['any', 'map'], 'bool', (v: Value, m: MapValue) => m.has(v)),
  ],
  size: [...sizes(fn), ...sizes(method)],
  contains: [method('contains_string', ['string', 'string'], 'bool', (s: string, t: string) => s.includes(t))],
  startsWith: [method('starts_with_string', ['string', 'string'], 'bool', (s: string, t: string) => s.startsWith(t))],
  endsWith: [method('ends_with_string', ['string', 'string'], 'bool', (s: string, t: string) => s.endsWith(t))],
  matches: [
    method('matches_string', ['string', 'string'], 'bool', (s: string, p: string) => patternOf(p).matcher(s).find()),
    fn('matches', ['string', 'string'], 'bool', (s: string, p: string) => patternOf(p).matcher(s).find()),
  ],
  ...timeFunctions(),
  int: [
    fn('int64_to_int64', ['int'], 'int', (v: bigint) => v),
    fn('uint64_to_int64', ['uint'], 'int', (v: UintValue) => int(v.value)),
    fn('double_to_int64', ['double'], 'int', truncate),
    fn('string_to_int64', ['string'], 'int', parseInteger),
    fn('timestamp_to_int64', ['timestamp'], 'int', (t: TimestampValue) => {
      const rest = ((t.nanos % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
      return (t.nanos - rest) / 1_000_000_000n;
    }),
    fn('duration_to_int64', ['duration'], 'int', (d: DurationValue) => d.nanos),
  ],
  uint: [
    fn('uint64_to_uint64', ['uint'], 'uint', (v: UintValue) => v),
    fn('int64_to_uint64', ['int'], 'uint', uint),
    fn('double_to_uint64', ['double'], 'uint', (v: number) => {
      if (Number.isNaN(v) || v < 0 || v >= 2 ** 64) throw new CelError('unsigned integer overflow');
      return uint(BigInt(Math.trunc(v)));
    }),
    fn('string_to_uint64', ['string'], 'uint', (s: string) => {
      if (!/^\d+$/.test(s)) throw new CelError(`cannot convert ${JSON.stringify(s)} to uint`);
      return uint(BigInt(s));
    }),
  ],
  double: [
    fn('double_to_double', ['double'], 'double', (v: number) => v),
    fn('int64_to_double', ['int'], 'double', Number),
    fn('uint64_to_double', ['uint'], 'double', (v: UintValue) => Number(v.value)),
    fn('string_to_double', ['string'], 'double', (s: string) => {
      if (/^[+-]?inf(inity)?$/i.test(s)) return s.startsWith('-') ? -Infinity : Infinity;
      if (/^nan$/i.test(s)) return NaN;
      if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(s))
        throw new CelError(`cannot convert ${JSON.stringify(s)} to double`);
      return Number(s);
    }),
  ],
  bool: [
    fn('bool_to_bool', ['bool'], 'bool', (v: boolean) => v),
    fn('string_to_bool', ['string'], 'bool', (s: string) => {
      if (!Object.hasOwn(BOOLS, s)) throw new CelError(`cannot convert ${JSON.stringify(s)} to bool`);
      return BOOLS[s]!;
    }),
  ],
  string: [
    fn('string_to_string', ['string'], 'string', (s: string) => s),
    fn('bool_to_string', ['bool'], 'string', String),
    fn('int64_to_string', ['int'], 'string', String),
    fn('uint64_to_string', ['uint'], 'string', (v: UintValue) => v.value.toString()),
    fn('double_to_string', ['double'], 'string', formatDouble),
    fn('bytes_to_string', ['bytes'], 'string', decode),
    fn('timestamp_to_string', ['timestamp'], 'string', formatTimestamp),
    fn('duration_to_string', ['duration'], 'string', formatDuration),
  ],
  bytes: [
    fn('bytes_to_bytes', ['bytes'], 'bytes', (b: Uint8Array) => b),
    fn('string_to_bytes', ['string'], 'bytes', (s: string) => Uint8Array.from(Buffer.from(s))),
  ],
  duration: [
    fn('duration_to_duration', ['duration'], 'duration', (d: DurationValue) => d),
    fn('string_to_duration', ['string'], 'duration', parseDuration),
    fn('int64_to_duration', ['int'], 'duration', (v: bigint) => new DurationValue(v)),
  ],
  timestamp: [
    fn('timestamp_to_timestamp', ['timestamp'], 'timestamp', (t: TimestampValue) => t),
    fn('string_to_timestamp', ['string'], 'timestamp', parseTimestamp),
    fn('int64_to_timestamp', ['int'], 'timestamp', (v: bigint) => {
      if (v > INT_MAX / 1_000_000_000n || v < INT_MIN) throw new CelError('timestamp overflow');
      return new TimestampValue(v * 1_000_000_000n);
    }),
  ],
  dyn: [fn('to_dyn', ['any'], 'any', (v: Value) => v)],
  type: [fn('type', ['any'], 'type', typeOf)],
  'optional.of': [fn('optional_of', ['any'], 'optional', (v: Value) => new OptionalValue(v))],
  'optional.ofNonZeroValue': [
    fn('optional_ofNonZeroValue', ['any'], 'optional', (v: Value) =>
      isZero(v) ? OptionalValue.NONE : new OptionalValue(v),
    ),
  ],
  'optional.none': [fn('optional_none', [], 'optional', () => OptionalValue.NONE)],
  hasValue: [method('optional_hasValue', ['optional'], 'bool', (o: OptionalValue) => o.value !== undefined)],
  value: [
    method('optional_value', ['optional'], 'any', (o: OptionalValue) => {
      if (o.value === undefined) throw new CelError('optional.none() dereference');
      return o.value;
    }),
  ],
  'optional.unwrap': [fn('optional_unwrap', ['list'], 'list', unwrap)],
  unwrapOpt: [method('optional_unwrapOpt', ['list'], 'list', unwrap)],
};

function unwrap(list: ListValue): ListValue {
  const out: Value[] = [];
  for (const item of list) {
    if (!(item instanceof OptionalValue)) throw noSuchOverload();
    if (item.value !== undefined) out.push(item.value);
  }
  return new ArrayList(out);
}

/** Whether a value is the empty one of its type. */
export function isZero(v: Value): boolean {
  if (v === null || v === false || v === '' || v === 0n || v === 0) return true;
  if (v instanceof UintValue) return v.value === 0n;
  if (v instanceof ListValue || v instanceof MapValue) return v.size === 0;
  if (v instanceof Uint8Array) return v.length === 0;
  if (v instanceof DurationValue || v instanceof TimestampValue) return v.nanos === 0n;
  return v instanceof OptionalValue && v.value === undefined;
}
