/** Defaults of pods and pod templates that the schema doesn't declare. */
import type { Container, Json, Pod, PodSpec } from '../../../api/types.ts';
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../../api/quantity.ts';
import { isHugePages, isOvercommitAllowed } from '../validation/values.ts';
import { allContainers } from './each.ts';
import { aggregate } from './resources.ts';

const DOMAIN = String.raw`(?:(?:localhost|[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9][A-Za-z0-9-]*)+|[A-Za-z0-9][A-Za-z0-9-]*(?=:\d)|\[[0-9a-fA-F:]+\]|[A-Za-z0-9]*[A-Z][A-Za-z0-9-]*)(?::\d+)?/)?`;
const PART = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
const IMAGE = new RegExp(
  String.raw`^${DOMAIN}(${PART}(?:/${PART})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`,
);

/** Always for what moves (the tag `latest`, also when left out), else IfNotPresent. */
function pullPolicyFor(image: string | undefined): 'Always' | 'IfNotPresent' {
  const m = IMAGE.exec(image ?? '');
  // Repository names are limited; what isn't a reference has no tag.
  if (!m || m[1]!.length > 255) return 'IfNotPresent';
  const tag = m[2] ?? (m[3] === undefined ? 'latest' : '');
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

type ResourceList = Record<string, string>;
/** Amounts are kept in thousandths at the finest. */
export function roundResources(list: ResourceList | undefined): void {
  if (!list) return;
  for (const [k, v] of Object.entries(list)) {
    if (typeof v !== 'string' || !/[nu]$|e-/i.test(v)) continue;
    const q = Quantity.tryParse(v);
    if (q) list[k] = Quantity.fromMilli(q.asMilli(), q.format).toString();
  }
}
const roundAll = (r: { limits?: ResourceList; requests?: ResourceList } | undefined) => {
  roundResources(r?.limits);
  roundResources(r?.requests);
};

function probe(p: Json<k8s.V1Probe> | undefined): void {
  if (!p) return;
  p.timeoutSeconds ||= 1;
  p.periodSeconds ||= 10;
  p.successThreshold ||= 1;
  p.failureThreshold ||= 3;
  httpGet(p.httpGet);
  if (p.grpc) p.grpc.service ??= '';
}
function httpGet(h: Json<k8s.V1HTTPGetAction> | undefined): void {
  if (!h) return;
  h.path ||= '/';
  h.scheme ||= 'HTTP';
}

function container(c: Container): void {
  c.imagePullPolicy ||= pullPolicyFor(c.image);
  c.terminationMessagePath ||= '/dev/termination-log';
  c.terminationMessagePolicy ||= 'File';
  for (const p of c.ports ?? []) p.protocol ||= 'TCP';
  for (const e of c.env ?? []) {
    const from = e.valueFrom;
    if (from?.fieldRef) from.fieldRef.apiVersion ||= 'v1';
    if (from?.fileKeyRef) from.fileKeyRef.optional ??= false;
  }
  probe(c.livenessProbe);
  probe(c.readinessProbe);
  probe(c.startupProbe);
  httpGet(c.lifecycle?.postStart?.httpGet);
  httpGet(c.lifecycle?.preStop?.httpGet);
  roundAll(c.resources as { limits?: ResourceList; requests?: ResourceList });
}

const SOURCES = [
  'emptyDir',
  'hostPath',
  'gitRepo',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'secret',
  'nfs',
  'iscsi',
  'glusterfs',
  'flocker',
  'persistentVolumeClaim',
  'rbd',
  'cinder',
  'cephfs',
  'quobyte',
  'downwardAPI',
  'fc',
  'flexVolume',
  'configMap',
  'azureFile',
  'vsphereVolume',
  'photonPersistentDisk',
  'portworxVolume',
  'azureDisk',
  'storageos',
  'projected',
  'scaleIO',
  'csi',
  'ephemeral',
  'image',
] as const;

function volume(v: Json<k8s.V1Volume>): void {
  if (SOURCES.every((s) => v[s] === undefined)) v.emptyDir = {};
  if (v.image) v.image.pullPolicy ||= pullPolicyFor(v.image.reference);
  if (v.hostPath) v.hostPath.type ??= '';
  for (const s of [v.secret, v.configMap, v.downwardAPI, v.projected]) if (s) s.defaultMode ??= 0o644;
  for (const f of v.downwardAPI?.items ?? []) if (f.fieldRef) f.fieldRef.apiVersion ||= 'v1';
  for (const s of v.projected?.sources ?? []) {
    if (s.serviceAccountToken) s.serviceAccountToken.expirationSeconds ??= 3600;
    if (s.podCertificate) s.podCertificate.maxExpirationSeconds ??= 86400;
    for (const f of s.downwardAPI?.items ?? []) if (f.fieldRef) f.fieldRef.apiVersion ||= 'v1';
  }
  sharedSourceDefaults(v);
  if (v.scaleIO) {
    v.scaleIO.storageMode ||= 'ThinProvisioned';
    v.scaleIO.fsType ||= 'xfs';
  }
  const claim = v.ephemeral?.volumeClaimTemplate?.spec;
  if (claim) claim.volumeMode ??= 'Filesystem';
}

/** Sources that pods and persistent volumes have in common. */
export function sharedSourceDefaults(v: Pick<Json<k8s.V1Volume>, 'iscsi' | 'rbd' | 'azureDisk'>): void {
  if (v.iscsi) v.iscsi.iscsiInterface ||= 'default';
  if (v.rbd) {
    v.rbd.pool ||= 'rbd';
    v.rbd.user ||= 'admin';
    v.rbd.keyring ||= '/etc/ceph/keyring';
  }
  if (v.azureDisk) {
    v.azureDisk.cachingMode ??= 'ReadWrite';
    v.azureDisk.kind ??= 'Shared';
    v.azureDisk.fsType ??= 'ext4';
    v.azureDisk.readOnly ??= false;
  }
}

/** Defaults of a pod's spec wherever it stands. */
export function podSpecDefaults(spec: PodSpec | undefined): void {
  if (!spec) return;
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.restartPolicy ||= 'Always';
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= 'default-scheduler';
  // The older name of the same field goes along.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) spec.serviceAccountName = spec.serviceAccount = account;
  for (const c of allContainers(spec)) container(c);
  for (const v of spec.volumes ?? []) volume(v);
  roundResources(spec.overhead as ResourceList | undefined);
  roundAll(spec.resources as { limits?: ResourceList; requests?: ResourceList });
}

/** With the host's network, ports of containers are ports of the host (in pods, not in templates). */
function hostPorts(spec: PodSpec): void {
  for (const c of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    for (const p of c.ports ?? []) if (!p.hostPort && p.containerPort) p.hostPort = p.containerPort;
  }
}

/** Defaults of pods alone. */
export function podDefaults(pod: Pod): void {
  const spec = (pod.spec ??= { containers: [] });
  podSpecDefaults(spec);
  // of pods alone: templates keep what they say
  if (spec.terminationGracePeriodSeconds! < 0) spec.terminationGracePeriodSeconds = 1;
  for (const c of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    const limits = c.resources?.limits;
    if (limits)
      c.resources!.requests = requestsFromLimits(c.resources!.requests as ResourceList, limits as ResourceList);
  }
  podLevelResources(spec);
  if (spec.hostNetwork) hostPorts(spec);
  spec.enableServiceLinks ??= true;
  const status = pod.status;
  if (status) addresses(status);
}

function requestsFromLimits(requests: ResourceList | undefined, limits: ResourceList): ResourceList | undefined {
  const all = { ...requests };
  for (const [k, v] of Object.entries(limits)) all[k] ??= v;
  return Object.keys(all).length > 0 ? all : requests;
}

const podLevel = (k: string) => k === 'cpu' || k === 'memory' || isHugePages(k);

function podLevelResources(spec: PodSpec): void {
  const r = spec.resources;
  if (!r) return;
  const limits = { ...(r.limits as ResourceList | undefined) };
  const requests = { ...(r.requests as ResourceList | undefined) };
  if (Object.keys(limits).length > 0 || Object.keys(requests).length > 0) {
    for (const [k, q] of Object.entries(aggregate(spec, 'limits'))) {
      if (isHugePages(k) && requests[k] === undefined) limits[k] ??= q.toString();
    }
    if (Object.keys(limits).length > 0) r.limits = limits;
  }
  if (Object.keys(limits).length === 0) return;
  for (const [k, q] of Object.entries(aggregate(spec, 'requests'))) {
    if (podLevel(k) && isOvercommitAllowed(k)) requests[k] ??= q.toString();
  }
  for (const [k, v] of Object.entries(limits)) if (podLevel(k)) requests[k] ??= v;
  if (Object.keys(requests).length > 0) r.requests = requests;
}

/** The single address and the list say the same; the single one wins. */
function addresses(status: NonNullable<Pod['status']>): void {
  if (status.podIP) {
    if (status.podIPs?.[0]?.ip !== status.podIP) status.podIPs = [{ ip: status.podIP }];
  } else if (status.podIPs?.[0]?.ip) status.podIP = status.podIPs[0].ip;
}
