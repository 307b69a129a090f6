/**
 * A client of gRPC over one HTTP/2 connection, as much of it as we need: calls, streams in both directions, deadlines,
 * keep-alive. A general library costs twice the CPU per call and 6 MiB. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import net from 'node:net';
import type { Clock } from './clock.ts';

/** gRPC's codes that matter here. */
export const CODE = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** How a call failed, in the server's words. */
export class RpcError extends Error {
  readonly code: number;
  /** The message, by the name that tells gRPC's errors from others. */
  readonly details: string;
  /** The server has not seen the request: sending it again can't do it twice. */
  readonly unsent: boolean;
  constructor(code: number, details: string, unsent = false) {
    super(details);
    this.code = code;
    this.details = details;
    this.unsent = unsent;
  }
}

export interface ChannelTls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/** A stream in both directions. */
export interface RpcStream {
  send(message: Buffer): void;
  /** Nothing more will be sent. */
  finish(): void;
  /** Ends it; no handler is called any more. */
  cancel(): void;
}

export interface RpcHandlers {
  message(bytes: Buffer): void;
  /** The stream is over, for whatever reason. */
  end(error: RpcError): void;
}

export interface ChannelOptions {
  readonly clock: Clock;
  readonly tls?: ChannelTls;
  /** Sent with each call. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Asks the server now and then whether it is there; servers in Go take that amiss unless told not to. */
  readonly keepAlive?: boolean;
  /** Bytes of a message that is taken at most; defaults to no bound. */
  readonly maxMessage?: number;
}

/** The longest time that eight digits of milliseconds can tell. */
const LONGEST_MS = 99_999_999;
const CONNECT_MS = 5000;
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const WINDOW = 8 * 1024 * 1024;
const PREFIX = 5;

/** One server. Connects when first used, and again after the connection was lost. */
export class Channel {
  readonly #address: string;
  readonly #options: ChannelOptions;
  readonly #clock: Clock;
  readonly #metadata: readonly string[];
  #session: ClientHttp2Session | undefined;
  #closed = false;

  /** `address` is `http://host:port`, `https://host:port` or `unix:///path`. */
  constructor(address: string, options: ChannelOptions) {
    this.#address = address;
    this.#options = options;
    this.#clock = options.clock;
    this.#metadata = Object.entries(options.metadata ?? {}).flat();
  }

  /** One request, one answer; rejects with an RpcError. */
  call(path: string, message: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let answer: Buffer | undefined;
      let over = false;
      const settle = (error: RpcError | undefined) => {
        if (over) return;
        over = true;
        timer.cancel();
        if (error) reject(error);
        else if (answer) resolve(answer);
        else reject(new RpcError(CODE.unknown, 'the answer is empty'));
      };
      const stream = this.#open(path, (m) => (answer = m), settle, timeoutMs);
      const timer = this.#clock.after(Math.min(timeoutMs, LONGEST_MS), () => {
        settle(new RpcError(CODE.deadlineExceeded, 'the call took too long'));
        stream?.close(http2.constants.NGHTTP2_CANCEL);
      });
      if (over) timer.cancel();
      stream?.end(framed(message));
    });
  }

  /** A stream that lasts until it is cancelled or lost. */
  stream(path: string, handlers: RpcHandlers): RpcStream {
    let open = true;
    const end = (error: RpcError | undefined) => {
      if (!open) return;
      open = false;
      handlers.end(error ?? new RpcError(CODE.unavailable, 'the server ended the stream'));
    };
    const stream = this.#open(path, (m) => void (open && handlers.message(m)), end, 0);
    return {
      send: (message) => void stream?.write(framed(message)),
      finish: () => void stream?.end(),
      cancel() {
        open = false;
        stream?.close(http2.constants.NGHTTP2_CANCEL);
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#session?.destroy();
    this.#session = undefined;
  }

  #open(
    path: string,
    message: (bytes: Buffer) => void,
    end: (error: RpcError | undefined) => void,
    timeoutMs: number,
  ): ClientHttp2Stream | undefined {
    const lost = (why: string, unsent = false) => new RpcError(CODE.unavailable, why, unsent);
    let stream: ClientHttp2Stream;
    try {
      // A list is taken as it is, where an object would be looked through for each call.
      const headers = [':method', 'POST', ':path', path, 'content-type', 'application/grpc', 'te', 'trailers'];
      headers.push(...this.#metadata);
      if (timeoutMs > 0) headers.push('grpc-timeout', `${Math.min(Math.ceil(timeoutMs), LONGEST_MS)}m`);
      stream = this.#connected().request(headers, { endStream: false });
    } catch (error) {
      queueMicrotask(() => end(lost((error as Error).message, true)));
      return undefined;
    }
    let status: RpcError | 'ok' | undefined;
    let failure: Error | undefined;
    const reader = new MessageReader(message, this.#options.maxMessage);
    const finish = (h: IncomingHttpHeaders) => {
      const code = h['grpc-status'];
      if (code === undefined) return;
      status = code === '0' ? 'ok' : new RpcError(Number(code), unescaped(h['grpc-message']));
    };
    stream.on('response', (h) => {
      finish(h);
      if (h[':status'] !== 200) status = lost(`HTTP status ${h[':status']}`);
    });
    stream.on('trailers', finish);
    stream.on('data', (chunk: Buffer) => {
      try {
        if (reader.take(chunk)) return;
        status = new RpcError(CODE.resourceExhausted, `a message is longer than ${this.#options.maxMessage} bytes`);
      } catch (error) {
        status = new RpcError(CODE.internal, (error as Error).message);
      }
      stream.removeListener('trailers', finish);
      stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    stream.on('error', (error) => (failure = error));
    stream.once('close', () => {
      // A stream gets its number when its first frame leaves; a server that refuses one has not looked at it.
      const unsent = stream.id === undefined || stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM;
      end(status === 'ok' ? undefined : (status ?? lost(failure?.message ?? 'the connection was lost', unsent)));
    });
    return stream;
  }

  #connected(): ClientHttp2Session {
    if (this.#closed) throw new Error('the channel is closed');
    const known = this.#session;
    if (known && !known.closed && !known.destroyed) return known;
    const path = /^unix:(?:\/\/)?(.*)$/.exec(this.#address)?.[1];
    const session = http2.connect(path === undefined ? this.#address : 'http://localhost', {
      ...this.#options.tls,
      ...(path === undefined ? {} : { createConnection: () => net.connect(path) }),
      settings: { initialWindowSize: WINDOW, enablePush: false },
      maxSessionMemory: 1000,
    });
    this.#session = session;
    const drop = () => {
      if (this.#session === session) this.#session = undefined;
    };
    const slow = this.#clock.after(CONNECT_MS, () => session.destroy(new Error('no connection within 5 s')));
    const alive = this.#options.keepAlive
      ? this.#clock.every(KEEPALIVE_MS, () => this.#probe(session), { background: true })
      : undefined;
    session.once('connect', () => {
      slow.cancel();
      session.setLocalWindowSize(2 * WINDOW);
    });
    // The streams are told of it themselves.
    session.on('error', drop);
    session.once('goaway', drop);
    session.once('close', () => {
      slow.cancel();
      alive?.cancel();
      drop();
    });
    return session;
  }

  #probe(session: ClientHttp2Session): void {
    const timer = this.#clock.after(KEEPALIVE_TIMEOUT_MS, () => session.destroy(new Error('the server is silent')), {
      background: true,
    });
    try {
      session.ping(() => timer.cancel());
    } catch {
      timer.cancel();
    }
  }
}

/** A message with gRPC's prefix: not compressed, its length. */
export function framed(message: Buffer): Buffer {
  const out = Buffer.allocUnsafe(PREFIX + message.length);
  out[0] = 0;
  out.writeUInt32BE(message.length, 1);
  message.copy(out, PREFIX);
  return out;
}

/** Takes messages out of a stream of bytes, however it is cut. */
export class MessageReader {
  readonly #message: (bytes: Buffer) => void;
  readonly #most: number;
  #held: Buffer[] = [];
  #size = 0;
  #wanted = PREFIX;

  constructor(message: (bytes: Buffer) => void, most = Infinity) {
    this.#message = message;
    this.#most = most;
  }

  /** False when a message is too long: no more may be given then. */
  take(chunk: Buffer): boolean {
    this.#held.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#wanted) return true;
    let bytes = this.#held.length === 1 ? chunk : Buffer.concat(this.#held, this.#size);
    for (;;) {
      this.#wanted = bytes.length < PREFIX ? PREFIX : PREFIX + bytes.readUInt32BE(1);
      if (this.#wanted - PREFIX > this.#most) return false;
      if (bytes.length < this.#wanted) break;
      this.#message(bytes.subarray(PREFIX, this.#wanted));
      bytes = bytes.subarray(this.#wanted);
    }
    this.#held = bytes.length === 0 ? [] : [bytes];
    this.#size = bytes.length;
    return true;
  }
}

/** gRPC percent-encodes what isn't printable ASCII. */
function unescaped(text: string | string[] | undefined): string {
  const s = String(text ?? '');
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}
