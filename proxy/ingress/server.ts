/** The listening side: plain and TLS, host by host; health and metrics. */
import http, { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import type { Backends } from './backends.ts';
import { createForwarder } from './forward.ts';
import { plainPath, route, type Table, type Target } from './table.ts';

export interface IngressServerOptions {
  table(): Table;
  backends: Backends;
  /** The certificate for a host; undefined for the one that all others get. */
  context(host: string): SecureContext | undefined;
  fallbackCertificate: { cert: string; key: string };
  metrics: MetricsRegistry;
  clock: Clock;
  logger: Logger;
  /** The address to listen at; undefined for all of both families. */
  host: string | undefined;
  httpPort: number;
  httpsPort: number;
}

export interface IngressServer {
  readonly httpPort: number;
  readonly httpsPort: number;
  /** Takes no new connections, lets what is under way end for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

const hostOf = (req: IncomingMessage) => (req.headers.host ?? '').replace(/:\d+$/, '');

export async function startIngressServer(options: IngressServerOptions): Promise<IngressServer> {
  const { logger, clock } = options;
  const forwarder = createForwarder(clock);
  const requests = options.metrics.counter('k8ts_ingress_requests_total', 'Requests by answer and backend Service.', [
    'code',
    'namespace',
    'service',
  ]);
  let closing = false;

  const targetOf = (req: IncomingMessage): Target | undefined =>
    route(options.table(), hostOf(req), plainPath(req.url ?? '/'));

  function refuse(res: ServerResponse, code: number): void {
    if (res.headersSent) return void res.destroy();
    res.writeHead(code, { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' });
    res.end(`${code} ${http.STATUS_CODES[code]}\n`);
  }

  const onRequest: RequestListener = (req, res) => {
    const target = targetOf(req);
    res.once('close', () =>
      requests.add([res.headersSent ? String(res.statusCode) : '499', target?.namespace ?? '', target?.service ?? '']),
    );
    if (closing) res.setHeader('Connection', 'close');
    if (!target) return refuse(res, 404);
    const addresses = options.backends.addresses(target);
    if (addresses.length === 0) return refuse(res, 503);
    forwarder.request(req, res, addresses).catch((error: unknown) => {
      logger.debug('backend failed', { target, error });
      refuse(res, 502);
    });
  };
  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const target = targetOf(req);
    const addresses = target ? options.backends.addresses(target) : [];
    const end = (code: number) =>
      socket.end(`HTTP/1.1 ${code} ${http.STATUS_CODES[code]}\r\nConnection: close\r\n\r\n`);
    if (addresses.length === 0) return void end(target ? 503 : 404);
    forwarder.upgrade(req, socket, head, addresses).catch(() => end(502));
  };

  // bodies may take as long as they like; heads may not
  const common = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 75_000 };
  const plain = http.createServer(common, onRequest);
  const secure = https.createServer(
    {
      ...common,
      ...options.fallbackCertificate,
      SNICallback: (name, done) => done(null, options.context(name.toLowerCase())),
    },
    onRequest,
  );
  const servers = [plain, secure];
  for (const s of servers) {
    s.on('upgrade', onUpgrade);
    s.on('clientError', (_error, socket) => socket.destroy());
    s.on('error', (error) => logger.error('server', { error }));
  }
  const listen = (s: http.Server | https.Server, port: number) =>
    new Promise<number>((resolve, reject) => {
      s.once('error', reject);
      s.listen(port, options.host, () => resolve((s.address() as AddressInfo).port));
    });
  const [httpPort, httpsPort] = [await listen(plain, options.httpPort), await listen(secure, options.httpsPort)];
  return {
    httpPort,
    httpsPort,
    async close(graceMs) {
      closing = true;
      const timer = clock.after(graceMs, () => servers.forEach((s) => s.closeAllConnections()));
      await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
      timer.cancel();
      forwarder.close();
    },
  };
}
