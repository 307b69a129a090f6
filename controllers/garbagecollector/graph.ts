/** Who owns whom, over all resources: kept from informer events, asked by uid. Pure but for reading informers. */
import type { DeepReadonly, KubeObject, OwnerReference } from '../../api/types.ts';
import { keyOf, splitKey, type Informer } from '../../client/informer.ts';
import type { DiscoveredResource } from '../../client/discovery.ts';
import { meta } from '../lib/meta.ts';

export type MetaView = DeepReadonly<KubeObject>;
export const ORPHAN = 'orphan';
export const FOREGROUND = 'foregroundDeletion';

/** One object of the graph; what it is now stands in its informer. */
export interface GraphNode {
  readonly uid: string;
  readonly resource: DiscoveredResource;
  readonly informer: Informer<KubeObject>;
  readonly key: string;
  owners: readonly DeepReadonly<OwnerReference>[];
}

const NO_OWNERS: readonly never[] = [];

export function hasFinalizer(object: MetaView, finalizer: string): boolean {
  return object.metadata?.finalizers?.includes(finalizer) ?? false;
}

/** Being deleted, and gone only after its dependents. */
export function waitsForDependents(object: MetaView | undefined): boolean {
  return object?.metadata?.deletionTimestamp !== undefined && hasFinalizer(object, FOREGROUND);
}

export class Graph {
  readonly nodes = new Map<string, GraphNode>();
  /** Owner's uid to the uids of what it owns; owners need not be in the graph. */
  readonly #dependents = new Map<string, Set<string>>();

  /** The object behind a node, if it is still there. */
  object(node: GraphNode): MetaView | undefined {
    const { namespace, name } = splitKey(node.key);
    const found = node.informer.get(name, namespace);
    return found && meta(found).uid === node.uid ? found : undefined;
  }

  dependents(uid: string): GraphNode[] {
    const out: GraphNode[] = [];
    for (const d of this.#dependents.get(uid) ?? []) {
      const node = this.nodes.get(d);
      if (node) out.push(node);
    }
    return out;
  }

  hasDependents(uid: string): boolean {
    return this.#dependents.has(uid);
  }

  /** Takes in an added or changed object; returns the owners it had before. */
  put(
    resource: DiscoveredResource,
    informer: Informer<KubeObject>,
    object: MetaView,
  ): readonly DeepReadonly<OwnerReference>[] {
    const { uid, ownerReferences = NO_OWNERS } = meta(object);
    const have = this.nodes.get(uid);
    const before = have?.owners ?? NO_OWNERS;
    if (have) have.owners = ownerReferences;
    else this.nodes.set(uid, { uid, resource, informer, key: keyOf(object), owners: ownerReferences });
    if (before !== ownerReferences) {
      for (const o of before) if (!ownerReferences.some((x) => x.uid === o.uid)) this.#unlink(o.uid, uid);
      for (const o of ownerReferences) this.#link(o.uid, uid);
    }
    return before;
  }

  /** Forgets an object; its dependents still know it as their owner. */
  drop(uid: string): GraphNode | undefined {
    const node = this.nodes.get(uid);
    if (!node) return undefined;
    this.nodes.delete(uid);
    for (const o of node.owners) this.#unlink(o.uid, uid);
    return node;
  }

  #link(owner: string, uid: string): void {
    let set = this.#dependents.get(owner);
    if (!set) this.#dependents.set(owner, (set = new Set()));
    set.add(uid);
  }
  #unlink(owner: string, uid: string): void {
    const set = this.#dependents.get(owner);
    if (set?.delete(uid) && set.size === 0) this.#dependents.delete(owner);
  }
}
