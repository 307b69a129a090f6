/**
 * A SPDY/3.1 connection over any byte stream, as client or server: what exec, attach and port-forward speak.
 * Flow control windows are not used (the Go implementation never sends updates); a stream that isn't read
 * stops the reading of its connection, so memory is bounded.
 */
import { Duplex } from 'node:stream';
import { createInflate } from 'node:zlib';
import {
  controlFrame,
  createHeaderWriter,
  dataHeader,
  decodeHeaders,
  encodeHeaders,
  FLAG_FIN,
  FRAME,
  readHead,
  spdyDictionary,
  type Headers,
} from './spdy-frames.ts';

const MAX_HEADER_BLOCK = 64 * 1024;
const MAX_DATA = 64 * 1024;

/** One stream of a connection: a Duplex whose `end` half-closes. */
export interface SpdyStream extends Duplex {
  readonly streamId: number;
  readonly headers: Headers;
  /** Answers a stream of the other side. */
  reply(headers?: Headers): void;
  /** Resolves when the other side has answered; rejects when it refuses. */
  readonly replied: Promise<Headers>;
  /** Ends both directions at once. */
  reset(): void;
}

export interface SpdyConnection {
  /** Opens a stream; `fin` says that nothing will be written to it. */
  open(headers: Headers, options?: { fin?: boolean }): SpdyStream;
  /** Resolves when the connection is over, by whatever cause. */
  readonly closed: Promise<void>;
  /** Says goodbye and ends the connection. */
  close(): void;
  destroy(): void;
}

class Stream extends Duplex implements SpdyStream {
  readonly streamId: number;
  readonly headers: Headers;
  readonly replied: Promise<Headers>;
  readonly #conn: Connection;
  #resolve!: (h: Headers) => void;
  #reject!: (e: Error) => void;
  #resume: (() => void) | undefined;
  answered = false;
  sentFin: boolean;
  gotFin = false;
  constructor(conn: Connection, id: number, headers: Headers, sentFin: boolean) {
    super({ allowHalfOpen: true, highWaterMark: MAX_DATA });
    this.#conn = conn;
    this.streamId = id;
    this.headers = headers;
    this.sentFin = sentFin;
    this.replied = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.replied.catch(() => {});
    if (sentFin) this.end();
  }
  reply(headers: Headers = {}): void {
    if (this.answered) return;
    this.answered = true;
    this.#conn.sendReply(this.streamId, headers);
  }
  reset(): void {
    this.#conn.sendReset(this.streamId, 5);
    this.destroy();
  }
  onReply(headers: Headers): void {
    this.#resolve(headers);
  }
  onReset(error: Error): void {
    this.#reject(error);
    this.sentFin = true;
    if (this.readableLength === 0) return void this.destroy(this.listenerCount('error') > 0 ? error : undefined);
    // what came before the reset is still to be read: a command's exit status often stands right before it
    this.finish();
    if (!this.writableEnded) this.end();
  }
  /** Takes data; resolves when more is welcome. */
  feed(chunk: Buffer): Promise<void> | undefined {
    if (this.destroyed || this.push(chunk)) return undefined;
    return new Promise((resolve) => (this.#resume = resolve));
  }
  finish(): void {
    if (this.gotFin) return;
    this.gotFin = true;
    if (!this.destroyed) this.push(null);
  }
  override _read(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#conn.sendData(this.streamId, chunk, done);
  }
  override _final(done: (error?: Error | null) => void): void {
    if (!this.sentFin) this.#conn.sendFin(this.streamId);
    this.sentFin = true;
    done();
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this._read();
    this.#conn.forget(this, !this.sentFin || !this.gotFin);
    done(error);
  }
}

class Connection implements SpdyConnection {
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #streams = new Map<number, Stream>();
  readonly #onStream: (s: SpdyStream) => void;
  readonly #maxStreams: number;
  readonly #pack = createHeaderWriter();
  readonly #inflate = createInflate({ dictionary: spdyDictionary() });
  #inflated: Buffer[] = [];
  #nextId: number;
  #over = false;

  constructor(socket: Duplex, options: SpdyOptions) {
    this.#socket = socket;
    this.#onStream = options.onStream ?? ((s) => s.reset());
    this.#maxStreams = options.maxStreams ?? 1000;
    this.#nextId = options.role === 'client' ? 1 : 2;
    this.#inflate.on('data', (d: Buffer) => void this.#inflated.push(d));
    this.#inflate.on('error', () => socket.destroy());
    socket.on('error', () => {});
    this.closed = this.#run()
      .catch(() => {})
      .then(() => this.#end());
  }

  open(headers: Headers, options: { fin?: boolean } = {}): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const s = new Stream(this, id, headers, options.fin ?? false);
    this.#streams.set(id, s);
    const fixed = Buffer.alloc(10);
    fixed.writeUInt32BE(id, 0);
    this.#write(
      controlFrame(
        FRAME.SYN_STREAM,
        options.fin ? FLAG_FIN : 0,
        Buffer.concat([fixed, this.#pack(encodeHeaders(headers))]),
      ),
    );
    return s;
  }
  sendReply(id: number, headers: Headers): void {
    const fixed = Buffer.alloc(4);
    fixed.writeUInt32BE(id, 0);
    this.#write(controlFrame(FRAME.SYN_REPLY, 0, Buffer.concat([fixed, this.#pack(encodeHeaders(headers))])));
  }
  sendReset(id: number, status: number): void {
    const body = Buffer.alloc(8);
    body.writeUInt32BE(id, 0);
    body.writeUInt32BE(status, 4);
    this.#write(controlFrame(FRAME.RST_STREAM, 0, body));
  }
  sendData(id: number, chunk: Buffer, done: (error?: Error | null) => void): void {
    if (this.#over) return done(new Error('the connection is closed'));
    for (let at = 0; at < chunk.length; at += MAX_DATA) {
      const piece = chunk.subarray(at, at + MAX_DATA);
      const last = at + MAX_DATA >= chunk.length;
      this.#socket.write(dataHeader(id, false, piece.length));
      this.#socket.write(piece, last ? (e) => done(e ?? null) : undefined);
    }
    if (chunk.length === 0) done();
  }
  sendFin(id: number): void {
    this.#write(dataHeader(id, true, 0));
  }
  forget(s: Stream, unfinished: boolean): void {
    if (this.#streams.get(s.streamId) !== s) return;
    this.#streams.delete(s.streamId);
    if (unfinished && !this.#over) this.sendReset(s.streamId, 5);
  }
  close(): void {
    if (this.#over) return;
    this.#write(controlFrame(FRAME.GOAWAY, 0, Buffer.alloc(8)));
    this.#socket.end();
  }
  destroy(): void {
    this.#socket.destroy();
  }

  #write(b: Buffer): void {
    if (!this.#over && !this.#socket.destroyed && this.#socket.writable) this.#socket.write(b);
  }
  #end(): void {
    this.#over = true;
    this.#inflate.close();
    for (const s of this.#streams.values()) {
      if (!s.gotFin) s.onReset(new Error('the connection was closed'));
      else if (s.readableLength === 0) s.destroy();
    }
    this.#streams.clear();
    this.#socket.destroy();
  }

  async #run(): Promise<void> {
    let have: Buffer = Buffer.alloc(0);
    let data: { stream: Stream | undefined; left: number; fin: boolean } | undefined;
    for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
      have = have.length ? Buffer.concat([have, chunk]) : chunk;
      for (;;) {
        if (data) {
          // data is passed on as it comes, whatever the frame's length
          const part = have.subarray(0, Math.min(data.left, have.length));
          if (part.length === 0 && data.left > 0) break;
          have = have.subarray(part.length);
          data.left -= part.length;
          if (part.length) await data.stream?.feed(Buffer.from(part));
          if (data.left > 0) break;
          if (data.fin) data.stream?.finish();
          data = undefined;
          continue;
        }
        if (have.length < 8) break;
        const head = readHead(have);
        if (!head.control) {
          data = { stream: this.#streams.get(head.stream), left: head.length, fin: (head.flags & FLAG_FIN) !== 0 };
          have = have.subarray(8);
          continue;
        }
        if (head.length > MAX_HEADER_BLOCK) throw new Error('SPDY control frame too large');
        if (have.length < 8 + head.length) break;
        const body = have.subarray(8, 8 + head.length);
        have = have.subarray(8 + head.length);
        if (await this.#control(head.type, head.flags, body)) return;
      }
    }
  }

  /** Unpacks a header block; the compression state runs through the whole connection. */
  async #unpack(packed: Buffer): Promise<Headers> {
    this.#inflated = [];
    await new Promise<void>((resolve, reject) => {
      this.#inflate.once('error', reject);
      this.#inflate.write(packed, () => {
        this.#inflate.off('error', reject);
        resolve();
      });
    });
    const block = Buffer.concat(this.#inflated);
    if (block.length > MAX_HEADER_BLOCK * 4) throw new Error('SPDY header block too large');
    return decodeHeaders(block);
  }

  /** True when the other side says goodbye. */
  async #control(type: number, flags: number, body: Buffer): Promise<boolean> {
    const id = body.length >= 4 ? body.readUInt32BE(0) & 0x7fffffff : 0;
    const known = this.#streams.get(id);
    switch (type) {
      case FRAME.SYN_STREAM: {
        const headers = await this.#unpack(body.subarray(10));
        if (this.#streams.has(id) || this.#streams.size >= this.#maxStreams) {
          this.sendReset(id, 3);
          return false;
        }
        const s = new Stream(this, id, headers, false);
        this.#streams.set(id, s);
        if (flags & FLAG_FIN) s.finish();
        this.#onStream(s);
        return false;
      }
      case FRAME.SYN_REPLY: {
        const headers = await this.#unpack(body.subarray(4));
        known?.onReply(headers);
        if (flags & FLAG_FIN) known?.finish();
        return false;
      }
      case FRAME.HEADERS:
        await this.#unpack(body.subarray(4));
        if (flags & FLAG_FIN) known?.finish();
        return false;
      case FRAME.RST_STREAM:
        if (known) {
          known.onReset(new Error(`the stream was reset (status ${body.length >= 8 ? body.readUInt32BE(4) : 0})`));
        }
        return false;
      case FRAME.PING:
        // our own pings have the parity of our streams
        if ((id & 1) !== (this.#nextId & 1)) this.#write(controlFrame(FRAME.PING, 0, Buffer.from(body)));
        return false;
      case FRAME.GOAWAY:
        return this.#streams.size === 0;
      default:
        return false; // settings and windows change nothing here
    }
  }
}

export interface SpdyOptions {
  role: 'client' | 'server';
  /** A stream that the other side opened; reply to it or reset it. Without this, all are refused. */
  onStream?(stream: SpdyStream): void;
  /** Streams open at once; defaults to 1000. */
  maxStreams?: number;
}

/** Speaks SPDY over a socket whose HTTP upgrade is done. */
export function createSpdyConnection(socket: Duplex, options: SpdyOptions): SpdyConnection {
  return new Connection(socket, options);
}
