/** Text to tree. Depth and size are bounded, so that a hostile expression costs no more than its length. */
import { CelSyntaxError, type Expr, type MapEntryNode } from './ast.ts';
import { type Token, tokenize } from './lexer.ts';
import { expandMacro, type NodeMaker } from './macros.ts';
import { INT_MAX, INT_MIN, UINT_MAX, UintValue, type Value } from './values.ts';

/** Nesting of expressions. */
const MAX_DEPTH = 250;
/** What all kinds of nesting may amount to: whoever walks the tree needs stack for it. */
const MAX_TREE_DEPTH = 1000;
/** Code points of a source. */
const MAX_EXPRESSION_LENGTH = 100_000;

const RESERVED = new Set([
  'as',
  'break',
  'const',
  'continue',
  'else',
  'false',
  'for',
  'function',
  'if',
  'import',
  'in',
  'let',
  'loop',
  'package',
  'namespace',
  'null',
  'return',
  'true',
  'var',
  'void',
  'while',
]);
const RELATIONS = new Set(['<', '<=', '>', '>=', '==', '!=', 'in']);

/** Throws CelSyntaxError. `bindings`: `cel.bind` is known. */
export function parse(source: string, bindings = false): Expr {
  if (source.length > MAX_EXPRESSION_LENGTH) throw new CelSyntaxError('expression too long', source.slice(0, 50), 0);
  return new Parser(source, bindings).parse();
}

class Parser implements NodeMaker {
  readonly #source: string;
  readonly #tokens: Token[];
  #at = 0;
  #id = 0;
  #depth = 0;

  readonly bindings: boolean;

  constructor(source: string, bindings: boolean) {
    this.#source = source;
    this.bindings = bindings;
    this.#tokens = tokenize(source);
  }

  parse(): Expr {
    const expr = this.#expression();
    if (this.#peek().kind !== 'end') throw this.#unexpected();
    const deep = firstBelow(expr, MAX_TREE_DEPTH);
    if (deep) throw this.#limit(deep.pos);
    return expr;
  }

  #limit(pos: number): CelSyntaxError {
    return this.error('expression recursion limit exceeded', pos);
  }
  /** Operators of one kind in a row nest to the left, one level each. */
  #link(count: number): void {
    if (count > MAX_DEPTH) throw this.#limit(this.#peek().pos);
  }

  nextId(): number {
    return ++this.#id;
  }
  call(pos: number, fn: string, args: readonly Expr[], target?: Expr): Expr {
    return { id: this.nextId(), pos, kind: 'call', fn, target, args };
  }
  error(message: string, pos: number): CelSyntaxError {
    return new CelSyntaxError(message, this.#source, pos);
  }

  #peek(): Token {
    return this.#tokens[this.#at]!;
  }
  #next(): Token {
    return this.#tokens[this.#at++]!;
  }
  #is(text: string): boolean {
    const t = this.#peek();
    return t.kind === 'op' && t.text === text;
  }
  #take(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#at++;
    return true;
  }
  #expect(text: string): Token {
    if (!this.#is(text)) throw this.#unexpected(`expecting '${text}'`);
    return this.#next();
  }
  #unexpected(more?: string): CelSyntaxError {
    const t = this.#peek();
    return this.error(`Syntax error: mismatched input '${t.text}'${more === undefined ? '' : ` ${more}`}`, t.pos);
  }
  #const(pos: number, value: Value): Expr {
    return { id: this.nextId(), pos, kind: 'const', value };
  }

  #expression(): Expr {
    if (++this.#depth > MAX_DEPTH) throw this.#limit(this.#peek().pos);
    const condition = this.#or();
    let out = condition;
    if (this.#is('?')) {
      const { pos } = this.#next();
      const yes = this.#or();
      this.#expect(':');
      out = this.call(pos, '_?_:_', [condition, yes, this.#expression()]);
    }
    this.#depth--;
    return out;
  }
  #or(): Expr {
    return this.#chain('||', '_||_', () => this.#and());
  }
  #and(): Expr {
    return this.#chain('&&', '_&&_', () => this.#relation());
  }
  /** Long chains become balanced trees, so that they nest no deeper than need be. */
  #chain(op: string, fn: string, operand: () => Expr): Expr {
    const terms = [operand()];
    const at: number[] = [];
    while (this.#is(op)) {
      at.push(this.#next().pos);
      terms.push(operand());
    }
    const build = (from: number, to: number): Expr => {
      if (from === to) return terms[from]!;
      const mid = (from + to + 1) >> 1;
      return this.call(at[mid - 1]!, fn, [build(from, mid - 1), build(mid, to)]);
    };
    return build(0, terms.length - 1);
  }
  #relation(): Expr {
    let left = this.#sum();
    for (let n = 0; ; this.#link(++n)) {
      const t = this.#peek();
      if (!RELATIONS.has(t.text) || (t.kind !== 'op' && !(t.kind === 'ident' && t.text === 'in'))) return left;
      this.#at++;
      left = this.call(t.pos, t.text === 'in' ? '@in' : `_${t.text}_`, [left, this.#sum()]);
    }
  }
  #sum(): Expr {
    let left = this.#product();
    for (let n = 0; this.#is('+') || this.#is('-'); this.#link(++n)) {
      const t = this.#next();
      left = this.call(t.pos, `_${t.text}_`, [left, this.#product()]);
    }
    return left;
  }
  #product(): Expr {
    let left = this.#unary();
    for (let n = 0; this.#is('*') || this.#is('/') || this.#is('%'); this.#link(++n)) {
      const t = this.#next();
      left = this.call(t.pos, `_${t.text}_`, [left, this.#unary()]);
    }
    return left;
  }
  #unary(): Expr {
    const t = this.#peek();
    if (t.kind !== 'op' || (t.text !== '!' && t.text !== '-')) return this.#member();
    let count = 0;
    while (this.#is(t.text)) {
      this.#at++;
      count++;
    }
    const number = this.#peek();
    if (t.text === '-' && (number.kind === 'int' || number.kind === 'double')) {
      this.#at++;
      const literal = this.#members(this.#number(number, true));
      return count % 2 === 1 ? literal : this.call(t.pos, '-_', [literal]);
    }
    const operand = this.#member();
    return count % 2 === 0 ? operand : this.call(t.pos, t.text === '!' ? '!_' : '-_', [operand]);
  }
  #member(): Expr {
    return this.#members(this.#primary());
  }

  #members(start: Expr): Expr {
    let expr = start;
    for (let n = 0; ; this.#link(++n)) {
      if (this.#is('.')) {
        const { pos } = this.#next();
        const optional = this.#take('?');
        const name = this.#next();
        if (name.kind !== 'ident' && name.kind !== 'escaped') {
          this.#at--;
          throw this.#unexpected();
        }
        if (optional) expr = this.call(pos, '_?._', [expr, this.#const(name.pos, name.text)]);
        else if (name.kind === 'ident' && this.#is('(')) {
          const open = this.#next().pos;
          const args = this.#arguments();
          expr = expandMacro(this, open, name.text, expr, args) ?? this.call(open, name.text, args, expr);
        } else expr = { id: this.nextId(), pos, kind: 'select', operand: expr, field: name.text, test: false };
      } else if (this.#is('[')) {
        const { pos } = this.#next();
        const fn = this.#take('?') ? '_[?_]' : '_[_]';
        const key = this.#expression();
        this.#expect(']');
        expr = this.call(pos, fn, [expr, key]);
      } else if (this.#is('{') && qualifiedName(expr) !== undefined) {
        expr = this.#struct(qualifiedName(expr)!);
      } else return expr;
    }
  }

  #arguments(): Expr[] {
    const args: Expr[] = [];
    if (this.#take(')')) return args;
    do args.push(this.#expression());
    while (this.#take(','));
    this.#expect(')');
    return args;
  }

  #primary(): Expr {
    const t = this.#next();
    if (t.kind === 'op') {
      switch (t.text) {
        case '(': {
          const inner = this.#expression();
          this.#expect(')');
          return inner;
        }
        case '[':
          return this.#list(t.pos);
        case '{':
          return this.#map(t.pos);
        case '.': {
          const name = this.#next();
          if (name.kind === 'ident') return this.#identifier(name, '.');
        }
      }
      this.#at--;
      throw this.#unexpected();
    }
    switch (t.kind) {
      case 'int':
      case 'uint':
      case 'double':
        return this.#number(t, false);
      case 'string':
        return this.#const(t.pos, t.text);
      case 'bytes':
        return this.#const(t.pos, Uint8Array.from(Buffer.from(t.text, 'latin1')));
      case 'ident':
        return this.#identifier(t, '');
      default:
        this.#at--;
        throw this.#unexpected();
    }
  }

  #identifier(t: Token, dot: string): Expr {
    const { text, pos } = t;
    if (dot === '' && (text === 'true' || text === 'false')) return this.#const(pos, text === 'true');
    if (dot === '' && text === 'null') return this.#const(pos, null);
    if (RESERVED.has(text)) throw this.error(`reserved identifier: ${text}`, pos);
    if (this.#is('(')) {
      const open = this.#next().pos;
      const args = this.#arguments();
      return expandMacro(this, open, text, undefined, args) ?? this.call(open, text, args);
    }
    return { id: this.nextId(), pos, kind: 'ident', name: dot + text };
  }

  #number(t: Token, negative: boolean): Expr {
    if (t.kind === 'double') {
      const value = Number(t.text);
      return this.#const(t.pos, negative ? -value : value);
    }
    const magnitude = BigInt(t.kind === 'uint' ? t.text.slice(0, -1) : t.text);
    if (t.kind === 'uint') {
      if (magnitude > UINT_MAX) throw this.error('invalid uint literal', t.pos);
      return this.#const(t.pos, new UintValue(magnitude));
    }
    const value = negative ? -magnitude : magnitude;
    if (value < INT_MIN || value > INT_MAX) throw this.error('invalid int literal', t.pos);
    return this.#const(t.pos, value);
  }

  #list(pos: number): Expr {
    const items: Expr[] = [];
    const optional = new Set<number>();
    while (!this.#is(']')) {
      if (this.#take('?')) optional.add(items.length);
      items.push(this.#expression());
      if (!this.#take(',')) break;
    }
    this.#expect(']');
    return { id: this.nextId(), pos, kind: 'list', items, optional };
  }
  #map(pos: number): Expr {
    const entries: MapEntryNode[] = [];
    while (!this.#is('}')) {
      const optional = this.#take('?');
      const key = this.#expression();
      this.#expect(':');
      entries.push({ key, value: this.#expression(), optional });
      if (!this.#take(',')) break;
    }
    this.#expect('}');
    return { id: this.nextId(), pos, kind: 'map', entries };
  }
  #struct(name: string): Expr {
    const { pos } = this.#expect('{');
    const fields: { name: string; value: Expr; optional: boolean; pos: number }[] = [];
    while (!this.#is('}')) {
      const optional = this.#take('?');
      const field = this.#next();
      if (field.kind !== 'ident' && field.kind !== 'escaped') {
        this.#at--;
        throw this.#unexpected();
      }
      const colon = this.#expect(':');
      fields.push({ name: field.text, value: this.#expression(), optional, pos: colon.pos });
      if (!this.#take(',')) break;
    }
    this.#expect('}');
    return { id: this.nextId(), pos, kind: 'struct', name, fields };
  }
}

function childrenOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case 'const':
    case 'ident':
      return [];
    case 'select':
      return [e.operand];
    case 'call':
      return e.target ? [e.target, ...e.args] : e.args;
    case 'list':
      return e.items;
    case 'map':
      return e.entries.flatMap((m) => [m.key, m.value]);
    case 'struct':
      return e.fields.map((f) => f.value);
    case 'comprehension':
      return [e.range, e.init, e.condition, e.step, e.result];
  }
}

/** Some node that lies deeper in the tree than `depth`. */
function firstBelow(root: Expr, depth: number): Expr | undefined {
  let level: readonly Expr[] = [root];
  for (let d = 0; d <= depth && level.length > 0; d++) level = level.flatMap(childrenOf);
  return level[0];
}

/** `a.b.c` as one name; undefined for anything else. */
export function qualifiedName(expr: Expr): string | undefined {
  if (expr.kind === 'ident') return expr.name.replace(/^\./, '');
  if (expr.kind !== 'select' || expr.test) return undefined;
  const outer = qualifiedName(expr.operand);
  return outer === undefined ? undefined : `${outer}.${expr.field}`;
}
