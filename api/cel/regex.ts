/** Patterns that users write run in linear time only: RE2. */
import { compileRe2, type Re2 } from '../re2.ts';
import { CelError } from './values.ts';

const compiled = new Map<string, Re2>();

/** Throws CelError for what is no pattern. */
export function patternOf(pattern: string): Re2 {
  let re = compiled.get(pattern);
  if (re === undefined) {
    try {
      re = compileRe2(pattern);
    } catch (e) {
      throw new CelError(`error parsing regexp: ${(e as Error).message}`);
    }
    if (compiled.size > 500) compiled.clear();
    compiled.set(pattern, re);
  }
  return re;
}
