/** Resource quantities as the plain numbers that a node agent counts with. */
import { Quantity } from '../api/quantity.ts';
import type { DeepReadonly } from '../api/types.ts';

/** A quantity's value; 0 when absent, NaN when it is none. */
export function parseQuantity(text: string | number | undefined): number {
  if (text === undefined) return 0;
  if (typeof text === 'number') return text;
  return Quantity.tryParse(text)?.asNumber() ?? NaN;
}

const counted = (text: string | undefined, count: (q: Quantity) => bigint): number => {
  if (text === undefined) return 0;
  const q = Quantity.tryParse(text);
  return q ? Number(count(q)) : NaN;
};

/** CPU in thousandths, rounded up. */
export const milliCpu = (text: string | undefined): number => counted(text, (q) => q.asMilli());
/** A whole value (bytes, counts), rounded up. */
export const wholeValue = (text: string | undefined): number => counted(text, (q) => q.asInteger());

/** Thousandths of CPU in the canonical form: "250m", "2". */
export const formatMilli = (m: number): string => Quantity.fromMilli(m).toString();
/** Bytes in the canonical binary form: "512Mi", "1536Ki", "1500". */
export const formatBytes = (n: number): string => Quantity.fromInteger(n, 'BinarySI').toString();

export type ResourceList = DeepReadonly<Record<string, string>>;
