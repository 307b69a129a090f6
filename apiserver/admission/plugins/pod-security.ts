/** PodSecurity: holds pods to the standard that their namespace's labels name (KEP-2579). */
import { invalidObject } from '../../../api/field-errors.ts';
import { controllerOf } from '../../../api/meta.ts';
import type {
  DeepReadonly,
  KubeObject,
  Namespace,
  ObjectMeta,
  Pod,
  PodSpec,
  PodTemplateSpec,
} from '../../../api/types.ts';
import {
  compareLevels,
  describe,
  evaluatePod,
  policyOf,
  samePolicy,
  showPolicy,
  type LevelVersion,
  type Policy,
} from '../pod-security/policy.ts';
import type { Violation } from '../pod-security/check.ts';
import { deny, type PluginDeps, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

const QUIET_SUBRESOURCES = new Set(['exec', 'attach', 'binding', 'eviction', 'log', 'portforward', 'proxy', 'status']);
const AUDIT = 'pod-security.kubernetes.io/';
/** Pods looked at when a namespace's level is raised. */
const MAX_PODS = 3000;

/** Where workloads keep their pod template. */
const TEMPLATES: Record<string, (object: unknown) => DeepReadonly<PodTemplateSpec> | undefined> = {
  '/podtemplates': (o) => (o as { template?: PodTemplateSpec }).template,
  'batch/cronjobs': (o) =>
    (o as { spec?: { jobTemplate?: { spec?: { template?: PodTemplateSpec } } } }).spec?.jobTemplate?.spec?.template,
};
for (const key of [
  '/replicationcontrollers',
  'apps/replicasets',
  'apps/deployments',
  'apps/statefulsets',
  'apps/daemonsets',
  'batch/jobs',
]) {
  TEMPLATES[key] = (o) => (o as { spec?: { template?: PodTemplateSpec } }).spec?.template;
}

function significantUpdate(now: DeepReadonly<Pod>, old: DeepReadonly<Pod>): boolean {
  const differ = (
    a: DeepReadonly<PodSpec>['containers'] | undefined,
    b: DeepReadonly<PodSpec>['containers'] | undefined,
  ) => (a?.length ?? 0) !== (b?.length ?? 0) || (a ?? []).some((c, i) => c.image !== b![i]!.image);
  if (differ(now.spec?.containers, old.spec?.containers) || differ(now.spec?.initContainers, old.spec?.initContainers))
    return true;
  return (now.spec?.ephemeralContainers ?? []).some(
    (c) => old.spec?.ephemeralContainers?.find((o) => o.name === c.name)?.image !== c.image,
  );
}

/** What the pods that are there would say to a stricter level. */
function warnAboutPods({ reader }: PluginDeps, namespace: string, level: LevelVersion): string[] {
  const pods = reader.list<Pod>('pods', namespace);
  // One pod of each controller first: the others are likely to be the same.
  const seen = new Set<string>();
  const [first, later]: [DeepReadonly<Pod>[], DeepReadonly<Pod>[]] = [[], []];
  for (const pod of pods) {
    const owner = controllerOf(pod)?.uid;
    if (owner !== undefined && seen.has(owner)) later.push(pod);
    else first.push(pod);
    if (owner !== undefined) seen.add(owner);
  }
  const checked = [...first, ...later].slice(0, MAX_PODS);
  const found = new Map<string, { name: string; count: number }>();
  for (const pod of checked) {
    const reason = evaluatePod(level, pod.spec!, pod.metadata ?? {})
      .map((v) => v.reason)
      .join(', ');
    if (reason === '') continue;
    const name = pod.metadata!.name!;
    const entry = found.get(reason);
    if (!entry) found.set(reason, { name, count: 1 });
    else {
      entry.count++;
      if (name < entry.name) entry.name = name;
    }
  }
  const lines = [...found].map(([reason, { name, count }]) => {
    const others = count === 1 ? '' : ` (and ${count - 1} other ${count === 2 ? 'pod' : 'pods'})`;
    return `${name}${others}: ${reason}`;
  });
  return [
    ...(checked.length < pods.length
      ? [
          `new PodSecurity enforce level only checked against the first ${checked.length} of ${pods.length} existing pods`,
        ]
      : []),
    ...(lines.length
      ? [
          `existing pods in namespace ${JSON.stringify(namespace)} violate the new PodSecurity enforce level ${JSON.stringify(showPolicy(level))}`,
        ]
      : []),
    ...lines.sort(),
  ];
}

export const podSecurity: PluginFactory = (deps) => {
  const { defaults = {}, exemptUsers, exemptNamespaces, exemptRuntimeClasses } = deps.settings.podSecurity ?? {};
  const policyAt = (labels: Readonly<Record<string, string>> | undefined) => policyOf(labels, defaults);

  /** True for what is not judged, with a note for the audit log. */
  function exempt(a: AdmissionAttributes, spec?: DeepReadonly<PodSpec>): boolean {
    const why = exemptNamespaces?.has(a.namespace)
      ? 'namespace'
      : exemptUsers?.has(a.user.name)
        ? 'user'
        : spec?.runtimeClassName !== undefined && exemptRuntimeClasses?.has(spec.runtimeClassName)
          ? 'runtimeClass'
          : undefined;
    if (why !== undefined) a.annotate(`${AUDIT}exempt`, why);
    return why !== undefined;
  }

  /** Policies by namespace object, since a namespace's labels seldom change. */
  const policies = new WeakMap<object, ReturnType<typeof policyOf>>();
  async function policyFor(namespace: string) {
    const object =
      deps.reader.get<Namespace>('namespaces', '', namespace) ??
      (await deps.objects.find<Namespace>('namespaces', '', namespace));
    if (!object) return undefined;
    let found = policies.get(object);
    if (!found) policies.set(object, (found = policyAt(object.metadata?.labels)));
    return found;
  }

  function judge(
    a: AdmissionAttributes,
    policy: Policy,
    spec: DeepReadonly<PodSpec>,
    meta: DeepReadonly<ObjectMeta>,
    enforce: boolean,
  ): void {
    const results = new Map<string, Violation[]>();
    const at = (l: LevelVersion) => {
      const key = showPolicy(l);
      let r = results.get(key);
      if (!r) results.set(key, (r = evaluatePod(l, spec, meta)));
      return r;
    };
    const audit = at(policy.audit);
    if (audit.length)
      a.annotate(
        `${AUDIT}audit-violations`,
        `would violate PodSecurity ${JSON.stringify(showPolicy(policy.audit))}: ${describe(audit)}`,
      );
    if (enforce) {
      a.annotate(`${AUDIT}enforce-policy`, showPolicy(policy.enforce));
      const bad = at(policy.enforce);
      if (bad.length)
        throw deny(a, `violates PodSecurity ${JSON.stringify(showPolicy(policy.enforce))}: ${describe(bad)}`);
    }
    const warn = at(policy.warn);
    if (warn.length) a.warn(`would violate PodSecurity ${JSON.stringify(showPolicy(policy.warn))}: ${describe(warn)}`);
  }

  function validateNamespace(a: AdmissionAttributes): void {
    if (a.subresource !== '') return;
    const now = policyAt(a.object?.metadata?.labels);
    const old = a.operation === 'UPDATE' ? policyAt(a.oldObject?.metadata?.labels) : undefined;
    if (now.errors.length && JSON.stringify(now.errors) !== JSON.stringify(old?.errors ?? [])) {
      throw invalidObject({ group: '', kind: 'Namespace' }, a.name, now.errors);
    }
    if (!old) return;
    const { enforce } = now.policy;
    const before = old.policy.enforce;
    if (samePolicy(enforce, before) || enforce.level === 'privileged') return;
    if (enforce.minor === before.minor && compareLevels(enforce.level, before.level) < 1) return;
    if (exemptNamespaces?.has(a.name)) return;
    for (const text of warnAboutPods(deps, a.name, enforce)) a.warn(text);
  }

  async function validatePod(a: AdmissionAttributes): Promise<void> {
    if (QUIET_SUBRESOURCES.has(a.subresource) || !a.object) return;
    const found = await policyFor(a.namespace);
    if (!found) return;
    const { policy } = found;
    if (
      policy.enforce.level === 'privileged' &&
      policy.audit.level === 'privileged' &&
      policy.warn.level === 'privileged'
    )
      return;
    const pod = a.object as KubeObject as DeepReadonly<Pod>;
    if (a.operation === 'UPDATE' && !significantUpdate(pod, a.oldObject as DeepReadonly<Pod>)) return;
    if (pod.spec && !exempt(a, pod.spec)) judge(a, policy, pod.spec, pod.metadata ?? {}, true);
  }

  async function validateWorkload(a: AdmissionAttributes): Promise<void> {
    const template = TEMPLATES[`${a.resource.group}/${a.resource.resource}`];
    if (!template || a.subresource !== '' || !a.object) return;
    const found = await policyFor(a.namespace);
    if (!found || (found.policy.warn.level === 'privileged' && found.policy.audit.level === 'privileged')) return;
    const t = template(a.object);
    if (t?.spec && !exempt(a, t.spec)) judge(a, found.policy, t.spec, t.metadata ?? {}, false);
  }

  return {
    name: 'PodSecurity',
    handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
    validate(a) {
      if (a.resource.group === '') {
        if (a.resource.resource === 'namespaces') return validateNamespace(a);
        if (a.resource.resource === 'pods') return validatePod(a);
      }
      return validateWorkload(a);
    },
  };
};
