/** What the volume plugins share: the claims of a pod, their classes and volumes, and what is assumed of them. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, PersistentVolume, PersistentVolumeClaim, Pod } from '../../api/types.ts';
import { compileNodeSelector, type NodeMatcher, type Selectable } from '../core/node-selector.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Lister } from '../listers.ts';

export type Claim = DeepReadonly<PersistentVolumeClaim>;
export type Volume = DeepReadonly<PersistentVolume>;
export type StorageClass = DeepReadonly<Json<k8s.V1StorageClass>>;

export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
const BIND_COMPLETED = 'pv.kubernetes.io/bind-completed';
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

/** The claim's class; '' for none. */
export const classOf = (claim: Claim): string =>
  claim.metadata?.annotations?.[CLASS_ANNOTATION] ?? claim.spec?.storageClassName ?? '';

/** Both sides have agreed. */
export const isFullyBound = (claim: Claim): boolean =>
  Boolean(claim.spec?.volumeName) && claim.metadata?.annotations?.[BIND_COMPLETED] !== undefined;

/** The claim of an ephemeral volume must be the pod's own. */
export function belongsTo(claim: Claim, pod: DeepReadonly<Pod>): boolean {
  return claim.metadata?.ownerReferences?.some((o) => o.controller && o.uid === pod.metadata!.uid) === true;
}

/** May the volume be used on the node? */
const matchers = new WeakMap<object, NodeMatcher>();

/** Whether a volume can be had on a node. */
export function reaches(volume: Volume, node: Selectable): boolean {
  const required = volume.spec?.nodeAffinity?.required;
  if (!required) return true;
  let m = matchers.get(required);
  if (!m) matchers.set(required, (m = compileNodeSelector(required)));
  return m(node);
}

/** A pod's claims, each with whether it is an ephemeral volume's. */
export function claimsOf(pod: PodInfo): { name: string; ephemeral: boolean }[] {
  const out: { name: string; ephemeral: boolean }[] = [];
  for (const v of pod.pod.spec!.volumes ?? []) {
    if (v.persistentVolumeClaim) out.push({ name: v.persistentVolumeClaim.claimName, ephemeral: false });
    else if (v.ephemeral) out.push({ name: `${pod.name}-${v.name}`, ephemeral: true });
  }
  return out;
}

interface HasMeta {
  readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly resourceVersion?: string };
}

/** A lister with changes on top that are decided but not yet seen; a newer object from the API ends its assumption. */
export class AssumedObjects<T extends HasMeta> {
  private readonly lister: Lister<T>;
  private readonly assumed = new Map<string, { object: T; base: string | undefined }>();

  constructor(lister: Lister<T>) {
    this.lister = lister;
  }
  /** As the API last showed it. */
  seen(name: string, namespace?: string): T | undefined {
    return this.lister.get(name, namespace);
  }
  get(name: string, namespace?: string): T | undefined {
    const seen = this.lister.get(name, namespace);
    const key = `${namespace ?? ''}/${name}`;
    const a = this.assumed.get(key);
    if (!a) return seen;
    if (seen && seen.metadata?.resourceVersion === a.base) return a.object;
    this.assumed.delete(key);
    return seen;
  }
  list(): T[] {
    const all = this.lister.list();
    if (this.assumed.size === 0) return all;
    return all.map((o) => this.get(o.metadata!.name!, o.metadata!.namespace) ?? o);
  }
  assume(object: T): void {
    const { name, namespace } = object.metadata!;
    const base = this.lister.get(name!, namespace)?.metadata?.resourceVersion;
    this.assumed.set(`${namespace ?? ''}/${name}`, { object, base });
  }
  restore(object: T): void {
    const { name, namespace } = object.metadata!;
    this.assumed.delete(`${namespace ?? ''}/${name}`);
  }
}

export const notFound = (kind: string, name: string): string => `${kind} ${JSON.stringify(name)} not found`;
