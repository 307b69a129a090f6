/** Bodies that are put together while they are sent: long lists never exist as one buffer. */
import type { ServerResponse } from 'node:http';

/** Bytes of known length, produced piece by piece. */
export interface ByteSource {
  readonly length: number;
  /** Puts the next bytes into `target` and tells how many; it may leave a little room. 0 at the end. */
  fill(target: Buffer): number;
}

/** Everything at once. */
export function readAll(source: ByteSource): Buffer {
  const out = Buffer.allocUnsafeSlow(source.length);
  return out.subarray(0, source.fill(out));
}

/** Pieces are handed to the socket in this size. */
const PIECE = 256 * 1024;
/** Pieces kept for reuse; garbage of this size is what makes long lists dear. */
const MAX_IDLE = 16;
const idle: Buffer[] = [];
const SHORT = 16 * 1024;

/** Writes a whole source and ends the response, as fast as the client takes it. */
export function pump(out: ServerResponse, source: ByteSource): void {
  let left = source.length;
  const next = (): void => {
    while (left > 0) {
      if (out.destroyed) return;
      // What many short lists at one time have beyond the idle pieces is only as long as they need.
      const piece = idle.pop() ?? Buffer.allocUnsafeSlow(left < SHORT ? left : PIECE);
      const n = source.fill(piece);
      left -= n;
      const done = () => {
        if (idle.length < MAX_IDLE && piece.length === PIECE) idle.push(piece);
      };
      const bytes = n === piece.length ? piece : piece.subarray(0, n);
      if (left <= 0 || n === 0) {
        out.end(bytes, done);
        return;
      }
      if (!out.write(bytes, (error) => void (error || done()))) {
        out.once('drain', next);
        return;
      }
    }
  };
  next();
}

/** Buffers one after the other. */
export class Pieces implements ByteSource {
  readonly length: number;
  readonly #pieces: readonly Buffer[];
  #index = 0;
  #at = 0;

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces;
    let length = 0;
    for (const p of pieces) length += p.length;
    this.length = length;
  }

  fill(target: Buffer): number {
    let to = 0;
    while (to < target.length && this.#index < this.#pieces.length) {
      const piece = this.#pieces[this.#index]!;
      const n = piece.copy(target, to, this.#at);
      to += n;
      this.#at += n;
      if (this.#at < piece.length) break;
      this.#index++;
      this.#at = 0;
    }
    return to;
  }
}

/**
 * A JSON list out of its items' bytes: `front`, the items with commas between, `back`. Items that begin with `head`
 * (kind and apiVersion) go without it, as upstream's lists have them.
 */
export class JoinedList implements ByteSource {
  readonly length: number;
  readonly #pieces: readonly Buffer[];
  readonly #front: Buffer;
  readonly #back: Buffer;
  readonly #head: Buffer;
  /** -1: the front; pieces.length: the back. */
  #index = -1;
  /** Where in the present piece; an item's separator counts as one byte before it. */
  #at = 0;

  constructor(front: Buffer, pieces: readonly Buffer[], head: Buffer, back: Buffer) {
    this.#front = front;
    this.#pieces = pieces;
    this.#head = head;
    this.#back = back;
    let size = front.length + back.length + Math.max(pieces.length - 1, 0);
    for (const p of pieces) size += p.length - (this.#startOf(p) === 0 ? 0 : head.length - 1);
    this.length = size;
  }

  /** Where an item's own bytes begin; its opening brace is written anew when the head is left out. */
  #startOf(piece: Buffer): number {
    const { length } = this.#head;
    return piece.length > length && piece.compare(this.#head, 0, length, 0, length) === 0 ? length : 0;
  }

  fill(target: Buffer): number {
    const end = target.length;
    let to = 0;
    while (to < end && this.#index <= this.#pieces.length) {
      const edge = this.#index < 0 ? this.#front : this.#index === this.#pieces.length ? this.#back : undefined;
      if (edge) {
        const n = edge.copy(target, to, this.#at);
        to += n;
        this.#at += n;
        if (this.#at < edge.length) return to;
        this.#next();
        continue;
      }
      const piece = this.#pieces[this.#index]!;
      if (this.#at === 0) {
        // A separator and a brace need two free bytes; what doesn't fit waits for the next buffer.
        const start = this.#startOf(piece);
        if (to + 2 > end) return to;
        if (this.#index > 0) target[to++] = 0x2c;
        if (start > 0) target[to++] = 0x7b;
        this.#at = start;
      }
      const n = piece.copy(target, to, this.#at);
      to += n;
      this.#at += n;
      if (this.#at < piece.length) return to;
      this.#next();
    }
    return to;
  }

  #next(): void {
    this.#index++;
    this.#at = 0;
  }
}
