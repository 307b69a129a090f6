/** The restricted standard: pod hardening as it is recommended. */
import { procMount, validSeccomp } from './baseline.ts';
import {
  containers,
  containersOf,
  fieldCheck,
  inUserNamespace,
  isWindows,
  plural,
  quoted,
  setters,
  sorted,
  type Check,
  type CheckPod,
} from './check.ts';

const unlessWindows =
  (check: CheckPod): CheckPod =>
  (spec, meta) =>
    isWindows(spec) ? undefined : check(spec, meta);
const unlessUserNamespace =
  (check: CheckPod): CheckPod =>
  (spec, meta) =>
    inUserNamespace(spec) ? undefined : check(spec, meta);

const allowPrivilegeEscalation: CheckPod = (spec) => {
  const bad = containersOf(spec)
    .filter((c) => c.securityContext?.allowPrivilegeEscalation !== false)
    .map((c) => c.name);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${containers(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

const capabilities: CheckPod = (spec) => {
  const keeping: string[] = [];
  const adding: string[] = [];
  const added = new Set<string>();
  for (const c of containersOf(spec)) {
    const caps = c.securityContext?.capabilities;
    if (!caps?.drop?.includes('ALL')) keeping.push(c.name);
    const extra = (caps?.add ?? []).filter((n) => n !== 'NET_BIND_SERVICE');
    if (extra.length) adding.push(c.name);
    for (const n of extra) added.add(n);
  }
  const details = [
    ...(keeping.length ? [`${containers(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length
      ? [`${containers(adding)} must not include ${quoted(sorted(added))} in securityContext.capabilities.add`]
      : []),
  ];
  return details.length ? { reason: 'unrestricted capabilities', detail: details.join('; ') } : undefined;
};

const ALLOWED_VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
];
const restrictedVolumes: CheckPod = (spec) => {
  const bad: string[] = [];
  const types = new Set<string>();
  for (const v of spec.volumes ?? []) {
    const source = Object.entries(v).find(([k, value]) => k !== 'name' && value !== undefined && value !== null)?.[0];
    if (source !== undefined && ALLOWED_VOLUMES.includes(source)) continue;
    bad.push(v.name);
    types.add(source ?? 'unknown');
  }
  if (bad.length === 0) return undefined;
  const who = `${plural('volume', 'volumes', bad.length)} ${quoted(bad)} ${plural('uses', 'use', bad.length)}`;
  return {
    reason: 'restricted volume types',
    detail: `${who} ${plural('restricted volume type', 'restricted volume types', bad.length)} ${quoted(sorted(types))}`,
  };
};

const runAsNonRoot: CheckPod = (spec) => {
  const reason = 'runAsNonRoot != true';
  const pod = spec.securityContext?.runAsNonRoot;
  const explicit: string[] = [];
  const implicit: string[] = [];
  for (const c of containersOf(spec)) {
    const own = c.securityContext?.runAsNonRoot;
    if (own === false) explicit.push(c.name);
    else if (own !== true && pod !== true) implicit.push(c.name);
  }
  if (pod === false || explicit.length)
    return { reason, detail: `${setters(pod === false, explicit)} must not set securityContext.runAsNonRoot=false` };
  if (implicit.length === 0) return undefined;
  return { reason, detail: `pod or ${containers(implicit)} must set securityContext.runAsNonRoot=true` };
};

const runAsUser = fieldCheck(
  'runAsUser=0',
  (s) => s.securityContext?.runAsUser,
  (c) => c.securityContext?.runAsUser,
  (v) => v === 0,
  (who) => `${who} must not set runAsUser=0`,
);

const explicitSeccomp = fieldCheck(
  'seccompProfile',
  (s) => s.securityContext?.seccompProfile?.type,
  (c) => c.securityContext?.seccompProfile?.type,
  (t) => !validSeccomp(t),
  (who, values) => `${who} must not set securityContext.seccompProfile.type to ${quoted(sorted(values))}`,
);
const seccomp: CheckPod = (spec, meta) => {
  const explicit = explicitSeccomp(spec, meta);
  if (explicit) return explicit;
  if (spec.securityContext?.seccompProfile) return undefined;
  const bad = containersOf(spec)
    .filter((c) => !c.securityContext?.seccompProfile)
    .map((c) => c.name);
  if (bad.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `pod or ${containers(bad)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
};

/** In the order of their ids. A check that overrides a baseline one is the stricter form of it. */
export const restrictedChecks: readonly Check[] = [
  {
    id: 'allowPrivilegeEscalation',
    level: 'restricted',
    versions: [
      { from: 8, check: allowPrivilegeEscalation },
      { from: 25, check: unlessWindows(allowPrivilegeEscalation) },
    ],
  },
  {
    id: 'capabilities_restricted',
    level: 'restricted',
    versions: [
      { from: 22, check: capabilities, overrides: ['capabilities_baseline'] },
      { from: 25, check: unlessWindows(capabilities), overrides: ['capabilities_baseline'] },
    ],
  },
  {
    id: 'procMount_restricted',
    level: 'restricted',
    versions: [{ from: 35, check: procMount, overrides: ['procMount'] }],
  },
  {
    id: 'restrictedVolumes',
    level: 'restricted',
    versions: [{ from: 0, check: restrictedVolumes, overrides: ['hostPathVolumes'] }],
  },
  {
    id: 'runAsNonRoot',
    level: 'restricted',
    versions: [
      { from: 0, check: runAsNonRoot },
      { from: 35, check: unlessUserNamespace(runAsNonRoot) },
    ],
  },
  {
    id: 'runAsUser',
    level: 'restricted',
    versions: [
      { from: 23, check: runAsUser },
      { from: 35, check: unlessUserNamespace(runAsUser) },
    ],
  },
  {
    id: 'seccompProfile_restricted',
    level: 'restricted',
    versions: [
      { from: 19, check: seccomp, overrides: ['seccompProfile_baseline'] },
      { from: 25, check: unlessWindows(seccomp), overrides: ['seccompProfile_baseline'] },
    ],
  },
];
