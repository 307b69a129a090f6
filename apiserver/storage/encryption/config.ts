/** EncryptionConfiguration of apiserver.config.k8s.io/v1: read and checked. */
import { decodeYaml } from '../../../api/codec/yaml.ts';

export interface ConfigKey {
  readonly name: string;
  readonly secret: Buffer;
}

export interface KmsConfig {
  readonly name: string;
  /** unix:///path or unix://@abstract. */
  readonly endpoint: string;
  readonly timeoutMs: number;
}

export type ProviderConfig =
  | { readonly type: 'identity' }
  | { readonly type: 'aescbc' | 'aesgcm' | 'secretbox'; readonly keys: readonly ConfigKey[] }
  | ({ readonly type: 'kms' } & KmsConfig);

/** Providers of some resources: the first writes, all read. */
export interface ResourceRule {
  /** `secrets`, `deployments.apps`, `*.apps`, `*.` (core) or `*.*`. */
  readonly resources: readonly string[];
  readonly providers: readonly ProviderConfig[];
}

/** The configuration can't be used; the message names the field. */
export class EncryptionConfigError extends Error {}

const fail = (field: string, text: string): never => {
  throw new EncryptionConfigError(`${field}: ${text}`);
};

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown, field: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(field, 'must be an object');
  for (const k of Object.keys(value)) if (!known.includes(k)) fail(`${field}.${k}`, 'unknown field');
  return value as Fields;
}

function listOf(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) return fail(field, 'at least one is required');
  return value;
}

const textOf = (value: unknown, field: string): string =>
  typeof value === 'string' && value !== '' ? value : fail(field, 'must be a text that is not empty');

const API_VERSIONS = ['apiserver.config.k8s.io/v1'];

/** Reads a configuration file. Throws EncryptionConfigError. */
export function parseEncryptionConfig(text: string): ResourceRule[] {
  let document: unknown;
  try {
    document = decodeYaml(text).value;
  } catch (error) {
    return fail('EncryptionConfiguration', `is no YAML: ${(error as Error).message}`);
  }
  const top = fieldsOf(document, 'EncryptionConfiguration', ['apiVersion', 'kind', 'resources']);
  if (top['kind'] !== 'EncryptionConfiguration') fail('kind', 'must be EncryptionConfiguration');
  if (!API_VERSIONS.includes(top['apiVersion'] as string)) fail('apiVersion', `must be ${API_VERSIONS.join()}`);
  const kmsNames = new Set<string>();
  const rules = listOf(top['resources'], 'resources').map((entry, i): ResourceRule => {
    const at = `resources[${i}]`;
    const e = fieldsOf(entry, at, ['resources', 'providers']);
    const resources = listOf(e['resources'], `${at}.resources`).map((r, j) =>
      checkResource(textOf(r, `${at}.resources[${j}]`), `${at}.resources[${j}]`),
    );
    checkOverlap(resources, `${at}.resources`);
    const providers = listOf(e['providers'], `${at}.providers`).map((p, j) =>
      readProvider(p, `${at}.providers[${j}]`, kmsNames),
    );
    return { resources, providers };
  });
  checkMasked(rules);
  return rules;
}

/** Splits `deployments.apps` at the first dot. */
export function splitResource(text: string): { resource: string; group: string } {
  const dot = text.indexOf('.');
  return dot < 0 ? { resource: text, group: '' } : { resource: text.slice(0, dot), group: text.slice(dot + 1) };
}

const NO_API = ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'];

function checkResource(text: string, field: string): string {
  if (text !== text.toLowerCase()) fail(field, 'resource names have no capital letters');
  if (text === '*') fail(field, "use '*.' for the core group or '*.*' for all resources");
  if (NO_API.includes(text)) fail(field, 'what has no API can not be encrypted');
  const { resource, group } = splitResource(text);
  if (group === 'events.k8s.io') fail(field, "events are stored in the core group: use 'events'");
  if (group === 'extensions') fail(field, "the group 'extensions' is gone");
  if (group === '*' && resource !== '*') fail(field, 'a resource can not be named across groups');
  return text;
}

function checkOverlap(resources: readonly string[], field: string): void {
  if (new Set(resources).size < resources.length) fail(field, 'a resource is named more than once');
  if (resources.length > 1 && resources.includes('*.*')) fail(field, "'*.*' covers the others");
  for (const r of resources) {
    const { resource, group } = splitResource(r);
    if (resource === '*' && resources.some((o) => o !== r && splitResource(o).group === group))
      fail(field, `'${r}' covers another one of the list`);
  }
}

/** An earlier wildcard leaves nothing to a later rule. */
function checkMasked(rules: readonly ResourceRule[]): void {
  const seen = new Set<string>();
  for (const [i, rule] of rules.entries()) {
    for (const r of rule.resources) {
      const wide = [`*.${splitResource(r).group}`, '*.*'].find((w) => seen.has(w));
      if (wide !== undefined) fail(`resources[${i}].resources`, `'${r}' is masked by the earlier '${wide}'`);
    }
    for (const r of rule.resources) seen.add(r);
  }
}

const KEY_SIZES = { aescbc: [16, 24, 32], aesgcm: [16, 24, 32], secretbox: [32] } as const;
const PROVIDERS = ['kms', 'aesgcm', 'aescbc', 'secretbox', 'identity'] as const;

function readProvider(value: unknown, field: string, kmsNames: Set<string>): ProviderConfig {
  const f = fieldsOf(value, field, PROVIDERS);
  const names = PROVIDERS.filter((p) => f[p] !== undefined && f[p] !== null);
  if (names.length !== 1) return fail(field, `must name exactly one provider of ${PROVIDERS.join(', ')}`);
  const type = names[0]!;
  if (type === 'identity') {
    fieldsOf(f[type], `${field}.identity`, []);
    return { type };
  }
  if (type === 'kms') return readKms(f[type], `${field}.kms`, kmsNames);
  const { keys } = fieldsOf(f[type], `${field}.${type}`, ['keys']);
  return {
    type,
    keys: listOf(keys, `${field}.${type}.keys`).map((k, i) => {
      const at = `${field}.${type}.keys[${i}]`;
      const key = fieldsOf(k, at, ['name', 'secret']);
      const base64 = textOf(key['secret'], `${at}.secret`);
      const secret = Buffer.from(base64, 'base64');
      if (secret.toString('base64') !== base64.replace(/\s/g, '')) fail(`${at}.secret`, 'must be base64');
      const sizes: readonly number[] = KEY_SIZES[type];
      if (!sizes.includes(secret.length))
        fail(`${at}.secret`, `has ${secret.length} bytes; ${sizes.join(', ')} are possible`);
      return { name: textOf(key['name'], `${at}.name`), secret };
    }),
  };
}

function readKms(value: unknown, field: string, names: Set<string>): ProviderConfig {
  const f = fieldsOf(value, field, ['apiVersion', 'name', 'endpoint', 'timeout', 'cachesize']);
  if (f['apiVersion'] !== 'v2') fail(`${field}.apiVersion`, 'only v2 is supported');
  const name = textOf(f['name'], `${field}.name`);
  if (name.includes(':')) fail(`${field}.name`, "must not contain ':'");
  if (names.has(name)) fail(`${field}.name`, `"${name}" is taken by another provider`);
  names.add(name);
  if (f['cachesize'] !== undefined && f['cachesize'] !== null) fail(`${field}.cachesize`, 'is not for v2');
  const endpoint = textOf(f['endpoint'], `${field}.endpoint`);
  if (!/^unix:\/\/\/?./.test(endpoint)) fail(`${field}.endpoint`, 'must be a unix socket (unix:///path)');
  const timeout = f['timeout'] === undefined || f['timeout'] === null ? '3s' : textOf(f['timeout'], `${field}.timeout`);
  const timeoutMs = duration(timeout);
  if (!(timeoutMs > 0)) fail(`${field}.timeout`, 'must be a positive duration');
  return { type: 'kms', name, endpoint, timeoutMs };
}

/** Go's text of a duration in milliseconds; NaN when it is none. */
function duration(text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return NaN;
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/([\d.]+)(ms|s|m|h)/g)) sum += Number(n) * units[unit!]!;
  return sum;
}
