/** What controllers write: followers, statuses, bindings, evictions, scales, elections, events. */
import type { JsonObject } from '../../../api/types.ts';
import { Scenario } from './step.ts';
import { LABELS, podTemplate } from './templates.ts';

/** What the controllers of Deployments and their followers write. */
export function rollout(): Scenario {
  const s = new Scenario('apps', 'rollout');
  const ns = s.namespace('rollout');
  const apps = `/apis/apps/v1/namespaces/${ns}`;
  const pods = `/api/v1/namespaces/${ns}/pods`;
  s.post(
    `${apps}/deployments`,
    { metadata: { name: 'w' }, spec: { selector: { matchLabels: LABELS }, template: podTemplate('w:1') } },
    { capture: { d: '.metadata.uid' } },
  );
  const owner = (kind: string, name: string, uid: string) => [
    { apiVersion: 'apps/v1', kind, name, uid, controller: true, blockOwnerDeletion: true },
  ];
  const hashed = { ...LABELS, 'pod-template-hash': 'h1' };
  s.post(
    `${apps}/replicasets`,
    {
      metadata: {
        name: 'w-h1',
        labels: hashed,
        ownerReferences: owner('Deployment', 'w', '${d}'),
        annotations: { 'deployment.kubernetes.io/revision': '1' },
      },
      spec: {
        replicas: 2,
        selector: { matchLabels: hashed },
        template: { ...podTemplate('w:1'), metadata: { labels: hashed } },
      },
    },
    { capture: { r: '.metadata.uid' } },
  );
  s.put(`${apps}/replicasets/w-h1/status`, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'w-h1' },
    status: { replicas: 2, readyReplicas: 1, availableReplicas: 3, observedGeneration: 1 },
  });
  s.patch('merge', `${apps}/replicasets/w-h1/status`, {
    status: { replicas: 2, readyReplicas: 2, fullyLabeledReplicas: 2, terminatingReplicas: 1, observedGeneration: 1 },
  });
  s.patch('merge', `${apps}/deployments/w/status`, {
    metadata: { annotations: { a: 'b' } },
    spec: { replicas: 7 },
    status: { replicas: 2, unavailableReplicas: 1, collisionCount: 1 },
  });
  s.patch('merge', `${apps}/deployments/w/status`, { status: { collisionCount: 0 } });
  for (const n of [1, 2]) {
    const name = `w-h1-${n}`;
    s.post(pods, {
      metadata: { name, generateName: 'w-h1-', labels: hashed, ownerReferences: owner('ReplicaSet', 'w-h1', '${r}') },
      spec: podTemplate('w:1').spec as JsonObject,
    });
    s.post(`${pods}/${name}/binding`, { metadata: { name }, target: { kind: 'Node', name: 'n1' } });
    s.patch('strategic', `${pods}/${name}/status`, {
      status: {
        phase: 'Running',
        podIP: `10.1.1.${n}`,
        conditions: [
          { type: 'Ready', status: 'True' },
          { type: 'PodScheduled', status: 'True' },
        ],
        containerStatuses: [
          { name: 'main', image: 'w:1', imageID: 'x', ready: true, restartCount: 0, state: { running: {} } },
        ],
      },
    });
  }
  s.patch('strategic', `${pods}/w-h1-1`, {
    metadata: { ownerReferences: [{ $patch: 'delete', uid: '${r}' }], uid: 'not-this' },
  });
  s.patch('strategic', `${pods}/w-h1-1`, { metadata: { ownerReferences: [{ $patch: 'delete', uid: '${r}' }] } });
  s.patch('strategic', `${pods}/w-h1-1`, { metadata: { ownerReferences: owner('ReplicaSet', 'w-h1', '${r}') } });
  s.patch('strategic', `${pods}/w-h1-1`, {
    metadata: { ownerReferences: [...owner('ReplicaSet', 'w-h1', '${r}'), ...owner('Job', 'j', 'u')] },
  });
  s.post(`/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets`, {
    metadata: { name: 'w' },
    spec: { minAvailable: '50%', selector: { matchLabels: LABELS } },
  });
  const evict = (name: string, more: JsonObject = {}) =>
    s.post(`${pods}/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name }, ...more });
  evict('w-h1-1');
  s.patch('merge', `/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets/w/status`, {
    status: { disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2, observedGeneration: 1 },
  });
  evict('w-h1-1', { deleteOptions: { dryRun: ['All'] } });
  evict('w-h1-1', { deleteOptions: { preconditions: { uid: 'nope' } } });
  evict('w-h1-1', { deleteOptions: { gracePeriodSeconds: 5 } });
  evict('w-h1-2');
  evict('none');
  s.get(`/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets/w`);
  s.get(`${pods}/w-h1-1`);
  s.del(`${pods}/w-h1-1`, { gracePeriodSeconds: 0 });
  s.del(`${pods}?labelSelector=pod-template-hash%3Dh1`, { gracePeriodSeconds: 0 });
  s.get(pods);
  s.put(`${apps}/deployments/w/scale`, {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'w', namespace: ns },
    spec: { replicas: 4 },
  });
  s.patch('json', `${apps}/deployments/w/scale`, [
    { op: 'test', path: '/spec/replicas', value: 4 },
    { op: 'replace', path: '/spec/replicas', value: -1 },
  ]);
  s.patch('apply', `${apps}/deployments/w/scale?fieldManager=keda`, {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'w' },
    spec: { replicas: 6 },
  });
  s.patch('json', `${apps}/deployments/w`, [
    { op: 'replace', path: '/spec/template', value: podTemplate('w:0') },
    { op: 'add', path: '/metadata/annotations', value: { 'deployment.kubernetes.io/revision': '2' } },
  ]);
  s.table(`${apps}/deployments`);
  s.table(`${apps}/replicasets`);
  const meta = { headers: { Accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' } };
  s.get(`${apps}/deployments/w`, meta);
  s.send(
    'PATCH',
    `${apps}/deployments/w`,
    { metadata: { labels: { p: 'q' } } },
    { contentType: 'application/merge-patch+json', ...meta },
  );
  s.del(`${apps}/replicasets/w-h1`, { preconditions: { uid: '${d}' } });
  s.del(`${apps}/replicasets/w-h1`, { orphanDependents: true });
  return s;
}

/** A lease fought over, events told again, a status by an operator. */
export function election(): Scenario {
  const s = new Scenario('apps', 'election');
  const ns = s.namespace('election');
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${ns}/leases`;
  const lease = (holder: string, more: JsonObject = {}, metadata: JsonObject = {}) => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'l', ...metadata },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: 15,
      acquireTime: '2020-01-01T00:00:00.000000Z',
      renewTime: '2020-01-01T00:00:01.5Z',
      leaseTransitions: 0,
      ...more,
    },
  });
  s.put(`${leases}/l`, lease('a'));
  s.post(leases, lease('a'), { capture: { rv: '.metadata.resourceVersion' } });
  s.post(leases, lease('b'));
  s.put(`${leases}/l`, lease('a', { renewTime: '2020-01-01T00:00:02.000001Z' }, { resourceVersion: '${rv}' }));
  s.put(`${leases}/l`, lease('b', {}, { resourceVersion: '${rv}' }));
  s.put(`${leases}/l`, lease('b'));
  s.put(`${leases}/l`, lease('b', { leaseTransitions: -1, leaseDurationSeconds: 0 }));
  s.put(`${leases}/l`, lease('', { strategy: 'OldestEmulationVersion', preferredHolder: 'c' }));
  const events = `/api/v1/namespaces/${ns}/events`;
  const event = {
    metadata: { name: 'l.1' },
    involvedObject: { kind: 'Lease', namespace: ns, name: 'l', apiVersion: 'coordination.k8s.io/v1' },
    reason: 'LeaderElection',
    message: 'm',
    source: { component: 'c' },
    firstTimestamp: '2020-01-01T00:00:00Z',
    lastTimestamp: '2020-01-01T00:00:00Z',
    count: 1,
    type: 'Normal',
  };
  s.post(events, event);
  s.patch('strategic', `${events}/l.1`, { count: 2, lastTimestamp: '2020-01-01T00:01:00Z', message: 'n' });
  s.patch('merge', `/apis/events.k8s.io/v1/namespaces/${ns}/events/l.1`, {
    series: { count: 2, lastObservedTime: '2020-01-01T00:01:00Z' },
  });
  s.get(`/apis/events.k8s.io/v1/namespaces/${ns}/events?fieldSelector=regarding.name%3Dl`);
  s.table(events);
  s.del(`${events}?fieldSelector=involvedObject.name%3Dl`);
  return s;
}
