/** One HTTP request to another server and its whole answer, bounded in time and size. */
import http from 'node:http';
import https from 'node:https';
import type { Clock } from './clock.ts';

export interface ExchangeOptions {
  url: URL;
  /** Where to connect, when that isn't the URL's host. */
  at?: { readonly host: string; readonly port: number };
  /** GET without a body and POST with one, unless said otherwise. */
  method?: string;
  /** Beside `host` and `content-length`. */
  headers?: http.OutgoingHttpHeaders;
  body?: Buffer;
  /** Not used for http URLs. */
  agent?: http.Agent;
  /** The name that the server is to have, as TLS sends it; the URL's host unless said otherwise. */
  servername?: string;
  /** How long it may take until the answer's end, and what the error says when that was too short. */
  limit?: { readonly clock: Clock; readonly ms: number; readonly message?: string };
  /** A longer answer is an error, in bytes. */
  maxAnswer: number;
  signal?: AbortSignal;
}

/** An answer of any code. */
export interface ExchangeAnswer {
  readonly code: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Rejects with the connection's error, or one for an answer that was too late or too long. */
export function exchange(o: ExchangeOptions): Promise<ExchangeAnswer> {
  const { url, body } = o;
  const secure = url.protocol !== 'http:';
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(
      {
        host: o.at?.host ?? url.hostname.replace(/^\[|\]$/g, ''),
        port: o.at?.port ?? Number(url.port || (secure ? 443 : 80)),
        path: url.pathname + url.search,
        method: o.method ?? (body ? 'POST' : 'GET'),
        headers: { host: url.host, ...(body ? { 'content-length': body.length } : {}), ...o.headers },
        agent: secure ? o.agent : undefined,
        signal: o.signal,
        ...(o.servername === undefined ? {} : { servername: o.servername }),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > o.maxAnswer) request.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        answer.once('error', reject);
        answer.once('end', () =>
          resolve({ code: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    if (o.limit) {
      const { clock, ms, message = `no answer within ${ms / 1000} s` } = o.limit;
      const timer = clock.after(ms, () => request.destroy(new Error(message)), { background: true });
      request.once('close', () => timer.cancel());
    }
    request.on('error', reject);
    request.end(body);
  });
}
