/**
 * The listening side: one TLS port for HTTP/2 and HTTP/1.1. Express stands in front of HTTP/1.1 only, and there not of
 * resources (docs/decisions/http.md); all lead into the same chain.
 */
import { createRequire } from 'node:module';
import http2 from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { answerUnreadable } from './unreadable.ts';
import { ApiRequest, Reply } from './request.ts';

export interface TlsFiles {
  readonly cert: Buffer | string;
  readonly key: Buffer | string;
  /** Authorities of client certificates. */
  readonly clientCa?: readonly (Buffer | string)[];
}

export interface ServerOptions {
  clock: Clock;
  tls: TlsFiles;
  /** Streams that one HTTP/2 connection may have open; defaults to 1000. */
  maxConcurrentStreams?: number;
  /** Speak HTTP/1.1 only. */
  disableHttp2?: boolean;
  /** How long a client may take for its TLS handshake, and for a request's headers, in ms; defaults to 32,000. */
  headersTimeoutMs?: number;
  /** A connection on which nothing is open is closed after this long, in ms; defaults to 90,000. */
  idleTimeoutMs?: number;
  /** Hears of each TLS handshake that failed. */
  handshakeFailed?(): void;
  handle(request: ApiRequest, reply: Reply): Promise<void>;
  upgrade(request: ApiRequest, socket: Duplex, head: Buffer): Promise<void>;
}

/** Resources and probes: most of what is asked for. They go past Express, which adds nothing but its time to them. */
const STRAIGHT = /^\/(?:api|apis|healthz|livez|readyz)(?:[/?]|$)/;
/** How long sockets may take to send what was written when the server closes. */
const FLUSH_MS = 500;
/** All headers of one request, as with Go's servers. HTTP/2's library takes 64 KiB in a single one. */
const MAX_HEADER_BYTES = 1024 * 1024;
/** Quiet connections are probed after this long, so that clients that vanished are noticed. */
const PROBE_MS = 30_000;

export interface ListeningServer {
  readonly port: number;
  /** Replaces the certificate for new connections. */
  setTls(tls: TlsFiles): void;
  /** Takes no more connections. */
  drain(): void;
  /** Waits until all answers are over, at most `graceMs`; then ends everything. */
  close(graceMs?: number): Promise<void>;
}

const tlsOptions = (tls: TlsFiles) => ({
  cert: tls.cert,
  key: tls.key,
  ca: tls.clientCa as (Buffer | string)[] | undefined,
  requestCert: true,
  rejectUnauthorized: false,
  minVersion: 'TLSv1.2' as const,
});

/** Listens on `host`:`port` (0 takes any free port). */
export async function listen(options: ServerOptions, host: string, port: number): Promise<ListeningServer> {
  const { clock } = options;
  /** Answers that aren't over yet. */
  let open = 0;
  let settled: (() => void) | undefined;
  const begin = (req: IncomingMessage | Http2ServerRequest, res: ServerResponse | Http2ServerResponse) => {
    open++;
    const request = new ApiRequest(req, clock.monotonic());
    const reply = new Reply(res, clock);
    res.once('close', () => {
      request.over();
      reply.over();
      if (--open === 0) settled?.();
    });
    void options.handle(request, reply);
  };
  let app: ((req: IncomingMessage, res: ServerResponse) => void) | undefined;
  const handleHttp1 = (req: IncomingMessage, res: ServerResponse) => {
    if (STRAIGHT.test(req.url ?? '')) begin(req, res);
    else (app ??= expressFor(begin))(req, res);
  };

  const headersTimeout = options.headersTimeoutMs ?? 32_000;
  const idleTimeout = options.idleTimeoutMs ?? 90_000;
  // Bodies have the request's own time, and streams may be quiet for as long as they like.
  const http1: object = {
    http1Options: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout,
      requestTimeout: 0,
      keepAliveTimeout: idleTimeout,
      connectionsCheckingInterval: Math.min(headersTimeout, 10_000),
    },
  };
  const server = http2.createSecureServer({
    ...tlsOptions(options.tls),
    allowHTTP1: true,
    handshakeTimeout: headersTimeout,
    ...http1,
    maxHeaderListPairs: 2000,
    ALPNProtocols: options.disableHttp2 ? ['http/1.1'] : ['h2', 'http/1.1'],
    settings: {
      maxConcurrentStreams: options.maxConcurrentStreams ?? 1000,
      initialWindowSize: 256 * 1024,
      maxHeaderListSize: MAX_HEADER_BYTES,
    },
    maxSessionMemory: 100,
    unknownProtocolTimeout: 10_000,
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  const sockets = new Set<Socket>();
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
    let streams = 0;
    session.on('stream', (stream) => {
      streams++;
      stream.once('close', () => streams--);
    });
    session.setTimeout(idleTimeout, () => {
      if (streams === 0) session.close();
    });
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, PROBE_MS);
  });
  server.on('request', (req: Http2ServerRequest, res: Http2ServerResponse) => {
    if (req.httpVersionMajor >= 2) {
      res.stream?.on('error', ignore);
      begin(req, res);
    } else handleHttp1(req as unknown as IncomingMessage, res as unknown as ServerResponse);
  });
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', ignore);
    void options.upgrade(new ApiRequest(req, clock.monotonic()), socket, head);
  });
  server.on('clientError', (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Socket) =>
    answerUnreadable(error, socket),
  );
  server.on('tlsClientError', () => options.handshakeFailed?.());
  const secure = new Set<Socket>();
  server.on('secureConnection', (socket) => {
    socket.on('error', ignore);
    secure.add(socket);
    socket.once('close', () => secure.delete(socket));
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  server.on('error', ignore);
  let closed: Promise<void> | undefined;
  const drain = () => {
    closed ??= new Promise((resolve) => server.close(() => resolve()));
    for (const s of sessions) s.close();
  };
  return {
    port: (server.address() as AddressInfo).port,
    setTls: (tls) => server.setSecureContext(tlsOptions(tls)),
    drain,
    async close(graceMs = 0) {
      drain();
      if (open > 0 && graceMs > 0) {
        const timer = clock.after(graceMs, () => settled?.());
        await new Promise<void>((resolve) => (settled = resolve));
        timer.cancel();
      }
      // What is written already still leaves, unless the other side doesn't read.
      for (const s of secure) s.destroySoon();
      const force = clock.after(FLUSH_MS, () => {
        for (const s of sessions) s.destroy();
        for (const s of sockets) s.destroy();
      });
      await closed;
      force.cancel();
    },
  };
}

/** Express with one route for everything. It is loaded for the first request that needs it. */
function expressFor(handle: (req: IncomingMessage, res: ServerResponse) => void) {
  const express = createRequire(import.meta.url)('express') as () => import('express').Express;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((req: IncomingMessage, res: ServerResponse) => handle(req, res));
  return app as unknown as typeof handle;
}

function ignore(): void {}
