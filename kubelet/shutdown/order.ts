/** In which order a node that shuts down ends its pods: by priority, the lowest first. Pure. https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/ */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';

/** Pods of this priority and above, up to the next entry, get so many seconds. */
export interface ShutdownGroup {
  priority: number;
  seconds: number;
}

/** system-cluster-critical */
const CRITICAL = 2_000_000_000;

/** The groups, the lowest priority first; empty when nothing was asked for. */
export function shutdownGroups(
  config: Pick<
    KubeletConfiguration,
    'shutdownGracePeriod' | 'shutdownGracePeriodCriticalPods' | 'shutdownGracePeriodByPodPriority'
  >,
): ShutdownGroup[] {
  const byPriority = config.shutdownGracePeriodByPodPriority ?? [];
  if (byPriority.length > 0)
    return byPriority
      .map((g) => ({ priority: g.priority, seconds: g.shutdownGracePeriodSeconds }))
      .sort((a, b) => a.priority - b.priority);
  const total = parseDuration(config.shutdownGracePeriod) / 1000;
  const critical = parseDuration(config.shutdownGracePeriodCriticalPods) / 1000;
  if (total <= 0) return [];
  return [
    { priority: 0, seconds: Math.max(0, total - critical) },
    { priority: CRITICAL, seconds: critical },
  ];
}

/** Which pods end when: by group, the lowest priority first. Those below the lowest group belong to it. */
export function shutdownOrder<T extends DeepReadonly<Pod>>(
  pods: readonly T[],
  groups: readonly ShutdownGroup[],
): { seconds: number; pods: T[] }[] {
  const out = groups.map((g) => ({ seconds: g.seconds, pods: [] as T[] }));
  for (const pod of pods) {
    const priority = pod.spec?.priority ?? 0;
    let at = 0;
    for (const [i, g] of groups.entries()) if (priority >= g.priority) at = i;
    out[at]?.pods.push(pod);
  }
  return out;
}
