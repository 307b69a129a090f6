/** What may change in a pod once it is there, by endpoint. */
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import type { Container, DeepReadonly, KubeObject, Pod, PodSpec } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';
import { objectMeta, objectMetaUpdate } from '../validation/meta.ts';
import { dns1123Subdomain } from '../validation/names.ts';
import type { Labels } from '../validation/values.ts';
import { MIRROR, podAnnotations, podAnnotationsUpdate } from './annotations.ts';
import { imageWhitespace } from './containers.ts';
import type { PodOptions } from './options.ts';
import { qosClass } from './qos.ts';
import { tolerations } from './scheduling.ts';
import { podSpec } from './spec.ts';

type Old = DeepReadonly<Pod>;
type Spec = DeepReadonly<PodSpec>;

/** Rules for a pod's metadata and spec that hold on every endpoint. */
export function metadataAndSpec(pod: Field<Pod>, options: PodOptions): void {
  const spec = pod.get('spec') as Field<PodSpec>;
  objectMeta(pod as Field<KubeObject>, { namespaced: true }, dns1123Subdomain);
  podAnnotations(pod.get('metadata').get('annotations') as Field<Labels>, (spec.value ?? {}) as PodSpec, options);
  podSpec(spec, options);
  if (!spec.value?.serviceAccountName) {
    spec.get('volumes').each((v) =>
      v
        .get('projected')
        .get('sources')
        .each((s) => {
          const token = s.get('serviceAccountToken');
          if (token.isSet) token.forbidden('must not be specified when serviceAccountName is not set');
        }),
    );
  }
  for (const list of ['containers', 'initContainers'] as const)
    (spec.get(list) as Field<Container[]>).each((c) => imageWhitespace(c));
}

function images(list: Field<Container[]>, old: readonly unknown[] | undefined): boolean {
  if ((list.value?.length ?? 0) !== (old?.length ?? 0)) {
    list.forbidden('pod updates may not add or remove containers');
    return false;
  }
  list.each((c) => {
    c.get('image').required();
    imageWhitespace(c);
  });
  return true;
}

/** An update through the pod itself: images, deadlines, tolerations and gates. */
export function podUpdate(pod: Field<Pod>, old: Old, options: PodOptions): void {
  objectMetaUpdate(pod as Field<KubeObject>, old, { name: dns1123Subdomain });
  metadataAndSpec(pod, options);
  podAnnotationsUpdate(
    pod.get('metadata').get('annotations') as Field<Labels>,
    (old.metadata?.annotations ?? {}) as Labels,
  );
  const spec = pod.get('spec') as Field<PodSpec>;
  const before = old.spec as Spec;
  const now = spec.value!;
  if (!images(spec.get('containers') as Field<Container[]>, before.containers)) return;
  if (!images(spec.get('initContainers') as Field<Container[]>, before.initContainers)) return;
  if (!deadline(spec, before)) return;
  addedTolerations(spec, before);
  spec.get('schedulingGates').each((g) => {
    if (!before.schedulingGates?.some((o) => o.name === g.value?.name)) {
      g.get('name').forbidden(`only deletion is allowed, but found new scheduling gate '${g.value?.name}'`);
    }
  });
  if (semanticEqual(now, before)) return;
  const allowed: PodSpec = {
    ...now,
    containers: withOldImages(now.containers, before.containers),
    initContainers: withOldImages(now.initContainers, before.initContainers),
    activeDeadlineSeconds: before.activeDeadlineSeconds,
    schedulingGates: before.schedulingGates as PodSpec['schedulingGates'],
    tolerations: before.tolerations as PodSpec['tolerations'],
  };
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && now.terminationGracePeriodSeconds === 1) {
    allowed.terminationGracePeriodSeconds = before.terminationGracePeriodSeconds;
  }
  if ((before.schedulingGates?.length ?? 0) > 0) gatedDirectives(spec, allowed, before);
  if (!semanticEqual(allowed, before)) {
    spec.forbidden(
      'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
        '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),' +
        '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    );
  }
}

const withOldImages = (now: readonly Container[] | undefined, old: readonly unknown[] | undefined) =>
  (now ?? []).map((c, i) => ({ ...c, image: (old?.[i] as Container | undefined)?.image }));

function deadline(spec: Field<PodSpec>, before: Spec): boolean {
  const f = spec.get('activeDeadlineSeconds');
  const old = before.activeDeadlineSeconds;
  if (!f.isSet) {
    if (old !== undefined) f.invalid('must not update from a positive integer to nil value', null);
    return true;
  }
  if (f.value! < 0 || f.value! > 2147483647) f.invalid('must be between 0 and 2147483647, inclusive');
  else if (old !== undefined && old < f.value!) f.invalid('must be less than or equal to previous value');
  else return true;
  return false;
}

function addedTolerations(spec: Field<PodSpec>, before: Spec): void {
  const f = spec.get('tolerations');
  const kept = (before.tolerations ?? []).every((old) =>
    f.value?.some((t) => semanticEqual({ ...t, tolerationSeconds: null }, { ...old, tolerationSeconds: null })),
  );
  if (!kept) f.forbidden('existing toleration can not be modified except its tolerationSeconds');
  else tolerations(f);
}

/** While a pod is gated its node selector and affinity may be narrowed. */
function gatedDirectives(spec: Field<PodSpec>, allowed: PodSpec, before: Spec): void {
  const now = spec.value!;
  const selector = spec.get('nodeSelector') as Field<Labels>;
  const narrowed = Object.entries(before.nodeSelector ?? {}).every(([k, v]) => selector.value?.[k] === v);
  if (!narrowed) selector.invalid('only additions to spec.nodeSelector are allowed (no mutations or deletions)');
  allowed.nodeSelector = before.nodeSelector as Labels | undefined;
  const node = now.affinity?.nodeAffinity;
  const oldNode = before.affinity?.nodeAffinity;
  if (semanticEqual(node, oldNode)) return;
  const required = spec
    .get('affinity')
    .get('nodeAffinity')
    .get('requiredDuringSchedulingIgnoredDuringExecution')
    .get('nodeSelectorTerms');
  const oldTerms = oldNode?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const terms = node?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  if (oldTerms.length > 0 && oldTerms.length !== terms.length) {
    required.invalid('no additions/deletions to non-empty NodeSelectorTerms list are allowed');
  } else {
    oldTerms.forEach((o, i) => {
      const t = terms[i]!;
      const starts = (a: readonly unknown[] = [], b: readonly unknown[] = []) => semanticEqual(a.slice(0, b.length), b);
      const empty = !o.matchExpressions?.length && !o.matchFields?.length;
      const grown = starts(t.matchExpressions, o.matchExpressions) && starts(t.matchFields, o.matchFields);
      if (!grown || (empty && (t.matchExpressions?.length || t.matchFields?.length))) {
        required.named('').at(i, t).invalid('only additions are allowed (no mutations or deletions)');
      }
    });
  }
  const { nodeAffinity: _, ...others } = now.affinity ?? {};
  allowed.affinity =
    before.affinity || Object.keys(others).length > 0
      ? { ...others, ...(oldNode ? { nodeAffinity: deepCopy(oldNode) as never } : {}) }
      : undefined;
}

/** An update through `ephemeralcontainers`: only additions. */
export function ephemeralContainersUpdate(pod: Field<Pod>, old: Old, options: PodOptions): void {
  objectMetaUpdate(pod as Field<KubeObject>, old);
  metadataAndSpec(pod, options);
  const list = pod.get('spec').get('ephemeralContainers');
  if (old.metadata?.annotations?.[MIRROR] !== undefined)
    return wholeObject(pod, 'static pods do not support ephemeral containers');
  for (const o of old.spec?.ephemeralContainers ?? []) {
    const now = list.value?.find((c) => c.name === o.name);
    if (!now) list.forbidden(`existing ephemeral containers ${JSON.stringify(o.name)} may not be removed`);
    else if (!semanticEqual(now, o))
      list.forbidden(`existing ephemeral containers ${JSON.stringify(o.name)} may not be changed`);
  }
}

/** One complaint about the object as a whole, in place of all others. */
function wholeObject(pod: Field<Pod>, detail: string): void {
  pod.errors.length = 0;
  pod.add({ type: 'FieldValueForbidden', field: '', message: `Forbidden: ${detail}` });
}

const removed = (now: object | undefined, old: object | undefined) =>
  Object.keys(old ?? {}).some((k) => !(k in (now ?? {})));
type Lists = { limits?: Labels; requests?: Labels } | undefined;
/** The resources without what may be resized: cpu and memory as they were. */
function withOldCompute(now: Lists, old: Lists): object {
  const list = (a: Labels | undefined, b: Labels | undefined) => {
    const { cpu: _c, memory: _m, ...rest } = a ?? {};
    const { cpu, memory } = b ?? {};
    return { ...rest, ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) };
  };
  return { limits: list(now?.limits, old?.limits), requests: list(now?.requests, old?.requests) };
}

/** An update through `resize`: cpu and memory. */
export function resizeUpdate(pod: Field<Pod>, old: Old, options: PodOptions): void {
  objectMetaUpdate(pod as Field<KubeObject>, old);
  metadataAndSpec(pod, options);
  if (old.metadata?.annotations?.[MIRROR] !== undefined) return wholeObject(pod, 'static pods cannot be resized');
  if (old.spec?.os?.name === 'windows') return wholeObject(pod, 'windows pods cannot be resized');
  const spec = pod.get('spec') as Field<PodSpec>;
  const now = spec.value!;
  const before = old.spec as PodSpec;
  if ((old.status?.qosClass ?? qosClass(old)) !== qosClass(pod.value as Pod)) {
    spec.invalid('Pod QOS Class may not change as a result of resizing', pod.value?.status?.qosClass ?? '');
  }
  const running = old.status?.containerStatuses?.find((s) => s.state?.running !== undefined);
  if (running && running.resources === undefined) spec.forbidden('Pod running on node without support for resize');
  if (!sameOrder(spec, before)) return;
  podLevelResize(spec, before);
  for (const list of ['initContainers', 'containers'] as const) {
    (spec.get(list) as Field<Container[]>).each((c, i) => {
      const o = before[list]![i]!;
      const resources = c.get('resources');
      if (removed(c.value?.resources?.requests, o.resources?.requests))
        resources.get('requests').forbidden('resource requests cannot be removed');
      if (removed(c.value?.resources?.limits, o.resources?.limits))
        resources.get('limits').forbidden('resource limits cannot be removed');
      const munged = { ...c.value, resources: withOldCompute(c.value?.resources as Lists, o.resources as Lists) };
      if (!semanticEqual(munged, { ...o, resources: withOldCompute(o.resources as Lists, o.resources as Lists) })) {
        (list === 'containers' ? spec : c).forbidden('only cpu and memory resources are mutable');
      }
      const restarts = c.value?.resizePolicy?.some((p) => p.restartPolicy === 'RestartContainer');
      if (list === 'initContainers' && c.value?.restartPolicy !== 'Always' && restarts && !semanticEqual(c.value, o)) {
        c.forbidden('non-sidecar init containers with a resize policy of RestartContainer cannot be resized');
      }
    });
  }
  const rest = (s: PodSpec) => ({ ...s, containers: null, initContainers: null, resources: null });
  if (spec.errors.length === 0 && !semanticEqual(rest(now), rest(before)))
    spec.forbidden('only cpu and memory resources are mutable');
}

function sameOrder(spec: Field<PodSpec>, before: PodSpec): boolean {
  let ok = true;
  for (const list of ['containers', 'initContainers'] as const) {
    const f = spec.get(list) as Field<Container[]>;
    if ((f.value?.length ?? 0) !== (before[list]?.length ?? 0)) {
      f.forbidden(`${list} may not be added or removed on resize`);
      ok = false;
      continue;
    }
    f.each((c, i) => {
      if (c.value?.name === before[list]?.[i]?.name) return;
      c.get('name').forbidden(`${list} may not be renamed or reordered on resize`);
      ok = false;
    });
  }
  return ok;
}

function podLevelResize(spec: Field<PodSpec>, before: PodSpec): void {
  const f = spec.get('resources');
  const old = before.resources;
  if (!old && !f.isSet) return;
  if (old && !f.isSet) return void f.forbidden('pod-level resources cannot be removed');
  if (removed(f.value?.requests, old?.requests))
    f.get('requests').forbidden('pod-level resource requests cannot be removed');
  if (removed(f.value?.limits, old?.limits)) f.get('limits').forbidden('pod-level resource limits cannot be removed');
  if (!semanticEqual(withOldCompute(f.value as Lists, old as Lists), withOldCompute(old as Lists, old as Lists))) {
    spec.forbidden('only cpu and memory resources are mutable at pod-level');
  }
}
