/** Durations and timestamps as text, as Go writes and reads them. */
import { CelError, DurationValue, TimestampValue } from './values.ts';

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** `1h30m`, `-1.5s`. Throws CelError. */
export function parseDuration(text: string): DurationValue {
  const bad = () => new CelError(`invalid duration: ${JSON.stringify(text)}`);
  const sign = /^[+-]/.test(text) ? text[0] : '';
  let rest = text.slice(sign!.length);
  if (rest === '0') return new DurationValue(0n);
  if (rest === '') throw bad();
  let nanos = 0n;
  while (rest !== '') {
    const m = /^(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/.exec(rest);
    if (m === null || (m[1] === '' && !m[2])) throw bad();
    const unit = UNITS[m[3]!]!;
    nanos += BigInt(m[1] || '0') * unit;
    const fraction = (m[2] ?? '').slice(0, 18);
    if (fraction !== '') nanos += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
    rest = rest.slice(m[0].length);
  }
  return new DurationValue(sign === '-' ? -nanos : nanos);
}

/** Seconds with as many digits as need be: `5400s`. */
export function formatDuration({ nanos }: DurationValue): string {
  const negative = nanos < 0n;
  const n = negative ? -nanos : nanos;
  const fraction = (n % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${negative ? '-' : ''}${n / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}s`;
}

const RFC3339 = /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339. Throws CelError. */
export function parseTimestamp(text: string): TimestampValue {
  const m = RFC3339.exec(text);
  const ms = m === null ? NaN : Date.parse(`${m[1]}T${m[2]}${m[4]!.toUpperCase()}`);
  // Date.parse takes the 31st of a short month for the next month's first day.
  if (m === null || Number.isNaN(ms) || new Date(`${m[1]}T00:00:00Z`).toISOString().slice(0, 10) !== m[1]) {
    throw new CelError(`invalid timestamp: ${JSON.stringify(text)}`);
  }
  const fraction = BigInt((m[3] ?? '').padEnd(9, '0'));
  return new TimestampValue(BigInt(ms) * 1_000_000n + fraction);
}

/** Milliseconds, rounded down. */
const millisOf = ({ nanos }: TimestampValue): number =>
  Number((nanos - (((nanos % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n);

/** RFC 3339 in UTC, with as many decimals as it takes. */
export function formatTimestamp(value: TimestampValue): string {
  const second = 1_000_000_000n;
  const rest = ((value.nanos % second) + second) % second;
  const fraction = rest.toString().padStart(9, '0').replace(/0+$/, '');
  const base = new Date(Number((value.nanos - rest) / 1_000_000n)).toISOString().slice(0, 19);
  return `${base}${fraction === '' ? '' : `.${fraction}`}Z`;
}

export type TimeField =
  | 'fullYear'
  | 'month'
  | 'date'
  | 'dayOfMonth'
  | 'dayOfWeek'
  | 'dayOfYear'
  | 'hours'
  | 'minutes'
  | 'seconds'
  | 'milliseconds';

/** A part of a timestamp in a time zone (a name, or an offset such as `+02:00`). Throws CelError for unknown zones. */
export function timeField(value: TimestampValue, field: TimeField, zone: string): bigint {
  const ms = millisOf(value);
  const local = new Date(ms + offsetMillis(ms, zone));
  const year = local.getUTCFullYear();
  switch (field) {
    case 'fullYear':
      return BigInt(year);
    case 'month':
      return BigInt(local.getUTCMonth());
    case 'date':
      return BigInt(local.getUTCDate());
    case 'dayOfMonth':
      return BigInt(local.getUTCDate() - 1);
    case 'dayOfWeek':
      return BigInt(local.getUTCDay());
    case 'dayOfYear':
      return BigInt(Math.floor((local.getTime() - Date.UTC(year, 0, 1)) / 86_400_000));
    case 'hours':
      return BigInt(local.getUTCHours());
    case 'minutes':
      return BigInt(local.getUTCMinutes());
    case 'seconds':
      return BigInt(local.getUTCSeconds());
    case 'milliseconds':
      return BigInt(local.getUTCMilliseconds());
  }
}

function offsetMillis(ms: number, zone: string): number {
  if (zone === 'UTC' || zone === '' || zone === 'Z') return 0;
  const fixed = /^([+-]?)(\d{1,2}):(\d{2})$/.exec(zone);
  if (fixed !== null) return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000;
  let parts: Intl.DateTimeFormatPart[];
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    parts = format.formatToParts(new Date(ms));
  } catch {
    throw new CelError(`unknown time zone ${zone}`);
  }
  const get = (type: string) => Number(parts.find((p) => p.type === type)!.value);
  const local = Date.UTC(get('year'), get('month') - 1, get('day'), get('hour'), get('minute'), get('second'));
  return local - Math.floor(ms / 1000) * 1000;
}
