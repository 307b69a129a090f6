/** One informer per resource for all controllers, started when the first of them asks. */
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { METADATA_ONLY, METADATA_ONLY_LIST, type Client } from '../client/client.ts';
import { createInformer, type Informer } from '../client/informer.ts';
import type { ResourceRef } from '../client/resources.ts';
import type { KubeObject } from '../api/types.ts';

export interface InformerFactory {
  /** The shared informer of a resource; it starts with `start`, or at once when the factory is started. */
  informer<T extends object>(resource: ResourceRef<T>): Informer<T>;
  /**
   * Metadata of a resource's objects (with apiVersion and kind left out): the shared full informer
   * where there is one, else one that fetches metadata alone.
   */
  metadata(resource: ResourceRef): Informer<KubeObject>;
  /** Stops and forgets a metadata informer whose resource is gone. */
  drop(resource: ResourceRef): void;
  start(): void;
  stop(): void;
}

/** A part of a resource, for controllers that need only some of many objects. */
export interface Selected<T extends object> extends ResourceRef<T> {
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  readonly namespace?: string;
}

/** Narrows a resource: its informer then holds only what the selectors match. */
export function select<T extends object>(
  resource: ResourceRef<T>,
  by: { fieldSelector?: string; labelSelector?: string; namespace?: string },
): Selected<T> {
  return { ...resource, ...by };
}

const isSelected = (r: Selected<object>) =>
  r.fieldSelector !== undefined || r.labelSelector !== undefined || r.namespace !== undefined;
const id = (r: Selected<object>) =>
  `${r.group}/${r.version}/${r.resource}?${r.fieldSelector ?? ''}&${r.labelSelector ?? ''}&${r.namespace ?? ''}`;
/** Versions don't matter for metadata: it is the same in all. */
const metaId = (r: ResourceRef<object>) => `${r.group}/${r.resource}`;

/** Keeps of an object what garbage collection, quota by count and namespace deletion read. */
function metadataOnly(object: KubeObject): KubeObject {
  const m = object.metadata ?? {};
  const { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp, labels } = m;
  return {
    metadata: { name, namespace, uid, resourceVersion, ownerReferences, finalizers, deletionTimestamp, labels },
  };
}

export function createInformerFactory(options: {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  freeze?: boolean;
}): InformerFactory {
  const full = new Map<string, Informer<object>>();
  const light = new Map<string, Informer<KubeObject>>();
  const fullByMeta = new Map<string, Informer<object>>();
  let started = false;

  return {
    informer<T extends object>(resource: ResourceRef<T>): Informer<T> {
      let found = full.get(id(resource)) as Informer<T> | undefined;
      if (!found) {
        const { fieldSelector, labelSelector, namespace } = resource as Selected<T>;
        found = createInformer(resource, { ...options, fieldSelector, labelSelector, namespace });
        full.set(id(resource), found as Informer<object>);
        if (!isSelected(resource)) fullByMeta.set(metaId(resource), found as Informer<object>);
        if (started) found.start();
      }
      return found;
    },
    metadata(resource) {
      const shared = fullByMeta.get(metaId(resource));
      if (shared) return shared as Informer<KubeObject>;
      let found = light.get(metaId(resource));
      if (!found) {
        found = createInformer(resource, {
          ...options,
          accept: METADATA_ONLY,
          listAccept: METADATA_ONLY_LIST,
          transform: metadataOnly,
        });
        light.set(metaId(resource), found);
        if (started) found.start();
      }
      return found;
    },
    drop(resource) {
      light.get(metaId(resource))?.stop();
      light.delete(metaId(resource));
    },
    start() {
      if (started) return;
      started = true;
      for (const i of full.values()) i.start();
      for (const i of light.values()) i.start();
    },
    stop() {
      for (const i of full.values()) i.stop();
      for (const i of light.values()) i.stop();
    },
  };
}
