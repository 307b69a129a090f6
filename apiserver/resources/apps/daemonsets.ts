/** DaemonSets. */
import { semanticEqual } from '../../../api/meta.ts';
import { badRequest } from '../../../api/status.ts';
import type { DaemonSet, DeepReadonly } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { podSpecDefaults } from '../pods/defaults.ts';
import { rules, statusRules } from '../rules.ts';
import { age, labelsCell, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { intOrPercentValue, notOver100Percent, positiveIntOrPercent, type IntOrString } from '../validation/values.ts';
import {
  collisions,
  nonNegative,
  selectorAndTemplate,
  templateWarnings,
  wideCells,
  type WorkloadSpec,
} from './workload.ts';

/** The number of template changes, kept as an annotation since its field is gone. */
const TEMPLATE_GENERATION = 'deprecated.daemonset.template.generation';

function setTemplateGeneration(d: DaemonSet, value: string | undefined): void {
  const meta = (d.metadata ??= {});
  if (value === undefined) {
    if (meta.annotations) delete meta.annotations[TEMPLATE_GENERATION];
  } else (meta.annotations ??= {})[TEMPLATE_GENERATION] = value;
}

function spec(f: Field<DaemonSet>): void {
  const s = f.get('spec');
  selectorAndTemplate(s as Field<WorkloadSpec>, { kind: 'daemonset', selectorRequired: false });
  nonNegative(s, 'minReadySeconds', 'revisionHistoryLimit');
  const strategy = s.get('updateStrategy');
  if (strategy.value?.type === 'OnDelete') return;
  if (strategy.value?.type !== 'RollingUpdate')
    return void strategy.notSupported(['RollingUpdate', 'OnDelete'], strategy.value);
  const rolling = strategy.get('rollingUpdate');
  if (!rolling.isSet) return void rolling.missing();
  const unavailable = rolling.get('maxUnavailable') as Field<IntOrString>;
  const surge = rolling.get('maxSurge') as Field<IntOrString>;
  for (const v of [unavailable, surge]) {
    positiveIntOrPercent(v);
    notOver100Percent(v);
  }
  const hasUnavailable = intOrPercentValue(unavailable.value) !== 0;
  const hasSurge = intOrPercentValue(surge.value) !== 0;
  if (hasUnavailable && hasSurge) surge.invalid('may not be set when maxUnavailable is non-zero');
  if (!hasUnavailable && !hasSurge) unavailable.missing('cannot be 0 when maxSurge is 0');
}

function defaults(d: DaemonSet): void {
  const generation = d.metadata?.annotations?.[TEMPLATE_GENERATION];
  if (generation === undefined) setTemplateGeneration(d, '0');
  else if (!/^[+-]?\d+$/.test(generation))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(generation)}: invalid syntax`);
  const s = (d.spec ??= {} as NonNullable<DaemonSet['spec']>);
  const strategy = (s.updateStrategy ??= {});
  strategy.type ||= 'RollingUpdate';
  if (strategy.type === 'RollingUpdate') {
    const rolling = (strategy.rollingUpdate ??= {});
    rolling.maxUnavailable ??= 1 as never;
    rolling.maxSurge ??= 0 as never;
  }
  s.revisionHistoryLimit ??= 10;
  podSpecDefaults(((s.template ??= {} as NonNullable<typeof s.template>).spec ??= { containers: [] }));
}

const base = specAndStatus<DaemonSet>();

export const daemonSets = define<DaemonSet>('apps', 'daemonsets', 'DaemonSet', 'Namespaced', {
  fillEmpty: (o) => void ((o.metadata!.annotations ??= {})['deprecated.daemonset.template.generation'] = '0'),
  specAnnotations: [TEMPLATE_GENERATION],
  strategy: {
    ...base,
    defaults,
    prepareForCreate(d, ctx) {
      base.prepareForCreate?.(d, ctx);
      setTemplateGeneration(d, '1');
      (d.status as Record<string, unknown>) = ZERO();
    },
    prepareForUpdate(d, old, ctx) {
      base.prepareForUpdate?.(d, old, ctx);
      const before = Number(old.metadata?.annotations?.[TEMPLATE_GENERATION] ?? 0);
      const changed = !semanticEqual(d.spec?.template, old.spec?.template);
      setTemplateGeneration(d, String(changed ? before + 1 : before));
    },
    ...rules<DaemonSet>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      always: spec,
      update: (f, old) => f.get('spec').get('selector').immutable(old.spec?.selector),
    }),
    warnings: (d, old) =>
      old && semanticEqual(d.spec?.template, old.spec?.template)
        ? []
        : templateWarnings(d.spec?.template, 'spec.template'),
  },
  subresources: {
    status: statusEndpoint<DaemonSet>({
      prepareForUpdate: (d, old) => setTemplateGeneration(d, old.metadata?.annotations?.[TEMPLATE_GENERATION]),
      ...statusRules<DaemonSet>((f, old) => {
        const s = f.get('status');
        nonNegative(
          s,
          'currentNumberScheduled',
          'numberMisscheduled',
          'desiredNumberScheduled',
          'numberReady',
          'observedGeneration',
          'updatedNumberScheduled',
          'numberAvailable',
          'numberUnavailable',
          'collisionCount',
        );
        collisions(s, old.status?.collisionCount);
      }),
    }),
  },
  table: {
    cells: (d, now) => [
      nameOf(d),
      d.status?.desiredNumberScheduled ?? 0,
      d.status?.currentNumberScheduled ?? 0,
      d.status?.numberReady ?? 0,
      d.status?.updatedNumberScheduled ?? 0,
      d.status?.numberAvailable ?? 0,
      labelsCell(d.spec?.template?.spec?.nodeSelector),
      age(d, now),
      ...wideCells(d.spec as DeepReadonly<WorkloadSpec>),
    ],
  },
});

/** A new status; these counts are always written out. */
const ZERO = () => ({ currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 });
