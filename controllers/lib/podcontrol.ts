/** Creates and deletes pods for an owner and says so in events. */
import { isConflict, isNotFound, StatusError } from '../../api/status.ts';
import type { DeepReadonly, KubeObject, OwnerReference, Pod, PodTemplateSpec } from '../../api/types.ts';
import { formatTime, type Clock } from '../../base/clock.ts';
import type { Client } from '../../client/client.ts';
import type { EventRecorder } from '../../client/events.ts';
import { pods } from '../../client/resources.ts';
import { body, meta, type AnyObject } from './meta.ts';
import { podCondition, type PodView } from './pods.ts';

/** Who makes pods, as events and owner references name it. */
export interface Owner {
  object: AnyObject;
  apiVersion: string;
  kind: string;
}

/** A new pod from a template, controlled by `owner`; its name begins with `prefix`, or is `name`. */
export function podFromTemplate(
  template: DeepReadonly<PodTemplateSpec> | undefined,
  owner: OwnerReference,
  namespace: string,
  named: { prefix: string } | { name: string },
): Pod {
  const m = template?.metadata;
  const metadata: NonNullable<KubeObject['metadata']> = {
    ...('name' in named ? { name: named.name } : { generateName: generateNamePrefix(named.prefix) }),
    namespace,
    labels: { ...m?.labels },
    annotations: { ...m?.annotations },
    ownerReferences: [owner],
  };
  if (m?.finalizers?.length) metadata.finalizers = [...m.finalizers];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: body<NonNullable<Pod['spec']>>(template?.spec ?? { containers: [] }),
  };
}

/** `name-`, shortened so that names made from it stay valid host names. */
export function generateNamePrefix(name: string): string {
  const prefix = `${name}-`;
  return prefix.length > 58 ? `${prefix.slice(0, 57)}-` : prefix;
}

/** Whether a creation failed because the namespace goes away: then nothing more can be done. */
export function isNamespaceTerminating(error: unknown): boolean {
  return (
    error instanceof StatusError &&
    (error.status.details?.causes ?? []).some((c) => c.reason === 'NamespaceTerminating')
  );
}

/** The text of an error for events and conditions. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Tools {
  readonly client: Client;
  readonly recorder: EventRecorder;
}

/** Tells the owner's events what came of it, unless the namespace goes away. */
export async function createPod({ client, recorder }: Tools, owner: Owner, pod: Pod): Promise<Pod> {
  try {
    const made = await client.create(pods, pod);
    recorder.event(owner.object, 'Normal', 'SuccessfulCreate', `Created pod: ${made.metadata!.name}`, owner);
    return made;
  } catch (error) {
    if (!isNamespaceTerminating(error))
      recorder.event(owner.object, 'Warning', 'FailedCreate', `Error creating: ${errorText(error)}`, owner);
    throw error;
  }
}

/** Resolves also when the pod was gone already. */
export async function deletePod({ client, recorder }: Tools, owner: Owner, pod: DeepReadonly<Pod>): Promise<void> {
  const { name, namespace, uid } = meta(pod);
  try {
    await client.delete(pods, name, { namespace, preconditions: { uid } });
    recorder.event(owner.object, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`, owner);
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return;
    recorder.event(owner.object, 'Warning', 'FailedDelete', `Error deleting: ${errorText(error)}`, owner);
    throw error;
  }
}

/** Deletes a pod for the reason that its status gives before (KEP-3329); resolves also when the pod was gone already. */
export async function evictTainted(
  { client, clock }: { readonly client: Client; readonly clock: Clock },
  pod: PodView,
  reason: string,
  message: string,
): Promise<void> {
  const { name, namespace, uid } = meta(pod);
  const lastTransitionTime = formatTime(clock.now());
  const condition = { type: 'DisruptionTarget', status: 'True', reason, message, lastTransitionTime };
  try {
    if (podCondition(pod, 'DisruptionTarget')?.status !== 'True')
      await client.patch(
        pods,
        name,
        'strategic',
        { metadata: { uid }, status: { conditions: [condition] } },
        { namespace, subresource: 'status' },
      );
    await client.delete(pods, name, { namespace, preconditions: { uid } });
  } catch (error) {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

/**
 * Calls `fn` `count` times, in batches of 1, 2, 4 ...: when the first fails, the others would most likely too.
 * Resolves with the number of successes and the first error.
 */
export async function slowStart(
  count: number,
  fn: (i: number) => Promise<void>,
): Promise<{ successes: number; error?: unknown }> {
  let successes = 0;
  let next = 0;
  for (let size = Math.min(count, 1); size > 0; size = Math.min(count - next, size * 2)) {
    const results = await Promise.allSettled(Array.from({ length: size }, (_, i) => fn(next + i)));
    next += size;
    let failed: PromiseRejectedResult | undefined;
    for (const r of results) {
      if (r.status === 'fulfilled') successes++;
      else failed ??= r;
    }
    if (failed) return { successes, error: failed.reason };
  }
  return { successes };
}

/** Runs all and rejects with the first error, after all have ended. */
export async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  for (const r of await Promise.allSettled(work)) if (r.status === 'rejected') throw r.reason;
}
