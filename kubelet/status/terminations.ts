/** Counts how containers end, for the metric `kubelet_terminated_containers_total`. */
import type { ContainerStatus, DeepReadonly, PodStatus } from '../../api/types.ts';

export interface Termination {
  container_type: 'init_container' | 'container' | 'ephemeral_container';
  exit_code: string;
  reason: string;
}

export interface TerminationCounts {
  /** A pod's status has changed; what had ended before isn't counted again. */
  changed(before: DeepReadonly<PodStatus> | undefined, now: DeepReadonly<PodStatus>): void;
  all(): { labels: Termination; count: number }[];
}

const KINDS = [
  ['init_container', 'initContainerStatuses'],
  ['container', 'containerStatuses'],
  ['ephemeral_container', 'ephemeralContainerStatuses'],
] as const;

export function createTerminationCounts(): TerminationCounts {
  const counts = new Map<string, { labels: Termination; count: number }>();
  return {
    changed(before, now) {
      for (const [container_type, field] of KINDS) {
        const old = (before?.[field] ?? []) as readonly DeepReadonly<ContainerStatus>[];
        for (const { name, state } of (now[field] ?? []) as readonly DeepReadonly<ContainerStatus>[]) {
          const ended = state?.terminated;
          if (!ended || old.find((s) => s.name === name)?.state?.terminated) continue;
          const labels: Termination = { container_type, exit_code: String(ended.exitCode), reason: ended.reason ?? '' };
          const key = JSON.stringify(labels);
          const known = counts.get(key);
          if (known) known.count++;
          else counts.set(key, { labels, count: 1 });
        }
      }
    },
    all: () => [...counts.values()],
  };
}
