/** Requests by the thousand, from a client that doesn't look at the answers; and what is made of their times. */
import http2 from 'node:http2';
import https from 'node:https';
import type { BenchServer } from './server.ts';

export function quantile(list: readonly number[], q: number): number {
  const sorted = list.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}
export const median = (list: readonly number[]): number => quantile(list, 0.5);

/** Runs `one` for 0..n-1 with a bounded number under way. */
export async function each(width: number, n: number, one: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, n) }, async () => {
      while (next < n) await one(next++);
    }),
  );
}

export interface RawRequest {
  method?: string;
  path: string;
  type?: string;
  accept?: string;
  body?: string;
}

/** Sends requests and gives back the bytes; anything but success is an error. */
export interface RawClient {
  send(request: RawRequest): Promise<Buffer>;
  close(): void;
}

/** Over HTTP/2 as Go's clients (32 share one connection), else over as many HTTP/1.1 connections as are needed. */
export function rawClient(server: BenchServer, two: boolean): RawClient {
  const { ca, cert, key } = server.client.options;
  const headersOf = (r: RawRequest) => ({
    'user-agent': 'bench',
    accept: r.accept ?? 'application/json',
    ...(r.body === undefined ? {} : { 'content-type': r.type ?? 'application/json' }),
  });
  const failed = (r: RawRequest, code: number | undefined, body: Buffer) =>
    new Error(`${r.method ?? 'GET'} ${r.path}: ${code} ${body.toString().slice(0, 300)}`);
  if (two) {
    const session = http2.connect(server.url, { ca, cert, key, settings: { initialWindowSize: 4 << 20 } });
    session.once('connect', () => session.setLocalWindowSize(1 << 30));
    session.on('error', () => {});
    return {
      send: (r) =>
        new Promise((resolve, reject) => {
          const stream = session.request(
            { ':method': r.method ?? 'GET', ':path': r.path, ...headersOf(r) },
            { endStream: r.body === undefined },
          );
          const chunks: Buffer[] = [];
          let code = 0;
          stream.on('response', (h) => (code = Number(h[':status'])));
          stream.on('data', (c: Buffer) => chunks.push(c));
          stream.on('error', reject);
          stream.on('end', () => {
            const body = Buffer.concat(chunks);
            if (code >= 300) reject(failed(r, code, body));
            else resolve(body);
          });
          if (r.body !== undefined) stream.end(r.body);
        }),
      close: () => session.destroy(),
    };
  }
  const agent = new https.Agent({ keepAlive: true, maxSockets: 64, ca, cert, key });
  const { hostname, port } = new URL(server.url);
  return {
    send: (r) =>
      new Promise((resolve, reject) => {
        const length = r.body === undefined ? {} : { 'content-length': Buffer.byteLength(r.body) };
        const options = { agent, hostname, port, method: r.method ?? 'GET', path: r.path };
        const req = https.request({ ...options, headers: { ...headersOf(r), ...length } }, (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (c: Buffer) => chunks.push(c));
          res.on('end', () => {
            const body = Buffer.concat(chunks);
            if (res.statusCode! >= 300) reject(failed(r, res.statusCode, body));
            else resolve(body);
          });
        });
        req.on('error', reject);
        req.end(r.body);
      }),
    close: () => agent.destroy(),
  };
}
