/** Why an object that is to go is still there. */
import type { DeepReadonly, KubeObject, Pod } from '../../api/types.ts';
import { METADATA_ONLY_LIST } from '../../client/client.ts';
import type { DiscoveredResource } from '../../client/discovery.ts';
import { nodes, pods } from '../../client/resources.ts';
import type { Explanation, Reason } from './model.ts';
import { find, listOf, type Sources } from './sources.ts';

type ObjectView = DeepReadonly<KubeObject>;

/** Dependents that are named one by one. */
const MOST = 10;

/** Who takes a finalizer away, and when. */
const FINALIZERS: Readonly<Record<string, string>> = {
  orphan: 'the garbage collector takes its dependents from it first',
  'kubernetes.io/pv-protection': 'the claim that it is bound to must go first',
  'batch.kubernetes.io/job-tracking': 'the job controller must count the pod first',
  'service.kubernetes.io/load-balancer-cleanup': 'the load balancer must be taken down first',
  'resource.kubernetes.io/delete-protection': 'the pods that use the claim must end first',
  'networking.k8s.io/service-cidr-finalizer': 'no Service may have an address of the range any more',
  'snapshot.storage.kubernetes.io/pvc-as-source-protection': 'the snapshot being made of it must be ready first',
};

export async function explainDeletion(s: Sources, resource: DiscoveredResource, o: ObjectView): Promise<Explanation> {
  const meta = o.metadata!;
  const reasons: Reason[] = [];
  for (const f of meta.finalizers ?? []) reasons.push(await finalizer(s, resource, o, f));
  if (resource.kind === 'Namespace' && resource.group === '') reasons.push(...namespaceReasons(o));
  if (resource.kind === 'Pod' && resource.group === '') reasons.push(...(await podReasons(s, o as DeepReadonly<Pod>)));
  const seconds = Math.max(0, Math.round((s.now() - Date.parse(meta.deletionTimestamp!)) / 1000));
  const what = `${resource.kind.toLowerCase()} ${meta.name}`;
  if (reasons.length === 0) reasons.push({ message: 'nothing holds it any more; it goes in a moment' });
  return { state: 'Deleting', summary: `${what} is to go ${when(s, o, seconds)}`, reasons };
}

function when(s: Sources, o: ObjectView, seconds: number): string {
  const grace = o.metadata!.deletionGracePeriodSeconds ?? 0;
  const due = Date.parse(o.metadata!.deletionTimestamp!);
  if (due > s.now()) return `within ${Math.ceil((due - s.now()) / 1000)} s (grace period ${grace} s)`;
  return `since ${seconds} s`;
}

async function finalizer(s: Sources, resource: DiscoveredResource, o: ObjectView, name: string): Promise<Reason> {
  const { namespace, name: own, uid } = o.metadata!;
  if (name === 'foregroundDeletion') {
    const found = await dependents(s, namespace, uid!);
    const blocking = found.filter((d) => d.blocks);
    const because = found.slice(0, MOST).map((d): Reason => ({
      message: `${d.kind.toLowerCase()} ${d.name}${d.blocks ? '' : ' (does not block)'}${d.deleting ? ' is being deleted' : ''}${d.finalizers.length ? `, held by ${d.finalizers.join(', ')}` : ''}`,
      object: { resource: d.resource, group: d.group, namespace: d.namespace, name: d.name },
    }));
    if (found.length > MOST) because.push({ message: `${found.length - MOST} more` });
    return {
      message: `finalizer foregroundDeletion: ${blocking.length} dependents must go first`,
      because:
        found.length > 0 ? because : [{ message: 'none is left; the garbage collector takes it away in a moment' }],
    };
  }
  if (name === 'kubernetes.io/pvc-protection') {
    const users = (await listOf(s, pods, { namespace })).filter(
      // As the controller sees it: a pod without a node doesn't use it yet.
      (p) =>
        p.spec?.nodeName &&
        p.status?.phase !== 'Succeeded' &&
        p.status?.phase !== 'Failed' &&
        p.spec?.volumes?.some(
          (v) => v.persistentVolumeClaim?.claimName === own || (v.ephemeral && `${p.metadata!.name}-${v.name}` === own),
        ),
    );
    return {
      message: `finalizer ${name}: ${users.length} pods use the claim`,
      fix: users.length > 0 ? 'end these pods' : undefined,
      because: users.slice(0, MOST).map((p) => ({
        message: `pod ${p.metadata!.name}`,
        object: { resource: 'pods', namespace, name: p.metadata!.name! },
      })),
    };
  }
  const known = FINALIZERS[name];
  if (known) return { message: `finalizer ${name}: ${known}` };
  const target = `${resource.resource}${resource.group ? `.${resource.group}` : ''}/${own}`;
  return {
    message: `finalizer ${name}: the program that set it must take it away`,
    fix: `see that this program runs; if it is gone for good: kubectl ${namespace ? `-n ${namespace} ` : ''}edit ${target} and remove the finalizer`,
  };
}

interface Dependent {
  readonly kind: string;
  readonly resource: string;
  readonly group: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly blocks: boolean;
  readonly deleting: boolean;
  readonly finalizers: readonly string[];
}

/** Objects that name it as their owner, of all kinds that may be seen. */
async function dependents(s: Sources, namespace: string | undefined, uid: string): Promise<Dependent[]> {
  const kinds = (await s.discover()).filter(
    (r) => r.verbs.includes('list') && r.verbs.includes('delete') && (r.namespaced || namespace === undefined),
  );
  const lists = await Promise.all(
    kinds.map(async (r) => ({
      r,
      items: (await listOf(s, r, {
        namespace: r.namespaced ? namespace : undefined,
        accept: METADATA_ONLY_LIST,
      })) as KubeObject[],
    })),
  );
  return lists.flatMap(({ r, items }) =>
    items.flatMap((o): Dependent[] => {
      const ref = o.metadata?.ownerReferences?.find((x) => x.uid === uid);
      if (!ref) return [];
      const m = o.metadata!;
      return [
        {
          kind: r.kind,
          resource: r.resource,
          group: r.group,
          namespace: m.namespace,
          name: m.name!,
          blocks: ref.blockOwnerDeletion === true,
          deleting: m.deletionTimestamp !== undefined,
          finalizers: m.finalizers ?? [],
        },
      ];
    }),
  );
}

type NamespaceView = ObjectView & {
  readonly spec?: { readonly finalizers?: readonly string[] };
  readonly status?: { readonly conditions?: readonly { type: string; status: string; message?: string }[] };
};
/** What the namespace controller reports of its work. */
function namespaceReasons(o: ObjectView): Reason[] {
  const { spec, status } = o as NamespaceView;
  const told = (status?.conditions ?? [])
    .filter((c) => c.status === 'True')
    .map((c) => ({ message: c.message ?? c.type }));
  const others = (spec?.finalizers ?? []).filter((f) => f !== 'kubernetes');
  const held = others.map((f) => ({ message: `finalizer ${f}: the program that set it must take it away` }));
  if (told.length + held.length > 0) return [...told, ...held];
  return spec?.finalizers?.length ? [{ message: 'the namespace controller has not reported on its content yet' }] : [];
}

async function podReasons(s: Sources, pod: DeepReadonly<Pod>): Promise<Reason[]> {
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) return [];
  const out: Reason[] = [];
  const node = await find(s, nodes, nodeName);
  const ready = node?.status?.conditions?.find((c) => c.type === 'Ready')?.status === 'True';
  const object = { resource: 'nodes', name: nodeName };
  if (!node)
    out.push({ message: `its node ${nodeName} is gone`, object, fix: 'the pod garbage collector removes it soon' });
  else if (!ready)
    out.push({
      message: `node ${nodeName} is not ready, so its kubelet can't say that the containers have ended`,
      object,
      fix: 'bring the node back, delete the Node, or taint it node.kubernetes.io/out-of-service',
    });
  else {
    const running = (pod.status?.containerStatuses ?? []).filter((c) => c.state?.running).map((c) => c.name);
    if (running.length > 0)
      out.push({
        message: `the kubelet of ${nodeName} is ending its containers; still running: ${running.join(', ')}`,
        object,
      });
  }
  return out;
}
