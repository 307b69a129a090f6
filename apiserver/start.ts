/** The API server on a port. */
import { createApp, type App, type AppOptions } from './app.ts';
import { listen, type TlsFiles } from './http/server.ts';

/** How long requests under way may take to be answered when the server stops. */
const GRACE_MS = 2000;

/** What `createApp` takes, and how to listen. */
export interface StartOptions extends AppOptions {
  tls: TlsFiles;
  /** Defaults to all addresses. */
  bindAddress?: string;
  /** Defaults to 6443; 0 takes a free one. */
  securePort?: number;
  /** How long a shutdown waits between failing readiness and taking no more requests, in ms; defaults to 0. */
  shutdownDelayMs?: number;
  disableHttp2?: boolean;
  /** How long a client may take for a request's headers, in ms; defaults to 32,000. */
  headersTimeoutMs?: number;
  /** How long a connection without anything open is kept, in ms; defaults to 90,000. */
  idleTimeoutMs?: number;
}

/** An API server that listens. */
export interface RunningServer {
  readonly port: number;
  readonly app: App;
  setTls(tls: TlsFiles): void;
  stop(): Promise<void>;
}

/** Starts an API server; resolves when it listens and its start-up hooks are done. */
export async function start(options: StartOptions): Promise<RunningServer> {
  const app = await createApp(options);
  const handshakes = app.families
    .counter('apiserver_tls_handshake_errors_total', 'TLS handshakes that failed.')
    .handle([]);
  const server = await listen(
    {
      clock: app.clock,
      tls: options.tls,
      disableHttp2: options.disableHttp2,
      headersTimeoutMs: options.headersTimeoutMs,
      idleTimeoutMs: options.idleTimeoutMs,
      handshakeFailed: () => void handshakes.value++,
      handle: (request, reply) => app.handle(request, reply),
      upgrade: (request, socket, head) => app.upgrade(request, socket, head),
    },
    options.bindAddress ?? '0.0.0.0',
    options.securePort ?? 6443,
  ).catch(async (error: unknown) => {
    await app.close();
    throw error;
  });
  try {
    await app.bootstrap();
  } catch (error) {
    await server.close();
    await app.close();
    throw error;
  }
  let stopped: Promise<void> | undefined;
  return {
    port: server.port,
    app,
    setTls: (tls) => server.setTls(tls),
    stop() {
      stopped ??= (async () => {
        app.beginShutdown();
        if (options.shutdownDelayMs) await app.clock.sleep(options.shutdownDelayMs);
        server.drain();
        // Watches end in good order, ordinary requests get a moment to be answered.
        app.endWatches();
        await server.close(GRACE_MS);
        await app.close();
      })();
      return stopped;
    },
  };
}
