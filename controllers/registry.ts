/** Every controller there is. */
import { validatingAdmissionPolicyStatusController } from './admissionpolicystatus/controller.ts';
import { attachDetachController } from './attachdetach/controller.ts';
import { bootstrapSignerController, tokenCleanerController } from './bootstrap/controllers.ts';
import { csrApprovingController } from './certificates/approver.ts';
import { csrCleanerController } from './certificates/cleaner.ts';
import { csrSigningController } from './certificates/signing.ts';
import { clusterRoleAggregationController } from './clusterroleaggregation/controller.ts';
import { cronJobController } from './cronjob/controller.ts';
import { daemonSetController } from './daemonset/controller.ts';
import { deploymentController } from './deployment/controller.ts';
import { deviceTaintEvictionController } from './devicetainteviction/controller.ts';
import { disruptionController } from './disruption/controller.ts';
import { endpointsController } from './endpoints/controller.ts';
import { endpointSliceController } from './endpointslice/controller.ts';
import { endpointSliceMirroringController } from './endpointslicemirroring/controller.ts';
import { ephemeralVolumeController } from './ephemeralvolume/controller.ts';
import type { AnyController } from './framework.ts';
import { garbageCollectorController } from './garbagecollector/controller.ts';
import { jobController } from './job/controller.ts';
import { namespaceController } from './namespace/controller.ts';
import { nodeIpamController } from './nodeipam/controller.ts';
import { nodeLifecycleController } from './nodelifecycle/controller.ts';
import { nodeTTLController } from './nodettl/controller.ts';
import { persistentVolumeBinderController } from './persistentvolume/controller.ts';
import { persistentVolumeExpanderController } from './persistentvolume/expander.ts';
import { horizontalPodAutoscalerController } from './podautoscaler/controller.ts';
import { podGCController } from './podgc/controller.ts';
import {
  classProtectionController,
  pvcProtectionController,
  pvProtectionController,
} from './pvprotection/controllers.ts';
import { replicaSetController, replicationControllerController } from './replicaset/controller.ts';
import { resourceClaimController } from './resourceclaim/controller.ts';
import { resourceQuotaController } from './resourcequota/controller.ts';
import { rootCAPublisherController } from './rootca/controller.ts';
import { serviceAccountController } from './serviceaccount/controller.ts';
import { legacyTokenCleanerController } from './serviceaccount/legacy.ts';
import { serviceAccountTokenController } from './serviceaccount/tokens.ts';
import { serviceCIDRController } from './servicecidr/controller.ts';
import { serviceLBController } from './servicelb/controller.ts';
import { statefulSetController } from './statefulset/controller.ts';
import { taintEvictionController } from './tainteviction/controller.ts';
import { ttlAfterFinishedController } from './ttlafterfinished/controller.ts';

export const controllers: readonly AnyController[] = [
  serviceAccountTokenController,
  endpointsController,
  endpointSliceController,
  endpointSliceMirroringController,
  replicationControllerController,
  podGCController,
  resourceQuotaController,
  namespaceController,
  serviceAccountController,
  garbageCollectorController,
  daemonSetController,
  jobController,
  deploymentController,
  replicaSetController,
  horizontalPodAutoscalerController,
  disruptionController,
  statefulSetController,
  cronJobController,
  csrSigningController,
  csrApprovingController,
  csrCleanerController,
  nodeTTLController,
  bootstrapSignerController,
  tokenCleanerController,
  nodeIpamController,
  nodeLifecycleController,
  taintEvictionController,
  deviceTaintEvictionController,
  persistentVolumeBinderController,
  attachDetachController,
  persistentVolumeExpanderController,
  clusterRoleAggregationController,
  pvcProtectionController,
  pvProtectionController,
  classProtectionController,
  ttlAfterFinishedController,
  rootCAPublisherController,
  ephemeralVolumeController,
  resourceClaimController,
  legacyTokenCleanerController,
  serviceCIDRController,
  serviceLBController,
  validatingAdmissionPolicyStatusController,
];

/** Older names that --controllers takes too. */
export const ALIASES: Readonly<Record<string, string>> = {
  'serviceaccount-token': 'serviceaccount-token-controller',
  endpoint: 'endpoints-controller',
  endpointslice: 'endpointslice-controller',
  endpointslicemirroring: 'endpointslice-mirroring-controller',
  replicationcontroller: 'replicationcontroller-controller',
  podgc: 'pod-garbage-collector-controller',
  resourcequota: 'resourcequota-controller',
  namespace: 'namespace-controller',
  serviceaccount: 'serviceaccount-controller',
  garbagecollector: 'garbage-collector-controller',
  daemonset: 'daemonset-controller',
  job: 'job-controller',
  deployment: 'deployment-controller',
  replicaset: 'replicaset-controller',
  horizontalpodautoscaling: 'horizontal-pod-autoscaler-controller',
  disruption: 'disruption-controller',
  statefulset: 'statefulset-controller',
  cronjob: 'cronjob-controller',
  csrsigning: 'certificatesigningrequest-signing-controller',
  csrapproving: 'certificatesigningrequest-approving-controller',
  csrcleaner: 'certificatesigningrequest-cleaner-controller',
  ttl: 'ttl-controller',
  bootstrapsigner: 'bootstrap-signer-controller',
  tokencleaner: 'token-cleaner-controller',
  nodeipam: 'node-ipam-controller',
  nodelifecycle: 'node-lifecycle-controller',
  'persistentvolume-binder': 'persistentvolume-binder-controller',
  attachdetach: 'persistentvolume-attach-detach-controller',
  'persistentvolume-expander': 'persistentvolume-expander-controller',
  'clusterrole-aggregation': 'clusterrole-aggregation-controller',
  'pvc-protection': 'persistentvolumeclaim-protection-controller',
  'pv-protection': 'persistentvolume-protection-controller',
  'ttl-after-finished': 'ttl-after-finished-controller',
  'root-ca-cert-publisher': 'root-ca-certificate-publisher-controller',
  'ephemeral-volume': 'ephemeral-volume-controller',
  'resource-claim-controller': 'resourceclaim-controller',
  'legacy-service-account-token-cleaner': 'legacy-serviceaccount-token-cleaner-controller',
};
