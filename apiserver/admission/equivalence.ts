/**
 * Requests as they look in the other versions that a resource is served in: webhooks and policies with matchPolicy
 * Equivalent see them in the version that their rules name.
 */
import { deepCopy } from '../../api/meta.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Catalog, ServedResource } from '../registry/catalog.ts';
import type { AdmissionAttributes } from './types.ts';

/** A request in the form that a webhook or policy wants it. */
export interface RequestView {
  readonly attributes: AdmissionAttributes;
  /** Takes what became of the object over into the request itself. */
  takeOver(): Promise<void>;
}

/** Which form of a request is wanted: the one it has, another version, or none. */
export type Wanted = 'asSent' | ServedResource | undefined;

export interface Equivalence {
  /** The first form that `matches` says yes to: the request's own, then the other versions unless `exact`. */
  wanted(
    a: AdmissionAttributes,
    exact: boolean,
    matches: (resource: AdmissionAttributes['resource']) => boolean,
  ): Wanted;
  view(a: AdmissionAttributes, wanted: 'asSent' | ServedResource): Promise<RequestView>;
}

/** Subresources whose body is the object itself. */
const WHOLE = new Set(['', 'status', 'finalize', 'approval', 'resize', 'ephemeralcontainers']);

/** Finds the other versions and groups under which a resource of the catalog is served. */
export function createEquivalence(catalog: Catalog): Equivalence {
  let generation = -1;
  const others = new Map<string, readonly ServedResource[]>();

  function othersOf(a: AdmissionAttributes): readonly ServedResource[] {
    if (!WHOLE.has(a.subresource) || a.operation === 'CONNECT') return [];
    if (generation !== catalog.generation) {
      others.clear();
      generation = catalog.generation;
    }
    const { group, version, resource } = a.resource;
    const key = `${group}/${version}/${resource}`;
    let found = others.get(key);
    if (!found) {
      const mine = catalog.get(group, version, resource);
      found = mine?.store ? catalog.all().filter((r) => r !== mine && r.store === mine.store) : [];
      others.set(key, found);
    }
    return found;
  }

  return {
    wanted(a, exact, matches) {
      if (matches(a.resource)) return 'asSent';
      return exact ? undefined : othersOf(a).find((o) => matches(o));
    },
    async view(a, wanted) {
      const { group, version, resource } = a.resource;
      const mine = wanted === 'asSent' ? undefined : catalog.get(group, version, resource);
      if (wanted === 'asSent' || !mine) return { attributes: a, async takeOver() {} };
      const turned = async (o: DeepReadonly<KubeObject> | undefined) => o && (await turn(o, mine, wanted));
      const attributes: AdmissionAttributes = {
        ...a,
        kind: { group: wanted.group, version: wanted.version, kind: wanted.kind },
        resource: { group: wanted.group, version: wanted.version, resource: wanted.resource },
        object: await turned(a.object),
        oldObject: await turned(a.oldObject),
      };
      return {
        attributes,
        async takeOver() {
          if (attributes.object) a.object = await turn(attributes.object, wanted, mine);
        },
      };
    },
  };
}

/** A copy of an object of one served version in another, by way of the stored one. */
async function turn(object: DeepReadonly<KubeObject>, from: ServedResource, to: ServedResource): Promise<KubeObject> {
  const copy = deepCopy(object) as KubeObject;
  await from.convert?.prepareStorage?.(copy);
  const stored = from.convert ? from.convert.toStorage(copy) : copy;
  await to.convert?.prepare?.([stored]);
  return to.convert ? to.convert.fromStorage(stored) : stored;
}
