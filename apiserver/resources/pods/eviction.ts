/** POST pods/NAME/eviction: deletes a pod unless a disruption budget forbids it. */
import type * as k8s from '@kubernetes/client-node';
import { deepCopy } from '../../../api/meta.ts';
import { badRequest, forbidden, isConflict, StatusError, tooManyRequests } from '../../../api/status.ts';
import type { DeepReadonly, Json, Pod, Status } from '../../../api/types.ts';
import { formatTime, type Clock } from '../../../base/clock.ts';
import { validateDeleteOptions } from '../../registry/delete.ts';
import { selectorMatches } from '../validation/values.ts';
import { setCondition, type UpdatePod } from './binding.ts';

export type Eviction = Json<k8s.V1Eviction>;
type Budget = Json<k8s.V1PodDisruptionBudget>;
type DeleteOptions = Json<k8s.V1DeleteOptions>;

export interface EvictionDeps {
  readonly clock: Clock;
  /** The newest pod; rejects with 404. */
  getPod(namespace: string, name: string): Promise<DeepReadonly<Pod>>;
  readonly update: UpdatePod;
  deletePod(namespace: string, name: string, options: DeleteOptions): Promise<unknown>;
  listBudgets(namespace: string): Promise<readonly DeepReadonly<Budget>[]>;
  /** Writes the status that `change` makes of the newest budget, again on conflict. */
  updateBudgetStatus(
    namespace: string,
    name: string,
    change: (budget: DeepReadonly<Budget>) => Budget,
  ): Promise<unknown>;
}

const ATTEMPTS = 20;
const MAX_DISRUPTED = 2000;
const VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget.";
const done: Status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };

/** Handles an eviction of the pod named in the path. */
export async function evictPod(
  eviction: Eviction,
  request: { namespace: string; name: string; dryRun: boolean },
  deps: EvictionDeps,
): Promise<Status> {
  const { namespace, name } = request;
  if (eviction.metadata?.name !== name) throw badRequest('name in URL does not match name in Eviction object');
  const options: DeleteOptions = { ...eviction.deleteOptions };
  if (!options.dryRun?.length && request.dryRun) options.dryRun = ['All'];
  validateDeleteOptions(options);
  const dryRun = options.dryRun?.includes('All') ?? false;
  for (let attempt = 1; ; attempt++) {
    const pod = await deps.getPod(namespace, name);
    if (!needsNoBudget(pod)) {
      const exact = await claim(pod, namespace, dryRun, deps);
      await markAndDelete(pod, exact ? pinned(options, pod) : options, dryRun, request, deps);
      return done;
    }
    const finished =
      pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed' || !!pod.metadata?.deletionTimestamp;
    try {
      await markAndDelete(pod, finished ? options : pinned(options, pod), dryRun, request, deps);
      return done;
    } catch (error) {
      const again = isConflict(error) && !options.preconditions?.resourceVersion;
      if (!again || attempt >= ATTEMPTS) throw error;
    }
  }
}

function pinned(options: DeleteOptions, pod: DeepReadonly<Pod>): DeleteOptions {
  if (options.preconditions?.resourceVersion) return options;
  return { ...options, preconditions: { ...options.preconditions, resourceVersion: pod.metadata?.resourceVersion } };
}

/** Pods that don't run need no permission to go. */
function needsNoBudget(pod: DeepReadonly<Pod>): boolean {
  return ['Succeeded', 'Failed', 'Pending'].includes(pod.status?.phase ?? '') || !!pod.metadata?.deletionTimestamp;
}

/** Takes one disruption from the pod's budget; true when the pod may go only in the state it was seen in. */
async function claim(pod: DeepReadonly<Pod>, namespace: string, dryRun: boolean, deps: EvictionDeps): Promise<boolean> {
  const budgets = (await deps.listBudgets(namespace)).filter(
    (b) =>
      b.spec?.selector &&
      selectorMatches(b.spec.selector as never, pod.metadata?.labels as Record<string, string> | undefined),
  );
  if (budgets.length > 1) {
    throw new StatusError(
      500,
      '',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  }
  const budget = budgets[0];
  if (!budget) return false;
  const ready = pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True');
  if (!ready) {
    if (budget.spec?.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
    const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
    if (currentHealthy >= desiredHealthy && desiredHealthy > 0) return true;
  }
  if (dryRun) {
    checkBudget(budget);
    return false;
  }
  await deps.updateBudgetStatus(namespace, budget.metadata?.name ?? '', (now) => {
    checkBudget(now);
    const next = deepCopy(now) as Budget;
    const status = next.status!;
    status.disruptionsAllowed = (status.disruptionsAllowed ?? 0) - 1;
    status.disruptedPods = {
      ...status.disruptedPods,
      [pod.metadata?.name ?? '']: formatTime(deps.clock.now()) as never,
    };
    if (status.disruptionsAllowed === 0) noneLeft(status, formatTime(deps.clock.now()));
    return next;
  });
  return false;
}

/** Says in the conditions that no further pod may go. */
function noneLeft(status: NonNullable<Budget['status']>, now: string): void {
  const type = 'DisruptionAllowed';
  const list = (status.conditions ??= []);
  const before = list.find((c) => c.type === type);
  const lastTransitionTime = before?.status === 'False' ? before.lastTransitionTime : now;
  const { observedGeneration } = status;
  const condition = {
    type,
    status: 'False',
    observedGeneration,
    lastTransitionTime,
    reason: 'InsufficientPods',
    message: '',
  };
  if (before) Object.assign(before, condition);
  else list.push(condition as never);
}

function refused(message: string, retryAfterSeconds?: number): StatusError {
  const error = tooManyRequests(VIOLATES, retryAfterSeconds);
  if (retryAfterSeconds === undefined && error.status.details) delete error.status.details.retryAfterSeconds;
  (error.status.details ??= {}).causes = [{ reason: 'DisruptionBudget', message }];
  return error;
}

/** Throws unless the budget allows one more disruption. */
function checkBudget(budget: DeepReadonly<Budget>): void {
  const name = budget.metadata?.name ?? '';
  const status = budget.status;
  const resource = { group: 'policy', resource: 'poddisruptionbudget' };
  if ((status?.observedGeneration ?? 0) < (budget.metadata?.generation ?? 0)) {
    throw refused(`The disruption budget ${name} is still being processed by the server.`, 10);
  }
  const allowed = status?.disruptionsAllowed ?? 0;
  if (allowed < 0) throw forbidden(resource, name, 'pdb disruptions allowed is negative');
  if (Object.keys(status?.disruptedPods ?? {}).length > MAX_DISRUPTED) {
    throw forbidden(resource, name, 'DisruptedPods map too big - too many evictions not confirmed by PDB controller');
  }
  if (allowed > 0) return;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  const why =
    currentHealthy <= desiredHealthy
      ? `needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`
      : 'does not allow evicting pods currently';
  throw refused(`The disruption budget ${name} ${why}`);
}

/** The pod says why it goes, then it is deleted. */
async function markAndDelete(
  pod: DeepReadonly<Pod>,
  options: DeleteOptions,
  dryRun: boolean,
  request: { namespace: string; name: string },
  deps: EvictionDeps,
): Promise<void> {
  const { namespace, name } = request;
  let final = options;
  if (!dryRun) {
    const want = options.preconditions;
    const conflicting = (what: string, a: string, b: string | undefined) =>
      new StatusError(
        409,
        'Conflict',
        `Operation cannot be fulfilled on Pod ${JSON.stringify(name)}: the ${what} in the precondition (${a}) does not match the ${what} in record (${b}). The object might have been modified`,
        { name, kind: 'Pod' },
      );
    await deps.update(
      namespace,
      name,
      (now) => {
        const { uid, resourceVersion } = now.metadata ?? {};
        if (want?.uid && want.uid !== uid) throw conflicting('UID', want.uid, uid);
        if (want?.resourceVersion && want.resourceVersion !== resourceVersion)
          throw conflicting('ResourceVersion', want.resourceVersion, resourceVersion);
        const next = deepCopy(now) as Pod;
        setCondition(
          next,
          {
            type: 'DisruptionTarget',
            status: 'True',
            reason: 'EvictionByEvictionAPI',
            message: 'Eviction API: evicting',
          },
          deps.clock.now(),
        );
        return next;
      },
      { dryRun: false },
    );
    if (want?.resourceVersion) {
      const marked = await deps.getPod(namespace, name);
      final = { ...options, preconditions: { ...want, resourceVersion: marked.metadata?.resourceVersion } };
    }
  }
  await deps.deletePod(namespace, name, final);
}
