/** The engine without backtracking that patterns of users run in; loaded with the first pattern, for it is large. */
import { createRequire } from 'node:module';
import type { RE2JS } from 're2js';

export type Re2 = RE2JS;

let engine: typeof RE2JS | undefined;

/** Throws when the text is no pattern. */
export function compileRe2(pattern: string): Re2 {
  engine ??= (createRequire(import.meta.url)('re2js') as typeof import('re2js')).RE2JS;
  return engine.compile(pattern);
}
