/**
 * Recounts what ResourceQuotas count: the API server adds before it writes an object, this controller takes away what
 * has gone. An object that comes is no reason to recount: our informers may know the new sum before they know the object,
 * and a sum without it would let one too many in.
 */
import type * as k8s from '@kubernetes/client-node';
import { addTo, type Amounts } from '../../api/pod-resources.ts';
import { Quantity } from '../../api/quantity.ts';
import { inQuotaScope, quotaEvaluator } from '../../api/quota.ts';
import type { DeepReadonly, Json, KubeObject } from '../../api/types.ts';
import { keyOf, splitKey, type Handlers, type Informer } from '../../client/informer.ts';
import { persistentVolumeClaims, pods, resourceQuotas, services } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { discover, type DiscoveredResource } from '../../client/discovery.ts';
import { body, isDeleting, meta } from '../lib/meta.ts';
import { isFinished } from '../lib/pods.ts';
import { concurrency } from '../options.ts';

type Quota = Json<k8s.V1ResourceQuota>;
const inputs = { quotas: resourceQuotas, pods, services, claims: persistentVolumeClaims };

interface State {
  discovered?: { at: number; resources: readonly DiscoveredResource[] };
  /** Informers of resources that some quota counts, with our handlers. */
  followed: Map<string, { informer: Informer<KubeObject>; handlers: Handlers<KubeObject> }>;
}
type D = Deps<typeof inputs, State>;
const DISCOVERY_MS = 30_000;

const quotasIn = (deps: D, namespace: string) => deps.informers.quotas.list(namespace).map(keyOf);

async function namespaced(deps: D): Promise<readonly DiscoveredResource[]> {
  const now = deps.clock.monotonic();
  const have = deps.state.discovered;
  if (have && now - have.at < DISCOVERY_MS) return have.resources;
  const resources = (await discover(deps.client)).resources.filter(
    (r) => r.namespaced && r.verbs.includes('list') && r.verbs.includes('watch'),
  );
  deps.state.discovered = { at: now, resources };
  return resources;
}

/** The objects of a resource: full ones where their content counts, else metadata. */
async function objectsOf(
  deps: D,
  r: DiscoveredResource,
  namespace: string,
): Promise<readonly DeepReadonly<KubeObject>[]> {
  const full: Record<string, Informer<object>> = {
    '/pods': deps.informers.pods as unknown as Informer<object>,
    '/services': deps.informers.services as unknown as Informer<object>,
    '/persistentvolumeclaims': deps.informers.claims as unknown as Informer<object>,
  };
  const name = `${r.group}/${r.resource}`;
  const own = full[name];
  if (own) return own.list(namespace) as DeepReadonly<KubeObject>[];
  if (name === 'resource.k8s.io/resourceclaims') return (await deps.client.list(r, { namespace })).items;
  let followed = deps.state.followed.get(name);
  if (!followed) {
    const informer = deps.factory.metadata(r);
    const recount = (o: DeepReadonly<KubeObject>) => {
      for (const key of quotasIn(deps, meta(o).namespace)) deps.enqueueAfter(key, 100);
    };
    followed = { informer, handlers: { deleted: recount } };
    deps.state.followed.set(name, followed);
    await informer.synced();
    informer.on(followed.handlers);
  }
  // Another quota may have asked for it a moment ago.
  await followed.informer.synced();
  return followed.informer.list(namespace);
}

async function usage(deps: D, quota: DeepReadonly<Quota>): Promise<Record<string, string>> {
  const names = Object.keys(quota.spec?.hard ?? {});
  const used: Amounts = new Map();
  const now = deps.clock.now();
  for (const r of await namespaced(deps)) {
    const evaluator = quotaEvaluator(r.group, r.resource);
    const tracked = names.filter((n) => evaluator.tracks(n));
    if (tracked.length === 0) continue;
    for (const n of tracked) if (!used.has(n)) used.set(n, Quantity.zero);
    for (const object of await objectsOf(deps, r, meta(quota).namespace)) {
      if (!inQuotaScope(quota, evaluator, object)) continue;
      const part: Amounts = new Map();
      for (const [n, q] of evaluator.usage(object, now)) if (tracked.includes(n)) part.set(n, q);
      addTo(used, part);
    }
  }
  return Object.fromEntries(names.filter((n) => used.has(n)).map((n) => [n, used.get(n)!.toString()]));
}

function sameAmounts(a: Readonly<Record<string, string>> | undefined, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(b);
  if (!a || Object.keys(a).length !== names.length) return false;
  return names.every(
    (n) =>
      a[n] !== undefined &&
      (a[n] === b[n] || Quantity.tryParse(a[n])?.equals(Quantity.tryParse(b[n]!) ?? Quantity.zero) === true),
  );
}

const recountFor = (object: DeepReadonly<KubeObject>, deps: D) => quotasIn(deps, meta(object).namespace);

/** What of a pod's spec quotas look at: a pod that is only bound to a node is no reason to recount. */
function counted(pod: DeepReadonly<Json<k8s.V1Pod>>): string {
  const { containers, initContainers, resources, overhead, activeDeadlineSeconds } = pod.spec ?? {};
  const of = (list: typeof containers) => list?.map((c) => c.resources);
  return JSON.stringify([of(containers), of(initContainers), resources, overhead, activeDeadlineSeconds]);
}

export const resourceQuotaController = defineController({
  name: 'resourcequota-controller',
  account: 'resourcequota-controller',
  inputs,
  outputs: ['update resourcequotas/status'],
  workers: concurrency('resource-quota'),
  state: (): State => ({ followed: new Map() }),
  triggers: {
    quotas: {
      keys: 'self',
      when: (now, before) =>
        now.metadata?.generation !== before.metadata?.generation ||
        JSON.stringify(now.spec) !== JSON.stringify(before.spec) ||
        !now.status,
    },
    pods: {
      keys: recountFor,
      ignoreAdded: true,
      when: (now, before) =>
        isFinished(now) !== isFinished(before) ||
        isDeleting(now) !== isDeleting(before) ||
        (JSON.stringify(now.spec) !== JSON.stringify(before.spec) && counted(now) !== counted(before)),
      delayMs: () => 100,
    },
    services: { keys: recountFor, ignoreAdded: true, delayMs: () => 100 },
    claims: { keys: recountFor, ignoreAdded: true, delayMs: () => 100 },
  },
  setup: (deps: D) => () => {
    for (const { informer, handlers } of deps.state.followed.values()) informer.off(handlers);
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { name, namespace } = splitKey(key);
    const quota = deps.informers.quotas.get(name, namespace);
    if (!quota || isDeleting(quota)) return;
    const hard = { ...quota.spec?.hard };
    const used = await usage(deps, quota);
    if (!sameAmounts(quota.status?.hard, hard) || !sameAmounts(quota.status?.used, used))
      await deps.client.updateStatus(resourceQuotas, { ...body<Quota>(quota), status: { hard, used } });
    return { requeueAfterMs: deps.options.resourceQuotaSyncPeriodMs };
  },
});
