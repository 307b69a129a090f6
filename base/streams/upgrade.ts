/** HTTP/1.1 upgrades: asking for one, answering one, and joining two upgraded connections. */
import http from 'node:http';
import https from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';

export interface UpgradeRequest {
  url: string;
  method?: string;
  headers: OutgoingHttpHeaders;
  /** For https URLs. */
  tls?: {
    ca?: string | Buffer;
    cert?: string | Buffer;
    key?: string | Buffer;
    rejectUnauthorized?: boolean;
    servername?: string;
  };
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface Upgraded {
  socket: Duplex;
  headers: IncomingHttpHeaders;
  /** Bytes that came right behind the answer's head. */
  head: Buffer;
}

/** The other side answered, but not with an upgrade. */
export class UpgradeRefused extends Error {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  constructor(statusCode: number, headers: IncomingHttpHeaders, body: Buffer) {
    super(body.toString('utf8').trim() || `unable to upgrade connection: HTTP ${statusCode}`);
    this.statusCode = statusCode;
    this.headers = headers;
    this.body = body;
  }
}

/** Asks for an upgrade; rejects with UpgradeRefused when the answer is another one. */
export function requestUpgrade(r: UpgradeRequest): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const url = new URL(r.url);
    const transport = url.protocol === 'https:' ? https : http;
    const req = transport.request(url, {
      method: r.method ?? 'POST',
      headers: r.headers,
      agent: false,
      signal: r.signal,
      ...r.tls,
    });
    req.setTimeout(r.timeoutMs ?? 30_000, () => req.destroy(new Error(`no answer to the upgrade of ${url.pathname}`)));
    req.on('upgrade', (res, socket, head) => {
      socket.setTimeout(0);
      resolve({ socket, headers: res.headers, head });
    });
    req.on('response', (res) => {
      const chunks: Buffer[] = [];
      let size = 0;
      res.on('data', (c: Buffer) => {
        size += c.length;
        if (size < 65_536) chunks.push(c);
      });
      res.on('end', () => reject(new UpgradeRefused(res.statusCode ?? 500, res.headers, Buffer.concat(chunks))));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end();
  });
}

/** The head of an answer to a request that asked for an upgrade. */
export function responseHead(
  statusCode: number,
  headers: Record<string, string | readonly string[] | undefined>,
): string {
  let out = `HTTP/1.1 ${statusCode} ${http.STATUS_CODES[statusCode] ?? ''}\r\n`;
  for (const [name, value] of Object.entries(headers))
    for (const v of value === undefined ? [] : typeof value === 'string' ? [value] : value) out += `${name}: ${v}\r\n`;
  return `${out}\r\n`;
}

/** Refuses an upgrade with an ordinary answer. */
export function refuseUpgrade(
  socket: Duplex,
  statusCode: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  const text = Buffer.from(body);
  socket.write(
    responseHead(statusCode, {
      'Content-Type': contentType,
      'Content-Length': String(text.length),
      Connection: 'close',
    }),
  );
  socket.end(text);
}

/** Sends what comes in on one to the other, both ways, until both are at their end; one that breaks ends the other. */
export function join(a: Duplex, b: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let open = 2;
    const over = () => {
      a.destroy();
      b.destroy();
      if (--open === 0) resolve();
    };
    a.on('error', () => {});
    b.on('error', () => {});
    a.once('close', over);
    b.once('close', over);
    a.pipe(b);
    b.pipe(a);
  });
}

/** Whether a request asks for SPDY/3.1, a WebSocket, or nothing that is known. */
export function upgradeKind(req: IncomingMessage): 'spdy' | 'websocket' | undefined {
  if (!/\bupgrade\b/i.test(req.headers.connection ?? '')) return undefined;
  const to = (req.headers.upgrade ?? '').toLowerCase();
  if (to.includes('websocket')) return 'websocket';
  if (to.includes('spdy/3.1')) return 'spdy';
  return undefined;
}
