/** Short, stable hashes of templates for labels and names. */
import { saysNothing } from './meta.ts';

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

/** JSON with sorted keys and without empty values, so that equal templates give equal text. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object')
    return typeof value === 'bigint' ? value.toString() : JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const parts: string[] = [];
  for (const k of Object.keys(value).toSorted()) {
    const v = (value as Record<string, unknown>)[k];
    if (saysNothing(k, v)) continue;
    parts.push(`${JSON.stringify(k)}:${canonicalJson(v)}`);
  }
  return `{${parts.join(',')}}`;
}

/** FNV-1a, 32 bits. */
export function fnv32a(text: string): number {
  let h = 0x811c9dc5;
  for (const byte of Buffer.from(text)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/** A number as Kubernetes writes hashes into names: its decimal digits in the safe alphabet. */
export function safeEncode(n: number): string {
  let out = '';
  for (const c of String(n)) out += ALPHABET[c.charCodeAt(0) % ALPHABET.length];
  return out;
}

/** A template's hash; the collision count makes another one of the same template. */
export function templateHash(template: unknown, collisionCount?: number): string {
  return safeEncode(fnv32a(canonicalJson(template) + (collisionCount === undefined ? '' : `#${collisionCount}`)));
}
