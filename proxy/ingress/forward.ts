/**
 * Passes one request on, streaming both ways. A backend that can't be reached is passed over before a byte of the body
 * was read; a kept connection that its backend has just closed is no reason to fail a request that may be repeated.
 */
import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { HOP_BY_HOP } from '../../base/hop-headers.ts';
import type { Address } from './backends.ts';

const CONNECT_MS = 3_000;
/** Headers that belong to one connection; we have answered an expectation ourselves. */
const HOP = new Set([...HOP_BY_HOP, 'proxy-connection', 'expect']);
const FORWARDED = new Set([
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
]);
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export interface Forwarder {
  request(req: IncomingMessage, res: ServerResponse, addresses: readonly Address[]): Promise<void>;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, addresses: readonly Address[]): Promise<void>;
  close(): void;
}

/** Name and value in turn, without those of the connection; what Connection names is one of those too. */
function endToEnd(raw: readonly string[], more: ReadonlySet<string>): string[] {
  const named = new Set<string>();
  for (let i = 0; i < raw.length; i += 2)
    if (raw[i]!.toLowerCase() === 'connection')
      for (const n of raw[i + 1]!.split(',')) named.add(n.trim().toLowerCase());
  const out: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (!HOP.has(name) && !named.has(name) && !more.has(name)) out.push(raw[i]!, raw[i + 1]!);
  }
  return out;
}

function requestHeaders(req: IncomingMessage): string[] {
  const secure = 'encrypted' in req.socket;
  const client = (req.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  const out = endToEnd(req.rawHeaders, FORWARDED);
  const add = (name: string, value: string | undefined) => void (value && out.push(name, value));
  add('X-Forwarded-For', client);
  add('X-Real-IP', client);
  add('X-Forwarded-Proto', secure ? 'https' : 'http');
  add('X-Forwarded-Host', req.headers.host);
  add('X-Forwarded-Port', String(req.socket.localPort));
  return out;
}

const hasBody = (req: IncomingMessage) =>
  req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;

export function createForwarder(clock: Clock): Forwarder {
  const kept = new http.Agent({ keepAlive: true, maxFreeSockets: 256, scheduling: 'lifo' });
  const fresh = new http.Agent({ keepAlive: false });

  /** Resolves when the request has a connection. */
  function open(req: IncomingMessage, to: Address, headers: string[], agent: http.Agent | false) {
    const out = http.request({
      host: to.host,
      port: to.port,
      method: req.method,
      path: req.url,
      headers: headers as unknown as http.OutgoingHttpHeaders,
      setHost: false,
      agent,
    });
    out.on('error', () => {}); // whoever waits listens too; nobody may be waiting any more
    const connected = new Promise<void>((resolve, reject) => {
      const timer = clock.after(CONNECT_MS, () => out.destroy(new Error('connection timed out')));
      out.once('error', (error) => {
        timer.cancel();
        reject(error);
      });
      out.once('socket', (socket: Socket) => {
        const done = () => {
          timer.cancel();
          resolve();
        };
        if (socket.connecting) socket.once('connect', done);
        else done();
      });
    });
    return { out, connected };
  }

  /** The first backend that takes the connection. */
  async function reach(
    req: IncomingMessage,
    addresses: readonly Address[],
    headers: string[],
    agent: http.Agent | false,
  ): Promise<ClientRequest> {
    let why: unknown = new Error('no backend');
    for (const to of addresses) {
      const { out, connected } = open(req, to, headers, agent);
      try {
        await connected;
        return out;
      } catch (error) {
        why = error;
      }
    }
    throw why;
  }

  /** The backend's answer to a request that was sent whole or is being sent. */
  function answerOf(req: IncomingMessage, out: ClientRequest, body: boolean): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      out.once('response', resolve);
      out.once('error', reject);
      if (!body) return void out.end();
      req.pipe(out);
      req.once('error', (error) => out.destroy(error));
    });
  }

  return {
    async request(req, res, addresses) {
      const body = hasBody(req);
      const repeatable = REPEATABLE.has(req.method ?? '') && !body;
      const headers = requestHeaders(req);
      if (req.headers['transfer-encoding'] !== undefined) headers.push('Transfer-Encoding', 'chunked');
      for (let tries = 0; ; tries++) {
        const out = await reach(req, addresses, headers, repeatable && tries < 2 ? kept : fresh);
        const gone = () => void (res.writableFinished || out.destroy());
        res.once('close', gone);
        let answer: IncomingMessage;
        try {
          answer = await answerOf(req, out, body);
        } catch (error) {
          res.off('close', gone);
          // closed by the backend at the very moment that the request went out
          if (repeatable && out.reusedSocket && tries < 3 && !res.destroyed) continue;
          throw error;
        }
        res.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders, new Set()));
        answer.pipe(res);
        answer.once('error', () => res.destroy());
        return;
      }
    },

    async upgrade(req, socket, head, addresses) {
      const headers = requestHeaders(req);
      headers.push('Connection', 'Upgrade', 'Upgrade', req.headers.upgrade ?? '');
      const out = await reach(req, addresses, headers, false);
      socket.once('close', () => out.destroy());
      const status = (answer: IncomingMessage, raw: readonly string[]) => {
        let text = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`;
        for (let i = 0; i < raw.length; i += 2) text += `${raw[i]}: ${raw[i + 1]}\r\n`;
        socket.write(`${text}\r\n`, 'latin1');
      };
      out.once('error', () => socket.destroy());
      out.once('response', (answer) => {
        // no upgrade after all: the answer is passed on, and that was the last on this connection
        status(answer, [...endToEnd(answer.rawHeaders, new Set()), 'Connection', 'close']);
        answer.pipe(socket);
      });
      out.once('upgrade', (answer, backend: Duplex, first: Buffer) => {
        status(answer, answer.rawHeaders);
        if (first.length) socket.write(first);
        if (head.length) backend.write(head);
        backend.pipe(socket).pipe(backend);
        backend.once('error', () => socket.destroy());
        socket.once('close', () => backend.destroy());
        backend.once('close', () => socket.destroy());
      });
      out.end();
    },

    close() {
      kept.destroy();
      fresh.destroy();
    },
  };
}
