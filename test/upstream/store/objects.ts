/** Objects whose keys or stored versions have something of their own, and some ordinary ones. */
import type { JsonObject } from '../../../api/types.ts';

const ns = (prefix: string, resource: string) => `${prefix}/namespaces/data/${resource}`;
const labels = { app: 'web' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } };
const selector = { matchLabels: labels };
const named = (name: string, rest: JsonObject): JsonObject => ({ metadata: { name }, ...rest });

/** Where each is posted, in this order. */
export const OBJECTS: readonly (readonly [path: string, object: JsonObject])[] = [
  ['/api/v1/namespaces', named('data', {})],
  [ns('/api/v1', 'serviceaccounts'), named('default', {})],
  ['/api/v1/nodes', named('n1', { spec: { podCIDR: '10.1.0.0/24' } })],
  [ns('/api/v1', 'configmaps'), named('c', { data: { a: 'ä\n' }, binaryData: { b: 'AAEC/w==' } })],
  [ns('/api/v1', 'secrets'), named('s', { data: { k: 'aGlkZGVu' } })],
  [ns('/api/v1', 'pods'), named('p', { spec: { ...template.spec, terminationGracePeriodSeconds: 0 } })],
  [ns('/api/v1', 'podtemplates'), named('t', { template })],
  [ns('/api/v1', 'replicationcontrollers'), named('rc', { spec: { replicas: 0, selector: labels, template } })],
  [ns('/api/v1', 'services'), named('web', { spec: { type: 'NodePort', selector: labels, ports: [{ port: 80 }] } })],
  [ns('/api/v1', 'endpoints'), named('web', { subsets: [{ addresses: [{ ip: '10.1.0.9' }], ports: [{ port: 80 }] }] })],
  [ns('/api/v1', 'limitranges'), named('l', { spec: { limits: [{ type: 'Container', max: { cpu: '2' } }] } })],
  [
    '/api/v1/persistentvolumes',
    named('v', {
      spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/data' } },
    }),
  ],
  [ns('/apis/apps/v1', 'deployments'), named('web', { spec: { selector, template } })],
  [ns('/apis/apps/v1', 'statefulsets'), named('db', { spec: { serviceName: 'db', selector, template } })],
  [ns('/apis/apps/v1', 'controllerrevisions'), named('r', { revision: 3, data: { spec: { replicas: 2 } } })],
  [
    ns('/apis/batch/v1', 'jobs'),
    named('j', { spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } } }),
  ],
  [
    ns('/apis/networking.k8s.io/v1', 'ingresses'),
    named('i', { spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } } } }),
  ],
  [ns('/apis/networking.k8s.io/v1', 'networkpolicies'), named('np', { spec: { podSelector: {} } })],
  [
    ns('/apis/discovery.k8s.io/v1', 'endpointslices'),
    named('web-1', { addressType: 'IPv4', endpoints: [{ addresses: ['10.1.0.9'] }], ports: [{ port: 80 }] }),
  ],
  [
    ns('/apis/autoscaling/v1', 'horizontalpodautoscalers'),
    named('h', {
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
        maxReplicas: 3,
        targetCPUUtilizationPercentage: 70,
      },
    }),
  ],
  [ns('/apis/policy/v1', 'poddisruptionbudgets'), named('b', { spec: { minAvailable: '50%', selector } })],
  [ns('/apis/coordination.k8s.io/v1', 'leases'), named('le', { spec: { renewTime: '2026-01-01T00:00:00.000001Z' } })],
  [
    ns('/apis/events.k8s.io/v1', 'events'),
    named('e', {
      eventTime: '2026-01-01T00:00:00.000001Z',
      reportingController: 'test',
      reportingInstance: 'test-1',
      action: 'Tried',
      reason: 'Trying',
      type: 'Normal',
      regarding: { kind: 'Pod', name: 'p', namespace: 'data' },
    }),
  ],
  ['/apis/storage.k8s.io/v1/storageclasses', named('sc', { provisioner: 'example.com/p' })],
  ['/apis/storage.k8s.io/v1/csidrivers', named('csi.example.com', { spec: { attachRequired: false } })],
  ['/apis/scheduling.k8s.io/v1/priorityclasses', named('pc', { value: 10 })],
  ['/apis/resource.k8s.io/v1/deviceclasses', named('dc', { spec: {} })],
  [
    '/apis/resource.k8s.io/v1/resourceslices',
    named('rs', {
      spec: {
        driver: 'd.example.com',
        nodeName: 'n1',
        pool: { name: 'n1', generation: 1, resourceSliceCount: 1 },
        devices: [{ name: 'dev', attributes: { a: { int: 3 } }, capacity: { m: { value: '1Gi' } } }],
      },
    }),
  ],
  [
    ns('/apis/resource.k8s.io/v1', 'resourceclaims'),
    named('rcl', { spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'dc' } }] } } }),
  ],
  [
    '/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies',
    named('m', {
      spec: {
        reinvocationPolicy: 'Never',
        matchConstraints: {
          resourceRules: [
            { apiGroups: ['none.example.com'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['x'] },
          ],
        },
        mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }],
      },
    }),
  ],
  ['/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings', named('m', { spec: { policyName: 'm' } })],
];

const version = (name: string, storage: boolean, column: string): JsonObject => ({
  name,
  served: true,
  storage,
  schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
  subresources: { status: {} },
  additionalPrinterColumns: [{ name: column, type: 'string', jsonPath: '.spec.size' }],
});

/** Two versions that differ in what v1beta1 of the definition can say for all of them at once. */
export const CRD: JsonObject = named('widgets.example.com', {
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
    versions: [version('v1', true, 'Size'), version('v1beta1', false, 'Old')],
  },
});
export const WIDGET: JsonObject = named('w', {
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  spec: { size: 'large', number: 12345678901 },
});
