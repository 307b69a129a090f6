/** Admission by amounts: limit ranges and resource quotas. */
import type { JsonObject } from '../../../api/types.ts';
import { container, core, pod } from './shapes.ts';
import { Scenario } from './step.ts';

const withResources = (name: string, resources: JsonObject, more: JsonObject = {}) =>
  pod(name, { containers: [container({ resources })], ...more });

const RESOURCES: readonly JsonObject[] = [
  {},
  { limits: { cpu: '1' } },
  { requests: { cpu: '50m' } },
  { limits: { cpu: '4' } },
  { requests: { memory: '1Mi' }, limits: { memory: '1Mi' } },
  { requests: { cpu: '100m' }, limits: { cpu: '1' } },
  { requests: { cpu: '10m', memory: '900Mi' } },
  { limits: { memory: '2Gi', 'ephemeral-storage': '1Gi' } },
  { requests: { 'example.com/gpu': '1' }, limits: { 'example.com/gpu': '1' } },
  { limits: { 'hugepages-2Mi': '4Mi' } },
  { requests: { cpu: '0' } },
  { limits: { cpu: '0' } },
];

function limitRanges(): Scenario[] {
  const ranges: Record<string, JsonObject[]> = {
    container: [{ type: 'Container', max: { cpu: '2', memory: '1Gi' }, min: { cpu: '50m', memory: '16Mi' } }],
    pod: [
      { type: 'Pod', max: { cpu: '3', memory: '1Gi' }, min: { cpu: '60m' }, maxLimitRequestRatio: { memory: '2' } },
    ],
    ratio: [{ type: 'Container', maxLimitRequestRatio: { cpu: '4', memory: '1.5' } }],
    defaults: [
      { type: 'Container', default: { cpu: '500m', 'example.com/gpu': '1' } },
      { type: 'Container', defaultRequest: { memory: '10Mi', 'ephemeral-storage': '1Gi' } },
    ],
    min: [{ type: 'Container', min: { cpu: '50m' } }],
    max: [{ type: 'Container', max: { memory: '100Mi' } }],
    extended: [{ type: 'Container', max: { 'example.com/gpu': '0' }, min: { 'ephemeral-storage': '1Mi' } }],
  };
  return Object.entries(ranges).map(([name, limits]) => {
    const s = new Scenario('auth', `limits-${name}`);
    const ns = s.namespace(`sc-lim-${name}`);
    const at = core(ns, 'limitranges');
    s.post(at, { apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'l' }, spec: { limits } });
    s.get(`${at}/l`);
    s.post(`${core(ns, 'pods')}?dryRun=All`, pod('settle'), { sleep: 500 });
    for (const [i, r] of RESOURCES.entries()) {
      s.post(`${core(ns, 'pods')}?dryRun=All`, withResources(`p${i}`, r));
      s.post(
        `${core(ns, 'pods')}?dryRun=All`,
        pod(`i${i}`, { initContainers: [{ name: 'i', image: 'i', resources: r }] }),
      );
      s.post(
        `${core(ns, 'pods')}?dryRun=All`,
        pod(`s${i}`, { initContainers: [{ name: 'i', image: 'i', resources: r, restartPolicy: 'Always' }] }),
      );
      s.post(
        `${core(ns, 'pods')}?dryRun=All`,
        pod(`t${i}`, {
          containers: [container({ resources: r }), { name: 'd', image: 'i', resources: r }],
          overhead: { cpu: '1' },
        }),
      );
      s.post(`${core(ns, 'pods')}?dryRun=All`, pod(`pl${i}`, { resources: r }));
    }
    s.table(at);
    s.post(
      core(ns, 'pods'),
      withResources('kept', { requests: { cpu: '100m', memory: '50Mi' }, limits: { cpu: '200m', memory: '60Mi' } }),
    );
    s.patch('strategic', `${core(ns, 'pods')}/kept/resize`, {
      spec: { containers: [{ name: 'c', resources: { requests: { cpu: '10m' }, limits: { cpu: '5' } } }] },
    });
    s.patch('strategic', `${core(ns, 'pods')}/kept/resize`, {
      spec: { containers: [{ name: 'c', resources: { requests: { cpu: '150m' }, limits: { cpu: '250m' } } }] },
    });
    s.patch('merge', `${core(ns, 'pods')}/kept`, { metadata: { labels: { a: 'b' } } });
    return s;
  });
}

function claims(): Scenario {
  const s = new Scenario('auth', 'limits-claims');
  const ns = s.namespace('sc-lim-claims');
  s.post(core(ns, 'limitranges'), {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: { name: 'l' },
    spec: {
      limits: [
        { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '5Gi' } },
        { type: 'openshift.io/Image', max: { storage: '1Gi' } },
      ],
    },
  });
  const claim = (name: string, storage: string) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
  });
  s.post(`${core(ns, 'persistentvolumeclaims')}?dryRun=All`, claim('settle', '2Gi'), { sleep: 500 });
  for (const v of ['500Mi', '1Gi', '5Gi', '5.1Gi', '1G', '0'])
    s.post(`${core(ns, 'persistentvolumeclaims')}`, claim(`c${v.toLowerCase().replace('.', '-')}`, v));
  s.patch('merge', `${core(ns, 'persistentvolumeclaims')}/c1gi`, {
    spec: { resources: { requests: { storage: '9Gi' } } },
  });
  return s;
}

function quotas(): Scenario[] {
  const hard: Record<string, JsonObject> = {
    counts: {
      hard: {
        pods: '2',
        services: '2',
        'services.nodeports': '1',
        'services.loadbalancers': '1',
        secrets: '1',
        configmaps: '1',
        persistentvolumeclaims: '1',
        replicationcontrollers: '1',
        resourcequotas: '2',
        'count/deployments.apps': '1',
        'count/jobs.batch': '1',
        'count/leases.coordination.k8s.io': '1',
      },
    },
    compute: { hard: { 'requests.cpu': '1', 'limits.memory': '1Gi', 'requests.memory': '500Mi', 'limits.cpu': '2' } },
    short: {
      hard: {
        cpu: '1',
        memory: '1Gi',
        'requests.ephemeral-storage': '1Gi',
        'requests.example.com/gpu': '1',
        'hugepages-2Mi': '2Mi',
      },
    },
    storage: {
      hard: {
        'requests.storage': '10Gi',
        'gold.storageclass.storage.k8s.io/requests.storage': '2Gi',
        'gold.storageclass.storage.k8s.io/persistentvolumeclaims': '1',
      },
    },
    besteffort: { hard: { pods: '1' }, scopes: ['BestEffort'] },
    notbesteffort: { hard: { pods: '1', 'requests.cpu': '1' }, scopes: ['NotBestEffort'] },
    terminating: { hard: { pods: '1' }, scopes: ['Terminating'] },
    notterminating: { hard: { pods: '1' }, scopes: ['NotTerminating'] },
    priority: {
      hard: { pods: '1' },
      scopeSelector: {
        matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['system-cluster-critical'] }],
      },
    },
    priorityexists: {
      hard: { pods: '1' },
      scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'Exists' }] },
    },
    prioritynotin: {
      hard: { pods: '1' },
      scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'NotIn', values: ['x'] }] },
    },
    affinity: { hard: { pods: '1' }, scopes: ['CrossNamespacePodAffinity'] },
    vac: {
      hard: { persistentvolumeclaims: '1' },
      scopeSelector: { matchExpressions: [{ scopeName: 'VolumeAttributesClass', operator: 'In', values: ['fast'] }] },
    },
  };
  const cross = {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'k', namespaces: ['x'], labelSelector: {} }],
    },
  };
  return Object.entries(hard).map(([name, spec]) => {
    const s = new Scenario('auth', `quota-${name}`);
    const ns = s.namespace(`sc-q-${name}`);
    const at = core(ns, 'resourcequotas');
    s.post(at, { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'q' }, spec });
    const zero = Object.fromEntries(Object.keys(spec['hard'] as JsonObject).map((k) => [k, '0']));
    s.patch('merge', `${at}/q/status`, { status: { hard: spec['hard']!, used: zero } });
    s.post(
      `${core(ns, 'configmaps')}?dryRun=All`,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } },
      { sleep: 500 },
    );
    const full = { requests: { cpu: '400m', memory: '200Mi' }, limits: { cpu: '500m', memory: '400Mi' } };
    const bodies: [string, JsonObject][] = [
      ['pods', pod('best')],
      ['pods', withResources('full', full)],
      ['pods', withResources('cpu', { requests: { cpu: '100m' } })],
      ['pods', withResources('mem', { limits: { memory: '100Mi' } })],
      ['pods', withResources('big', { requests: { cpu: '3', memory: '3Gi' }, limits: { cpu: '3', memory: '3Gi' } })],
      ['pods', withResources('gpu', { limits: { 'example.com/gpu': '2', ...full.limits }, requests: full.requests })],
      ['pods', withResources('eph', { ...full, requests: { ...full.requests, 'ephemeral-storage': '2Gi' } })],
      ['pods', withResources('huge', { limits: { 'hugepages-2Mi': '4Mi', ...full.limits } })],
      ['pods', withResources('deadline', full, { activeDeadlineSeconds: 5 })],
      ['pods', withResources('critical', full, { priorityClassName: 'system-cluster-critical' })],
      ['pods', withResources('critical2', full, { priorityClassName: 'system-cluster-critical' })],
      ['pods', withResources('cross', full, { affinity: cross })],
      ['pods', withResources('cross2', full, { affinity: cross })],
      ['pods', pod('best2')],
      ['pods', withResources('full2', full)],
      ['pods', pod('podlevel', { resources: full })],
      [
        'pods',
        withResources('side', full, {
          initContainers: [{ name: 's', image: 'i', restartPolicy: 'Always', resources: full }],
        }),
      ],
      ['services', { metadata: { name: 'a' }, spec: { ports: [{ port: 1 }] } }],
      [
        'services',
        { metadata: { name: 'np' }, spec: { type: 'NodePort', ports: [{ port: 1 }, { port: 2, name: 'b' }] } },
      ],
      ['services', { metadata: { name: 'np2' }, spec: { type: 'NodePort', ports: [{ port: 1 }] } }],
      ['services', { metadata: { name: 'lb' }, spec: { type: 'LoadBalancer', ports: [{ port: 1 }] } }],
      [
        'services',
        {
          metadata: { name: 'lb2' },
          spec: { type: 'LoadBalancer', ports: [{ port: 1 }], allocateLoadBalancerNodePorts: false },
        },
      ],
      ['secrets', { metadata: { name: 'a' } }],
      ['secrets', { metadata: { name: 'b' } }],
      ['configmaps', { metadata: { name: 'a' } }],
      ['configmaps', { metadata: { name: 'b' } }],
      ['resourcequotas', { metadata: { name: 'b' } }],
      ['resourcequotas', { metadata: { name: 'c' } }],
      ...['a', 'b'].flatMap((n): [string, JsonObject][] =>
        [{}, { storageClassName: 'gold' }, { volumeAttributesClassName: 'fast' }].map((more, i) => [
          'persistentvolumeclaims',
          {
            metadata: { name: `${n}${i}` },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1500Mi' } }, ...more },
          },
        ]),
      ),
    ];
    for (const [resource, body] of bodies) s.post(core(ns, resource), body);
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [container()] } };
    for (const n of ['a', 'b']) {
      s.post(`/apis/apps/v1/namespaces/${ns}/deployments`, {
        metadata: { name: n },
        spec: { selector: { matchLabels: { a: 'b' } }, template },
      });
      s.post(`/apis/batch/v1/namespaces/${ns}/jobs`, {
        metadata: { name: n },
        spec: { template: { spec: { ...template.spec, restartPolicy: 'Never' } } },
      });
      s.post(`/apis/coordination.k8s.io/v1/namespaces/${ns}/leases`, { metadata: { name: n } });
      s.post(core(ns, 'replicationcontrollers'), { metadata: { name: n }, spec: { selector: { a: 'b' }, template } });
    }
    s.get(`${at}/q`);
    s.table(at);
    s.patch('merge', `${core(ns, 'services')}/a`, { spec: { type: 'NodePort' } });
    s.patch('merge', `${core(ns, 'services')}/a`, { spec: { type: 'LoadBalancer' } });
    s.patch('merge', `${core(ns, 'persistentvolumeclaims')}/a0`, {
      spec: { resources: { requests: { storage: '50Gi' } } },
    });
    s.patch('strategic', `${core(ns, 'pods')}/full/resize`, {
      spec: { containers: [{ name: 'c', resources: { requests: { cpu: '2' }, limits: { cpu: '3' } } }] },
    });
    s.del(`${core(ns, 'pods')}/full?gracePeriodSeconds=0`);
    s.post(core(ns, 'pods'), withResources('full3', full));
    s.get(`${at}/q`);
    return s;
  });
}

export const limitScenarios = (): Scenario[] => [...limitRanges(), claims(), ...quotas()];
