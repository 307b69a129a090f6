/** Subresources of pods, tokens, reviews, certificate requests. */
import type { JsonObject } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

export function subresources(): Scenario {
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

export function signing(): Scenario {
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
