import assert from 'node:assert/strict';
import { podTotals } from '../../../api/pod-resources.ts';
import { inQuotaScope, quotaEvaluator, type ResourceQuota } from '../../../api/quota.ts';
import type { KubeObject, PodSpec } from '../../../api/types.ts';

const usage = (group: string, resource: string, object: object) =>
  Object.fromEntries(
    [...quotaEvaluator(group, resource).usage(object as KubeObject, Date.UTC(2026, 0, 1))].map(([k, v]) => [
      k,
      v.toString(),
    ]),
  );
const container = (cpu: string, more: object = {}) => ({
  name: `c${cpu}`,
  image: 'i',
  resources: { requests: { cpu }, limits: { cpu } },
  ...more,
});

describe('what a pod asks for', () => {
  it('is the larger of its containers together and its init containers one by one, sidecars beside both', () => {
    const spec: PodSpec = {
      containers: [container('1'), container('500m')],
      initContainers: [container('200m', { restartPolicy: 'Always' }), container('2')],
      overhead: { cpu: '10m' },
    };
    assert.equal(podTotals(spec, 'requests', false).get('cpu')!.toString(), '2200m');
    assert.equal(podTotals(spec, 'requests', true).get('cpu')!.toString(), '2210m');
    assert.equal(
      podTotals({ ...spec, initContainers: [] }, 'requests', false)
        .get('cpu')!
        .toString(),
      '1500m',
    );
    assert.equal(
      podTotals({ ...spec, resources: { requests: { cpu: '5' } } }, 'requests', false)
        .get('cpu')!
        .toString(),
      '5',
    );
  });
});

describe('what objects count for in quotas', () => {
  it('pods, until they are over', () => {
    const pod = {
      metadata: {},
      spec: {
        containers: [
          { name: 'c', image: 'i', resources: { requests: { cpu: '1', 'x.io/gpu': '2' }, limits: { memory: '1Gi' } } },
        ],
      },
    };
    const running = {
      'count/pods': '1',
      pods: '1',
      cpu: '1',
      'requests.cpu': '1',
      'limits.memory': '1Gi',
      'requests.x.io/gpu': '2',
    };
    assert.deepEqual(usage('', 'pods', pod), running);
    assert.deepEqual(usage('', 'pods', { ...pod, status: { phase: 'Succeeded' } }), { 'count/pods': '1' });
    assert.deepEqual(
      usage('', 'pods', {
        ...pod,
        metadata: { deletionTimestamp: '2025-12-31T00:00:00Z', deletionGracePeriodSeconds: 30 },
      }),
      { 'count/pods': '1' },
    );
  });
  it('services with their ports', () => {
    const service = (spec: object) =>
      usage('', 'services', { spec: { ports: [{ port: 1 }, { port: 2, nodePort: 30000 }], ...spec } });
    assert.equal(service({})['services.nodeports'], '0');
    assert.equal(service({ type: 'NodePort' })['services.nodeports'], '2');
    assert.deepEqual(service({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false }), {
      'count/services': '1',
      services: '1',
      'services.loadbalancers': '1',
      'services.nodeports': '1',
    });
  });
  it('claims by their class, the larger of wanted and allocated', () => {
    const claim = {
      spec: { storageClassName: 'fast', resources: { requests: { storage: '1Gi' } } },
      status: { allocatedResources: { storage: '2Gi' } },
    };
    const used = usage('', 'persistentvolumeclaims', claim);
    assert.equal(used['requests.storage'], '2Gi');
    assert.equal(used['fast.storageclass.storage.k8s.io/requests.storage'], '2Gi');
    assert.ok(
      quotaEvaluator('', 'persistentvolumeclaims').tracks('slow.storageclass.storage.k8s.io/persistentvolumeclaims'),
    );
  });
  it('device claims by class, alternatives once', () => {
    const claim = {
      spec: {
        devices: {
          requests: [
            { name: 'a', exactly: { deviceClassName: 'gpu', count: 2 } },
            {
              name: 'b',
              firstAvailable: [{ deviceClassName: 'gpu' }, { deviceClassName: 'nic', allocationMode: 'All' }],
            },
          ],
        },
      },
    };
    assert.deepEqual(usage('resource.k8s.io', 'resourceclaims', claim), {
      'count/resourceclaims.resource.k8s.io': '1',
      'gpu.deviceclass.resource.k8s.io/devices': '3',
      'nic.deviceclass.resource.k8s.io/devices': '32',
    });
  });
  it('anything else by number', () => {
    assert.deepEqual(usage('', 'secrets', {}), { 'count/secrets': '1', secrets: '1' });
    assert.deepEqual(usage('apps', 'deployments', {}), { 'count/deployments.apps': '1' });
  });
});

describe('scopes of quotas', () => {
  const matches = (spec: ResourceQuota['spec'], podSpec: object) =>
    inQuotaScope({ spec }, quotaEvaluator('', 'pods'), {
      spec: { containers: [container('1')], ...podSpec },
    } as KubeObject);
  it('narrow by deadline, quality of service, priority and affinity', () => {
    assert.ok(matches({ scopes: ['Terminating'] }, { activeDeadlineSeconds: 5 }));
    assert.ok(!matches({ scopes: ['NotTerminating'] }, { activeDeadlineSeconds: 5 }));
    assert.ok(matches({ scopes: ['NotBestEffort'] }, {}) && !matches({ scopes: ['BestEffort'] }, {}));
    const priority = (operator: string, values?: string[]) => ({
      scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator, values }] },
    });
    assert.ok(
      matches(priority('In', ['high']), { priorityClassName: 'high' }) &&
        !matches(priority('NotIn', ['high']), { priorityClassName: 'high' }),
    );
    assert.ok(matches(priority('DoesNotExist'), {}) && !matches(priority('Exists'), {}));
    const affinity = {
      podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'k', namespaces: ['x'] }] },
    };
    assert.ok(
      matches({ scopes: ['CrossNamespacePodAffinity'] }, { affinity }) &&
        !matches({ scopes: ['CrossNamespacePodAffinity'] }, {}),
    );
  });
  it('keep kinds without scopes out', () => {
    assert.ok(!inQuotaScope({ spec: { scopes: ['BestEffort'] } }, quotaEvaluator('', 'services'), {}));
    assert.ok(inQuotaScope({ spec: {} }, quotaEvaluator('', 'services'), {}));
  });
});
