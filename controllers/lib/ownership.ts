/** Which objects belong to a controller: owner references looked up, orphans adopted, strays released. */
import { hasCode, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { keyOf, type Index, type Informer } from '../../client/informer.ts';
import type { ResourceRef } from '../../client/resources.ts';
import { controllerOf, controllerRef, isDeleting, meta, type AnyObject } from './meta.ts';
import type { Selector } from './selectors.ts';

/** Objects by their controller's uid; those without one by `/namespace`. */
const controllerIndex: Index<KubeObject> = {
  values: (o) => [controllerOf(o)?.uid ?? `/${meta(o).namespace}`],
};

/** Objects whose controller is `uid`. */
export function controlledBy<T extends object>(informer: Informer<T>, uid: string): DeepReadonly<T>[] {
  return informer.lookup(controllerIndex as unknown as Index<T>, uid);
}

/** Objects of the namespace that have no controller. */
function orphans<T extends object>(informer: Informer<T>, namespace: string): DeepReadonly<T>[] {
  return informer.lookup(controllerIndex as unknown as Index<T>, `/${namespace}`);
}

/** The key of the object's controller, when it is of that kind and in the cache with the same uid. */
export function ownerKeys<O extends object>(object: AnyObject, kind: string, owners: Informer<O>): string[] {
  const ref = controllerOf(object);
  if (ref?.kind !== kind) return [];
  const owner = owners.get(ref.name, meta(object).namespace);
  return owner && meta(owner as AnyObject).uid === ref.uid ? [`${meta(object).namespace}/${ref.name}`] : [];
}

/** As ownerKeys; for orphans the keys of all that select them. */
export function ownerOrSelectorKeys<O extends object>(
  object: AnyObject,
  kind: string,
  owners: Informer<O>,
  selectorOf: (owner: DeepReadonly<O>) => Selector,
): string[] {
  if (controllerOf(object)) return ownerKeys(object, kind, owners);
  if (isDeleting(object)) return [];
  const { namespace, labels } = meta(object);
  if (!labels) return [];
  const keys: string[] = [];
  for (const owner of owners.list(namespace))
    if (selectorOf(owner).matches(labels)) keys.push(keyOf(owner as KubeObject));
  return keys;
}

/** Whether an update may change to whom an orphan belongs, or concerns its owner at all. */
export function concernsOwner(now: AnyObject, before: AnyObject): boolean {
  const a = meta(now);
  const b = meta(before);
  if (a.resourceVersion === b.resourceVersion) return false;
  if (controllerOf(now) || controllerOf(before)) return true;
  return JSON.stringify(a.labels) !== JSON.stringify(b.labels);
}

export interface Claim<T extends object> {
  client: Client;
  /** Of the objects. */
  resource: ResourceRef<T>;
  informer: Informer<T>;
  owner: AnyObject;
  ownerResource: ResourceRef<object>;
  selector: Selector;
  /** More that an object must fulfil to be taken or kept. */
  filter?(object: DeepReadonly<T>): boolean;
  /** Also added when adopting. */
  finalizers?: readonly string[];
}

/**
 * The objects that belong to the owner. Matching orphans are adopted (after a look at the API server whether the
 * owner still lives), controlled ones that match no longer are released.
 */
export async function claim<T extends object>(c: Claim<T>): Promise<DeepReadonly<T>[]> {
  const { uid, namespace } = meta(c.owner);
  const out: DeepReadonly<T>[] = [];
  const work: Promise<void>[] = [];
  const fits = (o: DeepReadonly<T>) => c.selector.matches(meta(o as AnyObject).labels) && (!c.filter || c.filter(o));
  for (const o of controlledBy(c.informer, uid)) {
    if (meta(o as AnyObject).namespace !== namespace) continue;
    if (fits(o)) out.push(o);
    else if (!isDeleting(c.owner)) work.push(release(c, o));
  }
  if (!isDeleting(c.owner)) {
    let alive: Promise<boolean> | undefined;
    for (const o of orphans(c.informer, namespace)) {
      if (isDeleting(o as AnyObject) || !fits(o)) continue;
      alive ??= ownerLives(c);
      work.push(
        alive.then(async (ok) => {
          if (!ok)
            throw new Error(`${c.ownerResource.kind} ${namespace}/${meta(c.owner).name} is gone or being deleted`);
          if (await adopt(c, o)) out.push(o);
        }),
      );
    }
  }
  for (const r of await Promise.allSettled(work)) if (r.status === 'rejected') throw r.reason;
  return out;
}

async function ownerLives<T extends object>(c: Claim<T>): Promise<boolean> {
  const { name, namespace, uid } = meta(c.owner);
  try {
    const fresh = (await c.client.get(c.ownerResource, name, namespace)) as KubeObject;
    return meta(fresh).uid === uid && !isDeleting(fresh);
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function adopt<T extends object>(c: Claim<T>, object: DeepReadonly<T>): Promise<boolean> {
  const { name, namespace, uid } = meta(object as AnyObject);
  const { group, version, kind } = c.ownerResource;
  const ref = controllerRef(c.owner, group === '' ? version : `${group}/${version}`, kind);
  const patch = { metadata: { uid, ownerReferences: [ref], ...(c.finalizers ? { finalizers: c.finalizers } : {}) } };
  try {
    await c.client.patch(c.resource, name, 'strategic', patch, { namespace });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function release<T extends object>(c: Claim<T>, object: DeepReadonly<T>): Promise<void> {
  const { name, namespace, uid } = meta(object as AnyObject);
  const ownerUid = meta(c.owner).uid;
  const patch = {
    metadata: {
      uid,
      ownerReferences: [{ $patch: 'delete', uid: ownerUid }],
      ...(c.finalizers ? { '$deleteFromPrimitiveList/finalizers': c.finalizers } : {}),
    },
  };
  try {
    await c.client.patch(c.resource, name, 'strategic', patch, { namespace });
  } catch (error) {
    // Gone, or replaced by another of its name: either way no longer ours.
    if (!hasCode(error, 404, 409, 422)) throw error;
  }
}
