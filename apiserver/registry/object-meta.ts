/** Rules of metadata that hold for every kind. */
import { deepEqual } from '../../api/meta.ts';
import type { KubeObject } from '../../api/types.ts';

/** A text that a resourceVersion may be. */
export const isVersion = (text: string | undefined): boolean => text !== undefined && /^\d+$/.test(text);

/** Leaves owners that are named twice out and tells the client so. */
export function dedupeOwners(object: KubeObject, warn: (text: string) => void): void {
  const owners = object.metadata?.ownerReferences;
  if (!owners || owners.length < 2) return;
  const kept = owners.filter((o, i) => !owners.slice(0, i).some((p) => deepEqual(p, o)));
  if (kept.length === owners.length) return;
  const twice = new Set(owners.filter((o) => !kept.includes(o)).map((o) => o.uid));
  object.metadata!.ownerReferences = kept;
  warn(
    `.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...twice].join(', ')}`,
  );
}
