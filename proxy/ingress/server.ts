/** The listening side: plain and TLS, host by host; health and metrics. */
import http, { type IncomingMessage } from 'node:http';
import http2, { type ServerHttp2Session } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import type { Backends } from './backends.ts';
import { createForwarder } from './forward.ts';
import { hostHeader, sendHead, type Request, type Response } from './head.ts';
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

const hostOf = (req: Request) => hostHeader(req).replace(/:\d+$/, '');

export async function startIngressServer(options: IngressServerOptions): Promise<IngressServer> {
  const { logger, clock } = options;
  const forwarder = createForwarder(clock);
  const requests = options.metrics.counter('k8ts_ingress_requests_total', 'Requests by answer and backend Service.', [
    'code',
    'namespace',
    'service',
  ]);
  let closing = false;

  const targetOf = (req: Request): Target | undefined => route(options.table(), hostOf(req), plainPath(req.url ?? '/'));

  function refuse(res: Response, code: number): void {
    if (res.headersSent) return void res.destroy();
    sendHead(res, code, ['Content-Type', 'text/plain; charset=utf-8', 'X-Content-Type-Options', 'nosniff']);
    res.end(`${code} ${http.STATUS_CODES[code]}\n`);
  }

  const onRequest = (req: Request, res: Response) => {
    const target = targetOf(req);
    res.once('close', () =>
      requests.add([res.headersSent ? String(res.statusCode) : '499', target?.namespace ?? '', target?.service ?? '']),
    );
    if (closing && req.httpVersionMajor < 2) res.setHeader('Connection', 'close');
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
  // HTTP/2 for those that offer it
  const secure = http2.createSecureServer({
    ...common,
    ...options.fallbackCertificate,
    allowHTTP1: true,
    SNICallback: (name, done) => done(null, options.context(name.toLowerCase())),
  });
  secure.on('request', onRequest);
  const sessions = new Set<ServerHttp2Session>();
  secure.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
  });
  const servers: Server[] = [plain, secure];
  const sockets = new Set<Socket>();
  for (const s of servers) {
    s.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    s.on('upgrade', onUpgrade);
    s.on('clientError', (_error: Error, socket: Duplex) => socket.destroy());
    s.on('error', (error) => logger.error('server', { error }));
  }
  const listen = (s: Server, port: number) =>
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
      const timer = clock.after(graceMs, () => sockets.forEach((s) => s.destroy()));
      const closed = servers.map((s) => new Promise((resolve) => s.close(resolve)));
      for (const s of sessions) s.close(); // what is under way ends first
      await Promise.all(closed);
      timer.cancel();
      forwarder.close();
    },
  };
}
