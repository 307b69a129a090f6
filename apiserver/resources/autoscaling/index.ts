/** HorizontalPodAutoscalers: stored as autoscaling/v2, also served as v1. */
import type * as k8s from '@kubernetes/client-node';
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly, Json, KubeObject } from '../../../api/types.ts';
import { define, schemaName, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf, NONE, UNKNOWN, UNSET } from '../table.ts';
import { Field } from '../validation/field.ts';
import { dns1123Label, pathSegment } from '../validation/names.ts';
import { containerResourceName, nonNegativeQuantity, quantity } from '../validation/values.ts';
import { type Autoscaler, cpuMetric, fromV1, type Metric, type Spec, type Target, toV1 } from './v1.ts';

type Old = DeepReadonly<Autoscaler>;
type Behavior = NonNullable<Spec['behavior']>;
type ScalingRules = Json<k8s.V2HPAScalingRules>;
type Reference = Json<k8s.V2CrossVersionObjectReference>;
type Identifier = Json<k8s.V2MetricIdentifier>;

const PERIOD = 15;
const perPeriod = (type: string, value: number) => ({ type, value, periodSeconds: PERIOD });
const scaleUp = (): ScalingRules => ({
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [perPeriod('Pods', 4), perPeriod('Percent', 100)],
});
const scaleDown = (): ScalingRules => ({ selectPolicy: 'Max', policies: [perPeriod('Percent', 100)] });

/** Policies of null are those that weren't given; an empty list stays and is refused. */
function given(r: ScalingRules | undefined): ScalingRules {
  const { policies, ...rest } = r ?? {};
  return policies ? { ...rest, policies } : rest;
}

function defaults(a: Autoscaler, apiVersion: string): void {
  const s = a.spec;
  if (!s) return;
  s.minReplicas ??= 1;
  if (apiVersion === 'autoscaling/v1') return;
  if (!s.metrics?.length) s.metrics = [cpuMetric()];
  if (!s.behavior) return;
  s.behavior = {
    scaleUp: { ...scaleUp(), ...given(s.behavior.scaleUp) },
    scaleDown: { ...scaleDown(), ...given(s.behavior.scaleDown) },
  };
}

interface ReferenceOptions {
  anyVersion?: boolean;
  coreGroup?: boolean;
}
function badVersion(ref: DeepReadonly<Reference> | undefined, coreGroup: boolean | undefined): string | undefined {
  const parts = (ref?.apiVersion ?? '').split('/');
  if (parts.length > 2) return `unexpected GroupVersion string: ${ref?.apiVersion}`;
  return parts.length < 2 && !coreGroup ? 'apiVersion must specify API group' : undefined;
}
function reference(f: Field<Reference>, o: ReferenceOptions): void {
  f.get('kind').requiredFormat(pathSegment);
  f.get('name').requiredFormat(pathSegment);
  const bad = badVersion(f.value, o.coreGroup);
  if (!o.anyVersion && bad) f.get('apiVersion').invalid(bad);
}

const identifier = (f: Field<Identifier>) => f.get('name').requiredFormat(pathSegment);

function target(f: Field<Target>): void {
  const type = f.get('type').required('must specify a metric target type');
  type.check(
    ['Utilization', 'Value', 'AverageValue'].includes(f.value?.type ?? ''),
    'must be either Utilization, Value, or AverageValue',
  );
  for (const k of ['value', 'averageValue'] as const) {
    const amount = f.get(k);
    if (amount.isSet) amount.check(quantity(amount.value).sign > 0, 'must be positive');
  }
  const percent = f.get('averageUtilization');
  if (percent.isSet) percent.check(percent.value! >= 1, 'must be greater than 0');
}

/** A resource's target: a share of what is requested, or an amount. */
function shareOrAmount(t: Field<Target>): void {
  target(t);
  const { averageUtilization, averageValue } = t.value ?? {};
  if (averageUtilization === undefined && averageValue === undefined)
    t.get('averageUtilization').missing('must set either a target raw value or a target utilization');
  if (averageUtilization !== undefined && averageValue !== undefined)
    t.get('averageValue').forbidden('may not set both a target raw value and a target utilization');
}
/** The target of a metric that isn't a pod's own. */
function valueOrAverage(t: Field<Target>): void {
  target(t);
  if (t.value?.value === undefined && t.value?.averageValue === undefined)
    t.get('averageValue').missing('must set either a target value or averageValue');
}

/** Rules by kind of metric, in the order they are looked at. */
function sources(o: ReferenceOptions): [type: string, member: keyof Metric, rule: (f: Field<Metric>) => void][] {
  return [
    [
      'Object',
      'object',
      (f) => {
        const s = f.get('object');
        reference(s.get('describedObject'), o);
        identifier(s.get('metric'));
        valueOrAverage(s.get('target'));
      },
    ],
    [
      'External',
      'external',
      (f) => {
        const s = f.get('external');
        identifier(s.get('metric'));
        valueOrAverage(s.get('target'));
        const { value, averageValue } = s.value?.target ?? {};
        if (value !== undefined && averageValue !== undefined)
          s.get('target').get('value').forbidden('may not set both a target value for metric and a per-pod target');
      },
    ],
    [
      'Pods',
      'pods',
      (f) => {
        const s = f.get('pods');
        identifier(s.get('metric'));
        target(s.get('target'));
        if (s.value?.target?.averageValue === undefined)
          s.get('target').get('averageValue').missing('must specify a positive target averageValue');
      },
    ],
    [
      'Resource',
      'resource',
      (f) => {
        f.get('resource').get('name').required('must specify a resource name');
        shareOrAmount(f.get('resource').get('target'));
      },
    ],
    [
      'ContainerResource',
      'containerResource',
      (f) => {
        const s = f.get('containerResource');
        const name = s.get('name');
        if (name.need('must specify a resource name')) containerResourceName(name, name.value!);
        s.get('container').required('must specify a container').format(dns1123Label);
        shareOrAmount(s.get('target'));
      },
    ],
  ];
}

function metricSpec(f: Field<Metric>, all: ReturnType<typeof sources>): void {
  const type = f.get('type');
  const known = all.find(([t]) => t === f.value?.type);
  if (type.isEmpty) type.missing('must specify a metric source type');
  if (!known) type.notSupported(all.map(([t]) => t).sort(), f.value?.type ?? '');
  const present = all.filter(([, m]) => f.value?.[m] !== undefined);
  present[0]?.[2](f);
  if (known && f.value?.[known[1]] === undefined)
    f.get(known[1]).missing('must populate information for the given metric source');
  if (present.length > 1) {
    for (const [, m] of present) if (m !== known?.[1]) f.get(m).forbidden('must populate the given metric source only');
  } else if (present.length === 1 && !known) return;
}

function scalingRules(f: Field<ScalingRules>): void {
  const window = f.get('stabilizationWindowSeconds');
  window.nonNegative().check((window.value ?? 0) <= 3600, 'must be less than or equal to 3600');
  f.get('selectPolicy').oneOf(['Disabled', 'Max', 'Min']);
  f.get('policies')
    .required('must specify at least one Policy')
    .each((p) => {
      p.get('type').oneOf(['Percent', 'Pods']);
      if (!p.get('type').isSet) p.get('type').notSupported(['Percent', 'Pods'], '');
      p.get('value').check((p.value?.value ?? 0) > 0, 'must be greater than zero');
      const seconds = p.get('periodSeconds');
      seconds.check((seconds.value ?? 0) > 0, 'must be greater than zero');
      seconds.check((seconds.value ?? 0) <= 1800, 'must be less than or equal to 1800');
    });
  if (f.get('tolerance').isSet) nonNegativeQuantity(f.get('tolerance') as Field<string>);
}

function spec(f: Field<Spec>, old: Old | undefined): void {
  const s = f.value!;
  const ref = s.scaleTargetRef;
  const before = old?.spec?.scaleTargetRef;
  const toZero = old?.spec?.minReplicas === 0;
  const min = f.get('minReplicas');
  if (min.isSet) min.check(min.value! >= (toZero ? 0 : 1), `must be greater than or equal to ${toZero ? 0 : 1}`);
  const max = f.get('maxReplicas');
  max.required('must be set and greater than 0').check((max.value ?? 0) >= 0, 'must be greater than or equal to 1');
  if (min.isSet) max.check((max.value ?? 0) >= min.value!, 'must be greater than or equal to `minReplicas`');
  reference(f.get('scaleTargetRef'), {
    anyVersion: !!before && before.apiVersion === ref?.apiVersion && before.kind === ref?.kind,
    coreGroup: ref?.kind === 'ReplicationController',
  });
  const stored = (old?.spec?.metrics ?? []).some(
    (m) => m.type === 'Object' && m.object && badVersion(m.object.describedObject, true),
  );
  const all = sources({ coreGroup: true, anyVersion: stored });
  f.get('metrics').each((m) => metricSpec(m, all));
  if (min.value === 0 && !s.metrics?.some((m) => m.type === 'Object' || m.type === 'External')) {
    f.get('metrics').forbidden(
      'must specify at least one Object or External metric to support scaling to zero replicas',
    );
  }
  const behavior = f.get('behavior') as Field<Behavior>;
  behavior.get('scaleUp').with(scalingRules);
  behavior.get('scaleDown').with(scalingRules);
}

type Status = DeepReadonly<Json<k8s.V2MetricStatus>>;
const percent = (n: number | undefined, otherwise: string) => (n === undefined ? otherwise : `${n}%`);

/** One metric as `kubectl get hpa` shows it: what is, and what is wanted. */
function metricCell(m: DeepReadonly<Metric>, now: Status | undefined): string {
  switch (m.type) {
    case 'Pods':
      return `${now?.pods?.current.averageValue ?? UNKNOWN}/${m.pods?.target.averageValue}`;
    case 'Object':
    case 'External': {
      const k = m.type === 'Object' ? 'object' : 'external';
      const { value, averageValue } = m[k]!.target;
      const current = now?.[k]?.current;
      return averageValue === undefined
        ? `${current?.value ?? UNKNOWN}/${value}`
        : `${current?.averageValue ?? UNKNOWN}/${averageValue} (avg)`;
    }
    case 'Resource':
    case 'ContainerResource': {
      const k = m.type === 'Resource' ? 'resource' : 'containerResource';
      const { averageValue, averageUtilization } = m[k]!.target;
      const current = now?.[k]?.current;
      const shown =
        averageValue === undefined
          ? `${percent(current?.averageUtilization, UNKNOWN)}/${percent(averageUtilization, '<auto>')}`
          : `${current?.averageValue ?? UNKNOWN}/${averageValue}`;
      return `${m[k]!.name}: ${shown}`;
    }
    default:
      return '<unknown type>';
  }
}
const SHOWN = 2;
function metricsCell(a: Old): string {
  const list = a.spec?.metrics ?? [];
  if (list.length === 0) return NONE;
  const cells = list.slice(0, SHOWN).map((m, i) => metricCell(m, a.status?.currentMetrics?.[i]));
  return cells.join(', ') + (list.length > SHOWN ? ` + ${list.length - SHOWN} more...` : '');
}

const emptyStatus = () => ({ desiredReplicas: 0, currentMetrics: null }) as unknown as Autoscaler['status'];

export const horizontalPodAutoscalers = define<Autoscaler>(
  'autoscaling',
  'horizontalpodautoscalers',
  'HorizontalPodAutoscaler',
  'Namespaced',
  {
    version: 'v2',
    strategy: {
      resetFields: [['status']],
      defaults,
      prepareForCreate: (a) => void (a.status = emptyStatus()),
      prepareForUpdate: (a, old) => void (a.status = (deepCopy(old.status) as Autoscaler['status']) ?? emptyStatus()),
      ...rules<Autoscaler>({
        scope: 'Namespaced',
        anyGenerateName: 'update',
        always: (f, _ctx, old) => spec(f.get('spec') as Field<Spec>, old),
      }),
    },
    subresources: {
      status: statusEndpoint<Autoscaler>(
        statusRules((f) => {
          f.get('status').get('currentReplicas').nonNegative();
          f.get('status').get('desiredReplicas').nonNegative();
        }),
      ),
    },
    otherVersions: [
      {
        group: 'autoscaling',
        version: 'v1',
        schema: schemaName('autoscaling', 'v1', 'HorizontalPodAutoscaler'),
        fromStorage: toV1,
        toStorage: fromV1,
      },
    ],
    table: {
      cells(shown, now) {
        const a = shown.apiVersion === 'autoscaling/v1' ? fromV1(shown as KubeObject) : shown;
        return [
          nameOf(a),
          `${a.spec?.scaleTargetRef?.kind ?? ''}/${a.spec?.scaleTargetRef?.name ?? ''}`,
          metricsCell(a),
          a.spec?.minReplicas === undefined ? UNSET : String(a.spec.minReplicas),
          a.spec?.maxReplicas ?? 0,
          a.status?.currentReplicas ?? 0,
          age(a, now),
        ];
      },
    },
  },
);
