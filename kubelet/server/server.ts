/** The kubelet's HTTPS server: logs, exec, statistics, for those whom the API server allows. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { dirname, join } from 'node:path';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import { formatTime, type Clock, type Ids, type Rand } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import { listen } from '../../base/serving.ts';
import { lazyModule } from '../../base/lazy.ts';
import { refuseUpgrade } from '../../base/streams/upgrade.ts';
import { followFiles, followServerCertificate } from '../../base/tls.ts';
import type { Client } from '../../client/client.ts';
import { selfSigned } from '../certs/pem.ts';
import { rotate, showExpiry, type Rotation } from '../certs/rotation.ts';
import { loadCertificate } from '../certs/store.ts';
import type { CgroupManager } from '../cgroups/manager.ts';
import { cipherNames, parseDuration, type KubeletConfiguration } from '../config.ts';
import { errorText } from '../cri/client.ts';
import type { Runtime } from '../cri/types.ts';
import type { Machine } from '../node/machine.ts';
import type { PodDeps } from '../pods/deps.ts';
import type { PodManager } from '../pods/manager.ts';
import { createServerAuth } from './auth.ts';
import { HttpError, sendJson, sendText } from './http.ts';
import { logContainer, parseLogOptions, sendLog } from './logs.ts';
import { sendSystemLog } from './system-logs.ts';
import { createPodFigures, probeFigures } from './metrics.ts';
import { createServerMetrics } from './request-metrics.ts';
import { createStats } from './stats.ts';
import { createVolumeStats } from './volume-stats.ts';

export interface ServerOptions {
  config: KubeletConfiguration;
  client: Client | undefined;
  clock: Clock;
  ids: Ids;
  rand: Rand;
  logger: Logger;
  runtime: Runtime;
  manager: PodManager;
  deps: PodDeps;
  nodeName: string;
  nodeIPs: readonly string[];
  rootDir: string;
  certDir: string;
  /** What /metrics shows beside the kubelet's own families. */
  registry: MetricsRegistry;
  machine: Machine;
  cgroups: CgroupManager | undefined;
  rotations: Rotation[];
  /** Why the kubelet is not well; undefined when it is. */
  problem(): string | undefined;
}

export interface KubeletServer {
  readonly port: number;
  stop(): Promise<void>;
}

type Handler = (
  req: IncomingMessage,
  res: ServerResponse,
  rest: string[],
  query: URLSearchParams,
) => Promise<void> | void;
/** Exec and its like have protocols of their own, which are loaded with the first of them. */
const streamingModule = lazyModule<typeof import('./streaming.ts')>(import.meta.url, './streaming.ts');
type Streaming = ReturnType<ReturnType<typeof streamingModule>['createStreaming']>;
/** Node.js takes no longer time. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const SERVING_PAIR = 'kubelet-server';

export async function startServer(options: ServerOptions): Promise<KubeletServer> {
  const { config, clock, logger, manager, deps, registry } = options;
  const auth = createServerAuth(options);
  const volumes = createVolumeStats({ clock, deps });
  const runtimeSocket = config.containerRuntimeEndpoint.replace(/^unix:(\/\/)?/, '');
  const stats = createStats({ ...options, volumes, runtimeSocket });
  const idleMs = Math.min(parseDuration(config.streamingConnectionIdleTimeout), MAX_TIMER_MS);
  let streams: Streaming | undefined;
  const streaming = () => (streams ??= streamingModule().createStreaming(options));
  const figures = createPodFigures(registry, { manager, deps, volumes, nodeName: options.nodeName });

  const podList = () => ({
    kind: 'PodList',
    apiVersion: 'v1',
    metadata: {},
    items: manager.workers().map((w) => ({ ...w.pod, status: deps.status.get(w.uid) ?? w.pod.status })),
  });
  const handlers: Record<string, Handler> = {
    healthz: (_req, res) => {
      const problem = options.problem();
      if (problem) sendText(res, 500, problem);
      else sendText(res, 200, 'ok');
    },
    pods: (_req, res) => sendJson(res, podList()),
    runningpods: (_req, res) =>
      sendJson(res, {
        kind: 'PodList',
        apiVersion: 'v1',
        metadata: {},
        items: manager
          .workers()
          .filter((w) => w.state.containers.some((c) => c.state === 'CONTAINER_RUNNING'))
          .map((w) => ({
            metadata: { name: w.pod.metadata!.name, namespace: w.pod.metadata!.namespace, uid: w.uid },
            spec: {
              containers: w.state.containers
                .filter((c) => c.state === 'CONTAINER_RUNNING')
                .map((c) => ({ name: c.name, image: c.image.image })),
            },
            status: {},
          })),
      }),
    configz: (_req, res) => sendJson(res, { kubeletconfig: config }),
    containerLogs: async (_req, res, rest, query) => {
      const [namespace, name, container] = rest;
      const worker = manager.byName(namespace ?? '', name ?? '');
      if (!worker) throw new HttpError(404, `pod ${JSON.stringify(name)} does not exist`);
      const spec = worker.pod.spec!;
      if (
        ![...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].some(
          (c) => c.name === container,
        )
      )
        throw new HttpError(404, `container ${JSON.stringify(container)} not found in pod ${JSON.stringify(name)}`);
      const o = parseLogOptions(query, clock.now());
      const id = logContainer(name!, deps.status.get(worker.uid) ?? worker.pod.status, container!, o.previous);
      const path = worker.state.containers.find((c) => c.id === id)?.log_path;
      if (!path)
        throw new HttpError(
          400,
          `container ${JSON.stringify(container)} in pod ${JSON.stringify(name)} is not available`,
        );
      await sendLog(res, path, o, {
        clock,
        isRunning: () =>
          worker.phase !== 'finished' &&
          worker.state.containers.some((c) => c.id === id && c.state === 'CONTAINER_RUNNING'),
      });
    },
    checkpoint: async (req, res, rest, query) => {
      if (req.method !== 'POST') throw new HttpError(405, 'Method Not Allowed');
      const [namespace, name, container] = rest;
      const worker = manager.byName(namespace ?? '', name ?? '');
      if (!worker) throw new HttpError(404, 'pod does not exist');
      const running = worker.state.containers.find((c) => c.name === container && c.state === 'CONTAINER_RUNNING');
      if (!running) throw new HttpError(404, `container ${container} does not exist`);
      const dir = join(options.rootDir, 'checkpoints');
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      const stamp = formatTime(clock.now()).replaceAll(':', '-');
      const file = join(dir, `checkpoint-${name}_${namespace}-${container}-${stamp}.tar`);
      try {
        await options.runtime.checkpoint(running.id, file, Number(query.get('timeout') ?? 0) || 0);
      } catch (error) {
        const what = `checkpointing of ${namespace}/${name}/${container} failed (${errorText(error)})`;
        throw new HttpError(500, what);
      }
      sendJson(res, { items: [file] });
    },
    stats: async (_req, res, rest, query) => {
      if (rest[0] !== 'summary') throw new HttpError(404, '404 page not found');
      sendJson(res, await stats.summary(query.get('only_cpu_and_memory') === 'true'));
    },
    metrics: async (_req, res, rest) => {
      const type = 'text/plain; version=0.0.4; charset=utf-8';
      if (rest[0] === 'resource') return sendText(res, 200, await stats.resourceMetrics(), type);
      if (rest[0] === 'cadvisor') return sendText(res, 200, await stats.cadvisorMetrics(), type);
      if (rest[0] === 'probes') return sendText(res, 200, probeFigures(deps), type);
      if (rest.length) throw new HttpError(404, '404 page not found');
      await figures();
      sendText(res, 200, registry.text(), type);
    },
    logs: (_req, res, rest, query) => {
      if (!config.enableSystemLogHandler) throw new HttpError(405, 'Debug endpoints are disabled.');
      // beside the pods' logs: /var/log, unless these were put elsewhere
      const asked = config.enableSystemLogQuery ? query : undefined;
      return sendSystemLog(res, dirname(config.podLogsDir), rest, asked, deps.exec);
    },
    run: (_req, res, rest, query) => streaming().run(res, rest, query),
  };
  const counted = createServerMetrics(
    registry,
    clock,
    (first) => DEBUGGING.has(first) || Object.hasOwn(handlers, first),
  );
  const DEBUGGING = new Set(['containerLogs', 'exec', 'attach', 'portForward', 'run', 'runningpods', 'logs']);

  /** Who asks and whether they may; throws HttpError. */
  async function admit(req: IncomingMessage, path: string): Promise<void> {
    let user;
    try {
      user = await auth.authenticate(req);
    } catch (error) {
      logger.debug('could not authenticate', { error });
    }
    if (!user) throw new HttpError(401, 'Unauthorized');
    let refusal;
    try {
      refusal = await auth.authorize(user, req, path);
    } catch (error) {
      logger.debug('could not authorize', { error });
      throw new HttpError(500, 'Authorization error');
    }
    if (refusal !== undefined) throw new HttpError(403, refusal);
  }
  const split = (req: IncomingMessage) => {
    const url = new URL(req.url ?? '/', 'https://kubelet');
    const [first = '', ...rest] = url.pathname.split('/').slice(1).map(decodeURIComponent);
    return { path: url.pathname, first, rest: rest.filter((p) => p !== ''), query: url.searchParams };
  };
  const statusOf = (error: unknown): [number, string] =>
    error instanceof HttpError ? [error.status, error.message] : [500, (error as Error).message];

  async function onRequest(req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      const { path, first, rest, query } = split(req);
      await admit(req, path);
      res.once('close', counted(req.method ?? '', first, rest[0]));
      const handler =
        DEBUGGING.has(first) && !config.enableDebuggingHandlers
          ? undefined
          : Object.hasOwn(handlers, first)
            ? handlers[first]
            : undefined;
      if (!handler)
        throw new HttpError(
          first === 'exec' || first === 'attach' || first === 'portForward' ? 400 : 404,
          first in { exec: 1, attach: 1, portForward: 1 }
            ? 'unable to upgrade: missing upgrade headers in request'
            : '404 page not found',
        );
      await handler(req, res, rest, query);
    } catch (error) {
      const [status, text] = statusOf(error);
      if (status >= 500) logger.debug('request failed', { url: req.url, error });
      if (!res.headersSent) sendText(res, status, text);
      else res.destroy();
    }
  }

  async function onUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => {});
    try {
      const { path, first, rest, query } = split(req);
      await admit(req, path);
      socket.once('close', counted(req.method ?? '', first, rest[0]));
      if (!config.enableDebuggingHandlers) throw new HttpError(405, 'Debug endpoints are disabled.');
      if (idleMs > 0) (socket as Socket).setTimeout(idleMs, () => socket.destroy());
      if (first === 'exec' || first === 'attach') await streaming().command(first, req, socket, head, rest, query);
      else if (first === 'portForward') await streaming().portForward(req, socket, head, rest, query);
      else throw new HttpError(404, '404 page not found');
    } catch (error) {
      const [status, text] = statusOf(error);
      logger.debug('upgrade failed', { url: req.url, error });
      if (!socket.destroyed && socket.writable) refuseUpgrade(socket, status, text);
    }
  }

  const clientCa = config.authentication.x509.clientCAFile;
  const authority = clientCa ? followFiles({ clock, log: logger, files: [clientCa] }) : undefined;
  const more = (): SecureContextOptions => ({
    ciphers: cipherNames(config.tlsCipherSuites ?? []),
    minVersion: config.tlsMinVersion === 'VersionTLS13' ? 'TLSv1.3' : 'TLSv1.2',
    ...(authority ? { ca: authority.contents[0] } : {}),
  });
  const certificate = await servingCertificate(options, (context) =>
    server.setSecureContext({ ...more(), ...context }),
  );
  const server = https.createServer(
    {
      ...more(),
      ...certificate.context(),
      requestCert: Boolean(clientCa),
      rejectUnauthorized: false,
      // the command of an exec stands in the path; Go's servers take as much
      maxHeaderSize: 1024 * 1024,
    },
    (req, res) => void onRequest(req, res),
  );
  certificate.attach(server, more);
  authority?.onChange(() => server.setSecureContext({ ...more(), ...certificate.context() }));
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => void onUpgrade(req, socket, head));
  server.on('tlsClientError', () => {});
  server.requestTimeout = 0;
  server.keepAliveTimeout = 90_000;
  const { port, close } = await listen(server, config.port, config.address);
  let healthz: http.Server | undefined;
  if (config.healthzPort > 0) {
    healthz = http.createServer((req, res) =>
      req.url === '/healthz'
        ? handlers['healthz']!(req, res, [], new URLSearchParams())
        : sendText(res, 404, '404 page not found'),
    );
    healthz.on('error', (error) => logger.warn('no healthz', { error: error.message }));
    healthz.listen(config.healthzPort, config.healthzBindAddress);
  }
  return {
    port,
    async stop() {
      certificate.close();
      authority?.close();
      healthz?.close();
      await close();
    },
  };
}

interface ServingCertificate {
  context(): SecureContextOptions;
  attach(server: https.Server, more: () => SecureContextOptions): void;
  close(): void;
}

/** From files, signed by the cluster, or made by ourselves. */
async function servingCertificate(
  options: ServerOptions,
  changed: (context: SecureContextOptions) => void,
): Promise<ServingCertificate> {
  const { config, clock, certDir, nodeName, nodeIPs, logger, deps } = options;
  if (config.tlsCertFile && config.tlsPrivateKeyFile) {
    const files = followServerCertificate({
      clock,
      log: logger,
      certFile: config.tlsCertFile,
      keyFile: config.tlsPrivateKeyFile,
    });
    return {
      context: () => files.secureContext(),
      attach: (server, more) => files.attach(server, more),
      close: () => files.close(),
    };
  }
  const certFile = join(certDir, 'kubelet.crt');
  const keyFile = join(certDir, 'kubelet.key');
  const expired = () => !existsSync(certFile) || !existsSync(keyFile);
  if (expired()) {
    const own = selfSigned(
      { commonName: `${nodeName}@${Math.floor(clock.now() / 1000)}`, dns: [nodeName], ips: nodeIPs },
      clock.now(),
    );
    mkdirSync(certDir, { recursive: true, mode: 0o700 });
    writeFileSync(certFile, own.certPem);
    writeFileSync(keyFile, own.keyPem, { mode: 0o600 });
  }
  const own = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  if (!config.serverTLSBootstrap || !options.client) return { context: () => own, attach() {}, close() {} };
  const stored = loadCertificate(certDir, SERVING_PAIR);
  let current: SecureContextOptions = stored ? { cert: stored.certPem, key: stored.keyPem } : own;
  const rotation = rotate({
    client: options.client,
    clock,
    rand: options.rand,
    logger,
    dir: certDir,
    name: SERVING_PAIR,
    signer: 'kubernetes.io/kubelet-serving',
    subject: () => ({
      commonName: `system:node:${nodeName}`,
      organization: 'system:nodes',
      dns: [nodeName],
      ips: nodeIPs,
    }),
    failures: deps.metrics?.renewErrors.server,
    changed(pair) {
      current = { cert: pair.certPem, key: pair.keyPem };
      changed(current);
    },
  });
  options.rotations.push(rotation);
  showExpiry(options.registry, clock, 'server', rotation);
  return { context: () => current, attach() {}, close() {} };
}
