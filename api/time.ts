/** Texts of metav1.Time, MicroTime and Duration. */

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/;
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Seconds and nanoseconds since the epoch. */
export interface Instant {
  seconds: number;
  nanos: number;
}

/** Reads an RFC 3339 text as Go's time.Parse does; undefined when it is none. */
export function parseRfc3339(text: string): Instant | undefined {
  const m = RFC3339.exec(text);
  if (!m) return undefined;
  const year = Number(m[1]);
  const month = Number(m[2]);
  const day = Number(m[3]);
  const [hour, minute, second] = [Number(m[4]), Number(m[5]), Number(m[6])];
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (day > DAYS[month - 1]! + (leap && month === 2 ? 1 : 0)) return undefined;
  let offset = 0;
  const zone = m[8]!;
  if (zone !== 'Z') {
    const h = Number(zone.slice(1, 3));
    const min = Number(zone.slice(4));
    if (h > 24 || min > 60) return undefined;
    offset = (zone[0] === '-' ? -1 : 1) * (h * 3600 + min * 60);
  }
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const fraction = m[7] === undefined ? 0 : Number(m[7].slice(0, 9).padEnd(9, '0'));
  return { seconds: date.getTime() / 1000 - offset, nanos: fraction };
}

/** RFC 3339 in UTC with whole seconds. */
export function formatSeconds(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString();
  return `${text.slice(0, text.indexOf('.'))}Z`;
}

/** RFC 3339 in UTC with six decimals; `nanos` are cut to microseconds. */
export function formatMicros(t: Instant): string {
  return `${formatSeconds(t.seconds).slice(0, -1)}.${String(Math.floor(t.nanos / 1000)).padStart(6, '0')}Z`;
}

const UNIT_NANOS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);
const DURATION_PART = /([0-9]*)(?:\.([0-9]*))?([a-zµμ]+)/y;

/** Reads Go's duration text (`1h2m3.5s`) into nanoseconds; undefined when it is none. */
export function parseDuration(text: string): bigint | undefined {
  let at = text[0] === '-' || text[0] === '+' ? 1 : 0;
  if (text.slice(at) === '0') return 0n;
  if (at === text.length) return undefined;
  let total = 0n;
  while (at < text.length) {
    DURATION_PART.lastIndex = at;
    const m = DURATION_PART.exec(text);
    const unit = m ? UNIT_NANOS.get(m[3]!) : undefined;
    if (!m || unit === undefined || (m[1] === '' && (m[2] ?? '') === '')) return undefined;
    total += BigInt(m[1] === '' ? 0 : m[1]!) * unit;
    const fraction = m[2] ?? '';
    if (fraction !== '') total += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
    at = DURATION_PART.lastIndex;
  }
  if (total > 9_223_372_036_854_775_807n) return undefined;
  return text[0] === '-' ? -total : total;
}

/** Go's text of a duration: `1h0m0s`, `1.5s`, `250ms`, `0s`. */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return '0s';
  const sign = nanos < 0n ? '-' : '';
  const size = nanos < 0n ? -nanos : nanos;
  const decimal = (value: bigint, unit: bigint) => {
    const rest = value % unit;
    const digits = String(unit).length - 1;
    return rest === 0n ? `${value / unit}` : `${value / unit}.${String(rest).padStart(digits, '0').replace(/0+$/, '')}`;
  };
  if (size < 1_000n) return `${sign}${size}ns`;
  if (size < 1_000_000n) return `${sign}${decimal(size, 1_000n)}µs`;
  if (size < 1_000_000_000n) return `${sign}${decimal(size, 1_000_000n)}ms`;
  const seconds = decimal(size % 60_000_000_000n, 1_000_000_000n);
  const minutes = size / 60_000_000_000n;
  if (minutes === 0n) return `${sign}${seconds}s`;
  return minutes < 60n ? `${sign}${minutes}m${seconds}s` : `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}s`;
}
