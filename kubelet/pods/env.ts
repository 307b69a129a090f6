/** A container's environment: services, envFrom, env with `$(VAR)` expansion. */
import type { ConfigMap, Container, DeepReadonly, Pod, Secret, Service } from '../../api/types.ts';
import { expand } from './expansion.ts';
import { podField, resourceField } from './fields.ts';

/** The pod can't be started as it is written; the message goes into the container's waiting state. */
export class ConfigError extends Error {
  readonly reason: string;
  constructor(message: string, reason = 'CreateContainerConfigError') {
    super(message);
    this.reason = reason;
  }
}

export interface EnvSources {
  /** Services of the pod's namespace and the `kubernetes` Service of `default`. */
  services(namespace: string): DeepReadonly<Service>[];
  /** Undefined when there is none; rejects when it can't be known. */
  configMap(namespace: string, name: string): Promise<DeepReadonly<ConfigMap> | undefined>;
  secret(namespace: string, name: string): Promise<DeepReadonly<Secret> | undefined>;
  podIPs: readonly string[];
  hostIPs: readonly string[];
  allocatable: DeepReadonly<Record<string, string>>;
  /** Reads a file of an emptyDir volume (fileKeyRef). */
  volumeFile?(volume: string, path: string): Promise<string | undefined>;
  /** Says that names were left out since they are no variable names. */
  skipped?(source: string, keys: string[]): void;
}

/** Variables that point at services: {NAME}_SERVICE_HOST and what Docker's links once set. */
export function serviceVariables(services: DeepReadonly<Service>[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const s of services) {
    const ip = s.spec?.clusterIP;
    const ports = s.spec?.ports ?? [];
    if (!ip || ip === 'None' || ports.length === 0) continue;
    const name = s.metadata!.name!.toUpperCase().replaceAll('-', '_');
    const host = ip.includes(':') ? `[${ip}]` : ip;
    out[`${name}_SERVICE_HOST`] = ip;
    out[`${name}_SERVICE_PORT`] = String(ports[0]!.port);
    for (const p of ports)
      if (p.name) out[`${name}_SERVICE_PORT_${p.name.toUpperCase().replaceAll('-', '_')}`] = String(p.port);
    ports.forEach((p, i) => {
      const protocol = p.protocol ?? 'TCP';
      const url = `${protocol.toLowerCase()}://${host}:${p.port}`;
      const prefix = `${name}_PORT_${p.port}_${protocol}`;
      if (i === 0) out[`${name}_PORT`] = url;
      out[prefix] = url;
      out[`${prefix}_PROTO`] = protocol.toLowerCase();
      out[`${prefix}_PORT`] = String(p.port);
      out[`${prefix}_ADDR`] = ip;
    });
  }
  return out;
}

/** Since 1.30 a variable may bear any printable ASCII name without "=". */
const VARIABLE_NAME = /^[ -<>-~]+$/;

const text = (data: string): string => Buffer.from(data, 'base64').toString('latin1');

/** All variables in the order of their first definition. Values are latin1 strings where they come from secrets' bytes. */
export async function containerEnv(
  pod: DeepReadonly<Pod>,
  container: DeepReadonly<Container>,
  from: EnvSources,
): Promise<Map<string, Buffer>> {
  const ns = pod.metadata!.namespace!;
  const out = new Map<string, string>();
  const visible: Record<string, string> =
    pod.spec!.enableServiceLinks === false
      ? serviceVariables(from.services('default').filter((s) => s.metadata?.name === 'kubernetes'))
      : {
          ...serviceVariables(from.services('default').filter((s) => s.metadata?.name === 'kubernetes')),
          ...serviceVariables(from.services(ns)),
        };

  for (const source of container.envFrom ?? []) {
    const prefix = source.prefix ?? '';
    const ref = source.configMapRef ?? source.secretRef;
    if (!ref) continue;
    const kind = source.configMapRef ? 'configmap' : 'secret';
    const object = source.configMapRef ? await from.configMap(ns, ref.name!) : await from.secret(ns, ref.name!);
    if (!object) {
      if (ref.optional) continue;
      throw new ConfigError(`${kind} ${JSON.stringify(ref.name)} not found`);
    }
    const skipped: string[] = [];
    for (const [key, value] of Object.entries(object.data ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (VARIABLE_NAME.test(prefix + key))
        out.set(prefix + key, kind === 'secret' ? text(value) : Buffer.from(value).toString('latin1'));
      else skipped.push(prefix + key);
    }
    if (skipped.length) from.skipped?.(`${kind} ${ns}/${ref.name}`, skipped);
  }

  const lookup = (name: string) => out.get(name) ?? (visible[name] === undefined ? undefined : visible[name]);
  for (const e of container.env ?? []) {
    if (!e.valueFrom) {
      out.set(e.name, expand(Buffer.from(e.value ?? '').toString('latin1'), lookup));
      continue;
    }
    const value = await fromSource(pod, container, e.valueFrom, from);
    if (value !== undefined) out.set(e.name, value);
  }
  const all = new Map<string, Buffer>();
  for (const [k, v] of out) all.set(k, Buffer.from(v, 'latin1'));
  for (const [k, v] of Object.entries(visible)) if (!all.has(k)) all.set(k, Buffer.from(v));
  return all;
}

type ValueFrom = NonNullable<NonNullable<DeepReadonly<Container>['env']>[number]['valueFrom']>;

async function fromSource(
  pod: DeepReadonly<Pod>,
  container: DeepReadonly<Container>,
  ref: ValueFrom,
  from: EnvSources,
): Promise<string | undefined> {
  const ns = pod.metadata!.namespace!;
  if (ref.fieldRef) {
    const value = podField(pod, ref.fieldRef.fieldPath, from);
    if (value === undefined) throw new ConfigError(`unsupported fieldPath: ${ref.fieldRef.fieldPath}`);
    return Buffer.from(value).toString('latin1');
  }
  if (ref.resourceFieldRef) {
    const r = ref.resourceFieldRef;
    let c = container;
    if (r.containerName && r.containerName !== container.name) {
      const other = [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])].find(
        (x) => x.name === r.containerName,
      );
      if (!other) throw new ConfigError(`container ${r.containerName} not found`);
      c = other;
    }
    return resourceField(pod, c, r.resource, r.divisor, from.allocatable);
  }
  if (ref.configMapKeyRef) {
    const r = ref.configMapKeyRef;
    const object = await from.configMap(ns, r.name!);
    if (!object && !r.optional) throw new ConfigError(`configmap ${JSON.stringify(r.name)} not found`);
    const value = object?.data?.[r.key];
    if (value === undefined && !r.optional)
      throw new ConfigError(`couldn't find key ${r.key} in ConfigMap ${ns}/${r.name}`);
    return value === undefined ? undefined : Buffer.from(value).toString('latin1');
  }
  if (ref.secretKeyRef) {
    const r = ref.secretKeyRef;
    const object = await from.secret(ns, r.name!);
    if (!object && !r.optional) throw new ConfigError(`secret ${JSON.stringify(r.name)} not found`);
    const value = object?.data?.[r.key];
    if (value === undefined && !r.optional)
      throw new ConfigError(`couldn't find key ${r.key} in Secret ${ns}/${r.name}`);
    return value === undefined ? undefined : text(value);
  }
  if (ref.fileKeyRef) {
    const r = ref.fileKeyRef;
    const content = await from.volumeFile?.(r.volumeName, r.path);
    if (content === undefined) {
      if (r.optional) return undefined;
      throw new ConfigError(
        `environment file ${JSON.stringify(r.path)} not found in volume ${JSON.stringify(r.volumeName)}`,
      );
    }
    const value = parseEnvFile(content)[r.key];
    if (value === undefined && !r.optional)
      throw new ConfigError(
        `environment variable key ${JSON.stringify(r.key)} not found in file ${JSON.stringify(r.path)}`,
      );
    return value;
  }
  return undefined;
}

/** KEY='value' lines; blank ones and those beginning with # are left out (KEP-3721). */
export function parseEnvFile(content: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const m of content.matchAll(/^[ \t]*([A-Za-z_][A-Za-z0-9_]*)=(?:'([^']*)'|(.*))$/gm))
    out[m[1]!] = m[2] ?? m[3]!.trim();
  return out;
}
