/** Decoders of values without fields, as Go's unmarshallers take them. null is the business of the caller. */
import { encodeJson } from '../codec/json.ts';
import { canonicalQuantity, QuantityError } from '../quantity.ts';
import { formatDuration, formatMicros, formatSeconds, parseDuration, parseRfc3339 } from '../time.ts';
import type { JsonValue } from '../types.ts';
import type { ScalarForm } from './model.ts';

/** A value of the wrong type or form. Becomes a DecodeError once the path is known. */
export class Mismatch extends Error {
  /** What stands in the text: `string`, `number 1.5`, `object`; undefined when `message` is complete. */
  readonly found: string | undefined;
  /** Go's name of the type that was wanted. */
  readonly wanted: string;
  constructor(found: string | undefined, wanted: string, message = '') {
    super(message);
    this.found = found;
    this.wanted = wanted;
  }
}

/** Go's word for the JSON type of a value. */
export function jsonTypeOf(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'number';
    default:
      return typeof value;
  }
}

const wrong = (value: JsonValue, wanted: string) => new Mismatch(jsonTypeOf(value), wanted);

function integer(value: JsonValue, wanted: 'int32' | 'int64'): number | bigint {
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || (wanted === 'int32' && (value > 2_147_483_647 || value < -2_147_483_648)))
      throw new Mismatch(`number ${value}`, wanted);
    // A double beyond the safe range was an integer too long for int64, or was written with a fraction.
    if (!Number.isSafeInteger(value)) throw new Mismatch(`number ${value}`, wanted);
    return value;
  }
  if (typeof value === 'bigint') {
    if (wanted === 'int32' || value > 9_223_372_036_854_775_807n || value < -9_223_372_036_854_775_808n)
      throw new Mismatch(`number ${value}`, wanted);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  throw wrong(value, wanted);
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Standard base64 with padding; line breaks in it are ignored, as Go does. */
function base64(value: JsonValue): string {
  if (typeof value !== 'string') {
    if (Array.isArray(value) && value.every((v) => typeof v === 'number' && Number.isInteger(v) && v >= 0 && v < 256))
      return Buffer.from(value as number[]).toString('base64');
    throw wrong(value, '[]uint8');
  }
  const text = /[\r\n]/.test(value) ? value.replace(/[\r\n]/g, '') : value;
  if (text.length % 4 !== 0 || !BASE64.test(text)) {
    const bad = text.search(/[^A-Za-z0-9+/]/);
    const at = bad >= 0 && !/^={0,2}$/.test(text.slice(bad)) ? bad : bad >= 0 ? bad : text.length - (text.length % 4);
    throw new Mismatch(undefined, '', `illegal base64 data at input byte ${at}`);
  }
  return text;
}

function quantity(value: JsonValue): string {
  try {
    if (typeof value === 'string' || typeof value === 'number') return canonicalQuantity(value);
    if (typeof value === 'bigint') return canonicalQuantity(value.toString());
    return canonicalQuantity(encodeJson(value));
  } catch (e) {
    if (e instanceof QuantityError) throw new Mismatch(undefined, '', e.message);
    throw e;
  }
}

function instant(value: JsonValue, micro: boolean): string | null {
  if (typeof value !== 'string') throw new Mismatch(jsonTypeOf(value), 'string');
  const t = parseRfc3339(value);
  if (!t || (micro && !/\.\d{6}(Z|[+-])/.test(value))) {
    const layout = micro ? '2006-01-02T15:04:05.000000Z07:00' : '2006-01-02T15:04:05Z07:00';
    throw new Mismatch(
      undefined,
      '',
      `parsing time ${JSON.stringify(value)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(value)} as "2006"`,
    );
  }
  // Year one is Go's zero time.
  if (t.seconds === -62_135_596_800 && t.nanos === 0) return null;
  if (micro) return formatMicros(t);
  return value.length === 20 && value.charCodeAt(19) === 0x5a ? value : formatSeconds(t.seconds);
}

function duration(value: JsonValue): string {
  if (typeof value !== 'string') throw wrong(value, 'string');
  const nanos = parseDuration(value);
  if (nanos === undefined) throw new Mismatch(undefined, '', `time: invalid duration ${JSON.stringify(value)}`);
  return formatDuration(nanos);
}

/** Reads a value that isn't null. Throws Mismatch. */
export type ScalarDecoder = (value: JsonValue) => JsonValue;

export const SCALAR_DECODERS: Readonly<Record<ScalarForm, ScalarDecoder>> = {
  string: (v) => {
    if (typeof v !== 'string') throw wrong(v, 'string');
    return v;
  },
  bool: (v) => {
    if (typeof v !== 'boolean') throw wrong(v, 'bool');
    return v;
  },
  int32: (v) => integer(v, 'int32'),
  int64: (v) => integer(v, 'int64'),
  float64: (v) => {
    if (typeof v === 'bigint') return Number(v);
    if (typeof v !== 'number') throw wrong(v, 'float64');
    return v;
  },
  bytes: base64,
  quantity,
  time: (v) => instant(v, false),
  microtime: (v) => instant(v, true),
  duration,
  intOrString: (v) => (typeof v === 'string' ? v : integer(v, 'int32')),
  raw: (v) => v,
  fieldsV1: (v) => v,
  any: (v) => v,
};

/** What Go writes for an unset value that isn't a pointer. */
export const ZERO: Readonly<Record<ScalarForm, JsonValue>> = {
  string: '',
  bool: false,
  int32: 0,
  int64: 0,
  float64: 0,
  bytes: null,
  quantity: '0',
  time: null,
  microtime: null,
  duration: '0s',
  intOrString: 0,
  raw: null,
  fieldsV1: null,
  any: null,
};

/** Forms that are structs in Go: never empty for omitempty. */
export const IS_STRUCT: ReadonlySet<ScalarForm> = new Set<ScalarForm>([
  'quantity',
  'time',
  'microtime',
  'duration',
  'intOrString',
  'raw',
  'fieldsV1',
]);
