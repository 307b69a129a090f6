/** Which credentials of pull secrets fit an image. https://kubernetes.io/docs/concepts/containers/images/#config-json */
import type { DeepReadonly, Secret } from '../../api/types.ts';
import type { AuthConfig } from '../cri/types.ts';
import { parseImage } from './names.ts';

interface DockerAuth {
  username?: string;
  password?: string;
  auth?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/** Credentials and the registries they are for. */
export interface RegistryCredential {
  registry: string;
  auth: AuthConfig;
}

/** The registries of a dockerconfigjson or dockercfg secret. */
function secretCredentials(secret: DeepReadonly<Secret>): RegistryCredential[] {
  const decode = (key: string): unknown => {
    const data = secret.data?.[key];
    if (data === undefined) return undefined;
    try {
      return JSON.parse(Buffer.from(data, 'base64').toString('utf8'));
    } catch {
      return undefined;
    }
  };
  const auths =
    secret.type === 'kubernetes.io/dockercfg'
      ? (decode('.dockercfg') as Record<string, DockerAuth> | undefined)
      : (decode('.dockerconfigjson') as { auths?: Record<string, DockerAuth> } | undefined)?.auths;
  return Object.entries(auths ?? {}).map(([registry, a]) => {
    let { username, password } = a;
    if (a.auth && !username) {
      const text = Buffer.from(a.auth, 'base64').toString('utf8');
      const i = text.indexOf(':');
      if (i > 0) [username, password] = [text.slice(0, i), text.slice(i + 1)];
    }
    return {
      registry,
      auth: {
        username: username ?? '',
        password: password ?? '',
        identity_token: a.identitytoken ?? '',
        registry_token: a.registrytoken ?? '',
      },
    };
  });
}

/** Whether a registry pattern covers an image: host parts may be `*`, a path is a prefix. */
export function matchesRegistry(pattern: string, image: string): boolean {
  const ref = parseImage(image);
  if (!ref) return false;
  const bare = pattern.replace(/^https?:\/\//, '').replace(/\/$/, '');
  const slash = bare.indexOf('/');
  let host = slash < 0 ? bare : bare.slice(0, slash);
  let path = slash < 0 ? '' : bare.slice(slash + 1);
  if (host === 'index.docker.io') {
    host = 'docker.io';
    if (path === 'v1' || path === 'v2') path = '';
  }
  if (/^v[12]$/.test(path)) path = '';
  const [wantHost, wantPort = ''] = host.split(':');
  const [haveHost, havePort = ''] = ref.domain.split(':');
  if (wantPort !== havePort) return false;
  const want = wantHost!.split('.');
  const have = haveHost!.split('.');
  if (want.length !== have.length) return false;
  for (const [i, w] of want.entries()) if (w !== have[i] && !globPart(w, have[i]!)) return false;
  return path === '' || ref.path === path || ref.path.startsWith(`${path}/`) || ref.path.startsWith(path);
}

function globPart(glob: string, text: string): boolean {
  if (!glob.includes('*')) return false;
  const parts = glob.split('*');
  if (!text.startsWith(parts[0]!) || !text.endsWith(parts.at(-1)!)) return false;
  let at = 0;
  for (const p of parts) {
    const i = text.indexOf(p, at);
    if (i < 0) return false;
    at = i + p.length;
  }
  return true;
}

/** Credentials for an image, the longest pattern first. */
export function credentialsFor(
  image: string,
  secrets: readonly DeepReadonly<Secret>[],
  others: readonly RegistryCredential[] = [],
): AuthConfig[] {
  return [...secrets.flatMap(secretCredentials), ...others]
    .filter((c) => matchesRegistry(c.registry, image))
    .sort((a, b) => b.registry.length - a.registry.length)
    .map((c) => c.auth);
}
