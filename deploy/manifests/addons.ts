/** The objects that a k8ts cluster has beyond what the API server bootstraps: access for nodes, cluster DNS, settings. */
import { LOCAL_PATH_PROVISIONER } from '../../api/local-path.ts';
import type { NodeSettings } from '../node/options.ts';
import { NODE_CONFIG_MAP } from '../node/options.ts';
import { ingressManifests } from './ingress.ts';
import { NODE_GROUP } from '../server/tokens.ts';
import { insightManifests, type InsightManifestOptions } from './insight.ts';
import { stringify } from 'yaml';

export interface AddonOptions {
  settings: NodeSettings;
  /** URL and CA that joining nodes are told. */
  server: string;
  ca: string;
  insight: InsightManifestOptions;
  /** With the Ingress controller. */
  ingress: boolean;
}

export type Manifest = {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string } & Record<string, unknown>;
} & Record<string, unknown>;

const RBAC = 'rbac.authorization.k8s.io/v1';
const group = (name: string) => ({ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name });
const clusterBinding = (name: string, role: string, subject: object): Manifest => ({
  apiVersion: RBAC,
  kind: 'ClusterRoleBinding',
  metadata: { name },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
  subjects: [subject],
});
const role = (name: string, namespace: string, configMap: string): Manifest => ({
  apiVersion: RBAC,
  kind: 'Role',
  metadata: { name, namespace },
  rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: [configMap], verbs: ['get'] }],
});
const binding = (name: string, namespace: string, subjects: object[]): Manifest => ({
  apiVersion: RBAC,
  kind: 'RoleBinding',
  metadata: { name, namespace },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
  subjects,
});

function joining(options: AddonOptions): Manifest[] {
  const clusterInfo = 'k8ts:cluster-info';
  const nodeConfig = 'k8ts:node-config';
  const anonymous = { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'system:anonymous' };
  const kubeconfig = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: '',
        cluster: { server: options.server, 'certificate-authority-data': Buffer.from(options.ca).toString('base64') },
      },
    ],
    contexts: [],
    users: [],
    'current-context': '',
  });
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'cluster-info', namespace: 'kube-public' },
      data: { kubeconfig },
    },
    role(clusterInfo, 'kube-public', 'cluster-info'),
    binding(clusterInfo, 'kube-public', [anonymous, group('system:authenticated')]),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: NODE_CONFIG_MAP, namespace: 'kube-system' },
      data: { settings: JSON.stringify(options.settings) },
    },
    role(nodeConfig, 'kube-system', NODE_CONFIG_MAP),
    binding(nodeConfig, 'kube-system', [group(NODE_GROUP), group('system:nodes')]),
    clusterBinding('k8ts:node-bootstrap', 'system:node-bootstrapper', group(NODE_GROUP)),
    clusterBinding(
      'k8ts:node-autoapprove-bootstrap',
      'system:certificates.k8s.io:certificatesigningrequests:nodeclient',
      group(NODE_GROUP),
    ),
    clusterBinding(
      'k8ts:node-autoapprove-renewal',
      'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient',
      group('system:nodes'),
    ),
    // the network agent of a node acts with the node's own certificate
    clusterBinding('k8ts:node-proxier', 'system:node-proxier', group('system:nodes')),
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: { name: 'k8ts:node-network' },
      rules: [
        { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['list', 'watch'] },
        { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['list', 'watch'] },
      ],
    },
    clusterBinding('k8ts:node-network', 'k8ts:node-network', group('system:nodes')),
  ];
}

function dns(settings: NodeSettings): Manifest[] {
  const meta = (name: string, labels?: Record<string, string>) => ({ name, namespace: 'kube-system', labels });
  const labels = { 'k8s-app': 'kube-dns' };
  const probe = (path: string, more: object) => ({ httpGet: { path, port: 8181 }, ...more });
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta('kube-dns') },
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: { name: 'k8ts:kube-dns' },
      rules: [
        { apiGroups: [''], resources: ['services', 'namespaces', 'pods'], verbs: ['list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    },
    {
      apiVersion: RBAC,
      kind: 'Role',
      metadata: { name: 'k8ts:kube-dns', namespace: 'kube-system' },
      rules: [
        { apiGroups: [''], resources: ['configmaps'], resourceNames: ['kube-dns'], verbs: ['get', 'list', 'watch'] },
      ],
    },
    binding('k8ts:kube-dns', 'kube-system', [{ kind: 'ServiceAccount', name: 'kube-dns', namespace: 'kube-system' }]),
    clusterBinding('k8ts:kube-dns', 'k8ts:kube-dns', {
      kind: 'ServiceAccount',
      name: 'kube-dns',
      namespace: 'kube-system',
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta('kube-dns', {
        ...labels,
        'kubernetes.io/cluster-service': 'true',
        'kubernetes.io/name': 'CoreDNS',
      }),
      spec: {
        clusterIP: settings.clusterDns,
        // both families where the cluster has both
        ipFamilyPolicy: 'PreferDualStack',
        // a node with a name server of its own asks that one: its cache is as near as can be
        trafficDistribution: 'PreferSameNode',
        selector: labels,
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
          { name: 'metrics', port: 9153, protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: meta('kube-dns', labels),
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'kube-dns',
            priorityClassName: 'system-cluster-critical',
            dnsPolicy: 'Default',
            tolerations: [
              { key: 'CriticalAddonsOnly', operator: 'Exists' },
              { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' },
            ],
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: 'kubernetes.io/hostname',
                whenUnsatisfiable: 'ScheduleAnyway',
                labelSelector: { matchLabels: labels },
              },
            ],
            containers: [
              {
                name: 'dns',
                image: 'docker.io/k8ts/k8ts:latest',
                imagePullPolicy: 'IfNotPresent',
                args: [
                  '/k8ts/proxy/dns/main.ts',
                  `--cluster-domain=${settings.clusterDomain}`,
                  '--upstream=/etc/resolv.conf',
                ],
                resources: { requests: { cpu: '50m', memory: '70Mi' } },
                ports: [
                  { name: 'dns', containerPort: 53, protocol: 'UDP' },
                  { name: 'dns-tcp', containerPort: 53, protocol: 'TCP' },
                  { name: 'metrics', containerPort: 9153, protocol: 'TCP' },
                ],
                readinessProbe: probe('/ready', { periodSeconds: 2 }),
                livenessProbe: probe('/health', { initialDelaySeconds: 30, timeoutSeconds: 5, failureThreshold: 5 }),
              },
            ],
          },
        },
      },
    },
  ];
}

/** The default StorageClass: a directory on the node of the first pod that uses the claim. */
function storage(): Manifest[] {
  return [
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'StorageClass',
      metadata: { name: 'local-path', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
      provisioner: LOCAL_PATH_PROVISIONER,
      reclaimPolicy: 'Delete',
      volumeBindingMode: 'WaitForFirstConsumer',
      allowVolumeExpansion: true,
    },
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: { name: 'k8ts:local-path' },
      rules: [{ apiGroups: [''], resources: ['persistentvolumes'], verbs: ['list', 'watch'] }],
    },
    // a kubelet removes the data of its volumes when they are deleted
    clusterBinding('k8ts:local-path', 'k8ts:local-path', group('system:nodes')),
  ];
}

/** All of them, in the order of applying. */
export function addonManifests(options: AddonOptions): Manifest[] {
  return [
    ...joining(options),
    ...storage(),
    ...dns(options.settings),
    ...insightManifests(options.insight),
    ...(options.ingress ? ingressManifests() : []),
  ];
}
