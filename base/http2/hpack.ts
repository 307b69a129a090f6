/**
 * Header lists of HTTP/2 (HPACK, RFC 7541): reads all of it, and writes the plainest form of it (nothing is indexed, so a
 * block means the same whenever it is sent, and may be kept).
 */

const NAMES =
  ':authority :method :method :path :path :scheme :scheme :status :status :status :status :status :status :status ' +
  'accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow ' +
  'authorization cache-control content-disposition content-encoding content-language content-length content-location ' +
  'content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match ' +
  'if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range ' +
  'referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via ' +
  'www-authenticate';
const VALUES = [
  '',
  'GET',
  'POST',
  '/',
  '/index.html',
  'http',
  'https',
  '200',
  '204',
  '206',
  '304',
  '400',
  '404',
  '500',
];
VALUES[15] = 'gzip, deflate';

type Field = readonly [name: string, value: string];
/** RFC 7541, appendix A; the first has index 1. */
const STATIC: readonly Field[] = NAMES.split(' ').map((name, i) => [name, VALUES[i] ?? '']);

/** How many bits the code of each byte has, in base 36 (RFC 7541, appendix B; the code is canonical). */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq';
const LONGEST = 30;
/** The mark of the end, which no string may hold. */
const EOS = 256;

let tree: Int16Array | undefined;

/** The code as a tree: two places a node, a node's index where it goes on (doubled), ~byte where it ends, 0 nowhere. */
function codeTree(): Int16Array {
  if (tree) return tree;
  const out = new Int16Array(2 * 257);
  let nodes = 1;
  let code = 0;
  const lengthOf = (symbol: number) => (symbol === EOS ? LONGEST : Number.parseInt(LENGTHS[symbol]!, 36));
  for (let length = 1; length <= LONGEST; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (lengthOf(symbol) !== length) continue;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit--) {
        const at = node + ((code >> bit) & 1);
        node = out[at] ||= 2 * nodes++;
      }
      out[node + (code & 1)] = ~symbol;
      code++;
    }
  }
  return (tree = out);
}

function plainOf(bytes: Buffer): string {
  const t = codeTree();
  const out = Buffer.allocUnsafe(Math.ceil((bytes.length * 8) / 5));
  let length = 0;
  let node = 0;
  /** Bits since the last byte that was complete, and whether all were ones. */
  let open = 0;
  let ones = true;
  for (const byte of bytes)
    for (let bit = 7; bit >= 0; bit--) {
      const b = (byte >> bit) & 1;
      const next = t[node + b]!;
      open++;
      ones &&= b === 1;
      if (next >= 0) {
        node = next;
        continue;
      }
      if (~next === EOS) throw new RangeError('a header has the end mark within');
      out[length++] = ~next;
      node = 0;
      open = 0;
      ones = true;
    }
  if (open > 7 || !ones) throw new RangeError('a header ends within a character');
  return out.toString('latin1', 0, length);
}

const TABLE_BYTES = 4096;
/** What RFC 7541 adds to the length of each entry of the table. */
const ENTRY_BYTES = 32;
/** A header list may be this long altogether. */
const MAX_LIST_BYTES = 1024 * 1024;

/** Reads the header blocks of one connection, each of which may build on those before. */
export class HeaderDecoder {
  /** Oldest first. */
  #table: Field[] = [];
  #bytes = 0;
  #most = TABLE_BYTES;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** The fields of a block; values of one name are joined. @throws RangeError when it is none, after which nothing can be read. */
  decode(block: Buffer): Map<string, string> {
    this.#block = block;
    this.#at = 0;
    const fields = new Map<string, string>();
    let size = 0;
    while (this.#at < block.length) {
      const field = this.#field(block[this.#at]!);
      if (!field) continue;
      const [name, value] = field;
      size += name.length + value.length + ENTRY_BYTES;
      if (size > MAX_LIST_BYTES) throw new RangeError('the headers are too long');
      const known = fields.get(name);
      fields.set(name, known === undefined ? value : `${known}, ${value}`);
    }
    return fields;
  }

  #field(first: number): Field | undefined {
    if (first & 0x80) return this.#entry(this.#integer(7));
    if ((first & 0xe0) === 0x20) {
      this.#most = this.#integer(5);
      if (this.#most > TABLE_BYTES) throw new RangeError('the table of headers is too long');
      this.#shrink();
      return undefined;
    }
    const kept = (first & 0x40) !== 0;
    const index = this.#integer(kept ? 6 : 4);
    const field: Field = [index === 0 ? this.#string() : this.#entry(index)[0], this.#string()];
    if (kept) {
      this.#table.push(field);
      this.#bytes += sizeOf(field);
      this.#shrink();
    }
    return field;
  }

  #shrink(): void {
    while (this.#bytes > this.#most) this.#bytes -= sizeOf(this.#table.shift()!);
  }

  #entry(index: number): Field {
    const field =
      index <= STATIC.length ? STATIC[index - 1] : this.#table[this.#table.length - (index - STATIC.length)];
    if (!field) throw new RangeError('a header is not in the table');
    return field;
  }

  /** An integer whose first byte has `bits` bits of it. */
  #integer(bits: number): number {
    const most = (1 << bits) - 1;
    let value = this.#byte() & most;
    if (value < most) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const b = this.#byte();
      value += (b & 0x7f) << shift;
      if (b < 0x80) return value;
    }
    throw new RangeError('a number is too long');
  }

  #byte(): number {
    const b = this.#block[this.#at++];
    if (b === undefined) throw new RangeError('the headers end too early');
    return b;
  }

  #string(): string {
    const coded = (this.#block[this.#at] ?? 0) & 0x80;
    const length = this.#integer(7);
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#block.length) throw new RangeError('the headers end too early');
    return coded ? plainOf(this.#block.subarray(from, this.#at)) : this.#block.toString('latin1', from, this.#at);
  }
}

const sizeOf = ([name, value]: Field): number => name.length + value.length + ENTRY_BYTES;

/** A block of fields (`[name, value]`, names in lower case). */
export function encodeHeaders(fields: Iterable<Field>): Buffer {
  const out: Buffer[] = [];
  for (const [name, value] of fields) {
    const whole = STATIC.findIndex((f) => f[0] === name && f[1] === value);
    if (whole >= 0 && value !== '') out.push(integer(0x80, 7, whole + 1));
    else out.push(Buffer.of(0), text(name), text(value));
  }
  return Buffer.concat(out);
}

function text(s: string): Buffer {
  const bytes = Buffer.from(s, 'latin1');
  return Buffer.concat([integer(0, 7, bytes.length), bytes]);
}

function integer(mark: number, bits: number, value: number): Buffer {
  const most = (1 << bits) - 1;
  if (value < most) return Buffer.of(mark | value);
  const out = [mark | most];
  let rest = value - most;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
  return Buffer.from(out);
}
