/** Patches of built-in objects in their four languages, and who owns what after them. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { apps, core, deployment, template } from './shapes.ts';
import { Scenario } from './step.ts';

/** Patches of one object in the three languages, each tried without lasting effect and some with. */
export function strategic(): Scenario {
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
export function migration(): Scenario {
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

export function services(): Scenario {
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
