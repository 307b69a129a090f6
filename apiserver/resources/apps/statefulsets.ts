/** StatefulSets and ControllerRevisions. */
import type * as k8s from '@kubernetes/client-node';
import { deepEqual, semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Json, PodTemplateSpec, StatefulSet } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { podSpecDefaults } from '../pods/defaults.ts';
import { rules, statusRules } from '../rules.ts';
import { claimSpec } from '../storage/claim-spec.ts';
import { age, containerCells, nameOf, NONE } from '../table.ts';
import { Field } from '../validation/field.ts';
import { dns1123Label } from '../validation/names.ts';
import { intOrPercentValue, notOver100Percent, positiveIntOrPercent, type IntOrString } from '../validation/values.ts';
import {
  changedTemplateWarnings,
  collisions,
  nonNegative,
  notAbove,
  scale,
  selectorAndTemplate,
  type WorkloadSpec,
} from './workload.ts';

type Old = DeepReadonly<StatefulSet>;
const RETENTION = ['Retain', 'Delete'];

/** The template as its pods will have it: claims as volumes, host name and subdomain from the set. */
function effectiveTemplate(set: StatefulSet): PodTemplateSpec | undefined {
  const template = set.spec?.template;
  if (!template?.spec) return template;
  const claims = (set.spec?.volumeClaimTemplates ?? []).map((c) => c.metadata?.name ?? '');
  const { subdomain: _s, hostname: _h, ...spec } = template.spec;
  if (claims.length > 0) {
    const own = (spec.volumes ?? []).filter((v) => !claims.includes(v.name));
    spec.volumes = [
      ...[...new Set(claims)].map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
      ...own,
    ];
  }
  return { ...template, spec };
}

function spec(f: Field<StatefulSet>, old: Old | undefined): void {
  const s = f.get('spec');
  const policy = s.get('podManagementPolicy');
  if (policy.need())
    policy.check(['OrderedReady', 'Parallel'].includes(policy.value!), "must be 'OrderedReady' or 'Parallel'");
  updateStrategy(s.get('updateStrategy'));
  const retention = s.get('persistentVolumeClaimRetentionPolicy');
  retention.with((r) => {
    for (const k of ['whenDeleted', 'whenScaled'] as const)
      if (!RETENTION.includes(r.value?.[k] ?? '')) r.get(k).notSupported(RETENTION);
  });
  if (!old) {
    s.get('volumeClaimTemplates').each((c) => claimSpec(c.get('spec')));
    s.get('serviceName').format(dns1123Label);
  }
  nonNegative(s, 'replicas', 'minReadySeconds');
  s.named('ordinals.start', s.value?.ordinals?.start).nonNegative();
  selectorAndTemplate(s as Field<WorkloadSpec>, {
    kind: 'statefulset',
    template: effectiveTemplate(f.value!),
    skipTemplate: old !== undefined && !isValid(old),
  });
}

/** Sets that were stored when rules were looser may keep what they have. */
function isValid(old: Old): boolean {
  const f = new Field<StatefulSet>(old as StatefulSet, []);
  const s = f.get('spec');
  selectorAndTemplate(s as Field<WorkloadSpec>, {
    kind: 'statefulset',
    template: effectiveTemplate(old as StatefulSet),
  });
  return f.errors.length === 0;
}

function updateStrategy(f: Field<Json<k8s.V1StatefulSetUpdateStrategy>>): void {
  const rolling = f.get('rollingUpdate');
  switch (f.value?.type) {
    case undefined:
    case '':
      f.missing();
      break;
    case 'OnDelete':
      if (rolling.isSet) rolling.invalid("only allowed for updateStrategy 'RollingUpdate'");
      break;
    case 'RollingUpdate': {
      rolling.get('partition').nonNegative();
      const max = rolling.get('maxUnavailable') as Field<IntOrString>;
      if (!max.isSet) break;
      positiveIntOrPercent(max);
      if (intOrPercentValue(max.value) === 0) max.invalid('cannot be 0');
      notOver100Percent(max);
      break;
    }
    default:
      f.invalid("must be 'RollingUpdate' or 'OnDelete'");
  }
}

const MUTABLE = [
  'replicas',
  'template',
  'updateStrategy',
  'minReadySeconds',
  'ordinals',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
] as const;

function fixedParts(s: unknown): object {
  const copy = { ...(s as Record<string, unknown>) };
  for (const k of MUTABLE) delete copy[k];
  return copy;
}

function defaults(set: StatefulSet): void {
  const s = (set.spec ??= {} as NonNullable<StatefulSet['spec']>);
  s.podManagementPolicy ||= 'OrderedReady';
  const strategy = (s.updateStrategy ??= {});
  if (!strategy.type) {
    strategy.type = 'RollingUpdate';
    strategy.rollingUpdate ??= {};
  }
  if (strategy.type === 'RollingUpdate' && strategy.rollingUpdate) strategy.rollingUpdate.partition ??= 0;
  const retention = (s.persistentVolumeClaimRetentionPolicy ??= {});
  retention.whenDeleted ||= 'Retain';
  retention.whenScaled ||= 'Retain';
  s.replicas ??= 1;
  s.revisionHistoryLimit ??= 10;
  for (const c of s.volumeClaimTemplates ?? []) {
    c.apiVersion = 'v1';
    c.kind = 'PersistentVolumeClaim';
    (c.spec ??= {}).volumeMode ??= 'Filesystem';
    (c.status ??= {}).phase ||= 'Pending';
  }
  podSpecDefaults(((s.template ??= {} as PodTemplateSpec).spec ??= { containers: [] }));
}

const base = specAndStatus<StatefulSet>();

export const statefulSets = define<StatefulSet>('apps', 'statefulsets', 'StatefulSet', 'Namespaced', {
  fillEmpty: (o) => void (o.spec!.replicas = 0),
  strategy: {
    ...base,
    defaults,
    prepareForCreate(set, ctx) {
      base.prepareForCreate?.(set, ctx);
      set.status = { replicas: 0, availableReplicas: 0 };
      delete set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable;
    },
    prepareForUpdate(set, old, ctx) {
      if (old.spec?.updateStrategy?.rollingUpdate?.maxUnavailable === undefined)
        delete set.spec?.updateStrategy?.rollingUpdate?.maxUnavailable;
      base.prepareForUpdate?.(set, old, ctx);
    },
    ...rules<StatefulSet>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      name: dns1123Label,
      always: (f, _ctx, old) => spec(f, old),
      update(f, old) {
        if (semanticEqual(fixedParts(f.value?.spec), fixedParts(old.spec))) return;
        f.get('spec').forbidden(
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', " +
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
      },
    }),
    warnings: (set, old) => [
      ...changedTemplateWarnings(set, old),
      ...((set.spec?.revisionHistoryLimit ?? 0) < 0
        ? ['spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended']
        : []),
    ],
  },
  subresources: {
    status: statusEndpoint<StatefulSet>(
      statusRules<StatefulSet>((f, old) => {
        const s = f.get('status');
        nonNegative(
          s,
          'replicas',
          'readyReplicas',
          'currentReplicas',
          'updatedReplicas',
          'availableReplicas',
          'observedGeneration',
          'collisionCount',
        );
        notAbove(s, 'replicas', 'readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas');
        notAbove(s, 'readyReplicas', 'availableReplicas');
        collisions(s, old.status?.collisionCount);
      }),
    ),
    scale: scale((s) => s.spec?.selector as never),
  },
  table: {
    cells: (s, now) => [
      nameOf(s),
      `${s.status?.readyReplicas ?? 0}/${s.spec?.replicas ?? 0}`,
      age(s, now),
      ...containerCells(s.spec?.template?.spec),
    ],
  },
});

type ControllerRevision = Json<k8s.V1ControllerRevision>;

export const controllerRevisions = define<ControllerRevision>(
  'apps',
  'controllerrevisions',
  'ControllerRevision',
  'Namespaced',
  {
    strategy: rules<ControllerRevision>({
      scope: 'Namespaced',
      always: (f) => void f.get('revision').nonNegative(),
      create(f) {
        const data = f.value?.data as unknown;
        const at = f.named('data', data);
        if (data === undefined || data === null) at.missing('data is mandatory');
        else if (typeof data !== 'object' || Array.isArray(data)) at.missing('data must be a valid JSON object');
      },
      update(f, old) {
        if (!deepEqual(f.value?.data ?? null, old.data ?? null))
          f.named('data', f.value?.data as unknown).invalid('field is immutable');
      },
    }),
    table: {
      cells(r, now) {
        const owner = r.metadata?.ownerReferences?.find((o) => o.controller);
        const group = owner?.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
        return [
          nameOf(r),
          owner ? `${(owner.kind + group).toLowerCase()}/${owner.name}` : NONE,
          r.revision ?? 0,
          age(r, now),
        ];
      },
    },
  },
);
