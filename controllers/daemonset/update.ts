/** Which daemon pods are replaced next. Pure. */
import { isDeleting, meta } from '../lib/meta.ts';
import { scaledValue } from '../lib/numbers.ts';
import { isAvailable, type PodView } from '../lib/pods.ts';
import type { DaemonSetView } from './placement.ts';

export interface UpdatePlan {
  remove: PodView[];
  /** Nodes that get a new pod beside the old one. */
  surge: string[];
}

/** How many nodes may be without an available pod, and how many may have two. */
export function limits(set: DaemonSetView, desired: number): { maxUnavailable: number; maxSurge: number } {
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  const maxUnavailable = scaledValue(rolling?.maxUnavailable ?? 1, desired, true);
  const maxSurge = scaledValue(rolling?.maxSurge ?? 0, desired, true);
  if (desired > 0 && maxUnavailable === 0 && maxSurge === 0) return { maxUnavailable: 1, maxSurge: 0 };
  return { maxUnavailable, maxSurge };
}

/** The pods of one node by template; undefined when there are more than an update can explain. */
function splitByTemplate(
  pods: readonly PodView[],
  isUpdated: (pod: PodView) => boolean,
): { updated?: PodView; old?: PodView } | undefined {
  const alive = pods.filter((p) => !isDeleting(p));
  const updated = alive.filter(isUpdated);
  const old = alive.filter((p) => !isUpdated(p));
  return updated.length > 1 || old.length > 1 ? undefined : { updated: updated[0], old: old[0] };
}

export interface UpdateInput {
  set: DaemonSetView;
  podsByNode: ReadonlyMap<string, readonly PodView[]>;
  /** Nodes that shall have a pod. */
  desired: ReadonlySet<string>;
  isUpdated(pod: PodView): boolean;
  now: number;
}

/** The next step of a rolling update. */
export function planUpdate(input: UpdateInput): UpdatePlan {
  const { set, podsByNode, desired, now } = input;
  const { maxUnavailable, maxSurge } = limits(set, desired.size);
  const minReady = set.spec?.minReadySeconds ?? 0;
  const available = (p: PodView) => isAvailable(p, minReady, now);
  const nodes = new Set([...podsByNode.keys(), ...desired]);
  const isUpdated = (p: PodView) => input.isUpdated(p);
  if (maxSurge === 0) {
    let unavailable = 0;
    const remove: PodView[] = [];
    const candidates: PodView[] = [];
    for (const node of nodes) {
      const found = splitByTemplate(podsByNode.get(node) ?? [], isUpdated);
      if (!found || (!found.old && !found.updated) || (found.old && found.updated)) unavailable++;
      else if (found.updated) unavailable += available(found.updated) ? 0 : 1;
      else if (!available(found.old!)) {
        // It serves nobody: replacing it costs nothing.
        remove.push(found.old!);
        unavailable++;
      } else candidates.push(found.old!);
    }
    remove.push(
      ...candidates
        .toSorted((a, b) => (meta(a).name < meta(b).name ? -1 : 1))
        .slice(0, Math.max(maxUnavailable - unavailable, 0)),
    );
    return { remove, surge: [] };
  }
  const remove: PodView[] = [];
  const must: string[] = [];
  const may: string[] = [];
  const leaving: PodView[] = [];
  let surging = 0;
  let availableNodes = 0;
  for (const node of nodes) {
    const found = splitByTemplate(podsByNode.get(node) ?? [], isUpdated);
    if (!found) {
      surging++;
      continue;
    }
    const { old, updated } = found;
    const serving = old ?? updated;
    if (serving && available(serving)) availableNodes++;
    if (!old) continue;
    if (!updated) {
      if (!desired.has(node)) (available(old) ? leaving : remove).push(old);
      else (available(old) ? may : must).push(node);
    } else if (available(updated)) remove.push(old);
    else surging++;
  }
  const room = Math.max(maxSurge - surging, 0);
  // Where pods no longer belong they go only as far as availability allows.
  const spare = Math.max(availableNodes - (desired.size - maxUnavailable), 0);
  remove.push(...leaving.slice(0, spare));
  return { remove, surge: [...must, ...may.slice(0, room)] };
}
