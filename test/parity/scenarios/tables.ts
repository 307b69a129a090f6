/** Rows of built-in kinds in states that a fresh object is not in. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { apps, core, deployment, template } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

/** The status of a container that isn't ready. */
const notReady = (state: JsonObject): JsonObject => ({
  name: 'c',
  ready: false,
  restartCount: 0,
  image: 'i',
  imageID: '',
  state,
});

/** Rows of kinds in states that a fresh object isn't in. */
export function tables(): Scenario {
  const s = new Scenario('content', 'tables');
  const ns = s.namespace('sc-tables');
  const pods = core(ns, 'pods');
  const states: JsonObject[] = [
    {
      phase: 'Running',
      containerStatuses: [
        {
          name: 'c',
          ready: true,
          restartCount: 2,
          image: 'i',
          imageID: '',
          state: { running: { startedAt: '2020-01-01T00:00:00Z' } },
          lastState: { terminated: { exitCode: 1, finishedAt: '2020-01-01T00:00:00Z' } },
        },
      ],
      podIP: '1.2.3.4',
      podIPs: [{ ip: '1.2.3.4' }],
    },
    {
      phase: 'Pending',
      containerStatuses: [notReady({ waiting: { reason: 'CrashLoopBackOff' } })],
    },
    { phase: 'Failed', reason: 'Evicted' },
    {
      phase: 'Succeeded',
      containerStatuses: [notReady({ terminated: { exitCode: 0, reason: 'Completed' } })],
    },
    {
      phase: 'Failed',
      containerStatuses: [notReady({ terminated: { exitCode: 3 } })],
    },
    {
      phase: 'Failed',
      containerStatuses: [notReady({ terminated: { exitCode: 3, signal: 9 } })],
    },
    {
      phase: 'Running',
      conditions: [
        { type: 'Ready', status: 'False' },
        { type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' },
      ],
    },
    {
      phase: 'Pending',
      initContainerStatuses: [
        { name: 'i', ready: false, restartCount: 1, image: 'i', imageID: '', state: { terminated: { exitCode: 2 } } },
      ],
    },
    {
      phase: 'Pending',
      initContainerStatuses: [
        {
          name: 'i',
          ready: false,
          restartCount: 0,
          image: 'i',
          imageID: '',
          state: { waiting: { reason: 'PodInitializing' } },
        },
      ],
    },
    {
      phase: 'Pending',
      initContainerStatuses: [
        { name: 'i', ready: true, started: true, restartCount: 3, image: 'i', imageID: '', state: { running: {} } },
      ],
      conditions: [{ type: 'Initialized', status: 'True' }],
    },
    {
      phase: 'Running',
      nominatedNodeName: 'nn',
      conditions: [
        { type: 'x.io/gate', status: 'True' },
        { type: 'Ready', status: 'True' },
      ],
    },
    { phase: 'Unknown', reason: 'NodeLost' },
  ];
  for (const [i, status] of states.entries()) {
    s.post(pods, {
      metadata: { name: `p${i}`, finalizers: i === 11 || i === 0 ? ['x.io/y'] : [] },
      spec: {
        nodeName: 'n',
        containers: [{ name: 'c', image: 'i' }],
        initContainers: [{ name: 'i', image: 'i', ...(i === 9 ? { restartPolicy: 'Always' } : {}) }],
        readinessGates: i > 9 ? [{ conditionType: 'x.io/gate' }] : [],
      },
    });
    s.patch('merge', `${pods}/p${i}/status`, { status });
  }
  s.table(pods);
  s.del(`${pods}/p11?gracePeriodSeconds=0`);
  s.del(`${pods}/p0`);
  s.table(pods);
  s.get(`${pods}?fieldSelector=status.phase%3DFailed`, {
    headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  });
  const with_ = (path: string, body: JsonObject, status?: JsonObject, item = '') => {
    const name = (body['metadata'] as { name: string }).name;
    s.post(path, body);
    if (status) s.patch('merge', `${path}/${name}/status`, { status });
    s.table(`${path}${item}`);
    s.table(`${path}/${name}`);
  };
  const node = `n-${RUN}`;
  with_(
    '/api/v1/nodes',
    {
      metadata: { name: node, labels: { 'node-role.kubernetes.io/control-plane': '', 'kubernetes.io/role': 'worker' } },
      spec: { unschedulable: true },
    },
    {
      conditions: [{ type: 'Ready', status: 'Unknown' }],
      addresses: [
        { type: 'InternalIP', address: '1.2.3.4' },
        { type: 'ExternalIP', address: '5.6.7.8' },
      ],
      nodeInfo: {
        kubeletVersion: 'v1.36.0',
        osImage: 'x',
        kernelVersion: 'k',
        containerRuntimeVersion: 'c',
        architecture: 'a',
        bootID: '',
        kubeProxyVersion: '',
        machineID: '',
        operatingSystem: 'linux',
        systemUUID: '',
      },
    },
    '?fieldSelector=metadata.name%3D' + node,
  );
  s.del(`/api/v1/nodes/${node}`);
  with_(apps(ns, 'deployments'), deployment('d', { replicas: 3, paused: true }), {
    replicas: 3,
    updatedReplicas: 2,
    availableReplicas: 1,
    readyReplicas: 1,
    unavailableReplicas: 2,
  });
  with_(
    apps(ns, 'replicasets'),
    {
      metadata: { name: 'r' },
      spec: {
        replicas: 2,
        selector: { matchExpressions: [{ key: 'a', operator: 'In', values: ['b', 'c'] }] },
        template: template(),
      },
    },
    { replicas: 2, readyReplicas: 1, observedGeneration: 1 },
  );
  with_(
    apps(ns, 'statefulsets'),
    {
      metadata: { name: 's' },
      spec: { serviceName: 'x', selector: { matchLabels: { a: 'b' } }, template: template() },
    },
    { replicas: 1, readyReplicas: 1, currentReplicas: 1 },
  );
  with_(
    apps(ns, 'daemonsets'),
    {
      metadata: { name: 's' },
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: {
          ...template(),
          spec: {
            nodeSelector: { x: 'y', a: 'b' },
            containers: [
              { name: 'c', image: 'i' },
              { name: 'd', image: 'j' },
            ],
          },
        },
      },
    },
    {
      desiredNumberScheduled: 3,
      currentNumberScheduled: 2,
      numberReady: 1,
      numberMisscheduled: 0,
      updatedNumberScheduled: 2,
      numberAvailable: 1,
    },
  );
  const job = (name: string, spec: JsonObject) => ({
    metadata: { name },
    spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } }, ...spec },
  });
  const jobs = `/apis/batch/v1/namespaces/${ns}/jobs`;
  with_(jobs, job('a', { parallelism: 2 }), { succeeded: 1, active: 1, startTime: '2020-01-01T00:00:00Z' });
  with_(jobs, job('b', { completions: 3, suspend: true }), { conditions: [{ type: 'Suspended', status: 'True' }] });
  with_(jobs, job('c', {}), {
    startTime: '2020-01-01T00:00:00Z',
    completionTime: '2020-01-01T01:02:03Z',
    succeeded: 1,
    conditions: [
      { type: 'SuccessCriteriaMet', status: 'True' },
      { type: 'Complete', status: 'True' },
    ],
  });
  with_(jobs, job('e', {}), {
    startTime: '2020-01-01T00:00:00Z',
    failed: 1,
    conditions: [
      { type: 'FailureTarget', status: 'True' },
      { type: 'Failed', status: 'True', reason: 'x' },
    ],
  });
  with_(
    `/apis/batch/v1/namespaces/${ns}/cronjobs`,
    {
      metadata: { name: 'c' },
      spec: {
        schedule: '*/5 * * * *',
        timeZone: 'Europe/Berlin',
        suspend: true,
        jobTemplate: { spec: job('x', {}).spec as JsonObject },
      },
    },
    { lastScheduleTime: '2020-01-01T00:00:00Z', active: [{ name: 'x' }] },
  );
  const hpa = `/apis/autoscaling/v2/namespaces/${ns}/horizontalpodautoscalers`;
  const metric = (type: string, member: string, value: JsonObject): JsonObject => ({ type, [member]: value });
  const target = (t: JsonObject) => ({ target: t });
  const util = { type: 'Utilization', averageUtilization: 50 };
  const metrics = [
    metric('Resource', 'resource', { name: 'cpu', ...target(util) }),
    metric('Resource', 'resource', { name: 'memory', ...target({ type: 'AverageValue', averageValue: '1Gi' }) }),
    metric('ContainerResource', 'containerResource', { name: 'cpu', container: 'c', ...target(util) }),
    metric('Pods', 'pods', { metric: { name: 'x' }, ...target({ type: 'AverageValue', averageValue: '5' }) }),
    metric('Object', 'object', {
      metric: { name: 'x' },
      describedObject: { kind: 'Pod', name: 'p' },
      ...target({ type: 'Value', value: '10' }),
    }),
    metric('External', 'external', { metric: { name: 'x' }, ...target({ type: 'AverageValue', averageValue: '10' }) }),
  ];
  const scaler = (name: string, list: JsonValue[]) => ({
    metadata: { name },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' },
      maxReplicas: 5,
      minReplicas: 2,
      metrics: list,
    },
  });
  for (const [i, m] of metrics.entries())
    with_(hpa, scaler(`h${i}`, [m]), {
      currentReplicas: 2,
      desiredReplicas: 3,
      currentMetrics:
        i % 2
          ? null
          : [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 20, averageValue: '5m' } } }],
    });
  with_(hpa, scaler('many', metrics));
  s.table(`/apis/autoscaling/v1/namespaces/${ns}/horizontalpodautoscalers`);
  with_(
    `/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets`,
    { metadata: { name: 'p' }, spec: { maxUnavailable: '50%', selector: {} } },
    { disruptionsAllowed: 2, currentHealthy: 1, desiredHealthy: 1, expectedPods: 3 },
  );
  with_(
    `/apis/networking.k8s.io/v1/namespaces/${ns}/ingresses`,
    {
      metadata: { name: 'i' },
      spec: {
        ingressClassName: 'x',
        tls: [{ hosts: ['a.b'] }],
        rules: [
          {
            host: 'a.b',
            http: {
              paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 's', port: { number: 1 } } } }],
            },
          },
          { host: 'c.d' },
          { host: 'e.f' },
          { host: 'g.h' },
        ],
      },
    },
    { loadBalancer: { ingress: [{ ip: '1.2.3.4' }, { hostname: 'x.y' }] } },
  );
  with_(`/apis/networking.k8s.io/v1/namespaces/${ns}/networkpolicies`, {
    metadata: { name: 'i' },
    spec: { podSelector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] } },
  });
  with_(`/apis/discovery.k8s.io/v1/namespaces/${ns}/endpointslices`, {
    metadata: { name: 'i' },
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['1.2.3.4'] },
      { addresses: ['1.2.3.5'] },
      { addresses: ['1.2.3.6'] },
      { addresses: ['1.2.3.7'] },
    ],
    ports: [{ name: 'a', port: 1 }, { name: 'b', port: 2, protocol: 'UDP' }, { name: 'c' }, { name: 'd', port: 4 }],
  });
  with_(core(ns, 'endpoints'), {
    metadata: { name: 'i' },
    subsets: [
      {
        addresses: [{ ip: '1.2.3.4' }, { ip: '1.2.3.5' }],
        ports: [
          { port: 1, name: 'a' },
          { port: 2, name: 'b' },
        ],
      },
    ],
  });
  with_(
    core(ns, 'persistentvolumeclaims'),
    {
      metadata: { name: 'v', finalizers: ['x/y'] },
      spec: {
        accessModes: ['ReadWriteOnce', 'ReadOnlyMany'],
        storageClassName: 'x',
        volumeName: 'pv',
        resources: { requests: { storage: '1Gi' } },
      },
    },
    { phase: 'Bound', capacity: { storage: '2Gi' }, accessModes: ['ReadWriteOnce'] },
  );
  s.del(`${core(ns, 'persistentvolumeclaims')}/v`);
  s.table(core(ns, 'persistentvolumeclaims'));
  const pv = `pv-${RUN}`;
  with_(
    '/api/v1/persistentvolumes',
    {
      metadata: { name: pv },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteMany', 'ReadWriteOncePod'],
        hostPath: { path: '/x' },
        claimRef: { namespace: 'a', name: 'b' },
        storageClassName: 'x',
        volumeAttributesClassName: 'y',
      },
    },
    { phase: 'Released', reason: 'why' },
    `?fieldSelector=metadata.name%3D${pv}`,
  );
  s.del(`/api/v1/persistentvolumes/${pv}`);
  with_(
    core(ns, 'resourcequotas'),
    { metadata: { name: 'q' }, spec: { hard: { pods: '5', 'limits.cpu': '2', 'requests.memory': '1Gi' } } },
    { hard: { pods: '5', 'limits.cpu': '2', 'requests.memory': '1Gi' }, used: { pods: '1', 'limits.cpu': '500m' } },
  );
  with_(
    core(ns, 'replicationcontrollers'),
    { metadata: { name: 'q' }, spec: { selector: { a: 'b' }, template: template() } },
    { replicas: 1, readyReplicas: 1 },
  );
  with_(core(ns, 'secrets'), { metadata: { name: 'q' }, data: { a: 'YQ==', b: 'YQ==' }, type: 'x/y' });
  with_(core(ns, 'configmaps'), { metadata: { name: 'q' }, data: { a: 'x' }, binaryData: { b: 'YQ==' } });
  with_(core(ns, 'podtemplates'), { metadata: { name: 'q' }, template: template() });
  with_(core(ns, 'limitranges'), { metadata: { name: 'q' }, spec: { limits: [{ type: 'Pod', max: { cpu: '1' } }] } });
  with_(core(ns, 'events'), {
    metadata: { name: 'q', namespace: ns },
    involvedObject: { kind: 'Pod', name: 'p', namespace: ns, fieldPath: 'spec.containers{c}' },
    reason: 'R',
    message: 'm ',
    type: 'Warning',
    count: 5,
    firstTimestamp: '2020-01-01T00:00:00Z',
    lastTimestamp: '2020-01-02T00:00:00Z',
    source: { component: 'x', host: 'h' },
  });
  with_(core(ns, 'events'), {
    metadata: { name: 'r', namespace: ns },
    involvedObject: { kind: 'Pod', name: 'p', namespace: ns },
    reportingComponent: 'rc',
    reportingInstance: 'ri',
    action: 'A',
    eventTime: '2020-01-01T00:00:00.000000Z',
    series: { count: 9, lastObservedTime: '2020-01-03T00:00:00.000000Z' },
    type: 'Normal',
    reason: 'x',
  });
  s.table(`/apis/events.k8s.io/v1/namespaces/${ns}/events`);
  with_(`/apis/coordination.k8s.io/v1/namespaces/${ns}/leases`, {
    metadata: { name: 'q' },
    spec: { holderIdentity: 'x' },
  });
  with_(`/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}/rolebindings`, {
    metadata: { name: 'q' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    subjects: [
      { kind: 'User', name: 'u', apiGroup: 'rbac.authorization.k8s.io' },
      { kind: 'Group', name: 'g', apiGroup: 'rbac.authorization.k8s.io' },
      { kind: 'ServiceAccount', name: 's', namespace: 'n' },
    ],
  });
  with_(`/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}/roles`, { metadata: { name: 'q' }, rules: [] });
  with_(apps(ns, 'controllerrevisions'), {
    metadata: {
      name: 'q',
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: 's', uid: 'u', controller: true }],
    },
    revision: 5,
    data: {},
  });
  with_(`/apis/storage.k8s.io/v1/namespaces/${ns}/csistoragecapacities`, {
    metadata: { name: 'q' },
    storageClassName: 'x',
    capacity: '1Gi',
  });
  with_(
    `/apis/resource.k8s.io/v1/namespaces/${ns}/resourceclaims`,
    { metadata: { name: 'q' }, spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'x' } }] } } },
    { allocation: { devices: { results: [] } }, reservedFor: [{ resource: 'pods', name: 'p', uid: 'u' }] },
  );
  with_(`/apis/resource.k8s.io/v1/namespaces/${ns}/resourceclaimtemplates`, {
    metadata: { name: 'q' },
    spec: { spec: { devices: {} } },
  });
  with_('/apis/certificates.k8s.io/v1/certificatesigningrequests', {
    metadata: { name: `csr-${RUN}` },
    spec: { request: 'x', signerName: 'a.b/c', usages: ['client auth'] },
  });
  for (const p of [
    '/apis/storage.k8s.io/v1/volumeattachments',
    '/apis/storage.k8s.io/v1/csinodes',
    '/apis/resource.k8s.io/v1/resourceslices',
    '/apis/resource.k8s.io/v1/deviceclasses',
    '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
    '/apis/networking.k8s.io/v1/ingressclasses',
    core('none', 'limitranges'),
    core('none', 'podtemplates'),
    core('none', 'configmaps'),
    core('none', 'endpoints'),
    apps('none', 'controllerrevisions'),
  ])
    s.table(p);
  return s;
}
