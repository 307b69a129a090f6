/** Sets the size of workloads by their metrics. */
import { isConflict, isNotFound } from '../../api/status.ts';
import { formatTime } from '../../base/clock.ts';
import { parseLabelSelector } from '../../api/selectors.ts';
import { splitKey } from '../../client/informer.ts';
import { horizontalPodAutoscalers, resourcePath } from '../../client/resources.ts';
import { defineController, type Result } from '../framework.ts';
import type { DiscoveredResource } from '../../client/discovery.ts';
import { body, meta, semanticEqual } from '../lib/meta.ts';
import type { PodView } from '../lib/pods.ts';
import { errorText } from '../lib/podcontrol.ts';
import { concurrency } from '../options.ts';
import { decide, newHistory, noteChange, type Autoscaler } from './behavior.ts';
import { milli } from './metrics.ts';
import {
  failureOf,
  inputs,
  propose,
  resourceFor,
  type D,
  type MetricStatus,
  type Scale,
  type State,
  type Status,
  type Turn,
} from './propose.ts';

const KIND = { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler' };
type Condition = NonNullable<Status['conditions']>[number];

function setCondition(t: Turn, type: string, status: 'True' | 'False', reason: string, message: string): void {
  const conditions = t.status.conditions ?? [];
  const have = conditions.find((c) => c.type === type);
  const lastTransitionTime = have?.status === status ? have.lastTransitionTime : formatTime(t.now);
  const next: Condition = { type, status, lastTransitionTime, reason, message };
  t.status.conditions = have ? conditions.map((c) => (c.type === type ? next : c)) : [...conditions, next];
}

const event = (t: Turn, type: 'Normal' | 'Warning', reason: string, message: string) =>
  t.deps.recorder.event(t.hpa, type, reason, message, KIND);

const FAILED: Readonly<Record<string, string>> = {
  Resource: 'FailedGetResourceMetric',
  ContainerResource: 'FailedGetContainerResourceMetric',
  Pods: 'FailedGetPodsMetric',
  Object: 'FailedGetObjectMetric',
  External: 'FailedGetExternalMetric',
};

/** The largest of what the metrics ask for; undefined when too little is known. */
async function recommend(t: Turn, scale: Scale, key: string): Promise<{ replicas: number; name: string } | undefined> {
  const { deps, hpa } = t;
  const { namespace } = meta(hpa);
  const current = scale.spec?.replicas ?? 0;
  const text = scale.status?.selector ?? '';
  if (text === '') {
    event(t, 'Warning', 'SelectorRequired', 'selector is required');
    setCondition(t, 'ScalingActive', 'False', 'InvalidSelector', "the HPA target's scale is missing a selector");
    return undefined;
  }
  const matcher = parseLabelSelector(text);
  deps.state.selectors.set(key, matcher);
  const selected = deps.informers.pods.list(namespace).filter((p) => matcher.matches(p.metadata?.labels ?? {}));
  const rivals = rivalsFor(deps, namespace, selected);
  if (rivals.length > 1) {
    const why = `pods by selector ${text} are controlled by multiple HPAs: [${rivals.join(' ')}]`;
    event(t, 'Warning', 'AmbiguousSelector', why);
    setCondition(t, 'ScalingActive', 'False', 'AmbiguousSelector', why);
    return undefined;
  }
  const metrics = hpa.spec?.metrics?.length
    ? hpa.spec.metrics
    : [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } }];
  const fallback = deps.options.hpaTolerance;
  const tolerance = {
    up: toleranceOf(hpa.spec?.behavior?.scaleUp, fallback),
    down: toleranceOf(hpa.spec?.behavior?.scaleDown, fallback),
  };
  let best: { replicas: number; name: string } | undefined;
  let failure: { reason: string; message: string; whole: string } | undefined;
  let invalid = 0;
  const statuses: MetricStatus[] = [];
  for (const m of metrics) {
    try {
      const p = await propose(t, m, scale, selected, tolerance);
      statuses.push(p.status);
      if (!best || p.replicas > best.replicas) best = { replicas: p.replicas, name: p.name };
    } catch (error) {
      const reason = FAILED[m.type] ?? 'InvalidMetricSourceType';
      event(t, 'Warning', reason, errorText(error));
      invalid++;
      failure ??= {
        reason,
        message: `the HPA was unable to compute the replica count: ${errorText(error)}`,
        whole: `${failureOf(m)}: ${errorText(error)}`,
      };
    }
  }
  t.status.currentMetrics = statuses;
  // With a metric unknown it may only grow: what is unknown could need what runs.
  if (failure && (!best || best.replicas < current)) {
    setCondition(t, 'ScalingActive', 'False', failure.reason, failure.message);
    const counted = `invalid metrics (${invalid} invalid out of ${metrics.length}), first error is: ${failure.whole}`;
    event(t, 'Warning', 'FailedComputeMetricsReplicas', counted);
    return undefined;
  }
  setCondition(
    t,
    'ScalingActive',
    'True',
    'ValidMetricFound',
    `the HPA was able to successfully calculate a replica count from ${best!.name}`,
  );
  return best;
}

/** The autoscalers of the namespace whose targets select any of the pods. */
function rivalsFor(deps: D, namespace: string, selected: readonly PodView[]): string[] {
  const out: string[] = [];
  for (const [key, matcher] of deps.state.selectors)
    if (splitKey(key).namespace === namespace && selected.some((p) => matcher.matches(p.metadata?.labels ?? {})))
      out.push(key);
  return out.toSorted();
}

function toleranceOf(rules: { readonly tolerance?: string | number } | undefined, fallback: number): number {
  return rules?.tolerance === undefined ? fallback : milli(String(rules.tolerance)) / 1000;
}

async function sync(t: Turn, key: string): Promise<void> {
  const { deps, hpa, now } = t;
  const { client, options, state } = deps;
  const { namespace, generation } = meta(hpa);
  const target = hpa.spec!.scaleTargetRef;
  t.status.observedGeneration = generation;
  let resource: DiscoveredResource;
  let scale: Scale;
  try {
    resource = await resourceFor(deps, target.apiVersion ?? 'v1', target.kind);
    scale = await client.request<Scale>({ path: resourcePath(resource, namespace, target.name, 'scale') });
  } catch (error) {
    event(t, 'Warning', 'FailedGetScale', errorText(error));
    setCondition(
      t,
      'AbleToScale',
      'False',
      'FailedGetScale',
      `the HPA controller was unable to get the target's current scale: ${errorText(error)}`,
    );
    return;
  }
  setCondition(
    t,
    'AbleToScale',
    'True',
    'SucceededGetScale',
    "the HPA controller was able to get the target's current scale",
  );
  const current = scale.spec?.replicas ?? 0;
  const min = hpa.spec?.minReplicas ?? 1;
  const max = hpa.spec?.maxReplicas ?? 1;
  let history = state.history.get(key);
  if (!history) {
    history = newHistory();
    history.recommendations.push({ at: now, replicas: current });
    state.history.set(key, history);
  }
  let desired = current;
  let reason = '';
  if (current === 0 && min !== 0) {
    setCondition(
      t,
      'ScalingActive',
      'False',
      'ScalingDisabled',
      'scaling is disabled since the replica count of the target is zero',
    );
  } else if (current > max) {
    desired = max;
    reason = 'Current number of replicas above Spec.MaxReplicas';
  } else if (current < min) {
    desired = min;
    reason = 'Current number of replicas below Spec.MinReplicas';
  } else {
    const best = await recommend(t, scale, key);
    if (best) {
      const d = decide(hpa, current, best.replicas, history, now, options.hpaDownscaleStabilizationMs);
      desired = d.replicas;
      reason = desired > current ? `${best.name} above target` : 'All metrics below target';
      const able = d.stabilized ?? { reason: 'ReadyForNewScale', message: 'recommended size matches current size' };
      setCondition(t, 'AbleToScale', 'True', able.reason, able.message);
      const limited = d.limited;
      if (limited) setCondition(t, 'ScalingLimited', 'True', limited.reason, limited.message);
      else
        setCondition(
          t,
          'ScalingLimited',
          'False',
          'DesiredWithinRange',
          'the desired count is within the acceptable range',
        );
    }
  }
  if (desired !== current) {
    try {
      await client.request({
        method: 'PUT',
        path: resourcePath(resource, namespace, target.name, 'scale'),
        body: { ...scale, spec: { ...scale.spec, replicas: desired } },
      });
    } catch (error) {
      // Somebody else wrote in between: once more, now.
      if (isConflict(error)) throw error;
      event(t, 'Warning', 'FailedRescale', `New size: ${desired}; reason: ${reason}; error: ${errorText(error)}`);
      setCondition(
        t,
        'AbleToScale',
        'False',
        'FailedUpdateScale',
        `the HPA controller was unable to update the target scale: ${errorText(error)}`,
      );
      t.status.currentReplicas = current;
      return;
    }
    setCondition(
      t,
      'AbleToScale',
      'True',
      'SucceededRescale',
      `the HPA controller was able to update the target scale to ${desired}`,
    );
    event(t, 'Normal', 'SuccessfulRescale', `New size: ${desired}; reason: ${reason}`);
    noteChange(history, current, desired, now);
    t.status.lastScaleTime = formatTime(now);
  }
  t.status.currentReplicas = current;
  t.status.desiredReplicas = desired;
}

export const horizontalPodAutoscalerController = defineController({
  name: 'horizontal-pod-autoscaler-controller',
  account: 'horizontal-pod-autoscaler',
  inputs,
  outputs: ['update horizontalpodautoscalers/status.autoscaling', 'get,update */scale.*'],
  workers: concurrency('horizontal-pod-autoscaler'),
  // Metrics that were away for an hour are looked for again as often as ever.
  slowest: (o) => o.hpaSyncPeriodMs,
  state: (): State => ({ history: new Map(), selectors: new Map() }),
  triggers: {
    autoscalers: {
      keys: 'self',
      when: (now, before) =>
        meta(now).generation !== meta(before).generation || JSON.stringify(now.spec) !== JSON.stringify(before.spec),
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { name, namespace } = splitKey(key);
    const hpa = deps.informers.autoscalers.get(name, namespace);
    if (!hpa) {
      deps.state.history.delete(key);
      deps.state.selectors.delete(key);
      return;
    }
    const t: Turn = {
      deps,
      hpa,
      now: deps.clock.now(),
      status: hpa.status ? { ...body<Status>(hpa.status) } : { desiredReplicas: 0 },
    };
    await sync(t, key);
    if (!semanticEqual(hpa.status, t.status))
      await deps.client
        .updateStatus(horizontalPodAutoscalers, { ...body<Autoscaler>(hpa), status: t.status })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    return { requeueAfterMs: deps.options.hpaSyncPeriodMs };
  },
});
