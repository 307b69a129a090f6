/** Priority: turns a pod's priority class into its priority; keeps the default class unique. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, Pod } from '../../../api/types.ts';
import { deny, isOn, type PluginDeps, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

type PriorityClass = Json<k8s.V1PriorityClass>;
const SYSTEM_CLASSES = ['system-cluster-critical', 'system-node-critical'];
const RESOURCE = 'scheduling.k8s.io/priorityclasses';

/** The class for pods that name none; the lowest of several. */
function defaultClass({ reader }: PluginDeps): DeepReadonly<PriorityClass> | undefined {
  let found: DeepReadonly<PriorityClass> | undefined;
  for (const pc of reader.list<PriorityClass>(RESOURCE)) {
    if (pc.globalDefault && (!found || (pc.value ?? 0) < (found.value ?? 0))) found = pc;
  }
  return found;
}

async function admitPod(deps: PluginDeps, a: AdmissionAttributes): Promise<void> {
  const spec = (a.object as Pod).spec;
  if (!spec) return;
  let pc: DeepReadonly<PriorityClass> | undefined;
  if (spec.priorityClassName) {
    pc =
      deps.reader.get<PriorityClass>(RESOURCE, '', spec.priorityClassName) ??
      (await deps.objects.find<PriorityClass>(RESOURCE, '', spec.priorityClassName));
    if (!pc) throw deny(a, `no PriorityClass with name ${spec.priorityClassName} was found`);
  } else {
    pc = defaultClass(deps);
    if (pc) spec.priorityClassName = pc.metadata!.name!;
  }
  const priority = pc?.value ?? 0;
  if (spec.priority !== undefined && spec.priority !== null && spec.priority !== priority) {
    throw deny(
      a,
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
    );
  }
  spec.priority = priority;
  const policy = pc ? pc.preemptionPolicy : 'PreemptLowerPriority';
  if (!policy) return;
  if (spec.preemptionPolicy && spec.preemptionPolicy !== policy) {
    throw deny(
      a,
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; priority admission controller computed ${policy} from the given PriorityClass name`,
    );
  }
  spec.preemptionPolicy = policy;
}

export const priority: PluginFactory = (deps) => ({
  name: 'Priority',
  handles: (operation) => operation !== 'CONNECT',
  admit(a) {
    if (a.operation === 'DELETE') return;
    if (!isOn(a, '', 'pods')) return;
    if (a.operation === 'CREATE') return admitPod(deps, a);
    const spec = (a.object as Pod).spec;
    const old = (a.oldObject as DeepReadonly<Pod> | undefined)?.spec;
    if (!spec || !old) return;
    spec.priority ??= old.priority;
    spec.preemptionPolicy ??= old.preemptionPolicy;
  },
  validate(a) {
    if (!isOn(a, 'scheduling.k8s.io', 'priorityclasses')) return;
    if (a.operation === 'DELETE') {
      if (SYSTEM_CLASSES.includes(a.name)) throw deny(a, 'this is a system priority class and cannot be deleted');
      return;
    }
    const pc = a.object as PriorityClass;
    if (!pc.globalDefault) return;
    const other = defaultClass(deps);
    if (!other || (a.operation === 'UPDATE' && other.metadata?.name === pc.metadata?.name)) return;
    throw deny(a, `PriorityClass ${other.metadata?.name} is already marked as default. Only one default can exist`);
  },
});
