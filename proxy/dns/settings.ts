/**
 * What administrators may say about forwarding: the ConfigMap kube-system/kube-dns with `stubDomains` (domain -> list of
 * resolvers) and `upstreamNameservers` (a list), both JSON, as the Kubernetes documentation describes for kube-dns.
 */
import type { ConfigMap, DeepReadonly } from '../../api/types.ts';
import type { Upstreams } from './forward.ts';

export const SETTINGS = { namespace: 'kube-system', name: 'kube-dns' } as const;

const isList = (v: unknown): v is string[] => Array.isArray(v) && v.every((x) => typeof x === 'string');

/** Reads the ConfigMap; what is not said, or can't be read, is as by `fallback`. `complain` is told what can't. Pure. */
export function forwardingOf(
  map: DeepReadonly<ConfigMap> | undefined,
  fallback: readonly string[],
  complain: (what: string) => void,
): Upstreams {
  const parse = (key: string): unknown => {
    const text = map?.data?.[key];
    if (text === undefined || text.trim() === '') return undefined;
    try {
      return JSON.parse(text);
    } catch {
      complain(`${key} is no JSON`);
      return undefined;
    }
  };
  const resolvers = parse('upstreamNameservers');
  const stubs = parse('stubDomains');
  const out = new Map<string, readonly string[]>();
  if (typeof stubs === 'object' && stubs !== null)
    for (const [domain, list] of Object.entries(stubs))
      if (isList(list) && list.length) out.set(domain.toLowerCase().replace(/\.$/, ''), list);
      else complain(`stubDomains: ${domain} has no list of resolvers`);
  return { resolvers: isList(resolvers) && resolvers.length ? resolvers : fallback, stubs: out };
}
