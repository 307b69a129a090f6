/**
 * The request and reply that everything behind the front sees, the same for HTTP/1.1 and HTTP/2.
 * Bodies are buffers; streams (watches, logs) write to the native response with back-pressure.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Writable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { badRequest, requestEntityTooLarge } from '../../api/status.ts';
import { Pieces, pump, readAll, type ByteSource } from './byte-source.ts';
import type { Clock } from '../../base/clock.ts';
import { isUnwanted, sendEarly } from './early.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { RequestInfo } from './request-info.ts';

export type NativeRequest = IncomingMessage | Http2ServerRequest;
export type NativeResponse = ServerResponse | Http2ServerResponse;

/** Nobody yet: replaced by authentication. */
export const ANONYMOUS: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** Bodies of resource requests are at most this long (upstream's limit). */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

/** What the audit of a request takes from its bodies. */
export interface AuditTap {
  body(bytes: Buffer): void;
  /** Sees an answer before it is compressed, and gives back what is to be sent. */
  answer(type: string, body: Buffer | ByteSource): Buffer | ByteSource;
}

/** One request on its way through the chain. */
export class ApiRequest {
  readonly method: string;
  /** The path without the query, as sent (still percent-encoded). */
  readonly path: string;
  readonly rawQuery: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly native: NativeRequest;
  /** Monotonic milliseconds at arrival. */
  readonly receivedAt: number;
  info!: RequestInfo;
  user: UserInfo = ANONYMOUS;
  auditId = '';
  /** Texts for Warning headers. */
  warnings: string[] | undefined;
  /** Keys of the audit event that plugins and authorization add. */
  annotations: Record<string, string> | undefined;
  /** There when what is asked for is deprecated. */
  deprecated: { readonly removedRelease: string } | undefined;
  /** There when the request is audited. */
  audited: AuditTap | undefined;
  #query: URLSearchParams | undefined;
  #abort: AbortController | undefined;
  #over = false;

  constructor(native: NativeRequest, receivedAt: number) {
    this.native = native;
    this.receivedAt = receivedAt;
    this.method = native.method ?? 'GET';
    const url = native.url ?? '/';
    const q = url.indexOf('?');
    this.path = q < 0 ? url : url.slice(0, q);
    this.rawQuery = q < 0 ? '' : url.slice(q + 1);
    this.headers = native.headers;
  }

  get query(): URLSearchParams {
    return (this.#query ??= this.rawQuery === '' ? EMPTY_QUERY : new URLSearchParams(this.rawQuery));
  }

  header(name: string): string | undefined {
    const v = this.headers[name];
    return Array.isArray(v) ? v.join(',') : v;
  }

  get socket(): TLSSocket {
    const n = this.native as IncomingMessage & { stream?: { session?: { socket: TLSSocket } } };
    return (n.stream?.session?.socket ?? n.socket) as TLSSocket;
  }

  /** Aborted when the client has gone away or the request's time is up. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortController();
      const left = this.#over || (this.native.destroyed && !this.native.readableEnded);
      if (left) this.#abort.abort(new Error('client went away'));
    }
    return this.#abort.signal;
  }

  /** The answer is over or the client has left: whoever still works for it may stop. */
  over(): void {
    this.#over = true;
    this.#abort?.abort(new Error('client went away'));
  }

  /** Ends work that watches `signal`. */
  abort(reason: Error): void {
    (this.#abort ??= new AbortController()).abort(reason);
  }

  warn(text: string): void {
    const list = (this.warnings ??= []);
    if (!list.includes(text)) list.push(text);
  }

  annotate(key: string, value: string): void {
    (this.annotations ??= {})[key] = value;
  }

  /** The whole body; rejects with 413 beyond `limit` bytes. */
  body(limit = MAX_BODY_BYTES): Promise<Buffer> {
    const native = this.native;
    const declared = native.headers['content-length'];
    if (declared !== undefined && Number(declared) > limit) {
      native.resume();
      return Promise.reject(tooLarge(limit));
    }
    if (declared === '0') return Promise.resolve(EMPTY);
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      native.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > limit) {
          chunks.length = 0;
          reject(tooLarge(limit));
        } else chunks.push(chunk);
      });
      native.once('end', () => {
        const whole = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
        this.audited?.body(whole);
        resolve(whole);
      });
      native.once('error', () => reject(badRequest('the request body could not be read')));
      const gone = () => reject(badRequest('the client went away'));
      native.once('aborted', gone);
      // It may have gone while others were asked about the request: then nothing more is told.
      if (native.destroyed && !native.readableEnded) gone();
    });
  }
}

const EMPTY = Buffer.alloc(0);
const EMPTY_QUERY = new URLSearchParams();
const tooLarge = (limit: number) => requestEntityTooLarge(`Request entity too large: limit is ${limit}`);

/** Longer bodies are handed over in pieces, so that an HTTP/2 session needn't hold them whole. */
const LONG = 256 * 1024;

/** The answer to one request: sent once as a whole, or opened as a stream. */
export class Reply {
  readonly native: NativeResponse;
  readonly #headers: Record<string, string | string[]> = { 'cache-control': 'no-cache, private' };
  #code = 0;
  #bytes = 0;
  #done: (() => void)[] | undefined;
  #over = false;
  readonly #clock: Clock;

  constructor(native: NativeResponse, clock: Clock) {
    this.native = native;
    this.#clock = clock;
  }

  /** The status code that was sent; 0 before. */
  get code(): number {
    return this.#code;
  }
  /** Body bytes sent by `send`. */
  get bytes(): number {
    return this.#bytes;
  }
  get sent(): boolean {
    return this.#code !== 0;
  }

  header(name: string, value: string | string[]): void {
    this.#headers[name] = value;
  }

  /** Sends the whole answer; later calls are ignored. */
  send(code: number, contentType: string, body: Buffer): void {
    if (this.#code !== 0) return;
    this.#code = code;
    this.#bytes = body.length;
    const h = this.#headers;
    if (contentType !== '') h['content-type'] = contentType;
    h['content-length'] = String(body.length);
    const native = this.native as ServerResponse;
    if (native.destroyed) return;
    if (isUnwanted(this.native.req)) {
      sendEarly(this.native, this.#clock, code, h, body);
      return;
    }
    native.writeHead(code, h);
    if (body.length === 0) native.end();
    else if (body.length <= LONG) native.end(body);
    else pump(native, new Pieces([body]));
  }

  /** Sends a body that is put together on the way. */
  sendSource(code: number, contentType: string, source: ByteSource): void {
    if (this.#code !== 0) return;
    this.#code = code;
    this.#bytes = source.length;
    const h = this.#headers;
    h['content-type'] = contentType;
    h['content-length'] = String(source.length);
    const native = this.native as ServerResponse;
    if (native.destroyed) return;
    if (isUnwanted(this.native.req)) {
      sendEarly(this.native, this.#clock, code, h, readAll(source));
      return;
    }
    native.writeHead(code, h);
    pump(native, source);
  }

  /** Opens the answer as a stream of unknown length. */
  stream(code: number, contentType: string): Writable {
    this.#code = code;
    if (contentType !== '') this.#headers['content-type'] = contentType;
    const native = this.native as ServerResponse;
    if (!native.destroyed) {
      native.writeHead(code, this.#headers);
      native.flushHeaders();
    }
    return native;
  }

  /** Calls `fn` once the answer is over, sent or broken off; at once when the client has left already. */
  onClose(fn: () => void): void {
    if (this.#over) fn();
    else (this.#done ??= []).push(fn);
  }

  /** The native response has closed. */
  over(): void {
    this.#over = true;
    for (const f of this.#done?.splice(0) ?? []) f();
  }
}
