/** The exact JSON parser: slower than JSON.parse, but it sees everything (duplicates, big integers, `__proto__`). */
import type { JsonObject, JsonValue } from '../types.ts';
import { DecodeError } from './errors.ts';

const MAX_INT64 = 9223372036854775807n;
const MIN_INT64 = -9223372036854775808n;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const HEX = /^[0-9a-fA-F]{4}$/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** An integer literal as a number when a double holds it exactly, as bigint within int64, else as a double. */
export function integerValue(text: string): number | bigint {
  const n = Number(text);
  if (Number.isSafeInteger(n)) return n === 0 ? 0 : n;
  const big = BigInt(text);
  return big >= MIN_INT64 && big <= MAX_INT64 ? big : n;
}

/** Parses one JSON value; the message of a DecodeError is as Go's encoding/json puts it. */
export function parseJsonExactly(text: string, maxDepth: number): { value: JsonValue; duplicates: string[] } {
  const p = new Parser(text, maxDepth);
  const value = p.value('', 0);
  p.space();
  if (p.pos < text.length) throw p.unexpected('after top-level value');
  return { value, duplicates: p.duplicates };
}

class Parser {
  readonly text: string;
  readonly maxDepth: number;
  readonly duplicates: string[] = [];
  pos = 0;

  constructor(text: string, maxDepth: number) {
    this.text = text;
    this.maxDepth = maxDepth;
  }

  space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.pos);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.pos++;
    }
  }

  unexpected(context: string): DecodeError {
    if (this.pos >= this.text.length) return new DecodeError('unexpected end of JSON input');
    return new DecodeError(
      `invalid character ${quoteChar(String.fromCodePoint(this.text.codePointAt(this.pos)!))} ${context}`,
    );
  }

  value(path: string, depth: number): JsonValue {
    this.space();
    const c = this.text[this.pos];
    switch (c) {
      case '{':
        return this.object(path, this.deeper(depth));
      case '[':
        return this.array(path, this.deeper(depth));
      case '"':
        return this.string();
      case 't':
        return this.literal('true', true);
      case 'f':
        return this.literal('false', false);
      case 'n':
        return this.literal('null', null);
      default:
        if (c !== undefined && (c === '-' || (c >= '0' && c <= '9'))) return this.number();
        throw this.unexpected('looking for beginning of value');
    }
  }

  deeper(depth: number): number {
    if (depth >= this.maxDepth) throw new DecodeError('exceeded max depth');
    return depth + 1;
  }

  literal<T>(word: string, value: T): T {
    for (let i = 1; i < word.length; i++) {
      this.pos++;
      if (this.text[this.pos] !== word[i])
        throw this.unexpected(`in literal ${word} (expecting ${quoteChar(word[i]!)})`);
    }
    this.pos++;
    return value;
  }

  number(): number | bigint {
    NUMBER.lastIndex = this.pos;
    const m = NUMBER.exec(this.text);
    if (!m) {
      this.pos++;
      throw this.unexpected('in numeric literal');
    }
    this.pos = NUMBER.lastIndex;
    const next = this.text[this.pos];
    if (next === '.' && m[1] === undefined && m[2] === undefined) {
      this.pos++;
      throw this.unexpected('after decimal point in numeric literal');
    }
    if ((next === 'e' || next === 'E') && m[2] === undefined) {
      this.pos++;
      if (this.text[this.pos] === '+' || this.text[this.pos] === '-') this.pos++;
      throw this.unexpected('in exponent of numeric literal');
    }
    if (m[1] === undefined && m[2] === undefined) return integerValue(m[0]);
    const n = Number(m[0]);
    if (!Number.isFinite(n)) throw new DecodeError(`cannot unmarshal number ${m[0]} into Go value of type float64`);
    return n;
  }

  string(): string {
    const { text } = this;
    let start = ++this.pos;
    let out = '';
    for (;;) {
      const c = text.charCodeAt(this.pos);
      if (c === 0x22) {
        out += text.slice(start, this.pos++);
        return out.isWellFormed() ? out : out.toWellFormed();
      }
      if (Number.isNaN(c)) throw this.unexpected('');
      if (c < 0x20) throw this.unexpected('in string literal');
      if (c !== 0x5c) {
        this.pos++;
        continue;
      }
      out += text.slice(start, this.pos);
      this.pos++;
      const e = text[this.pos];
      if (e === 'u') {
        const hex = text.slice(this.pos + 1, this.pos + 5);
        if (!HEX.test(hex)) {
          this.pos++;
          while (/^[0-9a-fA-F]$/.test(text[this.pos] ?? '')) this.pos++;
          throw this.unexpected('in \\u hexadecimal character escape');
        }
        out += String.fromCharCode(Number.parseInt(hex, 16));
        this.pos += 5;
      } else {
        const plain = e === undefined ? undefined : ESCAPES[e];
        if (plain === undefined) throw this.unexpected('in string escape code');
        out += plain;
        this.pos++;
      }
      start = this.pos;
    }
  }

  array(path: string, depth: number): JsonValue[] {
    const out: JsonValue[] = [];
    this.pos++;
    this.space();
    if (this.text[this.pos] === ']') {
      this.pos++;
      return out;
    }
    for (;;) {
      out.push(this.value(`${path}[${out.length}]`, depth));
      this.space();
      const c = this.text[this.pos];
      if (c === ',') this.pos++;
      else if (c === ']') {
        this.pos++;
        return out;
      } else throw this.unexpected('after array element');
    }
  }

  object(path: string, depth: number): JsonObject {
    const out: JsonObject = {};
    this.pos++;
    this.space();
    if (this.text[this.pos] === '}') {
      this.pos++;
      return out;
    }
    for (;;) {
      this.space();
      if (this.text[this.pos] !== '"') throw this.unexpected('looking for beginning of object key string');
      const key = this.string();
      this.space();
      if (this.text[this.pos] !== ':') throw this.unexpected('after object key');
      this.pos++;
      const at = path === '' ? key : `${path}.${key}`;
      if (Object.hasOwn(out, key)) this.duplicates.push(at);
      const value = this.value(at, depth);
      if (key === '__proto__')
        Object.defineProperty(out, key, { value, writable: true, enumerable: true, configurable: true });
      else out[key] = value;
      this.space();
      const c = this.text[this.pos];
      if (c === ',') this.pos++;
      else if (c === '}') {
        this.pos++;
        return out;
      } else throw this.unexpected('after object key:value pair');
    }
  }
}

function quoteChar(c: string): string {
  if (c === "'") return `'\\''`;
  if (c === '"') return `'"'`;
  return `'${JSON.stringify(c).slice(1, -1)}'`;
}
