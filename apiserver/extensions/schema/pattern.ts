/** Patterns that users write run in an engine without backtracking. */
import { RE2JS } from 're2js';

const compiled = new Map<string, RE2JS | undefined>();

/** The compiled pattern; undefined when it isn't one. */
export function compilePattern(pattern: string): RE2JS | undefined {
  if (compiled.has(pattern)) return compiled.get(pattern);
  let made: RE2JS | undefined;
  try {
    made = RE2JS.compile(pattern);
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
