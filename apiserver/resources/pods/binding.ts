/** POST pods/NAME/binding: the scheduler puts a pod on a node. */
import type * as k8s from '@kubernetes/client-node';
import { badRequest, conflict, StatusError } from '../../../api/status.ts';
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly, Json, Pod, Status } from '../../../api/types.ts';
import { formatTime, type Clock } from '../../../base/clock.ts';

export type Binding = Json<k8s.V1Binding>;

/** Writes the pod that `change` makes of the newest one, again on conflict; rejects with 404 when it isn't there. */
export type UpdatePod = (
  namespace: string,
  name: string,
  change: (pod: DeepReadonly<Pod>) => Pod,
  options: { dryRun: boolean },
) => Promise<unknown>;

const PODS = { group: '', resource: 'pods' };

/** Sets a condition; its time moves only when its status does. */
export function setCondition(
  pod: Pod,
  condition: { type: string; status: string; reason?: string; message?: string },
  now: number,
): void {
  const status = (pod.status ??= {});
  const list = (status.conditions ??= []);
  const before = list.findIndex((c) => c.type === condition.type);
  const same = before >= 0 && list[before]!.status === condition.status;
  const next = {
    lastProbeTime: null as unknown as string,
    lastTransitionTime: same ? list[before]!.lastTransitionTime : formatTime(now),
    ...condition,
  };
  if (before >= 0) list[before] = next;
  else list.push(next);
}

/** Handles a binding for the pod named in the path. */
export async function bindPod(
  binding: Binding,
  request: { namespace: string; name: string; dryRun: boolean },
  deps: { clock: Clock; update: UpdatePod },
): Promise<Status> {
  const name = binding.metadata?.name ?? '';
  if (name !== request.name) throw badRequest('name in URL does not match name in Binding object');
  const { kind, name: node } = binding.target ?? {};
  if (kind && kind !== 'Node')
    throw plain(`target.kind: Unsupported value: ${JSON.stringify(kind)}: supported values: "Node", "<empty>"`);
  if (!node) throw plain('target.name: Required value');
  const refuse = (why: string) => conflict({ group: '', resource: 'pods/binding' }, name, why);
  await deps.update(
    request.namespace,
    name,
    (old) => {
      const { uid, resourceVersion } = binding.metadata ?? {};
      if (uid && uid !== old.metadata?.uid) {
        throw conflict(
          PODS,
          name,
          `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata?.uid}`,
        );
      }
      if (resourceVersion && resourceVersion !== old.metadata?.resourceVersion) {
        throw conflict(
          PODS,
          name,
          `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${old.metadata?.resourceVersion}`,
        );
      }
      if (old.metadata?.deletionTimestamp) throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
      if (old.spec?.nodeName)
        throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(old.spec.nodeName)}`);
      if (old.spec?.schedulingGates?.length) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
      const pod = deepCopy(old) as Pod;
      pod.spec!.nodeName = node;
      const meta = (pod.metadata ??= {});
      if (binding.metadata?.annotations) meta.annotations = { ...meta.annotations, ...binding.metadata.annotations };
      if (binding.metadata?.labels) meta.labels = { ...meta.labels, ...binding.metadata.labels };
      setCondition(pod, { type: 'PodScheduled', status: 'True' }, deps.clock.now());
      delete pod.status!.nominatedNodeName;
      return pod;
    },
    { dryRun: request.dryRun },
  );
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}

/** An invalid binding has always been answered with a bare 500. */
function plain(message: string): StatusError {
  return new StatusError(500, '', message);
}
