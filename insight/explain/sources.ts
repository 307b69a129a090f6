/** What explanations are made from: objects read when somebody asks, and the scheduler's own account. */
import { hasCode } from '../../api/status.ts';
import type { CoreEvent, DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Client, ListOptions } from '../../client/client.ts';
import type { DiscoveredResource } from '../../client/discovery.ts';
import { events, type ResourceRef } from '../../client/resources.ts';

/** The scheduler's answer about a pod (scheduler/explain.ts). */
export interface SchedulerAccount {
  message?: string;
  everywhere?: SchedulerReason[];
  now?: Record<string, SchedulerReason[]>;
  gate?: SchedulerReason;
  smallestChange?: { node: string; changes: string[]; tried: boolean };
}
interface SchedulerReason {
  plugin: string;
  reasons: string[];
  changes?: string[];
}

export interface Sources {
  readonly client: Client;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Undefined when no scheduler of ours knows the pod, or none can be asked. */
  scheduler(namespace: string, name: string): Promise<SchedulerAccount | undefined>;
  discover(): Promise<readonly DiscoveredResource[]>;
}

/** Reads an object; undefined when it is gone or may not be seen. */
export async function find<T extends object>(
  s: Sources,
  ref: ResourceRef<T>,
  name: string,
  namespace?: string,
): Promise<T | undefined> {
  try {
    return await s.client.get(ref, name, namespace);
  } catch (error) {
    if (hasCode(error, 404, 403)) return undefined;
    throw error;
  }
}

/** Reads a list; empty when it may not be seen. */
export async function listOf<T extends object>(s: Sources, ref: ResourceRef<T>, options: ListOptions): Promise<T[]> {
  try {
    return (await s.client.list(ref, options)).items;
  } catch (error) {
    if (hasCode(error, 404, 403)) return [];
    throw error;
  }
}

/** The last few different warnings about an object, the newest first. */
export async function warningsOf(s: Sources, o: DeepReadonly<KubeObject>, most = 3): Promise<string[]> {
  const { uid, namespace } = o.metadata ?? {};
  const found = await listOf(s, events, { namespace, fieldSelector: `involvedObject.uid=${uid},type=Warning` });
  const time = (e: CoreEvent) => e.series?.lastObservedTime ?? e.lastTimestamp ?? e.eventTime ?? '';
  found.sort((a, b) => (time(a) < time(b) ? 1 : -1));
  return [...new Set(found.map((e) => `${e.reason}: ${e.message ?? ''}`))].slice(0, most);
}
