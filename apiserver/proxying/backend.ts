/** Plain HTTP towards kubelets, pods and services: requests passed on as streams, upgraded connections as bytes. */
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex, Writable } from 'node:stream';
import { StatusError, internalError, serviceUnavailable } from '../../api/status.ts';
import { HOP_BY_HOP } from '../../base/hop-headers.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import { rewriteLinks } from './html.ts';

/** Where a request goes. */
export interface Backend {
  scheme: 'http' | 'https';
  host: string;
  port: number;
  /** With the query. */
  path: string;
  agent?: http.Agent;
}

/** Headers that belong to one connection, or tell who asked. */
const NOT_PASSED_ON = new Set([
  ...HOP_BY_HOP,
  'authorization',
  'host',
  'http2-settings',
  'impersonate-user',
  'impersonate-group',
  'impersonate-uid',
]);

type Headers = Record<string, string | string[]>;

/** Headers set over the client's; undefined takes one away. */
export type HeaderChanges = Readonly<Record<string, string | string[] | undefined>>;

/** The client's headers without those that end here, plus the forwarding ones. */
function forwardedHeaders(request: ApiRequest, changes: HeaderChanges = {}): Headers {
  const out: Headers = {};
  for (const [name, value] of Object.entries(request.headers))
    if (
      value !== undefined &&
      !name.startsWith(':') &&
      !NOT_PASSED_ON.has(name) &&
      !name.startsWith('impersonate-extra-')
    )
      out[name] = value;
  const from = request.socket.remoteAddress ?? '';
  const before = request.header('x-forwarded-for');
  out['x-forwarded-for'] = before ? `${before}, ${from}` : from;
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete out[name];
    else out[name] = value;
  }
  return out;
}

function open(backend: Backend, method: string, headers: Headers): http.ClientRequest {
  const transport = backend.scheme === 'https' ? https : http;
  return transport.request({
    host: backend.host,
    port: backend.port,
    path: backend.path,
    method,
    headers,
    agent: backend.agent,
  });
}

const unreachable = (error: Error): StatusError =>
  serviceUnavailable(`error trying to reach service: ${error.message}`);
/** A kubelet that can't be reached: 500 without a reason, as kube-apiserver has it. */
const noDial = (error: Error): StatusError => new StatusError(500, '', `error dialing backend: ${error.message}`);

/** The other side had closed a kept connection just before it was used again: nothing has been done there. */
const wasStale = (out: http.ClientRequest, error: NodeJS.ErrnoException): boolean =>
  out.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');

/** Sends a request without a body and resolves with the answer's head; the body is the caller's. */
export function fetchFrom(
  backend: Backend,
  method: string,
  headers: Headers,
  signal?: AbortSignal,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const out = open(backend, method, headers);
    out.once('response', resolve);
    out.once('error', (error) => {
      if (method === 'GET' && !signal?.aborted && wasStale(out, error))
        resolve(fetchFrom(backend, method, headers, signal));
      else reject(noDial(error));
    });
    signal?.addEventListener('abort', () => out.destroy(), { once: true });
    out.end();
  });
}

/** Reads a whole (small) answer. */
export async function readText(answer: http.IncomingMessage, limit = 64 * 1024): Promise<string> {
  let text = '';
  for await (const chunk of answer) {
    text += String(chunk);
    if (text.length > limit) break;
  }
  return text;
}

/** Pages longer than this go through as they are. */
const MAX_HTML = 4 * 1024 * 1024;

/** Hands a page on with its links led back through the proxy. */
function passHtml(answer: http.IncomingMessage, sink: Writable, map: (url: string) => string): void {
  const chunks: Buffer[] = [];
  let size = 0;
  answer.on('data', (chunk: Buffer) => {
    size += chunk.length;
    chunks.push(chunk);
    if (size <= MAX_HTML) return;
    answer.removeAllListeners('data');
    sink.write(Buffer.concat(chunks));
    answer.pipe(sink);
  });
  answer.once('end', () => {
    if (size <= MAX_HTML) sink.end(rewriteLinks(Buffer.concat(chunks).toString('utf8'), map));
  });
}

/** Passes a request on and streams the answer back, with back-pressure both ways. `mapLocation` rewrites redirects. */
export function passOn(
  request: ApiRequest,
  reply: Reply,
  backend: Backend,
  mapLocation: (location: string) => string,
  changes?: HeaderChanges,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const out = open(backend, request.method, forwardedHeaders(request, changes));
    out.once('error', (error) => (reply.sent ? resolve() : reject(unreachable(error))));
    out.once('response', (answer) => {
      const type = answer.headers['content-type'] ?? '';
      const rewrite = type.startsWith('text/html') && answer.headers['content-encoding'] === undefined;
      for (const [name, value] of Object.entries(answer.headers)) {
        if (value === undefined || NOT_PASSED_ON.has(name) || name === 'content-type') continue;
        if (rewrite && name === 'content-length') continue;
        reply.header(name, name === 'location' ? mapLocation(String(value)) : value);
      }
      const sink = reply.stream(answer.statusCode ?? 502, type);
      answer.once('error', () => sink.destroy());
      answer.once('close', resolve);
      if (rewrite) passHtml(answer, sink, mapLocation);
      else answer.pipe(sink);
    });
    reply.onClose(() => out.destroy());
    request.native.pipe(out);
  });
}

/**
 * Asks the backend for the same upgrade and, when it agrees, joins the two connections.
 * Throws a StatusError made of the backend's answer when it does not.
 */
export function passUpgrade(
  request: ApiRequest,
  socket: Duplex,
  head: Buffer,
  backend: Backend,
  changes?: HeaderChanges,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = forwardedHeaders(request, changes);
    headers['connection'] = 'Upgrade';
    headers['upgrade'] = request.header('upgrade') ?? '';
    const protocol = request.header('sec-websocket-protocol');
    if (protocol) {
      // a token that travelled as a subprotocol is for us alone
      const kept = protocol.split(',').filter((p) => !p.trim().startsWith('base64url.bearer.authorization.k8s.io.'));
      headers['sec-websocket-protocol'] = kept.map((p) => p.trim()).join(', ');
    }
    const out = open(
      { ...backend, agent: undefined, ...(backend.agent ? { agent: oneOff(backend.agent) } : {}) },
      request.method,
      headers,
    );
    out.once('error', (error) => reject(noDial(error)));
    out.once('response', (answer) => {
      void readText(answer).then((text) => reject(statusOf(answer.statusCode ?? 500, text)));
    });
    out.once('upgrade', (answer, far: Duplex, first: Buffer) => {
      const lines = [`HTTP/1.1 101 ${answer.statusMessage || 'Switching Protocols'}`];
      for (let i = 0; i < answer.rawHeaders.length; i += 2)
        lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
      socket.write(lines.join('\r\n') + '\r\n\r\n');
      if (first.length) socket.write(first);
      if (head.length) far.write(head);
      join(socket, far);
      far.once('close', resolve);
    });
    out.end();
  });
}

/** Upgraded sockets leave the pool; an agent with the same TLS settings that keeps nothing. */
function oneOff(agent: http.Agent): http.Agent {
  const options = (agent as https.Agent).options;
  return new https.Agent({ ...options, keepAlive: false });
}

/** Joins two connections; what one side sent before it ended still reaches the other. */
function join(a: Duplex, b: Duplex): void {
  const finish = (socket: Duplex) => {
    if ('destroySoon' in socket) (socket as Socket).destroySoon();
    else socket.end();
  };
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.once('error', () => to.destroy());
    from.once('close', () => finish(to));
  }
}

/** A Status for what a kubelet or a pod answered in plain text. */
export function statusOf(code: number, text: string): StatusError {
  const message = text.trim();
  try {
    const status = JSON.parse(message) as { kind?: string };
    if (status.kind === 'Status') return StatusError.from(status as never);
  } catch {
    // plain text
  }
  switch (code) {
    case 400:
      return new StatusError(400, 'BadRequest', message);
    case 403:
      return new StatusError(403, 'Forbidden', message);
    case 404:
      return new StatusError(404, 'NotFound', message);
    case 405:
      return new StatusError(405, 'MethodNotAllowed', message);
    default:
      return code >= 500 ? internalError(message) : new StatusError(code, 'Unknown', message);
  }
}
