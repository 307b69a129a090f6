/** KubeletConfiguration (kubelet.config.k8s.io/v1beta1): its fields, defaults and how flags change it. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { getCiphers } from 'node:tls';
import { parseYaml } from '../base/yaml.ts';
import { checkEnforced } from './cgroups/reserved.ts';
import type { VerificationPolicy } from './images/pulled.ts';
import type { TopologyPolicy } from './topology/hints.ts';

/** Go's duration form ("1m30s", "100ms") in milliseconds; numbers are nanoseconds. */
export function parseDuration(value: string | number): number {
  if (typeof value === 'number') return value / 1e6;
  if (value === '0') return 0;
  const units: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3600_000 };
  let total = 0;
  let matched = '';
  for (const m of value.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(m[1]) * units[m[2]!]!;
    matched += m[0];
  }
  if (matched === '' || matched !== value) throw new Error(`${JSON.stringify(value)} is not a duration`);
  return total;
}

export interface Taint {
  key: string;
  value?: string;
  effect: string;
}

/** The fields that are acted upon; others are accepted and shown on /configz. Durations are Go's texts. */
export interface KubeletConfiguration {
  apiVersion: string;
  kind: string;
  enableServer: boolean;
  staticPodPath?: string;
  staticPodURL?: string;
  staticPodURLHeader: Record<string, string[]>;
  podLogsDir: string;
  syncFrequency: string;
  fileCheckFrequency: string;
  httpCheckFrequency: string;
  address: string;
  port: number;
  readOnlyPort: number;
  tlsCertFile?: string;
  tlsPrivateKeyFile?: string;
  tlsMinVersion?: string;
  /** Go's names (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256). */
  tlsCipherSuites?: string[];
  rotateCertificates: boolean;
  serverTLSBootstrap: boolean;
  authentication: {
    x509: { clientCAFile?: string };
    webhook: { enabled: boolean; cacheTTL: string };
    anonymous: { enabled: boolean };
  };
  authorization: {
    mode: 'AlwaysAllow' | 'Webhook';
    webhook: { cacheAuthorizedTTL: string; cacheUnauthorizedTTL: string };
  };
  /** Events a second; 0 stands for 5. */
  eventRecordQPS: number;
  /** Events at once; 0 stands for 10. */
  eventBurst: number;
  registryPullQPS: number;
  registryBurst: number;
  imagePullCredentialsVerificationPolicy: VerificationPolicy;
  preloadedImagesVerificationAllowlist: string[];
  enableDebuggingHandlers: boolean;
  enableSystemLogHandler: boolean;
  enableSystemLogQuery: boolean;
  healthzPort: number;
  healthzBindAddress: string;
  clusterDomain?: string;
  clusterDNS: string[];
  /** Exec, attach and port-forward end when nothing has come or gone for so long; 0 is never. */
  streamingConnectionIdleTimeout: string;
  nodeStatusUpdateFrequency: string;
  nodeStatusReportFrequency: string;
  nodeLeaseDurationSeconds: number;
  imageMinimumGCAge: string;
  imageMaximumGCAge: string;
  imageGCHighThresholdPercent: number;
  imageGCLowThresholdPercent: number;
  cgroupRoot: string;
  cgroupsPerQOS: boolean;
  cgroupDriver: 'cgroupfs' | 'systemd';
  runtimeRequestTimeout: string;
  maxPods: number;
  podsPerCore: number;
  podCIDR?: string;
  podPidsLimit: number;
  resolvConf: string;
  cpuCFSQuota: boolean;
  cpuCFSQuotaPeriod: string;
  nodeStatusMaxImages: number;
  serializeImagePulls: boolean;
  maxParallelImagePulls?: number;
  failSwapOn: boolean;
  /** Of a container that uses too much memory only one process is killed; defaults to false on cgroup v2, and is always so on v1. */
  singleProcessOOMKill?: boolean;
  /** With the feature gate MemoryQoS, on cgroup v2. */
  memoryThrottlingFactor: number;
  /** Doesn't start where the kernel is set otherwise than the kubelet wants. */
  protectKernelDefaults: boolean;
  /** The node is marked as one whose volumes the controller manager attaches. */
  enableControllerAttachDetach: boolean;
  memorySwap: { swapBehavior?: 'NoSwap' | 'LimitedSwap' };
  evictionHard: Record<string, string>;
  /** Hard thresholds that the file leaves out stay as they are by default. */
  mergeDefaultEvictionSettings: boolean;
  evictionSoft: Record<string, string>;
  evictionSoftGracePeriod: Record<string, string>;
  evictionPressureTransitionPeriod: string;
  evictionMaxPodGracePeriod: number;
  evictionMinimumReclaim: Record<string, string>;
  containerLogMaxSize: string;
  containerLogMaxFiles: number;
  containerLogMonitorInterval: string;
  systemReserved: Record<string, string>;
  kubeReserved: Record<string, string>;
  enforceNodeAllocatable: string[];
  systemReservedCgroup?: string;
  kubeReservedCgroup?: string;
  allowedUnsafeSysctls: string[];
  providerID?: string;
  seccompDefault: boolean;
  registerNode: boolean;
  registerWithTaints: Taint[];
  containerRuntimeEndpoint: string;
  imageServiceEndpoint?: string;
  crashLoopBackOff?: { maxContainerRestartPeriod?: string };
  cpuManagerPolicy: 'none' | 'static';
  cpuManagerPolicyOptions: Record<string, string>;
  /** Only those of the CPU manager's options and MemoryQoS count; everything else is as by default. */
  featureGates?: Record<string, boolean>;
  reservedSystemCPUs: string;
  memoryManagerPolicy: 'None' | 'Static';
  /** What of the reserved memory comes from which NUMA node. */
  reservedMemory: { numaNode: number; limits: Record<string, string> }[];
  topologyManagerPolicy: TopologyPolicy;
  topologyManagerScope: 'container' | 'pod';
  topologyManagerPolicyOptions: Record<string, string>;
  shutdownGracePeriod: string;
  shutdownGracePeriodCriticalPods: string;
  /** In place of the two before. */
  shutdownGracePeriodByPodPriority?: { priority: number; shutdownGracePeriodSeconds: number }[];
  [other: string]: unknown;
}

/** What is in effect where the file says nothing. */
function defaultConfiguration(): KubeletConfiguration {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    enableServer: true,
    podLogsDir: '/var/log/pods',
    syncFrequency: '1m0s',
    fileCheckFrequency: '20s',
    httpCheckFrequency: '20s',
    staticPodURLHeader: {},
    address: '0.0.0.0',
    port: 10250,
    readOnlyPort: 0,
    rotateCertificates: false,
    serverTLSBootstrap: false,
    authentication: { x509: {}, webhook: { enabled: true, cacheTTL: '2m0s' }, anonymous: { enabled: false } },
    authorization: { mode: 'Webhook', webhook: { cacheAuthorizedTTL: '5m0s', cacheUnauthorizedTTL: '30s' } },
    eventRecordQPS: 50,
    eventBurst: 100,
    registryPullQPS: 5,
    registryBurst: 10,
    imagePullCredentialsVerificationPolicy: 'NeverVerifyPreloadedImages',
    preloadedImagesVerificationAllowlist: [],
    enableDebuggingHandlers: true,
    enableSystemLogHandler: true,
    enableSystemLogQuery: false,
    healthzPort: 10248,
    healthzBindAddress: '127.0.0.1',
    clusterDNS: [],
    streamingConnectionIdleTimeout: '4h0m0s',
    nodeStatusUpdateFrequency: '10s',
    nodeStatusReportFrequency: '5m0s',
    nodeLeaseDurationSeconds: 40,
    imageMinimumGCAge: '2m0s',
    imageMaximumGCAge: '0s',
    imageGCHighThresholdPercent: 85,
    imageGCLowThresholdPercent: 80,
    cgroupRoot: '/',
    cgroupsPerQOS: true,
    cgroupDriver: 'cgroupfs',
    runtimeRequestTimeout: '2m0s',
    maxPods: 110,
    podsPerCore: 0,
    podPidsLimit: -1,
    resolvConf: '/etc/resolv.conf',
    cpuCFSQuota: true,
    cpuCFSQuotaPeriod: '100ms',
    nodeStatusMaxImages: 50,
    serializeImagePulls: true,
    failSwapOn: true,
    memoryThrottlingFactor: 0.9,
    protectKernelDefaults: false,
    enableControllerAttachDetach: true,
    memorySwap: {},
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '10%',
      'nodefs.inodesFree': '5%',
      'imagefs.available': '15%',
      'imagefs.inodesFree': '5%',
    },
    mergeDefaultEvictionSettings: false,
    evictionSoft: {},
    evictionSoftGracePeriod: {},
    evictionPressureTransitionPeriod: '5m0s',
    evictionMaxPodGracePeriod: 0,
    evictionMinimumReclaim: {},
    containerLogMaxSize: '10Mi',
    containerLogMaxFiles: 5,
    containerLogMonitorInterval: '10s',
    systemReserved: {},
    kubeReserved: {},
    enforceNodeAllocatable: ['pods'],
    allowedUnsafeSysctls: [],
    seccompDefault: false,
    registerNode: true,
    registerWithTaints: [],
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cpuManagerPolicy: 'none',
    cpuManagerPolicyOptions: {},
    reservedSystemCPUs: '',
    memoryManagerPolicy: 'None',
    reservedMemory: [],
    topologyManagerPolicy: 'none',
    topologyManagerScope: 'container',
    topologyManagerPolicyOptions: {},
    shutdownGracePeriod: '0s',
    shutdownGracePeriodCriticalPods: '0s',
  };
}

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);

/** Maps of the user replace the default as a whole; only these nested objects are merged field by field. */
const MERGED = new Set(['authentication', 'x509', 'webhook', 'anonymous', 'authorization']);

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const out = { ...base };
  for (const [k, v] of Object.entries(over)) {
    if (v === undefined || v === null) continue;
    const have = base[k];
    out[k] = MERGED.has(k) && isRecord(have) && isRecord(v) ? merge(have, v) : v;
  }
  return out;
}

/** The defaults with `given` on top. Fails for another kind. */
export function completeConfiguration(given: Record<string, unknown>): KubeletConfiguration {
  const kind = given['kind'] ?? 'KubeletConfiguration';
  const apiVersion = given['apiVersion'] ?? 'kubelet.config.k8s.io/v1beta1';
  if (kind !== 'KubeletConfiguration' || apiVersion !== 'kubelet.config.k8s.io/v1beta1')
    throw new Error(
      `expected a KubeletConfiguration of kubelet.config.k8s.io/v1beta1, not ${JSON.stringify(kind)} of ${JSON.stringify(apiVersion)}`,
    );
  const config = merge(defaultConfiguration() as Record<string, unknown>, given) as KubeletConfiguration;
  if (config.mergeDefaultEvictionSettings)
    config.evictionHard = { ...defaultConfiguration().evictionHard, ...config.evictionHard };
  cipherNames(config.tlsCipherSuites ?? []);
  checkEnforced(config);
  for (const [key, value] of Object.entries(config)) if (DURATIONS.has(key)) parseDuration(value as string);
  if (config.imageGCHighThresholdPercent < config.imageGCLowThresholdPercent)
    throw new Error('imageGCHighThresholdPercent must not be less than imageGCLowThresholdPercent');
  for (const key of ['eventRecordQPS', 'eventBurst'] as const)
    if (!(config[key] >= 0)) throw new Error(`${key} ${config[key]} must not be a negative number`);
  if (!(config.memoryThrottlingFactor > 0 && config.memoryThrottlingFactor <= 1))
    throw new Error(
      `memoryThrottlingFactor ${config.memoryThrottlingFactor} must be greater than 0 and less than or equal to 1.0`,
    );
  for (const [key, known] of Object.entries(CHOICES))
    if (!known.includes(config[key] as string))
      throw new Error(
        `${key} ${JSON.stringify(config[key])} must be one of: ${known.map((k) => JSON.stringify(k)).join(', ')}`,
      );
  return config;
}

/** Go's names of cipher suites as OpenSSL's, for tls.createSecureContext. Throws for one that is none. */
export function cipherNames(names: readonly string[]): string | undefined {
  const known = new Set(getCiphers());
  const out = names.map((name) => {
    // those of TLS 1.3 are called the same by both
    if (known.has(name.toLowerCase())) return name;
    const [exchange = '', rest = ''] = name.replace(/^TLS_/, '').split('_WITH_');
    const cipher = rest
      .replace(/^CHACHA20_POLY1305(_SHA256)?$/, 'CHACHA20-POLY1305')
      .replace(/AES_(\d+)_GCM/, 'AES$1-GCM')
      .replace(/AES_(\d+)_CBC/, 'AES$1')
      .replaceAll('_', '-');
    const openssl = [...(exchange === 'RSA' ? [] : [exchange.replaceAll('_', '-')]), cipher].join('-');
    if (!known.has(openssl.toLowerCase())) throw new Error(`tlsCipherSuites: ${JSON.stringify(name)} is not known`);
    return openssl;
  });
  return out.length > 0 ? out.join(':') : undefined;
}

/** Fields with few values. */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  cpuManagerPolicy: ['none', 'static'],
  memoryManagerPolicy: ['None', 'Static'],
  topologyManagerPolicy: ['none', 'best-effort', 'restricted', 'single-numa-node'],
  topologyManagerScope: ['container', 'pod'],
};

const DURATIONS = new Set([
  'syncFrequency',
  'fileCheckFrequency',
  'httpCheckFrequency',
  'streamingConnectionIdleTimeout',
  'nodeStatusUpdateFrequency',
  'nodeStatusReportFrequency',
  'imageMinimumGCAge',
  'imageMaximumGCAge',
  'runtimeRequestTimeout',
  'cpuCFSQuotaPeriod',
  'evictionPressureTransitionPeriod',
  'containerLogMonitorInterval',
  'shutdownGracePeriod',
  'shutdownGracePeriodCriticalPods',
]);
const PATHS: (keyof KubeletConfiguration)[] = ['staticPodPath', 'tlsCertFile', 'tlsPrivateKeyFile'];

const KIND = 'KubeletConfiguration';

/** Maps are merged key by key, all else is replaced. */
function overlay(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const out = { ...base };
  for (const [k, v] of Object.entries(over)) {
    const have = base[k];
    if (v === null) delete out[k];
    else out[k] = isRecord(have) && isRecord(v) ? overlay(have, v) : v;
  }
  return out;
}

function readObject(file: string): Record<string, unknown> {
  const given: unknown = parseYaml(readFileSync(file, 'utf8'));
  if (!isRecord(given)) throw new Error(`${file} holds no object`);
  return given;
}

/** The files of a folder of drop-ins (`*.conf`), in the order in which they are laid over the configuration. */
function dropIns(dir: string): string[] {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((n) => n.endsWith('.conf'));
  return names.sort().map((n) => join(dir, n));
}

/** Reads a configuration file (YAML or JSON) and the drop-ins that change it; relative paths in it are relative to the file. */
export function loadConfiguration(file: string | undefined, dropInDir?: string): KubeletConfiguration {
  let given = file === undefined ? {} : readObject(file);
  for (const f of dropInDir === undefined ? [] : dropIns(dropInDir)) {
    const more = readObject(f);
    if (more['kind'] !== KIND || more['apiVersion'] === undefined)
      throw new Error(`${f}: kind ${KIND} and an apiVersion are required`);
    given = overlay(given, more);
  }
  const config = completeConfiguration(given);
  const base = dirname(resolve(file ?? `${dropInDir}/x`));
  const absolute = (p: string) => (p === '' || isAbsolute(p) ? p : resolve(base, p));
  for (const key of PATHS)
    if (typeof config[key] === 'string') (config as Record<string, unknown>)[key] = absolute(config[key] as string);
  const ca = config.authentication.x509.clientCAFile;
  if (ca) config.authentication.x509.clientCAFile = absolute(ca);
  return config;
}
