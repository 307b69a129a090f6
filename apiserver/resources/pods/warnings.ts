/** What people should know about a pod that is valid all the same. */
import type { Json, PodSpec } from '../../../api/types.ts';
import type * as k8s from '@kubernetes/client-node';
import { dns1123Label } from '../validation/names.ts';
import { quantity, type Labels } from '../validation/values.ts';
import { canonicalAddress, ip } from '../validation/formats.ts';
import { APPARMOR_CONTAINER, appArmorWarning } from './annotations.ts';
import { overlapWarnings } from './overlaps.ts';

const DEPRECATED_ANNOTATIONS: Record<string, string> = {
  'scheduler.alpha.kubernetes.io/critical-pod': 'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
};
const DEPRECATED_LABELS: Record<string, string> = {
  'failure-domain.beta.kubernetes.io/zone': 'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region': 'topology.kubernetes.io/region',
  'beta.kubernetes.io/instance-type': 'node.kubernetes.io/instance-type',
};
const BETA_LABELS: Record<string, [since: string, use: string]> = {
  'beta.kubernetes.io/os': ['v1.14', 'kubernetes.io/os'],
  'beta.kubernetes.io/arch': ['v1.14', 'kubernetes.io/arch'],
};
const DEPRECATED_VOLUMES: Record<string, [path: string, text: string]> = {
  photonPersistentDisk: ['photonPersistentDisk', 'deprecated in v1.11, non-functional in v1.16+'],
  gitRepo: ['gitRepo', 'deprecated in v1.11'],
  scaleIO: ['scaleIO', 'deprecated in v1.16, non-functional in v1.22+'],
  flocker: ['flocker', 'deprecated in v1.22, non-functional in v1.25+'],
  storageos: ['storageOS', 'deprecated in v1.22, non-functional in v1.25+'],
  quobyte: ['quobyte', 'deprecated in v1.22, non-functional in v1.25+'],
  glusterfs: ['glusterfs', 'deprecated in v1.25, non-functional in v1.26+'],
  cephfs: ['cephfs', 'deprecated in v1.28, non-functional in v1.31+'],
  rbd: ['rbd', 'deprecated in v1.28, non-functional in v1.31+'],
};

/** What to use instead of a node label that is going away. */
export function deprecatedNodeLabel(key: string): string | undefined {
  if (DEPRECATED_LABELS[key]) return `deprecated since v1.17; use "${DEPRECATED_LABELS[key]}" instead`;
  const beta = BETA_LABELS[key];
  return beta && `deprecated since ${beta[0]}; use "${beta[1]}" instead`;
}

/** Addresses written in a way that not everybody reads alike. */
export function addressWarnings(path: string, value: string): string[] {
  if (ip(value).length > 0) return [];
  const text = canonicalAddress(value);
  return text === value
    ? []
    : [
        `${path}: IPv6 address ${JSON.stringify(value)} should be in RFC 5952 canonical format (${JSON.stringify(text)})`,
      ];
}

/** Requirements of a node selector term that name labels going away, or values that can't be labels. */
export function termWarnings(term: Json<k8s.V1NodeSelectorTerm>, path: string, checkValues: boolean): string[] {
  return (term.matchExpressions ?? []).flatMap((e, i) => {
    const message = deprecatedNodeLabel(e.key);
    const own = message ? [`${path}.matchExpressions[${i}].key: ${e.key} is ${message}`] : [];
    if (!checkValues) return own;
    const bad = (e.values ?? []).flatMap((v, j) =>
      /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/.test(v) && v.length <= 63
        ? []
        : [`${path}.matchExpressions[${i}].values[${j}]: ${JSON.stringify(v)} is no valid label value`],
    );
    return [...own, ...bad];
  });
}

type Containers = [path: string, c: PodSpec['containers'][number]][];

const CONTAINER_LISTS = ['initContainers', 'containers', 'ephemeralContainers'] as const;

function containerList(spec: PodSpec, path: string): Containers {
  const out: Containers = [];
  for (const list of CONTAINER_LISTS)
    ((spec[list] ?? []) as PodSpec['containers']).forEach((c, i) => out.push([`${path}.${list}[${i}]`, c]));
  return out;
}

/** Warnings for a pod (prefix '') or a template (prefix such as `spec.template`). */
export function podWarnings(
  spec: PodSpec | undefined,
  meta: { annotations?: Labels } | undefined,
  prefix: string,
): string[] {
  if (!spec) return [];
  const out: string[] = [];
  const at = prefix === '' ? 'spec' : `${prefix}.spec`;
  const notes = `${prefix === '' ? '' : `${prefix}.`}metadata.annotations`;
  const annotations = meta?.annotations ?? {};
  for (const k of Object.keys(spec.nodeSelector ?? {})) {
    const m = deprecatedNodeLabel(k);
    if (m) out.push(`${at}.nodeSelector[${k}]: ${m}`);
  }
  const node = spec.affinity?.nodeAffinity;
  node?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms?.forEach((t, i) =>
    out.push(
      ...termWarnings(
        t,
        `${at}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[${i}]`,
        false,
      ),
    ),
  );
  node?.preferredDuringSchedulingIgnoredDuringExecution?.forEach((t, i) =>
    out.push(
      ...termWarnings(
        t.preference,
        `${at}.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${i}].preference`,
        true,
      ),
    ),
  );
  spec.topologySpreadConstraints?.forEach((t, i) => {
    const path = `${at}.topologySpreadConstraints[${i}]`;
    const m = deprecatedNodeLabel(t.topologyKey);
    if (m) out.push(`${path}.topologyKey: ${t.topologyKey} is ${m}`);
    if (!t.labelSelector) out.push(`${path}.labelSelector: a null labelSelector results in matching no pod`);
  });
  for (const k in DEPRECATED_ANNOTATIONS)
    if (annotations[k] !== undefined) out.push(`${notes}[${k}]: ${DEPRECATED_ANNOTATIONS[k]}`);
  spec.volumes?.forEach((v, i) => {
    for (const k in DEPRECATED_VOLUMES) {
      if ((v as unknown as Record<string, unknown>)[k] === undefined) continue;
      const [path, m] = DEPRECATED_VOLUMES[k]!;
      out.push(`${at}.volumes[${i}].${path}: ${m}`);
    }
  });
  out.push(...overlapWarnings(spec.volumes));
  duplicates(
    spec.hostAliases?.map((a) => a.ip),
    (i, v) => out.push(`${at}.hostAliases[${i}].ip: duplicate ip ${JSON.stringify(v)}`),
  );
  duplicates(
    spec.imagePullSecrets?.map((s) => s.name ?? ''),
    (i, v) => out.push(`${at}.imagePullSecrets[${i}].name: duplicate name ${JSON.stringify(v)}`),
  );
  spec.imagePullSecrets?.forEach((s, i) => {
    if (!s.name) out.push(`${at}.imagePullSecrets[${i}].name: invalid empty name ""`);
  });
  fractions(spec.overhead, `${at}.overhead`, out);
  const containers = containerList(spec, at);
  profiles(spec, containers, annotations, notes, out);
  for (const [path, c] of containers) {
    fractions(c.resources?.limits, `${path}.resources.limits`, out);
    fractions(c.resources?.requests, `${path}.resources.requests`, out);
    hiddenVariables(c.env ?? [], path, out);
  }
  ports(containers, out);
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) {
    out.push(`${at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`);
  }
  for (const kind of ['podAffinity', 'podAntiAffinity'] as const) {
    const a = spec.affinity?.[kind];
    const none = 'a null labelSelector results in matching no pod';
    a?.requiredDuringSchedulingIgnoredDuringExecution?.forEach((t, i) => {
      if (!t.labelSelector)
        out.push(`${at}.affinity.${kind}.requiredDuringSchedulingIgnoredDuringExecution[${i}].labelSelector: ${none}`);
    });
    a?.preferredDuringSchedulingIgnoredDuringExecution?.forEach((t, i) => {
      if (!t.podAffinityTerm.labelSelector) {
        out.push(
          `${at}.affinity.${kind}.preferredDuringSchedulingIgnoredDuringExecution[${i}].podAffinityTerm.labelSelector: ${none}`,
        );
      }
    });
  }
  spec.dnsConfig?.nameservers?.forEach((n, i) => out.push(...addressWarnings(`${at}.dnsConfig.nameservers[${i}]`, n)));
  spec.hostAliases?.forEach((a, i) => out.push(...addressWarnings(`${at}.hostAliases[${i}].ip`, a.ip)));
  return out;
}

/** As podWarnings, with the name that becomes the host's name. */
export function podNameWarnings(name: string | undefined): string[] {
  const errors = dns1123Label(name ?? '');
  if (errors.length === 0) return [];
  return [
    `metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [${errors.join(' ')}]`,
  ];
}

function duplicates(values: string[] | undefined, report: (index: number, value: string) => void): void {
  if (values === undefined) return;
  const seen = new Set<string>();
  values.forEach((v, i) => (seen.has(v) ? report(i, v) : seen.add(v)));
}

function fractions(list: Record<string, unknown> | undefined, path: string, out: string[]): void {
  for (const k of ['memory', 'ephemeral-storage']) {
    const v = list?.[k];
    if (v !== undefined && quantity(v).asMilli() % 1000n !== 0n) {
      out.push(`${path}[${k}]: fractional byte value ${JSON.stringify(v)} is invalid, must be an integer`);
    }
  }
}

function hiddenVariables(env: Json<k8s.V1EnvVar>[], path: string, out: string[]): void {
  if (env.length < 2) return;
  const seen = new Set<string>();
  env.forEach((e, i) => {
    const reference = `$(${e.name})`;
    const extends_ = e.valueFrom === undefined && e.value !== reference && (e.value ?? '').includes(reference);
    if (seen.has(e.name) && !extends_) {
      out.push(
        `${path}.env[${i}]: hides previous definition of ${JSON.stringify(e.name)}, which may be dropped when using apply`,
      );
    }
    seen.add(e.name);
  });
}

function profiles(spec: PodSpec, containers: Containers, annotations: Labels, notes: string, out: string[]): void {
  const instead = 'non-functional in v1.27+; use the "seccompProfile" field instead';
  const pod = 'seccomp.security.alpha.kubernetes.io/pod';
  if (!spec.securityContext?.seccompProfile && annotations[pod] !== undefined) out.push(`${notes}[${pod}]: ${instead}`);
  for (const [, c] of containers) {
    const key = `container.seccomp.security.alpha.kubernetes.io/${c.name}`;
    if (!c.securityContext?.seccompProfile && annotations[key] !== undefined) out.push(`${notes}[${key}]: ${instead}`);
    const armor = APPARMOR_CONTAINER + c.name;
    if (
      !c.securityContext?.appArmorProfile &&
      !spec.securityContext?.appArmorProfile &&
      annotations[armor] !== undefined
    ) {
      out.push(appArmorWarning(notes, c.name));
    }
  }
}

function ports(containers: Containers, out: string[]): void {
  const all = new Map<string, { path: string; hostIP: string; hostPort: number }[]>();
  const names = new Map<string, string>();
  for (const [path, c] of containers) {
    c.ports?.forEach((p, i) => {
      const own = { path: `${path}.ports[${i}]`, hostIP: p.hostIP ?? '', hostPort: p.hostPort ?? 0 };
      if (own.hostIP && !own.hostPort) out.push(`${own.path}: hostIP set without hostPort`);
      const key = `${p.containerPort}/${p.protocol}`;
      const others = all.get(key) ?? [];
      for (const o of others) {
        if (o.hostIP === own.hostIP && o.hostPort === own.hostPort)
          out.push(`${own.path}: duplicate port definition with ${o.path}`);
        else if (!o.hostPort || !own.hostPort) out.push(`${own.path}: overlapping port definition with ${o.path}`);
        else if (o.hostPort === own.hostPort && (o.hostIP === '') !== (own.hostIP === '')) {
          out.push(`${own.path}: dangerously ambiguous port definition with ${o.path}`);
        }
      }
      all.set(key, [...others, own]);
      if (!p.name) return;
      const first = names.get(p.name);
      if (first)
        out.push(
          `${own.path}: duplicate port name ${JSON.stringify(p.name)} with ${first}, services and probes that select ports by name will use ${first}`,
        );
      else names.set(p.name, own.path);
    });
  }
}
