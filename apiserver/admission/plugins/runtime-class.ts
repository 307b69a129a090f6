/** RuntimeClass: gives pods the overhead and the scheduling constraints of their runtime class. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Json, Pod } from '../../../api/types.ts';
import { deny, isOn, type PluginDeps, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

type RuntimeClass = DeepReadonly<Json<k8s.V1RuntimeClass>>;
type Toleration = Json<k8s.V1Toleration>;
const RESOURCE = 'node.k8s.io/runtimeclasses';
const MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

async function classOf(deps: PluginDeps, a: AdmissionAttributes): Promise<RuntimeClass | undefined> {
  const name = (a.object as Pod).spec?.runtimeClassName;
  if (!name) return undefined;
  const found =
    deps.reader.get<Json<k8s.V1RuntimeClass>>(RESOURCE, '', name) ??
    (await deps.objects.find<Json<k8s.V1RuntimeClass>>(RESOURCE, '', name));
  if (!found) throw deny(a, `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
  return found;
}

/** All taints that `b` tolerates are tolerated by `a` too. */
function covers(a: Toleration, b: Toleration): boolean {
  if (semanticEqual(a, b)) return true;
  if (a.key !== b.key && (a.key || a.operator !== 'Exists')) return false;
  if (a.effect !== b.effect && a.effect) return false;
  const limit = a.effect === 'NoExecute' ? a.tolerationSeconds : undefined;
  if (limit !== undefined && limit !== null && !((b.tolerationSeconds ?? Infinity) <= limit)) return false;
  if (a.operator === 'Exists') return true;
  return b.operator === 'Equal' && (a.value ?? '') === (b.value ?? '');
}

/** Both lists in one, without those that another one covers. */
export function mergeTolerations(first: readonly Toleration[], second: readonly Toleration[]): Toleration[] {
  const all = [...first, ...second];
  const merged: Toleration[] = [];
  all.forEach((t, i) => {
    if (merged.some((m) => covers(m, t))) return;
    if (all.slice(i + 1).some((later) => !semanticEqual(t, later) && covers(later, t))) return;
    merged.push(t);
  });
  return merged;
}

export const runtimeClass: PluginFactory = (deps) => ({
  name: 'RuntimeClass',
  handles: (operation) => operation === 'CREATE',
  async admit(a) {
    if (!isOn(a, '', 'pods')) return;
    const rc = await classOf(deps, a);
    const spec = (a.object as Pod).spec;
    if (!rc || !spec) return;
    const fixed = rc.overhead?.podFixed;
    if (rc.overhead) {
      if (spec.overhead && Object.keys(spec.overhead).length && !semanticEqual(spec.overhead, fixed))
        throw deny(a, MISMATCH);
      if (fixed) spec.overhead = { ...fixed };
    }
    if (!rc.scheduling) return;
    for (const [key, value] of Object.entries(rc.scheduling.nodeSelector ?? {})) {
      const own = spec.nodeSelector?.[key];
      if (own !== undefined && own !== value) {
        throw deny(
          a,
          `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
        );
      }
      spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
    }
    const tolerations = mergeTolerations(spec.tolerations ?? [], (rc.scheduling.tolerations ?? []) as Toleration[]);
    if (tolerations.length) spec.tolerations = tolerations;
  },
  async validate(a) {
    if (!isOn(a, '', 'pods')) return;
    const rc = await classOf(deps, a);
    const overhead = (a.object as Pod).spec?.overhead;
    if (rc?.overhead) {
      if (!semanticEqual(overhead, rc.overhead.podFixed)) throw deny(a, MISMATCH);
    } else if (overhead) {
      throw deny(a, 'pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead');
    }
  },
});
