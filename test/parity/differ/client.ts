/** Requests to one of the two servers, as its administrator. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';

export interface Answer {
  readonly code: number;
  readonly warnings: readonly string[];
  readonly body: unknown;
}

export interface Send {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly accept?: string;
  readonly body?: unknown;
}

export interface Server {
  send(r: Send): Promise<Answer>;
}

/** `pki` holds ca.crt, admin.crt and admin.key. */
export function serverAt(url: string, pki: string): Server {
  const read = (f: string) => readFileSync(join(pki, f));
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 8,
    ca: read('ca.crt'),
    cert: read('admin.crt'),
    key: read('admin.key'),
  });
  return {
    send: ({ method, path, type = 'application/json', accept = 'application/json', body }) =>
      new Promise((resolve, reject) => {
        const bytes =
          body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
        const headers: Record<string, string | number> = { 'user-agent': 'differ/1', accept };
        if (bytes) Object.assign(headers, { 'content-type': type, 'content-length': bytes.length });
        const req = request(`${url}${path}`, { method, agent, headers, timeout: 120_000 }, (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (c: Buffer) => chunks.push(c));
          res.on('error', reject);
          res.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            let parsed: unknown = text;
            try {
              parsed = JSON.parse(text);
            } catch {
              // compared as text
            }
            const warning = res.headers['warning'];
            const warnings = warning === undefined ? [] : String(warning).split(/,(?=\s*299)/);
            resolve({ code: res.statusCode!, warnings, body: parsed });
          });
        });
        req.on('error', reject);
        req.on('timeout', () => req.destroy(new Error(`no answer: ${method} ${path}`)));
        req.end(bytes);
      }),
  };
}
