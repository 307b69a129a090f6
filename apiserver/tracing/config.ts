/** The file of --tracing-config-file: TracingConfiguration of apiserver.config.k8s.io. */
import { ConfigError, readConfig, type ConfigKind } from '../startup/config-file.ts';

const KIND: ConfigKind = {
  kind: 'TracingConfiguration',
  apiVersions: ['v1', 'v1beta1', 'v1alpha1'].map((v) => `apiserver.config.k8s.io/${v}`),
  fields: { endpoint: 'string', samplingRatePerMillion: 'int' },
};

export interface TracingConfig {
  /** Host and port of the collector. */
  readonly endpoint: string;
  readonly samplingRatePerMillion: number;
}

/** Throws a ConfigError that says what is wrong. */
export function readTracingConfig(text: string): TracingConfig {
  const { endpoint = 'localhost:4317', samplingRatePerMillion = 0 } = readConfig(text, KIND) as Partial<TracingConfig>;
  if (samplingRatePerMillion < 0 || samplingRatePerMillion > 1_000_000)
    throw new ConfigError('samplingRatePerMillion must be between 0 and 1000000');
  // grpc names: dns:///host:port and the like are taken too
  if (endpoint === '' || /\s/.test(endpoint)) throw new ConfigError('endpoint must be the address of a collector');
  return { endpoint, samplingRatePerMillion };
}
