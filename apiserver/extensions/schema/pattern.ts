/** Patterns that users write run in an engine without backtracking. */
import { compileRe2, type Re2 } from '../../../api/re2.ts';

const compiled = new Map<string, Re2 | undefined>();

/** The compiled pattern; undefined when it isn't one. */
export function compilePattern(pattern: string): Re2 | undefined {
  if (compiled.has(pattern)) return compiled.get(pattern);
  let made: Re2 | undefined;
  try {
    made = compileRe2(pattern);
  } catch {
    made = undefined;
  }
  if (compiled.size > 10_000) compiled.clear();
  compiled.set(pattern, made);
  return made;
}

/** Whether the pattern is found anywhere in `text`. A pattern that can't be compiled matches nothing. */
export const matchesPattern = (pattern: string, text: string): boolean =>
  compilePattern(pattern)?.matcher(text).find() ?? false;
