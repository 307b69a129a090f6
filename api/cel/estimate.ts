/**
 * What an expression can cost before it is ever evaluated, by the sizes that declared types allow. Ranges are added
 * and multiplied as cel-go's checker does; what is not known is without bound.
 */
import type { ComprehensionNode, Expr } from './ast.ts';
import type { Types } from './check.ts';
import { LIST_CREATE_COST, MAP_CREATE_COST, sizeOf, STRUCT_CREATE_COST } from './cost.ts';
import { ACCU } from './macros.ts';
import { qualifiedName } from './parser.ts';
import { type CelType, T } from './types.ts';

/** A range of costs or sizes; `max` may be Infinity. */
export interface CostRange {
  readonly min: number;
  readonly max: number;
}
type Range = CostRange;

const range = (min: number, max = min): Range => ({ min, max });
const UNKNOWN = range(0, Infinity);
const NONE = range(0);
const ONE = range(1);
const product = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b);
const add = (...ranges: readonly Range[]): Range => ranges.reduce((a, b) => range(a.min + b.min, a.max + b.max), NONE);
const multiply = (a: Range, b: Range): Range => range(product(a.min, b.min), product(a.max, b.max));
const scale = (a: Range, factor: number): Range => range(Math.ceil(a.min * factor), Math.ceil(product(a.max, factor)));
const union = (a: Range, b: Range): Range => range(Math.min(a.min, b.min), Math.max(a.max, b.max));

const TEXT = 0.1;
const REGEX = 0.25;
const SCALARS: ReadonlySet<string> = new Set(['bool', 'double', 'duration', 'int', 'timestamp', 'uint']);

/** The range of costs of an expression whose types are known. */
export function estimateCost(expr: Expr, types: Types): CostRange {
  return new Estimator(types).cost(expr);
}

class Estimator {
  readonly #types: Types;
  readonly #sizes = new Map<number, Range>();
  /** Sizes of what loops and bindings hold. */
  readonly #locals = new Map<string, Range[]>();

  constructor(types: Types) {
    this.#types = types;
  }

  #type(expr: Expr): CelType {
    return this.#types.get(expr.id) ?? T.dyn;
  }

  size(expr: Expr): Range {
    const known = this.#sizes.get(expr.id);
    if (known !== undefined) return known;
    if (expr.kind === 'const') return range(sizeOf(expr.value));
    if (expr.kind === 'list') return range(expr.items.length);
    if (expr.kind === 'map') return range(expr.entries.length);
    const type = this.#type(expr);
    if ('max' in type && type.max !== undefined) return range(0, type.max);
    // Objects with declared fields have no elements to walk, as kube-apiserver counts.
    if (type.kind === 'object') return NONE;
    if (type.kind === 'type') return ONE;
    if (SCALARS.has(type.kind) || (type.kind === 'optional' && SCALARS.has(type.of.kind))) return ONE;
    const local = expr.kind === 'ident' ? this.#locals.get(expr.name)?.at(-1) : undefined;
    return local ?? UNKNOWN;
  }

  cost(expr: Expr): Range {
    switch (expr.kind) {
      case 'const':
        return NONE;
      case 'ident':
        return ONE;
      case 'select': {
        const operand = this.cost(expr.operand);
        const { kind } = this.#type(expr.operand);
        return expr.test || (kind !== 'map' && kind !== 'object') ? operand : add(operand, ONE);
      }
      case 'list':
        return add(range(LIST_CREATE_COST), ...expr.items.map((i) => this.cost(i)));
      case 'map':
        return add(range(MAP_CREATE_COST), ...expr.entries.flatMap((e) => [this.cost(e.key), this.cost(e.value)]));
      case 'struct':
        return add(range(STRUCT_CREATE_COST), ...expr.fields.map((f) => this.cost(f.value)));
      case 'comprehension':
        return this.#isBinding(expr) ? this.#binding(expr) : this.#loop(expr);
      case 'call':
        return this.#call(expr);
    }
  }

  #isBinding(expr: ComprehensionNode): boolean {
    const { range: over, condition, accuVar } = expr;
    const never = condition.kind === 'const' && condition.value === false;
    return accuVar !== ACCU && over.kind === 'list' && over.items.length === 0 && never;
  }
  #binding(expr: ComprehensionNode): Range {
    const before = add(this.cost(expr.range), this.cost(expr.init));
    const result = this.#with([[expr.accuVar, this.size(expr.init)]], () => this.cost(expr.result));
    this.#sizes.set(expr.id, this.size(expr.result));
    return add(before, result);
  }
  #loop(expr: ComprehensionNode): Range {
    const before = add(this.cost(expr.range), this.cost(expr.init));
    const count = this.size(expr.range);
    const over = this.#type(expr.range);
    // a declared map says nothing of its keys' length, and kube-apiserver counts that as none
    const declaredMap = over.kind === 'map' && 'max' in over && over.max !== undefined;
    const vars: [string, Range][] = [[expr.iterVar, declaredMap ? NONE : UNKNOWN]];
    if (expr.iterVar2 !== undefined) vars.push([expr.iterVar2, UNKNOWN]);
    const [each, after] = this.#with([[expr.accuVar, this.size(expr.init)]], () => [
      this.#with(vars, () => add(this.cost(expr.condition), this.cost(expr.step))),
      this.cost(expr.result),
    ]);
    this.#sizes.set(expr.id, expr.init.kind === 'const' ? this.size(expr.init) : count);
    return add(before, after!, multiply(count, each!));
  }
  #with<R>(vars: readonly (readonly [string, Range])[], inner: () => R): R {
    for (const [name, size] of vars) this.#locals.set(name, [...(this.#locals.get(name) ?? []), size]);
    const out = inner();
    for (const [name] of vars) this.#locals.get(name)!.pop();
    return out;
  }

  #call(expr: Extract<Expr, { kind: 'call' }>): Range {
    // A target without a type is the first part of a function's name.
    const space = expr.target !== undefined && !this.#types.has(expr.target.id);
    const all = expr.target === undefined || space ? expr.args : [expr.target, ...expr.args];
    const costs = all.map((a) => this.cost(a));
    const sizes = all.map((a) => this.size(a));
    const given = (i: number): Range => costs[i] ?? NONE;
    switch (expr.fn) {
      case '_&&_':
      case '_||_':
        return range(given(0).min, given(0).max + given(1).max);
      case '_?_:_':
        this.#sizes.set(expr.id, union(sizes[1]!, sizes[2]!));
        return add(given(0), union(given(1), given(2)));
      case 'dyn':
        if (sizes[0] !== undefined) this.#sizes.set(expr.id, sizes[0]);
        return add(ONE, given(0));
    }
    const types = all.map((a) => this.#type(a));
    const own = this.#own(space ? `${qualifiedName(expr.target!)}.${expr.fn}` : expr.fn, all, sizes, types);
    if (own.size !== undefined) this.#sizes.set(expr.id, own.size);
    return add(own.cost, ...costs);
  }

  /** The call without its arguments. */
  #own(
    fn: string,
    args: readonly Expr[],
    sizes: readonly Range[],
    types: readonly CelType[],
  ): { cost: Range; size?: Range } {
    const size = (i: number): Range => sizes[i] ?? UNKNOWN;
    const text = types.length > 0 && types.every((t) => t.kind === 'string' || t.kind === 'bytes');
    const walk = (s: Range, factor = TEXT) => scale(s, factor);
    switch (fn) {
      case '_+_': {
        const both = add(size(0), size(1));
        if (types[0]?.kind === 'list') return { cost: ONE, size: both };
        return text ? { cost: walk(both), size: both } : { cost: ONE };
      }
      case '_==_':
      case '_!=_':
        return types[0]?.kind === 'opaque' ? { cost: ONE } : { cost: smaller(size(0), size(1)) };
      case '_<_':
      case '_<=_':
      case '_>_':
      case '_>=_':
        return { cost: text ? smaller(size(0), size(1)) : ONE };
      case '@in':
        return { cost: types[1]?.kind === 'list' ? size(1) : ONE };
      case 'startsWith':
      case 'endsWith':
        return { cost: walk(size(1)) };
      case 'contains':
        return { cost: multiply(walk(size(0)), walk(size(1))) };
      case 'matches':
      case 'find':
      case 'findAll': {
        const cost = multiply(walk(add(size(0), ONE)), scale(size(1), REGEX));
        return fn === 'matches' ? { cost } : { cost, size: range(0, size(0).max) };
      }
      case 'isSorted':
      case 'sum':
      case 'max':
      case 'min':
      case 'indexOf':
      case 'lastIndexOf':
        return { cost: this.#traversal(types[0] ?? T.dyn, size(0)) };
      case 'url':
      case 'lowerAscii':
      case 'upperAscii':
      case 'substring':
      case 'trim':
      case 'jsonpatch.escapeKey':
        return { cost: walk(size(0)), size: size(0) };
      case 'replace':
        return { cost: walk(size(0), 2 * TEXT), size: replaced(size(0), size(1), size(2)) };
      case 'split':
        return { cost: walk(size(0), 2 * TEXT), size: range(0, size(0).max) };
      case 'join': {
        const items = types[0]?.kind === 'list' ? types[0].items : T.dyn;
        const item = 'max' in items && items.max !== undefined ? range(0, items.max) : UNKNOWN;
        const separator = types.length > 1 ? size(1) : NONE;
        const whole = range(0, product(size(0).max, item.max) + product(Math.max(0, size(0).max - 1), separator.max));
        return { cost: walk(whole), size: whole };
      }
      case 'sets.contains':
      case 'sets.intersects':
        return { cost: add(multiply(size(0), size(1)), ONE) };
      case 'sets.equivalent':
        return { cost: add(scale(multiply(size(0), size(1)), 2), ONE) };
      case 'slice':
        return making(range(0, args[2] === undefined ? size(0).max : literal(args[2], size(0).max)));
      case 'lists.range':
        return making(range(0, literal(args[0]!, Infinity)));
      case 'reverse':
        return making(size(0));
      case 'flatten':
        return making(size(0), args[1] === undefined ? 1 : literal(args[1], Infinity));
      case 'distinct':
      case 'sort':
        return making(multiply(size(0), size(0)), compared(types[0]));
      case '@sortByAssociatedKeys':
        return making(multiply(size(1), size(1)), compared(types[1]));
      case 'cidr':
      case 'ip':
      case 'isIP':
      case 'isCIDR':
      case 'quantity':
      case 'isQuantity':
      case 'semver':
      case 'isSemver':
        return { cost: types[0]?.kind === 'opaque' ? ONE : walk(size(0)) };
      case 'ip.isCanonical':
        return { cost: walk(size(0), 2 * TEXT) };
      case 'containsIP':
      case 'containsCIDR': {
        const address = range(4, 16);
        const own =
          fn === 'containsIP' ? walk(add(address, address)) : add(walk(add(address, address)), walk(address), ONE);
        return { cost: types[1]?.kind === 'string' ? add(own, walk(size(1))) : own };
      }
      case 'validate':
        return { cost: scale(walk(size(1)), 128 * REGEX) };
      case 'check':
        return { cost: range(350_000) };
      case 'format':
        return { cost: walk(size(0)) };
      case 'bytes':
        return types[0]?.kind === 'string'
          ? { cost: walk(size(0)), size: range(size(0).min, size(0).max * 4) }
          : { cost: ONE };
      case 'string':
        return types[0]?.kind === 'bytes'
          ? { cost: walk(size(0)), size: range(Math.floor(size(0).min / 4), size(0).max) }
          : { cost: ONE };
      default:
        return { cost: ONE };
    }
  }

  #traversal(type: CelType, size: Range): Range {
    if (type.kind !== 'list') return scale(size, TEXT);
    const { items } = type;
    if (items.kind !== 'string' && items.kind !== 'bytes') return size;
    const item = items.max === undefined ? UNKNOWN : range(0, items.max);
    return multiply(size, add(ONE, scale(item, TEXT)));
  }
}

/** A call that makes a list. */
const making = (size: Range, factor = 1): { cost: Range; size: Range } => ({
  cost: add(scale(size, factor), range(1 + LIST_CREATE_COST)),
  size,
});
/** What comparing each element with each other costs for one pair. */
function compared(type: CelType | undefined): number {
  const text = type?.kind === 'list' && (type.items.kind === 'string' || type.items.kind === 'bytes');
  return text ? 2 + TEXT : 2;
}
const literal = (expr: Expr, otherwise: number): number =>
  expr.kind === 'const' && typeof expr.value === 'bigint' ? Number(expr.value) : otherwise;

/** Two texts compared: the shorter one is walked. */
function smaller(a: Range, b: Range): Range {
  const max = Math.min(a.max, b.max);
  return scale(range(max > 0 ? 1 : 0, max), TEXT);
}

/** The longest text after a replacement. */
function replaced(text: Range, old: Range, by: Range): Range {
  const times = old.min === 0 ? text.max + 1 : Math.ceil(text.max / old.min);
  return range(0, text.max + product(times, by.max));
}
