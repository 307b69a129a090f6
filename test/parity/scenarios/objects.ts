/** Built-in kinds: patches and applies, subresources, lists and watches, tables in odd states, deletion. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { RUN, Scenario } from './step.ts';

const core = (ns: string, resource: string) => `/api/v1/namespaces/${ns}/${resource}`;
const apps = (ns: string, resource: string) => `/apis/apps/v1/namespaces/${ns}/${resource}`;
const template = (labels: JsonObject = { a: 'b' }): JsonObject => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'i' }] },
});
const deployment = (name: string, spec: JsonObject = {}): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: { selector: { matchLabels: { a: 'b' } }, template: template(), ...spec },
});

/** Patches of one object in the three languages, each tried without lasting effect and some with. */
function strategic(): Scenario {
  const s = new Scenario('patch', 'strategic');
  const ns = s.namespace('sc-strategic');
  const path = apps(ns, 'deployments');
  s.post(
    path,
    deployment('d', {
      template: {
        metadata: { labels: { a: 'b' }, annotations: { x: 'y' } },
        spec: {
          containers: [
            {
              name: 'c',
              image: 'i',
              env: [
                { name: 'A', value: '1' },
                { name: 'B', value: '2' },
              ],
              ports: [
                { containerPort: 80, protocol: 'TCP' },
                { containerPort: 80, protocol: 'UDP' },
              ],
              args: ['a', 'b'],
              volumeMounts: [{ name: 'v', mountPath: '/v' }],
            },
            { name: 'd', image: 'j' },
          ],
          volumes: [{ name: 'v', emptyDir: {} }],
          tolerations: [{ key: 'k', operator: 'Exists' }],
          imagePullSecrets: [{ name: 's' }],
          hostAliases: [{ ip: '1.2.3.4', hostnames: ['a'] }],
          topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'z', whenUnsatisfiable: 'DoNotSchedule' }],
          nodeSelector: { a: 'b' },
          securityContext: { sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }], supplementalGroups: [1] },
        },
      },
    }),
  );
  const pod = (spec: JsonValue) => ({ spec: { template: { spec } } });
  const containers = (...list: JsonValue[]) => pod({ containers: list });
  const c = (more: JsonObject) => containers({ name: 'c', ...more });
  const bodies: JsonValue[] = [
    { $patch: 'replace' },
    { $patch: 'replace', metadata: { name: 'd' } },
    { $patch: 'replace', ...deployment('d') },
    { $patch: 'delete' },
    { $patch: 'merge', metadata: { labels: { a: 'b' } } },
    { $patch: 'foo' },
    { spec: { $patch: 'replace', replicas: 3 } },
    { spec: { $patch: 'replace', selector: { matchLabels: { a: 'b' } }, template: template() } },
    { spec: { template: { metadata: { $patch: 'replace', labels: { a: 'b' } } } } },
    { spec: { template: { metadata: { annotations: { $patch: 'delete' } } } } },
    { spec: { template: { metadata: { annotations: null } } } },
    { spec: { strategy: { $patch: 'replace', type: 'Recreate' } } },
    { spec: { strategy: { type: 'Recreate' } } },
    { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
    { spec: { strategy: { $retainKeys: ['foo'], type: 'Recreate' } } },
    { spec: { strategy: { $retainKeys: 'type', type: 'Recreate' } } },
    containers({ $patch: 'replace' }, { name: 'new', image: 'x' }),
    containers({ $patch: 'replace' }),
    containers({ $patch: 'delete', name: 'd' }),
    containers({ $patch: 'delete', name: 'none' }),
    containers({ $patch: 'delete' }),
    containers({ $patch: 'foo', name: 'd' }),
    containers({ name: 'e', image: 'k' }),
    containers({ image: 'k' }),
    containers({ name: 'd', image: null }),
    containers({ name: 'd', image: 5 }),
    containers('x'),
    containers(null),
    pod({ containers: null }),
    pod({ containers: 'x' }),
    pod({ containers: [] }),
    pod({ containers: { name: 'c' } }),
    c({ env: [{ name: 'A', value: null }] }),
    c({
      env: [
        { name: 'A', value: '9' },
        { name: 'C', value: '3' },
      ],
    }),
    c({ env: [{ $patch: 'delete', name: 'A' }] }),
    c({ env: [{ $patch: 'replace' }, { name: 'Z' }] }),
    c({ env: null }),
    c({ ports: [{ containerPort: 80, name: 'web' }] }),
    c({ ports: [{ containerPort: 81 }] }),
    c({ ports: [{ $patch: 'delete', containerPort: 80 }] }),
    c({ args: ['z'] }),
    c({ args: [] }),
    c({ $setElementOrder_foo: 1 }),
    { spec: { template: { spec: { '$setElementOrder/containers': [{ name: 'd' }, { name: 'c' }] } } } },
    pod({ '$setElementOrder/containers': [{ name: 'd' }, { name: 'c' }], containers: [{ name: 'd', image: 'q' }] }),
    pod({ '$setElementOrder/containers': [{ name: 'd' }], containers: [{ name: 'c', image: 'q' }] }),
    pod({
      '$setElementOrder/containers': [{ name: 'e' }, { name: 'c' }, { name: 'd' }],
      containers: [{ name: 'e', image: 'q' }],
    }),
    pod({ '$setElementOrder/containers': 'x', containers: [{ name: 'd', image: 'q' }] }),
    pod({ tolerations: [{ key: 'z', operator: 'Exists' }] }),
    pod({ imagePullSecrets: [{ name: 't' }] }),
    pod({ imagePullSecrets: [{ $patch: 'delete', name: 's' }] }),
    pod({ hostAliases: [{ ip: '1.2.3.4', hostnames: ['z'] }] }),
    pod({ hostAliases: [{ ip: '5.6.7.8', hostnames: ['z'] }] }),
    pod({ topologySpreadConstraints: [{ topologyKey: 'z', maxSkew: 5, whenUnsatisfiable: 'DoNotSchedule' }] }),
    pod({ topologySpreadConstraints: [{ topologyKey: 'y', maxSkew: 5, whenUnsatisfiable: 'ScheduleAnyway' }] }),
    pod({ nodeSelector: { c: 'd' } }),
    pod({ nodeSelector: { a: null } }),
    pod({ nodeSelector: { a: 5 } }),
    pod({ volumes: [{ name: 'v', configMap: { name: 'x' } }] }),
    pod({ volumes: [{ name: 'v', emptyDir: null, configMap: { name: 'x' } }] }),
    pod({ volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'x' } }] }),
    pod({ volumes: [{ name: 'v', $patch: 'delete' }] }),
    pod({ securityContext: { sysctls: [{ name: 'net.a', value: '1' }], supplementalGroups: [2] } }),
    pod({ terminationGracePeriodSeconds: 2147483648 }),
    { spec: { replicas: 2147483648 } },
    { spec: { replicas: 1.5 } },
    { spec: { replicas: '3' } },
    { spec: { replicas: null } },
    { spec: { replicas: -2147483649 } },
    { spec: { minReadySeconds: 9007199254740994 } },
    { spec: { paused: 'x' } },
    { spec: null },
    { spec: [] },
    { metadata: null },
    { metadata: { finalizers: ['x/y'] } },
    { metadata: { finalizers: ['x/y'], '$deleteFromPrimitiveList/finalizers': ['z/z'] } },
    { metadata: { '$deleteFromPrimitiveList/finalizers': 'z' } },
    { metadata: { '$setElementOrder/finalizers': ['a/b', 'c/d'], finalizers: ['c/d', 'a/b'] } },
    { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }] } },
    { metadata: { ownerReferences: [{ uid: 'u', $patch: 'delete' }] } },
    { metadata: { name: 'other' } },
    { metadata: { namespace: 'other' } },
    { metadata: { uid: 'other' } },
    { metadata: { resourceVersion: '1' } },
    { metadata: { generation: 55 } },
    { metadata: { creationTimestamp: null } },
    { metadata: { deletionTimestamp: '2020-01-01T00:00:00Z' } },
    { metadata: { managedFields: [] } },
    { metadata: { managedFields: [{}] } },
    { metadata: { managedFields: null } },
    { metadata: { labels: { a: null, b: 'c' } } },
    { metadata: { labels: 'x' } },
    { kind: 'Foo' },
    { apiVersion: 'v1' },
    { apiVersion: 'apps/v1beta1' },
    { status: { replicas: 5 } },
    { foo: 1 },
    { spec: { foo: 1 } },
    [],
    'x',
    5,
    null,
    '{"a":1,"a":2}',
    '{"spec":{"replicas":1,"replicas":2}}',
    '{',
    '',
  ];
  for (const body of bodies)
    for (const q of ['dryRun=All', 'dryRun=All&fieldValidation=Strict'])
      for (const form of ['strategic', 'merge'] as const) s.patch(form, `${path}/d?${q}`, body);
  for (const body of bodies)
    if (typeof body === 'object' && body !== null && !Array.isArray(body))
      s.patch('apply', `${path}/d?dryRun=All&fieldManager=ap&force=true`, {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        ...body,
        metadata: { name: 'd', ...(body['metadata'] as JsonObject) },
      });
  const ops: JsonValue[] = [
    [{ op: 'add', path: '/spec/template/spec/containers/-', value: { name: 'z', image: 'z' } }],
    [{ op: 'add', path: '/spec/template/spec/containers/9', value: {} }],
    [{ op: 'add', path: '/spec/template/spec/containers/-1', value: {} }],
    [{ op: 'remove', path: '/spec/template/spec/containers/1' }],
    [{ op: 'remove', path: '/spec/template/spec/containers/5' }],
    [{ op: 'remove', path: '/spec/nothing' }],
    [{ op: 'replace', path: '/spec/nothing', value: 1 }],
    [{ op: 'replace', path: '/spec/replicas', value: 2147483648 }],
    [{ op: 'replace', path: '/spec/replicas', value: 'x' }],
    [{ op: 'replace', path: '/spec/replicas' }],
    [{ op: 'move', from: '/metadata/name', path: '/metadata/generateName' }],
    [{ op: 'copy', from: '/spec/selector', path: '/spec/foo' }],
    [{ op: 'copy', from: '/none', path: '/spec/foo' }],
    [{ op: 'test', path: '/spec/replicas', value: 1 }],
    [{ op: 'test', path: '/spec/replicas', value: 2 }],
    [{ op: 'test', path: '/none', value: null }],
    [{ op: 'add', path: '/metadata/labels/a~1b', value: 'c' }],
    [{ op: 'add', path: '/metadata/labels', value: { 'a/b': 'c' } }],
    [{ op: 'add', path: '', value: {} }],
    [{ op: 'replace', path: '', value: deployment('d') }],
    [{ op: 'remove', path: '' }],
    [{ op: 'add', path: 'spec', value: {} }],
    [{ path: '/spec' }],
    [{ op: 'add' }],
    [{}],
    [null],
    ['x'],
    {},
    null,
    'x',
    [{ op: 'add', path: '/metadata/managedFields', value: [] }],
    [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }],
    [{ op: 'remove', path: '/metadata/managedFields' }],
    [{ op: 'remove', path: '/metadata/managedFields/0' }],
    [{ op: 'replace', path: '/kind', value: 'Foo' }],
    [{ op: 'remove', path: '/spec' }],
    Array.from({ length: 10001 }, () => ({ op: 'test', path: '/kind', value: 'Deployment' })),
  ];
  for (const op of ops) s.patch('json', `${path}/d?dryRun=All`, op);
  // managers
  s.patch('apply', `${path}/d?fieldManager=one`, { ...deployment('d'), spec: { replicas: 5 } });
  s.patch('apply', `${path}/d?fieldManager=one&force=true`, { ...deployment('d'), spec: { replicas: 5 } });
  s.patch('apply', `${path}/d?fieldManager=two`, { ...deployment('d'), spec: { replicas: 5, paused: true } });
  s.patch('apply', `${path}/d?fieldManager=one`, { ...deployment('d'), spec: {} });
  s.patch('merge', `${path}/d?fieldManager=one`, { spec: { replicas: 7 } });
  s.patch('apply', `${path}/d?fieldManager=two`, { ...deployment('d'), spec: { replicas: 5 } });
  s.patch('merge', `${path}/d/scale?fieldManager=sc`, { spec: { replicas: 2 } });
  s.patch('apply', `${path}/d/scale?fieldManager=sc2`, {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'd' },
    spec: { replicas: 3 },
  });
  s.patch('apply', `${path}/d/scale?fieldManager=sc2&force=true`, {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'd' },
    spec: { replicas: 3 },
  });
  s.patch('apply', `${path}/d/status?fieldManager=st`, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd', labels: { x: 'y' } },
    spec: { replicas: 9 },
    status: { replicas: 1, conditions: [{ type: 'A', status: 'True' }] },
  });
  s.patch('apply', `${path}/d/status?fieldManager=st2`, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd' },
    status: { conditions: [{ type: 'A', status: 'False' }] },
  });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, {
    ...deployment('d'),
    spec: { replicas: 5, template: { spec: { containers: [{ name: 'd', $patch: 'x' }] } } },
  });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, {
    ...deployment('d'),
    spec: { template: { spec: { containers: [{ name: 'd' }, { name: 'd' }] } } },
  });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, {
    ...deployment('d'),
    spec: { template: { spec: { containers: [{ image: 'd' }] } } },
  });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, {
    ...deployment('d'),
    spec: {
      template: {
        spec: { containers: [{ name: 'c', ports: [{ containerPort: 80 }, { containerPort: 80, protocol: 'TCP' }] }] },
      },
    },
  });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, {
    ...deployment('d'),
    metadata: { name: 'd', managedFields: [] },
  });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, { ...deployment('d'), metadata: { name: 'other' } });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, { ...deployment('d'), metadata: {} });
  s.patch('apply', `${path}/d?fieldManager=two&force=true`, {
    ...deployment('d'),
    metadata: { name: 'd', resourceVersion: '1' },
  });
  s.patch('apply', `${path}/new?fieldManager=two`, {
    ...deployment('new'),
    metadata: { name: 'new', resourceVersion: '1' },
  });
  s.patch('apply', `${path}/new?fieldManager=two`, { ...deployment('new'), metadata: { name: 'new', uid: 'x' } });
  s.patch('apply', `${path}/new?fieldManager=two`, { kind: 'Deployment', metadata: { name: 'new' } });
  s.patch('apply', `${path}/new?fieldManager=two`, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'new' },
  });
  s.patch('apply', `${path}/new`, deployment('new'));
  s.patch('apply', `${path}/new?fieldManager=`, deployment('new'));
  s.patch('json', `${path}/d`, [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }]);
  s.get(`${path}/d`);
  s.patch('apply', `${path}/d?fieldManager=late`, { ...deployment('d'), spec: { replicas: 1 } });
  s.put(`${path}/d?fieldManager=put`, { ...deployment('d', { replicas: 3 }) });
  s.get(`${path}/d`);
  return s;
}

/** kubectl's own last-applied annotation, then server-side apply. */
function migration(): Scenario {
  const s = new Scenario('patch', 'migration');
  const ns = s.namespace('sc-migrate');
  const path = core(ns, 'configmaps');
  const LAST = 'kubectl.kubernetes.io/last-applied-configuration';
  const make = (name: string, data: JsonObject) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
  for (const [name, manager, q] of [
    ['a', 'kubectl-client-side-apply', ''],
    ['b', 'kubectl', ''],
    ['c', 'other', ''],
  ] as const) {
    const body = make(name, { x: '1', y: '2' });
    s.post(`${path}?fieldManager=${manager}${q}`, {
      ...body,
      metadata: { name, annotations: { [LAST]: JSON.stringify(body) } },
    });
    s.patch('apply', `${path}/${name}?fieldManager=kubectl`, make(name, { x: '9' }));
    s.patch('apply', `${path}/${name}?fieldManager=kubectl&force=true`, make(name, { x: '9' }));
    s.patch('apply', `${path}/${name}?fieldManager=argo`, make(name, { y: '3' }));
    s.patch('apply', `${path}/${name}?fieldManager=kubectl`, {
      ...make(name, { x: '10' }),
      metadata: { name, annotations: { [LAST]: '{}' } },
    });
    s.patch('merge', `${path}/${name}?fieldManager=kubectl-client-side-apply`, { data: { z: '1' } });
    s.patch('apply', `${path}/${name}?fieldManager=kubectl`, make(name, { z: '2' }));
    s.get(`${path}/${name}`);
  }
  return s;
}

function services(): Scenario {
  const s = new Scenario('patch', 'services');
  const ns = s.namespace('sc-services');
  const path = core(ns, 'services');
  const service = (name: string, spec: JsonObject) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec });
  s.post(path, service('a', { ports: [{ port: 80 }], selector: { a: 'b' } }));
  for (const spec of [
    { type: 'NodePort' },
    { type: 'ClusterIP' },
    { type: 'LoadBalancer' },
    { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false },
    { externalTrafficPolicy: 'Local' },
    { loadBalancerClass: 'x.io/y' },
    { loadBalancerClass: 'x.io/z' },
    { type: 'ClusterIP' },
    { type: 'ExternalName', externalName: 'a.b' },
    { type: 'ExternalName', externalName: 'a.b', clusterIP: '', clusterIPs: null },
    { type: 'ClusterIP', externalName: null },
    { clusterIP: 'None' },
    { clusterIP: '10.96.99.99' },
    { ipFamilyPolicy: 'PreferDualStack' },
    { ipFamilyPolicy: 'RequireDualStack' },
    { ipFamilies: ['IPv6'] },
    { ports: [{ port: 80, protocol: 'UDP' }] },
    { ports: [{ port: 80, name: 'x' }] },
    { ports: [{ port: 80, nodePort: 30080 }] },
    { type: 'NodePort', ports: [{ port: 80, nodePort: 30081 }] },
    { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] },
    { sessionAffinity: 'ClientIP' },
    { sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } },
    { sessionAffinity: 'None' },
    { sessionAffinity: 'None', sessionAffinityConfig: null },
    { trafficDistribution: 'PreferClose' },
    { trafficDistribution: 'PreferSameNode' },
    { trafficDistribution: 'Foo' },
    { internalTrafficPolicy: 'Local' },
    { externalIPs: ['1.2.3.4', '127.0.0.1'] },
    { loadBalancerSourceRanges: ['10.0.0.0/8', 'x'] },
    { publishNotReadyAddresses: true },
    { healthCheckNodePort: 30000 },
  ] as JsonObject[]) {
    s.patch('strategic', `${path}/a`, { spec });
    s.patch('merge', `${path}/a?dryRun=All`, { spec });
  }
  s.get(`${path}/a`);
  s.table(path);
  s.patch('merge', `${path}/a/status`, {
    status: { loadBalancer: { ingress: [{ ip: '1.2.3.4', ipMode: 'VIP' }, { hostname: 'x' }] } },
  });
  s.patch('merge', `${path}/a/status`, { status: { conditions: [{ type: 'A', status: 'x' }] } });
  s.table(path);
  return s;
}

/** Rows of kinds in states that a fresh object isn't in. */
function tables(): Scenario {
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
      containerStatuses: [
        {
          name: 'c',
          ready: false,
          restartCount: 0,
          image: 'i',
          imageID: '',
          state: { waiting: { reason: 'CrashLoopBackOff' } },
        },
      ],
    },
    { phase: 'Failed', reason: 'Evicted' },
    {
      phase: 'Succeeded',
      containerStatuses: [
        {
          name: 'c',
          ready: false,
          restartCount: 0,
          image: 'i',
          imageID: '',
          state: { terminated: { exitCode: 0, reason: 'Completed' } },
        },
      ],
    },
    {
      phase: 'Failed',
      containerStatuses: [
        { name: 'c', ready: false, restartCount: 0, image: 'i', imageID: '', state: { terminated: { exitCode: 3 } } },
      ],
    },
    {
      phase: 'Failed',
      containerStatuses: [
        {
          name: 'c',
          ready: false,
          restartCount: 0,
          image: 'i',
          imageID: '',
          state: { terminated: { exitCode: 3, signal: 9 } },
        },
      ],
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

function subresources(): Scenario {
  const s = new Scenario('subresource', 'pods2');
  const ns = s.namespace('sc-sub');
  const pods = core(ns, 'pods');
  const make = (name: string, spec: JsonObject = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      containers: [
        { name: 'c', image: 'i', resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '200m' } } },
      ],
      ...spec,
    },
  });
  for (const q of [
    '',
    '?container=c',
    '?container=x',
    '?follow=x',
    '?tailLines=-1',
    '?tailLines=x',
    '?limitBytes=0',
    '?limitBytes=-5',
    '?sinceSeconds=0',
    '?sinceSeconds=-1',
    '?sinceTime=x',
    '?sinceTime=2020-01-01T00:00:00Z&sinceSeconds=5',
    '?stream=Foo',
    '?stream=Stdout&tailLines=5',
    '?timestamps=1&previous=yes',
    '?insecureSkipTLSVerifyBackend=true',
  ]) {
    if (q === '')
      s.post(
        pods,
        make('lg', {
          containers: [
            { name: 'c', image: 'i' },
            { name: 'd', image: 'i' },
          ],
          initContainers: [{ name: 'i', image: 'i' }],
        }),
      );
    s.get(`${pods}/lg/log${q}`);
    s.get(`${pods}/none/log${q}`);
  }
  for (const q of [
    '',
    '?command=x',
    '?command=x&container=z&stdout=1',
    '?stdin=1&command=a',
    '?stdout=true&stderr=true&tty=true&command=a',
  ])
    for (const sub of ['exec', 'attach', 'portforward']) {
      s.post(`${pods}/lg/${sub}${q}`, undefined);
      s.get(`${pods}/lg/${sub}${q}`);
    }
  s.post(pods, make('rs', { nodeName: 'n' }));
  for (const r of [
    { requests: { cpu: '150m' } },
    { requests: { cpu: '500m' } },
    { requests: { cpu: '150m' }, limits: { cpu: '300m', memory: '1Gi' } },
    { requests: { memory: '32Mi' } },
    { requests: { 'ephemeral-storage': '1Gi' } },
    { limits: null },
    { requests: null },
    { requests: { cpu: '-1' } },
    { limits: { cpu: '100m' }, requests: { cpu: '100m' } },
  ] as JsonObject[]) {
    s.patch('strategic', `${pods}/rs/resize?dryRun=All`, { spec: { containers: [{ name: 'c', resources: r }] } });
    s.patch('strategic', `${pods}/rs?dryRun=All`, { spec: { containers: [{ name: 'c', resources: r }] } });
    s.patch('apply', `${pods}/rs/resize?dryRun=All&fieldManager=m&force=true`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'rs' },
      spec: { containers: [{ name: 'c', resources: r }] },
    });
  }
  s.patch('strategic', `${pods}/rs/resize`, {
    spec: { containers: [{ name: 'c', image: 'other', resources: { requests: { cpu: '120m' } } }] },
    metadata: { labels: { x: 'y' } },
  });
  s.get(`${pods}/rs/resize`);
  s.patch('strategic', `${pods}/rs/resize`, {
    spec: { containers: [{ name: 'zz', resources: { requests: { cpu: '120m' } } }] },
  });
  s.patch('json', `${pods}/rs/resize`, [
    {
      op: 'add',
      path: '/spec/containers/0/resizePolicy',
      value: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }],
    },
  ]);
  for (const e of [
    { name: 'e', image: 'i' },
    { name: 'e2', image: 'i', ports: [{ containerPort: 1 }] },
    { name: 'e3', image: 'i', resources: { limits: { cpu: '1' } } },
    { name: 'e4', image: 'i', livenessProbe: { tcpSocket: { port: 1 } } },
    { name: 'e5', image: 'i', targetContainerName: 'zz' },
    { name: 'c', image: 'i' },
    { name: 'e6' },
    { name: 'e7', image: 'i', lifecycle: { preStop: { exec: { command: ['a'] } } } },
    { name: 'e8', image: 'i', volumeMounts: [{ name: 'zz', mountPath: '/x' }] },
    { name: 'e9', image: 'i', restartPolicy: 'Always' },
  ] as JsonObject[]) {
    s.patch('strategic', `${pods}/rs/ephemeralcontainers`, { spec: { ephemeralContainers: [e] } });
    s.patch('strategic', `${pods}/rs?dryRun=All`, { spec: { ephemeralContainers: [e] } });
  }
  s.patch('json', `${pods}/rs/ephemeralcontainers`, [{ op: 'remove', path: '/spec/ephemeralContainers/0' }]);
  s.put(`${pods}/rs/ephemeralcontainers`, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'rs' },
    spec: { containers: [] },
  });
  s.put(`${pods}/rs/ephemeralcontainers`, { apiVersion: 'v1', kind: 'EphemeralContainers', metadata: { name: 'rs' } });
  s.get(`${pods}/rs`);
  for (const status of [
    { phase: 'Foo' },
    { phase: 'Running', podIPs: [{ ip: 'x' }] },
    { podIP: '1.2.3.4' },
    { podIPs: [{ ip: '1.2.3.4' }, { ip: '1.2.3.5' }] },
    { hostIPs: [{ ip: 'x' }] },
    { containerStatuses: [{ name: 'zz', ready: true, restartCount: 0, image: '', imageID: '' }] },
    {
      containerStatuses: [
        { name: 'c', ready: true, restartCount: 1, image: '', imageID: '', state: { terminated: { exitCode: 0 } } },
      ],
    },
    {
      containerStatuses: [{ name: 'c', ready: true, restartCount: 0, image: '', imageID: '', state: { running: {} } }],
    },
    { qosClass: 'Guaranteed' },
    { conditions: [{ type: 'PodReadyToStartContainers', status: 'x', observedGeneration: -1 }] },
    { conditions: [{ type: '', status: '' }] },
    { resourceClaimStatuses: [{ name: 'x' }] },
    { observedGeneration: -5 },
    { nominatedNodeName: 'Bad_Name' },
    { resize: 'Foo', extendedResourceClaimStatus: {} },
    { startTime: 'x' },
  ] as JsonObject[])
    s.patch('merge', `${pods}/rs/status`, { status, spec: { nodeName: 'z' }, metadata: { labels: { z: 'z' } } });
  for (const [form, body] of [
    ['merge', { spec: { containers: [{ name: 'c', image: 'new' }] } }],
    ['strategic', { spec: { containers: [{ name: 'c', image: 'new' }] } }],
    ['strategic', { spec: { containers: [{ name: 'c', image: '' }] } }],
    ['merge', { spec: { activeDeadlineSeconds: 5 } }],
    ['merge', { spec: { activeDeadlineSeconds: 9 } }],
    ['merge', { spec: { activeDeadlineSeconds: null } }],
    ['merge', { spec: { terminationGracePeriodSeconds: 1 } }],
    ['merge', { spec: { tolerations: [{ key: 'x', operator: 'Exists' }] } }],
    ['strategic', { spec: { tolerations: [{ key: 'x', operator: 'Exists' }] } }],
    ['merge', { spec: { nodeName: 'q' } }],
    ['merge', { spec: { priority: 5 } }],
    ['merge', { spec: { nodeSelector: { a: 'b' } } }],
    ['merge', { spec: { schedulingGates: [{ name: 'x' }] } }],
    ['merge', { spec: { serviceAccountName: 'x' } }],
    ['merge', { spec: { dnsPolicy: 'Default' } }],
  ] as ['merge' | 'strategic', JsonObject][])
    s.patch(form, `${pods}/rs`, body);
  s.post(pods, make('gated', { schedulingGates: [{ name: 'a.b/c' }, { name: 'a.b/d' }] }));
  for (const spec of [
    { schedulingGates: [{ name: 'a.b/d' }] },
    { nodeSelector: { a: 'b' } },
    { nodeSelector: { a: 'c' } },
    {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
          },
        },
      },
    },
    { nodeName: 'n' },
    { schedulingGates: [] },
    { nodeSelector: { a: 'b', c: 'd' } },
  ] as JsonObject[])
    s.patch('merge', `${pods}/gated`, { spec });
  s.get(`${pods}/gated`);
  const evict = (name: string, more: JsonObject = {}, q = '') =>
    s.post(`${pods}/${name}/eviction${q}`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name }, ...more });
  for (const n of ['e1', 'e2', 'e3', 'e4', 'e5']) s.post(pods, make(n, { nodeName: 'n' }));
  const pdbs = `/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets`;
  s.post(pdbs, { metadata: { name: 'p' }, spec: { maxUnavailable: 0, selector: { matchLabels: { app: 'e1' } } } });
  s.post(pdbs, {
    metadata: { name: 'always' },
    spec: { maxUnavailable: 0, unhealthyPodEvictionPolicy: 'AlwaysAllow', selector: { matchLabels: { app: 'e2' } } },
  });
  for (const n of ['e1', 'e2'])
    s.patch('merge', `${pods}/${n}/status`, {
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'False' }] },
    });
  evict('e1', {}, '?dryRun=All');
  evict('e1');
  s.patch('merge', `${pdbs}/p/status`, {
    status: { observedGeneration: 1, disruptionsAllowed: 0, currentHealthy: 2, desiredHealthy: 1, expectedPods: 1 },
  });
  evict('e1');
  evict('e2');
  evict('e3', { deleteOptions: { preconditions: { uid: 'x' } } });
  evict('e3', { deleteOptions: { preconditions: { resourceVersion: '1' } } });
  evict('e3', { deleteOptions: { propagationPolicy: 'Foo' } });
  evict('e3', { deleteOptions: { gracePeriodSeconds: -1 } });
  evict('e3', { deleteOptions: { gracePeriodSeconds: 5 } });
  s.post(`${pods}/e4/eviction`, {});
  s.post(`${pods}/e4/eviction`, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'e4' } });
  s.patch('merge', `${pods}/e5/status`, { status: { phase: 'Succeeded' } });
  evict('e5');
  s.table(pods);
  const bind = (name: string, target: JsonObject, metadata: JsonObject = {}) =>
    s.post(`${pods}/${name}/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: { name, ...metadata }, target });
  s.post(pods, make('b1'));
  bind('b1', { kind: 'Node', name: '' });
  bind('b1', { kind: 'Node', name: 'Bad_Name' });
  bind(
    'b1',
    { kind: '', name: 'n' },
    { labels: { 'topology.kubernetes.io/zone': 'z', other: 'o' }, annotations: { x: 'y' } },
  );
  bind('b1', { kind: 'Node', name: 'n' });
  s.get(`${pods}/b1`);
  const sas = core(ns, 'serviceaccounts');
  for (const spec of [
    {},
    { audiences: ['a', ''] },
    { expirationSeconds: 5 },
    { expirationSeconds: 700, audiences: ['x'] },
    { expirationSeconds: 4294967297 },
    { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'b1' } },
    { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'b1', uid: 'x' } },
    { boundObjectRef: { kind: 'Secret', apiVersion: 'v1', name: 'none' } },
    { boundObjectRef: { kind: 'Foo', apiVersion: 'v1', name: 'none' } },
    { boundObjectRef: { kind: 'Node', apiVersion: 'v1', name: 'none' } },
  ] as JsonObject[])
    s.post(`${sas}/default/token`, { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec });
  s.post(`${sas}/none/token`, { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} });
  s.post(`${sas}/default/token?dryRun=All`, { metadata: { name: 'other' } });
  const reviews: [string, JsonObject][] = [
    ['authentication.k8s.io/v1/tokenreviews', { spec: {} }],
    ['authentication.k8s.io/v1/tokenreviews', { spec: { token: 'x' } }],
    ['authentication.k8s.io/v1/tokenreviews', { metadata: { name: 'x' }, spec: { token: 'x', audiences: ['a'] } }],
    ['authentication.k8s.io/v1/selfsubjectreviews', {}],
    ['authorization.k8s.io/v1/subjectaccessreviews', { spec: {} }],
    ['authorization.k8s.io/v1/subjectaccessreviews', { spec: { user: 'u' } }],
    [
      'authorization.k8s.io/v1/subjectaccessreviews',
      { spec: { user: 'u', resourceAttributes: {}, nonResourceAttributes: {} } },
    ],
    [
      'authorization.k8s.io/v1/subjectaccessreviews',
      { spec: { user: 'u', groups: ['system:masters'], resourceAttributes: { verb: 'get', resource: 'pods' } } },
    ],
    [
      'authorization.k8s.io/v1/subjectaccessreviews',
      {
        spec: {
          user: 'u',
          resourceAttributes: {
            verb: 'get',
            resource: 'pods',
            fieldSelector: { rawSelector: 'a=b', requirements: [{ key: 'a', operator: 'In', values: ['b'] }] },
          },
        },
      },
    ],
    [
      'authorization.k8s.io/v1/subjectaccessreviews',
      {
        spec: {
          user: 'u',
          resourceAttributes: {
            verb: 'list',
            resource: 'pods',
            labelSelector: { requirements: [{ key: 'a', operator: 'Foo' }] },
          },
        },
      },
    ],
    [
      'authorization.k8s.io/v1/selfsubjectaccessreviews',
      { spec: { nonResourceAttributes: { path: '/healthz', verb: 'get' } } },
    ],
    ['authorization.k8s.io/v1/selfsubjectaccessreviews', { spec: {} }],
    ['authorization.k8s.io/v1/selfsubjectrulesreviews', { spec: { namespace: ns } }],
    ['authorization.k8s.io/v1/selfsubjectrulesreviews', { spec: {} }],
    [
      `authorization.k8s.io/v1/namespaces/${ns}/localsubjectaccessreviews`,
      { spec: { user: 'u', resourceAttributes: { namespace: 'other', verb: 'get', resource: 'pods' } } },
    ],
    [
      `authorization.k8s.io/v1/namespaces/${ns}/localsubjectaccessreviews`,
      { spec: { user: 'u', nonResourceAttributes: { path: '/', verb: 'get' } } },
    ],
    [
      `authorization.k8s.io/v1/namespaces/${ns}/localsubjectaccessreviews`,
      { spec: { user: 'u', resourceAttributes: { namespace: ns, verb: 'get', resource: 'pods' } } },
    ],
  ];
  for (const [path, body] of reviews) {
    s.post(`/apis/${path}`, body);
    s.post(`/apis/${path}?dryRun=All`, body, { user: { name: 'someone', groups: ['g1'] } });
  }
  return s;
}

/** Who may act as whom, and with what. */
function impersonation(): Scenario {
  const s = new Scenario('auth', 'impersonate');
  const ns = s.namespace('sc-imp');
  const me = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const headers: Record<string, string | string[]>[] = [
    { 'Impersonate-User': 'jane' },
    { 'Impersonate-User': 'jane', 'Impersonate-Group': ['a', 'b'] },
    { 'Impersonate-Group': 'a' },
    { 'Impersonate-User': 'jane', 'Impersonate-Uid': 'u1' },
    { 'Impersonate-Uid': 'u1' },
    { 'Impersonate-User': 'jane', 'Impersonate-Extra-Scopes': ['x', 'y'], 'Impersonate-Extra-A%2fb': 'z' },
    { 'Impersonate-Extra-Scopes': 'x' },
    { 'Impersonate-User': `system:serviceaccount:${ns}:default` },
    { 'Impersonate-User': 'system:serviceaccount:bad' },
    { 'Impersonate-User': 'system:anonymous' },
    { 'Impersonate-User': 'system:node:n1' },
    { 'Impersonate-User': 'jane', 'Impersonate-Group': 'system:masters' },
    { 'Impersonate-User': '' },
  ];
  for (const h of headers) {
    s.post(me, review, { headers: h });
    s.get(core(ns, 'pods'), { headers: h });
  }
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const role = `imp-${RUN}`;
  s.post(`${rbac}/clusterroles`, {
    metadata: { name: role },
    rules: [
      { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: ['jane'] },
      { apiGroups: ['authentication.k8s.io'], resources: ['uids'], verbs: ['impersonate'], resourceNames: ['u1'] },
      {
        apiGroups: ['authentication.k8s.io'],
        resources: ['userextras/scopes'],
        verbs: ['impersonate'],
        resourceNames: ['x'],
      },
    ],
  });
  s.post(`${rbac}/clusterrolebindings`, {
    metadata: { name: role },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'actor' }],
  });
  const user = { name: 'actor', groups: ['g'] };
  s.post(me, review, { user, headers: { 'Impersonate-User': 'jane' }, retry: true, expect: 201 });
  for (const h of headers) s.post(me, review, { user, headers: h });
  s.get(core(ns, 'pods'), { user });
  s.get(core(ns, 'pods'), { user, headers: { 'Impersonate-User': 'jane' } });
  // escalation
  const own = { name: 'lim', groups: ['g'] };
  s.post(`${rbac}/clusterroles`, {
    metadata: { name: `${role}-w` },
    rules: [
      {
        apiGroups: ['rbac.authorization.k8s.io'],
        resources: ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
        verbs: ['*'],
      },
      { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
    ],
  });
  s.post(`${rbac}/clusterrolebindings`, {
    metadata: { name: `${role}-w` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: `${role}-w` },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'lim' }],
  });
  const roles = `${rbac}/namespaces/${ns}/roles`;
  s.post(
    roles,
    { metadata: { name: 'ok' }, rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] },
    { user: own, retry: true, expect: 201 },
  );
  for (const rules of [
    [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
    [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
    [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
    [{ apiGroups: [''], resources: ['pods'], verbs: ['get'], resourceNames: ['x'] }],
    [{ nonResourceURLs: ['/x'], verbs: ['get'] }],
    [],
  ] as JsonValue[])
    for (const path of [roles, `${rbac}/clusterroles`])
      s.post(`${path}?dryRun=All`, { metadata: { name: `r-${RUN}` }, rules }, { user: own });
  for (const name of ['view', 'admin', `${role}-w`, 'none'])
    s.post(
      `${rbac}/namespaces/${ns}/rolebindings?dryRun=All`,
      {
        metadata: { name: 'b' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
        subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'x' }],
      },
      { user: own },
    );
  s.patch(
    'merge',
    `${roles}/ok`,
    { rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }] },
    { user: own },
  );
  s.patch('merge', `${roles}/ok`, { metadata: { labels: { a: 'b' } } }, { user: own });
  s.post('/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', { spec: { namespace: ns } }, { user: own });
  for (const n of [role, `${role}-w`]) {
    s.del(`${rbac}/clusterrolebindings/${n}`);
    s.del(`${rbac}/clusterroles/${n}`);
  }
  return s;
}

function signing(): Scenario {
  const s = new Scenario('subresource', 'csr2');
  const at = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  const name = `c-${RUN}`;
  const REQUEST =
    'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIU01Ib0NBUUF3R0RFV01CUUdBMVVFQXd3TmMzbHpkR1Z0T201dlpHVTZiakJaTUJNR0J5cUdTTTQ5QWdFRwpDQ3FHU000OUF3RUhBMElBQkRnPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K';
  for (const spec of [
    {},
    { request: REQUEST },
    { request: 'YQ==', signerName: 'a.b/c', usages: ['client auth'] },
    { request: REQUEST, signerName: 'nodots', usages: ['foo'] },
    { request: REQUEST, signerName: 'kubernetes.io/legacy-unknown', usages: ['client auth'] },
    { request: REQUEST, signerName: 'a.b/c', usages: [], expirationSeconds: 5 },
  ] as JsonObject[])
    s.post(`${at}?dryRun=All`, { metadata: { name }, spec });
  return s;
}

/** Lists, watches and deletion with every combination of parameters. */
function lists(): Scenario {
  const s = new Scenario('listwatch', 'params');
  const ns = s.namespace('sc-lists');
  const maps = core(ns, 'configmaps');
  for (const i of [0, 1, 2, 3, 4])
    s.post(maps, { metadata: { name: `m${i}`, labels: { i: String(i), odd: String(i % 2) } } });
  s.get(maps, { capture: { rv: '.metadata.resourceVersion' } });
  s.del(`${maps}/m4`);
  const versions = ['', '0', '1', '${rv}', '99999999', 'x', '-1'];
  for (const rv of versions)
    for (const match of ['', 'Exact', 'NotOlderThan', 'Foo'])
      for (const limit of ['', '2'])
        if (rv !== '99999999' || match === '')
          s.get(
            `${maps}?${[rv && `resourceVersion=${rv}`, match && `resourceVersionMatch=${match}`, limit && `limit=${limit}`].filter(Boolean).join('&')}`,
            rv === '99999999' ? { view: 'code' } : {},
          );
  s.get(`${maps}?limit=2`, { capture: { c: '.metadata.continue' } });
  for (const q of [
    '',
    '&resourceVersion=0',
    '&resourceVersion=1',
    '&resourceVersionMatch=Exact',
    '&limit=1',
    '&labelSelector=odd%3D1',
    '&limit=1&labelSelector=odd%3D1',
    '&fieldSelector=metadata.name%3Dm3',
  ])
    s.get(`${maps}?continue=\${c}${q}`);
  for (const sel of [
    'i in (0,1)',
    'i notin (0,1)',
    'i',
    '!i',
    'i=0,odd=0',
    'i!=0',
    'i==0',
    'i>1',
    'i<3',
    'i>x',
    'i in ()',
    'i in (0',
    '=a',
    'i=',
    'i=a b',
    'a/b/c',
    'i,,odd',
    ',',
    ' i = 0 ',
    'i=0,',
    '(i)',
    'i in (a,,b)',
    `${'a'.repeat(64)}=b`,
    `i=${'a'.repeat(64)}`,
  ])
    s.get(`${maps}?labelSelector=${encodeURIComponent(sel)}`);
  for (const sel of [
    'metadata.name=m0',
    'metadata.name!=m0',
    `metadata.namespace=${ns}`,
    'metadata.name=m0,metadata.name=m1',
    'data.x=1',
    'metadata.name',
    'metadata.name=',
    'metadata.name==m0',
    'metadata.name=a\\,b',
    'metadata.labels.i=0',
    ',',
    '=x',
    'metadata.name=m0,',
  ])
    s.get(`${maps}?fieldSelector=${encodeURIComponent(sel)}`);
  const w = { watch: { timeoutMs: 2500, sort: true, dropBookmarks: true } };
  for (const q of [
    '',
    'resourceVersion=0',
    'resourceVersion=${rv}',
    'resourceVersion=1',
    'resourceVersion=x',
    'resourceVersion=99999999',
    'sendInitialEvents=true',
    'sendInitialEvents=true&resourceVersionMatch=NotOlderThan',
    'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
    'sendInitialEvents=false&resourceVersionMatch=NotOlderThan',
    'resourceVersionMatch=Exact',
    'resourceVersionMatch=NotOlderThan',
    'limit=1',
    'continue=x',
    'labelSelector=%3D',
    'fieldSelector=x%3Dy',
    'labelSelector=odd%3D1',
    'timeoutSeconds=x',
    'allowWatchBookmarks=x',
  ])
    s.get(`${maps}?watch=true&timeoutSeconds=1&${q}`, w);
  for (const accept of [
    'application/json;as=Table;v=v1;g=meta.k8s.io',
    'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
    'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
    'application/yaml',
    'application/xml',
  ])
    s.get(`${maps}?watch=true&timeoutSeconds=1&resourceVersion=0`, { headers: { Accept: accept }, ...w });
  s.get(`/api/v1/watch/namespaces/${ns}/configmaps?timeoutSeconds=1`, w);
  s.get(`/api/v1/watch/namespaces/${ns}/configmaps/m0?timeoutSeconds=1`, w);
  s.get(`${maps}/m0?watch=true&timeoutSeconds=1`, w);
  s.get(`/api/v1/namespaces/${ns}/nothing?watch=true`);
  for (const body of [
    { propagationPolicy: 'Orphan' },
    { propagationPolicy: 'Foreground' },
    { propagationPolicy: 'Background' },
    { propagationPolicy: 'Foo' },
    { preconditions: { uid: 'x' } },
    { preconditions: { resourceVersion: '1' } },
    { gracePeriodSeconds: 5 },
    { gracePeriodSeconds: -1 },
    { orphanDependents: true },
    { orphanDependents: true, propagationPolicy: 'Orphan' },
    { dryRun: ['All'] },
    { dryRun: ['x'] },
    { ignoreStoreReadErrorWithClusterBreakingPotential: true },
    { ignoreStoreReadErrorWithClusterBreakingPotential: true, dryRun: ['All'] },
  ] as JsonObject[]) {
    s.del(`${maps}/m0?dryRun=All`, { apiVersion: 'v1', kind: 'DeleteOptions', ...body });
    s.del(`${maps}?dryRun=All`, { apiVersion: 'v1', kind: 'DeleteOptions', ...body });
  }
  s.del(`${maps}/m0?propagationPolicy=Foreground`);
  s.get(`${maps}/m0`);
  s.del(`${maps}/m1?propagationPolicy=Orphan`);
  s.get(`${maps}/m1`);
  s.patch('merge', `${maps}/m1`, { metadata: { finalizers: null } });
  s.get(`${maps}/m1`);
  s.del(`${maps}?labelSelector=i%3D2`);
  s.del(`${maps}?fieldSelector=metadata.name%3Dm3&limit=1`);
  s.get(maps);
  for (const [name, body] of [
    ['generate', { metadata: { generateName: 'x-' } }],
    ['both', { metadata: { name: 'both', generateName: 'y-' } }],
    ['long', { metadata: { generateName: 'a'.repeat(260) } }],
    ['bad', { metadata: { generateName: 'Bad_' } }],
    ['longname', { metadata: { name: 'a'.repeat(254) } }],
    ['max', { metadata: { name: 'a'.repeat(253) } }],
    [
      'own',
      {
        metadata: {
          name: 'own',
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u', controller: true },
            { apiVersion: 'v1', kind: 'Pod', name: 'q', uid: 'v', controller: true },
          ],
        },
      },
    ],
    [
      'own2',
      {
        metadata: {
          name: 'own2',
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Event', name: 'p', uid: 'u' },
            { apiVersion: '', kind: '', name: '', uid: '' },
          ],
        },
      },
    ],
    [
      'own3',
      {
        metadata: {
          name: 'own3',
          ownerReferences: [
            { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' },
            { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' },
          ],
        },
      },
    ],
    [
      'fin',
      { metadata: { name: 'fin', finalizers: ['kubernetes', 'a', 'x/y', 'bad name', 'orphan', 'foregroundDeletion'] } },
    ],
    ['fin2', { metadata: { name: 'fin2', finalizers: ['orphan', 'foregroundDeletion'] } }],
    ['anno', { metadata: { name: 'anno', annotations: { 'a b': 'c', ok: 'x'.repeat(300000) } } }],
    ['neg', { metadata: { name: 'neg', generation: -1, deletionGracePeriodSeconds: -1 } }],
    [
      'man',
      {
        metadata: {
          name: 'man',
          managedFields: [
            {
              manager: 'x',
              operation: 'Apply',
              apiVersion: 'v1',
              time: '2020-01-01T00:00:00Z',
              fieldsType: 'FieldsV1',
              fieldsV1: { 'f:data': {} },
            },
          ],
        },
      },
    ],
    [
      'man2',
      {
        metadata: {
          name: 'man2',
          managedFields: [{ manager: 'x', operation: 'Foo', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: {} }],
        },
      },
    ],
    [
      'man3',
      {
        metadata: {
          name: 'man3',
          managedFields: [
            { manager: 'x', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV2', fieldsV1: { x: 1 } },
          ],
        },
      },
    ],
  ] as [string, JsonObject][]) {
    s.post(maps, { apiVersion: 'v1', kind: 'ConfigMap', ...body });
    void name;
  }
  return s;
}

export const objectScenarios = (): Scenario[] => [
  strategic(),
  migration(),
  services(),
  tables(),
  subresources(),
  impersonation(),
  signing(),
  lists(),
];
