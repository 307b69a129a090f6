/** ReplicationControllers. */
import type * as k8s from '@kubernetes/client-node';
import type { Json, PodTemplateSpec } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { podSpecDefaults } from '../pods/defaults.ts';
import { podTemplate } from '../pods/template.ts';
import { rules, statusRules } from '../rules.ts';
import { age, containerCells, labelsCell, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { selectorMatches, type Labels } from '../validation/values.ts';
import { alwaysRestarts, nameAndTemplateWarnings, nonNegative, replicaCounts, scale } from './workload.ts';

type Controller = Json<k8s.V1ReplicationController>;

function spec(f: Field<Controller>): void {
  const s = f.get('spec');
  nonNegative(s, 'minReadySeconds', 'replicas');
  if (!s.get('replicas').isSet) s.get('replicas').missing();
  const selector = s.get('selector') as Field<Labels>;
  selector.required();
  const template = s.get('template') as Field<PodTemplateSpec>;
  if (!template.isSet) return void template.missing();
  const labels = template.value?.metadata?.labels as Labels | undefined;
  if (!selector.isEmpty && !selectorMatches({ matchLabels: selector.value }, labels)) {
    template
      .named('metadata')
      .named('labels', labels ?? {})
      .invalid('`selector` does not match template `labels`');
  }
  podTemplate(template);
  alwaysRestarts(template, 'ReplicationController');
}

/** Selector and labels are the template's when nothing else is said. */
function defaults(c: Controller): void {
  const s = (c.spec ??= {});
  s.replicas ??= 1;
  if (!s.template) return;
  podSpecDefaults((s.template.spec ??= { containers: [] }));
  const labels = s.template.metadata?.labels;
  if (!labels) return;
  if (Object.keys(s.selector ?? {}).length === 0) s.selector = { ...labels };
  if (Object.keys(c.metadata?.labels ?? {}).length === 0) (c.metadata ??= {}).labels = { ...labels };
}

export const replicationControllers = define<Controller>(
  '',
  'replicationcontrollers',
  'ReplicationController',
  'Namespaced',
  {
    defaultPropagation: 'Orphan',
    strategy: {
      ...specAndStatus<Controller>({ prepareForCreate: (c) => void (c.status = { replicas: 0 }) }),
      defaults,
      ...rules<Controller>({ scope: 'Namespaced', anyGenerateName: true, always: spec }),
      // Updates warn of nothing, unlike those of ReplicaSets.
      warnings: (c, old) => (old ? [] : nameAndTemplateWarnings(c, old)),
    },
    subresources: {
      status: statusEndpoint<Controller>(statusRules<Controller>((f) => replicaCounts(f.get('status')))),
      scale: scale((c) => (c.spec?.selector ? { matchLabels: c.spec.selector as Labels } : undefined)),
    },
    selectableFields: (c) => ({ 'status.replicas': String(c.status?.replicas ?? 0) }),
    table: {
      cells: (c, now) => [
        nameOf(c),
        c.spec?.replicas ?? 0,
        c.status?.replicas ?? 0,
        c.status?.readyReplicas ?? 0,
        age(c, now),
        ...containerCells(c.spec?.template?.spec),
        labelsCell(c.spec?.selector),
      ],
    },
  },
);
