/** KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1). https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/ */
import { decodeYaml } from '../api/codec/yaml.ts';

export interface PluginRef {
  name: string;
  weight?: number;
}
export interface PluginPointConfig {
  enabled?: PluginRef[];
  disabled?: PluginRef[];
}
export const POINTS = [
  'preEnqueue',
  'queueSort',
  'preFilter',
  'filter',
  'postFilter',
  'preScore',
  'score',
  'reserve',
  'permit',
  'preBind',
  'bind',
  'postBind',
] as const;
export type Point = (typeof POINTS)[number];

export interface ProfileConfig {
  /** Defaults to default-scheduler. */
  schedulerName?: string;
  percentageOfNodesToScore?: number;
  plugins?: Partial<Record<Point | 'multiPoint', PluginPointConfig>>;
  pluginConfig?: { name: string; args?: Record<string, unknown> }[];
}

export interface ExtenderConfig {
  urlPrefix: string;
  filterVerb?: string;
  preemptVerb?: string;
  prioritizeVerb?: string;
  bindVerb?: string;
  weight?: number;
  /** Defaults to 5 s; a Go duration. */
  httpTimeout?: string;
  nodeCacheCapable?: boolean;
  managedResources?: { name: string; ignoredByScheduler?: boolean }[];
  ignorable?: boolean;
  enableHTTPS?: boolean;
  tlsConfig?: { insecure?: boolean; caFile?: string; certFile?: string; keyFile?: string; serverName?: string };
}

export interface SchedulerConfig {
  /** Percent of nodes to find feasible before scoring; 0 adapts. */
  percentageOfNodesToScore?: number;
  /** Defaults to 1 and 10. */
  podInitialBackoffSeconds?: number;
  podMaxBackoffSeconds?: number;
  profiles?: ProfileConfig[];
  extenders?: ExtenderConfig[];
  leaderElection?: {
    leaderElect?: boolean;
    leaseDuration?: string;
    renewDeadline?: string;
    retryPeriod?: string;
    resourceName?: string;
    resourceNamespace?: string;
  };
  clientConnection?: { kubeconfig?: string };
}

const API_VERSION = 'kubescheduler.config.k8s.io/v1';

/**
 * Reads a configuration file's text.
 * @throws Error with one sentence about what is wrong.
 */
export function parseConfig(text: string): SchedulerConfig {
  const value = decodeYaml(text).value as unknown;
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error('the scheduler configuration is no object');
  const config = value as SchedulerConfig & { apiVersion?: string; kind?: string };
  if (config.apiVersion !== API_VERSION || config.kind !== 'KubeSchedulerConfiguration')
    throw new Error(
      `the scheduler configuration must be a KubeSchedulerConfiguration of ${API_VERSION}, not ${String(config.kind)} of ${String(config.apiVersion)}`,
    );
  const names = new Set<string>();
  const profiles = config.profiles ?? [];
  for (const [i, p] of profiles.entries()) {
    const name = p.schedulerName ?? (profiles.length === 1 ? 'default-scheduler' : '');
    if (name === '') throw new Error(`profiles[${i}].schedulerName: Required value`);
    if (names.has(name)) throw new Error(`profiles[${i}].schedulerName: Duplicate value: ${JSON.stringify(name)}`);
    names.add(name);
  }
  const percent = config.percentageOfNodesToScore;
  if (percent !== undefined && (percent < 0 || percent > 100))
    throw new Error(`percentageOfNodesToScore: Invalid value: ${percent}: not in valid range [0-100]`);
  return config;
}
