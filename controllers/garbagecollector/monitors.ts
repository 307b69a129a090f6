/** One metadata informer for each resource that can be listed, watched and deleted; follows what is served. */
import type { KubeObject } from '../../api/types.ts';
import type { Handlers, Informer } from '../../client/informer.ts';
import { discover, type DiscoveredResource } from '../../client/discovery.ts';
import { meta } from '../lib/meta.ts';
import type { Deps } from '../framework.ts';
import { waitsForDependents, hasFinalizer, ORPHAN, type Graph, type MetaView } from './graph.ts';

/** Objects that own nothing and are never owned; there are too many of them. */
const IGNORED = new Set(['/events', 'events.k8s.io/events']);
const nameOf = (r: DiscoveredResource) => `${r.group}/${r.resource}`;

interface Monitor {
  informer: Informer<KubeObject>;
  handlers: Handlers<KubeObject>;
  resource: DiscoveredResource;
}

export interface Monitors {
  /** Asks the server what it serves, starts and ends informers. */
  sync(): Promise<void>;
  /** Whether the graph has all objects: before that an owner may have dependents that nobody has seen yet. */
  readonly complete: boolean;
  /** The resource of a kind as owner references name it. */
  resourceOf(apiVersion: string, kind: string): DiscoveredResource | undefined;
  stop(): void;
}

export function createMonitors(
  deps: Pick<Deps, 'client' | 'factory' | 'logger' | 'clock' | 'enqueue'>,
  graph: Graph,
): Monitors {
  const { client, factory, logger, enqueue } = deps;
  const monitors = new Map<string, Monitor>();
  const kinds = new Map<string, DiscoveredResource>();
  let complete = false;

  /** What an event about an object may set in motion. */
  function changed(resource: DiscoveredResource, informer: Informer<KubeObject>, object: MetaView): void {
    const { uid } = meta(object);
    const before = graph.put(resource, informer, object);
    const now = object.metadata?.ownerReferences ?? [];
    const deleting = object.metadata?.deletionTimestamp !== undefined;
    if (deleting && (waitsForDependents(object) || hasFinalizer(object, ORPHAN))) {
      enqueue(uid);
      if (waitsForDependents(object)) for (const d of graph.dependents(uid)) enqueue(d.uid);
    }
    // An owner that waits for this object may go on when it is no longer owned, or no longer blocks.
    for (const o of before) {
      const still = now.find((x) => x.uid === o.uid);
      if (o.blockOwnerDeletion && !still?.blockOwnerDeletion) enqueue(o.uid);
    }
    if (deleting || now.length === 0) return;
    const suspicious = now.some((o) => {
      const owner = graph.nodes.get(o.uid);
      return (
        !owner ||
        waitsForDependents(graph.object(owner)) ||
        (owner.resource.namespaced && meta(graph.object(owner) ?? object).namespace !== meta(object).namespace)
      );
    });
    if (suspicious && before !== now) enqueue(uid);
  }

  function gone(object: MetaView): void {
    const { uid } = meta(object);
    const node = graph.drop(uid);
    for (const d of graph.dependents(uid)) enqueue(d.uid);
    for (const o of node?.owners ?? []) {
      const owner = graph.nodes.get(o.uid);
      if (owner && waitsForDependents(graph.object(owner))) enqueue(o.uid);
    }
  }

  function begin(resource: DiscoveredResource): void {
    const informer = factory.metadata(resource);
    const handlers: Handlers<KubeObject> = {
      added: (o) => changed(resource, informer, o),
      updated: (o) => changed(resource, informer, o),
      deleted: gone,
    };
    informer.on(handlers);
    monitors.set(nameOf(resource), { informer, handlers, resource });
  }

  return {
    async sync() {
      const { resources, failed } = await discover(client);
      const wanted = new Map<string, DiscoveredResource>();
      kinds.clear();
      for (const r of resources) {
        kinds.set(`${r.group}/${r.kind}`, kinds.get(`${r.group}/${r.kind}`) ?? r);
        if (IGNORED.has(nameOf(r))) continue;
        if (r.verbs.includes('list') && r.verbs.includes('watch') && r.verbs.includes('delete'))
          wanted.set(nameOf(r), r);
      }
      for (const [name, m] of monitors) {
        // A group whose server is down has not lost its objects.
        if (wanted.has(name) || failed.some((gv) => gv.startsWith(`${m.resource.group}/`))) continue;
        m.informer.off(m.handlers);
        for (const o of m.informer.list()) gone(o);
        factory.drop(m.resource);
        monitors.delete(name);
      }
      for (const [name, r] of wanted) if (!monitors.has(name)) begin(r);
      const began = deps.clock.monotonic();
      const late = [...monitors.values()].filter((m) => !m.informer.hasSynced);
      if (late.length === 0) {
        complete = true;
        return;
      }
      complete = false;
      // One that never comes must not hold up all the others.
      await new Promise<void>((resolve) => {
        const timer = deps.clock.after(30_000, resolve, { background: true });
        void Promise.all(late.map((m) => m.informer.synced())).then(() => {
          timer.cancel();
          resolve();
        });
      });
      complete = true;
      logger.debug('garbage collector follows new resources', {
        resources: late.length,
        ms: Math.round(deps.clock.monotonic() - began),
      });
    },
    get complete() {
      return complete;
    },
    resourceOf(apiVersion, kind) {
      const i = apiVersion.indexOf('/');
      return kinds.get(`${i < 0 ? '' : apiVersion.slice(0, i)}/${kind}`);
    },
    stop() {
      for (const m of monitors.values()) m.informer.off(m.handlers);
    },
  };
}
