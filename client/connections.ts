/**
 * Plain requests over HTTP/1.1: a few connections to one server that stay open, one request under way on each. Node's
 * own client costs three times as much a request, in objects and events that nobody here looks at.
 */
import net from 'node:net';
import tls from 'node:tls';

/** An answer that has come to its end. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

export interface PlainRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** Further lines, each with its line end. */
  readonly headers: string;
  readonly body: string | undefined;
  /** Milliseconds without a sign of life after which it fails; 0 is none. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Asked when it is about to be sent; an error refuses it. */
  refusal?(): Error | undefined;
}

export interface ConnectionsOptions {
  readonly host: string;
  readonly port: number;
  /** The Host header. */
  readonly authority: string;
  /** Without it, no TLS. */
  readonly tls?: Pick<tls.ConnectionOptions, 'secureContext' | 'servername' | 'rejectUnauthorized'>;
  /** Open at a time; more requests wait. */
  readonly max: number;
}

export interface Connections {
  send(request: PlainRequest): Promise<Answer>;
  /** Lets what is under way or waits come to its end, and keeps no connection after that. */
  retire(): void;
  /** Ends all connections; what is under way fails. */
  destroy(): void;
}

interface Job {
  readonly request: PlainRequest;
  resolve(answer: Answer): void;
  reject(error: Error): void;
  onAbort?: () => void;
  /** Sent on a connection that had been open, and may have been closed by the server meanwhile. */
  again?: boolean;
}

/** No server sends so much in front of a body. */
const MAX_HEAD = 256 * 1024;
const IDLE_MS = 60_000;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

const lost = (): Error => Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
const malformed = (what: string): Error => new Error(`malformed answer: ${what}`);

/** A header's value in a head that begins with the status line; names in small letters. */
function header(head: string, lower: string, name: string): string | undefined {
  const at = lower.indexOf(`\r\n${name}:`);
  if (at < 0) return undefined;
  const from = at + name.length + 3;
  const end = head.indexOf('\r\n', from);
  return head.slice(from, end < 0 ? undefined : end).trim();
}

/** How the end of a body is told. */
type Framing = { kind: 'length'; left: number } | { kind: 'chunked' } | { kind: 'close' };

/** What is known of an answer so far. */
class Reading {
  status = 0;
  contentType = '';
  keepAlive = true;
  private framing: Framing | undefined;
  private rest: Buffer = NOTHING;
  private readonly parts: Buffer[] = [];
  private ended = false;
  private readonly toHead: boolean;

  constructor(toHead: boolean) {
    this.toHead = toHead;
  }

  /** True when the answer is complete. @throws Error when it isn't HTTP. */
  take(chunk: Buffer): boolean {
    let data = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    this.rest = NOTHING;
    while (!this.framing) {
      const end = data.indexOf(END_OF_HEAD);
      if (end < 0) {
        if (data.length > MAX_HEAD) throw malformed('endless headers');
        this.rest = data;
        return false;
      }
      this.readHead(data.toString('latin1', 0, end));
      data = data.subarray(end + 4);
    }
    this.readBody(data);
    return this.ended;
  }
  /** The connection has closed. True when that ends the answer. */
  closed(): boolean {
    return this.framing?.kind === 'close';
  }
  get begun(): boolean {
    return this.framing !== undefined || this.rest.length > 0;
  }
  get body(): Buffer {
    return this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
  }

  private readHead(head: string): void {
    if (!/^HTTP\/1\.[01] [1-9]\d\d/.test(head)) throw malformed(head.slice(0, 40));
    this.status = Number(head.slice(9, 12));
    // An interim answer: the real one follows.
    if (this.status < 200) return;
    const lower = head.toLowerCase();
    this.contentType = header(head, lower, 'content-type') ?? '';
    this.keepAlive = head.charCodeAt(7) === 49 && header(head, lower, 'connection')?.toLowerCase() !== 'close';
    const length = header(head, lower, 'content-length');
    if (this.toHead || this.status === 204 || this.status === 304) this.framing = { kind: 'length', left: 0 };
    else if (header(head, lower, 'transfer-encoding')?.toLowerCase().endsWith('chunked'))
      this.framing = { kind: 'chunked' };
    else if (length !== undefined) {
      if (!/^\d+$/.test(length)) throw malformed('content-length');
      this.framing = { kind: 'length', left: Number(length) };
    } else {
      this.framing = { kind: 'close' };
      this.keepAlive = false;
    }
  }

  private readBody(data: Buffer): void {
    const f = this.framing!;
    switch (f.kind) {
      case 'close':
        this.parts.push(data);
        break;
      case 'length':
        if (data.length > f.left) throw malformed('more than its length');
        if (data.length > 0) this.parts.push(data);
        f.left -= data.length;
        this.ended = f.left === 0;
        break;
      case 'chunked':
        this.readChunks(data);
    }
  }

  private readChunks(data: Buffer): void {
    let at = 0;
    while (!this.ended) {
      const eol = data.indexOf('\r\n', at, 'latin1');
      if (eol < 0) break;
      const size = Number.parseInt(data.toString('latin1', at, Math.min(eol, at + 16)), 16);
      if (!(size >= 0)) throw malformed('size of a chunk');
      if (size === 0) {
        // Trailers, if any, end with an empty line, as the last chunk itself does.
        const end = data.indexOf(END_OF_HEAD, eol);
        if (end < 0) break;
        this.ended = true;
        at = end + 4;
      } else {
        if (data.length < eol + 2 + size + 2) break;
        this.parts.push(data.subarray(eol + 2, eol + 2 + size));
        at = eol + 2 + size + 2;
      }
    }
    this.rest = at === 0 ? data : data.subarray(at);
    if (this.ended && this.rest.length > 0) throw malformed('more than its last chunk');
  }
}

class Connection {
  private readonly socket: net.Socket;
  private readonly pool: Pool;
  private job: Job | undefined;
  private reading: Reading | undefined;
  private timeoutMs = IDLE_MS;
  private used = false;
  private secured: boolean;

  constructor(pool: Pool, session: Buffer | undefined) {
    this.pool = pool;
    const { host, port, tls: secure } = pool.options;
    this.socket = secure
      ? tls.connect({ host, port, ALPNProtocols: ['http/1.1'], session, ...secure })
      : net.connect({ host, port });
    const { socket } = this;
    this.secured = !secure;
    socket.on('secureConnect', () => (this.secured = true));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    socket.setTimeout(this.timeoutMs);
    if (secure) socket.on('session', (s: Buffer) => (pool.session = s));
    socket.on('data', (chunk) => this.data(chunk));
    socket.on('end', () => this.gone(lost()));
    socket.on('error', (error) => this.gone(error));
    socket.on('close', () => this.gone(lost()));
    socket.on('timeout', () => this.late());
  }

  begin(job: Job): void {
    const { request } = job;
    this.job = job;
    job.again = this.used;
    this.reading = new Reading(request.method === 'HEAD');
    if (this.used) this.socket.ref();
    if (request.timeoutMs !== this.timeoutMs) this.socket.setTimeout((this.timeoutMs = request.timeoutMs));
    const { body } = request;
    const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
    const head = `${request.method} ${request.path} HTTP/1.1\r\nHost: ${this.pool.options.authority}\r\n${request.headers}${length}\r\n`;
    const text = body === undefined ? head : head + body;
    // Nothing is said before the server has shown who it is.
    if (this.secured) this.socket.write(text);
    else this.socket.once('secureConnect', () => this.socket.write(text));
  }

  /** Fails what is under way and closes. */
  fail(error: Error): void {
    this.gone(error);
  }
  close(): void {
    this.socket.destroy();
  }

  private late(): void {
    const { job } = this;
    if (!job) return this.gone(lost());
    const { method, path, timeoutMs } = job.request;
    // Asking once more would make its time as long as there are connections.
    job.again = false;
    this.gone(new Error(`no answer within ${timeoutMs} ms: ${method} ${path}`));
  }

  private data(chunk: Buffer): void {
    const { job, reading } = this;
    // An answer to no question.
    if (!job || !reading) return this.gone(lost());
    try {
      if (!reading.take(chunk)) return;
    } catch (error) {
      return this.gone(error as Error);
    }
    this.settle(job, reading);
    if (!reading.keepAlive) return this.gone(lost());
    this.used = true;
    this.pool.idle(this);
  }

  private settle(job: Job, reading: Reading): void {
    this.job = undefined;
    this.reading = undefined;
    job.resolve(reading);
  }

  private gone(error: Error): void {
    const { job, reading } = this;
    if (job && reading?.closed()) this.settle(job, reading);
    else if (job) {
      this.job = undefined;
      // The server had closed it before our question came: a read may be asked again, by another one.
      const unheard = job.again && !reading!.begun && !this.pool.destroyed;
      if (unheard && job.request.method === 'GET' && !job.request.signal?.aborted) this.pool.enqueue(job);
      else job.reject(error);
    }
    this.socket.destroy();
    this.pool.remove(this);
  }

  rest(): void {
    if (this.timeoutMs !== IDLE_MS) this.socket.setTimeout((this.timeoutMs = IDLE_MS));
    this.socket.unref();
  }
  holds(job: Job): boolean {
    return this.job === job;
  }
}

function refused(job: Job): boolean {
  const error = job.request.refusal?.();
  if (error) job.reject(error);
  return error !== undefined;
}

class Pool implements Connections {
  readonly options: ConnectionsOptions;
  /** Of the last connection: the next one needn't exchange certificates again. */
  session: Buffer | undefined;
  private readonly open = new Set<Connection>();
  private readonly free: Connection[] = [];
  private readonly waiting: Job[] = [];
  private retired = false;
  destroyed = false;

  constructor(options: ConnectionsOptions) {
    this.options = options;
  }

  send(request: PlainRequest): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { signal } = request;
      if (!signal) return this.enqueue({ request, resolve, reject });
      if (signal.aborted) return reject(signal.reason as Error);
      const onAbort = () => this.abort(job, signal.reason as Error);
      const job: Job = {
        request,
        resolve: (a) => {
          signal.removeEventListener('abort', onAbort);
          resolve(a);
        },
        reject: (e) => {
          signal.removeEventListener('abort', onAbort);
          reject(e);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.enqueue(job);
    });
  }

  enqueue(job: Job): void {
    if (refused(job)) return;
    // The one that was used last is the one least likely to have been closed.
    const connection = this.free.pop();
    if (connection) return connection.begin(job);
    if (this.open.size < this.options.max) {
      const fresh = new Connection(this, this.session);
      this.open.add(fresh);
      return fresh.begin(job);
    }
    this.waiting.push(job);
  }

  idle(connection: Connection): void {
    for (let next = this.waiting.shift(); next; next = this.waiting.shift())
      if (!refused(next)) return connection.begin(next);
    if (this.retired) return connection.close();
    connection.rest();
    this.free.push(connection);
  }

  remove(connection: Connection): void {
    if (!this.open.delete(connection)) return;
    const i = this.free.indexOf(connection);
    if (i >= 0) this.free.splice(i, 1);
    // One that is refused takes no connection: the next one's turn has come.
    while (this.open.size < this.options.max) {
      const next = this.waiting.shift();
      if (!next) return;
      this.enqueue(next);
    }
  }

  private abort(job: Job, error: Error): void {
    const i = this.waiting.indexOf(job);
    if (i >= 0) {
      this.waiting.splice(i, 1);
      job.reject(error);
      return;
    }
    for (const c of this.open) if (c.holds(job)) return c.fail(error);
  }

  retire(): void {
    this.retired = true;
    for (const c of this.free.splice(0)) c.close();
  }
  destroy(): void {
    this.retired = this.destroyed = true;
    for (const job of this.waiting.splice(0)) job.reject(lost());
    for (const c of this.open) c.fail(lost());
  }
}

export const createConnections = (options: ConnectionsOptions): Connections => new Pool(options);
