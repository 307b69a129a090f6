/** NodeResourcesFit: is there room for what the pod asks for, and which node would be filled best. */
import type { DeepReadonly, Node } from '../../api/types.ts';
import { Action, failure, type Failure, type Plugin } from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import { isExtendedResource, readAmounts, type Resources } from '../core/resources.ts';
import { backedResources } from '../dra/extended.ts';
import type { Class } from '../dra/types.ts';
import { fixedLister, type Lister } from '../listers.ts';
import { DEFAULT_RESOURCES, sharesOf, type ResourceSpec, type Share } from './resource-scorer.ts';

const NAME = 'NodeResourcesFit';

export interface NodeResourcesFitArgs {
  /** Extended resources, and groups of them (what stands before the slash), that aren't checked. */
  ignoredResources?: string[];
  ignoredResourceGroups?: string[];
  scoringStrategy?: {
    /** Defaults to LeastAllocated. */
    type?: 'LeastAllocated' | 'MostAllocated' | 'RequestedToCapacityRatio';
    /** Defaults to cpu and memory, equally. */
    resources?: ResourceSpec[];
    requestedToCapacityRatio?: { shape?: { utilization: number; score: number }[] };
  };
}

type Score = (shares: readonly Share[]) => number;

/** The weighted mean of a score per resource; resources that the node lacks don't count. */
function weighted(each: (requested: number, capacity: number) => number): Score {
  return (shares) => {
    let sum = 0;
    let weights = 0;
    for (const s of shares) {
      if (s.allocatable === 0) continue;
      sum += each(s.requested + s.pod, s.allocatable) * s.weight;
      weights += s.weight;
    }
    return weights === 0 ? 0 : Math.floor(sum / weights);
  };
}

const leastAllocated = weighted((r, c) => (r > c ? 0 : Math.floor(((c - r) * 100) / c)));
// Pods without requests may count for more than there is.
const mostAllocated = weighted((r, c) => Math.floor((Math.min(r, c) * 100) / c));

/** Linear between the points of a shape; scores there go to 10. */
function capacityRatio(shape: readonly { utilization: number; score: number }[]): Score {
  const points = shape.map((p) => ({ x: p.utilization, y: p.score * 10 }));
  const at = (x: number) => {
    for (const [i, p] of points.entries()) {
      if (x > p.x) continue;
      if (i === 0) return p.y;
      const q = points[i - 1]!;
      return q.y + Math.trunc(((p.y - q.y) * (x - q.x)) / (p.x - q.x));
    }
    return points.at(-1)!.y;
  };
  return (shares) => {
    let sum = 0;
    let weights = 0;
    for (const s of shares) {
      if (s.allocatable === 0) continue;
      const r = s.requested + s.pod;
      const score = at(r > s.allocatable ? 100 : Math.floor((r * 100) / s.allocatable));
      if (score <= 0) continue;
      sum += score * s.weight;
      weights += s.weight;
    }
    return weights === 0 ? 0 : Math.round(sum / weights);
  };
}

interface Lack {
  readonly name: string;
  /** Even an empty node would be too small. */
  readonly never: boolean;
}

/** What is missing for `r` on the node; undefined when it fits. */
function lacks(r: Resources, node: NodeInfo, ignored: (name: string) => boolean): Lack[] | undefined {
  const have = node.allocatable;
  const used = node.requested;
  let out: Lack[] | undefined;
  const check = (name: string, want: number, all: number, taken: number) => {
    if (want > 0 && want > all - taken) (out ??= []).push({ name, never: want > all });
  };
  if (node.pods.length + 1 > have.pods) out = [{ name: 'pods', never: false }];
  check('cpu', r.milliCPU, have.milliCPU, used.milliCPU);
  check('memory', r.memory, have.memory, used.memory);
  check('ephemeral-storage', r.ephemeralStorage, have.ephemeralStorage, used.ephemeralStorage);
  if (r.scalars)
    for (const [name, want] of r.scalars) if (!ignored(name)) check(name, want, have.get(name), used.get(name));
  return out;
}

export function nodeResourcesFit(args: NodeResourcesFitArgs = {}, classes: Lister<Class> = fixedLister()): Plugin {
  const names = new Set(args.ignoredResources);
  const groups = new Set(args.ignoredResourceGroups);
  const ignored = (name: string) =>
    (names.size > 0 || groups.size > 0) &&
    isExtendedResource(name) &&
    (names.has(name) || groups.has(name.split('/')[0]!));
  const strategy = args.scoringStrategy ?? {};
  const resources = strategy.resources?.length ? strategy.resources : DEFAULT_RESOURCES;
  const rank =
    strategy.type === 'MostAllocated'
      ? mostAllocated
      : strategy.type === 'RequestedToCapacityRatio'
        ? capacityRatio(strategy.requestedToCapacityRatio?.shape ?? [])
        : leastAllocated;

  // There are few ways to fail; nodes share them.
  const failures = new Map<string, Failure>();
  const toFailure = (lack: readonly Lack[]): Failure => {
    const never = lack.some((l) => l.never);
    const key = `${never}:${lack.map((l) => l.name).join()}`;
    let f = failures.get(key);
    if (!f) {
      const reasons = lack.map((l) => (l.name === 'pods' ? 'Too many pods' : `Insufficient ${l.name}`));
      f = failure(NAME, never ? 'UnschedulableAndUnresolvable' : 'Unschedulable', ...reasons);
      failures.set(key, f);
    }
    return f;
  };

  return {
    name: NAME,
    events: [
      {
        resource: 'Pod',
        actions: Action.Delete | Action.UpdatePodScaleDown,
        hint: (pod, before, after) => freesFor(pod, before as PodInfo, after as PodInfo | undefined),
      },
      { resource: 'WaitingPod', actions: Action.UpdatePodScaleDown },
      {
        resource: 'DeviceClass',
        actions: Action.Add | Action.Update,
        hint: (pod) => backedResources(pod, classes) !== undefined,
      },
      {
        resource: 'Node',
        actions: Action.Add | Action.UpdateNodeAllocatable,
        hint(pod, before, after) {
          const now = readAmounts((after as DeepReadonly<Node>).status?.allocatable);
          if (!mayHold(pod.requests, now, backedResources(pod, classes))) return false;
          return (
            before === undefined || grew(pod, readAmounts((before as DeepReadonly<Node>).status?.allocatable), now)
          );
        },
      },
    ],
    preFilter(pod) {
      const r = pod.requests;
      // Where the node has none of it, devices may stand in: that is for DynamicResources to say.
      const backed = backedResources(pod, classes);
      return {
        filter: {
          filter(node) {
            // The usual case without any allocation.
            const have = node.allocatable;
            const used = node.requested;
            if (
              node.pods.length < have.pods &&
              (r.milliCPU === 0 || r.milliCPU <= have.milliCPU - used.milliCPU) &&
              (r.memory === 0 || r.memory <= have.memory - used.memory) &&
              (r.ephemeralStorage === 0 || r.ephemeralStorage <= have.ephemeralStorage - used.ephemeralStorage) &&
              r.scalars === undefined
            )
              return undefined;
            const lack = lacks(
              r,
              node,
              (n) => ignored(n) || (backed?.has(n) === true && node.allocatable.get(n) === 0),
            );
            return lack && toFailure(lack);
          },
        },
      };
    },
    preScore(pod) {
      const shares = sharesOf(resources, pod, false);
      return { score: (node) => rank(shares(node)) };
    },
  };
}

/** Does the end (or shrinking) of a pod set free something that `pod` asks for? */
function freesFor(pod: PodInfo, before: PodInfo, after: PodInfo | undefined): boolean {
  // A pod less is always room for one more.
  if (after === undefined) return true;
  const less = (name: string) => pod.requests.get(name) > 0 && after.requests.get(name) < before.requests.get(name);
  if (less('cpu') || less('memory') || less('ephemeral-storage')) return true;
  for (const name of pod.requests.scalars?.keys() ?? []) if (less(name)) return true;
  return false;
}

/** Could an empty node of this size hold it? */
function mayHold(r: Resources, all: Resources, backed: ReadonlyMap<string, unknown> | undefined): boolean {
  if (all.pods < 1) return false;
  if (r.milliCPU > all.milliCPU || r.memory > all.memory || r.ephemeralStorage > all.ephemeralStorage) return false;
  for (const [name, want] of r.scalars ?? []) if (want > all.get(name) && !backed?.has(name)) return false;
  return true;
}

function grew(pod: PodInfo, before: Resources, now: Resources): boolean {
  if (now.pods > before.pods) return true;
  const more = (name: string) => pod.requests.get(name) > 0 && now.get(name) > before.get(name);
  if (more('cpu') || more('memory') || more('ephemeral-storage')) return true;
  for (const name of pod.requests.scalars?.keys() ?? []) if (more(name)) return true;
  return false;
}
