/** Small kinds about running things: leases, priority classes, runtime classes. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import { define } from '../define.ts';
import { tolerations } from '../pods/scheduling.ts';
import { deprecatedNodeLabel } from '../pods/warnings.ts';
import { containerResources } from '../pods/resources.ts';
import { rules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Label } from '../validation/names.ts';
import { labels, type Labels } from '../validation/values.ts';

type Lease = Json<k8s.V1Lease>;

/** The fields of coordinated leader election, which is off. */
function dropCoordination(l: Lease): void {
  delete l.spec?.strategy;
  delete l.spec?.preferredHolder;
}

export const leases = define<Lease>('coordination.k8s.io', 'leases', 'Lease', 'Namespaced', {
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  strategy: {
    prepareForCreate: dropCoordination,
    prepareForUpdate: dropCoordination,
    ...rules<Lease>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      anyFinalizer: true,
      always(f) {
        f.get('spec').get('leaseDurationSeconds').positive();
        f.get('spec').get('leaseTransitions').nonNegative();
      },
    }),
  },
  table: { cells: (l, now) => [nameOf(l), l.spec?.holderIdentity ?? '', age(l, now)] },
});

type PriorityClass = Json<k8s.V1PriorityClass>;
const HIGHEST_USER_PRIORITY = 1_000_000_000;
const SYSTEM_CLASSES: Record<string, number> = {
  'system-cluster-critical': 2 * HIGHEST_USER_PRIORITY,
  'system-node-critical': 2 * HIGHEST_USER_PRIORITY + 1000,
};

export const priorityClasses = define<PriorityClass>(
  'scheduling.k8s.io',
  'priorityclasses',
  'PriorityClass',
  'Cluster',
  {
    strategy: {
      defaults: (p) => void (p.preemptionPolicy ??= 'PreemptLowerPriority'),
      prepareForCreate: (p) => void ((p.metadata ??= {}).generation = 1),
      ...rules<PriorityClass>({
        scope: 'Cluster',
        anyGenerateName: 'update',
        create(f) {
          const { metadata, value, globalDefault } = f.value!;
          const name = metadata?.name ?? '';
          if (name.startsWith('system-')) {
            if (SYSTEM_CLASSES[name] !== value || globalDefault) {
              f.get('metadata')
                .get('name')
                .forbidden("priority class names with 'system-' prefix are reserved for system use only");
            }
          } else if ((value ?? 0) > HIGHEST_USER_PRIORITY) {
            f.get('value').forbidden(`maximum allowed value of a user defined priority is ${HIGHEST_USER_PRIORITY}`);
          }
          f.get('preemptionPolicy').with((p) => p.enumerated(['PreemptLowerPriority', 'Never']));
        },
        update(f, old) {
          if ((f.value?.value ?? 0) !== (old.value ?? 0)) f.get('value').forbidden('may not be changed in an update.');
          f.get('preemptionPolicy').immutable(old.preemptionPolicy);
        },
      }),
    },
    table: {
      cells: (p, now) => [nameOf(p), p.value ?? 0, p.globalDefault ?? false, age(p, now), p.preemptionPolicy ?? ''],
    },
  },
);

type RuntimeClass = Json<k8s.V1RuntimeClass>;

export const runtimeClasses = define<RuntimeClass>('node.k8s.io', 'runtimeclasses', 'RuntimeClass', 'Cluster', {
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  strategy: {
    ...rules<RuntimeClass>({
      scope: 'Cluster',
      anyFinalizer: true,
      always(f) {
        f.get('handler').requiredFormat(dns1123Label);
        const overhead = f.value?.overhead;
        if (overhead)
          containerResources(f.named('overhead', { limits: overhead.podFixed }) as never, new Set(), { isPod: false });
        const scheduling = f.get('scheduling');
        labels(scheduling.get('nodeSelector') as Field<Labels>);
        const list = scheduling.get('tolerations');
        tolerations(list as never);
        list.unique((t) => JSON.stringify([t.key, t.operator, t.value, t.effect]));
      },
      update: (f, old) => f.get('handler').immutable(old.handler),
    }),
    warnings: (r) =>
      Object.keys(r.scheduling?.nodeSelector ?? {}).flatMap((k) => {
        const m = deprecatedNodeLabel(k);
        return m ? [`scheduling.nodeSelector: ${m}`] : [];
      }),
  },
  table: { cells: (r, now) => [nameOf(r), r.handler, age(r, now)] },
});
