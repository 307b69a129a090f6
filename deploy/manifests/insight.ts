/** What insight needs in the API: rights, a Service that leads to it, and the groups that it answers for. */
export interface InsightManifestOptions {
  /** Where it listens, on each server. */
  port: number;
  /** PEM of the authority behind its certificate. */
  ca: string;
}

export const INSIGHT_USER = 'k8ts:insight';
export const INSIGHT_SERVICE = 'k8ts-insight';
export const INSIGHT_NAMESPACE = 'kube-system';
const NAMESPACE = INSIGHT_NAMESPACE;
/** The name in its certificate. */
export const INSIGHT_HOST = `${INSIGHT_SERVICE}.${NAMESPACE}.svc`;

const RBAC = 'rbac.authorization.k8s.io/v1';
const API_GROUP = 'rbac.authorization.k8s.io';
const user = { kind: 'User', apiGroup: API_GROUP, name: INSIGHT_USER };
const clusterBinding = (name: string, role: string) => ({
  apiVersion: RBAC,
  kind: 'ClusterRoleBinding',
  metadata: { name },
  roleRef: { apiGroup: API_GROUP, kind: 'ClusterRole', name: role },
  subjects: [user],
});

/** Rights: what it reads, that it may ask about others' access, and who may read metrics and explanations. */
function access() {
  return [
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: { name: INSIGHT_USER },
      rules: [
        { apiGroups: [''], resources: ['nodes', 'pods', 'namespaces'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: [''], resources: ['nodes/metrics'], verbs: ['get'] },
        { apiGroups: [''], resources: ['persistentvolumes'], verbs: ['get', 'list'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
        { nonResourceURLs: ['/explain/*'], verbs: ['get'] },
      ],
    },
    clusterBinding(INSIGHT_USER, INSIGHT_USER),
    // Explanations speak of workloads, budgets, quotas, events: what people with view see, and never secrets.
    clusterBinding(`${INSIGHT_USER}:view`, 'view'),
    clusterBinding(`${INSIGHT_USER}:auth-delegator`, 'system:auth-delegator'),
    {
      apiVersion: RBAC,
      kind: 'RoleBinding',
      metadata: { name: `${INSIGHT_USER}:authentication-reader`, namespace: NAMESPACE },
      roleRef: { apiGroup: API_GROUP, kind: 'Role', name: 'extension-apiserver-authentication-reader' },
      subjects: [user],
    },
    // The way to it: the slices of its Service.
    {
      apiVersion: RBAC,
      kind: 'Role',
      metadata: { name: `${INSIGHT_USER}:endpoints`, namespace: NAMESPACE },
      rules: [{ apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['create', 'patch', 'delete'] }],
    },
    {
      apiVersion: RBAC,
      kind: 'RoleBinding',
      metadata: { name: `${INSIGHT_USER}:endpoints`, namespace: NAMESPACE },
      roleRef: { apiGroup: API_GROUP, kind: 'Role', name: `${INSIGHT_USER}:endpoints` },
      subjects: [user],
    },
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: {
        name: 'k8ts:insight-reader',
        labels: {
          'rbac.authorization.k8s.io/aggregate-to-view': 'true',
          'rbac.authorization.k8s.io/aggregate-to-edit': 'true',
          'rbac.authorization.k8s.io/aggregate-to-admin': 'true',
        },
      },
      rules: [
        { apiGroups: ['metrics.k8s.io'], resources: ['pods', 'nodes'], verbs: ['get', 'list'] },
        { apiGroups: ['explain.k8ts.io'], resources: ['*'], verbs: ['get'] },
      ],
    },
  ];
}

export const apiService = (group: string, version: string, ca: string, port = 443) => ({
  apiVersion: 'apiregistration.k8s.io/v1',
  kind: 'APIService',
  metadata: { name: `${version}.${group}` },
  spec: {
    group,
    version,
    groupPriorityMinimum: 100,
    versionPriority: 100,
    caBundle: Buffer.from(ca).toString('base64'),
    service: { namespace: NAMESPACE, name: INSIGHT_SERVICE, port },
  },
});

/** Everything but the way to it. */
export const insightAccess = (ca: string, port?: number) => [
  ...access(),
  apiService('metrics.k8s.io', 'v1beta1', ca, port),
  apiService('explain.k8ts.io', 'v1', ca, port),
];

export const insightManifests = (o: InsightManifestOptions) => [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: INSIGHT_SERVICE, namespace: NAMESPACE },
    spec: { ports: [{ name: 'https', port: 443, targetPort: o.port, protocol: 'TCP' }] },
  },
  ...insightAccess(o.ca),
];
