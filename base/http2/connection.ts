/**
 * The client's side of an HTTP/2 connection (RFC 9113), as much as gRPC needs: no push, no priorities, headers as ready
 * blocks, and what one turn of the event loop sends leaves in one write. Node's own costs 40 to 80 µs more a request
 * (docs/decisions/http.md).
 */
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { ERROR, FLAG, FRAME, HEAD, MAX_FRAME, number, SETTING, unpadded, Violation } from './frames.ts';
import { HeaderDecoder } from './hpack.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const MAX_HEADER_BYTES = 1024 * 1024;
const FIRST_WINDOW = 65_535;
const MAX_WINDOW = 2 ** 31 - 1;
/** Streams have odd numbers; a connection that comes near the last one is used no more. */
const LAST_ID = 2 ** 30;
const EMPTY = Buffer.alloc(0);
/**
 * Pings are answered this late, in ms. Servers of gRPC in Go send one with each request that comes alone, to measure the line,
 * and none while one is unanswered: to answer at once would wake both sides once more for each request.
 */
const PING_MS = 100;
/** So many pings aren't waited with. */
const MANY_PINGS = 8;

/** Why a stream or a connection ended before its time. */
export class Http2Error extends Error {
  /** The peer has not looked at the request: it may be sent again. */
  readonly unsent: boolean;
  constructor(message: string, unsent = false) {
    super(message);
    this.unsent = unsent;
  }
}

/** What becomes of a stream. */
export interface StreamHandlers {
  /** The headers of the answer, or the trailers. */
  headers(fields: ReadonlyMap<string, string>): void;
  /** Bytes of the body: a part of what came with them, which a copy of what is kept lets go. */
  data(bytes: Buffer): void;
  /** It is over: the peer has said so in good order, or `error` tells why. Not called after a `cancel`. */
  close(error?: Http2Error): void;
}

/** A request that was sent, or waits for its turn. */
export interface Http2Stream {
  /** More of the body; with `end` it is the last. */
  write(bytes: Buffer, end: boolean): void;
  /** Ends it without waiting for the rest. */
  cancel(): void;
}

interface Open extends Http2Stream {
  /** 0 until it is sent. */
  id: number;
  readonly block: Buffer;
  readonly handlers: StreamHandlers;
  /** Bytes that may still be sent. */
  window: number;
  /** Bytes that came and that the peer hasn't been told of. */
  taken: number;
  /** Parts of the body that wait. */
  readonly queue: Buffer[];
  /** Nothing follows what is in the queue. */
  finished: boolean;
  /** All of it was sent. */
  sent: boolean;
}

/** One connection over a socket that connects by itself. */
export class Http2Connection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #onEnd: () => void;
  readonly #windowBytes: number;
  readonly #decoder = new HeaderDecoder();
  readonly #streams = new Map<number, Open>();
  /** Streams that the peer doesn't yet let us open, in order. */
  readonly #waiting = new Set<Open>();
  readonly #pings: (() => void)[] = [];
  /** What the peer's pings hold that aren't answered yet. */
  #asked: Buffer[] = [];
  #out: Buffer[] = [];
  #connected = false;
  #flushing = false;
  #usable = true;
  #ended = false;
  #nextId = 1;
  #window = FIRST_WINDOW;
  #taken = 0;
  /** What the peer has told; it tells how many streams it takes before the first is opened. */
  #peer = { maxStreams: 0, window: FIRST_WINDOW, maxFrame: MAX_FRAME };
  #settled = false;
  #rest: Buffer = EMPTY;
  /** The header block that is arriving. */
  #block: { id: number; end: boolean; parts: Buffer[]; size: number } | undefined;

  /**
   * `ready` is the socket's event after which it can be written to; `window` is how many bytes the peer may send on a
   * stream before they are taken; `onEnd` is called once, when no more requests can be sent.
   */
  constructor(
    socket: Socket,
    o: { clock: Clock; ready: 'connect' | 'secureConnect'; window: number; onEnd: () => void },
  ) {
    this.#socket = socket;
    this.#clock = o.clock;
    this.#onEnd = o.onEnd;
    this.#windowBytes = o.window;
    const settings = Buffer.alloc(12);
    settings.writeUInt16BE(SETTING.enablePush, 0);
    settings.writeUInt16BE(SETTING.initialWindow, 6);
    settings.writeUInt32BE(o.window, 8);
    this.#out.push(PREFACE);
    this.#push(FRAME.settings, 0, 0, settings);
    this.#push(FRAME.windowUpdate, 0, 0, number(2 * o.window - FIRST_WINDOW));
    socket.setNoDelay(true);
    socket.once(o.ready, () => {
      this.#connected = true;
      this.#flush();
    });
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#end(error.message));
    socket.once('end', () => this.destroy('the connection was lost'));
    socket.once('close', () => this.#end('the connection was lost'));
  }

  /** Whether requests can be sent. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Sends a request with the headers of `block` (encodeHeaders), as soon as the peer allows. */
  open(block: Buffer, handlers: StreamHandlers): Http2Stream {
    if (!this.#usable) throw new Http2Error('the connection is closed', true);
    const stream: Open = {
      id: 0,
      block,
      handlers,
      window: 0,
      taken: 0,
      queue: [],
      finished: false,
      sent: false,
      write: (bytes, end) => {
        if (stream.finished) return;
        stream.queue.push(bytes);
        stream.finished = end;
        if (stream.id > 0) this.#send(stream);
      },
      cancel: () => {
        if (this.#waiting.delete(stream)) return;
        if (this.#streams.get(stream.id) !== stream) return;
        this.#push(FRAME.reset, 0, stream.id, number(ERROR.cancel));
        this.#forget(stream);
      },
    };
    this.#waiting.add(stream);
    this.#start();
    return stream;
  }

  /** Asks whether the peer is there; `answered` is called when it is. */
  ping(answered: () => void): void {
    this.#pings.push(answered);
    this.#push(FRAME.ping, 0, 0, Buffer.alloc(8));
  }

  /** Ends everything that is open. */
  destroy(why: string): void {
    this.#end(why);
    this.#socket.destroy();
  }

  /** Opens what waits, as far as the peer allows. */
  #start(): void {
    for (const stream of this.#waiting) {
      if (this.#streams.size >= this.#peer.maxStreams) return;
      this.#waiting.delete(stream);
      stream.id = this.#nextId;
      stream.window = this.#peer.window;
      this.#nextId += 2;
      if (this.#nextId > LAST_ID) this.#retire('the connection is used up');
      this.#streams.set(stream.id, stream);
      const { block } = stream;
      const longest = this.#peer.maxFrame;
      for (let at = 0; at < block.length; at += longest) {
        const last = at + longest >= block.length;
        const type = at === 0 ? FRAME.headers : FRAME.continuation;
        this.#push(type, last ? FLAG.endHeaders : 0, stream.id, block.subarray(at, at + longest));
      }
      this.#send(stream);
    }
  }

  /** Sends of the body what may be sent now. */
  #send(stream: Open): void {
    const { queue } = stream;
    while (queue.length > 0) {
      const bytes = queue[0]!;
      // A window may be below 0 for a while.
      const allowed = Math.max(0, Math.min(this.#peer.maxFrame, this.#window, stream.window));
      const n = Math.min(bytes.length, allowed);
      if (n === 0 && bytes.length > 0) return;
      const whole = n === bytes.length;
      if (whole) queue.shift();
      else queue[0] = bytes.subarray(n);
      stream.sent = whole && stream.finished && queue.length === 0;
      stream.window -= n;
      this.#window -= n;
      this.#push(FRAME.data, stream.sent ? FLAG.endStream : 0, stream.id, whole ? bytes : bytes.subarray(0, n));
    }
  }

  #push(type: number, flags: number, id: number, payload: Buffer): void {
    const head = Buffer.allocUnsafe(HEAD);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    this.#out.push(head, payload);
    if (this.#flushing || !this.#connected) return;
    this.#flushing = true;
    process.nextTick(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const out = this.#out;
    if (out.length === 0 || this.#socket.destroyed) return;
    this.#out = [];
    this.#socket.write(Buffer.concat(out));
  }

  #take(chunk: Buffer): void {
    if (this.#ended) return;
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    try {
      while (bytes.length - at >= HEAD) {
        const length = bytes.readUIntBE(at, 3);
        if (length > MAX_FRAME) throw new Violation(ERROR.frameSize, 'a frame is too long');
        const end = at + HEAD + length;
        if (end > bytes.length) break;
        const id = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
        this.#frame(bytes[at + 3]!, bytes[at + 4]!, id, bytes.subarray(at + HEAD, end));
        if (this.#ended) return;
        at = end;
      }
    } catch (error) {
      const code = error instanceof Violation ? error.code : ERROR.compression;
      if (!(error instanceof Violation || error instanceof RangeError)) throw error;
      this.#push(FRAME.goAway, 0, 0, Buffer.concat([number(0), number(code)]));
      this.#flush();
      this.destroy(error.message);
      return;
    }
    this.#rest = at === bytes.length ? EMPTY : bytes.subarray(at);
  }

  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    if (this.#block && (type !== FRAME.continuation || id !== this.#block.id))
      throw new Violation(ERROR.protocol, 'headers were interrupted');
    switch (type) {
      case FRAME.data:
        return this.#data(id, flags, payload);
      case FRAME.headers: {
        const from = flags & FLAG.priority ? 5 : 0;
        this.#block = { id, end: (flags & FLAG.endStream) !== 0, parts: [], size: 0 };
        return this.#headers(flags, unpadded(flags, payload).subarray(from));
      }
      case FRAME.continuation:
        return this.#headers(flags, payload);
      case FRAME.reset: {
        const stream = this.#streams.get(id);
        if (!stream) return;
        const code = payload.readUInt32BE(0);
        this.#over(stream, new Http2Error(`the stream was reset (${code})`, code === ERROR.refused));
        return;
      }
      case FRAME.settings:
        if (!(flags & FLAG.ack)) this.#settings(payload);
        return;
      case FRAME.pushPromise:
        throw new Violation(ERROR.protocol, 'a push was not asked for');
      case FRAME.ping:
        if (flags & FLAG.ack) this.#pings.shift()?.();
        else if (this.#asked.push(Buffer.from(payload)) === 1)
          this.#clock.after(PING_MS, () => this.#answerPings(), { background: true });
        else if (this.#asked.length >= MANY_PINGS) this.#answerPings();
        return;
      case FRAME.goAway:
        return this.#goAway(payload.readUInt32BE(0) & 0x7fff_ffff);
      case FRAME.windowUpdate:
        return this.#widen(id, payload.readUInt32BE(0) & 0x7fff_ffff);
      default:
      // Others may be left unread.
    }
  }

  #answerPings(): void {
    for (const payload of this.#asked) this.#push(FRAME.ping, FLAG.ack, 0, payload);
    this.#asked = [];
  }

  #data(id: number, flags: number, payload: Buffer): void {
    this.#taken += payload.length;
    if (this.#taken >= this.#windowBytes) {
      this.#push(FRAME.windowUpdate, 0, 0, number(this.#taken));
      this.#taken = 0;
    }
    const stream = this.#streams.get(id);
    if (!stream) return;
    const end = (flags & FLAG.endStream) !== 0;
    stream.taken += payload.length;
    if (!end && stream.taken >= this.#windowBytes / 2) {
      this.#push(FRAME.windowUpdate, 0, id, number(stream.taken));
      stream.taken = 0;
    }
    const bytes = unpadded(flags, payload);
    if (bytes.length > 0) stream.handlers.data(bytes);
    if (end) this.#over(stream);
  }

  #headers(flags: number, part: Buffer): void {
    const block = this.#block;
    if (!block) throw new Violation(ERROR.protocol, 'headers go on that never began');
    block.parts.push(part);
    // An empty part costs as well.
    block.size += part.length + HEAD;
    if (block.size > MAX_HEADER_BYTES) throw new Violation(ERROR.protocol, 'the headers are too long');
    if (!(flags & FLAG.endHeaders)) return;
    this.#block = undefined;
    // The table of headers is the connection's: all blocks count, also those of streams that are over.
    const fields = this.#decoder.decode(block.parts.length === 1 ? part : Buffer.concat(block.parts));
    const stream = this.#streams.get(block.id);
    if (!stream) return;
    // 1xx come before the answer.
    if (!fields.get(':status')?.startsWith('1')) stream.handlers.headers(fields);
    if (block.end) this.#over(stream);
  }

  #settings(payload: Buffer): void {
    if (!this.#settled) this.#peer.maxStreams = Infinity;
    this.#settled = true;
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      switch (payload.readUInt16BE(at)) {
        case SETTING.maxStreams:
          this.#peer.maxStreams = value;
          break;
        case SETTING.maxFrame:
          if (value >= MAX_FRAME) this.#peer.maxFrame = value;
          break;
        case SETTING.initialWindow: {
          if (value > MAX_WINDOW) throw new Violation(ERROR.flowControl, 'the window is too large');
          const more = value - this.#peer.window;
          this.#peer.window = value;
          for (const s of this.#streams.values()) s.window += more;
          break;
        }
        default:
      }
    }
    this.#push(FRAME.settings, FLAG.ack, 0, EMPTY);
    for (const s of this.#streams.values()) this.#send(s);
    this.#start();
  }

  #widen(id: number, more: number): void {
    if (id > 0) {
      const stream = this.#streams.get(id);
      if (!stream) return;
      stream.window += more;
      if (stream.window > MAX_WINDOW) throw new Violation(ERROR.flowControl, 'the window is too large');
      return this.#send(stream);
    }
    this.#window += more;
    if (this.#window > MAX_WINDOW) throw new Violation(ERROR.flowControl, 'the window is too large');
    for (const s of this.#streams.values()) {
      if (this.#window <= 0) return;
      this.#send(s);
    }
  }

  #goAway(last: number): void {
    const why = 'the server closes the connection';
    this.#retire(why);
    const unseen = new Http2Error(why, true);
    for (const s of this.#streams.values()) if (s.id > last) this.#over(s, unseen);
    this.#closeWhenIdle();
  }

  /** Takes no more requests; those that wait can be sent elsewhere. */
  #retire(why: string): void {
    if (!this.#usable) return;
    this.#usable = false;
    this.#onEnd();
    const unseen = new Http2Error(why, true);
    for (const s of this.#waiting) {
      this.#waiting.delete(s);
      s.handlers.close(unseen);
    }
  }

  #closeWhenIdle(): void {
    if (!this.#usable && this.#streams.size === 0) this.destroy('the connection is used no more');
  }

  /** The peer has ended a stream. */
  #over(stream: Open, error?: Http2Error): void {
    if (!error && !stream.sent) this.#push(FRAME.reset, 0, stream.id, number(ERROR.cancel));
    this.#forget(stream);
    stream.handlers.close(error);
  }

  #forget(stream: Open): void {
    this.#streams.delete(stream.id);
    stream.queue.length = 0;
    stream.finished = true;
    if (this.#waiting.size > 0) this.#start();
    this.#closeWhenIdle();
  }

  #end(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#retire(why);
    const error = new Http2Error(why);
    const open = [...this.#streams.values()];
    this.#streams.clear();
    for (const s of open) s.handlers.close(error);
  }
}
