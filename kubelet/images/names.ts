/** Image references: parts, defaults, digests. https://github.com/distribution/reference */

export interface ImageReference {
  domain: string;
  path: string;
  tag: string | undefined;
  digest: string | undefined;
}

const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const DOMAIN =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

/** The parts of a name as people write it ("nginx" is docker.io/library/nginx); undefined when it is none. */
export function parseImage(name: string): ImageReference | undefined {
  let rest = name;
  let digest: string | undefined;
  let tag: string | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!DIGEST.test(digest)) return undefined;
  }
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!TAG.test(tag)) return undefined;
  }
  const slash = rest.indexOf('/');
  const first = slash < 0 ? '' : rest.slice(0, slash);
  const named =
    first !== '' &&
    (first.includes('.') || first.includes(':') || first === 'localhost' || first !== first.toLowerCase());
  let domain = named ? first : 'docker.io';
  let path = named ? rest.slice(slash + 1) : rest;
  if (domain === 'index.docker.io') domain = 'docker.io';
  if (domain === 'docker.io' && !path.includes('/')) path = `library/${path}`;
  if (!DOMAIN.test(domain) || !PATH.test(path) || domain.length + path.length > 255) return undefined;
  if (/^[a-f0-9]{64}$/.test(rest)) return undefined;
  return { domain, path, tag, digest };
}

/** The name to pull: with `:latest` where neither tag nor digest stands. */
export function pullName(name: string): string {
  const ref = parseImage(name);
  return ref && ref.tag === undefined && ref.digest === undefined ? `${name}:latest` : name;
}

/** What applies when imagePullPolicy is not set. */
export function defaultPullPolicy(name: string): 'Always' | 'IfNotPresent' {
  const ref = parseImage(name);
  return ref && ref.digest === undefined && (ref.tag === undefined || ref.tag === 'latest') ? 'Always' : 'IfNotPresent';
}
