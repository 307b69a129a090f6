/** What an aggregated server serves, in the form of aggregated discovery. */
import { AGGREGATED_TYPE } from '../../discovery/aggregated.ts';
import type { JsonObject } from '../../../api/types.ts';
import type { RemoteServer } from './backend.ts';

interface ApiResource {
  name: string;
  singularName?: string;
  namespaced?: boolean;
  group?: string;
  version?: string;
  kind: string;
  verbs?: string[];
  shortNames?: string[];
  categories?: string[];
}

/** Asks for both forms in one request; undefined when it has no answer. */
export async function fetchResources(remote: RemoteServer, signal: AbortSignal): Promise<JsonObject[] | undefined> {
  const { group, version } = remote.service.spec!;
  const whole = await remote.get('/apis', `${AGGREGATED_TYPE},application/json;q=0.5`, signal).catch(() => undefined);
  if (whole?.code === 200 && whole.type.includes('APIGroupDiscoveryList')) {
    const list = parse<{
      items?: { metadata?: { name?: string }; versions?: { version?: string; resources?: JsonObject[] }[] }[];
    }>(whole.text);
    const found = list?.items?.find((g) => g.metadata?.name === group)?.versions?.find((v) => v.version === version);
    if (found) return found.resources ?? [];
  }
  const one = await remote.get(`/apis/${group}/${version}`, 'application/json', signal);
  if (one.code !== 200) return undefined;
  const list = parse<{ resources?: ApiResource[] }>(one.text);
  return list && fromList(list.resources ?? [], group ?? '', version ?? '');
}

function parse<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

/** The old form names subresources `parent/name`. */
function fromList(resources: readonly ApiResource[], group: string, version: string): JsonObject[] {
  const out = new Map<string, JsonObject>();
  const kindOf = (r: ApiResource) => ({ group: r.group ?? group, version: r.version ?? version, kind: r.kind });
  for (const r of resources) {
    if (r.name.includes('/')) continue;
    const one: JsonObject = {
      resource: r.name,
      responseKind: kindOf(r),
      scope: r.namespaced ? 'Namespaced' : 'Cluster',
      singularResource: r.singularName ?? '',
      verbs: r.verbs ?? [],
    };
    if (r.shortNames?.length) one.shortNames = r.shortNames;
    if (r.categories?.length) one.categories = r.categories;
    out.set(r.name, one);
  }
  for (const r of resources) {
    const [parent, name] = r.name.split('/', 2);
    const owner = out.get(parent!);
    if (name === undefined || !owner) continue;
    const subs = (owner.subresources ??= []) as JsonObject[];
    subs.push({ subresource: name, responseKind: kindOf(r), verbs: r.verbs ?? [] });
  }
  return [...out.values()];
}
