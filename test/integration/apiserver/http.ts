/** Raw requests for tests that look at codes, headers and bytes. */
import https from 'node:https';
import http2 from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http';
import type { JsonObject } from '../../../api/types.ts';
import type { TestServer } from './harness.ts';

export interface Answer {
  code: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** The body as JSON. */
  json: JsonObject & { items: JsonObject[]; metadata: Record<string, string>; details: JsonObject };
}

export interface Ask {
  method?: string;
  path: string;
  body?: unknown;
  type?: string;
  headers?: Record<string, string>;
  /** As whom; the admin unless said otherwise. */
  identity?: { cert: string; key: string } | null;
}

const answer = (code: number, headers: IncomingHttpHeaders, body: Buffer): Answer => ({
  code,
  headers,
  body,
  get json() {
    return JSON.parse(body.toString('utf8')) as Answer['json'];
  },
});

const bytes = (body: unknown) =>
  body === undefined
    ? undefined
    : Buffer.isBuffer(body) || typeof body === 'string'
      ? Buffer.from(body)
      : Buffer.from(JSON.stringify(body));

/** One request over HTTP/1.1. */
export function ask(server: TestServer, o: Ask): Promise<Answer> {
  const body = bytes(o.body);
  const who = o.identity === undefined ? server.client.options : o.identity;
  return new Promise((resolve, reject) => {
    const req = https.request(
      {
        host: '127.0.0.1',
        port: server.port,
        method: o.method ?? (body ? 'POST' : 'GET'),
        path: o.path,
        agent: false,
        ca: server.ca,
        cert: who?.cert,
        key: who?.key,
        headers: {
          ...(body ? { 'content-type': o.type ?? 'application/json', 'content-length': body.length } : {}),
          ...o.headers,
        },
      },
      (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (c: Buffer) => chunks.push(c));
        res.on('end', () => resolve(answer(res.statusCode!, res.headers, Buffer.concat(chunks))));
      },
    );
    req.on('error', reject);
    req.end(body);
  });
}

/** An HTTP/2 session with the admin's certificate. */
export function session(server: TestServer): http2.ClientHttp2Session {
  const { cert, key } = server.client.options;
  return http2.connect(server.url, { ca: server.ca, cert, key });
}

/** One request over HTTP/2. */
export function ask2(
  s: http2.ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
  body?: Buffer | string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = s.request({ ':path': path, ...headers }, { endStream: body === undefined });
    const chunks: Buffer[] = [];
    let got: IncomingHttpHeaders = {};
    stream.on('response', (h) => (got = h));
    stream.on('data', (c: Buffer) => chunks.push(c));
    stream.on('end', () =>
      resolve(answer(Number(got[':status' as keyof IncomingHttpHeaders]), got, Buffer.concat(chunks))),
    );
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}
