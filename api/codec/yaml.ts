/**
 * YAML as Kubernetes reads it: YAML 1.1 with the scalars of Go's yaml.v2 (`yes`, `0o17`, `1_000`; dates stay texts),
 * turned into the JSON value it stands for. https://yaml.org/spec/1.1/
 */
import { createRequire } from 'node:module';
import type { Composer, Document, Node, Scalar } from 'yaml';
import type { JsonObject, JsonValue } from '../types.ts';
import { DecodeError } from './errors.ts';
import { integerValue } from './json-parser.ts';
import { decodeJson, type Decoded } from './json.ts';
import { writeYaml } from './yaml-encode.ts';

/** The parser is loaded with the first text that needs it: most clients send JSON, and programs start sooner. */
let parser: typeof import('yaml') | undefined;
const lib = (): typeof import('yaml') => (parser ??= createRequire(import.meta.url)('yaml') as typeof import('yaml'));

/** Values that aliases may add to a document, at least; large documents may add ten times their own number. */
const ALIAS_ALLOWANCE = 10_000;
const MAX_DEPTH = 1000;

/** Decodes the first YAML document of a text (JSON is YAML too). Throws DecodeError. */
export function decodeYaml(input: string | Buffer): Decoded {
  const text = typeof input === 'string' ? input : input.toString('utf8');
  if (/^\s*[{[]/.test(text)) {
    // Clients send JSON under YAML's name more often than not.
    try {
      return decodeJson(text);
    } catch (e) {
      if (!(e instanceof DecodeError)) throw e;
    }
  }
  const doc = firstDocument(text);
  if (!doc?.contents) return { value: null, duplicates: [] };
  const r = new Resolver();
  const value = r.value(doc.contents, '', 0);
  const line = lineAt(text);
  const notes = r.repeated.map(
    ({ key, offset }) => `line ${line(offset)}: key ${JSON.stringify(key)} already set in map`,
  );
  return { value, duplicates: r.duplicates, ...(notes.length ? { notes } : {}) };
}

function fail(message: string): DecodeError {
  return new DecodeError(`error converting YAML to JSON: yaml: ${message}`);
}

function firstDocument(text: string): Document.Parsed | undefined {
  // The failsafe schema leaves every scalar the text it is; what it means is decided below.
  const composer = new (lib().Composer)({
    version: '1.1',
    schema: 'failsafe',
    uniqueKeys: false,
    merge: false,
    logLevel: 'silent',
  });
  // The first mistake is the answer: to list all of them would take minutes where each byte is one.
  const strict = composer as unknown as {
    onError(at: ErrorPlace, code: string, text: string, warning?: boolean): void;
  };
  let first: DecodeError | undefined;
  strict.onError = (at, _code, message, warning) => {
    if (warning) return;
    // The composer reports what it catches once more, for each level above.
    if (first) throw first;
    const offset = typeof at === 'number' ? at : Array.isArray(at) ? at[0] : at.offset;
    first = fail(`line ${lineAt(text)(offset)}: ${message.split('\n')[0]!.replace(/ at line \d+.*$/, '')}`);
    throw first;
  };
  try {
    for (const doc of documents(text, composer)) return doc;
  } catch (e) {
    if (e instanceof RangeError) throw tooDeep();
    throw e;
  }
  return undefined;
}

/** Where the composer sees a mistake: an offset, a range, or a token. */
type ErrorPlace = number | [number, number] | { offset: number };

/** The line of an offset, from 1; offsets that are asked for one after the other should grow. */
function lineAt(text: string): (offset: number) => number {
  let line = 1;
  let from = 0;
  return (offset) => {
    if (offset < from) [line, from] = [1, 0];
    for (let i = text.indexOf('\n', from); i >= 0 && i < offset; i = text.indexOf('\n', i + 1)) {
      line++;
      from = i + 1;
    }
    return line;
  };
}

/** Token by token, so that nesting is bounded before anything is built of it. */
function* documents(text: string, composer: Composer): Generator<Document.Parsed> {
  const parser = new (lib().Parser)();
  for (const lexeme of new (lib().Lexer)().lex(text)) {
    // A collection and the item in it are two levels of the parser's stack at most.
    if (parser.stack.length > 2 * MAX_DEPTH) throw tooDeep();
    for (const token of parser.next(lexeme)) yield* composer.next(token);
  }
  for (const token of parser.end()) yield* composer.next(token);
  yield* composer.end();
}

const tooDeep = () => fail(`exceeded max depth of ${MAX_DEPTH}`);

class Resolver {
  readonly duplicates: string[] = [];
  /** The same keys with where they stand in the text. */
  readonly repeated: { key: string; offset: number }[] = [];
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();
  #direct = 0;
  #aliased = 0;
  #insideAlias = 0;

  value(node: unknown, path: string, depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw tooDeep();
    if (this.#insideAlias > 0) {
      if (++this.#aliased > ALIAS_ALLOWANCE + this.#direct * 10) throw fail('document contains excessive aliasing');
    } else this.#direct++;
    if (node === null || node === undefined) return null;
    if (lib().isAlias(node)) return this.#alias(node.source, path, depth);
    const anchor = (node as Node & { anchor?: string }).anchor;
    if (anchor !== undefined) this.#anchors.set(anchor, node as Node);
    if (lib().isScalar(node)) return scalar(node);
    if (lib().isSeq(node)) {
      this.#open.add(node);
      const out = node.items.map((item, i) => this.value(item, `${path}[${i}]`, depth + 1));
      this.#open.delete(node);
      return out;
    }
    if (lib().isMap(node)) {
      this.#open.add(node);
      const out = this.#map(node, path, depth);
      this.#open.delete(node);
      return out;
    }
    throw fail('unknown node');
  }

  #alias(name: string, path: string, depth: number): JsonValue {
    const target = this.#anchors.get(name);
    if (!target) throw fail(`unknown anchor '${name}' referenced`);
    if (this.#open.has(target)) throw fail(`anchor '${name}' value contains itself`);
    this.#insideAlias++;
    const out = this.value(target, path, depth + 1);
    this.#insideAlias--;
    return out;
  }

  #map(node: { items: { key: unknown; value: unknown }[] }, path: string, depth: number): JsonObject {
    const out: JsonObject = {};
    const own = new Set<string>();
    for (const pair of node.items) {
      if (isMergeKey(pair.key)) {
        for (const source of this.#mergeSources(pair.value, path, depth)) {
          for (const k of Object.keys(source)) if (!Object.hasOwn(out, k)) set(out, k, source[k]!);
        }
        continue;
      }
      const key = keyText(this.value(pair.key, path, depth + 1));
      const at = path === '' ? key : `${path}.${key}`;
      if (own.has(key) && this.#insideAlias === 0) {
        this.duplicates.push(at);
        this.repeated.push({ key, offset: (pair.key as { range?: [number, number, number] | null }).range?.[0] ?? 0 });
      }
      own.add(key);
      set(out, key, this.value(pair.value, at, depth + 1));
    }
    return out;
  }

  #mergeSources(node: unknown, path: string, depth: number): JsonObject[] {
    const value = this.value(node, path, depth + 1);
    const list = Array.isArray(value) ? value : [value];
    return list.map((v) => {
      if (typeof v !== 'object' || v === null || Array.isArray(v))
        throw fail('map merge requires map or sequence of maps as the value');
      return v;
    });
  }
}

function set(out: JsonObject, key: string, value: JsonValue): void {
  if (key === '__proto__')
    Object.defineProperty(out, key, { value, writable: true, enumerable: true, configurable: true });
  else out[key] = value;
}

const isMergeKey = (key: unknown) =>
  lib().isScalar(key) && key.value === '<<' && (key.type === lib().Scalar.PLAIN || key.type === undefined);

function keyText(key: JsonValue): string {
  if (typeof key === 'string') return key;
  if (typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean') return String(key);
  throw fail(`unsupported map key: ${key === null ? 'null' : 'a collection'}`);
}

function scalar(node: Scalar): JsonValue {
  const text = typeof node.value === 'string' ? node.value : '';
  const tag = node.tag?.replace('tag:yaml.org,2002:', '!!');
  switch (tag) {
    case '!!str':
    case '!':
      return text;
    case '!!binary':
      return Buffer.from(text, 'base64').toString('latin1');
    case undefined:
      return node.type === lib().Scalar.PLAIN ? plainScalar(text) : text;
    default: {
      const v = plainScalar(text);
      if (tag === '!!float' && typeof v === 'number') return v;
      const type =
        v === null
          ? '!!null'
          : typeof v === 'boolean'
            ? '!!bool'
            : typeof v === 'string'
              ? '!!str'
              : Number.isInteger(v) || typeof v === 'bigint'
                ? '!!int'
                : '!!float';
      if (tag === type || tag === '!!timestamp' || !tag.startsWith('!!')) return tag === type ? v : text;
      throw fail(`cannot decode ${type} \`${text}\` as a ${tag}`);
    }
  }
}

const WORDS: ReadonlyMap<string, boolean | null> = new Map<string, boolean | null>([
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON'].map((w) => [w, true] as const),
  ...['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF'].map((w) => [w, false] as const),
  ...['', '~', 'null', 'Null', 'NULL'].map((w) => [w, null] as const),
]);
const NOT_JSON = /^(?:\.(?:nan|NaN|NAN)|[-+]?\.(?:inf|Inf|INF))$/;
const DECIMAL = /^[-+]?(?:0|[1-9][0-9]*)$/;
const PREFIXED = /^([-+]?)0(?:([xX])([0-9a-fA-F]+)|([bB])([01]+)|[oO]?([0-7]+))$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;

/** What an unquoted scalar stands for. */
function plainScalar(text: string): JsonValue {
  const word = WORDS.get(text);
  if (word !== undefined) return word;
  const c = text.charCodeAt(0);
  // Only what starts like a number can be one: digits, signs, a point.
  if (c > 0x39 || c < 0x2b || c === 0x2c || c === 0x2f) return text;
  if (NOT_JSON.test(text)) throw fail(`unsupported value: ${text}`);
  const plain = c === 0x2e ? text : text.replaceAll('_', '');
  if (DECIMAL.test(plain)) return integerValue(plain.startsWith('+') ? plain.slice(1) : plain);
  const m = PREFIXED.exec(plain);
  if (m) {
    const size =
      m[3] === undefined ? (m[5] === undefined ? BigInt(`0o${m[6]}`) : BigInt(`0b${m[5]}`)) : BigInt(`0x${m[3]}`);
    return integerValue((m[1] === '-' ? -size : size).toString());
  }
  if (FLOAT.test(plain)) {
    const n = Number(plain);
    if (Number.isFinite(n)) return n;
  }
  return text;
}

/** Writes a value as YAML with sorted keys, as Kubernetes does. */
export const encodeYaml = (value: unknown): string => writeYaml(value as JsonValue, isPlainText);

function isPlainText(text: string): boolean {
  return text !== '<<' && !NOT_JSON.test(text) && plainScalar(text) === text;
}
