/** Macros: calls that stand for loops and tests, expanded while parsing. */
import type { CelSyntaxError, Expr } from './ast.ts';
import type { Value } from './values.ts';

/** What the parser lends to macros. */
export interface NodeMaker {
  /** `cel.bind(name, value, expression)` is known. */
  readonly bindings: boolean;
  nextId(): number;
  call(pos: number, fn: string, args: readonly Expr[], target?: Expr): Expr;
  error(message: string, pos: number): CelSyntaxError;
}

/** The accumulator's name; no source can spell it. */
export const ACCU = '@result';

/** The expansion of a call, or undefined when it is an ordinary one. Throws on misuse. */
export function expandMacro(
  make: NodeMaker,
  pos: number,
  name: string,
  target: Expr | undefined,
  args: readonly Expr[],
): Expr | undefined {
  if (target === undefined) return name === 'has' && args.length === 1 ? has(make, pos, args[0]!) : undefined;
  const m = new Maker(make, pos);
  const [a, b, c, d] = args;
  switch (name) {
    case 'all':
      return args.length === 2 ? m.all(target, [a!], b!) : args.length === 3 ? m.all(target, [a!, b!], c!) : undefined;
    case 'exists':
      return args.length === 2
        ? m.exists(target, [a!], b!)
        : args.length === 3
          ? m.exists(target, [a!, b!], c!)
          : undefined;
    case 'exists_one':
    case 'existsOne':
      return args.length === 2 ? m.one(target, [a!], b!) : args.length === 3 ? m.one(target, [a!, b!], c!) : undefined;
    case 'map':
      return args.length === 2
        ? m.list(target, [a!], undefined, b!)
        : args.length === 3
          ? m.list(target, [a!], b!, c!)
          : undefined;
    case 'filter':
      return args.length === 2 ? m.list(target, [a!], b!, a!) : undefined;
    case 'transformList':
      return args.length === 3
        ? m.list(target, [a!, b!], undefined, c!)
        : args.length === 4
          ? m.list(target, [a!, b!], c!, d!)
          : undefined;
    case 'transformMap':
      return args.length === 3
        ? m.map(target, a!, b!, undefined, c!, false)
        : args.length === 4
          ? m.map(target, a!, b!, c!, d!, false)
          : undefined;
    case 'transformMapEntry':
      return args.length === 3
        ? m.map(target, a!, b!, undefined, c!, true)
        : args.length === 4
          ? m.map(target, a!, b!, c!, d!, true)
          : undefined;
    case 'sortBy':
      return args.length === 2 ? m.sortBy(target, a!, b!) : undefined;
    case 'optMap':
      return args.length === 2 ? m.optMap(target, a!, b!, false) : undefined;
    case 'optFlatMap':
      return args.length === 2 ? m.optMap(target, a!, b!, true) : undefined;
    case 'bind':
      return make.bindings && target.kind === 'ident' && target.name === 'cel' && args.length === 3
        ? m.bind(a!, b!, c!)
        : undefined;
    default:
      return undefined;
  }
}

function has(make: NodeMaker, pos: number, arg: Expr): Expr {
  if (arg.kind !== 'select' || arg.test) throw make.error('invalid argument to has() macro', pos);
  return { ...arg, id: make.nextId(), pos, test: true };
}

class Maker {
  readonly #make: NodeMaker;
  readonly #pos: number;
  constructor(make: NodeMaker, pos: number) {
    this.#make = make;
    this.#pos = pos;
  }

  #const(value: Value): Expr {
    return { id: this.#make.nextId(), pos: this.#pos, kind: 'const', value };
  }
  #accu(): Expr {
    return { id: this.#make.nextId(), pos: this.#pos, kind: 'ident', name: ACCU };
  }
  #call(fn: string, ...args: Expr[]): Expr {
    return this.#make.call(this.#pos, fn, args);
  }
  #empty(kind: 'list' | 'map'): Expr {
    const base = { id: this.#make.nextId(), pos: this.#pos };
    return kind === 'list' ? { ...base, kind, items: [], optional: new Set() } : { ...base, kind, entries: [] };
  }
  #variables(vars: readonly Expr[]): string[] {
    const names = vars.map((v) => {
      if (v.kind !== 'ident' || v.name.startsWith('.')) throw this.#make.error('argument must be a simple name', v.pos);
      if (v.name === ACCU || v.name === '__result__')
        throw this.#make.error('iteration variable overwrites accumulator variable', v.pos);
      return v.name;
    });
    if (names.length === 2 && names[0] === names[1]) {
      throw this.#make.error(`duplicate variable name: ${names[0]}`, vars[1]!.pos);
    }
    return names;
  }
  #loop(range: Expr, vars: readonly Expr[], init: Expr, condition: Expr, step: Expr, result: Expr): Expr {
    const [iterVar, iterVar2] = this.#variables(vars);
    return {
      id: this.#make.nextId(),
      pos: this.#pos,
      kind: 'comprehension',
      range,
      iterVar: iterVar!,
      iterVar2,
      accuVar: ACCU,
      init,
      condition,
      step,
      result,
    };
  }

  all(range: Expr, vars: readonly Expr[], predicate: Expr): Expr {
    const condition = this.#call('@not_strictly_false', this.#accu());
    return this.#loop(
      range,
      vars,
      this.#const(true),
      condition,
      this.#call('_&&_', this.#accu(), predicate),
      this.#accu(),
    );
  }
  exists(range: Expr, vars: readonly Expr[], predicate: Expr): Expr {
    const condition = this.#call('@not_strictly_false', this.#call('!_', this.#accu()));
    return this.#loop(
      range,
      vars,
      this.#const(false),
      condition,
      this.#call('_||_', this.#accu(), predicate),
      this.#accu(),
    );
  }
  one(range: Expr, vars: readonly Expr[], predicate: Expr): Expr {
    const more = this.#call('_+_', this.#accu(), this.#const(1n));
    const step = this.#call('_?_:_', predicate, more, this.#accu());
    return this.#loop(
      range,
      vars,
      this.#const(0n),
      this.#const(true),
      step,
      this.#call('_==_', this.#accu(), this.#const(1n)),
    );
  }
  list(range: Expr, vars: readonly Expr[], filter: Expr | undefined, item: Expr): Expr {
    const one: Expr = { id: this.#make.nextId(), pos: this.#pos, kind: 'list', items: [item], optional: new Set() };
    const add = this.#call('_+_', this.#accu(), one);
    const step = filter === undefined ? add : this.#call('_?_:_', filter, add, this.#accu());
    return this.#loop(range, vars, this.#empty('list'), this.#const(true), step, this.#accu());
  }
  map(range: Expr, key: Expr, value: Expr, filter: Expr | undefined, item: Expr, entry: boolean): Expr {
    const add = entry
      ? this.#call('cel.@mapInsert', this.#accu(), item)
      : this.#call('cel.@mapInsert', this.#accu(), key, item);
    const step = filter === undefined ? add : this.#call('_?_:_', filter, add, this.#accu());
    return this.#loop(range, [key, value], this.#empty('map'), this.#const(true), step, this.#accu());
  }
  bind(variable: Expr, value: Expr, result: Expr): Expr {
    return this.#bind(this.#variables([variable])[0]!, value, result);
  }
  /** A loop over nothing binds a variable. */
  #bind(name: string, value: Expr, result: Expr): Expr {
    return {
      id: this.#make.nextId(),
      pos: this.#pos,
      kind: 'comprehension',
      range: this.#empty('list'),
      iterVar: '#unused',
      iterVar2: undefined,
      accuVar: name,
      init: value,
      condition: this.#const(false),
      step: this.#named(name),
      result,
    };
  }
  #named(name: string): Expr {
    return { id: this.#make.nextId(), pos: this.#pos, kind: 'ident', name };
  }
  sortBy(target: Expr, variable: Expr, key: Expr): Expr {
    const input = '@sortByInput';
    const keys = this.list(this.#named(input), [variable], undefined, key);
    const sorted = this.#make.call(this.#pos, '@sortByAssociatedKeys', [keys], this.#named(input));
    return this.#bind(input, target, sorted);
  }
  optMap(target: Expr, variable: Expr, item: Expr, flat: boolean): Expr {
    const [name] = this.#variables([variable]);
    const bind = this.#bind(name!, this.#make.call(this.#pos, 'value', [], target), item);
    const some = flat ? bind : this.#call('optional.of', bind);
    return this.#call('_?_:_', this.#make.call(this.#pos, 'hasValue', [], target), some, this.#call('optional.none'));
  }
}
