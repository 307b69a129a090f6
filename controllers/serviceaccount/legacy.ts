/** Marks legacy token Secrets that nobody has used for a year as invalid, and deletes them a year later. */
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Secret } from '../../api/types.ts';
import { configMaps, pods, secrets, serviceAccounts } from '../../client/resources.ts';
import { select } from '../factory.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { createTimestamp, meta } from '../lib/meta.ts';

const LAST_USED = 'kubernetes.io/legacy-token-last-used';
const INVALID_SINCE = 'kubernetes.io/legacy-token-invalid-since';
const TRACKING = 'kube-apiserver-legacy-service-account-token-tracking';
const DAY = 86_400_000;

const inputs = {
  secrets: select(secrets, { fieldSelector: 'type=kubernetes.io/service-account-token' }),
  accounts: serviceAccounts,
  pods,
};
type D = Deps<typeof inputs, undefined>;

const date = (ms: number) => new Date(ms).toISOString().slice(0, 10);

/** What is to be done with a Secret whose last use is `lastUsed` or never; times in milliseconds. Pure. */
export function judge(
  secret: DeepReadonly<Secret>,
  trackedSince: number,
  period: number,
  now: number,
): 'keep' | 'invalidate' | 'delete' {
  const labels = secret.metadata?.labels ?? {};
  const used = Date.parse(labels[LAST_USED] ?? '');
  const last = Number.isNaN(used) ? Math.max(createTimestamp(secret), trackedSince) : used + DAY;
  if (last + period >= now) return 'keep';
  const invalid = Date.parse(labels[INVALID_SINCE] ?? '');
  if (Number.isNaN(invalid)) return 'invalidate';
  return invalid + DAY + period < now ? 'delete' : 'keep';
}

export const legacyTokenCleanerController = defineController({
  name: 'legacy-serviceaccount-token-cleaner-controller',
  account: 'legacy-service-account-token-cleaner',
  inputs,
  outputs: ['delete,patch secrets', 'get configmaps'],
  workers: () => 1,
  triggers: {},
  seeds: () => ['all'],
  async reconcile(_key, deps: D): Promise<Result> {
    const { informers, client, clock, options } = deps;
    const tracking = await client.get(configMaps, TRACKING, 'kube-system').catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    const since = Date.parse(tracking?.data?.['since'] ?? '');
    if (!Number.isNaN(since)) {
      const mounted = new Set<string>();
      for (const pod of informers.pods.list())
        for (const v of pod.spec?.volumes ?? [])
          if (v.secret?.secretName) mounted.add(`${meta(pod).namespace}/${v.secret.secretName}`);
      const now = clock.now();
      for (const secret of informers.secrets.list()) {
        const { name, namespace, uid, resourceVersion } = meta(secret);
        const account = informers.accounts.get(
          secret.metadata?.annotations?.['kubernetes.io/service-account.name'] ?? '',
          namespace,
        );
        // Only those that were made for accounts of themselves; people's own stay.
        if (!account?.secrets?.some((s) => s.name === name) || mounted.has(`${namespace}/${name}`)) continue;
        const what = judge(secret, since, options.legacyServiceAccountTokenCleanUpPeriodMs, now);
        if (what === 'delete')
          await client.delete(secrets, name, { namespace, preconditions: { uid, resourceVersion } });
        else if (what === 'invalidate')
          await client.patch(
            secrets,
            name,
            'strategic',
            { metadata: { uid, resourceVersion, labels: { [INVALID_SINCE]: date(now) } } },
            { namespace },
          );
      }
    }
    return { requeueAfterMs: DAY };
  },
});
