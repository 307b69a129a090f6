/**
 * Deletes objects whose owners are gone, and carries out foreground deletion and orphaning.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/
 */
import { isConflict, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, KubeObject, OwnerReference } from '../../api/types.ts';
import { METADATA_ONLY, type Client } from '../../client/client.ts';
import { customResourceDefinitions, resourcePath, type ResourceRef } from '../../client/resources.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { isDeleting, meta } from '../lib/meta.ts';
import { allDone } from '../lib/podcontrol.ts';
import { concurrency } from '../options.ts';
import { FOREGROUND, Graph, hasFinalizer, ORPHAN, waitsForDependents, type GraphNode, type MetaView } from './graph.ts';
import { createMonitors, type Monitors } from './monitors.ts';

const DISCOVERY = '@discovery';
const DISCOVERY_PERIOD_MS = 30_000;
const ABSENT_REMEMBERED = 500;
/** Between looks at whether all first lists are in. */
const INCOMPLETE_MS = 100;

interface State {
  graph: Graph;
  monitors: Monitors;
  /** Uids of owners that were looked for and not found; they never come back. */
  absent: Set<string>;
}

const inputs = { definitions: customResourceDefinitions };
type D = Deps<typeof inputs, State>;
type Ref = DeepReadonly<OwnerReference>;

function getMeta(
  client: Client,
  resource: ResourceRef,
  name: string,
  namespace: string | undefined,
): Promise<KubeObject> {
  return client.request({ path: resourcePath(resource, namespace, name), accept: METADATA_ONLY });
}

/** Writes metadata against the version it was read at. */
async function patchMeta(
  client: Client,
  node: GraphNode,
  object: MetaView,
  change: { ownerReferences?: readonly Ref[]; finalizers?: readonly string[] },
): Promise<void> {
  const { name, namespace, uid, resourceVersion } = meta(object);
  await client
    .patch(node.resource, name, 'merge', { metadata: { uid, resourceVersion, ...change } }, { namespace })
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
}

async function isAbsent(deps: D, ref: Ref, namespace: string | undefined): Promise<boolean> {
  const { client, state } = deps;
  if (state.absent.has(ref.uid)) return true;
  const resource = state.monitors.resourceOf(ref.apiVersion, ref.kind);
  if (!resource) throw new Error(`no resource is known for owner ${ref.apiVersion} ${ref.kind}`);
  // A cluster-scoped object can't have an owner in a namespace.
  let absent = resource.namespaced && !namespace;
  if (!absent) {
    try {
      const owner = await getMeta(client, resource, ref.name, resource.namespaced ? namespace : undefined);
      absent = meta(owner).uid !== ref.uid;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      absent = true;
    }
  }
  if (absent) {
    if (state.absent.size >= ABSENT_REMEMBERED) state.absent.delete(state.absent.values().next().value!);
    state.absent.add(ref.uid);
  }
  return absent;
}

type Standing = 'solid' | 'dangling' | 'waiting';

/** Whether an owner keeps its dependent, is gone, or only waits for its dependents to go. */
async function standing(deps: D, ref: Ref, object: MetaView): Promise<Standing> {
  const { graph } = deps.state;
  const node = graph.nodes.get(ref.uid);
  const owner = node && graph.object(node);
  if (node && owner) {
    const { name, namespace } = meta(owner);
    const inReach = !node.resource.namespaced || namespace === meta(object).namespace;
    if (name === ref.name && node.resource.kind === ref.kind && inReach)
      return waitsForDependents(owner) ? 'waiting' : 'solid';
    if (!inReach) {
      deps.recorder.event(
        object,
        'Warning',
        'OwnerRefInvalidNamespace',
        `ownerRef [${ref.apiVersion}/${ref.kind}, namespace: ${meta(object).namespace ?? ''}, name: ${ref.name}, uid: ${ref.uid}] does not exist in namespace ${JSON.stringify(meta(object).namespace ?? '')}`,
        { kind: deps.state.graph.nodes.get(meta(object).uid)?.resource.kind },
      );
      return 'dangling';
    }
  }
  return (await isAbsent(deps, ref, meta(object).namespace)) ? 'dangling' : 'solid';
}

/** Takes the owner out of its dependents, then its finalizer. */
async function orphan(deps: D, node: GraphNode, object: MetaView): Promise<void> {
  const { graph } = deps.state;
  await allDone(
    graph.dependents(node.uid).map(async (d) => {
      const dependent = graph.object(d);
      if (!dependent) return;
      const refs = dependent.metadata?.ownerReferences ?? [];
      await patchMeta(deps.client, d, dependent, { ownerReferences: refs.filter((r) => r.uid !== node.uid) });
    }),
  );
  await dropFinalizer(deps, node, object, ORPHAN);
}

async function dropFinalizer(deps: D, node: GraphNode, object: MetaView, finalizer: string): Promise<void> {
  await patchMeta(deps.client, node, object, {
    finalizers: (object.metadata?.finalizers ?? []).filter((f) => f !== finalizer),
  });
}

/** Lets a foreground deletion end when nothing blocks it any more. */
async function continueForeground(deps: D, node: GraphNode, object: MetaView): Promise<void> {
  const blocking = deps.state.graph
    .dependents(node.uid)
    .filter((d) => d.owners.some((o) => o.uid === node.uid && o.blockOwnerDeletion));
  if (blocking.length === 0) return dropFinalizer(deps, node, object, FOREGROUND);
  for (const d of blocking) {
    const dependent = deps.state.graph.object(d);
    if (dependent && !isDeleting(dependent)) deps.enqueue(d.uid);
  }
}

async function deleteObject(
  deps: D,
  node: GraphNode,
  object: MetaView,
  propagationPolicy: 'Orphan' | 'Background' | 'Foreground',
): Promise<void> {
  const { name, namespace, uid, resourceVersion } = meta(object);
  await deps.client
    .delete(node.resource, name, { namespace, propagationPolicy, preconditions: { uid, resourceVersion } })
    .catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
}

/** Deletes the object, or takes owners that are gone out of it, if that is what its owners' state says. */
async function judge(deps: D, node: GraphNode): Promise<Result | void> {
  const { graph } = deps.state;
  const cached = graph.object(node);
  if (!cached || isDeleting(cached)) return;
  const cachedStandings = await Promise.all(
    (cached.metadata?.ownerReferences ?? []).map((r) => standing(deps, r, cached)),
  );
  if (cachedStandings.every((s) => s === 'solid')) return;
  // Before anything is done, the object as it is now.
  const { name, namespace } = meta(cached);
  let object: KubeObject;
  try {
    object = await getMeta(deps.client, node.resource, name, namespace);
  } catch (error) {
    if (isNotFound(error)) return;
    throw error;
  }
  const refs = object.metadata?.ownerReferences ?? [];
  if (meta(object).uid !== node.uid || isDeleting(object) || refs.length === 0) return;
  const standings = await Promise.all(refs.map((r) => standing(deps, r, object)));
  const of = (s: Standing) => refs.filter((_, i) => standings[i] === s);
  const solid = of('solid');
  if (solid.length > 0) {
    if (solid.length < refs.length) await patchMeta(deps.client, node, object, { ownerReferences: solid });
    return;
  }
  if (of('waiting').length > 0 && graph.hasDependents(node.uid)) {
    // A circle of objects that wait for each other is cut here.
    const circular = graph.dependents(node.uid).some((d) => waitsForDependents(graph.object(d)));
    if (circular && refs.some((r) => r.blockOwnerDeletion)) {
      await patchMeta(deps.client, node, object, {
        ownerReferences: refs.map((r) => ({ ...r, blockOwnerDeletion: false })),
      });
      return { retry: true };
    }
    return deleteObject(deps, node, object, 'Foreground');
  }
  const policy = hasFinalizer(object, ORPHAN)
    ? 'Orphan'
    : hasFinalizer(object, FOREGROUND)
      ? 'Foreground'
      : 'Background';
  return deleteObject(deps, node, object, policy);
}

export const garbageCollectorController = defineController({
  name: 'garbage-collector-controller',
  account: 'generic-garbage-collector',
  inputs,
  outputs: ['delete,get,patch *.*'],
  workers: concurrency('gc', 20),
  state(base): State {
    const graph = new Graph();
    return { graph, monitors: createMonitors(base, graph), absent: new Set() };
  },
  triggers: {
    // New kinds are followed at once, not at the next look.
    definitions: { keys: () => [DISCOVERY], delayMs: () => 500 },
  },
  seeds: () => [DISCOVERY],
  setup: (deps: D) => () => deps.state.monitors.stop(),
  async reconcile(key, deps: D): Promise<Result | void> {
    const { graph, monitors } = deps.state;
    if (key === DISCOVERY) {
      await monitors.sync();
      return { requeueAfterMs: DISCOVERY_PERIOD_MS };
    }
    const node = graph.nodes.get(key);
    const object = node && graph.object(node);
    if (!node || !object) return;
    try {
      if (isDeleting(object)) {
        // An owner let go now would leave dependents that are not in the graph yet to be taken for garbage.
        if (!monitors.complete) return { requeueAfterMs: INCOMPLETE_MS };
        if (hasFinalizer(object, ORPHAN)) return await orphan(deps, node, object);
        if (hasFinalizer(object, FOREGROUND)) return await continueForeground(deps, node, object);
        return;
      }
      return await judge(deps, node);
    } catch (error) {
      if (isConflict(error)) return { retry: true };
      throw error;
    }
  },
});
