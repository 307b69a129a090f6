import assert from 'node:assert/strict';
import { create, kind, update, type Any } from './harness.ts';

const TEMPLATE = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };

/** What differed from kube-apiserver v1.36.3 once, on update. */
describe('updates as kube-apiserver judges them', () => {
  it('look at what is generated from, and at finalizers, only where the whole object is judged again', () => {
    const claim = kind('persistentvolumeclaims');
    const made = create(claim, {
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
    const finalizers = update(claim, made.object, (c) => (c.metadata.finalizers = ['Bad Value!']));
    assert.deepEqual(finalizers.errors, ['Invalid metadata.finalizers', 'Invalid metadata.finalizers[0]']);
    const set = kind('daemonsets', 'apps');
    const spec = { selector: { matchLabels: { a: 'b' } }, template: TEMPLATE };
    const named = update(set, create(set, { spec }).object, (d) => (d.metadata.generateName = 'Bad_Value!'));
    assert.deepEqual(named.errors, []);
  });

  it('refuse a count of template changes that is no number', () => {
    const set = kind('daemonsets', 'apps');
    const { object } = create(set, { spec: { selector: { matchLabels: { a: 'b' } }, template: TEMPLATE } });
    const count = (text: string) =>
      update(set, object, (d) => (d.metadata.annotations['deprecated.daemonset.template.generation'] = text));
    assert.throws(() => count('x'), { message: /invalid syntax/ });
    assert.deepEqual(count('7').errors, []);
  });

  it('judge the whole of a claim template, though nothing of it may change', () => {
    const template = kind('resourceclaimtemplates', 'resource.k8s.io');
    const made = create(template, {
      spec: { spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'c' } }] } } },
    });
    assert.deepEqual(made.errors, []);
    const nameless = update(template, made.object, (t) => delete t.spec.spec.devices.requests[0].name);
    assert.deepEqual(nameless.errors, ['Invalid spec', 'Invalid spec.spec.devices.requests[0].name']);
    const period = update(template, made.object, (t) => (t.spec.metadata = { deletionGracePeriodSeconds: 0 }));
    assert.deepEqual(period.errors, ['Forbidden spec.metadata.deletionGracePeriodSeconds', 'Invalid spec']);
  });

  it('tell an empty object from none where Go has a pointer', () => {
    const capacity = kind('csistoragecapacities', 'storage.k8s.io');
    const { object } = create(capacity, { storageClassName: 'fast' });
    assert.deepEqual(update(capacity, object, (c) => (c.nodeTopology = {})).errors, ['Invalid nodeTopology']);
  });

  it('warn of nothing for ReplicationControllers, but for ReplicaSets', () => {
    const twice = (o: Any) => (o.spec.template.spec.containers[0].env = [{ name: 'A' }, { name: 'A' }]);
    const rc = kind('replicationcontrollers');
    const made = create(rc, { spec: { template: TEMPLATE } });
    assert.deepEqual(update(rc, made.object, twice).warnings, []);
    const rs = kind('replicasets', 'apps');
    const set = create(rs, { spec: { selector: { matchLabels: { a: 'b' } }, template: TEMPLATE } });
    assert.equal(update(rs, set.object, twice).warnings.length, 1);
  });

  it('take policies of null as not given', () => {
    const hpa = kind('horizontalpodautoscalers', 'autoscaling');
    const behavior = (policies: null | unknown[]) => ({
      spec: {
        scaleTargetRef: { kind: 'Deployment', name: 'd', apiVersion: 'apps/v1' },
        maxReplicas: 2,
        behavior: { scaleDown: { policies } },
      },
    });
    const made = create(hpa, behavior(null));
    assert.deepEqual(made.errors, []);
    assert.equal(made.object.spec.behavior.scaleDown.policies.length, 1);
    assert.deepEqual(create(hpa, behavior([])).errors, ['Required spec.behavior.scaleDown.policies']);
  });

  it('judge restart rules of an init container once it has a policy', () => {
    const pods = kind('pods');
    const pod = (more: object) =>
      create(pods, {
        spec: { initContainers: [{ name: 'i', image: 'i', ...more }], containers: [{ name: 'c', image: 'i' }] },
      }).errors;
    const at = 'spec.initContainers[0]';
    assert.deepEqual(pod({ restartPolicyRules: [{}] }), [`Required ${at}.restartPolicy`]);
    assert.deepEqual(pod({ restartPolicy: 'Never', restartPolicyRules: [{}] }), [
      `NotSupported ${at}.restartPolicyRules[0].action`,
      `Required ${at}.restartPolicyRules[0].exitCodes`,
    ]);
  });

  it('judge the health of devices in a status, also when it is left out', () => {
    const pods = kind('pods');
    const { object } = create(pods, {
      spec: {
        containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1' } } }],
      },
    });
    const status = update(
      pods,
      object,
      (p) => {
        const allocatedResourcesStatus = [{ name: 'cpu', resources: [{ resourceID: 'r' }] }];
        p.status.containerStatuses = [
          { name: 'c', image: 'i', imageID: '', ready: true, restartCount: 0, allocatedResourcesStatus },
        ];
      },
      'status',
    );
    assert.deepEqual(status.errors, [
      'NotSupported status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health',
    ]);
  });

  it('compare ready pods with active ones when they are said', () => {
    const jobs = kind('jobs', 'batch');
    const { object } = create(jobs, {
      spec: { template: { ...TEMPLATE, spec: { ...TEMPLATE.spec, restartPolicy: 'Never' } } },
    });
    const status = update(jobs, object, (j) => (j.status = { active: -1 }), 'status');
    assert.deepEqual(status.errors, ['Invalid status.active']);
  });

  it('say of ranges of a node that are none that they can not be compared', () => {
    const nodes = kind('nodes');
    const node = create(nodes, { spec: { podCIDRs: ['10.1.0.0/24', 'value'] } });
    assert.ok(node.errors.includes('InternalError spec.podCIDRs'), node.errors.join());
  });
});
