/** A component's own HTTPS port: health, metrics and whatever else it answers in a few bytes. */
import { readFileSync } from 'node:fs';
import https from 'node:https';
import type { Clock } from './clock.ts';
import { generateKey, keyToPem, signCertificate } from './pki.ts';

export interface Answer {
  code: number;
  type: string;
  body: string;
}

export const plainAnswer = (code: number, body: string): Answer => ({ code, type: 'text/plain; charset=utf-8', body });
export const metricsAnswer = (body: string): Answer => ({
  code: 200,
  type: 'text/plain; version=0.0.4; charset=utf-8',
  body,
});
export const notFoundAnswer = plainAnswer(404, '404 page not found\n');

export interface ServingOptions {
  address: string;
  port: number;
  /** A certificate of its own making when absent. */
  certFile?: string;
  keyFile?: string;
  clock: Clock;
  /** The answer for a path (without the query); a throw becomes a 500 that says nothing of the inside, a URIError a 400. */
  answer(path: string): Answer;
}

const HOUR = 3600_000;

function selfSigned(clock: Clock): { cert: string; key: string } {
  const key = generateKey();
  const now = clock.now();
  const cert = signCertificate(
    {
      subject: { commonName: 'localhost' },
      altNames: { dns: ['localhost'], ip: ['127.0.0.1'] },
      usages: ['digital signature', 'key encipherment'],
      extendedUsages: ['server auth'],
      notBefore: now - HOUR,
      notAfter: now + 365 * 24 * HOUR,
    },
    key,
    key,
  );
  return { cert, key: keyToPem(key) };
}

/** Serves until stopped; resolves when it listens. @throws when the port can't be had. */
export async function serveHttps(options: ServingOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const tls =
    options.certFile && options.keyFile
      ? { cert: readFileSync(options.certFile), key: readFileSync(options.keyFile) }
      : selfSigned(options.clock);
  const server = https.createServer(tls, (req, res) => {
    let a: Answer;
    try {
      a = options.answer((req.url ?? '/').split('?')[0]!);
    } catch (error) {
      a = error instanceof URIError ? plainAnswer(400, 'malformed path\n') : plainAnswer(500, 'internal error\n');
    }
    res.writeHead(a.code, { 'Content-Type': a.type }).end(a.body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
