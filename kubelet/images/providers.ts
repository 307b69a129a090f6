/** Credential provider plugins: programs that know the credentials of a registry. https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/ */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseYaml } from '../../base/yaml.ts';
import type { Clock } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { parseDuration } from '../config.ts';
import { matchesRegistry, type RegistryCredential } from './credentials.ts';
import { parseImage } from './names.ts';

interface ProviderConfig {
  name: string;
  matchImages: string[];
  defaultCacheDuration: string;
  apiVersion: string;
  args?: string[];
  env?: { name: string; value: string }[];
  tokenAttributes?: {
    serviceAccountTokenAudience: string;
    requireServiceAccount?: boolean;
    requiredServiceAccountAnnotationKeys?: string[];
    optionalServiceAccountAnnotationKeys?: string[];
  };
}
interface Answer {
  kind?: string;
  apiVersion?: string;
  cacheKeyType?: 'Image' | 'Registry' | 'Global';
  cacheDuration?: string;
  auth?: Record<string, { username: string; password: string }>;
}

export interface CredentialProviders {
  /** What the plugins give for an image; one that fails gives nothing. */
  credentials(image: string, pod: DeepReadonly<Pod>): Promise<RegistryCredential[]>;
}

export interface ProviderDeps {
  /** --image-credential-provider-config and --image-credential-provider-bin-dir. */
  configFile: string;
  binDir: string;
  clock: Clock;
  exec: Exec;
  logger: Logger;
  token(pod: DeepReadonly<Pod>, audience: string): Promise<string>;
  serviceAccount(
    namespace: string,
    name: string,
  ): Promise<{ uid: string; annotations: Record<string, string> } | undefined>;
}

const TIMEOUT_MS = 60_000;

/** Throws when the configuration or a program is missing. */
export function loadProviders(file: string, binDir: string): ProviderConfig[] {
  const config = parseYaml(readFileSync(file, 'utf8')) as { kind?: string; providers?: ProviderConfig[] };
  if (config.kind !== 'CredentialProviderConfig') throw new Error(`${file} holds no CredentialProviderConfig`);
  const providers = config.providers ?? [];
  for (const p of providers) {
    if (!p.name || p.name.includes('/') || p.name === '.' || p.name === '..')
      throw new Error(`invalid credential provider name ${JSON.stringify(p.name)}`);
    if (!p.matchImages?.length) throw new Error(`credential provider ${p.name}: matchImages is required`);
    parseDuration(p.defaultCacheDuration);
    if (!existsSync(join(binDir, p.name)))
      throw new Error(`plugin binary executable ${join(binDir, p.name)} did not exist`);
  }
  return providers;
}

/** Throws when the configuration file can't be used. */
export function createProviders(deps: ProviderDeps): CredentialProviders {
  const { clock, logger } = deps;
  const providers = loadProviders(deps.configFile, deps.binDir);
  const cache = new Map<string, { until: number; credentials: RegistryCredential[] }>();

  async function ask(p: ProviderConfig, image: string, pod: DeepReadonly<Pod>): Promise<RegistryCredential[]> {
    const request: Record<string, unknown> = { kind: 'CredentialProviderRequest', apiVersion: p.apiVersion, image };
    let who = '';
    if (p.tokenAttributes) {
      const name = pod.spec!.serviceAccountName || 'default';
      const account = await deps.serviceAccount(pod.metadata!.namespace!, name);
      const {
        requiredServiceAccountAnnotationKeys: required = [],
        optionalServiceAccountAnnotationKeys: optional = [],
      } = p.tokenAttributes;
      if (!account || required.some((k) => account.annotations[k] === undefined)) {
        if (p.tokenAttributes.requireServiceAccount) return [];
      } else {
        request['serviceAccountToken'] = await deps.token(pod, p.tokenAttributes.serviceAccountTokenAudience);
        const given = [...required, ...optional].filter((k) => account.annotations[k] !== undefined);
        request['serviceAccountAnnotations'] = Object.fromEntries(given.map((k) => [k, account.annotations[k]!]));
        who = JSON.stringify([pod.metadata!.namespace, name, account.uid, request['serviceAccountAnnotations']]);
      }
    }
    const registry = parseImage(image)?.domain ?? '';
    const keys = { Image: image, Registry: registry, Global: '' };
    for (const [type, what] of Object.entries(keys)) {
      const have = cache.get(JSON.stringify([p.name, type, what, who]));
      if (have && have.until > clock.monotonic()) return have.credentials;
    }
    const text = await deps.exec(join(deps.binDir, p.name), p.args ?? [], {
      input: JSON.stringify(request),
      timeoutMs: TIMEOUT_MS,
      env: Object.fromEntries((p.env ?? []).map((e) => [e.name, e.value])),
    });
    const answer = JSON.parse(text) as Answer;
    if (answer.kind !== 'CredentialProviderResponse' || answer.apiVersion !== p.apiVersion)
      throw new Error(`answered with ${answer.kind} of ${answer.apiVersion}`);
    const type = answer.cacheKeyType ?? 'Image';
    if (!(type in keys)) throw new Error(`unknown cacheKeyType ${JSON.stringify(type)}`);
    const credentials = Object.entries(answer.auth ?? {}).map(([pattern, a]) => ({
      registry: pattern,
      auth: { username: a.username, password: a.password, identity_token: '', registry_token: '' },
    }));
    const ms = parseDuration(answer.cacheDuration ?? p.defaultCacheDuration);
    if (ms > 0)
      cache.set(JSON.stringify([p.name, type, keys[type], who]), { until: clock.monotonic() + ms, credentials });
    if (cache.size > 1000) cache.clear();
    return credentials;
  }

  return {
    async credentials(image, pod) {
      const matching = providers.filter((p) => p.matchImages.some((m) => matchesRegistry(m, image)));
      const lists = await Promise.all(
        matching.map((p) =>
          ask(p, image, pod).catch((error: unknown) => {
            logger.warn('credential provider failed', { provider: p.name, error: (error as Error).message });
            return [];
          }),
        ),
      );
      return lists.flat().filter((c) => matchesRegistry(c.registry, image));
    },
  };
}
