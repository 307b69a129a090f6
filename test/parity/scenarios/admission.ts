/** Admission: limits, quotas, pod security, priorities, runtime classes, storage, service accounts. */
import type { JsonObject } from '../../../api/types.ts';
import { limitScenarios } from './limits.ts';
import { podSecurity } from './pod-security.ts';
import { container, core, pod } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

function classes(): Scenario {
  const s = new Scenario('auth', 'classes');
  const ns = s.namespace('sc-classes');
  const pods = `${core(ns, 'pods')}?dryRun=All`;
  const pc = '/apis/scheduling.k8s.io/v1/priorityclasses';
  const [hi, lo, glob] = [`hi-${RUN}`, `lo-${RUN}`, `glob-${RUN}`];
  for (const [name, more] of [
    [hi, { value: 1000 }],
    [lo, { value: -5, preemptionPolicy: 'Never', description: 'x' }],
    [`over-${RUN}`, { value: 1000000001 }],
    [`system-${RUN}`, { value: 1 }],
    [`none-${RUN}`, {}],
    [`pol-${RUN}`, { value: 1, preemptionPolicy: 'Foo' }],
  ] as [string, JsonObject][])
    s.post(pc, { metadata: { name }, ...more });
  s.post(pods, pod('settle', { priorityClassName: lo }), { retry: true, expect: 201 });
  for (const spec of [
    { priorityClassName: hi },
    { priorityClassName: lo },
    { priorityClassName: lo, preemptionPolicy: 'PreemptLowerPriority' },
    { priorityClassName: lo, preemptionPolicy: 'Never', priority: -5 },
    { priorityClassName: hi, priority: 5 },
    { priority: 0 },
    { priority: 5 },
    { preemptionPolicy: 'Never' },
    { priorityClassName: 'system-node-critical' },
    { priorityClassName: 'system-cluster-critical', priority: 2000000000 },
    { priorityClassName: 'system-foo' },
  ] as JsonObject[])
    s.post(pods, pod('p', spec));
  s.post(pc, { metadata: { name: glob }, value: 7, globalDefault: true });
  s.post(pods, pod('p'), { sleep: 500 });
  s.post(pc, { metadata: { name: `${glob}-2` }, value: 8, globalDefault: true });
  s.patch('merge', `${pc}/${hi}`, { globalDefault: true });
  s.patch('merge', `${pc}/${hi}`, { description: 'new' });
  s.patch('merge', `${pc}/${hi}`, { value: 5 });
  s.patch('merge', `${pc}/${hi}`, { preemptionPolicy: 'Never' });
  s.table(pc);
  for (const n of [hi, lo, glob, 'system-node-critical'])
    s.del(`${pc}/${n}${n.startsWith('system') ? '?dryRun=All' : ''}`);
  const rc = '/apis/node.k8s.io/v1/runtimeclasses';
  const kata = `kata-${RUN}`;
  s.post(rc, {
    metadata: { name: kata },
    handler: 'kata',
    overhead: { podFixed: { cpu: '100m', memory: '10Mi' } },
    scheduling: {
      nodeSelector: { k: 'y' },
      tolerations: [
        { key: 'k', operator: 'Exists' },
        { key: 'k', value: 'v', effect: 'NoSchedule' },
      ],
    },
  });
  s.post(rc, { metadata: { name: `${kata}-plain` }, handler: 'runc' });
  s.post(rc, {
    metadata: { name: `${kata}-bad` },
    handler: 'Bad Handler',
    overhead: { podFixed: { cpu: '-1' } },
    scheduling: {
      nodeSelector: { 'a b': 'c' },
      tolerations: [
        { key: 'a', operator: 'Foo' },
        { key: 'a', operator: 'Exists' },
        { key: 'a', operator: 'Exists' },
      ],
    },
  });
  s.post(pods, pod('settle', { runtimeClassName: kata }), { retry: true, expect: 201 });
  for (const spec of [
    {},
    { overhead: { cpu: '100m', memory: '10Mi' } },
    { overhead: { cpu: '0.1', memory: '10Mi' } },
    { overhead: { cpu: '1' } },
    { nodeSelector: { k: 'y', z: '1' } },
    { nodeSelector: { k: 'n' } },
    {
      tolerations: [
        { key: 'k', operator: 'Exists' },
        { key: 'o', operator: 'Exists' },
      ],
    },
    { hostNetwork: true },
  ] as JsonObject[]) {
    s.post(pods, pod('p', { runtimeClassName: kata, ...spec }));
    s.post(pods, pod('p', { runtimeClassName: `${kata}-plain`, ...spec }));
    s.post(pods, pod('p', spec));
  }
  s.patch('merge', `${rc}/${kata}`, { handler: 'x' });
  s.patch('merge', `${rc}/${kata}`, { overhead: { podFixed: { cpu: '5' } } });
  s.table(rc);
  s.del(`${rc}/${kata}`);
  s.del(`${rc}/${kata}-plain`);
  for (const tolerations of [
    [{ operator: 'Exists' }],
    [{ operator: 'Exists', effect: 'NoExecute' }],
    [{ operator: 'Exists', effect: 'NoSchedule' }],
    [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }],
    [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists' }],
    [{ key: 'node.kubernetes.io/not-ready', operator: 'Equal', value: 'x', effect: 'NoExecute' }],
    [{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 0 }],
    [{ key: 'a', operator: 'Lt', value: '5' }],
    [{ key: 'a', operator: 'Gt', value: 'x', effect: 'NoExecute' }],
  ] as JsonObject[][])
    s.post(pods, pod('p', { tolerations }));
  return s;
}

function storage(): Scenario {
  const s = new Scenario('auth', 'storage');
  const ns = s.namespace('sc-storage');
  const sc = '/apis/storage.k8s.io/v1/storageclasses';
  const pvc = core(ns, 'persistentvolumeclaims');
  const KEY = 'storageclass.kubernetes.io/is-default-class';
  const make = (name: string, more: JsonObject = {}, annotations: JsonObject = {}) =>
    s.post(sc, { metadata: { name: `${name}-${RUN}`, annotations }, provisioner: 'x.io/y', ...more });
  const claim = (name: string, more: JsonObject = {}) => ({
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...more },
  });
  make('old', {}, { 'storageclass.beta.kubernetes.io/is-default-class': 'true' });
  s.post(`${pvc}?dryRun=All`, claim('a'), { sleep: 700 });
  make('def', { allowVolumeExpansion: false }, { [KEY]: 'true' });
  make('zdef', { allowVolumeExpansion: true }, { [KEY]: 'true' });
  s.post(`${pvc}?dryRun=All`, claim('a'), { sleep: 700 });
  s.post(`${pvc}?dryRun=All`, claim('a', { storageClassName: '' }));
  s.post(`${pvc}?dryRun=All`, {
    ...claim('a'),
    metadata: { name: 'a', annotations: { 'volume.beta.kubernetes.io/storage-class': 'x' } },
  });
  s.post(`${pvc}?dryRun=All`, claim('a', { volumeAttributesClassName: 'x' }));
  s.post(`${pvc}?dryRun=All`, claim('a', { volumeAttributesClassName: '' }));
  for (const name of ['grow', 'fixed']) {
    s.post(pvc, claim(name, { storageClassName: `${name === 'grow' ? 'zdef' : 'def'}-${RUN}` }));
    s.patch('merge', `${pvc}/${name}`, { spec: { resources: { requests: { storage: '2Gi' } } } });
    s.patch('merge', `${pvc}/${name}/status`, {
      status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] },
    });
    s.patch('merge', `${pvc}/${name}`, { spec: { volumeName: 'v' } });
    for (const v of ['3Gi', '1Gi', '500Mi', '2Gi'])
      s.patch('merge', `${pvc}/${name}`, { spec: { resources: { requests: { storage: v } } } });
    s.patch('merge', `${pvc}/${name}`, { spec: { volumeAttributesClassName: 'fast' } });
    s.patch('merge', `${pvc}/${name}`, { spec: { storageClassName: 'x' } });
    s.patch('merge', `${pvc}/${name}/status`, {
      status: {
        allocatedResources: { storage: '5Gi' },
        allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' },
        conditions: [{ type: 'Resizing', status: 'True' }],
      },
    });
    s.patch('merge', `${pvc}/${name}/status`, {
      status: { allocatedResourceStatuses: { storage: 'Foo', bar: 'x' }, modifyVolumeStatus: { status: 'Foo' } },
    });
    s.get(`${pvc}/${name}`);
    s.del(`${pvc}/${name}`);
    s.get(`${pvc}/${name}`);
  }
  s.table(pvc);
  for (const more of [
    { reclaimPolicy: 'Foo' },
    { volumeBindingMode: 'Foo' },
    { mountOptions: ['a', ''] },
    { parameters: { '': 'x' } },
    { allowedTopologies: [{ matchLabelExpressions: [{ key: 'a', values: ['b', 'b'] }] }] },
    {
      allowedTopologies: [
        {
          matchLabelExpressions: [
            { key: 'a', values: [] },
            { key: 'a', values: ['x'] },
          ],
        },
      ],
    },
    { provisioner: 'Bad Prov' },
  ])
    make('bad', more as unknown as JsonObject);
  s.table(sc);
  s.patch('merge', `${sc}/def-${RUN}`, { parameters: { a: 'b' } });
  s.patch('merge', `${sc}/def-${RUN}`, { reclaimPolicy: 'Retain' });
  s.patch('merge', `${sc}/def-${RUN}`, { allowVolumeExpansion: true, mountOptions: ['x'] });
  for (const n of ['old', 'def', 'zdef']) s.del(`${sc}/${n}-${RUN}`);
  return s;
}

function serviceAccounts(): Scenario {
  const s = new Scenario('auth', 'accounts');
  const ns = s.namespace('sc-accounts');
  const pods = `${core(ns, 'pods')}?dryRun=All`;
  const sa = core(ns, 'serviceaccounts');
  s.post(sa, {
    metadata: { name: 'strict', annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } },
    secrets: [{ name: 'ok' }],
    imagePullSecrets: [{ name: 'pull' }],
  });
  s.post(pods, pod('settle', { serviceAccountName: 'strict' }), { retry: true, expect: 201 });
  for (const spec of [
    { serviceAccountName: 'strict', volumes: [{ name: 'v', secret: { secretName: 'ok' } }] },
    { serviceAccountName: 'strict', volumes: [{ name: 'v', secret: { secretName: 'other' } }] },
    { serviceAccountName: 'strict', imagePullSecrets: [{ name: 'other' }] },
    {
      serviceAccountName: 'strict',
      containers: [container({ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'other', key: 'k' } } }] })],
    },
    { serviceAccountName: 'strict', containers: [container({ envFrom: [{ secretRef: { name: 'other' } }] })] },
    { serviceAccount: 'strict' },
    { serviceAccount: 'strict', serviceAccountName: 'default' },
    { serviceAccountName: 'missing' },
    { serviceAccountName: 'Bad_Name' },
    { automountServiceAccountToken: false },
    { initContainers: [{ name: 'i', image: 'i', restartPolicy: 'Always' }] },
    {
      containers: [
        container({ volumeMounts: [{ name: 'x', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }] }),
      ],
      volumes: [{ name: 'x', emptyDir: {} }],
    },
    {
      containers: [container({ volumeMounts: [{ name: 'kube-api-access', mountPath: '/x' }] })],
      volumes: [{ name: 'kube-api-access', emptyDir: {} }],
    },
  ] as JsonObject[])
    s.post(pods, pod('p', spec));
  for (const [meta, spec] of [
    [{ annotations: { 'kubernetes.io/config.mirror': 'x' } }, { nodeName: 'n' }],
    [{ annotations: { 'kubernetes.io/config.mirror': 'x' } }, { nodeName: 'n', serviceAccountName: 'default' }],
    [
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
      { nodeName: 'n', volumes: [{ name: 'v', secret: { secretName: 's' } }] },
    ],
    [
      {
        annotations: { 'kubernetes.io/config.mirror': 'x' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }],
      },
      { nodeName: 'n', serviceAccountName: 'default' },
    ],
  ] as [JsonObject, JsonObject][])
    s.post(pods, pod('m', spec, meta));
  const secrets = core(ns, 'secrets');
  for (const annotations of [
    {},
    { 'kubernetes.io/service-account.name': 'default' },
    { 'kubernetes.io/service-account.name': 'none' },
  ])
    s.post(`${secrets}?dryRun=All`, {
      metadata: { name: 's', annotations },
      type: 'kubernetes.io/service-account-token',
    });
  s.post(secrets, {
    metadata: { name: 'tok', annotations: { 'kubernetes.io/service-account.name': 'default' } },
    type: 'kubernetes.io/service-account-token',
  });
  s.get(`${secrets}/tok`);
  s.table(secrets);
  s.table(sa);
  return s;
}

export function admissionScenarios(): Scenario[] {
  return [...limitScenarios(), ...podSecurity(), classes(), storage(), serviceAccounts()];
}
