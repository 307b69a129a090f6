/** Cron expressions: when they fire next, in any time zone. Pure. */

/** A parsed schedule. */
export interface Schedule {
  /** The first firing after `after`, in milliseconds since the epoch; undefined when there is none within five years. */
  next(after: number): number | undefined;
}

interface Field {
  readonly bits: ReadonlySet<number>;
  /** Written as `*` or `?`: matters for the two day fields. */
  readonly star: boolean;
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const NAMED: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function number(text: string, names: readonly string[], offset: number, min: number, max: number): number {
  const named = names.indexOf(text.toLowerCase());
  const n = named >= 0 ? named + offset : /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (Number.isNaN(n)) throw new Error(`failed to parse number: ${JSON.stringify(text)}`);
  if (n < min) throw new Error(`beginning of range (${n}) below minimum (${min}): ${text}`);
  if (n > max) throw new Error(`end of range (${n}) above maximum (${max}): ${text}`);
  return n;
}

function field(text: string, min: number, max: number, names: readonly string[] = [], offset = 0): Field {
  const bits = new Set<number>();
  let star = false;
  for (const part of text.split(',')) {
    const [range = '', step, more] = part.split('/');
    if (more !== undefined) throw new Error(`too many slashes: ${part}`);
    let first = min;
    let last = max;
    if (range === '*' || range === '?') star ||= step === undefined || step === '1';
    else {
      const [a = '', b, rest] = range.split('-');
      if (rest !== undefined) throw new Error(`too many hyphens: ${part}`);
      first = number(a, names, offset, min, max);
      if (b !== undefined) last = number(b, names, offset, min, max);
      else last = step === undefined ? first : max;
    }
    const by = step === undefined ? 1 : Number(/^[0-9]+$/.test(step) ? step : NaN);
    if (!(by > 0)) throw new Error(`step of range should be a positive number: ${part}`);
    if (first > last) throw new Error(`beginning of range (${first}) beyond end of range (${last}): ${part}`);
    for (let i = first; i <= last; i += by) bits.add(i);
  }
  return { bits, star };
}

/** Local calendar fields of an instant. */
interface Local {
  month: number;
  day: number;
  weekday: number;
  hour: number;
  minute: number;
}

/** Reads instants in a time zone. @throws RangeError for a zone that does not exist. */
function calendar(timeZone: string): (ms: number) => Local {
  if (timeZone === 'UTC') {
    return (ms) => {
      const d = new Date(ms);
      return {
        month: d.getUTCMonth() + 1,
        day: d.getUTCDate(),
        weekday: d.getUTCDay(),
        hour: d.getUTCHours(),
        minute: d.getUTCMinutes(),
      };
    };
  }
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    month: 'numeric',
    day: 'numeric',
    weekday: 'short',
    hour: 'numeric',
    minute: 'numeric',
  });
  return (ms) => {
    const out: Local = { month: 0, day: 0, weekday: 0, hour: 0, minute: 0 };
    for (const { type, value } of format.formatToParts(ms)) {
      if (type === 'weekday') out.weekday = DAYS.indexOf(value.toLowerCase());
      else if (type === 'month' || type === 'day' || type === 'hour' || type === 'minute') out[type] = Number(value);
    }
    return out;
  };
}

/** Whether the runtime knows the zone. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return name !== '' && name.toLowerCase() !== 'local';
  } catch {
    return false;
  }
}

function parseEvery(text: string): Schedule {
  let ms = 0;
  const units: Record<string, number> = { h: HOUR, m: MINUTE, s: 1000, ms: 1 };
  if (!/^([0-9]+(\.[0-9]+)?(h|ms|m|s))+$/.test(text)) throw new Error(`failed to parse duration @every ${text}`);
  for (const [, n, , u] of text.matchAll(/([0-9]+(\.[0-9]+)?)(h|ms|m|s)/g)) ms += Number(n) * units[u!]!;
  const seconds = Math.max(Math.floor(ms / 1000), 1);
  return { next: (after) => Math.floor(after / 1000) * 1000 + seconds * 1000 };
}

/**
 * Parses five fields, `@daily` and the like, or `@every 5m`; `TZ=Zone ` in front names a time zone.
 * @throws Error that says what is wrong.
 */
export function parseSchedule(text: string, timeZone = 'UTC'): Schedule {
  let rest = text.trim();
  const zone = /^(?:CRON_)?TZ=(\S+)\s+(.*)$/.exec(rest);
  if (zone) {
    timeZone = zone[1]!;
    rest = zone[2]!;
  }
  if (rest.startsWith('@every ')) return parseEvery(rest.slice('@every '.length).trim());
  if (rest.startsWith('@')) {
    const named = NAMED[rest];
    if (!named) throw new Error(`unrecognized descriptor: ${rest}`);
    rest = named;
  }
  const parts = rest.split(/\s+/);
  if (parts.length !== 5) throw new Error(`expected exactly 5 fields, found ${parts.length}: [${parts.join(' ')}]`);
  const minute = field(parts[0]!, 0, 59);
  const hour = field(parts[1]!, 0, 23);
  const day = field(parts[2]!, 1, 31);
  const month = field(parts[3]!, 1, 12, MONTHS, 1);
  const weekday = field(parts[4]!, 0, 6, DAYS, 0);
  const at = calendar(timeZone);
  const dayFits = (l: Local) => {
    const a = day.bits.has(l.day);
    const b = weekday.bits.has(l.weekday);
    return day.star || weekday.star ? a && b : a || b;
  };
  return {
    next(after) {
      // Steps through real time, so that hours which a zone skips are skipped and those it repeats come twice.
      let t = Math.floor(after / MINUTE) * MINUTE + MINUTE;
      const end = t + 5 * 366 * 24 * HOUR;
      while (t < end) {
        const l = at(t);
        if (!month.bits.has(l.month) || !dayFits(l)) t = nextMidnight(t, l, at);
        else if (!hour.bits.has(l.hour)) t += (60 - l.minute) * MINUTE;
        else if (!minute.bits.has(l.minute)) t += MINUTE;
        else return t;
      }
      return undefined;
    },
  };
}

/** The beginning of the next local day, also where a day has 23 or 25 hours. */
function nextMidnight(t: number, l: Local, at: (ms: number) => Local): number {
  let next = t + (24 - l.hour) * HOUR - l.minute * MINUTE;
  const there = at(next);
  if (there.hour === 23) next += HOUR;
  else if (there.hour === 1 && at(next - HOUR).day === there.day) next -= HOUR;
  return next;
}

export interface Missed {
  /** The latest firing that is due; undefined when none is. */
  due?: number;
  /** More than a hundred firings were missed. */
  tooMany: boolean;
  /** From when on firings were looked for. */
  earliest: number;
}

/** The most recent firing between `earliest` and `now`. */
export function mostRecent(schedule: Schedule, earliest: number, now: number): Missed {
  const t1 = schedule.next(earliest);
  if (t1 === undefined || now < t1) return { tooMany: false, earliest };
  const t2 = schedule.next(t1);
  if (t2 === undefined || now < t2) return { due: t1, tooMany: false, earliest };
  const between = t2 - t1;
  const missed = Math.floor((now - t1) / between) + 1;
  // Near the end first: walking through all that was missed may take for ever.
  let due: number | undefined;
  for (let t = schedule.next(t1 + (missed - 2) * between); t !== undefined && t <= now; t = schedule.next(t)) due = t;
  return { due, tooMany: missed > 100, earliest };
}
