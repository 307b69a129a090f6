/**
 * A client of gRPC over one HTTP/2 connection, as much of it as we need: calls, streams in both directions, deadlines,
 * keep-alive. A general library costs twice the CPU per call and 6 MiB. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import net from 'node:net';
import tls from 'node:tls';
import type { Clock } from './clock.ts';
import { Http2Connection, Http2Error, type Http2Stream } from './http2/connection.ts';
import { encodeHeaders } from './http2/hpack.ts';

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
const EMPTY = Buffer.alloc(0);

/** One server. Connects when first used, and again after the connection was lost. */
export class Channel {
  readonly #address: string;
  readonly #options: ChannelOptions;
  readonly #clock: Clock;
  /** The headers of each path with the deadline that was asked for last. */
  readonly #heads = new Map<string, { timeoutMs: number; block: Buffer }>();
  #connection: Http2Connection | undefined;
  #closed = false;

  /** `address` is `http://host:port`, `https://host:port` or `unix:///path`. */
  constructor(address: string, options: ChannelOptions) {
    this.#address = address;
    this.#options = options;
    this.#clock = options.clock;
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
        stream?.cancel();
      });
      if (over) timer.cancel();
      stream?.write(framed(message), true);
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
      send: (message) => stream?.write(framed(message), false),
      finish: () => stream?.write(EMPTY, true),
      cancel() {
        open = false;
        stream?.cancel();
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#connection?.destroy('the channel is closed');
    this.#connection = undefined;
  }

  #open(
    path: string,
    message: (bytes: Buffer) => void,
    end: (error: RpcError | undefined) => void,
    timeoutMs: number,
  ): Http2Stream | undefined {
    const lost = (why: string, unsent = false) => new RpcError(CODE.unavailable, why, unsent);
    let status: RpcError | 'ok' | undefined;
    const reader = new MessageReader(message, this.#options.maxMessage);
    let stream: Http2Stream | undefined;
    /** Ends it from our side. */
    const refuse = (error: RpcError) => {
      stream?.cancel();
      end(error);
    };
    try {
      stream = this.#connected().open(this.#head(path, timeoutMs), {
        headers(fields) {
          const code = fields.get('grpc-status');
          if (code !== undefined)
            status = code === '0' ? 'ok' : new RpcError(Number(code), unescaped(fields.get('grpc-message')));
          const answer = fields.get(':status');
          if (answer !== undefined && answer !== '200') status = lost(`HTTP status ${answer}`);
        },
        data: (bytes) => {
          try {
            if (reader.take(bytes)) return;
          } catch (error) {
            return refuse(new RpcError(CODE.internal, (error as Error).message));
          }
          refuse(new RpcError(CODE.resourceExhausted, `a message is longer than ${this.#options.maxMessage} bytes`));
        },
        close(error) {
          if (status === 'ok') end(undefined);
          else end(status ?? lost(error?.message ?? 'the answer has no status', error?.unsent));
        },
      });
    } catch (error) {
      const why = (error as Error).message;
      queueMicrotask(() => end(lost(why, true)));
    }
    return stream;
  }

  #head(path: string, timeoutMs: number): Buffer {
    const known = this.#heads.get(path);
    if (known?.timeoutMs === timeoutMs) return known.block;
    const { scheme, authority } = this.#target();
    const timeout = `${Math.min(Math.ceil(timeoutMs), LONGEST_MS)}m`;
    const block = encodeHeaders([
      [':method', 'POST'],
      [':scheme', scheme],
      [':authority', authority],
      [':path', path],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
      ...(timeoutMs > 0 ? [['grpc-timeout', timeout] as const] : []),
      ...Object.entries(this.#options.metadata ?? {}),
    ]);
    this.#heads.set(path, { timeoutMs, block });
    return block;
  }

  #target(): { scheme: 'http' | 'https'; authority: string; path?: string; host: string; port: number } {
    const path = /^unix:(?:\/\/)?(.*)$/.exec(this.#address)?.[1];
    if (path !== undefined) return { scheme: 'http', authority: 'localhost', path, host: '', port: 0 };
    const url = new URL(this.#address);
    const secure = url.protocol === 'https:';
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = Number(url.port || (secure ? 443 : 80));
    return { scheme: secure ? 'https' : 'http', authority: url.host, host, port };
  }

  #connected(): Http2Connection {
    if (this.#closed) throw new Http2Error('the channel is closed', true);
    if (this.#connection?.usable) return this.#connection;
    const { scheme, path, host, port } = this.#target();
    const secure = scheme === 'https';
    const socket = secure
      ? tls.connect({
          ...this.#options.tls,
          host,
          port,
          servername: net.isIP(host) ? '' : host,
          ALPNProtocols: ['h2'],
        })
      : path === undefined
        ? net.connect(port, host)
        : net.connect(path);
    const ready = secure ? 'secureConnect' : 'connect';
    const onEnd = () => {
      slow.cancel();
      alive?.cancel();
      if (this.#connection === connection) this.#connection = undefined;
    };
    const connection: Http2Connection = new Http2Connection(socket, {
      clock: this.#clock,
      ready,
      window: WINDOW,
      onEnd,
    });
    const slow = this.#clock.after(CONNECT_MS, () => connection.destroy('no connection within 5 s'));
    const alive = this.#options.keepAlive
      ? this.#clock.every(KEEPALIVE_MS, () => this.#probe(connection), { background: true })
      : undefined;
    socket.once(ready, () => slow.cancel());
    return (this.#connection = connection);
  }

  #probe(connection: Http2Connection): void {
    const timer = this.#clock.after(KEEPALIVE_TIMEOUT_MS, () => connection.destroy('the server is silent'), {
      background: true,
    });
    connection.ping(() => timer.cancel());
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
function unescaped(s = ''): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}
