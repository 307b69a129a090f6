/** The Ingress controller as objects: class `k8ts`, which Ingresses without a class get, behind a load balancer. */
import type { Manifest } from './addons.ts';

const RBAC = 'rbac.authorization.k8s.io/v1';
const NAME = 'ingress';
const NAMESPACE = 'kube-system';
const labels = { 'k8s-app': 'ingress' };
const meta = { name: NAME, namespace: NAMESPACE, labels };
const ROLE = 'k8ts:ingress';

export function ingressManifests(): Manifest[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta },
    {
      apiVersion: RBAC,
      kind: 'ClusterRole',
      metadata: { name: ROLE },
      rules: [
        { apiGroups: [''], resources: ['services', 'secrets'], verbs: ['list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
        { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: ['list', 'watch'] },
        { apiGroups: ['networking.k8s.io'], resources: ['ingresses/status'], verbs: ['patch'] },
      ],
    },
    {
      apiVersion: RBAC,
      kind: 'ClusterRoleBinding',
      metadata: { name: ROLE },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: ROLE },
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IngressClass',
      metadata: { name: 'k8ts', annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } },
      spec: { controller: 'k8ts.io/ingress' },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta,
      spec: {
        type: 'LoadBalancer',
        // clients' addresses reach the backends as X-Forwarded-For
        externalTrafficPolicy: 'Local',
        ipFamilyPolicy: 'PreferDualStack',
        selector: labels,
        ports: [
          { name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' },
          { name: 'https', port: 443, targetPort: 'https', protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: meta,
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: NAME,
            priorityClassName: 'system-cluster-critical',
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
                name: NAME,
                image: 'docker.io/k8ts/k8ts:latest',
                imagePullPolicy: 'IfNotPresent',
                args: ['/k8ts/proxy/ingress/main.ts', `--publish-service=${NAMESPACE}/${NAME}`],
                resources: { requests: { cpu: '20m', memory: '60Mi' } },
                ports: [
                  { name: 'http', containerPort: 80, protocol: 'TCP' },
                  { name: 'https', containerPort: 443, protocol: 'TCP' },
                  { name: 'status', containerPort: 10254, protocol: 'TCP' },
                ],
                readinessProbe: { httpGet: { path: '/readyz', port: 'status' }, periodSeconds: 2 },
                livenessProbe: {
                  httpGet: { path: '/healthz', port: 'status' },
                  initialDelaySeconds: 30,
                  timeoutSeconds: 5,
                },
              },
            ],
          },
        },
      },
    },
  ];
}
