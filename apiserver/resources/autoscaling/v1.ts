/**
 * HorizontalPodAutoscalers as autoscaling/v1 shows them. What v1 has no field for stands in annotations,
 * as JSON whose member order clients may compare.
 */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../../api/quantity.ts';
import type { DeepReadonly, Json, KubeObject } from '../../../api/types.ts';

export type Autoscaler = Json<k8s.V2HorizontalPodAutoscaler>;
export type Spec = NonNullable<Autoscaler['spec']>;
export type Metric = Json<k8s.V2MetricSpec>;
export type Target = Json<k8s.V2MetricTarget>;
type V1 = Json<k8s.V1HorizontalPodAutoscaler>;
/** The members of one kind of metric, in either version. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Source = Record<string, any>;

const PREFIX = 'autoscaling.alpha.kubernetes.io/';
const ANNOTATIONS = [
  'metrics',
  'behavior',
  'current-metrics',
  'conditions',
  'scale-down-tolerance',
  'scale-up-tolerance',
].map((n) => PREFIX + n);
const CPU_TARGET = 80;

export const cpuMetric = (averageUtilization = CPU_TARGET): Metric => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } },
});
const isCpu = (m: DeepReadonly<Metric>) =>
  m.type === 'Resource' && m.resource?.name === 'cpu' && m.resource.target?.averageUtilization !== undefined;

/** Both directions for each kind of metric, for specs and for statuses. */
interface Conversion {
  specTo(s: Source): Source;
  specFrom(s: Source): Source;
  statusTo(s: Source): Source;
  statusFrom(s: Source): Source;
}

const object = (r: Source | undefined) => ({ kind: r?.['kind'], name: r?.['name'], apiVersion: r?.['apiVersion'] });
const metric = (name: unknown, selector: unknown) => ({ name, selector });
const isZero = (q: unknown) => !q || (Quantity.tryParse(q as string)?.sign ?? 0) === 0;

const resource: Conversion = {
  specTo: ({ name, target, container }) => ({
    name,
    targetAverageUtilization: target?.averageUtilization,
    targetAverageValue: target?.averageValue,
    container,
  }),
  specFrom: (s) => ({
    name: s['name'],
    container: s['container'],
    target: {
      type: s['targetAverageUtilization'] === undefined ? 'AverageValue' : 'Utilization',
      averageValue: s['targetAverageValue'],
      averageUtilization: s['targetAverageUtilization'],
    },
  }),
  statusTo: ({ name, current, container }) => ({
    name,
    currentAverageUtilization: current?.averageUtilization,
    currentAverageValue: current?.averageValue ?? '0',
    container,
  }),
  statusFrom: (s) => ({
    name: s['name'],
    container: s['container'],
    current: { averageValue: s['currentAverageValue'], averageUtilization: s['currentAverageUtilization'] },
  }),
};

const SOURCES: Record<string, Conversion> = {
  resource,
  containerResource: resource,
  object: {
    specTo: (s) => ({
      target: object(s['describedObject']),
      metricName: s['metric']?.name,
      targetValue: s['target']?.value ?? '0',
      selector: s['metric']?.selector,
      averageValue: s['target']?.averageValue,
    }),
    specFrom: (s) => ({
      describedObject: object(s['target']),
      target: {
        type: s['averageValue'] === undefined ? 'Value' : 'AverageValue',
        value: s['averageValue'] !== undefined && isZero(s['targetValue']) ? undefined : (s['targetValue'] ?? '0'),
        averageValue: s['averageValue'],
      },
      metric: metric(s['metricName'], s['selector']),
    }),
    statusTo: (s) => ({
      target: object(s['describedObject']),
      metricName: s['metric']?.name,
      currentValue: s['current']?.value ?? '0',
      selector: s['metric']?.selector,
      averageValue: s['current']?.averageValue,
    }),
    statusFrom: (s) => ({
      metric: metric(s['metricName'], s['selector']),
      current: { value: s['currentValue'], averageValue: s['averageValue'] },
      describedObject: object(s['target']),
    }),
  },
  pods: {
    specTo: (s) => ({
      metricName: s['metric']?.name,
      targetAverageValue: s['target']?.averageValue ?? '0',
      selector: s['metric']?.selector,
    }),
    specFrom: (s) => ({
      metric: metric(s['metricName'], s['selector']),
      target: { type: 'AverageValue', averageValue: s['targetAverageValue'] },
    }),
    statusTo: (s) => ({
      metricName: s['metric']?.name,
      currentAverageValue: s['current']?.averageValue ?? '0',
      selector: s['metric']?.selector,
    }),
    statusFrom: (s) => ({
      metric: metric(s['metricName'], s['selector']),
      current: { averageValue: s['currentAverageValue'] },
    }),
  },
  external: {
    specTo: (s) => ({
      metricName: s['metric']?.name,
      metricSelector: s['metric']?.selector,
      targetValue: s['target']?.value,
      targetAverageValue: s['target']?.averageValue,
    }),
    specFrom: (s) => ({
      metric: metric(s['metricName'], s['metricSelector']),
      target: {
        type: s['targetValue'] === undefined ? 'AverageValue' : 'Value',
        value: s['targetValue'],
        averageValue: s['targetAverageValue'],
      },
    }),
    statusTo: (s) => ({
      metricName: s['metric']?.name,
      metricSelector: s['metric']?.selector,
      currentValue: s['current']?.value ?? '0',
      currentAverageValue: s['current']?.averageValue,
    }),
    statusFrom: (s) => ({
      metric: metric(s['metricName'], s['metricSelector']),
      current: { value: s['currentValue'], averageValue: s['currentAverageValue'] },
    }),
  },
};

function convert(m: Source, how: keyof Conversion): Source {
  const out: Source = { type: m['type'] };
  for (const [k, c] of Object.entries(SOURCES)) if (m[k]) out[k] = c[how](m[k] as Source);
  return out;
}

/** The behaviour as its annotation has it: upper-case names, every member there. */
function behaviorText(b: DeepReadonly<NonNullable<Spec['behavior']>>): string {
  const rules = (r: typeof b.scaleUp) =>
    r
      ? {
          StabilizationWindowSeconds: r.stabilizationWindowSeconds ?? null,
          SelectPolicy: r.selectPolicy ?? null,
          Policies: r.policies?.map((p) => ({ Type: p.type, Value: p.value, PeriodSeconds: p.periodSeconds })) ?? null,
          Tolerance: r.tolerance ?? null,
        }
      : null;
  return JSON.stringify({ ScaleUp: rules(b.scaleUp), ScaleDown: rules(b.scaleDown) });
}

/** Lower-cases the first letter of each member's name, all the way down; members without value go. */
function lowered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowered);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([k, v]) =>
      v === null ? [] : [[k.charAt(0).toLowerCase() + k.slice(1), lowered(v)]],
    ),
  );
}

function parse<T>(text: string | undefined): T | undefined {
  try {
    return text === undefined ? undefined : ((JSON.parse(text) as T | null) ?? undefined);
  } catch {
    return undefined;
  }
}

/** As autoscaling/v1 shows it: what v1 has no fields for goes into annotations. */
export function toV1(a: DeepReadonly<Autoscaler>): KubeObject {
  const { spec, status } = a as Autoscaler;
  const metadata = { ...a.metadata } as NonNullable<V1['metadata']>;
  const kept = Object.entries(metadata.annotations ?? {}).filter(([k]) => !ANNOTATIONS.includes(k));
  const annotations: Record<string, string> = Object.fromEntries(kept);
  const others = (spec?.metrics ?? []).filter((m) => !isCpu(m));
  if (others.length > 0) annotations[`${PREFIX}metrics`] = JSON.stringify(others.map((m) => convert(m, 'specTo')));
  if (spec?.behavior) annotations[`${PREFIX}behavior`] = behaviorText(spec.behavior);
  if (status?.currentMetrics?.length)
    annotations[`${PREFIX}current-metrics`] = JSON.stringify(status.currentMetrics.map((m) => convert(m, 'statusTo')));
  if (status?.conditions?.length) {
    annotations[`${PREFIX}conditions`] = JSON.stringify(
      status.conditions.map((c) => ({
        type: c.type,
        status: c.status,
        lastTransitionTime: c.lastTransitionTime ?? null,
        reason: c.reason,
        message: c.message,
      })),
    );
  }
  if (Object.keys(annotations).length > 0) metadata.annotations = annotations;
  else delete metadata.annotations;
  const used = (status?.currentMetrics ?? []).findLast(
    (m) => m.type === 'Resource' && m.resource?.name === 'cpu' && m.resource.current.averageUtilization !== undefined,
  );
  return {
    kind: 'HorizontalPodAutoscaler',
    apiVersion: 'autoscaling/v1',
    metadata,
    spec: {
      scaleTargetRef: spec?.scaleTargetRef,
      minReplicas: spec?.minReplicas,
      maxReplicas: spec?.maxReplicas,
      targetCPUUtilizationPercentage: (spec?.metrics ?? []).find(isCpu)?.resource?.target.averageUtilization,
    },
    status: {
      observedGeneration: status?.observedGeneration,
      lastScaleTime: status?.lastScaleTime,
      currentReplicas: status?.currentReplicas ?? 0,
      desiredReplicas: status?.desiredReplicas ?? 0,
      currentCPUUtilizationPercentage: used?.resource?.current.averageUtilization,
    },
  } as unknown as KubeObject;
}

/** The other way round; annotations of that kind become fields again. */
export function fromV1(o: KubeObject): Autoscaler {
  const { metadata, spec, status } = o as V1;
  const text = (name: string) => metadata?.annotations?.[PREFIX + name];
  const cpu = spec?.targetCPUUtilizationPercentage;
  const metrics = (parse<Source[]>(text('metrics')) ?? []).map((m) => convert(m, 'specFrom') as Metric);
  if (cpu !== undefined) metrics.push(cpuMetric(cpu));
  const behavior = lowered(parse(text('behavior'))) as Spec['behavior'] | undefined;
  const kept = Object.entries(metadata?.annotations ?? {}).filter(([k]) => !ANNOTATIONS.includes(k));
  const current = parse<Source[]>(text('current-metrics'))?.map((m) => convert(m, 'statusFrom'));
  const used = status?.currentCPUUtilizationPercentage;
  const { observedGeneration, lastScaleTime, currentReplicas, desiredReplicas = 0 } = status ?? {};
  return {
    kind: 'HorizontalPodAutoscaler',
    apiVersion: 'autoscaling/v2',
    metadata: { ...metadata, annotations: kept.length > 0 ? Object.fromEntries(kept) : undefined },
    spec: {
      scaleTargetRef: spec?.scaleTargetRef,
      minReplicas: spec?.minReplicas,
      maxReplicas: spec?.maxReplicas,
      metrics: metrics.length > 0 ? metrics : [cpuMetric()],
      behavior: behavior && Object.keys(behavior).length > 0 ? behavior : undefined,
    },
    status: {
      observedGeneration,
      lastScaleTime,
      currentReplicas,
      desiredReplicas,
      currentMetrics:
        current ??
        (used === undefined
          ? null
          : [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: used } } }]),
      conditions: parse(text('conditions')),
    },
  } as unknown as Autoscaler;
}
