/** What a node's own identity may do: NodeRestriction and the node authorizer. */
import type { JsonObject } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

const NODES = '/api/v1/nodes';

/** Requests of two nodes about themselves, each other, and the pods bound to them. */
export function nodeAccess(): Scenario {
  const s = new Scenario('auth', 'nodes');
  const ns = s.namespace('sc-nodes');
  const [mine, other] = [`n1-${RUN}`, `n2-${RUN}`];
  const user = { name: `system:node:${mine}`, groups: ['system:nodes'] };
  const as = { user };
  const odd = { user: { name: 'system:node:', groups: ['system:nodes'] } };
  const stray = { user: { name: `system:node:${mine}`, groups: ['others'] } };
  const node = (name: string, more: JsonObject = {}, labels: JsonObject = {}): JsonObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
    ...more,
  });
  for (const who of [as, odd, stray]) s.post(`${NODES}?dryRun=All`, node(mine), who);
  for (const labels of [
    { 'kubernetes.io/hostname': 'x', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/os': 'linux' },
    { 'topology.kubernetes.io/zone': 'z', 'failure-domain.beta.kubernetes.io/zone': 'z' },
    { 'node.kubernetes.io/instance-type': 'x', 'node.kubernetes.io/other': 'x' },
    { 'kubelet.kubernetes.io/x': 'y', 'example.com/x': 'y', plain: 'y' },
    { 'node-restriction.kubernetes.io/x': 'y' },
    { 'node-role.kubernetes.io/worker': '' },
    { 'kubernetes.io/other': 'x' },
    { 'k8s.io/other': 'x' },
    { 'a.kubernetes.io/x': 'y' },
  ])
    s.post(`${NODES}?dryRun=All`, node(mine, {}, labels), as);
  s.post(`${NODES}?dryRun=All`, node(other), as);
  s.post(`${NODES}?dryRun=All`, node(mine, { spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] } }), as);
  s.post(`${NODES}?dryRun=All`, node(mine, { spec: { configSource: { configMap: {} } } }), as);
  s.post(`${NODES}?dryRun=All`, { ...node(mine), metadata: { generateName: mine } }, as);
  s.post(NODES, node(mine, { spec: { podCIDR: '10.9.0.0/24' } }), as);
  s.post(NODES, node(other));
  for (const name of [mine, other]) {
    s.get(`${NODES}/${name}`, as);
    s.patch('merge', `${NODES}/${name}?dryRun=All`, { metadata: { annotations: { a: 'b' } } }, as);
    s.patch('merge', `${NODES}/${name}/status?dryRun=All`, { status: { phase: 'Running' } }, as);
    s.patch('merge', `${NODES}/${name}?dryRun=All`, { spec: { unschedulable: true } }, as);
    s.patch('merge', `${NODES}/${name}?dryRun=All`, { spec: { taints: [{ key: 'a', effect: 'NoExecute' }] } }, as);
    s.patch('merge', `${NODES}/${name}?dryRun=All`, { metadata: { labels: { 'node-role.kubernetes.io/x': '' } } }, as);
    s.patch('merge', `${NODES}/${name}?dryRun=All`, { metadata: { labels: { 'kubernetes.io/os': 'linux' } } }, as);
    s.patch(
      'merge',
      `${NODES}/${name}?dryRun=All`,
      { metadata: { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }] } },
      as,
    );
    s.del(`${NODES}/${name}?dryRun=All`, undefined, as);
  }
  s.get(NODES, as);
  s.get(`${NODES}?fieldSelector=metadata.name%3D${mine}`, { ...as, view: 'items' });
  s.get(`${NODES}?fieldSelector=metadata.name%3D${other}`, as);
  const pods = core(ns, 'pods');
  const owner = { apiVersion: 'v1', kind: 'Node', name: mine, uid: '${uid}', controller: true };
  s.get(`${NODES}/${mine}`, { capture: { uid: '.metadata.uid' } });
  const pod = (name: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...metadata },
    spec: { containers: [{ name: 'c', image: 'i' }], nodeName: mine, ...spec },
  });
  const mirror = { 'kubernetes.io/config.mirror': 'x' };
  for (const [spec, metadata] of [
    [{}, {}],
    [{}, { annotations: mirror }],
    [{}, { annotations: mirror, ownerReferences: [owner] }],
    [{}, { annotations: mirror, ownerReferences: [{ ...owner, name: other }] }],
    [{}, { annotations: mirror, ownerReferences: [{ ...owner, uid: 'x' }] }],
    [{}, { annotations: mirror, ownerReferences: [{ ...owner, blockOwnerDeletion: true }] }],
    [{}, { annotations: mirror, ownerReferences: [{ ...owner, controller: false }] }],
    [{ nodeName: other }, { annotations: mirror, ownerReferences: [owner] }],
    [{ nodeName: '' }, { annotations: mirror, ownerReferences: [owner] }],
    [{ serviceAccountName: 'default' }, { annotations: mirror, ownerReferences: [owner] }],
    [{ volumes: [{ name: 'v', secret: { secretName: 's' } }] }, { annotations: mirror, ownerReferences: [owner] }],
    [{ volumes: [{ name: 'v', configMap: { name: 's' } }] }, { annotations: mirror, ownerReferences: [owner] }],
    [
      { volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 's' } }] },
      { annotations: mirror, ownerReferences: [owner] },
    ],
    [{ resourceClaims: [{ name: 'r', resourceClaimName: 'x' }] }, { annotations: mirror, ownerReferences: [owner] }],
  ] as [JsonObject, JsonObject][])
    s.post(`${pods}?dryRun=All`, pod('m', spec, metadata), as);
  for (const n of ['s1', 's2']) {
    s.post(core(ns, 'secrets'), { metadata: { name: n } });
    s.post(core(ns, 'configmaps'), { metadata: { name: n } });
    s.post(core(ns, 'serviceaccounts'), { metadata: { name: n } });
    s.post(core(ns, 'persistentvolumeclaims'), {
      metadata: { name: n },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1' } } },
    });
  }
  const volumes = [
    { name: 'a', secret: { secretName: 's1' } },
    { name: 'b', configMap: { name: 's1' } },
    { name: 'c', persistentVolumeClaim: { claimName: 's1' } },
  ];
  s.post(pods, pod('here', { serviceAccountName: 's1', volumes }), { capture: { pod: '.metadata.uid' } });
  s.post(pods, pod('there', { nodeName: other }));
  s.get(`${core(ns, 'secrets')}/s1`, { ...as, retry: true, expect: 200 });
  for (const resource of ['secrets', 'configmaps', 'persistentvolumeclaims', 'serviceaccounts'])
    for (const n of ['s1', 's2', 'none']) {
      s.get(`${core(ns, resource)}/${n}`, as);
      s.patch('merge', `${core(ns, resource)}/${n}?dryRun=All`, { metadata: { labels: { a: 'b' } } }, as);
      s.get(`${core(ns, resource)}?fieldSelector=metadata.name%3D${n}`, { ...as, view: 'items' });
    }
  for (const resource of ['secrets', 'configmaps', 'services', 'endpoints', 'pods', 'events'])
    s.get(core(ns, resource), as);
  const token = (spec: JsonObject) => ({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec });
  const bound = (name: string, uid: string) => ({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } });
  for (const sa of ['s1', 's2', 'default']) {
    s.post(`${core(ns, 'serviceaccounts')}/${sa}/token`, token({}), as);
    s.post(`${core(ns, 'serviceaccounts')}/${sa}/token`, token(bound('here', '${pod}')), as);
    s.post(`${core(ns, 'serviceaccounts')}/${sa}/token`, token(bound('here', 'x')), as);
    s.post(`${core(ns, 'serviceaccounts')}/${sa}/token`, token({ ...bound('here', '${pod}'), audiences: ['odd'] }), as);
    s.post(
      `${core(ns, 'serviceaccounts')}/${sa}/token`,
      token({ boundObjectRef: { apiVersion: 'v1', kind: 'Node', name: mine } }),
      as,
    );
  }
  for (const n of ['here', 'there', 'none']) {
    s.get(`${pods}/${n}`, as);
    s.patch('merge', `${pods}/${n}/status?dryRun=All`, { status: { phase: 'Running' } }, as);
    s.patch('merge', `${pods}/${n}/status?dryRun=All`, { metadata: { labels: { a: 'b' } }, status: {} }, as);
    s.patch('merge', `${pods}/${n}?dryRun=All`, { metadata: { labels: { a: 'b' } } }, as);
    s.post(
      `${pods}/${n}/eviction?dryRun=All`,
      { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: n } },
      as,
    );
    s.post(`${pods}/${n}/binding`, { target: { kind: 'Node', name: mine } }, as);
    s.del(`${pods}/${n}?dryRun=All`, undefined, as);
  }
  s.get(`/api/v1/pods?fieldSelector=spec.nodeName%3D${mine}`, { ...as, view: 'items' });
  s.get(`/api/v1/pods?fieldSelector=spec.nodeName%3D${other}`, as);
  s.del(`${pods}?dryRun=All`, undefined, as);
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
  const slices = '/apis/resource.k8s.io/v1/resourceslices';
  const slice = (nodeName: string) => ({
    metadata: { name: `sl-${nodeName}` },
    spec: { driver: 'd.io', nodeName, pool: { name: nodeName, generation: 0, resourceSliceCount: 1 } },
  });
  for (const name of [mine, other]) {
    s.post(`${leases}?dryRun=All`, { metadata: { name } }, as);
    s.get(`${leases}/${name}`, as);
    s.post(`/apis/storage.k8s.io/v1/csinodes?dryRun=All`, { metadata: { name }, spec: { drivers: [] } }, as);
    s.get(`/apis/storage.k8s.io/v1/csinodes/${name}`, as);
    s.post(`${slices}?dryRun=All`, slice(name), as);
    s.get(`${slices}?fieldSelector=spec.nodeName%3D${name}`, { ...as, view: 'items' });
    s.del(`${slices}?dryRun=All&fieldSelector=spec.nodeName%3D${name}`, undefined, as);
  }
  s.get(leases, as);
  s.get(slices, as);
  for (const path of [
    '/apis/storage.k8s.io/v1/volumeattachments',
    '/apis/storage.k8s.io/v1/volumeattachments/x',
    '/api/v1/persistentvolumes',
    '/api/v1/persistentvolumes/x',
    '/apis/resource.k8s.io/v1/resourceclaims',
    `/apis/resource.k8s.io/v1/namespaces/${ns}/resourceclaims/x`,
    '/apis/certificates.k8s.io/v1/certificatesigningrequests',
    '/apis/node.k8s.io/v1/runtimeclasses',
    '/api/v1/services',
    `${NODES}/${mine}/proxy`,
    `${NODES}/${other}/proxy`,
  ])
    s.get(path, { ...as, view: 'code' });
  s.del(`${pods}?gracePeriodSeconds=0`, undefined, { view: 'code' });
  for (const n of [mine, other]) s.del(`${NODES}/${n}`, undefined, { view: 'code' });
  return s;
}
