/** Empties Namespaces that are being deleted, pods first, then lets them go. */
import { isConflict, isNotFound } from '../../api/status.ts';
import { METADATA_ONLY_LIST, type Client } from '../../client/client.ts';
import { namespaces, pods } from '../../client/resources.ts';
import type { KubeList, Namespace } from '../../api/types.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { discover, type DiscoveredResource } from '../../client/discovery.ts';
import { isDeleting, meta, millis } from '../lib/meta.ts';
import { errorText } from '../lib/podcontrol.ts';
import { isFinished } from '../lib/pods.ts';
import { concurrency } from '../options.ts';
import { namespaceConditions, type Findings } from './conditions.ts';

const FINALIZER = 'kubernetes';
const inputs = { namespaces };
type D = Deps<typeof inputs, undefined>;

const nameOf = (r: DiscoveredResource) => `${r.resource}.${r.group}`;

/** How many objects of a resource are in the namespace, and the finalizers they bear. */
async function count(
  client: Client,
  r: DiscoveredResource,
  namespace: string,
): Promise<{ n: number; finalizers: Map<string, number> }> {
  const finalizers = new Map<string, number>();
  let n = 0;
  let token: string | undefined;
  do {
    const page: KubeList = await client.list(r, { namespace, limit: 500, continue: token, accept: METADATA_ONLY_LIST });
    for (const item of page.items) {
      n++;
      for (const f of item.metadata?.finalizers ?? []) finalizers.set(f, (finalizers.get(f) ?? 0) + 1);
    }
    token = page.metadata?.continue;
  } while (token);
  return { n, finalizers };
}

/** Deletes what there is of one resource and notes what is left. */
async function empty(client: Client, r: DiscoveredResource, namespace: string, f: Findings): Promise<void> {
  const can = (verb: string) => r.verbs.includes(verb);
  try {
    if (can('list')) {
      // Most resources have nothing here: one small request instead of two.
      const first = await client.list(r, { namespace, limit: 1, accept: METADATA_ONLY_LIST });
      if (first.items.length === 0) return;
    }
    if (can('deletecollection')) await client.deleteCollection(r, { namespace, propagationPolicy: 'Background' });
    else if (can('list')) {
      const items = (await client.list(r, { namespace, accept: METADATA_ONLY_LIST })).items;
      for (const item of items)
        await client
          .delete(r, meta(item).name, { namespace, propagationPolicy: 'Background' })
          .catch((error: unknown) => {
            if (!isNotFound(error)) throw error;
          });
    } else return;
    const { n, finalizers } = await count(client, r, namespace);
    if (n === 0) return;
    f.remaining.set(nameOf(r), n);
    for (const [k, v] of finalizers) f.finalizers.set(k, (f.finalizers.get(k) ?? 0) + v);
    if (finalizers.size === 0 && r.resource !== 'pods')
      f.errors.push(
        `unexpected items still remain in namespace: ${namespace} for gvr: ${r.group}/${r.version}, Resource=${r.resource}`,
      );
  } catch (error) {
    // 405: the resource can't be deleted that way; 404: it went in the meantime.
    const { code } = error as { code?: number };
    if (code !== 404 && code !== 405) f.errors.push(errorText(error));
  }
}

async function writeConditions(deps: D, namespace: Namespace, f: Findings): Promise<void> {
  const conditions = namespaceConditions(namespace.status?.conditions ?? [], f, deps.clock.now());
  if (!conditions) return;
  await deps.client
    .updateStatus(namespaces, { ...namespace, status: { ...namespace.status, conditions } })
    .catch((error: unknown) => {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    });
}

/** Seconds the pods may still take for their graceful end. */
async function podGrace(client: Client, namespace: string, deletedAt: number, now: number): Promise<number> {
  let grace = 0;
  for (const p of (await client.list(pods, { namespace })).items)
    if (!isFinished(p)) grace = Math.max(grace, p.spec?.terminationGracePeriodSeconds ?? 0);
  return now - deletedAt >= grace * 1000 ? 0 : grace;
}

async function finalize(client: Client, namespace: Namespace): Promise<void> {
  const finalizers = (namespace.spec?.finalizers ?? []).filter((x) => x !== FINALIZER);
  await client
    .update(namespaces, { ...namespace, spec: { ...namespace.spec, finalizers } }, { subresource: 'finalize' })
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
}

async function terminate(deps: D, name: string): Promise<Result | void> {
  const { client, clock } = deps;
  let namespace: Namespace;
  try {
    namespace = await client.get(namespaces, name);
  } catch (error) {
    if (isNotFound(error)) return;
    throw error;
  }
  if (!isDeleting(namespace) || !namespace.spec?.finalizers?.includes(FINALIZER)) return;
  if (namespace.status?.phase !== 'Terminating')
    namespace = await client.updateStatus(namespaces, {
      ...namespace,
      status: { ...namespace.status, phase: 'Terminating' },
    });
  const f: Findings = { errors: [], remaining: new Map(), finalizers: new Map() };
  const { resources, failed } = await discover(client);
  if (failed.length)
    f.discovery = `Discovery failed for some groups, ${failed.length} failing: unable to retrieve the complete list of server APIs: ${failed.map((g) => `${g}: stale GroupVersion discovery: ${g}`).join(', ')}`;
  const deletable = resources.filter((r) => r.namespaced && r.verbs.includes('delete'));
  const podResource = deletable.find((r) => r.group === '' && r.resource === 'pods');
  if (podResource) await empty(client, podResource, name, f);
  // Pods use the rest (accounts, secrets, volumes): it stays until they are gone.
  if (!f.remaining.has('pods.')) {
    const rest = deletable.filter((r) => r !== podResource);
    for (let i = 0; i < rest.length; i += 8)
      await Promise.all(rest.slice(i, i + 8).map((r) => empty(client, r, name, f)));
  }
  await writeConditions(deps, namespace, f);
  if (f.errors.length || f.discovery !== undefined) {
    deps.logger.debug('namespace not empty yet', { namespace: name, errors: f.errors });
    return { retry: true };
  }
  if (f.remaining.size > 0) {
    const grace = f.remaining.has('pods.')
      ? await podGrace(client, name, millis(meta(namespace).deletionTimestamp), clock.now())
      : 0;
    // Short rounds at first: most pods end long before their grace does.
    return grace > 0 ? { requeueAfterMs: Math.min(grace * 500 + 1000, 2_000) } : { retry: true };
  }
  await finalize(client, await client.get(namespaces, name));
}

export const namespaceController = defineController({
  name: 'namespace-controller',
  account: 'namespace-controller',
  inputs,
  outputs: ['update namespaces/finalize', 'update namespaces/status', 'delete,deletecollection,list *.*'],
  workers: concurrency('namespace', 10),
  triggers: { namespaces: 'self' },
  async reconcile(key, deps: D) {
    const namespace = deps.informers.namespaces.get(key);
    if (!namespace || !isDeleting(namespace)) return;
    return terminate(deps, key);
  },
});
