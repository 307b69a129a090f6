/** The admission plugins: their order, which are on by default, and how they are made. */
import { certificateApproval, certificateSigning, certificateSubjectRestriction } from './plugins/certificates.ts';
import { defaultIngressClass, defaultStorageClass } from './plugins/default-class.ts';
import { defaultTolerationSeconds } from './plugins/default-toleration-seconds.ts';
import { eventRateLimit } from './plugins/event-rate-limit.ts';
import { limitRanger } from './plugins/limit-ranger.ts';
import { namespaceLifecycle } from './plugins/namespace-lifecycle.ts';
import { nodeRestriction } from './plugins/node-restriction.ts';
import { podSecurity } from './plugins/pod-security.ts';
import { podTopologyLabels } from './plugins/pod-topology-labels.ts';
import { priority } from './plugins/priority.ts';
import { resourceQuota } from './plugins/resource-quota.ts';
import { runtimeClass } from './plugins/runtime-class.ts';
import { serviceAccount } from './plugins/service-account.ts';
import { persistentVolumeClaimResize, storageObjectInUseProtection } from './plugins/storage.ts';
import {
  alwaysPullImages,
  denyServiceExternalIPs,
  namespaceExists,
  nodeDeclaredFeatureValidator,
  podResizeValidator,
} from './plugins/simple.ts';
import { taintNodesByCondition } from './plugins/taint-nodes-by-condition.ts';
import type { PluginFactory } from './plugin.ts';

/** Upstream's order of all plugins that it knows; webhooks and policies find their places here. */
export const ORDER: readonly string[] = [
  'AlwaysAdmit',
  'NamespaceAutoProvision',
  'NamespaceLifecycle',
  'NamespaceExists',
  'LimitPodHardAntiAffinityTopology',
  'LimitRanger',
  'ServiceAccount',
  'NodeRestriction',
  'TaintNodesByCondition',
  'AlwaysPullImages',
  'ImagePolicyWebhook',
  'PodSecurity',
  'PodNodeSelector',
  'Priority',
  'DefaultTolerationSeconds',
  'PodTolerationRestriction',
  'EventRateLimit',
  'ExtendedResourceToleration',
  'DefaultStorageClass',
  'StorageObjectInUseProtection',
  'PodGroupProtection',
  'OwnerReferencesPermissionEnforcement',
  'PersistentVolumeClaimResize',
  'RuntimeClass',
  'CertificateApproval',
  'CertificateSigning',
  'ClusterTrustBundleAttest',
  'CertificateSubjectRestriction',
  'DefaultIngressClass',
  'DenyServiceExternalIPs',
  'PodTopologyLabels',
  'PodGroupWorkloadExists',
  'NodeDeclaredFeatureValidator',
  'JobValidation',
  'PodResizeValidator',
  'MutatingAdmissionPolicy',
  'MutatingAdmissionWebhook',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionWebhook',
  'ResourceQuota',
  'AlwaysDeny',
];

/** Plugins that upstream has and k8ts hasn't: enabling one is refused rather than silently ignored. */
export const UNAVAILABLE: readonly string[] = [
  'AlwaysAdmit',
  'NamespaceAutoProvision',
  'LimitPodHardAntiAffinityTopology',
  'ImagePolicyWebhook',
  'PodNodeSelector',
  'PodTolerationRestriction',
  'ExtendedResourceToleration',
  'OwnerReferencesPermissionEnforcement',
  'AlwaysDeny',
];

/** Off unless enabled. */
const OPT_IN: ReadonlySet<string> = new Set([
  ...UNAVAILABLE,
  'NamespaceExists',
  'NodeRestriction',
  'AlwaysPullImages',
  'EventRateLimit',
  'DenyServiceExternalIPs',
]);

/** On unless disabled. Those that serve features which are off in 1.36 have no code here and do nothing. */
export const DEFAULT_ON: ReadonlySet<string> = new Set(ORDER.filter((name) => !OPT_IN.has(name)));

export const factories: Readonly<Record<string, PluginFactory>> = {
  NamespaceLifecycle: namespaceLifecycle,
  NamespaceExists: namespaceExists,
  LimitRanger: limitRanger,
  ServiceAccount: serviceAccount,
  NodeRestriction: nodeRestriction,
  TaintNodesByCondition: taintNodesByCondition,
  AlwaysPullImages: alwaysPullImages,
  PodSecurity: podSecurity,
  Priority: priority,
  DefaultTolerationSeconds: defaultTolerationSeconds,
  EventRateLimit: eventRateLimit,
  DefaultStorageClass: defaultStorageClass,
  StorageObjectInUseProtection: storageObjectInUseProtection,
  PersistentVolumeClaimResize: persistentVolumeClaimResize,
  RuntimeClass: runtimeClass,
  CertificateApproval: certificateApproval,
  CertificateSigning: certificateSigning,
  CertificateSubjectRestriction: certificateSubjectRestriction,
  DefaultIngressClass: defaultIngressClass,
  DenyServiceExternalIPs: denyServiceExternalIPs,
  PodTopologyLabels: podTopologyLabels,
  NodeDeclaredFeatureValidator: nodeDeclaredFeatureValidator,
  PodResizeValidator: podResizeValidator,
  ResourceQuota: resourceQuota,
};
