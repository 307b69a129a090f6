/** Deployments and ReplicaSets. */
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import { formatLabelSelector } from '../../../api/selectors.ts';
import type { DeepReadonly, Deployment, PodTemplateSpec, ReplicaSet } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { podSpecDefaults } from '../pods/defaults.ts';
import { rules, statusRules } from '../rules.ts';
import { age, containerCells, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { intOrPercentValue, notOver100Percent, positiveIntOrPercent, type IntOrString } from '../validation/values.ts';
import {
  collisions,
  isReadable,
  nameAndTemplateWarnings,
  nonNegative,
  notAbove,
  replicaCounts,
  scale,
  selectorAndTemplate,
  wideCells,
  type WorkloadSpec,
} from './workload.ts';

const STRATEGIES = ['Recreate', 'RollingUpdate'];

function deploymentSpec(f: Field<Deployment>): void {
  const spec = f.get('spec');
  nonNegative(spec, 'replicas', 'minReadySeconds', 'revisionHistoryLimit', 'progressDeadlineSeconds');
  selectorAndTemplate(spec as Field<WorkloadSpec>, { kind: 'deployment' });
  const strategy = spec.get('strategy');
  const rolling = strategy.get('rollingUpdate');
  switch (strategy.value?.type) {
    case 'Recreate':
      if (rolling.isSet) rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
      break;
    case 'RollingUpdate': {
      const unavailable = rolling.get('maxUnavailable') as Field<IntOrString>;
      const surge = rolling.get('maxSurge') as Field<IntOrString>;
      positiveIntOrPercent(unavailable);
      positiveIntOrPercent(surge);
      if (intOrPercentValue(unavailable.value) === 0 && intOrPercentValue(surge.value) === 0)
        unavailable.invalid('may not be 0 when `maxSurge` is 0');
      notOver100Percent(unavailable);
      break;
    }
    default:
      strategy.notSupported(STRATEGIES, strategy.value);
  }
  const deadline = spec.get('progressDeadlineSeconds');
  if (deadline.isSet && deadline.value! <= (spec.value?.minReadySeconds ?? 0))
    deadline.invalid('must be greater than minReadySeconds');
}

function deploymentDefaults(d: Deployment): void {
  const spec = (d.spec ??= {} as NonNullable<Deployment['spec']>);
  spec.replicas ??= 1;
  const strategy = (spec.strategy ??= {});
  strategy.type ||= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {});
    rolling.maxUnavailable ??= '25%' as never;
    rolling.maxSurge ??= '25%' as never;
  }
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  podSpecDefaults(((spec.template ??= {} as PodTemplateSpec).spec ??= { containers: [] }));
}

const base = specAndStatus<Deployment>();

export const deployments = define<Deployment>('apps', 'deployments', 'Deployment', 'Namespaced', {
  fillEmpty: (o) => void (o.spec!.replicas = 0),
  strategy: {
    ...base,
    defaults: deploymentDefaults,
    prepareForUpdate(d, old, ctx) {
      base.prepareForUpdate?.(d, old, ctx);
      if (!semanticEqual(d.metadata?.annotations, old.metadata?.annotations))
        d.metadata!.generation = (old.metadata?.generation ?? 0) + 1;
    },
    ...rules<Deployment>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      always: deploymentSpec,
      update: (f, old) => f.get('spec').get('selector').immutable(old.spec?.selector),
    }),
    warnings: nameAndTemplateWarnings,
  },
  subresources: {
    status: statusEndpoint<Deployment>({
      resetFields: [['spec'], ['metadata', 'labels']],
      prepareForUpdate: (d, old) => void (d.metadata!.labels = deepCopy(old.metadata?.labels) as never),
      ...statusRules<Deployment>((f, old) => {
        const s = f.get('status');
        nonNegative(
          s,
          'observedGeneration',
          'replicas',
          'updatedReplicas',
          'readyReplicas',
          'availableReplicas',
          'unavailableReplicas',
          'terminatingReplicas',
          'collisionCount',
        );
        notAbove(s, 'replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas');
        notAbove(s, 'readyReplicas', 'availableReplicas');
        collisions(s, old.status?.collisionCount);
      }),
    }),
    scale: scale((d) => d.spec?.selector as never),
  },
  table: {
    cells: (d, now) => [
      nameOf(d),
      `${d.status?.readyReplicas ?? 0}/${d.spec?.replicas ?? 0}`,
      d.status?.updatedReplicas ?? 0,
      d.status?.availableReplicas ?? 0,
      age(d, now),
      ...containerCells(d.spec?.template?.spec),
      isReadable(d.spec?.selector as never) ? selectorText(d) : '<invalid>',
    ],
  },
});

const selectorText = (d: DeepReadonly<Deployment>) => (d.spec?.selector ? formatLabelSelector(d.spec.selector) : '');

function replicaSetSpec(f: Field<ReplicaSet>): void {
  const spec = f.get('spec');
  nonNegative(spec, 'replicas', 'minReadySeconds');
  selectorAndTemplate(spec as Field<WorkloadSpec>, { kind: 'deployment' });
}

export const replicaSets = define<ReplicaSet>('apps', 'replicasets', 'ReplicaSet', 'Namespaced', {
  fillEmpty: (o) => void (o.spec!.replicas = 0),
  strategy: {
    ...specAndStatus<ReplicaSet>({ prepareForCreate: (r) => void (r.status = { replicas: 0 }) }),
    defaults(r) {
      const spec = (r.spec ??= {} as NonNullable<ReplicaSet['spec']>);
      spec.replicas ??= 1;
      podSpecDefaults(((spec.template ??= {}).spec ??= { containers: [] }));
    },
    ...rules<ReplicaSet>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      always: replicaSetSpec,
      update: (f, old) => f.get('spec').get('selector').immutable(old.spec?.selector),
    }),
    warnings: nameAndTemplateWarnings,
  },
  subresources: {
    status: statusEndpoint<ReplicaSet>(statusRules<ReplicaSet>((f) => replicaCounts(f.get('status')))),
    scale: scale((r) => r.spec?.selector as never),
  },
  table: {
    cells: (r, now) => [
      nameOf(r),
      r.spec?.replicas ?? 0,
      r.status?.replicas ?? 0,
      r.status?.readyReplicas ?? 0,
      age(r, now),
      ...wideCells(r.spec as DeepReadonly<WorkloadSpec>),
    ],
  },
});
