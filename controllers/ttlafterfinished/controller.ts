/** Deletes finished Jobs when their ttlSecondsAfterFinished has passed. */
import { isNotFound } from '../../api/status.ts';
import { splitKey } from '../../client/informer.ts';
import { jobs } from '../../client/resources.ts';
import { defineController } from '../framework.ts';
import { isJobFinished } from '../job/verdict.ts';
import type { JobView } from '../job/policies.ts';
import { isDeleting, meta, millis } from '../lib/meta.ts';
import { concurrency } from '../options.ts';

/** When the Job may be deleted, in milliseconds since the epoch; undefined when it stays. Pure. */
export function expiresAt(job: JobView): number | undefined {
  const ttl = job.spec?.ttlSecondsAfterFinished;
  if (ttl === undefined || !isJobFinished(job)) return undefined;
  const end = job.status?.conditions?.find(
    (c) => (c.type === 'Complete' || c.type === 'Failed') && c.status === 'True',
  );
  return millis(end?.lastTransitionTime) + ttl * 1000;
}

export const ttlAfterFinishedController = defineController({
  name: 'ttl-after-finished-controller',
  account: 'ttl-after-finished-controller',
  inputs: { jobs },
  outputs: ['delete jobs.batch'],
  workers: concurrency('ttl-after-finished'),
  triggers: { jobs: 'self' },
  async reconcile(key, { informers, client, clock }) {
    const { name, namespace } = splitKey(key);
    const job = informers.jobs.get(name, namespace);
    const at = job && !isDeleting(job) ? expiresAt(job) : undefined;
    if (!job || at === undefined) return;
    const left = at - clock.now();
    if (left > 0) return { requeueAfterMs: left };
    try {
      // The TTL may have been made longer in the meantime.
      const fresh = await client.get(jobs, name, namespace);
      const now = expiresAt(fresh);
      if (now === undefined || now > clock.now()) return;
      await client.delete(jobs, name, {
        namespace,
        propagationPolicy: 'Foreground',
        preconditions: { uid: meta(fresh).uid },
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  },
});
