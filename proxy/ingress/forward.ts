/**
 * Passes one request on, streaming both ways. A backend that can't be reached is passed over before a byte of the body
 * was read; a kept connection that its backend has just closed is no reason to fail a request that may be repeated.
 */
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import type { Address } from './backends.ts';
import { CONNECT_MS, endToEnd, hasBody, requestHeaders, sendHead, type Request, type Response } from './head.ts';
import { createHttp2Forwarder } from './http2.ts';

const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export interface Forwarder {
  request(req: Request, res: Response, addresses: readonly Address[]): Promise<void>;
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, addresses: readonly Address[]): Promise<void>;
  close(): void;
}

/** Connections to backends are kept open; those of HTTP/2 carry many requests at a time. */
export function createForwarder(clock: Clock): Forwarder {
  const keeping = { keepAlive: true, maxFreeSockets: 256, scheduling: 'lifo' } as const;
  const agents = {
    http: { kept: new http.Agent(keeping), fresh: new http.Agent({ keepAlive: false }) },
    https: { kept: new https.Agent(keeping), fresh: new https.Agent({ keepAlive: false }) },
  };
  const http2 = createHttp2Forwarder(clock);

  /** Resolves when the request has a connection. */
  function open(req: Request, to: Address, headers: string[], use: 'kept' | 'fresh' | false) {
    const scheme = to.scheme === 'https' ? 'https' : 'http';
    const out = (scheme === 'https' ? https : http).request({
      host: to.host,
      port: to.port,
      method: req.method,
      path: req.url,
      headers: headers as unknown as http.OutgoingHttpHeaders,
      setHost: false,
      agent: use && agents[scheme][use],
      ...(scheme === 'https' ? { rejectUnauthorized: false } : {}),
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
        if (socket.connecting) socket.once(scheme === 'https' ? 'secureConnect' : 'connect', done);
        else done();
      });
    });
    return { out, connected };
  }

  /** The first backend that takes the connection. */
  async function reach(
    req: Request,
    addresses: readonly Address[],
    headers: string[],
    use: 'kept' | 'fresh' | false,
  ): Promise<ClientRequest> {
    let why: unknown = new Error('no backend');
    for (const to of addresses) {
      const { out, connected } = open(req, to, headers, use);
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
  function answerOf(req: Request, out: ClientRequest, body: boolean): Promise<IncomingMessage> {
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
      if (addresses[0]?.scheme.startsWith('h2')) return http2.request(req, res, addresses);
      const body = hasBody(req);
      const repeatable = REPEATABLE.has(req.method ?? '') && !body;
      const headers = requestHeaders(req);
      if (body && req.headers['content-length'] === undefined) headers.push('Transfer-Encoding', 'chunked');
      for (let tries = 0; ; tries++) {
        const out = await reach(req, addresses, headers, repeatable && tries < 2 ? 'kept' : 'fresh');
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
        sendHead(res, answer.statusCode ?? 502, endToEnd(answer.rawHeaders, new Set()), answer.statusMessage);
        answer.pipe(res as NodeJS.WritableStream);
        answer.once('error', () => res.destroy());
        return;
      }
    },

    async upgrade(req, socket, head, addresses) {
      if (addresses[0]?.scheme.startsWith('h2')) throw new Error('HTTP/2 knows no upgrades');
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
      for (const { kept, fresh } of Object.values(agents)) for (const a of [kept, fresh]) a.destroy();
      http2.close();
    },
  };
}
