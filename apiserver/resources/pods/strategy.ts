/** A pod's life in storage: what clients may set, and what follows from it. */
import { deepCopy } from '../../../api/meta.ts';
import type { Container, DeepReadonly, LabelSelector, Pod, PodSpec } from '../../../api/types.ts';
import { formatTime } from '../../../base/clock.ts';
import type { Strategy } from '../../registry/definition.ts';
import { bumpGeneration } from '../define.ts';
import { validating } from '../validation/field.ts';
import { APPARMOR_CONTAINER, appArmorWarning, isDeletionCost, profilesMatch } from './annotations.ts';
import { podDefaults } from './defaults.ts';
import { allContainers } from './each.ts';
import type { PodOptions } from './options.ts';
import { qosClass } from './qos.ts';
import { statusUpdate } from './status.ts';
import { ephemeralContainersUpdate, metadataAndSpec, podUpdate, resizeUpdate } from './update.ts';
import { podNameWarnings, podWarnings, addressWarnings } from './warnings.ts';

/** Options of one pod's validation; what an older pod has may stay. */
function optionsFor(pod: Pod, old?: DeepReadonly<Pod>): PodOptions {
  const cost = old?.metadata?.annotations?.['controller.kubernetes.io/pod-deletion-cost'];
  return {
    isPod: true,
    name: pod.metadata?.name,
    annotations: pod.metadata?.annotations as Record<string, string> | undefined,
    allow: old && { invalidDeletionCost: cost !== undefined && !isDeletionCost(cost) },
  };
}

/** Label keys that a selector is to take over from the pod itself. */
function mergeLabelKeys(
  selector: LabelSelector | undefined,
  keys: string[] | undefined,
  operator: 'In' | 'NotIn',
  labels: Record<string, string>,
): void {
  if (!selector) return;
  for (const key of keys ?? []) {
    const value = labels[key];
    if (value !== undefined) (selector.matchExpressions ??= []).push({ key, operator, values: [value] });
  }
}

function applyLabelKeys(pod: Pod): void {
  const labels = (pod.metadata?.labels ?? {}) as Record<string, string>;
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    const a = pod.spec?.affinity?.[kind];
    const terms = [
      ...(a?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(a?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((p) => p.podAffinityTerm),
    ];
    for (const t of terms) {
      mergeLabelKeys(t.labelSelector, t.matchLabelKeys, 'In', labels);
      mergeLabelKeys(t.labelSelector, t.mismatchLabelKeys, 'NotIn', labels);
    }
  }
  for (const c of pod.spec?.topologySpreadConstraints ?? [])
    mergeLabelKeys(c.labelSelector, c.matchLabelKeys, 'In', labels);
}

/** AppArmor annotations become fields, as the annotations are going away; clients are told. */
function appArmorFields(pod: Pod, warn: ((text: string) => void) | undefined): void {
  if (pod.spec?.os?.name === 'windows') return;
  const own = pod.spec?.securityContext?.appArmorProfile;
  for (const c of allContainers(pod.spec ?? { containers: [] })) {
    const text = pod.metadata?.annotations?.[APPARMOR_CONTAINER + c.name];
    if (text === undefined || c.securityContext?.appArmorProfile) continue;
    const profile =
      text === 'unconfined'
        ? { type: 'Unconfined' }
        : text === 'runtime/default'
          ? { type: 'RuntimeDefault' }
          : text.startsWith('localhost/') && text.length > 10
            ? { type: 'Localhost', localhostProfile: text.slice(10) }
            : undefined;
    if (!profile) continue;
    warn?.(appArmorWarning('metadata.annotations', c.name));
    if (own?.type === profile.type && own?.localhostProfile === profile.localhostProfile) continue;
    (c.securityContext ??= {}).appArmorProfile = profile;
  }
}

const restore = (pod: Pod, old: DeepReadonly<Pod>) => (pod.status = deepCopy(old.status) as Pod['status']);

export const podStrategy: Strategy<Pod> = {
  defaults: podDefaults,
  resetFields: [['status']],
  prepareForCreate(pod, ctx) {
    (pod.metadata ??= {}).generation = 1;
    pod.status = { phase: 'Pending', qosClass: qosClass({ spec: pod.spec }) };
    if (pod.spec?.schedulingGates?.length) {
      const reason = 'SchedulingGated';
      pod.status.conditions = [
        {
          type: 'PodScheduled',
          status: 'False',
          lastProbeTime: null as unknown as string,
          lastTransitionTime: formatTime(ctx.clock.now()),
          reason,
          message: 'Scheduling is blocked due to non-empty scheduling gates',
        },
      ];
    }
    applyLabelKeys(pod);
    appArmorFields(pod, ctx.warn);
  },
  validate(pod) {
    return validating(pod, (f) => {
      metadataAndSpec(f, optionsFor(pod));
      const spec = f.get('spec');
      spec.get('ephemeralContainers').absent('cannot be set on create');
      if (pod.spec?.nodeName && pod.spec.schedulingGates?.length) {
        spec.get('nodeName').forbidden('cannot be set until all schedulingGates have been cleared');
      }
      profilesMatch(spec as never, (pod.metadata?.annotations ?? {}) as Record<string, string>);
    });
  },
  prepareForUpdate(pod, old) {
    restore(pod, old);
    bumpGeneration(pod, old);
  },
  validateUpdate: (pod, old) => validating(pod, (f) => podUpdate(f, old, optionsFor(pod, old))),
  warnings(pod, old) {
    if (old) return [];
    return [
      ...podNameWarnings(pod.metadata?.name),
      ...podWarnings(pod.spec, pod.metadata as { annotations?: Record<string, string> }, ''),
    ];
  },
};

/** Conditions and statuses that don't say what generation they are about keep what was said before. */
function keepObservedGenerations(pod: Pod, old: DeepReadonly<Pod>): void {
  const status = pod.status!;
  if (!status.observedGeneration && old.status?.observedGeneration)
    status.observedGeneration = old.status.observedGeneration;
  for (const c of status.conditions ?? []) {
    const before = old.status?.conditions?.find((o) => o.type === c.type)?.observedGeneration;
    if (!c.observedGeneration && before) c.observedGeneration = before;
  }
}

export const podStatusStrategy: Strategy<Pod> = {
  resetFields: [['spec'], ['metadata', 'deletionTimestamp'], ['metadata', 'ownerReferences']],
  prepareForUpdate(pod, old) {
    pod.spec = deepCopy(old.spec) as PodSpec;
    const meta = (pod.metadata ??= {});
    if (old.metadata?.deletionTimestamp === undefined) delete meta.deletionTimestamp;
    meta.ownerReferences = deepCopy(old.metadata?.ownerReferences) as never;
    pod.status ??= {};
    pod.status.qosClass ||= old.status?.qosClass;
    keepObservedGenerations(pod, old);
  },
  validateUpdate: (pod, old) => validating(pod, (f) => statusUpdate(f, old, optionsFor(pod, old))),
  warnings(pod) {
    return [
      ...(pod.status?.podIPs ?? []).flatMap((a, i) => addressWarnings(`status.podIPs[${i}].ip`, a.ip)),
      ...(pod.status?.hostIPs ?? []).flatMap((a, i) => addressWarnings(`status.hostIPs[${i}].ip`, a.ip)),
    ];
  },
};

/** Takes all metadata but what the managed fields and the version need from the stored object. */
function restoreMeta(pod: Pod, old: DeepReadonly<Pod>): void {
  const { resourceVersion, managedFields } = pod.metadata ?? {};
  pod.metadata = { ...(deepCopy(old.metadata) as Pod['metadata']), resourceVersion, managedFields };
}

export const ephemeralContainersStrategy: Strategy<Pod> = {
  prepareForUpdate(pod, old) {
    const { ephemeralContainers } = pod.spec ?? {};
    pod.spec = { ...(deepCopy(old.spec) as PodSpec), ephemeralContainers };
    restore(pod, old);
    restoreMeta(pod, old);
    bumpGeneration(pod, old);
  },
  validateUpdate: (pod, old) => validating(pod, (f) => ephemeralContainersUpdate(f, old, optionsFor(pod, old))),
};

function resizable(now: Container[] | undefined, old: readonly unknown[] | undefined): Container[] | undefined {
  const before = deepCopy(old ?? []) as Container[];
  if (!now?.length || now.some((c, i) => c.name !== before[i]?.name)) return now;
  return before.map((c, i) => {
    const { resources, resizePolicy } = now[i]!;
    return { ...c, resources, ...(resizePolicy === undefined ? { resizePolicy: undefined } : { resizePolicy }) };
  });
}

export const resizeStrategy: Strategy<Pod> = {
  prepareForUpdate(pod, old) {
    const now = pod.spec!;
    const same =
      (now.containers?.length ?? 0) === (old.spec?.containers?.length ?? 0) &&
      (now.initContainers?.length ?? 0) === (old.spec?.initContainers?.length ?? 0);
    if (same) {
      pod.spec = {
        ...(deepCopy(old.spec) as PodSpec),
        resources: now.resources,
        containers: resizable(now.containers, old.spec?.containers)!,
        initContainers: resizable(now.initContainers, old.spec?.initContainers),
      };
      restore(pod, old);
      restoreMeta(pod, old);
    }
    bumpGeneration(pod, old);
  },
  validateUpdate: (pod, old) => validating(pod, (f) => resizeUpdate(f, old, optionsFor(pod, old))),
};

/** The grace period that applies: none for pods that run nowhere or are done, at least a second otherwise. */
export function podGracePeriod(pod: DeepReadonly<Pod>, requested: number | undefined): number {
  if (!pod.spec?.nodeName) return 0;
  if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return 0;
  const seconds = requested ?? pod.spec.terminationGracePeriodSeconds ?? 0;
  return seconds < 0 ? 1 : seconds;
}
