/** How long pods take to start, as the kubelet sees it: from the first sight, and from their creation. */
import type { Clock } from '../../base/clock.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { Histogram } from '../../base/metrics.ts';
import { isSidecar } from '../pods/resources.ts';

type ReadPod = DeepReadonly<Pod>;

export interface PodStarts {
  /** A pod that has not begun yet came to the node. */
  seen(pod: ReadPod): void;
  /** An image was pulled for it from `began` until now (monotonic milliseconds). */
  pulled(uid: string, began: number): void;
  /** It was found to run. */
  running(uid: string): void;
  /** The API shows it so. */
  observed(pod: ReadPod): void;
  forget(uid: string): void;
}

interface Start {
  seen: number;
  running: boolean;
  /** Milliseconds of pulls; two at once count once. */
  pulling: number;
  pulledUntil: number;
}

/** A pod that has more than what comes and goes with it does not count for the service level. */
const isStateful = (pod: ReadPod): boolean =>
  (pod.spec?.volumes ?? []).some((v) => !(v.secret || v.configMap || v.downwardAPI || v.emptyDir || v.projected));

/** One that had to wait for room does not count either: that is no matter of the node. */
const hadToWait = (pod: ReadPod): boolean =>
  (pod.status?.conditions ?? []).some((c) => c.type === 'PodScheduled' && c.status === 'False');

/** Milliseconds that the init containers which have ended took. */
function initTime(pod: ReadPod): number {
  const sidecars = new Set((pod.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name));
  let ms = 0;
  for (const { name, state } of pod.status?.initContainerStatuses ?? []) {
    const { startedAt, finishedAt } = state?.terminated ?? {};
    if (!sidecars.has(name) && startedAt && finishedAt) ms += Date.parse(finishedAt) - Date.parse(startedAt);
  }
  return ms;
}

export function createPodStarts(options: {
  clock: Clock;
  running: Histogram;
  total: Histogram;
  sli: Histogram;
  firstSli: { set(labels: readonly string[], value: number): void };
  containers: Histogram;
}): PodStarts {
  const { clock } = options;
  const starts = new Map<string, Start>();
  let firstTold = false;
  return {
    seen(pod) {
      const uid = pod.metadata!.uid!;
      if (starts.has(uid)) return;
      starts.set(uid, { seen: clock.monotonic(), running: false, pulling: 0, pulledUntil: -Infinity });
      options.containers.observe([], pod.spec!.containers.length);
    },
    pulled(uid, began) {
      const s = starts.get(uid);
      if (!s) return;
      const now = clock.monotonic();
      s.pulling += Math.max(0, now - Math.max(began, s.pulledUntil));
      s.pulledUntil = now;
    },
    running(uid) {
      const s = starts.get(uid);
      if (!s || s.running) return;
      s.running = true;
      options.running.observe([], (clock.monotonic() - s.seen) / 1000);
    },
    observed(pod) {
      const uid = pod.metadata!.uid!;
      const s = starts.get(uid);
      if (!s) return;
      const { phase, containerStatuses = [] } = pod.status ?? {};
      const over = phase === 'Failed' || phase === 'Succeeded';
      const started =
        phase === 'Running' && containerStatuses.length > 0 && containerStatuses.every((c) => c.state?.running);
      if (!over && !started) return;
      starts.delete(uid);
      if (over || hadToWait(pod)) return;
      const ms = clock.now() - Date.parse(pod.metadata!.creationTimestamp ?? '');
      if (!(ms >= 0)) return;
      options.total.observe([], ms / 1000);
      if (isStateful(pod)) return;
      const own = Math.max(0, ms - s.pulling - initTime(pod)) / 1000;
      options.sli.observe([], own);
      if (firstTold || pod.spec!.hostNetwork) return;
      firstTold = true;
      options.firstSli.set([], own);
    },
    forget: (uid) => void starts.delete(uid),
  };
}
