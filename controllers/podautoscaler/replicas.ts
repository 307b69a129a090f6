/** How many replicas a metric asks for. Pure. */
import { isDeleting, meta, millis } from '../lib/meta.ts';
import { podCondition, type PodView } from '../lib/pods.ts';

/** One pod's sample; `value` in thousandths. */
export interface Sample {
  value: number;
  /** Milliseconds since the epoch, and how long was measured. */
  at: number;
  window: number;
}
export type Samples = ReadonlyMap<string, Sample>;

export interface Timing {
  now: number;
  cpuInitializationMs: number;
  initialReadinessMs: number;
}

/** Below the one and above the other nothing is done. */
export interface Tolerance {
  down: number;
  up: number;
}

const within = (t: Tolerance, ratio: number) => ratio >= 1 - t.down && ratio <= 1 + t.up;

/** Sorts pods by what can be said of them; names of those that count, are not ready, or have no sample. */
export function groupPods(
  pods: readonly PodView[],
  samples: Samples,
  isCpu: boolean,
  t: Timing,
): { ready: string[]; unready: string[]; missing: string[] } {
  const out = { ready: [] as string[], unready: [] as string[], missing: [] as string[] };
  for (const pod of pods) {
    const { name } = meta(pod);
    if (isDeleting(pod) || pod.status?.phase === 'Failed') continue;
    if (pod.status?.phase === 'Pending') {
      out.unready.push(name);
      continue;
    }
    const sample = samples.get(name);
    if (!sample) {
      out.missing.push(name);
      continue;
    }
    if (isCpu && isUnready(pod, sample, t)) out.unready.push(name);
    else out.ready.push(name);
  }
  return out;
}

function isUnready(pod: PodView, sample: Sample, t: Timing): boolean {
  const ready = podCondition(pod, 'Ready');
  const start = millis(pod.status?.startTime);
  if (!ready || Number.isNaN(start)) return true;
  const changed = millis(ready.lastTransitionTime);
  // While it starts up, only samples from after it became ready tell anything.
  if (start + t.cpuInitializationMs > t.now) return ready.status === 'False' || sample.at < changed + sample.window;
  return ready.status === 'False' && start + t.initialReadinessMs > changed;
}

export interface Result {
  replicas: number;
  /** Per cent of the request (utilization), or the average value in thousandths. */
  current: number;
}

/** From each pod's use and what it should use (`wanted`, both in thousandths). @throws when nothing was measured. */
export function replicasByUse(
  current: number,
  groups: ReturnType<typeof groupPods>,
  samples: Samples,
  wanted: (pod: string) => number,
  fallback: (pod: string) => number,
  tolerance: Tolerance,
): { replicas: number; ratio: number } {
  const use = new Map<string, number>();
  for (const name of groups.ready) use.set(name, samples.get(name)!.value);
  if (use.size === 0) throw new Error('did not receive metrics for targeted pods (pods might be unready)');
  const ratioOf = () => {
    let a = 0;
    let b = 0;
    for (const [name, v] of use) {
      a += v;
      b += wanted(name);
    }
    return b === 0 ? 0 : a / b;
  };
  const ratio = ratioOf();
  const fillUnready = groups.unready.length > 0 && ratio > 1;
  if (!fillUnready && groups.missing.length === 0)
    return { ratio, replicas: within(tolerance, ratio) ? current : Math.ceil(ratio * use.size) };
  // What is not known is assumed to speak against a change.
  for (const name of groups.missing) {
    if (ratio < 1) use.set(name, fallback(name));
    else if (ratio > 1) use.set(name, 0);
  }
  if (fillUnready) for (const name of groups.unready) use.set(name, 0);
  const second = ratioOf();
  if (within(tolerance, second) || (ratio < 1 && second > 1) || (ratio > 1 && second < 1))
    return { ratio, replicas: current };
  const replicas = Math.ceil(second * use.size);
  const wrongWay = (second < 1 && replicas > current) || (second > 1 && replicas < current);
  return { ratio, replicas: wrongWay ? current : replicas };
}

/** From one value for all: `usage` against a target value, with so many ready pods. */
export function replicasByValue(
  current: number,
  usage: number,
  target: number,
  readyPods: number,
  tolerance: Tolerance,
): number {
  const ratio = usage / target;
  if (current === 0) return Math.ceil(ratio);
  return within(tolerance, ratio) ? current : Math.ceil(ratio * readyPods);
}

/** From one value for all against a target per pod. */
export function replicasByAverage(
  current: number,
  usage: number,
  target: number,
  statusReplicas: number,
  tolerance: Tolerance,
): number {
  if (statusReplicas === 0) return Math.ceil(usage / target);
  const ratio = usage / (target * statusReplicas);
  return within(tolerance, ratio) ? current : Math.ceil(usage / target);
}
