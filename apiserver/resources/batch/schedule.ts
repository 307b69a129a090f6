/** Cron schedules: five fields or `@daily` and the like. https://en.wikipedia.org/wiki/Cron */

interface Bounds {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
}
const FIELDS: readonly Bounds[] = [
  { name: 'minute', min: 0, max: 59 },
  { name: 'hour', min: 0, max: 23 },
  { name: 'day of month', min: 1, max: 31 },
  {
    name: 'month',
    min: 1,
    max: 12,
    names: ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  { name: 'day of week', min: 0, max: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];
const DESCRIPTORS = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

/** What is wrong with a schedule; undefined when it is fine. */
export function scheduleError(schedule: string): string | undefined {
  let text = schedule;
  const zone = /^(?:CRON_)?TZ=(\S*)\s*(.*)$/.exec(text);
  if (zone) {
    if (!isTimeZone(zone[1]!)) return `provided bad location ${zone[1]}`;
    text = zone[2]!.trim();
  }
  if (text.startsWith('@')) {
    if (DESCRIPTORS.includes(text)) return undefined;
    if (/^@every (\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
    return `unrecognized descriptor: ${text}`;
  }
  const fields = text
    .trim()
    .split(/\s+/)
    .filter((p) => p !== '');
  if (fields.length !== FIELDS.length)
    return `expected exactly ${FIELDS.length} fields, found ${fields.length}: [${fields.join(' ')}]`;
  for (const [i, f] of fields.entries()) {
    for (const part of f.split(',').filter((p) => p !== '')) {
      const error = rangeError(part, FIELDS[i]!);
      if (error) return error;
    }
  }
  return undefined;
}

function rangeError(part: string, bounds: Bounds): string | undefined {
  const [range = '', ...steps] = part.split('/');
  if (steps.length > 1) return `too many slashes: ${part}`;
  const ends = range.split('-');
  if (ends.length > 2) return `too many hyphens: ${part}`;
  let from = bounds.min;
  let to = bounds.max;
  if (ends[0] !== '*' && ends[0] !== '?') {
    const numbers = ends.map((e) => readNumber(e, bounds));
    if (numbers.some((n) => n === undefined)) return `failed to parse int from ${range}`;
    from = numbers[0]!;
    to = ends.length === 2 ? numbers[1]! : steps.length === 1 ? bounds.max : from;
  }
  if (steps.length === 1 && !/^\d+$/.test(steps[0]!)) return `failed to parse int from ${steps[0]}`;
  if (from < bounds.min) return `beginning of range (${from}) below minimum (${bounds.min}): ${part}`;
  if (to > bounds.max) return `end of range (${to}) above maximum (${bounds.max}): ${part}`;
  if (from > to) return `beginning of range (${from}) beyond end of range (${to}): ${part}`;
  if (steps.length === 1 && Number(steps[0]) === 0) return `step of range should be a positive number: ${part}`;
  return undefined;
}

function readNumber(text: string, bounds: Bounds): number | undefined {
  const named = bounds.names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0 && text !== '') return named;
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Whether the text names a time zone that this machine knows; letter case counts. */
export function isTimeZone(name: string): boolean {
  if (name === 'UTC' || name === '') return true;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return !/^[+-]/.test(name) && (name.toUpperCase() === name || /[a-z]/.test(name)) && name !== name.toLowerCase();
  } catch {
    return false;
  }
}
