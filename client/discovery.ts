/** What the server serves, from one aggregated discovery request each for /api and /apis. */
import { isNotFound } from '../api/status.ts';
import type { Client } from './client.ts';
import { dynamicResource, type ResourceRef } from './resources.ts';

export interface DiscoveredResource extends ResourceRef {
  readonly verbs: readonly string[];
  /** Other names that people call it by. */
  readonly singular: string;
  readonly shortNames: readonly string[];
}

export interface Discovered {
  /** Each resource once, in its group's preferred version where it has one. */
  readonly resources: readonly DiscoveredResource[];
  /** Group versions whose resources could not be learnt (an extension server is down). */
  readonly failed: readonly string[];
}

interface ResourceDiscovery {
  resource: string;
  responseKind?: { group?: string; version?: string; kind?: string };
  scope?: string;
  verbs?: string[];
  singularResource?: string;
  shortNames?: string[];
}
interface GroupDiscovery {
  metadata?: { name?: string };
  versions?: { version: string; freshness?: string; resources?: ResourceDiscovery[] }[];
}

const ACCEPT = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Asks the server. @throws when it does not answer. */
export async function discover(client: Client): Promise<Discovered> {
  const lists = await Promise.all(
    ['/api', '/apis'].map((path) =>
      client.request<{ kind?: string; items?: GroupDiscovery[] }>({ path, accept: ACCEPT }).catch((error: unknown) => {
        if (isNotFound(error)) return { items: [] };
        throw error;
      }),
    ),
  );
  const resources: DiscoveredResource[] = [];
  const failed: string[] = [];
  for (const list of lists) {
    for (const g of list.items ?? []) {
      const group = g.metadata?.name ?? '';
      const seen = new Set<string>();
      // Versions come with the preferred one first.
      for (const v of g.versions ?? []) {
        if (v.freshness === 'Stale') failed.push(group === '' ? v.version : `${group}/${v.version}`);
        for (const r of v.resources ?? []) {
          if (seen.has(r.resource)) continue;
          seen.add(r.resource);
          const ref = dynamicResource(
            group,
            v.version,
            r.resource,
            r.responseKind?.kind ?? '',
            r.scope === 'Namespaced',
          );
          resources.push({
            ...ref,
            verbs: r.verbs ?? [],
            singular: r.singularResource ?? '',
            shortNames: r.shortNames ?? [],
          });
        }
      }
    }
  }
  return { resources, failed };
}

/** What people call a resource: `deployments`, `deploy`, `deployments.apps`, `Deployment`; undefined when nothing is called so. */
export function findResource(resources: readonly DiscoveredResource[], called: string): DiscoveredResource | undefined {
  const word = called.toLowerCase();
  const dot = word.indexOf('.');
  const [plain, group] = dot < 0 ? [word, undefined] : [word.slice(0, dot), word.slice(dot + 1)];
  const candidates = resources.filter((r) => group === undefined || r.group === group);
  return (
    candidates.find((r) => r.resource === plain || r.singular === plain || r.kind.toLowerCase() === plain) ??
    candidates.find((r) => r.shortNames.includes(plain))
  );
}
