/** CEL's tokens. */
import { CelSyntaxError } from './ast.ts';

export type TokenKind = 'ident' | 'escaped' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'op' | 'end';
export interface Token {
  readonly kind: TokenKind;
  /** The text; for strings the value, for bytes the value as binary text. */
  readonly text: string;
  readonly pos: number;
}

const OPERATORS = [
  '==',
  '!=',
  '<=',
  '>=',
  '&&',
  '||',
  '[',
  ']',
  '{',
  '}',
  '(',
  ')',
  '.',
  ',',
  '-',
  '!',
  '?',
  ':',
  '+',
  '*',
  '/',
  '%',
  '<',
  '>',
];
const SPACE = /[ \t\r\n\f]*(?:\/\/[^\n]*[ \t\r\n\f]*)*/y;
const IDENT = /[A-Za-z_][A-Za-z0-9_]*/y;
const ESCAPED = /`([A-Za-z0-9_.\-/ ]+)`/y;
const NUMBER = /(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)|(?:0x[0-9a-fA-F]+|\d+)[uU]?/y;
const STRING = /([rR]?[bB]?|[bB][rR])("""|'''|"|')/y;

/** Throws CelSyntaxError. The last token is `end`. */
export function tokenize(source: string): Token[] {
  const out: Token[] = [];
  let at = 0;
  const match = (re: RegExp): RegExpExecArray | null => {
    re.lastIndex = at;
    return re.exec(source);
  };
  for (;;) {
    at += match(SPACE)![0].length;
    if (at >= source.length) break;
    const pos = at;
    const string = match(STRING);
    if (string !== null) {
      const token = readString(source, pos, string);
      out.push(token.token);
      at = token.end;
      continue;
    }
    const ident = match(IDENT);
    if (ident !== null) {
      out.push({ kind: 'ident', text: ident[0], pos });
      at += ident[0].length;
      continue;
    }
    const number = match(NUMBER);
    if (number !== null) {
      const text = number[0];
      const kind = /[uU]$/.test(text) ? 'uint' : text.startsWith('0x') || /^\d+$/.test(text) ? 'int' : 'double';
      out.push({ kind, text, pos });
      at += text.length;
      continue;
    }
    const escaped = match(ESCAPED);
    if (escaped !== null) {
      out.push({ kind: 'escaped', text: escaped[1]!, pos });
      at += escaped[0].length;
      continue;
    }
    const op = OPERATORS.find((o) => source.startsWith(o, at));
    if (op === undefined) {
      throw new CelSyntaxError(`Syntax error: token recognition error at: '${source[at]!}'`, source, pos);
    }
    out.push({ kind: 'op', text: op, pos });
    at += op.length;
  }
  out.push({ kind: 'end', text: '<EOF>', pos: source.length });
  return out;
}

function readString(source: string, pos: number, open: RegExpExecArray): { token: Token; end: number } {
  const prefix = open[1]!.toLowerCase();
  const quote = open[2]!;
  const raw = prefix.includes('r');
  const bytes = prefix.includes('b');
  const long = quote.length === 3;
  let at = pos + open[0].length;
  const start = at;
  const bad = (message: string) => new CelSyntaxError(`Syntax error: ${message}`, source, pos);
  for (;;) {
    if (at >= source.length) throw bad('unterminated string');
    if (source.startsWith(quote, at)) break;
    const c = source[at]!;
    if (!long && (c === '\n' || c === '\r')) throw bad('unterminated string');
    at += c === '\\' && !raw ? 2 : 1;
  }
  const content = source.slice(start, at);
  const end = at + quote.length;
  if (!bytes) return { token: { kind: 'string', text: raw ? content : unescape(content, false, bad), pos }, end };
  const value = raw ? Buffer.from(content, 'utf8').toString('latin1') : unescape(content, true, bad);
  return { token: { kind: 'bytes', text: value, pos }, end };
}

const SIMPLE: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '"': '"',
  "'": "'",
  '\\': '\\',
  '?': '?',
  '`': '`',
};
const ESCAPE =
  /\\(?:([abfnrtv"'\\?`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))|\\|[^\\]+/gy;

function unescape(content: string, bytes: boolean, bad: (message: string) => CelSyntaxError): string {
  const plain = (text: string) => (bytes ? Buffer.from(text, 'utf8').toString('latin1') : text);
  return content.replace(ESCAPE, (all, simple?: string, hex?: string, u4?: string, u8?: string, octal?: string) => {
    if (simple !== undefined) return SIMPLE[simple]!;
    const byte = hex ?? octal;
    if (byte !== undefined) return String.fromCharCode(parseInt(byte, hex === undefined ? 8 : 16));
    const unicode = u4 ?? u8;
    if (unicode !== undefined) {
      const code = parseInt(unicode, 16);
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw bad('invalid unicode code point');
      return plain(String.fromCodePoint(code));
    }
    if (all === '\\') throw bad('invalid escape sequence');
    return plain(all);
  });
}
