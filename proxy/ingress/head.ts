/** What goes on of a message's head, whichever version of HTTP came in and whichever goes out. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { HOP_BY_HOP } from '../../base/hop-headers.ts';

/** How long a backend may take to accept a connection. */
export const CONNECT_MS = 3_000;

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/** Headers that belong to one connection; we have answered an expectation ourselves. */
const HOP = new Set([...HOP_BY_HOP, 'proxy-connection', 'http2-settings', 'expect']);
const FORWARDED = new Set([
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
]);

/** Name and value in turn, without those of the connection; what Connection names is one of those too. */
export function endToEnd(raw: readonly string[], more: ReadonlySet<string>): string[] {
  const named = new Set<string>();
  for (let i = 0; i < raw.length; i += 2)
    if (raw[i]!.toLowerCase() === 'connection')
      for (const n of raw[i + 1]!.split(',')) named.add(n.trim().toLowerCase());
  const out: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (!name.startsWith(':') && !HOP.has(name) && !named.has(name) && !more.has(name)) out.push(raw[i]!, raw[i + 1]!);
  }
  return out;
}

/** The host that a request is for, with its port if it names one. */
export const hostHeader = (req: Request): string => req.headers.host ?? String(req.headers[':authority'] ?? '');

/** The headers for a backend that speaks HTTP/1.1, name and value in turn, Host among them. */
export function requestHeaders(req: Request): string[] {
  const { remoteAddress, localPort } = req.socket;
  const client = (remoteAddress ?? '').replace(/^::ffff:/, '');
  const out = endToEnd(req.rawHeaders, FORWARDED);
  const add = (name: string, value: string | undefined) => void (value && out.push(name, value));
  if (req.headers.host === undefined) add('Host', hostHeader(req));
  add('X-Forwarded-For', client);
  add('X-Real-IP', client);
  add('X-Forwarded-Proto', 'encrypted' in req.socket ? 'https' : 'http');
  add('X-Forwarded-Host', hostHeader(req));
  add('X-Forwarded-Port', String(localPort));
  return out;
}

/** Names in lower case, each once: what came more often is a list, crumbs of a cookie are one again. */
export function fieldsOf(headers: readonly string[]): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  for (let i = 0; i < headers.length; i += 2) {
    const [name, value] = [headers[i]!.toLowerCase(), headers[i + 1]!];
    const have = out[name];
    if (have === undefined) out[name] = value;
    else if (name === 'cookie') out[name] = `${String(have)}; ${value}`;
    else out[name] = [have, value].flat();
  }
  return out;
}

/** Whether a body follows. Over HTTP/2 the stream knows: a length need not be given. */
export function hasBody(req: Request): boolean {
  if ('stream' in req) return !req.stream.endAfterHeaders;
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

/** Begins the answer; `headers` are name and value in turn. */
export function sendHead(res: Response, code: number, headers: string[], message?: string): void {
  if ('stream' in res) res.writeHead(code, fieldsOf(headers));
  else if (message === undefined) res.writeHead(code, headers);
  else res.writeHead(code, message, headers);
}
