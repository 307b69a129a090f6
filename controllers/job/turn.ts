/** What the parts of the Job controller share: the turn, and letting counted pods go. */
import { hasCode } from '../../api/status.ts';
import type { Informer } from '../../client/informer.ts';
import { jobs, pods } from '../../client/resources.ts';
import type { Deps } from '../framework.ts';
import { meta } from '../lib/meta.ts';
import { allDone, deletePod } from '../lib/podcontrol.ts';
import type { PodView } from '../lib/pods.ts';
import type { IndexSet } from './indexes.ts';
import type { JobView } from './policies.ts';

export const FINALIZER = 'batch.kubernetes.io/job-tracking';
export const JOB = { apiVersion: 'batch/v1', kind: 'Job' };
export const inputs = { jobs, pods };
/** Failures since the last success, by key. */
export type State = Map<string, { failures: number; last: number }>;
export type D = Deps<typeof inputs, State>;

/** One turn's work on one Job. */
export interface Turn {
  readonly deps: D;
  readonly key: string;
  readonly job: JobView;
  readonly pods: readonly PodView[];
  readonly active: readonly PodView[];
  readonly now: number;
  succeeded: number;
  succeededIndexes: IndexSet;
  failedIndexes: IndexSet;
  backoff: { failures: number; last: number };
}

const podInformer = (deps: D) => deps.informers.pods as unknown as Informer<object>;
/** Whether the pod has still to be counted. */
export const tracked = (pod: PodView) => pod.metadata?.finalizers?.includes(FINALIZER) ?? false;

/** Lets a counted pod go. */
export async function untrack(deps: D, key: string, pod: PodView): Promise<void> {
  if (!tracked(pod)) return;
  const { name, namespace, uid } = meta(pod);
  try {
    const written = await deps.client.patch(
      pods,
      name,
      'strategic',
      { metadata: { uid, '$deleteFromPrimitiveList/finalizers': [FINALIZER] } },
      { namespace },
    );
    if (key !== '') deps.expectations.wrote(key, podInformer(deps), written);
  } catch (error) {
    if (!hasCode(error, 404, 409)) throw error;
  }
}

/** Deletes pods of the Job; `counted` ones keep their finalizer until the status holds them. */
export async function removePods(t: Turn, doomed: readonly PodView[], counted: boolean): Promise<void> {
  await allDone(
    doomed.map(async (pod) => {
      if (!counted) await untrack(t.deps, t.key, pod);
      await deletePod(t.deps, { object: t.job, ...JOB }, pod);
      t.deps.expectations.deleted(t.key, podInformer(t.deps), pod);
    }),
  );
}
