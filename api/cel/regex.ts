/** Patterns that users write run in linear time only: RE2. */
import { RE2JS } from 're2js';
import { CelError } from './values.ts';

const compiled = new Map<string, RE2JS>();

/** Throws CelError for what is no pattern. */
export function patternOf(pattern: string): RE2JS {
  let re = compiled.get(pattern);
  if (re === undefined) {
    try {
      re = RE2JS.compile(pattern);
    } catch (e) {
      throw new CelError(`error parsing regexp: ${(e as Error).message}`);
    }
    if (compiled.size > 500) compiled.clear();
    compiled.set(pattern, re);
  }
  return re;
}
