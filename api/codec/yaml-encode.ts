/**
 * Values as YAML, line for line as kube-apiserver writes them: block style, keys in natural order, texts quoted as
 * little as their form allows, long lines folded behind column 80.
 */
import type { JsonValue } from '../types.ts';

type Plain = DeepJson | undefined;
type DeepJson = null | boolean | number | bigint | string | readonly Plain[] | { readonly [key: string]: Plain };

const STEP = 2;
const WIDTH = 80;
const BASE_60 = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/;
const TIME =
  /^\d{4}-(\d\d?)-(\d\d?)(?:[Tt]\d\d?:\d\d?:\d\d?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)| \d\d?:\d\d?:\d\d?(?:\.\d+)?)?$/;

/** A text of these rules would be read as a time when it isn't quoted. */
function isTime(text: string): boolean {
  const m = TIME.exec(text);
  return m !== null && Number(m[1]) >= 1 && Number(m[1]) <= 12 && Number(m[2]) >= 1 && Number(m[2]) <= 31;
}

/** What the characters of a text allow. */
interface Forms {
  readonly plain: boolean;
  readonly single: boolean;
  readonly block: boolean;
}

const isBreak = (c: string) => c === '\n' || c === '\r' || c === '\u0085' || c === '\u2028' || c === '\u2029';
const isBlank = (c: string | undefined) => c === undefined || c === ' ' || c === '\t' || isBreak(c);
const LEADING = new Set('#,[]{}&*!|>\'"%@`');

function isPrintable(c: string): boolean {
  const n = c.codePointAt(0)!;
  if (n === 0x0a || (n >= 0x20 && n <= 0x7e)) return true;
  return n >= 0xa0 && n <= 0xffff && n !== 0xfeff && n !== 0xfffe && n !== 0xffff && !(n >= 0xd800 && n <= 0xdfff);
}

function formsOf(text: string, chars: readonly string[]): Forms {
  let indicator = text.startsWith('---') || text.startsWith('...');
  let special = false;
  let breaks = false;
  let [spaceBreak, breakSpace] = [false, false];
  for (const [i, c] of chars.entries()) {
    const before = chars[i - 1];
    const after = chars[i + 1];
    if (i === 0 && (LEADING.has(c) || ((c === '?' || c === ':' || c === '-') && isBlank(after)))) indicator = true;
    if (i > 0 && ((c === ':' && isBlank(after)) || (c === '#' && isBlank(before)))) indicator = true;
    if (!isPrintable(c)) special = true;
    if (isBreak(c)) {
      breaks = true;
      if (before === ' ') spaceBreak = true;
    } else if (c === ' ' && before !== undefined && isBreak(before)) breakSpace = true;
  }
  const last = chars.at(-1)!;
  const edges = chars[0] === ' ' || last === ' ' || isBreak(chars[0]!) || isBreak(last);
  const odd = spaceBreak || special;
  return {
    plain: !indicator && !edges && !breaks && !odd,
    single: !breakSpace && !odd,
    block: !odd && last !== ' ',
  };
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\0': '\\0',
  '\x07': '\\a',
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\v': '\\v',
  '\f': '\\f',
  '\r': '\\r',
  '\x1b': '\\e',
  '"': '\\"',
  '\\': '\\\\',
  '\u0085': '\\N',
  '\u00a0': '\\_',
  '\u2028': '\\L',
  '\u2029': '\\P',
};

function escaped(c: string): string {
  const known = ESCAPES[c];
  if (known !== undefined && (!isPrintable(c) || isBreak(c) || c === '"' || c === '\\')) return known;
  if (isPrintable(c) && !isBreak(c)) return c;
  const n = c.codePointAt(0)!;
  const hex = (digits: number) => n.toString(16).toUpperCase().padStart(digits, '0');
  return n <= 0xff ? `\\x${hex(2)}` : n <= 0xffff ? `\\u${hex(4)}` : `\\U${hex(8)}`;
}

/** Order of keys: letters behind other characters, digits by the numbers that they make. */
export function compareKeys(a: string, b: string): number {
  const [x, y] = [Array.from(a), Array.from(b)];
  const digit = (c: string | undefined) => c !== undefined && c >= '0' && c <= '9';
  for (let i = 0; i < x.length && i < y.length; i++) {
    if (x[i] === y[i]) continue;
    const [lx, ly] = [/\p{L}/u.test(x[i]!), /\p{L}/u.test(y[i]!)];
    if (lx && ly) return x[i]! < y[i]! ? -1 : 1;
    if (lx || ly) return ly ? -1 : 1;
    let [nx, ny] = [0, 0];
    if (x[i] === '0' || y[i] === '0')
      for (let j = i - 1; j >= 0 && digit(x[j]); j--)
        if (x[j] !== '0') {
          [nx, ny] = [1, 1];
          break;
        }
    let [ix, iy] = [i, i];
    for (; digit(x[ix]); ix++) nx = nx * 10 + Number(x[ix]);
    for (; digit(y[iy]); iy++) ny = ny * 10 + Number(y[iy]);
    if (nx !== ny) return nx - ny;
    if (ix !== iy) return ix - iy;
    return x[i]! < y[i]! ? -1 : 1;
  }
  return x.length - y.length;
}

function numberText(n: number | bigint): string {
  if (typeof n === 'bigint' || (Number.isInteger(n) && Math.abs(n) < 2 ** 63)) return BigInt(n).toString();
  const exponent = Math.floor(Math.log10(Math.abs(n)));
  if (exponent >= -4 && exponent < 6) return String(n);
  return n.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

/** Writes one document; `isText` says whether an unquoted text would be read back as that text. */
export function writeYaml(value: JsonValue, isText: (text: string) => boolean): string {
  let out = '';
  let column = 0;
  const put = (text: string) => {
    out += text;
    column += text.length;
  };
  const line = (indent: number) => {
    out += `\n${' '.repeat(indent)}`;
    column = indent;
  };

  /** Writes characters one by one; a space behind the edge becomes a new line, where that changes nothing. */
  const folded = (
    chars: readonly string[],
    indent: number,
    fold: boolean,
    inner: boolean,
    form: (c: string) => string,
  ) => {
    let spaces = false;
    for (const [i, c] of chars.entries()) {
      const next = chars[i + 1];
      const edge = inner && (i === 0 || i === chars.length - 1);
      if (c === ' ' && fold && !spaces && column > WIDTH && !edge && (inner || next !== ' ')) {
        line(indent);
        if (form === escaped && next === ' ') put('\\');
        spaces = true;
      } else {
        const shown = form(c);
        out += shown;
        column += Array.from(shown).length;
        spaces = c === ' ';
      }
    }
  };

  const literal = (text: string, indent: number) => {
    const ends = text.endsWith('\n');
    const keeps = ends && (text.length === 1 || text.endsWith('\n\n'));
    put(`|${text[0] === ' ' || text[0] === '\n' ? STEP : ''}${ends ? (keeps ? '+' : '') : '-'}`);
    for (const l of (ends ? text.slice(0, -1) : text).split('\n')) out += `\n${l === '' ? '' : ' '.repeat(indent) + l}`;
  };

  /** A text whose further lines stand at `indent`. */
  const scalar = (text: string, indent: number, isKey: boolean) => {
    const chars = Array.from(text);
    const forms = text === '' ? { plain: false, single: false, block: false } : formsOf(text, chars);
    if (text.includes('\n') && forms.block && !isKey) return literal(text, indent);
    // A merge key is none where it is a value.
    const bare =
      !text.includes('\n') && (isText(text) || (text === '<<' && !isKey)) && !BASE_60.test(text) && !isTime(text);
    if (bare && forms.plain) return folded(chars, indent, !isKey, false, (c) => c);
    if (bare && forms.single) {
      put("'");
      folded(chars, indent, !isKey, true, (c) => (c === "'" ? "''" : c));
      return put("'");
    }
    put('"');
    folded(chars, indent, !isKey, true, escaped);
    put('"');
  };

  const node = (v: Plain, indent: number, below: 'map' | 'list' | 'root') => {
    if (v === null || v === undefined) return put('null');
    if (typeof v === 'string') return scalar(v, indent + STEP, false);
    if (typeof v === 'boolean') return put(String(v));
    if (typeof v === 'number' || typeof v === 'bigint') return put(numberText(v));
    if (Array.isArray(v)) {
      if (v.length === 0) return put('[]');
      // A list below a key stands in the key's own column.
      const at = below === 'list' ? indent + STEP : indent;
      for (const [i, item] of (v as readonly Plain[]).entries()) {
        if (i > 0 || below === 'map') line(at);
        put('- ');
        node(item, at, 'list');
      }
      return undefined;
    }
    const map = v as { readonly [key: string]: Plain };
    const keys = Object.keys(map).filter((k) => map[k] !== undefined);
    if (keys.length === 0) return put('{}');
    const at = below === 'root' ? indent : indent + STEP;
    for (const [i, k] of keys.sort(compareKeys).entries()) {
      if (i > 0 || below === 'map') line(at);
      scalar(k, at, true);
      const inner = map[k];
      const nests = typeof inner === 'object' && inner !== null && Object.keys(inner).length > 0;
      put(nests ? ':' : ': ');
      node(inner, at, 'map');
    }
    return undefined;
  };
  node(value as Plain, 0, 'root');
  return out.endsWith('\n') ? out : `${out}\n`;
}
