/** Protobuf's wire format: a writer that fills a buffer from its end (so lengths are known when they are written), and a reader. */

const MAX_KEPT = 1 << 20;

/** Writes backwards: the last field first, a length after what it measures. */
export class WireWriter {
  #buf: Buffer;
  /** What has been written starts here. */
  #pos: number;

  constructor(size = 4096) {
    this.#buf = Buffer.allocUnsafeSlow(size);
    this.#pos = size;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#buf.length - this.#pos;
  }

  #reserve(n: number): void {
    if (this.#pos >= n) return;
    const used = this.length;
    const next = Buffer.allocUnsafeSlow(Math.max(this.#buf.length * 2, used + n));
    this.#buf.copy(next, next.length - used, this.#pos);
    this.#pos = next.length - used;
    this.#buf = next;
  }

  /** A non-negative safe integer. */
  varint(value: number): void {
    this.#reserve(10);
    if (value < 0x80) {
      this.#buf[--this.#pos] = value;
      return;
    }
    let size = 1;
    for (let v = value; v >= 0x80; v = Math.floor(v / 128)) size++;
    this.#pos -= size;
    let v = value;
    for (let i = 0; i < size - 1; i++) {
      this.#buf[this.#pos + i] = (v % 128) | 0x80;
      v = Math.floor(v / 128);
    }
    this.#buf[this.#pos + size - 1] = v;
  }

  /** A signed integer of up to 64 bits. */
  int(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) {
      this.varint(value);
      return;
    }
    let v = BigInt.asUintN(64, BigInt(value));
    this.#reserve(10);
    const bytes: number[] = [];
    for (; v >= 128n; v >>= 7n) bytes.push(Number(v & 127n) | 0x80);
    bytes.push(Number(v));
    for (let i = bytes.length - 1; i >= 0; i--) this.#buf[--this.#pos] = bytes[i]!;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#pos -= 8;
    this.#buf.writeDoubleLE(value, this.#pos);
  }

  bytes(value: Buffer): void {
    this.#reserve(value.length);
    this.#pos -= value.length;
    value.copy(this.#buf, this.#pos);
  }

  /** UTF-8 text with its length before it. */
  string(value: string): void {
    const n = value.length;
    if (n < 64) {
      this.#reserve(n);
      const start = this.#pos - n;
      let i = 0;
      for (; i < n; i++) {
        const c = value.charCodeAt(i);
        if (c > 127) break;
        this.#buf[start + i] = c;
      }
      if (i === n) {
        this.#pos = start;
        this.varint(n);
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.#reserve(size);
    this.#pos -= size;
    this.#buf.write(value, this.#pos, size, 'utf8');
    this.varint(size);
  }

  /** The length of what was written since `mark` (a former `length`). */
  lengthSince(mark: number): void {
    this.varint(this.length - mark);
  }

  /** The bytes, in memory of their own. */
  finish(): Buffer {
    const out = Buffer.allocUnsafeSlow(this.length);
    this.#buf.copy(out, 0, this.#pos);
    return out;
  }

  /** Forgets what was written, to be used again; gives back the memory of an unusually large message. */
  reset(): void {
    if (this.#buf.length > MAX_KEPT) this.#buf = Buffer.allocUnsafeSlow(4096);
    this.#pos = this.#buf.length;
  }
}

/** The bytes are no protobuf message, or not of the type expected. */
export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WireError';
  }
}

/** Reads forward inside [pos, end). */
export class WireReader {
  readonly buf: Buffer;
  pos: number;
  readonly end: number;

  constructor(buf: Buffer, pos = 0, end = buf.length) {
    this.buf = buf;
    this.pos = pos;
    this.end = end;
  }

  get done(): boolean {
    return this.pos >= this.end;
  }

  /** An unsigned number below 2^53 (tags and lengths). */
  varint(): number {
    if (this.pos < this.end) {
      const first = this.buf[this.pos]!;
      if (first < 0x80) {
        this.pos++;
        return first;
      }
    }
    let result = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (this.pos >= this.end) throw new WireError('unexpected EOF');
      const b = this.buf[this.pos++]!;
      result += (b & 0x7f) * scale;
      if (b < 0x80) {
        if (!Number.isSafeInteger(result)) break;
        return result;
      }
      scale *= 128;
    }
    throw new WireError('proto: integer overflow');
  }

  /** A signed integer of 64 bits; bigint beyond the safe range. */
  int(): number | bigint {
    const start = this.pos;
    if (start < this.end && this.buf[start]! < 0x80) return this.buf[this.pos++]!;
    let size = 0;
    while (size < 10) {
      if (this.pos >= this.end) throw new WireError('unexpected EOF');
      size++;
      if (this.buf[this.pos++]! < 0x80) break;
      if (size === 10) throw new WireError('proto: integer overflow');
    }
    if (size <= 7) {
      this.pos = start;
      return this.varint();
    }
    let v = 0n;
    for (let i = size - 1; i >= 0; i--) v = (v << 7n) | BigInt(this.buf[start + i]! & 0x7f);
    const signed = BigInt.asIntN(64, v);
    const n = Number(signed);
    return Number.isSafeInteger(n) ? n : signed;
  }

  double(): number {
    if (this.pos + 8 > this.end) throw new WireError('unexpected EOF');
    this.pos += 8;
    return this.buf.readDoubleLE(this.pos - 8);
  }

  /** The end of a length-delimited value that starts at `pos` after the call. */
  #delimited(): number {
    const n = this.varint();
    if (n > this.end - this.pos) throw new WireError('unexpected EOF');
    return this.pos + n;
  }

  string(): string {
    const end = this.#delimited();
    const { buf, pos } = this;
    this.pos = end;
    // Short plain texts are built faster here than by a call into the runtime.
    if (end - pos < 16) {
      let out = '';
      for (let i = pos; i < end; i++) {
        const b = buf[i]!;
        if (b > 127) return buf.toString('utf8', pos, end);
        out += String.fromCharCode(b);
      }
      return out;
    }
    return buf.toString('utf8', pos, end);
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const end = this.#delimited();
    const out = this.buf.subarray(this.pos, end);
    this.pos = end;
    return out;
  }

  message(): WireReader {
    const end = this.#delimited();
    const out = new WireReader(this.buf, this.pos, end);
    this.pos = end;
    return out;
  }

  skip(wireType: number): void {
    switch (wireType) {
      case 0:
        this.int();
        return;
      case 1:
        this.pos += 8;
        break;
      case 2:
        this.pos = this.#delimited();
        return;
      case 5:
        this.pos += 4;
        break;
      default:
        throw new WireError(`proto: illegal wireType ${wireType}`);
    }
    if (this.pos > this.end) throw new WireError('unexpected EOF');
  }
}
