/** Trees become closures. Evaluating counts its cost and stops when the budget is used up. */
import { getField, getItem, iterate, optionalItem } from './access.ts';
import type { ComprehensionNode, Expr, ListNode, MapNode, StructNode } from './ast.ts';
import { callCost, LIST_CREATE_COST, MAP_CREATE_COST, STRUCT_CREATE_COST } from './cost.ts';
import { type Overload, select } from './functions.ts';
import { access, logical, mapInsert, notStrictlyFalse, orElse } from './operators.ts';
import { qualifiedName } from './parser.ts';
import { attempt, type Eval } from './run.ts';
import { GrowingList } from './standard.ts';
import {
  ArrayList,
  CelError,
  LiteralMap,
  MapValue,
  noSuchOverload,
  OptionalValue,
  TypeValue,
  type Value,
} from './values.ts';
import { StructValue, type StructTypes } from './structs.ts';

/** What names mean outside the expression. */
export interface Names {
  readonly functions: ReadonlyMap<string, readonly Overload[]>;
  readonly constants: ReadonlyMap<string, Value>;
  isVariable(name: string): boolean;
  readonly structs?: StructTypes;
}

/** Something is wrong with the expression that only its names show. */
export class CelCompileError extends Error {
  readonly pos: number;
  constructor(message: string, pos: number) {
    super(message);
    this.pos = pos;
  }
}

/** Throws CelCompileError for unknown names. */
export function compile(expr: Expr, names: Names): Eval {
  return new Compiler(names).compile(expr);
}

class Compiler {
  readonly #names: Names;
  /** Loop variables in scope, by name the slots, innermost last. */
  readonly #scope = new Map<string, number[]>();
  #slots = 0;

  constructor(names: Names) {
    this.#names = names;
  }

  compile(expr: Expr): Eval {
    switch (expr.kind) {
      case 'const': {
        const { value } = expr;
        return () => value;
      }
      case 'ident':
        return this.#ident(expr.name, expr.pos);
      case 'select':
        return this.#select(expr);
      case 'call':
        return this.#call(expr);
      case 'list':
        return this.#list(expr);
      case 'map':
        return this.#map(expr);
      case 'struct':
        return this.#struct(expr);
      case 'comprehension':
        return this.#loop(expr);
    }
  }

  #local(name: string): number | undefined {
    return this.#scope.get(name)?.at(-1);
  }

  #ident(name: string, pos: number): Eval {
    const slot = this.#local(name);
    if (slot !== undefined) {
      return (run) => {
        run.charge(1);
        const value = run.locals[slot]!;
        if (value instanceof CelError) throw value;
        return value;
      };
    }
    const plain = name.replace(/^\./, '');
    if (this.#names.isVariable(plain)) {
      return (run) => {
        run.charge(1);
        const value = run.variable(plain);
        if (value === undefined) throw new CelError(`no such attribute(s): ${plain}`);
        return value;
      };
    }
    const constant = this.#names.constants.get(plain);
    if (constant === undefined) throw new CelCompileError(`undeclared reference to '${plain}' (in container '')`, pos);
    return (run) => {
      run.charge(1);
      return constant;
    };
  }

  #select(expr: Extract<Expr, { kind: 'select' }>): Eval {
    const path = this.#isLocal(expr) ? undefined : qualifiedName(expr);
    // The longest name wins: `a.b` may be declared beside `a`.
    if (path !== undefined && this.#names.isVariable(path)) return this.#ident(path, expr.pos);
    const whole = this.#isFree(expr) ? path : undefined;
    if (whole !== undefined && this.#names.constants.has(whole)) {
      const constant = this.#names.constants.get(whole)!;
      return (run) => {
        run.charge(1);
        return constant;
      };
    }
    const operand = this.compile(expr.operand);
    const { field } = expr;
    if (expr.test) {
      return (run) => {
        const value = operand(run);
        if (value instanceof MapValue) return value.has(field);
        if (value instanceof StructValue) return value.fields.has(field);
        if (!(value instanceof OptionalValue)) throw noSuchOverload();
        return value.value instanceof MapValue && value.value.has(field);
      };
    }
    return (run) => {
      const value = operand(run);
      run.charge(1);
      return getField(value, field);
    };
  }

  /** The first name of a path is a macro's own variable. */
  #isLocal(expr: Expr): boolean {
    let at = expr;
    while (at.kind === 'select') at = at.operand;
    return at.kind === 'ident' && this.#local(at.name) !== undefined;
  }

  /** The first name of a path is nobody's variable. */
  #isFree(expr: Expr): boolean {
    let at = expr;
    while (at.kind === 'select') at = at.operand;
    return (
      at.kind === 'ident' && this.#local(at.name) === undefined && !this.#names.isVariable(at.name.replace(/^\./, ''))
    );
  }

  #call(expr: Extract<Expr, { kind: 'call' }>): Eval {
    const { fn, args } = expr;
    switch (fn) {
      case '_&&_':
        return logical(this.compile(args[0]!), this.compile(args[1]!), false);
      case '_||_':
        return logical(this.compile(args[0]!), this.compile(args[1]!), true);
      case '_?_:_': {
        const [condition, yes, no] = args.map((a) => this.compile(a)) as [Eval, Eval, Eval];
        return (run) => {
          const c = condition(run);
          if (typeof c !== 'boolean') throw noSuchOverload();
          return c ? yes(run) : no(run);
        };
      }
      case '@not_strictly_false':
        return notStrictlyFalse(this.compile(args[0]!));
      case '_[_]':
        return access(this.compile(args[0]!), this.compile(args[1]!), getItem);
      case '_[?_]':
        return access(this.compile(args[0]!), this.compile(args[1]!), optionalItem);
      case '_?._':
        return access(this.compile(args[0]!), this.compile(args[1]!), optionalItem);
      case 'cel.@mapInsert':
        return mapInsert(args.map((a) => this.compile(a)));
    }
    return this.#plainCall(expr);
  }

  #plainCall(expr: Extract<Expr, { kind: 'call' }>): Eval {
    const { fn, target } = expr;
    const { functions } = this.#names;
    if (target !== undefined && this.#isFree(target)) {
      const name = `${qualifiedName(target)}.${fn}`;
      const space = functions.get(name);
      if (space !== undefined)
        return this.#dispatch(
          name,
          space.filter((o) => !o.member),
          expr.args,
          expr.pos,
        );
    }
    if (target !== undefined && (fn === 'or' || fn === 'orValue') && expr.args.length === 1) {
      return orElse(this.compile(target), this.compile(expr.args[0]!), fn === 'or');
    }
    const all = functions.get(fn.replace(/^\./, ''));
    const args = target === undefined ? expr.args : [target, ...expr.args];
    return this.#dispatch(fn, all?.filter((o) => o.member === (target !== undefined)) ?? [], args, expr.pos);
  }

  #dispatch(name: string, overloads: readonly Overload[], args: readonly Expr[], pos: number): Eval {
    const fitting = overloads.filter((o) => o.params.length === args.length);
    if (fitting.length === 0) {
      throw new CelCompileError(
        overloads.length === 0
          ? `undeclared reference to '${name}' (in container '')`
          : `found no matching overload for '${name}' with ${args.length} arguments`,
        pos,
      );
    }
    const evals = args.map((a) => this.compile(a));
    const only = fitting.length === 1 && fitting[0]!.params.every((p) => p === 'any') ? fitting[0]! : undefined;
    return (run) => {
      const values: Value[] = [];
      for (const e of evals) values.push(e(run));
      const overload = only ?? select(fitting, values, name);
      const result = overload.call(...(values as never[]));
      run.charge(callCost(name, overload.id, values, result));
      return result;
    };
  }

  #list({ items, optional }: ListNode): Eval {
    const evals = items.map((i) => this.compile(i));
    return (run) => {
      const out: Value[] = [];
      for (let i = 0; i < evals.length; i++) {
        const value = evals[i]!(run);
        if (!optional.has(i)) out.push(value);
        else if (!(value instanceof OptionalValue)) throw noSuchOverload();
        else if (value.value !== undefined) out.push(value.value);
      }
      run.charge(LIST_CREATE_COST);
      return new ArrayList(out);
    };
  }

  #map({ entries }: MapNode): Eval {
    const evals = entries.map((e) => ({
      key: this.compile(e.key),
      value: this.compile(e.value),
      optional: e.optional,
    }));
    return (run) => {
      const out: [Value, Value][] = [];
      for (const e of evals) {
        const key = e.key(run);
        const value = e.value(run);
        if (!e.optional) out.push([key, value]);
        else if (!(value instanceof OptionalValue)) throw noSuchOverload();
        else if (value.value !== undefined) out.push([key, value.value]);
      }
      run.charge(MAP_CREATE_COST);
      return new LiteralMap(out);
    };
  }

  #struct({ name, fields, pos }: StructNode): Eval {
    const { structs } = this.#names;
    if (!structs?.fieldsOf(name)) throw new CelCompileError(`undeclared reference to '${name}' (in container '')`, pos);
    const evals = fields.map((f) => ({ ...f, value: this.compile(f.value) }));
    return (run) => {
      const out = new Map<string, Value>();
      for (const f of evals) {
        const value = f.value(run);
        if (!f.optional) out.set(f.name, value);
        else if (!(value instanceof OptionalValue)) throw noSuchOverload();
        else if (value.value !== undefined) out.set(f.name, value.value);
      }
      run.charge(STRUCT_CREATE_COST);
      return structs.make(name, out);
    };
  }

  #withLocals<T>(names: readonly string[], inner: (slots: number[]) => T): T {
    const slots = names.map((name) => {
      const slot = this.#slots++;
      const stack = this.#scope.get(name);
      if (stack === undefined) this.#scope.set(name, [slot]);
      else stack.push(slot);
      return slot;
    });
    const out = inner(slots);
    for (const name of names) this.#scope.get(name)!.pop();
    return out;
  }

  #loop(expr: ComprehensionNode): Eval {
    const range = this.compile(expr.range);
    const init = this.compile(expr.init);
    const grows = expr.init.kind === 'list' && expr.init.items.length === 0;
    return this.#withLocals([expr.accuVar], ([accu]) => {
      const vars = expr.iterVar2 === undefined ? [expr.iterVar] : [expr.iterVar, expr.iterVar2];
      const [step, condition, first, second] = this.#withLocals(
        vars,
        ([a, b]) => [this.compile(expr.step), this.compile(expr.condition), a!, b] as const,
      );
      const result = this.compile(expr.result);
      return (run) => {
        const over = range(run);
        run.locals[accu!] = init(run);
        if (grows) run.locals[accu!] = new GrowingList();
        for (const [key, value] of iterate(over, second !== undefined)) {
          run.locals[first] = key;
          if (second !== undefined) run.locals[second] = value;
          if (condition(run) === false) break;
          run.locals[accu!] = attempt(step, run);
        }
        const value = result(run);
        return value instanceof GrowingList ? value.done() : value;
      };
    });
  }
}

/** The names of types. */
export const TYPE_CONSTANTS: ReadonlyMap<string, Value> = new Map(
  [
    'bool',
    'bytes',
    'double',
    'int',
    'list',
    'map',
    'null_type',
    'string',
    'type',
    'uint',
    'optional_type',
    'google.protobuf.Timestamp',
    'google.protobuf.Duration',
  ].map((name): [string, Value] => [name, new TypeValue(name)]),
);
