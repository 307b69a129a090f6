/** Amounts of resources as plain numbers: cpu in thousandths of a core, everything else in whole units (bytes, pieces). */
import { Quantity } from '../../api/quantity.ts';
import type { DeepReadonly, Pod, PodSpec } from '../../api/types.ts';

/** A fixed shape, so that sums and comparisons stay cheap; extended resources and huge pages are in `scalars`. */
export class Resources {
  milliCPU = 0;
  memory = 0;
  ephemeralStorage = 0;
  /** Only ever set in allocatable amounts. */
  pods = 0;
  scalars: Map<string, number> | undefined = undefined;

  /** The amount of one resource by its name. */
  get(name: string): number {
    switch (name) {
      case 'cpu':
        return this.milliCPU;
      case 'memory':
        return this.memory;
      case 'ephemeral-storage':
        return this.ephemeralStorage;
      case 'pods':
        return this.pods;
      default:
        return this.scalars?.get(name) ?? 0;
    }
  }
  set(name: string, amount: number): void {
    switch (name) {
      case 'cpu':
        this.milliCPU = amount;
        break;
      case 'memory':
        this.memory = amount;
        break;
      case 'ephemeral-storage':
        this.ephemeralStorage = amount;
        break;
      case 'pods':
        this.pods = amount;
        break;
      default:
        (this.scalars ??= new Map()).set(name, amount);
    }
  }
  add(o: Resources, sign = 1): void {
    this.milliCPU += sign * o.milliCPU;
    this.memory += sign * o.memory;
    this.ephemeralStorage += sign * o.ephemeralStorage;
    if (o.scalars) for (const [k, v] of o.scalars) this.set(k, this.get(k) + sign * v);
  }
  /** Takes the greater amount of each resource. */
  raise(o: Resources): void {
    if (o.milliCPU > this.milliCPU) this.milliCPU = o.milliCPU;
    if (o.memory > this.memory) this.memory = o.memory;
    if (o.ephemeralStorage > this.ephemeralStorage) this.ephemeralStorage = o.ephemeralStorage;
    if (o.scalars) for (const [k, v] of o.scalars) if (v > this.get(k)) this.set(k, v);
  }
  clone(): Resources {
    const c = new Resources();
    c.milliCPU = this.milliCPU;
    c.memory = this.memory;
    c.ephemeralStorage = this.ephemeralStorage;
    c.pods = this.pods;
    if (this.scalars) c.scalars = new Map(this.scalars);
    return c;
  }
  equals(o: Resources): boolean {
    if (this.milliCPU !== o.milliCPU || this.memory !== o.memory) return false;
    if (this.ephemeralStorage !== o.ephemeralStorage || this.pods !== o.pods) return false;
    for (const k of new Set([...(this.scalars?.keys() ?? []), ...(o.scalars?.keys() ?? [])]))
      if (this.get(k) !== o.get(k)) return false;
    return true;
  }
}

/** Is it a resource that Kubernetes itself knows nothing of? */
export const isExtendedResource = (name: string): boolean =>
  name.includes('/') &&
  !name.startsWith('kubernetes.io/') &&
  !name.includes('.kubernetes.io/') &&
  !name.startsWith('requests.');

type Amounts = Readonly<Record<string, string>> | undefined;

// What amounts pods and nodes name repeats endlessly; the texts are few.
const REMEMBER = 4096;
const milliTexts = new Map<string, number>();
const wholeTexts = new Map<string, number>();

/** The amount that a quantity's text stands for: thousandths for cpu, whole units otherwise; rounded up, 0 if unreadable. */
export function amountOf(resource: string, text: string | number): number {
  const known = resource === 'cpu' ? milliTexts : wholeTexts;
  const key = typeof text === 'string' ? text : String(text);
  let n = known.get(key);
  if (n === undefined) {
    const q = Quantity.tryParse(key);
    n = q === undefined ? 0 : Number(resource === 'cpu' ? q.asMilli() : q.asInteger());
    if (known.size >= REMEMBER) known.clear();
    known.set(key, n);
  }
  return n;
}

/** Reads a map of quantities. */
export function readAmounts(list: Amounts, into = new Resources()): Resources {
  if (list) for (const name in list) into.set(name, amountOf(name, list[name]!));
  return into;
}

const isPodLevel = (name: string) => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-');

/** Containers that name no request count as this much when nodes are compared (never when they are filtered). */
export const DEFAULT_MILLI_CPU = 100;
export const DEFAULT_MEMORY = 200 * 1024 * 1024;

/** What a pod asks for: for filtering as it is, and with defaults where nothing is said, for comparing nodes. */
export interface PodRequests {
  readonly requests: Resources;
  readonly nonZeroMilliCPU: number;
  readonly nonZeroMemory: number;
}

type Spec = DeepReadonly<PodSpec>;
type SpecContainer = Spec['containers'][number];

/**
 * The pod's requests: containers and sidecars summed, the peak of the init containers, pod-level amounts instead
 * where they are set (KEP-2837), the overhead added (KEP-688). Pods with a node count what the kubelet has granted
 * as well, so that a resize under way is never given away (KEP-1287, KEP-5419).
 */
export function podRequests(pod: DeepReadonly<Pod>): PodRequests {
  const spec = pod.spec!;
  const granted = spec.nodeName ? grantedAmounts(pod) : undefined;
  const level = levelAmounts(pod);
  const plain = total(spec, level, granted, undefined);
  const defaults = new Resources();
  // A default of a container is needless where the pod as a whole says it.
  const said = spec.resources?.requests;
  if (said?.['cpu'] === undefined) defaults.milliCPU = DEFAULT_MILLI_CPU;
  if (said?.['memory'] === undefined) defaults.memory = DEFAULT_MEMORY;
  const filled = needsDefaults(spec) ? total(spec, level, granted, defaults) : plain;
  return { requests: plain, nonZeroMilliCPU: filled.milliCPU, nonZeroMemory: filled.memory };
}

function needsDefaults(spec: Spec): boolean {
  for (const c of spec.containers) if (lacks(c)) return true;
  if (spec.initContainers) for (const c of spec.initContainers) if (lacks(c)) return true;
  return false;
}
const lacks = (c: SpecContainer) =>
  c.resources?.requests?.['cpu'] === undefined || c.resources.requests['memory'] === undefined;

const isInfeasible = (conditions: NonNullable<DeepReadonly<Pod>['status']>['conditions']): boolean =>
  conditions?.some((c) => c.type === 'PodResizePending' && c.reason === 'Infeasible') === true;

type Granted = Map<string, Resources> & { infeasible?: boolean };

/** What the kubelet says containers have, where it differs from the spec at all. */
function grantedAmounts(pod: DeepReadonly<Pod>): Granted | undefined {
  const status = pod.status;
  if (!status?.containerStatuses && !status?.initContainerStatuses) return undefined;
  let out: Granted | undefined;
  const read = (list: typeof status.containerStatuses) => {
    if (!list) return;
    for (const s of list) {
      if (!s.allocatedResources && !s.resources?.requests) continue;
      const amounts = readAmounts(s.resources?.requests);
      amounts.raise(readAmounts(s.allocatedResources));
      (out ??= new Map() as Granted).set(s.name, amounts);
    }
  };
  read(status.containerStatuses);
  read(status.initContainerStatuses);
  if (out) out.infeasible = isInfeasible(status.conditions);
  return out;
}

function containerAmounts(c: SpecContainer, granted: Granted | undefined, defaults: Resources | undefined): Resources {
  const have = granted?.get(c.name);
  // A resize that can never be has no claim on the node.
  const own = have && granted!.infeasible ? new Resources() : readAmounts(c.resources?.requests);
  if (have) own.raise(have);
  if (defaults) {
    const r = c.resources?.requests;
    if (r?.['cpu'] === undefined && own.milliCPU === 0) own.milliCPU = defaults.milliCPU;
    if (r?.['memory'] === undefined && own.memory === 0) own.memory = defaults.memory;
  }
  return own;
}

/** What a pod as a whole asks for, by name: as it says, and what it was granted or has in force where that is more. */
function levelAmounts(pod: DeepReadonly<Pod>): Map<string, number> | undefined {
  const requests = pod.spec!.resources?.requests;
  if (!requests) return undefined;
  const out = new Map<string, number>();
  const { resources, allocatedResources, conditions } = pod.status ?? {};
  const known = pod.spec!.nodeName && resources ? readAmounts(resources.requests) : undefined;
  known?.raise(readAmounts(allocatedResources));
  for (const name in requests) {
    if (!isPodLevel(name)) continue;
    const wanted = amountOf(name, requests[name]!);
    const have = known?.get(name);
    out.set(name, have === undefined ? wanted : isInfeasible(conditions) ? have : Math.max(wanted, have));
  }
  return out;
}

function total(
  spec: Spec,
  level: ReadonlyMap<string, number> | undefined,
  granted: Granted | undefined,
  defaults: Resources | undefined,
): Resources {
  const { containers, initContainers } = spec;
  const sum = containerAmounts(containers[0]!, granted, defaults);
  for (let i = 1; i < containers.length; i++) sum.add(containerAmounts(containers[i]!, granted, defaults));
  if (initContainers?.length) {
    const sidecars = new Resources();
    const peak = new Resources();
    for (const c of initContainers) {
      const own = containerAmounts(c, granted, defaults);
      if (c.restartPolicy === 'Always') {
        // Runs on beside the containers, and beside the init containers that follow.
        sum.add(own);
        sidecars.add(own);
        peak.raise(sidecars);
      } else {
        own.add(sidecars);
        peak.raise(own);
      }
    }
    sum.raise(peak);
  }
  if (level) for (const [name, amount] of level) sum.set(name, amount);
  if (spec.overhead) sum.add(readAmounts(spec.overhead));
  return sum;
}
