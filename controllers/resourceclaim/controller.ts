/** Makes the ResourceClaims that pods ask for by template, and frees claims whose pods are done. */
import type * as k8s from '@kubernetes/client-node';
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Json, Pod } from '../../api/types.ts';
import { keyOf, splitKey, type Index, type Informer } from '../../client/informer.ts';
import { pods, resourceClaims, resourceClaimTemplates } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { body, controllerRef, isControlledBy, isDeleting, keyFor, meta } from '../lib/meta.ts';
import { controlledBy } from '../lib/ownership.ts';
import { errorText } from '../lib/podcontrol.ts';
import { isFinished, type PodView } from '../lib/pods.ts';
import { concurrency } from '../options.ts';

const CLAIM_NAME = 'resource.kubernetes.io/pod-claim-name';
const FINALIZER = 'resource.kubernetes.io/delete-protection';
const CLAIM_KEY = '@claim/';
const POD = { apiVersion: 'v1', kind: 'Pod' };

type Claim = Json<k8s.ResourceV1ResourceClaim>;
type ClaimView = DeepReadonly<Claim>;
const inputs = { pods, claims: resourceClaims, templates: resourceClaimTemplates };
type D = Deps<typeof inputs, undefined>;

/** Pods by the templates they name. */
const byTemplate: Index<Pod> = {
  values: (pod) =>
    (pod.spec?.resourceClaims ?? []).flatMap((c) =>
      c.resourceClaimTemplateName ? [keyFor(meta(pod).namespace, c.resourceClaimTemplateName)] : [],
    ),
};

/** The claim made for one of the pod's entries, if it is there. */
function ownClaim(deps: D, pod: PodView, entry: string): ClaimView | undefined {
  return controlledBy(deps.informers.claims, meta(pod).uid).find(
    (c) => c.metadata?.annotations?.[CLAIM_NAME] === entry && !isDeleting(c),
  );
}

async function syncPod(deps: D, key: string): Promise<void> {
  const { name, namespace } = splitKey(key);
  const pod = deps.informers.pods.get(name, namespace);
  if (!pod || isDeleting(pod) || isFinished(pod) || !deps.expectations.satisfied(key)) return;
  const statuses = new Map<string, string>();
  for (const entry of pod.spec?.resourceClaims ?? []) {
    if (!entry.resourceClaimTemplateName) continue;
    let claim = ownClaim(deps, pod, entry.name);
    if (!claim) {
      const template = deps.informers.templates.get(entry.resourceClaimTemplateName, namespace);
      if (!template)
        throw new Error(`resource claim template ${JSON.stringify(entry.resourceClaimTemplateName)}: not found`);
      const { spec, metadata } = body<Json<k8s.V1ResourceClaimTemplate>>(template).spec;
      const made = await deps.client.create(resourceClaims, {
        metadata: {
          generateName: `${name}-${entry.name}-`.slice(0, 58),
          namespace,
          labels: metadata?.labels,
          annotations: { ...metadata?.annotations, [CLAIM_NAME]: entry.name },
          ownerReferences: [controllerRef(pod, POD.apiVersion, POD.kind)],
        },
        spec,
      });
      deps.expectations.wrote(key, deps.informers.claims as unknown as Informer<object>, made);
      claim = made;
    }
    statuses.set(entry.name, meta(claim).name);
  }
  const have = new Map((pod.status?.resourceClaimStatuses ?? []).map((s) => [s.name, s.resourceClaimName]));
  if ([...statuses].every(([k, v]) => have.get(k) === v)) return;
  const resourceClaimStatuses = [...statuses].map(([n, resourceClaimName]) => ({ name: n, resourceClaimName }));
  await deps.client.patch(
    pods,
    name,
    'strategic',
    { metadata: { uid: meta(pod).uid }, status: { resourceClaimStatuses } },
    { namespace, subresource: 'status' },
  );
}

/** Whether the pod that a reservation names still needs the claim. */
async function stillNeeds(
  deps: D,
  namespace: string,
  ref: { readonly name: string; readonly uid: string },
): Promise<boolean> {
  let pod: PodView | undefined = deps.informers.pods.get(ref.name, namespace);
  if (!pod || meta(pod).uid !== ref.uid) {
    pod = await deps.client.get(pods, ref.name, namespace).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  }
  if (!pod || meta(pod).uid !== ref.uid) return false;
  return !isFinished(pod) && !(isDeleting(pod) && !pod.spec?.nodeName);
}

async function syncClaim(deps: D, key: string): Promise<void> {
  const { name, namespace = '' } = splitKey(key);
  const claim = deps.informers.claims.get(name, namespace);
  if (!claim) return;
  const reserved = claim.status?.reservedFor ?? [];
  const kept: (typeof reserved)[number][] = [];
  for (const r of reserved) if (r.resource !== 'pods' || (await stillNeeds(deps, namespace, r))) kept.push(r);
  let current = body<Claim>(claim);
  if (kept.length < reserved.length || (kept.length === 0 && claim.status?.allocation && isDeleting(claim))) {
    const { allocation, ...rest } = current.status ?? {};
    const status = {
      ...rest,
      reservedFor: kept.length ? [...kept] : undefined,
      ...(kept.length ? { allocation } : {}),
    };
    current = await deps.client.updateStatus(resourceClaims, { ...current, status });
  }
  const owner = claim.metadata?.ownerReferences?.find((r) => r.controller && r.kind === 'Pod');
  if (isDeleting(claim)) {
    if (current.status?.allocation === undefined && current.metadata?.finalizers?.includes(FINALIZER))
      await deps.client.update(resourceClaims, {
        ...current,
        metadata: { ...current.metadata, finalizers: current.metadata.finalizers.filter((f) => f !== FINALIZER) },
      });
    return;
  }
  // A claim made for a pod goes when the pod is done, not only when it is deleted.
  const pod = owner && deps.informers.pods.get(owner.name, namespace);
  if (pod && isControlledBy(claim, meta(pod).uid) && isFinished(pod) && kept.length === 0)
    await deps.client
      .delete(resourceClaims, name, { namespace, preconditions: { uid: meta(claim).uid } })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
}

export const resourceClaimController = defineController({
  name: 'resourceclaim-controller',
  account: 'resource-claim-controller',
  component: 'resource_claim',
  inputs,
  outputs: [
    'create,delete,update resourceclaims.resource.k8s.io',
    'update resourceclaims/status.resource.k8s.io',
    'patch pods/status',
    'get pods',
  ],
  workers: concurrency('resource-claim', 10),
  triggers: {
    pods(pod, deps: D) {
      const entries = pod.spec?.resourceClaims ?? [];
      // the scheduler has made a claim for its extended resources: it goes with the pod's end, too
      if (entries.length === 0 && !pod.status?.extendedResourceClaimStatus) return [];
      const { namespace, uid } = meta(pod);
      const claims = [
        ...entries.flatMap((c) => (c.resourceClaimName ? [keyFor(namespace, c.resourceClaimName)] : [])),
        ...controlledBy(deps.informers.claims, uid).map(keyOf),
      ];
      return [keyOf(pod), ...claims.map((k) => CLAIM_KEY + k)];
    },
    claims(claim) {
      const owner = claim.metadata?.ownerReferences?.find((r) => r.controller && r.kind === 'Pod');
      const keys = [CLAIM_KEY + keyOf(claim)];
      return owner ? [...keys, keyFor(meta(claim).namespace, owner.name)] : keys;
    },
    templates: (template, deps: D) => deps.informers.pods.lookup(byTemplate, keyOf(template)).map(keyOf),
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    if (key.startsWith(CLAIM_KEY)) return syncClaim(deps, key.slice(CLAIM_KEY.length));
    try {
      await syncPod(deps, key);
    } catch (error) {
      const { name, namespace } = splitKey(key);
      const pod = deps.informers.pods.get(name, namespace);
      if (pod)
        deps.recorder.event(
          pod,
          'Warning',
          'FailedResourceClaimCreation',
          `PodResourceClaim: ${errorText(error)}`,
          POD,
        );
      throw error;
    }
  },
});
