/** ControllerRevisions: the templates a DaemonSet or StatefulSet has had, kept for rollbacks. */
import type * as k8s from '@kubernetes/client-node';
import { isAlreadyExists, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { controllerRevisions } from '../../client/resources.ts';
import { canonicalJson, fnv32a, safeEncode } from './hash.ts';
import { controllerRef, isControlledBy, meta, type AnyObject } from './meta.ts';

export type Revision = Json<k8s.V1ControllerRevision>;
export type RevisionView = DeepReadonly<Revision>;

/**
 * The patch that puts a template back into its owner, with sorted keys: those who look for the revision of a template
 * compare bytes.
 */
export function templatePatch(template: unknown): Record<string, unknown> {
  return sortedKeys({ spec: { template: { ...(template as object), $patch: 'replace' } } }) as Record<string, unknown>;
}

function sortedKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sortedKeys);
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([k, v]) => [k, sortedKeys(v)]));
}

/** Whatever the order of keys. */
export function sameData(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

export const byRevision = (a: RevisionView, b: RevisionView): number =>
  a.revision - b.revision ||
  (meta(a).creationTimestamp < meta(b).creationTimestamp
    ? -1
    : meta(a).creationTimestamp > meta(b).creationTimestamp
      ? 1
      : meta(a).name < meta(b).name
        ? -1
        : 1);

/** One more than the highest there is. */
export function nextRevision(revisions: readonly RevisionView[]): number {
  return revisions.reduce((n, r) => Math.max(n, r.revision), 0) + 1;
}

/** The revision of a template, before it is created. */
export interface NewRevision {
  owner: AnyObject;
  apiVersion: string;
  kind: string;
  /** Of the pod template; the hash is added under `hashLabel`. */
  labels: Readonly<Record<string, string>> | undefined;
  hashLabel: string;
  data: Record<string, unknown>;
  revision: number;
  collisionCount: number | undefined;
}

/** The revision as it would be created; its name holds the hash of its data. */
function makeRevision(n: NewRevision): Revision {
  const hash = safeEncode(
    fnv32a(canonicalJson(n.data) + (n.collisionCount === undefined ? '' : `#${n.collisionCount}`)),
  );
  const { name, namespace, annotations } = meta(n.owner);
  return {
    metadata: {
      name: `${name.slice(0, 223)}-${hash}`,
      namespace,
      labels: { ...n.labels, [n.hashLabel]: hash },
      annotations: { ...annotations },
      ownerReferences: [controllerRef(n.owner, n.apiVersion, n.kind)],
    },
    data: n.data,
    revision: n.revision,
  };
}

/** Creates it; undefined when another one with other data has its name (a collision). */
export async function createRevision(client: Client, wanted: NewRevision): Promise<Revision | undefined> {
  const revision = makeRevision(wanted);
  try {
    return await client.create(controllerRevisions, revision);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const have = await client.get(controllerRevisions, revision.metadata!.name!, revision.metadata!.namespace);
    return isControlledBy(have, meta(wanted.owner).uid) && sameData(have.data, revision.data) ? have : undefined;
  }
}

/** Deletes the oldest revisions that are in nobody's use beyond the limit. */
export async function trimHistory(
  client: Client,
  revisions: readonly RevisionView[],
  inUse: (r: RevisionView) => boolean,
  limit: number,
): Promise<void> {
  const spare = revisions.filter((r) => !inUse(r)).toSorted(byRevision);
  for (const r of spare.slice(0, Math.max(spare.length - limit, 0)))
    await client.delete(controllerRevisions, meta(r).name, { namespace: meta(r).namespace }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
}
