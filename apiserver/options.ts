/** From flags to the options of `start`: files are read, the store is opened. */
import { networkInterfaces } from 'node:os';
import { createSecureContext } from 'node:tls';
import { choosePlugins } from './admission/chain.ts';
import { auditorFromFlags } from './audit/options.ts';
import { Agent } from 'node:https';
import { systemIds, systemRand, type Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { RunningServer, StartOptions } from './start.ts';
import type { Authentication } from './authentication/authentication.ts';
import { readKeys } from './authentication/authentication.ts';
import type { Authorization } from './authorization/authorization.ts';
import { extensionHooks } from './extensions/index.ts';
import { bootstrapHooks } from './bootstrap/hooks.ts';
import { FlagError, type Flags } from './flags.ts';
import { registerProxyHandlers } from './proxying/handlers.ts';
import { createSecurity } from './security.ts';
import { startKubernetesService } from './startup/kubernetes-service.ts';
import { accessFromFlags } from './startup/access-options.ts';
import { openEncryption, type Encryption } from './storage/encryption/encryption.ts';
import { openStore, type StorageBackend, type StoreOptions } from './storage/open.ts';
import { readTracingConfig, type TracingConfig } from './tracing/config.ts';
import { createOtlpExporter } from './tracing/otlp.ts';
import { createTracer, type Tracer } from './tracing/tracer.ts';
import { followAgentFiles, followServerFiles } from './startup/reload.ts';
import { startCompactor } from './storage/compactor.ts';
import { cidr as checkCidr } from './resources/validation/formats.ts';
import type { Store } from './storage/store.ts';
import { allResources } from './resources/index.ts';
import { upstreamForm } from './registry/upstream-form.ts';

export interface FlagDeps {
  clock: Clock;
  logger: Logger;
  readFile(path: string): Buffer;
}

const KUBELET_ADDRESS_TYPES = ['Hostname', 'InternalDNS', 'InternalIP', 'ExternalDNS', 'ExternalIP'];

/**
 * Throws FlagError with one sentence for what is wrong. `follow` keeps a started server's certificates and authorities
 * up to date with their files; `close` gives back what was opened.
 */
export async function optionsFromFlags(
  flags: Flags,
  deps: FlagDeps,
): Promise<{ options: StartOptions; follow(server: RunningServer): void; close(): Promise<void> }> {
  const { clock, logger } = deps;
  const read = (name: string): Buffer | undefined => {
    const path = flags.string(name);
    return path === undefined ? undefined : readFlagFile(deps, name, path);
  };
  const cert = read('tls-cert-file');
  const key = read('tls-private-key-file');
  if (!cert || !key) throw new FlagError('--tls-cert-file and --tls-private-key-file are needed');
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new FlagError(`--tls-cert-file and --tls-private-key-file can't be used: ${(error as Error).message}`);
  }
  try {
    choosePlugins(flags.list('enable-admission-plugins') ?? [], flags.list('disable-admission-plugins') ?? []);
  } catch (error) {
    throw new FlagError((error as Error).message);
  }
  const issuers = flags.list('service-account-issuer') ?? [];
  const signingPath = flags.string('service-account-signing-key-file');
  const signingKey =
    signingPath === undefined ? undefined : keyFile(deps, 'service-account-signing-key-file', signingPath);
  if (issuers.length === 0) throw new FlagError('--service-account-issuer is needed');
  if (!signingKey) throw new FlagError('--service-account-signing-key-file is needed');
  const clientCa = read('client-ca-file');
  const proxyCa = read('requestheader-client-ca-file');
  const access = accessFromFlags(flags, deps.readFile);
  const securePort = flags.int('secure-port', 6443);
  const bindAddress = flags.string('bind-address') ?? '0.0.0.0';
  const advertise = flags.string('advertise-address');
  const host =
    flags.string('external-hostname') ?? advertise ?? (bindAddress === '0.0.0.0' ? '127.0.0.1' : bindAddress);
  const usernameHeaders = flags.list('requestheader-username-headers') ?? ['x-remote-user'];
  const tokenFile = read('token-auth-file');
  const tokenExpiration = flags.durationMs('service-account-max-token-expiration', 0);
  const requestHeader = proxyCa && {
    clientCa: proxyCa,
    usernameHeaders,
    uidHeaders: flags.list('requestheader-uid-headers'),
    groupHeaders: flags.list('requestheader-group-headers') ?? ['x-remote-group'],
    extraHeaderPrefixes: flags.list('requestheader-extra-headers-prefix') ?? ['x-remote-extra-'],
    allowedNames: flags.list('requestheader-allowed-names') ?? [],
  };
  const serviceCidrs = (flags.string('service-cluster-ip-range') ?? '10.0.0.0/24').split(',');
  const serviceCidr = serviceCidrs[0]!;
  const published =
    flags.string('endpoint-reconciler-type') === 'none' ? undefined : (advertise ?? publicAddress(bindAddress));
  const kubeletCa = read('kubelet-certificate-authority');
  const kubeletAgent = new Agent({
    cert: read('kubelet-client-certificate'),
    key: read('kubelet-client-key'),
    ca: kubeletCa,
    // without an authority named, kubelets' serving certificates are their own (as kube-apiserver has it)
    rejectUnauthorized: kubeletCa !== undefined,
    keepAlive: true,
  });
  const proxyCert = flags.string('proxy-client-cert-file');
  const proxyKey = flags.string('proxy-client-key-file');
  for (const f of ['proxy-client-cert-file', 'proxy-client-key-file']) read(f);
  for (const cidr of serviceCidrs)
    if (checkCidr(cidr).length > 0)
      throw new FlagError(`--service-cluster-ip-range: "${cidr}" is no address range such as 10.96.0.0/16`);
  const audit = await auditorFromFlags(flags, { clock, logger });
  const tracer = tracerFromFlags(flags, deps);
  const backend = storageBackend(flags);
  const translation = backend === 'etcd3' ? upstreamForm(allResources()) : undefined;
  const encryption = await openEncryptionAtRest(flags, deps, translation?.toOwn);
  const store = await openBackend(flags, deps, { backend, translation, transformer: encryption?.transformer });
  const compactor = startCompactor({
    store,
    clock,
    logger,
    intervalMs: flags.durationMs('etcd-compaction-interval', 300_000),
  });
  let authentication: Authentication | undefined;
  let authorization: Authorization | undefined;
  let configs: { close(): void } | undefined;
  let followed: { close(): void } | undefined;
  let kubeletFiles: { close(): void } | undefined;
  return {
    follow(server) {
      configs = access.follow({ clock, logger, authentication: authentication!, authorization: authorization! });
      const clientCaFile = flags.string('requestheader-client-ca-file');
      followed = followServerFiles({
        clock,
        logger,
        server,
        authentication: authentication!,
        files: {
          cert: flags.string('tls-cert-file')!,
          key: flags.string('tls-private-key-file')!,
          clientCa: flags.string('client-ca-file'),
          requestHeader: requestHeader && clientCaFile ? { ...requestHeader, clientCaFile } : undefined,
        },
      });
      kubeletFiles = followAgentFiles(kubeletAgent, {
        clock,
        logger,
        files: {
          cert: flags.string('kubelet-client-certificate'),
          key: flags.string('kubelet-client-key'),
          ca: flags.string('kubelet-certificate-authority'),
        },
      });
    },
    async close() {
      followed?.close();
      kubeletFiles?.close();
      configs?.close();
      await compactor.stop();
      await store.close();
      encryption?.close();
      await audit?.close();
      await tracer?.close();
    },
    options: {
      clock,
      logger,
      store,
      flags: () => flags.shown(),
      tls: { cert, key, clientCa: [clientCa, proxyCa].filter((c) => c !== undefined) },
      bindAddress,
      securePort,
      disableHttp2: flags.bool('http2-disabled', false),
      minRequestTimeoutSeconds: flags.int('min-request-timeout', 1800),
      requestTimeoutSeconds: flags.durationMs('request-timeout', 60_000) / 1000,
      priorityAndFairness: flags.bool('enable-priority-and-fairness', true),
      maxRequestsInFlight: flags.int('max-requests-inflight', 400),
      maxMutatingRequestsInFlight: flags.int('max-mutating-requests-inflight', 200),
      shutdownDelayMs: flags.durationMs('shutdown-delay-duration', 0),
      proxyUserHeaders: usernameHeaders,
      audit,
      tracer,
      checks: encryption && [{ name: 'kms-providers', check: () => encryption.check() }],
      serviceCidrs,
      serviceNodePorts: portRange(flags.string('service-node-port-range')),
      hooks: [
        ...extensionHooks({ proxyFiles: proxyCert && proxyKey ? { cert: proxyCert, key: proxyKey } : undefined }),
        ...bootstrapHooks({
          serviceCidrs,
          clientCa: clientCa?.toString('utf8'),
          requestHeader: requestHeader && { ...requestHeader, clientCa: requestHeader.clientCa.toString('utf8') },
        }),
        {
          name: 'bootstrap-controller',
          also: ['start-service-ip-repair-controllers'],
          async run(app) {
            const { store, reader, writer } = app;
            const service = await startKubernetesService({
              clock,
              logger,
              store,
              reader,
              writer,
              serviceCidr,
              advertise: published ? { address: published, port: securePort } : undefined,
            });
            app.onClose(() => service.stop());
          },
        },
      ],
      handlers: (parts) =>
        registerProxyHandlers(parts.special, {
          reader: parts.reader,
          rand: parts.rand,
          clock: parts.clock,
          kubelet: {
            preferredAddressTypes: flags.list('kubelet-preferred-address-types') ?? KUBELET_ADDRESS_TYPES,
            agent: kubeletAgent,
          },
        }),
      security: createSecurity({
        clientCa,
        requestHeader,
        serviceAccounts: {
          issuers,
          keys: (flags.list('service-account-key-file') ?? []).map((path) =>
            keyFile(deps, 'service-account-key-file', path),
          ),
          signingKey,
          lookup: flags.bool('service-account-lookup', true),
        },
        alwaysAllowPaths: flags.list('authorization-always-allow-paths'),
        apiAudiences: flags.list('api-audiences'),
        bootstrapTokens: flags.bool('enable-bootstrap-token-auth', false),
        tokenFile: tokenFile?.toString('utf8'),
        ...access.security,
        externalAddress: `${host.includes(':') ? `[${host}]` : host}:${securePort}`,
        jwksUri: flags.string('service-account-jwks-uri'),
        maxTokenExpirationSeconds: tokenExpiration / 1000,
        extendTokenExpiration: flags.bool('service-account-extend-token-expiration', true),
        enableAdmission: flags.list('enable-admission-plugins'),
        disableAdmission: flags.list('disable-admission-plugins'),
        admissionSettings: {
          ...access.admission,
          notReadySeconds: flags.int('default-not-ready-toleration-seconds', 300),
          unreachableSeconds: flags.int('default-unreachable-toleration-seconds', 300),
        },
        aggregatorRouting: flags.bool('enable-aggregator-routing', false),
        onAuthentication: (a) => (authentication = a),
        onAuthorization: (a) => (authorization = a),
      }),
    },
  };
}

/** The address that others reach this machine by, when the one it listens on doesn't say. */
function publicAddress(bindAddress: string): string | undefined {
  if (bindAddress !== '0.0.0.0' && bindAddress !== '::' && !bindAddress.startsWith('127.') && bindAddress !== '::1')
    return bindAddress;
  for (const list of Object.values(networkInterfaces()))
    for (const a of list ?? [])
      if (!a.internal && a.family === 'IPv4' && !a.address.startsWith('169.254.')) return a.address;
  return undefined;
}

/** A PEM file that must hold a key. */
function keyFile(deps: FlagDeps, flag: string, path: string): Buffer {
  const pem = readFlagFile(deps, flag, path);
  try {
    readKeys(pem);
  } catch {
    throw new FlagError(`--${flag}: ${path} holds no key that can be read`);
  }
  return pem;
}

function readFlagFile(deps: FlagDeps, flag: string, path: string): Buffer {
  try {
    return deps.readFile(path);
  } catch (error) {
    throw new FlagError(`--${flag}: ${path} can't be read (${(error as { code?: string }).code ?? 'error'})`);
  }
}

function tracerFromFlags(flags: Flags, deps: FlagDeps): Tracer | undefined {
  const file = flags.string('tracing-config-file');
  if (file === undefined) return undefined;
  const { clock, logger } = deps;
  let config: TracingConfig;
  try {
    config = readTracingConfig(readFlagFile(deps, 'tracing-config-file', file).toString('utf8'));
  } catch (error) {
    if (error instanceof FlagError) throw error;
    throw new FlagError(`--tracing-config-file: ${file} can't be used: ${(error as Error).message}`);
  }
  const { endpoint, samplingRatePerMillion } = config;
  const resource = { 'service.name': 'apiserver', 'service.instance.id': systemIds.uuid() };
  const exporter = createOtlpExporter({ clock, logger, endpoint, resource });
  return createTracer({ clock, ids: systemIds, rand: systemRand, exporter, samplingRatePerMillion });
}

async function openEncryptionAtRest(
  flags: Flags,
  { clock, logger }: FlagDeps,
  ownKey?: (key: string) => string,
): Promise<Encryption | undefined> {
  const file = flags.string('encryption-provider-config');
  const reload = flags.bool('encryption-provider-config-automatic-reload', false);
  if (file === undefined) {
    if (reload) throw new FlagError('--encryption-provider-config-automatic-reload needs --encryption-provider-config');
    return undefined;
  }
  const keyPrefix = `/${(flags.string('etcd-prefix') ?? '/registry').replace(/^\/+|\/+$/g, '')}`;
  try {
    return await openEncryption({ clock, ids: systemIds, logger, file, reload, keyPrefix, ownKey });
  } catch (error) {
    throw new FlagError(`--encryption-provider-config: ${(error as Error).message}`);
  }
}

function storageBackend(flags: Flags): StorageBackend {
  const backend = flags.string('storage-backend') ?? (flags.has('etcd-servers') ? 'etcd3' : 'lmdb');
  if (backend !== 'memory' && backend !== 'lmdb' && backend !== 'etcd3')
    throw new FlagError(`--storage-backend "${backend}" is unknown; known are etcd3, lmdb, memory`);
  if (backend === 'lmdb' && !flags.has('data-dir')) throw new FlagError('the lmdb storage backend needs --data-dir');
  if (backend === 'etcd3' && !flags.list('etcd-servers')?.length)
    throw new FlagError('the etcd3 storage backend needs --etcd-servers');
  return backend;
}

async function openBackend(
  flags: Flags,
  deps: FlagDeps,
  form: Pick<StoreOptions, 'backend' | 'transformer' | 'translation'>,
): Promise<Store> {
  try {
    return await openStore({
      ...form,
      clock: deps.clock,
      logger: deps.logger,
      dataDir: flags.string('data-dir'),
      etcd: {
        servers: flags.list('etcd-servers') ?? [],
        cafile: flags.string('etcd-cafile'),
        certfile: flags.string('etcd-certfile'),
        keyfile: flags.string('etcd-keyfile'),
        prefix: flags.string('etcd-prefix'),
      },
    });
  } catch (error) {
    throw new FlagError(`the store can't be opened: ${(error as Error).message}`);
  }
}

/** `30000-32767` as first and last port; undefined for the default. */
function portRange(text: string | undefined): [number, number] | undefined {
  if (text === undefined) return undefined;
  const m = /^(\d+)-(\d+)$/.exec(text);
  if (!m || Number(m[1]) < 1 || Number(m[2]) > 65535 || Number(m[1]) > Number(m[2])) {
    throw new FlagError(`--service-node-port-range: ${text} is no range of ports`);
  }
  return [Number(m[1]), Number(m[2])];
}
