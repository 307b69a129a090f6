/** Puts a resourceVersion into an object's JSON without parsing it. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const NEWLINE = 0x0a;
const METADATA = Buffer.from('metadata');

const isSpace = (c: number | undefined): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;

/** Index after the string that begins at `i` (a quote). */
function skipString(b: Buffer, i: number): number {
  for (i++; i < b.length; i++) {
    if (b[i] === BACKSLASH) i++;
    else if (b[i] === QUOTE) return i + 1;
  }
  throw new SyntaxError('unterminated string in stored JSON');
}

/** Index after the value that begins at `i`. */
function skipValue(b: Buffer, i: number): number {
  let depth = 0;
  while (i < b.length) {
    const c = b[i]!;
    if (c === QUOTE) i = skipString(b, i);
    else if (c === OPEN || c === 0x5b) {
      depth++;
      i++;
    } else if (c === CLOSE || c === 0x5d) {
      if (depth === 0) return i;
      depth--;
      i++;
    } else if (depth === 0 && c === 0x2c) return i;
    else i++;
    if (depth === 0 && (b[i] === 0x2c || b[i] === CLOSE)) return i;
  }
  throw new SyntaxError('unterminated value in stored JSON');
}

/** Where the members of the top-level object's metadata begin: after its brace; -1 when it has none. */
function metadataStart(b: Buffer): number {
  let i = 0;
  while (isSpace(b[i])) i++;
  if (b[i] !== OPEN) throw new SyntaxError('stored JSON is not an object');
  i++;
  for (;;) {
    while (isSpace(b[i]) || b[i] === 0x2c) i++;
    if (b[i] !== QUOTE) return -1;
    const key = i + 1;
    i = skipString(b, i);
    const keyEnd = i - 1;
    while (isSpace(b[i]) || b[i] === 0x3a) i++;
    if (keyEnd - key === 8 && b.compare(METADATA, 0, 8, key, keyEnd) === 0) return b[i] === OPEN ? i + 1 : -1;
    i = skipValue(b, i);
  }
}

/**
 * A copy of `value` (JSON of an object whose metadata has no resourceVersion) with `"resourceVersion":"N"` as the
 * first member of metadata. The copy has memory of its own, so that keeping it keeps nothing else alive.
 */
export function spliceRevision(value: Buffer, revision: number): Buffer {
  let at = metadataStart(value);
  let text: string;
  if (at < 0) {
    at = value.indexOf(OPEN) + 1;
    text = `"metadata":{"resourceVersion":"${revision}"}`;
  } else text = `"resourceVersion":"${revision}"`;
  let next = at;
  while (isSpace(value[next])) next++;
  if (value[next] !== CLOSE) text += ',';
  const out = withRoom(value.length + text.length);
  value.copy(out, 0, 0, at);
  out.write(text, at, 'latin1');
  value.copy(out, at + text.length, at);
  return out;
}

/** Memory of its own for so many bytes, and a newline after them. */
function withRoom(length: number): Buffer {
  const memory = Buffer.allocUnsafeSlow(length + 1);
  memory[length] = NEWLINE;
  return memory.subarray(0, length);
}

/** The bytes and a newline: without a copy where one stands behind them in memory, as with what is made here. */
export function withNewline(json: Buffer): Buffer {
  const end = json.byteOffset + json.length;
  if (end < json.buffer.byteLength && new Uint8Array(json.buffer, end, 1)[0] === NEWLINE)
    return Buffer.from(json.buffer, json.byteOffset, json.length + 1);
  return Buffer.concat([json, Buffer.of(NEWLINE)]);
}

/** A copy of what spliceRevision made, with another revision. */
export function replaceRevision(json: Buffer, revision: number): Buffer {
  const key = metadataStart(json);
  const from = skipString(json, key) + 1;
  const to = skipString(json, from);
  const text = `"${revision}"`;
  const out = withRoom(json.length - (to - from) + text.length);
  json.copy(out, 0, 0, from);
  out.write(text, from, 'latin1');
  json.copy(out, from + text.length, to);
  return out;
}
