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
    if (holds(b, key, keyEnd, METADATA)) return b[i] === OPEN ? i + 1 : -1;
    i = skipValue(b, i);
  }
}

/** What stands before the resourceVersion in ObjectMeta's order; few and short, whatever the object's size. */
const BEFORE = ['name', 'generateName', 'namespace', 'selfLink', 'uid'].map((name) => Buffer.from(name));

function holds(b: Buffer, from: number, to: number, text: Buffer): boolean {
  if (text.length !== to - from) return false;
  for (let i = 0; i < text.length; i++) if (text[i] !== b[from + i]) return false;
  return true;
}

/** Where a resourceVersion belongs among the members of metadata: its index, and true when members stand before it. */
function place(b: Buffer, start: number): { at: number; after: boolean } {
  let at = start;
  let after = false;
  for (;;) {
    let i = at;
    while (isSpace(b[i]) || b[i] === 0x2c) i++;
    if (b[i] !== QUOTE) return { at, after };
    const key = i + 1;
    i = skipString(b, i);
    const keyEnd = i - 1;
    if (!BEFORE.some((n) => holds(b, key, keyEnd, n))) return { at, after };
    while (isSpace(b[i]) || b[i] === 0x3a) i++;
    at = skipValue(b, i);
    after = true;
  }
}

/**
 * A copy of `value` (JSON of an object whose metadata has no resourceVersion) with `"resourceVersion":"N"` among the
 * members of metadata, after name, namespace and uid, where Kubernetes writes it. The copy has memory of its own, so
 * that keeping it keeps nothing else alive.
 */
export function spliceRevision(value: Buffer, revision: number): Buffer {
  const start = metadataStart(value);
  let at: number;
  let text: string;
  let after = false;
  if (start < 0) {
    at = value.indexOf(OPEN) + 1;
    text = `"metadata":{"resourceVersion":"${revision}"}`;
  } else {
    ({ at, after } = place(value, start));
    text = `"resourceVersion":"${revision}"`;
  }
  if (after) text = `,${text}`;
  else {
    let next = at;
    while (isSpace(value[next])) next++;
    if (value[next] !== CLOSE) text += ',';
  }
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
  let key = place(json, metadataStart(json)).at;
  while (key < json.length && json[key] !== QUOTE) key++;
  const from = skipString(json, key) + 1;
  const to = skipString(json, from);
  const text = `"${revision}"`;
  const out = withRoom(json.length - (to - from) + text.length);
  json.copy(out, 0, 0, from);
  out.write(text, from, 'latin1');
  json.copy(out, from + text.length, to);
  return out;
}
