/** The resources that components work with, each with its type: `client.get(pods, name, namespace)`. */
import type * as k8s from '@kubernetes/client-node';
import type * as t from '../api/types.ts';
import type { Json, KubeObject } from '../api/types.ts';

/** Names one resource of the API; `T` is carried for the compiler only. */
export interface ResourceRef<T extends object = KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly _type?: T;
}

function ref<T extends object>(
  group: string,
  version: string,
  resource: string,
  kind: string,
  namespaced = true,
): ResourceRef<T> {
  return { group, version, resource, kind, namespaced };
}

export const pods = ref<t.Pod>('', 'v1', 'pods', 'Pod');
export const nodes = ref<t.Node>('', 'v1', 'nodes', 'Node', false);
export const namespaces = ref<t.Namespace>('', 'v1', 'namespaces', 'Namespace', false);
export const services = ref<t.Service>('', 'v1', 'services', 'Service');
export const endpoints = ref<t.Endpoints>('', 'v1', 'endpoints', 'Endpoints');
export const configMaps = ref<t.ConfigMap>('', 'v1', 'configmaps', 'ConfigMap');
export const secrets = ref<t.Secret>('', 'v1', 'secrets', 'Secret');
export const serviceAccounts = ref<t.ServiceAccount>('', 'v1', 'serviceaccounts', 'ServiceAccount');
export const events = ref<t.CoreEvent>('', 'v1', 'events', 'Event');
export const persistentVolumes = ref<t.PersistentVolume>('', 'v1', 'persistentvolumes', 'PersistentVolume', false);
export const persistentVolumeClaims = ref<t.PersistentVolumeClaim>(
  '',
  'v1',
  'persistentvolumeclaims',
  'PersistentVolumeClaim',
);
export const replicationControllers = ref<Json<k8s.V1ReplicationController>>(
  '',
  'v1',
  'replicationcontrollers',
  'ReplicationController',
);
export const resourceQuotas = ref<Json<k8s.V1ResourceQuota>>('', 'v1', 'resourcequotas', 'ResourceQuota');
export const limitRanges = ref<Json<k8s.V1LimitRange>>('', 'v1', 'limitranges', 'LimitRange');
export const podTemplates = ref<Json<k8s.V1PodTemplate>>('', 'v1', 'podtemplates', 'PodTemplate');
export const deployments = ref<t.Deployment>('apps', 'v1', 'deployments', 'Deployment');
export const replicaSets = ref<t.ReplicaSet>('apps', 'v1', 'replicasets', 'ReplicaSet');
export const daemonSets = ref<t.DaemonSet>('apps', 'v1', 'daemonsets', 'DaemonSet');
export const statefulSets = ref<t.StatefulSet>('apps', 'v1', 'statefulsets', 'StatefulSet');
export const controllerRevisions = ref<Json<k8s.V1ControllerRevision>>(
  'apps',
  'v1',
  'controllerrevisions',
  'ControllerRevision',
);
export const jobs = ref<t.Job>('batch', 'v1', 'jobs', 'Job');
export const cronJobs = ref<t.CronJob>('batch', 'v1', 'cronjobs', 'CronJob');
export const leases = ref<t.Lease>('coordination.k8s.io', 'v1', 'leases', 'Lease');
export const endpointSlices = ref<t.EndpointSlice>('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice');
export const networkPolicies = ref<Json<k8s.V1NetworkPolicy>>(
  'networking.k8s.io',
  'v1',
  'networkpolicies',
  'NetworkPolicy',
);
export const ingresses = ref<Json<k8s.V1Ingress>>('networking.k8s.io', 'v1', 'ingresses', 'Ingress');
export const ingressClasses = ref<Json<k8s.V1IngressClass>>(
  'networking.k8s.io',
  'v1',
  'ingressclasses',
  'IngressClass',
  false,
);
export const podDisruptionBudgets = ref<Json<k8s.V1PodDisruptionBudget>>(
  'policy',
  'v1',
  'poddisruptionbudgets',
  'PodDisruptionBudget',
);
export const horizontalPodAutoscalers = ref<Json<k8s.V2HorizontalPodAutoscaler>>(
  'autoscaling',
  'v2',
  'horizontalpodautoscalers',
  'HorizontalPodAutoscaler',
);
export const priorityClasses = ref<Json<k8s.V1PriorityClass>>(
  'scheduling.k8s.io',
  'v1',
  'priorityclasses',
  'PriorityClass',
  false,
);
export const storageClasses = ref<Json<k8s.V1StorageClass>>(
  'storage.k8s.io',
  'v1',
  'storageclasses',
  'StorageClass',
  false,
);
export const csiNodes = ref<Json<k8s.V1CSINode>>('storage.k8s.io', 'v1', 'csinodes', 'CSINode', false);
export const csiDrivers = ref<Json<k8s.V1CSIDriver>>('storage.k8s.io', 'v1', 'csidrivers', 'CSIDriver', false);
export const volumeAttachments = ref<Json<k8s.V1VolumeAttachment>>(
  'storage.k8s.io',
  'v1',
  'volumeattachments',
  'VolumeAttachment',
  false,
);
export const volumeAttributesClasses = ref<Json<k8s.V1VolumeAttributesClass>>(
  'storage.k8s.io',
  'v1',
  'volumeattributesclasses',
  'VolumeAttributesClass',
  false,
);
export const runtimeClasses = ref<Json<k8s.V1RuntimeClass>>(
  'node.k8s.io',
  'v1',
  'runtimeclasses',
  'RuntimeClass',
  false,
);
export const certificateSigningRequests = ref<Json<k8s.V1CertificateSigningRequest>>(
  'certificates.k8s.io',
  'v1',
  'certificatesigningrequests',
  'CertificateSigningRequest',
  false,
);
export const clusterRoles = ref<Json<k8s.V1ClusterRole>>(
  'rbac.authorization.k8s.io',
  'v1',
  'clusterroles',
  'ClusterRole',
  false,
);
export const clusterRoleBindings = ref<Json<k8s.V1ClusterRoleBinding>>(
  'rbac.authorization.k8s.io',
  'v1',
  'clusterrolebindings',
  'ClusterRoleBinding',
  false,
);
export const roles = ref<Json<k8s.V1Role>>('rbac.authorization.k8s.io', 'v1', 'roles', 'Role');
export const roleBindings = ref<Json<k8s.V1RoleBinding>>(
  'rbac.authorization.k8s.io',
  'v1',
  'rolebindings',
  'RoleBinding',
);
export const tokenReviews = ref<Json<k8s.V1TokenReview>>(
  'authentication.k8s.io',
  'v1',
  'tokenreviews',
  'TokenReview',
  false,
);
export const subjectAccessReviews = ref<Json<k8s.V1SubjectAccessReview>>(
  'authorization.k8s.io',
  'v1',
  'subjectaccessreviews',
  'SubjectAccessReview',
  false,
);
export const customResourceDefinitions = ref<Json<k8s.V1CustomResourceDefinition>>(
  'apiextensions.k8s.io',
  'v1',
  'customresourcedefinitions',
  'CustomResourceDefinition',
  false,
);

export const serviceCIDRs = ref<Json<k8s.V1ServiceCIDR>>(
  'networking.k8s.io',
  'v1',
  'servicecidrs',
  'ServiceCIDR',
  false,
);
export const ipAddresses = ref<Json<k8s.V1IPAddress>>('networking.k8s.io', 'v1', 'ipaddresses', 'IPAddress', false);
export const validatingAdmissionPolicies = ref<Json<k8s.V1ValidatingAdmissionPolicy>>(
  'admissionregistration.k8s.io',
  'v1',
  'validatingadmissionpolicies',
  'ValidatingAdmissionPolicy',
  false,
);
export const resourceClaims = ref<Json<k8s.ResourceV1ResourceClaim>>(
  'resource.k8s.io',
  'v1',
  'resourceclaims',
  'ResourceClaim',
);
export const resourceClaimTemplates = ref<Json<k8s.V1ResourceClaimTemplate>>(
  'resource.k8s.io',
  'v1',
  'resourceclaimtemplates',
  'ResourceClaimTemplate',
);

export const resourceSlices = ref<Json<k8s.V1ResourceSlice>>(
  'resource.k8s.io',
  'v1',
  'resourceslices',
  'ResourceSlice',
  false,
);
export const deviceClasses = ref<Json<k8s.V1DeviceClass>>(
  'resource.k8s.io',
  'v1',
  'deviceclasses',
  'DeviceClass',
  false,
);

/** A resource known only at run time (garbage collector, namespace deletion). */
export function dynamicResource(
  group: string,
  version: string,
  resource: string,
  kind: string,
  namespaced: boolean,
): ResourceRef {
  return ref(group, version, resource, kind, namespaced);
}

/** The URL path of a collection or of one object in it. */
export function resourcePath(r: ResourceRef<object>, namespace?: string, name?: string, subresource?: string): string {
  let path = r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`;
  if (r.namespaced && namespace) path += `/namespaces/${encodeURIComponent(namespace)}`;
  path += `/${r.resource}`;
  if (name !== undefined && name !== '') path += `/${encodeURIComponent(name)}`;
  if (subresource) path += `/${subresource}`;
  return path;
}
