/** Operators that don't evaluate all their sides first, or that have no overloads. */
import { attempt, type Eval } from './run.ts';
import { CelError, LiteralMap, MapValue, noSuchOverload, OptionalValue, type Value } from './values.ts';

/** `&&` (decided by false) and `||` (decided by true): an error counts only when the other side doesn't decide. */
export function logical(left: Eval, right: Eval, deciding: boolean): Eval {
  return (run) => {
    const l = attempt(left, run);
    if (l === deciding) return deciding;
    const r = attempt(right, run);
    if (r === deciding) return deciding;
    if (l instanceof CelError) throw l;
    if (r instanceof CelError) throw r;
    if (typeof l !== 'boolean' || typeof r !== 'boolean') throw noSuchOverload();
    return !deciding;
  };
}

/** The condition under which a macro goes on: errors are no reason to stop. */
export function notStrictlyFalse(arg: Eval): Eval {
  return (run) => {
    const value = attempt(arg, run);
    run.charge(1);
    return value !== false;
  };
}

/** `or` and `orValue` of optional values; the other side is evaluated only when needed. */
export function orElse(target: Eval, other: Eval, optional: boolean): Eval {
  return (run) => {
    const value = target(run);
    if (!(value instanceof OptionalValue)) throw noSuchOverload();
    run.charge(1);
    if (value.value !== undefined) return optional ? value : value.value;
    return other(run);
  };
}

/** A map with one more entry, or with all those of another map. */
export function mapInsert([accu, ...rest]: readonly Eval[]): Eval {
  return (run) => {
    const map = accu!(run);
    if (!(map instanceof MapValue)) throw noSuchOverload();
    const [a, b] = rest.map((e) => e(run));
    const entries: [Value, Value][] = [];
    for (const key of map.keys()) entries.push([key, map.get(key)!]);
    if (b !== undefined) entries.push([a!, b]);
    else if (a instanceof MapValue) for (const key of a.keys()) entries.push([key, a.get(key)!]);
    else throw noSuchOverload();
    run.charge(1);
    return new LiteralMap(entries);
  };
}

/** `get` of what the two sides give. */
export function access(operand: Eval, key: Eval, get: (value: Value, key: Value) => Value): Eval {
  return (run) => {
    const value = operand(run);
    const k = key(run);
    run.charge(1);
    return get(value, k);
  };
}
