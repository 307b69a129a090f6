/** What a pod asks for: requests and limits over its containers, QoS class, OOM score, cgroup numbers. */
import type { DeepReadonly, Container, Pod } from '../../api/types.ts';
import { milliCpu, wholeValue } from '../quantity.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** CPU in thousandths, all others in whole units. */
export type Amounts = Record<string, number>;

type ReadPod = DeepReadonly<Pod>;
type ReadContainer = DeepReadonly<Container>;

export function amountsOf(list: DeepReadonly<Record<string, string>> | undefined): Amounts {
  const out: Amounts = {};
  for (const [k, v] of Object.entries(list ?? {})) out[k] = k === 'cpu' ? milliCpu(v) : wholeValue(v);
  return out;
}

function add(into: Amounts, from: Amounts): Amounts {
  for (const [k, v] of Object.entries(from)) into[k] = (into[k] ?? 0) + v;
  return into;
}
function max(into: Amounts, from: Amounts): Amounts {
  for (const [k, v] of Object.entries(from)) into[k] = Math.max(into[k] ?? 0, v);
  return into;
}

/** An init container that goes on running beside the others (KEP-753). */
export const isSidecar = (c: { readonly restartPolicy?: string }): boolean => c.restartPolicy === 'Always';

/** What the whole pod takes: containers and sidecars together, or the largest init step, plus overhead. */
export function podAmounts(pod: ReadPod, of: 'requests' | 'limits'): Amounts {
  const spec = pod.spec!;
  const total: Amounts = {};
  for (const c of spec.containers) add(total, amountsOf(c.resources?.[of]));
  const sidecars: Amounts = {};
  const init: Amounts = {};
  for (const c of spec.initContainers ?? []) {
    const own = amountsOf(c.resources?.[of]);
    if (isSidecar(c)) {
      add(total, own);
      add(sidecars, own);
      max(init, { ...sidecars });
    } else max(init, add({ ...sidecars }, own));
  }
  max(total, init);
  // what is said for the whole pod (KEP-2837) stands above the sum
  Object.assign(total, amountsOf(spec.resources?.[of]));
  if (of === 'requests' || Object.keys(total).length > 0) {
    const overhead = amountsOf(spec.overhead);
    for (const [k, v] of Object.entries(overhead)) if (of === 'requests' || total[k]) total[k] = (total[k] ?? 0) + v;
  }
  return total;
}

/** The class that decides who is evicted first; the API server's word counts when it is there. */
export function qosClass(pod: ReadPod): QosClass {
  const said = pod.status?.qosClass;
  if (said) return said as QosClass;
  const spec = pod.spec!;
  let any = false;
  let guaranteed = true;
  const parts: DeepReadonly<{ resources?: Container['resources'] }>[] = spec.resources
    ? [{ resources: spec.resources }]
    : [...spec.containers, ...(spec.initContainers ?? [])];
  for (const c of parts) {
    const requests = amountsOf(c.resources?.requests);
    const limits = amountsOf(c.resources?.limits);
    for (const k of ['cpu', 'memory']) {
      const limit = limits[k] ?? 0;
      const request = requests[k] ?? limit;
      if (limit > 0 || request > 0) any = true;
      if (limit === 0 || request !== limit) guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

const CRITICAL_PRIORITY = 2_000_000_000;

/** Pods that come before all others: static ones and those of the system's priority. */
export function isCritical(pod: ReadPod): boolean {
  return pod.metadata?.annotations?.['kubernetes.io/config.source'] !== undefined &&
    pod.metadata.annotations['kubernetes.io/config.source'] !== 'api'
    ? true
    : (pod.spec?.priority ?? 0) >= CRITICAL_PRIORITY;
}

/** What the kernel's OOM killer adds for a container's processes: -997 (kept longest) to 1000. */
export function oomScoreAdjust(pod: ReadPod, container: ReadContainer, memoryCapacity: number): number {
  if ((pod.spec?.priority ?? 0) >= CRITICAL_PRIORITY) return -997;
  const qos = qosClass(pod);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const request = amountsOf(container.resources?.requests)['memory'] ?? 0;
  const adjust = 1000 - Math.floor((1000 * request) / Math.max(memoryCapacity, 1));
  if (adjust < 3) return 3; // 1000 + the guaranteed score
  return adjust === 1000 ? 999 : adjust;
}

/** cgroup cpu.shares for thousandths of CPU: 2 to 262144. */
export function cpuShares(milli: number): number {
  if (milli === 0) return 2;
  return Math.min(Math.max(Math.floor((milli * 1024) / 1000), 2), 262_144);
}

/** cgroup CPU quota in microseconds per period; 0 is none. */
export function cpuQuota(milli: number, periodMicros: number): number {
  if (milli === 0) return 0;
  return Math.max(Math.floor((milli * periodMicros) / 1000), 1000);
}
