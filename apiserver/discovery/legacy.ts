/** APIVersions, APIGroupList, APIGroup and APIResourceList. */
import { createHash } from 'node:crypto';
import { apiVersionOf, type JsonObject } from '../../api/types.ts';
import type { ApiRequest } from '../http/request.ts';
import type { DiscoveryOverlay } from './overlay.ts';
import type { Catalog, ServedResource } from '../registry/catalog.ts';

/** APIVersions, the answer of /api. */
export function coreVersions(request: ApiRequest): JsonObject {
  const address = `${request.socket.localAddress ?? '127.0.0.1'}:${request.socket.localPort ?? 443}`;
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
  };
}

function groupJson(group: string, versions: readonly string[]): JsonObject {
  const list = versions.map((version) => ({ groupVersion: apiVersionOf({ group, version }), version }));
  return { name: group, versions: list, preferredVersion: list[0]! };
}

/** APIGroupList, the answer of /apis. */
export function groupList(catalog: Catalog, overlay: DiscoveryOverlay): JsonObject {
  return {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: [...overlay.groups(catalog)].map(([g, v]) => groupJson(g, v)),
  };
}

/** APIGroup, the answer of /apis/GROUP. */
export function groupOf(catalog: Catalog, overlay: DiscoveryOverlay, group: string): JsonObject {
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupJson(group, overlay.groups(catalog).get(group) ?? []) };
}

/** APIResourceList, the answer of /apis/GROUP/VERSION. */
export function resourceList(catalog: Catalog, group: string, version: string): JsonObject {
  const resources: JsonObject[] = [];
  for (const r of catalog.announced()) {
    if (r.group !== group || r.version !== version) continue;
    const one: JsonObject = {
      name: r.resource,
      singularName: r.singular,
      namespaced: r.namespaced,
      kind: r.kind,
      verbs: [...(r.discoveryVerbs ?? r.verbs)],
    };
    if (r.shortNames.length > 0) one.shortNames = [...r.shortNames];
    if (r.categories.length > 0) one.categories = [...r.categories];
    if (r.store) one.storageVersionHash = storageHash(r);
    resources.push(one);
    for (const s of r.subresources.values()) {
      const sub: JsonObject = { name: `${r.resource}/${s.name}`, singularName: '', namespaced: r.namespaced };
      if (s.kind.group !== r.group || s.kind.version !== r.version)
        Object.assign(sub, { group: s.kind.group, version: s.kind.version });
      resources.push({ ...sub, kind: s.kind.kind, verbs: [...s.verbs] });
    }
  }
  // Only the core's list goes without an apiVersion.
  const own: JsonObject = group === '' ? {} : { apiVersion: 'v1' };
  return { kind: 'APIResourceList', ...own, groupVersion: apiVersionOf({ group, version }), resources };
}

/** Says in which version objects are stored: the same for all versions that share a storage. */
function storageHash(r: ServedResource): string {
  const d = r.definition;
  return createHash('sha256')
    .update(`${d.group}/${r.storageVersion ?? d.announcedStorage ?? d.version}/${d.kind}`)
    .digest()
    .subarray(0, 8)
    .toString('base64');
}
