/** Pod disruption budgets. */
import type * as k8s from '@kubernetes/client-node';
import type { Json, LabelSelector } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { rules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import { Field } from '../validation/field.ts';
import { pathSegment } from '../validation/names.ts';
import {
  conditions,
  type IntOrString,
  labelSelector,
  notOver100Percent,
  positiveIntOrPercent,
} from '../validation/values.ts';

type Budget = Json<k8s.V1PodDisruptionBudget>;
const NO_COUNTS = { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 };

function budget(f: Field<Budget>, laxSelector: boolean): void {
  const spec = f.get('spec');
  const { minAvailable, maxUnavailable } = f.value?.spec ?? {};
  if (minAvailable !== undefined && maxUnavailable !== undefined)
    spec.invalid('minAvailable and maxUnavailable cannot be both set');
  for (const k of ['minAvailable', 'maxUnavailable'] as const) {
    const value = spec.get(k) as Field<unknown> as Field<IntOrString>;
    if (!value.isSet) continue;
    positiveIntOrPercent(value);
    notOver100Percent(value);
  }
  labelSelector(spec.get('selector') as Field<LabelSelector>, { allowInvalidValues: laxSelector });
  spec.get('unhealthyPodEvictionPolicy').oneOf(['AlwaysAllow', 'IfHealthyBudget']);
}

function hasBadSelector(b: Budget): boolean {
  const f = new Field<Budget>(b, []);
  labelSelector(f.get('spec').get('selector') as Field<LabelSelector>);
  return f.errors.length > 0;
}

export const podDisruptionBudgets = define<Budget>(
  'policy',
  'poddisruptionbudgets',
  'PodDisruptionBudget',
  'Namespaced',
  {
    allowUnconditionalUpdate: false,
    strategy: {
      ...specAndStatus<Budget>({ prepareForCreate: (b) => void (b.status = { ...NO_COUNTS }) }),
      // The name may be anything that fits into a path.
      ...rules<Budget>({
        scope: 'Namespaced',
        name: pathSegment,
        anyFinalizer: true,
        metadataLast: true,
        always: (f, _ctx, old) => budget(f, !!old && hasBadSelector(old as Budget)),
      }),
    },
    subresources: {
      status: statusEndpoint<Budget>({
        validateUpdate(b) {
          const f = new Field<Budget>(b, []).get('status');
          conditions(f.get('conditions'));
          for (const k of ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const)
            f.get(k).nonNegative();
          return f.errors;
        },
      }),
    },
    table: {
      cells: (b, now) => [
        nameOf(b),
        String(b.spec?.minAvailable ?? 'N/A'),
        String(b.spec?.maxUnavailable ?? 'N/A'),
        b.status?.disruptionsAllowed ?? 0,
        age(b, now),
      ],
    },
  },
);
