/** What the server serves, from one aggregated discovery request each for /api and /apis. */
import type { Client } from '../../client/client.ts';
import { dynamicResource, type ResourceRef } from '../../client/resources.ts';
import { StatusError } from '../../api/status.ts';

export interface DiscoveredResource extends ResourceRef {
  readonly verbs: readonly string[];
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
        if (error instanceof StatusError && error.code === 404) return { items: [] };
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
          resources.push({ ...ref, verbs: r.verbs ?? [] });
        }
      }
    }
  }
  return { resources, failed };
}
