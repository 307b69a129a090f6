/** cel-go's string extension (version 2), and kube-apiserver's find and findAll. */
import { type Functions, fn, method } from '../functions.ts';
import { patternOf } from '../regex.ts';
import { formatDouble } from '../standard.ts';
import { formatDuration, formatTimestamp } from '../times.ts';
import {
  ArrayList,
  CelError,
  codePoints,
  compareStrings,
  DurationValue,
  ListValue,
  MapValue,
  noSuchOverload,
  stringSize,
  TimestampValue,
  TypeValue,
  UintValue,
  type Value,
} from '../values.ts';

const lower = (s: string) => s.replace(/[A-Z]/g, (c) => c.toLowerCase());
const upper = (s: string) => s.replace(/[a-z]/g, (c) => c.toUpperCase());
const list = (items: readonly string[]) => new ArrayList(items);

function indexOf(s: string, part: string, from: bigint): bigint {
  const chars = codePoints(s);
  const at = Number(from);
  if (at < 0 || at > chars.length) throw new CelError(`index out of range: ${at}`);
  if (part === '') return from;
  const prefix = chars.slice(0, at).join('');
  const found = s.indexOf(part, prefix.length);
  return found < 0 ? -1n : BigInt(stringSize(s.slice(0, found)));
}
function lastIndexOf(s: string, part: string, before: bigint): bigint {
  const chars = codePoints(s);
  const at = Number(before);
  if (at < 0 || at > chars.length) throw new CelError(`index out of range: ${at}`);
  if (part === '') return before;
  const found = s.lastIndexOf(part, chars.slice(0, at).join('').length);
  return found < 0 ? -1n : BigInt(stringSize(s.slice(0, found)));
}
function substring(s: string, from: bigint, to?: bigint): string {
  const chars = codePoints(s);
  const start = Number(from);
  const end = to === undefined ? chars.length : Number(to);
  if (start < 0 || start > chars.length) throw new CelError(`index out of range: ${start}`);
  if (end < 0 || end > chars.length) throw new CelError(`index out of range: ${end}`);
  if (start > end) throw new CelError(`invalid substring range. start: ${start}, end: ${end}`);
  return chars.slice(start, end).join('');
}
function replace(s: string, old: string, by: string, n: bigint): string {
  if (n < 0n) return s.split(old).join(by);
  let left = Number(n);
  let out = '';
  let rest = s;
  while (left-- > 0) {
    const at = rest.indexOf(old);
    if (at < 0) break;
    out += rest.slice(0, at) + by;
    rest = rest.slice(at + old.length);
    if (old === '') {
      if (rest === '') break;
      const [first] = codePoints(rest);
      out += first!;
      rest = rest.slice(first!.length);
    }
  }
  return out + rest;
}
function split(s: string, by: string, n: bigint): ListValue {
  const parts = by === '' ? codePoints(s) : s.split(by);
  if (n === 0n) return list([]);
  if (n < 0n || parts.length <= Number(n)) return list(parts);
  return list([...parts.slice(0, Number(n) - 1), parts.slice(Number(n) - 1).join(by)]);
}
function join(items: ListValue, by: string): string {
  const parts: string[] = [];
  for (const item of items) {
    if (typeof item !== 'string') throw noSuchOverload();
    parts.push(item);
  }
  return parts.join(by);
}
function findAll(s: string, pattern: string, n: bigint): ListValue {
  const matcher = patternOf(pattern).matcher(s);
  const out: string[] = [];
  while ((n < 0n || out.length < Number(n)) && matcher.find()) out.push(matcher.group() ?? '');
  return list(out);
}

const SPACE = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
/** Drops what Go takes for white space, in one pass from either end. */
function trim(s: string): string {
  let from = 0;
  let to = s.length;
  while (from < to && SPACE.test(s[from]!)) from++;
  while (to > from && SPACE.test(s[to - 1]!)) to--;
  return s.slice(from, to);
}

/** Digits after the point, ties to even as in Go. */
function fixed(n: number, places: number): string {
  const scaled = n * 10 ** places;
  if (places > 15 || Math.abs(scaled % 1) !== 0.5) return n.toFixed(places);
  return ((Math.round(scaled / 2) * 2) / 10 ** places).toFixed(places);
}

/** `"%s is %d".format([...])` */
function format(text: string, args: ListValue): string {
  let next = 0;
  return text.replace(/%(?:(%)|(?:\.(\d+))?([a-zA-Z])?)/g, (all, percent?: string, digits?: string, verb?: string) => {
    if (percent !== undefined) return '%';
    if (next >= args.size) throw new CelError(`index ${next} out of range`);
    const arg = args.get(next++);
    switch (verb ?? '') {
      case 's':
        return showInText(arg);
      case 'd':
        if (typeof arg === 'bigint') return arg.toString();
        if (arg instanceof UintValue) return arg.value.toString();
        if (typeof arg === 'number' && !Number.isFinite(arg)) return showInText(arg);
        break;
      case 'f':
      case 'e': {
        const n = typeof arg === 'bigint' ? Number(arg) : arg instanceof UintValue ? Number(arg.value) : arg;
        if (typeof n !== 'number') break;
        if (!Number.isFinite(n)) return Number.isNaN(n) ? 'NaN' : n > 0 ? 'Infinity' : '-Infinity';
        const places = digits === undefined ? 6 : Number(digits);
        if (places > 100) break;
        return verb === 'f' ? fixed(n, places) : n.toExponential(places).replace(/e([+-])(\d)$/, 'e$10$2');
      }
      case 'b':
        if (typeof arg === 'boolean') return arg ? '1' : '0';
        if (typeof arg === 'bigint') return arg.toString(2);
        if (arg instanceof UintValue) return arg.value.toString(2);
        break;
      case 'o':
        if (typeof arg === 'bigint') return arg.toString(8);
        if (arg instanceof UintValue) return arg.value.toString(8);
        break;
      case 'x':
      case 'X': {
        const hex =
          typeof arg === 'bigint'
            ? arg.toString(16)
            : arg instanceof UintValue
              ? arg.value.toString(16)
              : typeof arg === 'string' || arg instanceof Uint8Array
                ? Buffer.from(arg).toString('hex')
                : undefined;
        if (hex === undefined) break;
        return verb === 'x' ? hex : hex.toUpperCase();
      }
    }
    throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${all}"`);
  });
}

function showInText(v: Value): string {
  if (v === null) return 'null';
  if (typeof v === 'string') return v;
  if (typeof v === 'number')
    return Number.isNaN(v) ? 'NaN' : v === Infinity ? 'Infinity' : v === -Infinity ? '-Infinity' : formatDouble(v);
  if (typeof v === 'bigint' || typeof v === 'boolean') return String(v);
  if (v instanceof UintValue) return v.value.toString();
  if (v instanceof Uint8Array) return Buffer.from(v).toString('utf8');
  if (v instanceof TimestampValue) return formatTimestamp(v);
  if (v instanceof DurationValue) return formatDuration(v);
  if (v instanceof TypeValue) return v.name;
  if (v instanceof ListValue) return `[${[...v].map(showInText).join(', ')}]`;
  if (v instanceof MapValue) {
    const parts = [...v.keys()].map((k) => `${showInText(k)}: ${showInText(v.get(k)!)}`);
    return `{${parts.sort(compareStrings).join(', ')}}`;
  }
  throw new CelError(
    'string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
  );
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};
// oxlint-disable-next-line no-control-regex
const quote = (s: string): string => `"${s.replace(/[\x07\b\f\n\r\t\v\\"]/g, (c) => ESCAPES[c]!)}"`;

export const STRINGS: Functions = {
  charAt: [
    method('string_char_at_int', ['string', 'int'], 'string', (s: string, i: bigint) => {
      const chars = codePoints(s);
      if (i < 0n || i > BigInt(chars.length)) throw new CelError(`index out of range: ${i}`);
      return chars[Number(i)] ?? '';
    }),
  ],
  indexOf: [
    method('string_index_of_string', ['string', 'string'], 'int', (s: string, p: string) => indexOf(s, p, 0n)),
    method('string_index_of_string_int', ['string', 'string', 'int'], 'int', indexOf),
  ],
  lastIndexOf: [
    method('string_last_index_of_string', ['string', 'string'], 'int', (s: string, p: string) =>
      lastIndexOf(s, p, BigInt(stringSize(s))),
    ),
    method('string_last_index_of_string_int', ['string', 'string', 'int'], 'int', lastIndexOf),
  ],
  lowerAscii: [method('string_lower_ascii', ['string'], 'string', lower)],
  upperAscii: [method('string_upper_ascii', ['string'], 'string', upper)],
  replace: [
    method(
      'string_replace_string_string',
      ['string', 'string', 'string'],
      'string',
      (s: string, a: string, b: string) => replace(s, a, b, -1n),
    ),
    method('string_replace_string_string_int', ['string', 'string', 'string', 'int'], 'string', replace),
  ],
  split: [
    method('string_split_string', ['string', 'string'], 'list', (s: string, by: string) => split(s, by, -1n)),
    method('string_split_string_int', ['string', 'string', 'int'], 'list', split),
  ],
  join: [
    method('list_join', ['list'], 'string', (l: ListValue) => join(l, '')),
    method('list_join_string', ['list', 'string'], 'string', join),
  ],
  substring: [
    method('string_substring_int', ['string', 'int'], 'string', substring),
    method('string_substring_int_int', ['string', 'int', 'int'], 'string', substring),
  ],
  trim: [method('string_trim', ['string'], 'string', trim)],
  format: [method('string_format', ['string', 'list'], 'string', format)],
  'strings.quote': [fn('strings_quote', ['string'], 'string', quote)],
  find: [
    method('string_find_string', ['string', 'string'], 'string', (s: string, p: string) => {
      const matcher = patternOf(p).matcher(s);
      return matcher.find() ? (matcher.group() ?? '') : '';
    }),
  ],
  findAll: [
    method('string_find_all_string', ['string', 'string'], 'list', (s: string, p: string) => findAll(s, p, -1n)),
    method('string_find_all_string_int', ['string', 'string', 'int'], 'list', findAll),
  ],
  'jsonpatch.escapeKey': [
    fn('string_jsonpatch_escapeKey_string', ['string'], 'string', (s: string) =>
      s.replaceAll('~', '~0').replaceAll('/', '~1'),
    ),
  ],
};
