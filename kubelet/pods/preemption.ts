/** Pods that make way for a critical one, and pods that a node under pressure does not take. Pure. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { Rejection } from './admission.ts';
import { amountsOf, isCritical, podAmounts, qosClass, type Amounts, type QosClass } from './resources.ts';

type ReadPod = DeepReadonly<Pod>;

const ORDER: QosClass[] = ['BestEffort', 'Burstable', 'Guaranteed'];

/** As few as suffice of the pods that are not critical, the cheapest to lose first; undefined when even all would not do. */
export function victimsFor(
  pod: ReadPod,
  others: readonly ReadPod[],
  allocatableList: DeepReadonly<Record<string, string>>,
): ReadPod[] | undefined {
  const allocatable: Amounts = { ...amountsOf(allocatableList) };
  const missing: Amounts = {};
  const want: Amounts = { ...podAmounts(pod, 'requests'), pods: 1 };
  for (const [k, v] of Object.entries(want)) {
    if (v === 0 || allocatable[k] === undefined) continue;
    const used = others.reduce((n, o) => n + (k === 'pods' ? 1 : (podAmounts(o, 'requests')[k] ?? 0)), 0);
    const lack = v - (allocatable[k] - used);
    if (lack > 0) missing[k] = lack;
  }
  const gives = (p: ReadPod, k: string) => (k === 'pods' ? 1 : (podAmounts(p, 'requests')[k] ?? 0));
  const lacking = () => Object.keys(missing).filter((k) => missing[k]! > 0);
  const candidates = others
    .filter((o) => !isCritical(o))
    .sort(
      (a, b) =>
        ORDER.indexOf(qosClass(a)) - ORDER.indexOf(qosClass(b)) || (a.spec!.priority ?? 0) - (b.spec!.priority ?? 0),
    );
  const chosen: ReadPod[] = [];
  for (const c of candidates) {
    if (lacking().length === 0) break;
    if (!lacking().some((k) => gives(c, k) > 0)) continue;
    chosen.push(c);
    for (const k of lacking()) missing[k]! -= gives(c, k);
  }
  if (lacking().length > 0) return undefined;
  // one that was chosen early may not be needed after those chosen later
  return chosen.filter((c) => {
    const needed = Object.keys(missing).some((k) => missing[k]! + gives(c, k) > 0);
    if (!needed) for (const k of Object.keys(missing)) missing[k]! += gives(c, k);
    return needed;
  });
}

/** Why a node under pressure refuses the pod. */
export function underPressure(
  pod: ReadPod,
  pressure: { memory: boolean; disk: boolean; pid: boolean },
): Rejection | undefined {
  const names = [
    ...(pressure.memory ? ['MemoryPressure'] : []),
    ...(pressure.disk ? ['DiskPressure'] : []),
    ...(pressure.pid ? ['PIDPressure'] : []),
  ];
  if (names.length === 0 || isCritical(pod)) return undefined;
  if (names.length === 1 && pressure.memory) {
    if (qosClass(pod) !== 'BestEffort') return undefined;
    const tolerated = pod.spec!.tolerations?.some(
      (t) =>
        (!t.key || t.key === 'node.kubernetes.io/memory-pressure') &&
        (!t.effect || t.effect === 'NoSchedule') &&
        (t.operator === 'Exists' || (t.key !== undefined && (t.value ?? '') === '')),
    );
    if (tolerated) return undefined;
  }
  return { reason: 'Evicted', message: `The node had condition: [${names.join(' ')}]. ` };
}
