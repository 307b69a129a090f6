/** Works out the type of every expression and refuses what can't come out well. */
import type { ComprehensionNode, Expr, StructNode } from './ast.ts';
import { CONSTRAINTS, LITERALS, NUMERIC, ORDERED, RESULTS } from './check-rules.ts';
import { CelCompileError, type Names } from './compile.ts';
import type { Overload } from './functions.ts';
import { qualifiedName } from './parser.ts';
import {
  type CelType,
  fits,
  fromDecl,
  fromName,
  isDyn,
  join,
  joinElements,
  listOf,
  mapOf,
  optionalOf,
  showType,
  T,
} from './types.ts';
import { typeOf, TypeValue, type Value } from './values.ts';

export interface TypedNames extends Names {
  /** Types of variables; undefined: no such variable. */
  variableType(name: string): CelType | undefined;
}

/** Types by the ids of expressions. */
export type Types = ReadonlyMap<number, CelType>;

/** Throws CelCompileError for the first thing that is wrong. */
export function check(expr: Expr, names: TypedNames): { type: CelType; types: Types } {
  const checker = new Checker(names);
  const type = checker.check(expr);
  return { type, types: checker.types };
}

class Checker {
  readonly types = new Map<number, CelType>();
  readonly #names: TypedNames;
  readonly #scope = new Map<string, CelType[]>();
  /** Inside the literal that `format` is given, elements may be of any types. */
  #mixed = false;

  constructor(names: TypedNames) {
    this.#names = names;
  }

  check(expr: Expr): CelType {
    if (expr.kind !== 'list' && expr.kind !== 'map') this.#mixed = false;
    const type = this.#typeOf(expr);
    this.types.set(expr.id, type);
    return type;
  }

  #typeOf(expr: Expr): CelType {
    switch (expr.kind) {
      case 'const':
        return literal(expr.value);
      case 'ident':
        return this.#ident(expr.name, expr.pos);
      case 'select':
        return this.#select(expr);
      case 'call':
        return this.#call(expr);
      case 'list': {
        const mixed = this.#mixed;
        let items: CelType = T.free;
        expr.items.forEach((item, i) => {
          this.#mixed = mixed;
          items = this.#same(items, this.#unwrapped(item, expr.optional.has(i)), item.pos, mixed);
        });
        return listOf(items);
      }
      case 'map': {
        const mixed = this.#mixed;
        let key: CelType = T.free;
        let values: CelType = T.free;
        for (const e of expr.entries) {
          this.#mixed = mixed;
          key = this.#same(key, this.check(e.key), e.key.pos, mixed);
          this.#mixed = mixed;
          values = this.#same(values, this.#unwrapped(e.value, e.optional), e.value.pos, mixed);
        }
        return mapOf(key, values);
      }
      case 'struct':
        return this.#struct(expr);
      case 'comprehension':
        return this.#loop(expr);
    }
  }

  #struct(expr: StructNode): CelType {
    const takes = this.#names.structs?.fieldsOf(expr.name);
    if (takes === undefined) throw undeclared(expr.name, expr.pos);
    for (const f of expr.fields) {
      const given = this.#unwrapped(f.value, f.optional);
      const wanted = fieldType(takes(f.name));
      if (join(wanted, given) !== undefined) continue;
      throw new CelCompileError(
        `expected type of field '${f.name}' is '${showType(wanted)}' but provided type is '${showType(given)}'`,
        f.pos,
      );
    }
    return { kind: 'opaque', name: expr.name };
  }

  /** An element; after `?` it must be optional, and what it holds counts. */
  #unwrapped(expr: Expr, optional: boolean): CelType {
    const type = this.check(expr);
    if (!optional || isDyn(type)) return type;
    if (type.kind !== 'optional') {
      throw new CelCompileError(
        `expected type 'optional_type(${showType(type)})' but found '${showType(type)}'`,
        expr.pos,
      );
    }
    return type.of;
  }

  /** Elements of one literal have one type. */
  #same(known: CelType, next: CelType, pos: number, mixed: boolean): CelType {
    const both = joinElements(known, next);
    if (both === undefined) {
      if (mixed) return T.dyn;
      throw new CelCompileError(`expected type '${showType(known)}' but found '${showType(next)}'`, pos);
    }
    return both;
  }

  #variable(name: string): CelType | undefined {
    return this.#scope.get(name)?.at(-1) ?? this.#names.variableType(name.replace(/^\./, ''));
  }

  #ident(name: string, pos: number): CelType {
    const known = this.#variable(name);
    if (known !== undefined) return known;
    const constant = this.#names.constants.get(name.replace(/^\./, ''));
    if (constant === undefined) throw undeclared(name, pos);
    return literal(constant);
  }

  #isLocal(expr: Expr): boolean {
    let at = expr;
    while (at.kind === 'select') at = at.operand;
    return at.kind === 'ident' && this.#scope.get(at.name)?.at(-1) !== undefined;
  }

  #isFree(expr: Expr): boolean {
    let at = expr;
    while (at.kind === 'select') at = at.operand;
    return at.kind === 'ident' && this.#variable(at.name) === undefined;
  }

  #select(expr: Extract<Expr, { kind: 'select' }>): CelType {
    const path = this.#isLocal(expr) ? undefined : qualifiedName(expr);
    const variable = path === undefined ? undefined : this.#names.variableType(path);
    if (variable !== undefined) return variable;
    const whole = this.#isFree(expr) ? path : undefined;
    if (whole !== undefined) {
      const constant = this.#names.constants.get(whole);
      if (constant !== undefined) return literal(constant);
    }
    const operand = this.check(expr.operand);
    const field = this.#field(operand, expr.field, expr.pos);
    return expr.test ? T.bool : field;
  }

  #field(of: CelType, field: string, pos: number): CelType {
    switch (of.kind) {
      case 'dyn':
      case 'free':
        return T.dyn;
      case 'map':
        return of.values;
      case 'object': {
        const decl = of.decl.fields.get(field);
        if (decl !== undefined) return fromDecl(decl);
        throw new CelCompileError(`undefined field '${field}'`, pos);
      }
      case 'optional': {
        const inner = this.#field(of.of, field, pos);
        return inner.kind === 'optional' ? inner : optionalOf(inner);
      }
      default: {
        const fields = of.kind === 'opaque' ? this.#names.structs?.fieldsOf(of.name) : undefined;
        if (fields) return fieldType(fields(field));
        throw new CelCompileError(`type '${showType(of)}' does not support field selection`, pos);
      }
    }
  }

  #call(expr: Extract<Expr, { kind: 'call' }>): CelType {
    const { fn, target } = expr;
    if (target !== undefined && this.#isFree(target)) {
      const name = `${qualifiedName(target)}.${fn}`;
      const space = this.#names.functions.get(name);
      if (space !== undefined) {
        const args = expr.args.map((a) => this.check(a));
        return this.#overload(
          name,
          space.filter((o) => !o.member),
          args,
          expr.pos,
        );
      }
    }
    const args = [...(target === undefined ? [] : [target]), ...expr.args].map((a, i) => {
      this.#mixed = fn === 'format' && target !== undefined && i > 0;
      return this.check(a);
    });
    this.#mixed = false;
    this.#literals(expr);
    return this.#operator(fn, args, expr) ?? this.#named(fn, args, expr);
  }

  #literals({ fn, target, args }: Extract<Expr, { kind: 'call' }>): void {
    const rule = Object.hasOwn(LITERALS, fn) ? LITERALS[fn] : undefined;
    const arg = rule && [...(target === undefined ? [] : [target]), ...args][rule.at];
    if (arg?.kind !== 'const' || typeof arg.value !== 'string') return;
    try {
      rule!.read(arg.value);
    } catch {
      throw new CelCompileError(`invalid ${fn} argument`, arg.pos);
    }
  }

  #named(fn: string, args: readonly CelType[], { target, pos }: Extract<Expr, { kind: 'call' }>): CelType {
    const member = target !== undefined;
    if (member && args.length === 2 && (fn === 'or' || fn === 'orValue')) {
      const [o, other] = args as [CelType, CelType];
      const inner = o.kind === 'optional' ? o.of : isDyn(o) ? T.dyn : undefined;
      const both = inner && (fn === 'or' ? join(optionalOf(inner), other) : join(inner, other));
      if (both === undefined) throw noOverload(fn, args, member, pos);
      return both;
    }
    const all = this.#names.functions.get(fn.replace(/^\./, ''));
    const overloads = all?.filter((o) => o.member === member) ?? [];
    if (overloads.length === 0) throw undeclared(fn, pos);
    return this.#overload(fn, overloads, args, pos, member);
  }

  #overload(
    fn: string,
    overloads: readonly Overload[],
    args: readonly CelType[],
    pos: number,
    member = false,
  ): CelType {
    const fitting = overloads.filter(
      (o) =>
        o.params.length === args.length &&
        o.params.every((p, i) => fits(args[i]!, p)) &&
        (CONSTRAINTS[o.id]?.(args) ?? true),
    );
    if (fitting.length === 0) throw noOverload(fn, args, member, pos);
    let out: CelType | undefined;
    for (const o of fitting) {
      const type = RESULTS[o.id]?.(args) ?? fromName(o.result);
      if (out !== undefined && showType(out) !== showType(type)) return T.dyn;
      out = type;
    }
    return out!;
  }

  /** Operators whose operands have to do with each other; undefined: an ordinary function. */
  #operator(fn: string, args: readonly CelType[], expr: Extract<Expr, { kind: 'call' }>): CelType | undefined {
    const [a, b, c] = args;
    const { pos } = expr;
    const refuse = () => noOverload(fn, args, false, pos);
    switch (fn) {
      case '_&&_':
      case '_||_':
        if (!fits(a!, 'bool') || !fits(b!, 'bool')) throw refuse();
        return T.bool;
      case '@not_strictly_false':
        return T.bool;
      case '_?_:_': {
        const both = fits(a!, 'bool') ? join(b!, c!) : undefined;
        if (both === undefined) throw refuse();
        return both;
      }
      case '_==_':
      case '_!=_':
        if (join(a!, b!) === undefined) throw refuse();
        return T.bool;
      case '_<_':
      case '_<=_':
      case '_>_':
      case '_>=_':
        if (isDyn(a!) || isDyn(b!) || (NUMERIC.has(a!.kind) && NUMERIC.has(b!.kind))) return T.bool;
        if (a!.kind !== b!.kind || !ORDERED.has(a!.kind)) throw refuse();
        return T.bool;
      case '_+_':
        if (a!.kind === 'list' && b!.kind === 'list' && join(a!, b!) === undefined) throw refuse();
        return undefined;
      case '@in': {
        const among = b!.kind === 'list' ? b!.items : b!.kind === 'map' ? b!.key : isDyn(b!) ? T.dyn : undefined;
        if (among === undefined || join(a!, among) === undefined) throw refuse();
        return T.bool;
      }
      case '_[_]':
        return this.#item(a!, b!, refuse);
      case '_[?_]':
      case '_?._': {
        const inner = a!.kind === 'optional' ? a!.of : a!;
        const item = fn === '_?._' ? this.#field(inner, nameOf(expr.args[1]!), pos) : this.#item(inner, b!, refuse);
        return item.kind === 'optional' ? item : optionalOf(item);
      }
      case 'cel.@mapInsert':
        return c === undefined
          ? (join(a!, b!) ?? mapOf(T.dyn, T.dyn))
          : (join(a!, mapOf(b!, c)) ?? mapOf(T.dyn, T.dyn));
      default:
        return undefined;
    }
  }

  #item(of: CelType, key: CelType, refuse: () => CelCompileError): CelType {
    if (isDyn(of)) return T.dyn;
    if (of.kind === 'list' && fits(key, 'int')) return of.items;
    if (of.kind === 'map' && join(of.key, key) !== undefined) return of.values;
    if (of.kind === 'optional') return optionalOf(this.#item(of.of, key, refuse));
    throw refuse();
  }

  #loop(expr: ComprehensionNode): CelType {
    const range = this.check(expr.range);
    const two = expr.iterVar2 !== undefined;
    let first: CelType;
    let second: CelType = T.dyn;
    if (range.kind === 'list') {
      first = two ? T.int : range.items;
      second = range.items;
    } else if (range.kind === 'map') {
      first = range.key;
      second = range.values;
    } else if (isDyn(range)) first = T.dyn;
    else {
      throw new CelCompileError(
        `expression of type '${showType(range)}' cannot be range of a comprehension (must be list, map, or dynamic)`,
        expr.range.pos,
      );
    }
    const init = this.check(expr.init);
    const vars: [string, CelType][] = [
      [expr.iterVar, first],
      ...(two ? [[expr.iterVar2!, second] as [string, CelType]] : []),
    ];
    const accu = this.#with([[expr.accuVar, init], ...vars], () => {
      const step = this.check(expr.step);
      const both = join(init, step);
      if (both === undefined)
        throw new CelCompileError(`expected type '${showType(init)}' but found '${showType(step)}'`, expr.step.pos);
      this.check(expr.condition);
      return both;
    });
    return this.#with([[expr.accuVar, accu]], () => this.check(expr.result));
  }

  #with<R>(vars: readonly [string, CelType][], inner: () => R): R {
    for (const [name, type] of vars) {
      const stack = this.#scope.get(name);
      if (stack === undefined) this.#scope.set(name, [type]);
      else stack.push(type);
    }
    const out = inner();
    for (const [name] of vars) this.#scope.get(name)!.pop();
    return out;
  }
}

const nameOf = (expr: Expr): string => (expr.kind === 'const' && typeof expr.value === 'string' ? expr.value : '');
/** What a field of a struct holds; no value is of the type of a field that there isn't. */
const fieldType = (takes: 'any' | 'string' | undefined): CelType =>
  takes === undefined ? { kind: 'opaque', name: '' } : fromName(takes);

const undeclared = (name: string, pos: number) =>
  new CelCompileError(`undeclared reference to '${name}' (in container '')`, pos);
function noOverload(fn: string, args: readonly CelType[], member: boolean, pos: number): CelCompileError {
  const shown = args.map(showType);
  const applied = member ? `${shown[0]}.(${shown.slice(1).join(', ')})` : `(${shown.join(', ')})`;
  return new CelCompileError(`found no matching overload for '${fn}' applied to '${applied}'`, pos);
}

function literal(value: Value): CelType {
  if (value instanceof TypeValue) return { kind: 'type', of: T.dyn };
  const { name } = typeOf(value);
  switch (name) {
    case 'bool':
    case 'bytes':
    case 'double':
    case 'int':
    case 'string':
    case 'uint':
      return T[name];
    case 'null_type':
      return T.null;
    default:
      return T.dyn;
  }
}
