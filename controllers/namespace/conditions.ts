/** What a terminating Namespace's status says about its content. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { formatTime } from '../../base/clock.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type NamespaceCondition = Json<k8s.V1NamespaceCondition>;

/** What one round of deletion found. */
export interface Findings {
  /** Discovery failed, and how. */
  discovery?: string;
  /** Errors of deletions and listings. */
  errors: string[];
  /** `resource.group` to the number of objects left. */
  remaining: Map<string, number>;
  /** Finalizer to the number of objects that bear it. */
  finalizers: Map<string, number>;
}

const FINE: Record<string, { reason: string; message: string }> = {
  NamespaceDeletionDiscoveryFailure: {
    reason: 'ResourcesDiscovered',
    message: 'All resources successfully discovered',
  },
  NamespaceDeletionGroupVersionParsingFailure: {
    reason: 'ParsedGroupVersions',
    message: 'All legacy kube types successfully parsed',
  },
  NamespaceDeletionContentFailure: {
    reason: 'ContentDeleted',
    message: 'All content successfully deleted, may be waiting on finalization',
  },
  NamespaceContentRemaining: { reason: 'ContentRemoved', message: 'All content successfully removed' },
  NamespaceFinalizersRemaining: {
    reason: 'ContentHasNoFinalizers',
    message: 'All content-preserving finalizers finished',
  },
};

function troubles(f: Findings): Record<string, { reason: string; message: string } | undefined> {
  const list = (m: ReadonlyMap<string, number>, text: (k: string, n: number) => string) =>
    [...m]
      .map(([k, n]) => text(k, n))
      .toSorted()
      .join(', ');
  return {
    NamespaceDeletionDiscoveryFailure:
      f.discovery === undefined ? undefined : { reason: 'DiscoveryFailed', message: f.discovery },
    NamespaceDeletionContentFailure: f.errors.length
      ? {
          reason: 'ContentDeletionFailed',
          message: `Failed to delete all resource types, ${f.errors.length} remaining: ${f.errors.toSorted().join(', ')}`,
        }
      : undefined,
    NamespaceContentRemaining: f.remaining.size
      ? {
          reason: 'SomeResourcesRemain',
          message: `Some resources are remaining: ${list(f.remaining, (k, n) => `${k} has ${n} resource instances`)}`,
        }
      : undefined,
    NamespaceFinalizersRemaining: f.finalizers.size
      ? {
          reason: 'SomeFinalizersRemain',
          message: `Some content in the namespace has finalizers remaining: ${list(f.finalizers, (k, n) => `${k} in ${n} resource instances`)}`,
        }
      : undefined,
  };
}

/** The new conditions, or undefined when nothing changed. */
export function namespaceConditions(
  old: readonly DeepReadonly<NamespaceCondition>[],
  f: Findings,
  now: number,
): NamespaceCondition[] | undefined {
  const out: NamespaceCondition[] = [...old];
  const bad = troubles(f);
  let changed = false;
  for (const [type, fine] of Object.entries(FINE)) {
    const said = bad[type] ?? fine;
    const status = bad[type] ? 'True' : 'False';
    const i = out.findIndex((c) => c.type === type);
    const have = out[i];
    if (have && have.status === status && have.reason === said.reason && have.message === said.message) continue;
    changed = true;
    const lastTransitionTime = have?.status === status ? have.lastTransitionTime : formatTime(now);
    const next = { type, status, ...said, lastTransitionTime };
    if (have) out[i] = next;
    else out.push(next);
  }
  return changed ? out : undefined;
}
