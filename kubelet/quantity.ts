/** Reading resource quantities as numbers, as far as a node agent needs them. */
import type { DeepReadonly } from '../api/types.ts';

const FACTORS: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
  Ei: 1024 ** 6,
};
const FORM = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?)$/;

/** A quantity's value; NaN when it is none. */
export function parseQuantity(text: string | number | undefined): number {
  if (text === undefined) return 0;
  if (typeof text === 'number') return text;
  const m = FORM.exec(text);
  if (!m) return NaN;
  return m[2] ? Number(m[1]! + m[2]) : Number(m[1]) * FACTORS[m[3] ?? '']!;
}

/** CPU in thousandths, rounded up. */
export const milliCpu = (text: string | undefined): number => Math.ceil(round(parseQuantity(text) * 1000));
/** A whole value (bytes, counts), rounded up. */
export const wholeValue = (text: string | undefined): number => Math.ceil(round(parseQuantity(text)));

/** Takes away what binary fractions add: 0.1 * 3 is 0.3. */
function round(n: number): number {
  return Math.round(n * 1e6) / 1e6;
}

/** Thousandths of CPU in the canonical form: "250m", "2". */
export function formatMilli(m: number): string {
  return m % 1000 === 0 ? String(m / 1000) : `${m}m`;
}

/** Bytes in the canonical binary form: "512Mi", "1536Ki", "1000". */
export function formatBytes(n: number): string {
  if (n === 0) return '0';
  let suffix = '';
  for (const next of ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']) {
    if (n % 1024 !== 0) break;
    n /= 1024;
    suffix = next;
  }
  return `${n}${suffix}`;
}

export type ResourceList = DeepReadonly<Record<string, string>>;
