/** What files a configMap, secret, downwardAPI or projected volume holds. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { ObjectCache } from '../objects.ts';
import { podField, resourceField } from '../pods/fields.ts';
import type { FileContent } from './atomic-writer.ts';
import type { TokenManager } from './tokens.ts';

type Volume = NonNullable<NonNullable<DeepReadonly<Pod>['spec']>['volumes']>[number];
type Items = NonNullable<Volume['configMap']>['items'];
type DownwardItems = NonNullable<Volume['downwardAPI']>['items'];

export interface PayloadSources {
  objects: ObjectCache;
  tokens: TokenManager;
  network(pod: DeepReadonly<Pod>): { podIPs: readonly string[]; hostIPs: readonly string[] };
  allocatable(): DeepReadonly<Record<string, string>>;
  trustBundle(
    name: string | undefined,
    signer: string | undefined,
    labels: DeepReadonly<Record<string, unknown>> | undefined,
  ): Promise<string | undefined>;
}

export type Files = Map<string, FileContent>;

/** Which keys a volume takes of a ConfigMap or Secret, and whether it can do without. */
interface KeySource {
  readonly items?: Items;
  readonly optional?: boolean;
}

/** Picks keys, or all, with their modes. */
function pick(
  files: Files,
  what: 'configmap' | 'secret',
  name: string,
  all: Map<string, Buffer> | undefined,
  source: KeySource,
  mode: number,
): void {
  if (!all) {
    if (source.optional) return;
    throw new Error(`${what} ${JSON.stringify(name)} not found`);
  }
  if (!source.items?.length) {
    for (const [k, data] of all) files.set(k, { data, mode });
    return;
  }
  for (const item of source.items) {
    const data = all.get(item.key);
    if (!data) {
      if (source.optional) continue;
      throw new Error(`${what} references non-existent ${what === 'configmap' ? 'config' : 'secret'} key: ${item.key}`);
    }
    files.set(normal(item.path), { data, mode: item.mode ?? mode });
  }
}

const normal = (path: string): string =>
  path
    .split('/')
    .filter((p) => p !== '' && p !== '.')
    .join('/');

const decoded = (data: DeepReadonly<Record<string, string>> | undefined, encoding: 'utf8' | 'base64') =>
  Object.entries(data ?? {}).map(([k, v]): [string, Buffer] => [k, Buffer.from(v, encoding)]);

async function configMapFiles(
  files: Files,
  pod: DeepReadonly<Pod>,
  name: string,
  source: KeySource,
  mode: number,
  s: PayloadSources,
): Promise<void> {
  const o = await s.objects.configMap(pod.metadata!.namespace!, name);
  const all = o && new Map([...decoded(o.data, 'utf8'), ...decoded(o.binaryData, 'base64')]);
  pick(files, 'configmap', name, all, source, mode);
}

async function secretFiles(
  files: Files,
  pod: DeepReadonly<Pod>,
  name: string,
  source: KeySource,
  mode: number,
  s: PayloadSources,
): Promise<void> {
  const o = await s.objects.secret(pod.metadata!.namespace!, name);
  pick(files, 'secret', name, o && new Map(decoded(o.data, 'base64')), source, mode);
}

function downwardFiles(
  files: Files,
  pod: DeepReadonly<Pod>,
  items: DownwardItems,
  mode: number,
  s: PayloadSources,
): void {
  for (const item of items ?? []) {
    let value: string | undefined;
    if (item.fieldRef) {
      value = podField(pod, item.fieldRef.fieldPath, s.network(pod));
      if (value === undefined) throw new Error(`unsupported fieldPath: ${item.fieldRef.fieldPath}`);
    } else if (item.resourceFieldRef) {
      const r = item.resourceFieldRef;
      const c = [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])].find((x) => x.name === r.containerName);
      if (!c) throw new Error(`container ${r.containerName} not found`);
      value = resourceField(pod, c, r.resource, r.divisor, s.allocatable());
    }
    files.set(normal(item.path), { data: Buffer.from(value ?? ''), mode: item.mode ?? mode });
  }
}

/** The user that all containers run as, when it is one and the same. */
function commonUser(pod: DeepReadonly<Pod>): number | undefined {
  const of = (c: { readonly securityContext?: { readonly runAsUser?: number } }) =>
    c.securityContext?.runAsUser ?? pod.spec!.securityContext?.runAsUser;
  const users = new Set([...(pod.spec!.initContainers ?? []), ...pod.spec!.containers].map(of));
  return users.size === 1 ? [...users][0] : undefined;
}

/** The files of a volume made of API objects; undefined for any other kind of volume. */
export async function volumeFiles(pod: DeepReadonly<Pod>, v: Volume, s: PayloadSources): Promise<Files | undefined> {
  const files: Files = new Map();
  if (v.configMap)
    await configMapFiles(files, pod, v.configMap.name!, v.configMap, v.configMap.defaultMode ?? 0o644, s);
  else if (v.secret) await secretFiles(files, pod, v.secret.secretName!, v.secret, v.secret.defaultMode ?? 0o644, s);
  else if (v.downwardAPI) downwardFiles(files, pod, v.downwardAPI.items, v.downwardAPI.defaultMode ?? 0o644, s);
  else if (v.projected) {
    const mode = v.projected.defaultMode ?? 0o644;
    for (const source of v.projected.sources ?? []) {
      if (source.configMap) await configMapFiles(files, pod, source.configMap.name!, source.configMap, mode, s);
      if (source.secret) await secretFiles(files, pod, source.secret.name!, source.secret, mode, s);
      if (source.downwardAPI) downwardFiles(files, pod, source.downwardAPI.items, mode, s);
      if (source.serviceAccountToken) {
        const t = source.serviceAccountToken;
        const token = await s.tokens.get(pod, t.audience, t.expirationSeconds ?? 3600);
        const uid = commonUser(pod);
        const restricted = uid !== undefined || pod.spec!.securityContext?.fsGroup !== undefined;
        files.set(normal(t.path), {
          data: Buffer.from(token),
          mode: restricted ? 0o600 : mode,
          ...(uid === undefined ? {} : { uid }),
        });
      }
      if (source.clusterTrustBundle) {
        const b = source.clusterTrustBundle;
        const pem = await s.trustBundle(
          b.name,
          b.signerName,
          b.labelSelector as DeepReadonly<Record<string, unknown>> | undefined,
        );
        if (pem === undefined && !b.optional)
          throw new Error(`clustertrustbundle ${JSON.stringify(b.name ?? b.signerName)} not found`);
        files.set(normal(b.path), { data: Buffer.from(pem ?? ''), mode });
      }
    }
  } else return undefined;
  return files;
}
