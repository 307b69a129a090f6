/** KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1). https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/ */
import { lazyModule } from '../base/lazy.ts';
import { argsShape, CONFIGURATION, misfits, POINTS } from './config-shape.ts';
import { validateConfig } from './config-validation.ts';

export interface PluginRef {
  name: string;
  weight?: number;
}
export interface PluginPointConfig {
  enabled?: PluginRef[];
  disabled?: PluginRef[];
}
export { POINTS };
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
  /** Means nothing here: there is one thread. */
  parallelism?: number;
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
    resourceLock?: string;
    resourceName?: string;
    resourceNamespace?: string;
  };
  clientConnection?: { kubeconfig?: string };
}

const yaml = lazyModule<typeof import('../api/codec/yaml.ts')>(import.meta.url, '../api/codec/yaml.ts');
const API_VERSION = 'kubescheduler.config.k8s.io/v1';

/**
 * Reads a configuration file's text.
 * @throws Error with one sentence about what is wrong.
 */
export function parseConfig(text: string): SchedulerConfig {
  const value = yaml().decodeYaml(text).value as unknown;
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error('the scheduler configuration is no object');
  const config = value as SchedulerConfig & { apiVersion?: string; kind?: string };
  if (config.apiVersion !== API_VERSION || config.kind !== 'KubeSchedulerConfiguration')
    throw new Error(
      `the scheduler configuration must be a KubeSchedulerConfiguration of ${API_VERSION}, not ${String(config.kind)} of ${String(config.apiVersion)}`,
    );
  const { unknown, wrong } = misfits(value, CONFIGURATION);
  for (const [i, p] of listOf(config.profiles).entries())
    for (const [j, c] of listOf(p?.pluginConfig).entries()) {
      const shape = argsShape(c?.name);
      if (!shape) continue;
      const path = `profiles[${i}].pluginConfig[${j}].args`;
      const kind = (c.args as { kind?: unknown } | undefined)?.kind;
      if (kind !== undefined && kind !== `${c.name}Args`)
        wrong.push(`${path}: args for plugin ${c.name} were not of type ${c.name}Args, got ${JSON.stringify(kind)}`);
      const found = misfits(c.args, shape, path);
      unknown.push(...found.unknown);
      wrong.push(...found.wrong);
    }
  if (unknown.length > 0)
    throw new Error(`strict decoding error: ${unknown.map((u) => `unknown field ${JSON.stringify(u)}`).join(', ')}`);
  if (wrong.length > 0) throw new Error(wrong.join(', '));
  const errors = validateConfig(config).map((e) => `${e.field}: ${e.message}`);
  if (errors.length > 0) throw new Error(errors.length === 1 ? errors[0]! : `[${errors.join(', ')}]`);
  return config;
}

const listOf = <T>(value: readonly T[] | undefined): readonly T[] => (Array.isArray(value) ? value : []);
