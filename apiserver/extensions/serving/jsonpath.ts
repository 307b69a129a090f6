/**
 * JSONPath as printer columns and selectable fields use it: names, indexes, slices, wildcards, recursive descent and
 * simple filters. https://kubernetes.io/docs/reference/kubectl/jsonpath/
 */
import { isObject, type Value } from '../schema/equal.ts';

type Step =
  | { kind: 'name'; name: string }
  | { kind: 'all' }
  | { kind: 'descend' }
  | { kind: 'slice'; from: number | undefined; to: number | undefined; step: number }
  | { kind: 'union'; of: Step[] }
  | { kind: 'filter'; left: Operand; op: string; right: Operand | undefined };
type Operand = { path: Step[] } | { value: Value };

/** A path that can't be read. */
export class JsonPathError extends Error {}

export interface JsonPath {
  /** Everything the path leads to; nothing when a key is missing. */
  find(root: Value): Value[];
}

/** Reads `.spec.a[0]['b.c'][?(@.type=="x")].d`. Throws JsonPathError. */
export function parseJsonPath(text: string): JsonPath {
  const parser = new Parser(text);
  const steps = parser.steps(false);
  if (!parser.atEnd) throw new JsonPathError(`unexpected ${JSON.stringify(parser.rest)} in ${JSON.stringify(text)}`);
  const names = steps.every((s) => s.kind === 'name') ? steps.map((s) => s.name) : undefined;
  if (!names) return { find: (root) => run(steps, [root]) };
  return {
    find(root) {
      let v: Value | undefined = root;
      for (const n of names) {
        if (!isObject(v) || !Object.hasOwn(v, n)) return [];
        v = v[n];
      }
      return v === undefined ? [] : [v];
    },
  };
}

class Parser {
  readonly #text: string;
  #at = 0;
  constructor(text: string) {
    this.#text = text.startsWith('$') || text.startsWith('@') ? text.slice(1) : text;
  }
  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }
  get rest(): string {
    return this.#text.slice(this.#at);
  }

  steps(inFilter: boolean): Step[] {
    const out: Step[] = [];
    while (!this.atEnd) {
      const c = this.#text[this.#at]!;
      if (c === '.') {
        this.#at++;
        if (this.#text[this.#at] === '.') {
          this.#at++;
          out.push({ kind: 'descend' });
        }
        if (this.#text[this.#at] === '[' || this.atEnd) continue;
        const name = this.#name();
        out.push(name === '*' ? { kind: 'all' } : { kind: 'name', name });
      } else if (c === '[') out.push(this.#bracket());
      else if (inFilter) break;
      else if (out.length === 0) out.push({ kind: 'name', name: this.#name() });
      else throw new JsonPathError(`unexpected ${JSON.stringify(c)}`);
    }
    return out;
  }

  #name(): string {
    let name = '';
    while (!this.atEnd) {
      const c = this.#text[this.#at]!;
      if (c === '\\' && this.#at + 1 < this.#text.length) {
        name += this.#text[this.#at + 1]!;
        this.#at += 2;
        continue;
      }
      if ('.[]()=!<> '.includes(c)) break;
      name += c;
      this.#at++;
    }
    if (name === '') throw new JsonPathError('a name is missing');
    return name;
  }

  #bracket(): Step {
    this.#at++;
    this.#space();
    if (this.#text.startsWith('?(', this.#at)) {
      this.#at += 2;
      const filter = this.#filter();
      this.#expect(')');
      this.#expect(']');
      return filter;
    }
    const of: Step[] = [];
    for (;;) {
      of.push(this.#element());
      this.#space();
      if (this.#text[this.#at] === ',') {
        this.#at++;
        this.#space();
        continue;
      }
      this.#expect(']');
      return of.length === 1 ? of[0]! : { kind: 'union', of };
    }
  }

  #element(): Step {
    const c = this.#text[this.#at];
    if (c === '*') {
      this.#at++;
      return { kind: 'all' };
    }
    if (c === "'" || c === '"') return { kind: 'name', name: this.#quoted() };
    const m = /^(-?\d+)?(?::(-?\d+)?)?(?::(-?\d+)?)?/.exec(this.rest)!;
    if (m[0] !== '') {
      this.#at += m[0].length;
      const from = m[1] === undefined ? undefined : Number(m[1]);
      if (!m[0].includes(':')) return { kind: 'slice', from, to: from === -1 ? undefined : from! + 1, step: 1 };
      return {
        kind: 'slice',
        from,
        to: m[2] === undefined ? undefined : Number(m[2]),
        step: m[3] === undefined ? 1 : Number(m[3]),
      };
    }
    return { kind: 'name', name: this.#name() };
  }

  #filter(): Step {
    const left = this.#operand();
    this.#space();
    const op = /^(==|!=|<=|>=|<|>)/.exec(this.rest)?.[1];
    if (op === undefined) return { kind: 'filter', left, op: 'exists', right: undefined };
    this.#at += op.length;
    const right = this.#operand();
    this.#space();
    return { kind: 'filter', left, op, right };
  }

  #operand(): Operand {
    this.#space();
    const c = this.#text[this.#at];
    if (c === '@' || c === '$') {
      this.#at++;
      return { path: this.steps(true) };
    }
    if (c === "'" || c === '"') return { value: this.#quoted() };
    const word = /^[^\s)\]=!<>]+/.exec(this.rest)?.[0] ?? '';
    this.#at += word.length;
    if (word === 'true' || word === 'false') return { value: word === 'true' };
    if (word === '' || Number.isNaN(Number(word)))
      throw new JsonPathError(`unexpected ${JSON.stringify(word)} in a filter`);
    return { value: Number(word) };
  }

  #quoted(): string {
    const quote = this.#text[this.#at++]!;
    let out = '';
    while (!this.atEnd && this.#text[this.#at] !== quote) {
      if (this.#text[this.#at] === '\\') this.#at++;
      out += this.#text[this.#at++] ?? '';
    }
    this.#expect(quote);
    return out;
  }
  #space(): void {
    while (this.#text[this.#at] === ' ') this.#at++;
  }
  #expect(c: string): void {
    this.#space();
    if (this.#text[this.#at] !== c) throw new JsonPathError(`${JSON.stringify(c)} is missing`);
    this.#at++;
  }
}

function run(steps: readonly Step[], from: readonly Value[]): Value[] {
  let values = [...from];
  for (const s of steps) values = values.flatMap((v) => apply(s, v));
  return values;
}

const children = (v: Value): Value[] =>
  Array.isArray(v)
    ? [...(v as Value[])]
    : isObject(v)
      ? Object.values(v).filter((x): x is Value => x !== undefined)
      : [];

function apply(step: Step, v: Value): Value[] {
  switch (step.kind) {
    case 'name':
      return isObject(v) && Object.hasOwn(v, step.name) && v[step.name] !== undefined ? [v[step.name]!] : [];
    case 'all':
      return children(v);
    case 'descend': {
      const out: Value[] = [v];
      for (const c of children(v)) out.push(...apply(step, c));
      return out;
    }
    case 'slice': {
      if (!Array.isArray(v)) return [];
      const list = v as Value[];
      const at = (n: number | undefined, fallback: number) =>
        n === undefined ? fallback : n < 0 ? n + list.length : n;
      const [from, to] = [at(step.from, 0), Math.min(at(step.to, list.length), list.length)];
      const out: Value[] = [];
      if (step.step > 0 && from >= 0) for (let i = from; i < to; i += step.step) out.push(list[i]!);
      return out;
    }
    case 'union':
      return step.of.flatMap((s) => apply(s, v));
    case 'filter':
      return Array.isArray(v) ? (v as Value[]).filter((item) => holds(step, item)) : [];
  }
}

function holds(f: Extract<Step, { kind: 'filter' }>, item: Value): boolean {
  const get = (o: Operand): Value | undefined => ('path' in o ? run(o.path, [item])[0] : o.value);
  const a = get(f.left);
  if (f.op === 'exists') return a !== undefined;
  const b = get(f.right!);
  if (a === undefined || b === undefined) return false;
  switch (f.op) {
    case '==':
      return typeof a === typeof b && a === b;
    case '!=':
      return typeof a === typeof b && a !== b;
    default: {
      if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string')) return false;
      const c = a < (b as typeof a) ? -1 : a > (b as typeof a) ? 1 : 0;
      return f.op === '<' ? c < 0 : f.op === '<=' ? c <= 0 : f.op === '>' ? c > 0 : c >= 0;
    }
  }
}
