/** AdmissionConfiguration (--admission-control-config-file): what single plugins are configured with. */
import { resolve } from 'node:path';
import { decodeYaml } from '../../api/codec/yaml.ts';
import { duplicate, invalid, notSupported, Path, required, type FieldError } from '../../api/field-errors.ts';
import type { JsonObject, JsonValue } from '../../api/types.ts';
import { isDNS1123Label, isDNS1123Subdomain } from '../../api/validation/names.ts';
import { checkConfig, ConfigError, readConfig, refuse, type ConfigKind, type Shape } from '../startup/config-file.ts';
import type { AdmissionSettings, EventLimit, LimitedResource, PodSecuritySettings } from './plugin.ts';
import { LIMIT_TYPES } from './plugins/event-rate-limit.ts';

const list = (of: Shape): Shape => ({ list: of });
const object = (fields: Record<string, Shape>): Shape => ({ fields });

const KIND: ConfigKind = {
  kind: 'AdmissionConfiguration',
  apiVersions: ['apiserver.config.k8s.io/v1', 'apiserver.k8s.io/v1alpha1'],
  fields: { plugins: list(object({ name: 'string', path: 'string', configuration: 'any' })) },
};

const MODES = ['enforce', 'audit', 'warn'] as const;
const POD_SECURITY: ConfigKind = {
  kind: 'PodSecurityConfiguration',
  apiVersions: ['v1', 'v1beta1', 'v1alpha1'].map((v) => `pod-security.admission.config.k8s.io/${v}`),
  fields: {
    defaults: object(Object.fromEntries(MODES.flatMap((m) => [m, `${m}-version`]).map((n) => [n, 'string']))),
    exemptions: object({ usernames: list('string'), namespaces: list('string'), runtimeClasses: list('string') }),
  },
};
const QUOTA: ConfigKind = {
  kind: 'ResourceQuotaConfiguration',
  apiVersions: ['apiserver.config.k8s.io/v1'],
  fields: {
    limitedResources: list(
      object({
        apiGroup: 'string',
        resource: 'string',
        matchContains: list('string'),
        matchScopes: list(object({ scopeName: 'string', operator: 'string', values: list('string') })),
      }),
    ),
  },
};
const EVENTS: ConfigKind = {
  kind: 'Configuration',
  apiVersions: ['eventratelimit.admission.k8s.io/v1alpha1'],
  fields: { limits: list(object({ type: 'string', qps: 'int', burst: 'int', cacheSize: 'int' })) },
};

/** Reads the file's text; paths in it are relative to `directory`. Throws a ConfigError. */
export function readAdmissionConfig(
  text: string,
  directory: string,
  readFile: (path: string) => Buffer,
): Pick<AdmissionSettings, 'podSecurity' | 'limitedResources' | 'eventLimits'> {
  const file = readConfig(text, KIND) as { plugins?: { name?: string; path?: string; configuration?: JsonValue }[] };
  const out: { -readonly [K in 'podSecurity' | 'limitedResources' | 'eventLimits']?: AdmissionSettings[K] } = {};
  const seen = new Set<string>();
  for (const { name = '', path, configuration } of file.plugins ?? []) {
    if (seen.has(name)) throw new ConfigError(`plugin "${name}" is configured twice`);
    seen.add(name);
    const given = configuration ?? (path ? decodeYaml(readFile(resolve(directory, path))).value : undefined);
    if (given === undefined) continue;
    const use = PLUGINS[name];
    if (!use) throw new ConfigError(`plugin "${name}" can not be configured; those that can are ${KNOWN}`);
    try {
      Object.assign(out, use(given));
    } catch (error) {
      if (error instanceof ConfigError) throw new ConfigError(`plugin "${name}": ${error.message}`);
      throw error;
    }
  }
  return out;
}

const PLUGINS: Readonly<Record<string, (given: JsonValue) => Partial<AdmissionSettings>>> = {
  PodSecurity: (given) => ({ podSecurity: readPodSecurity(checkConfig(given, POD_SECURITY)) }),
  ResourceQuota: (given) => ({ limitedResources: readLimited(checkConfig(given, QUOTA)) }),
  EventRateLimit: (given) => ({ eventLimits: readEventLimits(checkConfig(given, EVENTS)) }),
};
const KNOWN = Object.keys(PLUGINS).join(', ');

function readPodSecurity(config: JsonObject): PodSecuritySettings {
  const errors: FieldError[] = [];
  const defaults = (config['defaults'] ?? {}) as Record<string, string>;
  for (const mode of MODES) {
    const [level, version] = [defaults[mode] || 'privileged', defaults[`${mode}-version`] || 'latest'];
    if (!['privileged', 'baseline', 'restricted'].includes(level))
      errors.push(invalid(`defaults.${mode}`, level, 'must be one of privileged, baseline, restricted'));
    if (!/^(latest|v1\.(0|[1-9][0-9]*))$/.test(version))
      errors.push(invalid(`defaults.${mode}-version`, version, 'must be "latest" or "v1.x"'));
  }
  const exemptions = (config['exemptions'] ?? {}) as Partial<Record<string, string[]>>;
  const exempt = (part: string, check: (name: string) => string[]): ReadonlySet<string> => {
    const names = new Set<string>();
    (exemptions[part] ?? []).forEach((name, i) => {
      const path = Path.root('exemptions', part).index(i);
      const why = check(name);
      if (why.length > 0) errors.push(invalid(path, name, why.join(', ')));
      else if (names.has(name)) errors.push(duplicate(path, name));
      names.add(name);
    });
    return names;
  };
  const settings = {
    defaults,
    exemptNamespaces: exempt('namespaces', isDNS1123Label),
    exemptRuntimeClasses: exempt('runtimeClasses', isDNS1123Subdomain),
    exemptUsers: exempt('usernames', (name) => (name === '' ? ['username must not be empty'] : [])),
  };
  refuse(errors);
  return settings;
}

function readLimited(config: JsonObject): LimitedResource[] {
  const limited = (config['limitedResources'] ?? []) as unknown as LimitedResource[];
  refuse(
    limited.flatMap((l, i) => (l.resource ? [] : [required(Path.root('limitedResources').index(i).child('resource'))])),
  );
  return limited;
}

function readEventLimits(config: JsonObject): EventLimit[] {
  const limits = (config['limits'] ?? []) as unknown as EventLimit[];
  const errors: FieldError[] = [];
  if (limits.length === 0) errors.push(invalid('limits', limits, 'must not be empty'));
  limits.forEach((limit, i) => {
    const path = Path.root('limits').index(i);
    if (!LIMIT_TYPES.includes(limit.type)) errors.push(notSupported(path.child('type'), limit.type, LIMIT_TYPES));
    if (!(limit.burst > 0)) errors.push(invalid(path.child('burst'), limit.burst ?? 0, 'must be positive'));
    if (!(limit.qps > 0)) errors.push(invalid(path.child('qps'), limit.qps ?? 0, 'must be positive'));
    if (limit.type !== 'Server' && (limit.cacheSize ?? 0) < 0)
      errors.push(invalid(path.child('cacheSize'), limit.cacheSize, 'must not be negative'));
  });
  refuse(errors);
  return limits;
}
