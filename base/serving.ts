/** A component's own HTTPS port: health, metrics and whatever else it answers in a few bytes. */
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import { generateKey, keyToPem, signCertificate } from './pki.ts';
import { followServerCertificate } from './tls.ts';

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

/** Who may ask. */
export interface ServingGuard {
  /** PEM of the authorities that client certificates are verified by, as far as they are known. */
  readonly clientCa: string | undefined;
  /** Called when the authorities have changed. */
  onChange(listener: () => void): void;
  /** The answer to a request that is refused; undefined lets it through. */
  refusal(req: IncomingMessage, path: string): Promise<Answer | undefined>;
}

export interface ServingOptions {
  address: string;
  port: number;
  /** Followed while they change; a certificate of its own making when absent. */
  certFile?: string;
  keyFile?: string;
  clock: Clock;
  logger?: Logger;
  /** Everybody may ask when absent. */
  guard?: ServingGuard;
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
  const { clock, logger: log, guard, certFile, keyFile } = options;
  const followed = certFile && keyFile ? followServerCertificate({ clock, log, certFile, keyFile }) : undefined;
  const own = followed ? undefined : selfSigned(clock);
  const more = (): SecureContextOptions => (guard?.clientCa ? { ca: guard.clientCa } : {});
  const context = (): SecureContextOptions => ({ ...more(), ...(followed?.secureContext() ?? own) });

  async function reply(req: IncomingMessage): Promise<Answer> {
    const path = (req.url ?? '/').split('?')[0]!;
    try {
      return (await guard?.refusal(req, path)) ?? options.answer(path);
    } catch (error) {
      return error instanceof URIError ? plainAnswer(400, 'malformed path\n') : plainAnswer(500, 'internal error\n');
    }
  }
  const server = https.createServer(
    { ...context(), requestCert: guard !== undefined, rejectUnauthorized: false },
    (req, res) => void reply(req).then((a) => res.writeHead(a.code, { 'Content-Type': a.type }).end(a.body)),
  );
  followed?.attach(server, more);
  guard?.onChange(() => server.setSecureContext(context()));
  server.on('tlsClientError', () => {});
  const { port, close } = await listen(server, options.port, options.address);
  return {
    port,
    async stop() {
      followed?.close();
      await close();
    },
  };
}

/**
 * Resolves when the server listens, with its port (0 asks for a free one) and what ends it and its connections.
 * @throws when the port can't be had.
 */
export async function listen(
  server: https.Server,
  port: number,
  address?: string,
): Promise<{ port: number; close(): Promise<void> }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  const at = server.address();
  return {
    port: typeof at === 'object' && at ? at.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
