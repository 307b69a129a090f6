import assert from 'node:assert/strict';
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import { ensureBootstrapObjects } from '../../../apiserver/bootstrap/bootstrap.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import type { Client } from '../../../client/client.ts';
import {
  clusterRoleBindings,
  clusterRoles,
  configMaps,
  leases,
  nodes,
  pods,
  roleBindings,
  roles,
  secrets,
  serviceAccounts,
  type ResourceRef,
} from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const RBAC = 'rbac.authorization.k8s.io';
const rejected = (code: number, message?: RegExp) => (error: unknown) => {
  const e = error as { code: number; message: string };
  assert.equal(e.code, code, e.message);
  if (message) assert.match(e.message, message);
  return true;
};
const roleRef = (kind: 'Role' | 'ClusterRole', name: string) => ({ apiGroup: RBAC, kind, name });
const user = (name: string) => ({ kind: 'User', apiGroup: RBAC, name });

describe('authorization', () => {
  let server: TestServer;
  let admin: Client;
  before(async () => {
    server = await startTestServer({
      hooks: bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }),
      securityOptions: { enableAdmission: ['NodeRestriction'] },
    });
    admin = server.client;
  });
  after(() => server.stop());

  it('follows roles and bindings as they come and go', async () => {
    const alice = server.clientAs({ name: 'alice' });
    await assert.rejects(alice.list(configMaps, { namespace: 'default' }), rejected(403));
    await admin.create(roleBindings, {
      metadata: { name: 'b', namespace: 'default' },
      roleRef: roleRef('Role', 'r'),
      subjects: [user('alice')],
    });
    await assert.rejects(
      alice.list(configMaps, { namespace: 'default' }),
      rejected(403, /role.rbac.authorization.k8s.io "r" not found/),
    );
    await admin.create(roles, {
      metadata: { name: 'r', namespace: 'default' },
      rules: [
        { apiGroups: [''], resources: ['configmaps'], verbs: ['list'] },
        { apiGroups: [''], resources: ['secrets'], resourceNames: ['one'], verbs: ['get'] },
      ],
    });
    await alice.list(configMaps, { namespace: 'default' });
    await assert.rejects(alice.list(configMaps, { namespace: 'kube-system' }), rejected(403));
    await assert.rejects(alice.get(secrets, 'one', 'default'), rejected(404));
    await assert.rejects(alice.get(secrets, 'two', 'default'), rejected(403));
    await admin.delete(roleBindings, 'b', { namespace: 'default' });
    await assert.rejects(alice.list(configMaps, { namespace: 'default' }), rejected(403));
  });

  it('answers access reviews with the reason', async () => {
    const ask = (spec: object) =>
      admin.request<{ status: { allowed: boolean; reason?: string } }>({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        body: { spec },
      });
    await admin.create(clusterRoleBindings, {
      metadata: { name: 'viewers' },
      roleRef: roleRef('ClusterRole', 'system:aggregate-to-view'),
      subjects: [{ kind: 'ServiceAccount', name: 'sa', namespace: 'default' }],
    });
    const attributes = { verb: 'list', resource: 'pods', namespace: 'any' };
    const yes = await ask({ user: 'system:serviceaccount:default:sa', resourceAttributes: attributes });
    assert.equal(yes.status.allowed, true);
    assert.equal(
      yes.status.reason,
      'RBAC: allowed by ClusterRoleBinding "viewers" of ClusterRole "system:aggregate-to-view" to ServiceAccount "sa/default"',
    );
    const no = await ask({ user: 'system:serviceaccount:other:sa', resourceAttributes: attributes });
    assert.equal(no.status.allowed, false);
    await assert.rejects(ask({ user: 'x' }), rejected(422));
    await assert.rejects(
      ask({ user: 'x', resourceAttributes: attributes, nonResourceAttributes: { path: '/' } }),
      rejected(422),
    );
  });

  it('lets nobody grant what he does not hold', async () => {
    await admin.create(clusterRoles, {
      metadata: { name: 'role-writer' },
      rules: [
        { apiGroups: [RBAC], resources: ['roles', 'rolebindings', 'clusterroles'], verbs: ['create', 'update'] },
        { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] },
        { apiGroups: [RBAC], resources: ['clusterroles'], resourceNames: ['view'], verbs: ['bind'] },
      ],
    });
    await admin.create(clusterRoleBindings, {
      metadata: { name: 'mallory' },
      roleRef: roleRef('ClusterRole', 'role-writer'),
      subjects: [user('mallory')],
    });
    const mallory = server.clientAs({ name: 'mallory' });
    const role = (name: string, rules: Json<k8s.V1PolicyRule>[]) =>
      mallory.create(roles, { metadata: { name, namespace: 'default' }, rules });
    await role('fine', [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['x'], verbs: ['get'] }]);
    await assert.rejects(
      role('too-much', [{ apiGroups: [''], resources: ['configmaps', 'secrets'], verbs: ['get'] }]),
      rejected(
        403,
        /attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["secrets"\], Verbs:\["get"\]\}/,
      ),
    );
    await assert.rejects(role('star', [{ apiGroups: ['*'], resources: ['*'], verbs: ['get'] }]), rejected(403));
    const binding = (name: string, to: string) =>
      mallory.create(roleBindings, {
        metadata: { name, namespace: 'default' },
        roleRef: roleRef('ClusterRole', to),
        subjects: [user('mallory')],
      });
    await binding('view', 'view');
    await assert.rejects(binding('admin', 'cluster-admin'), rejected(403));
    await assert.rejects(binding('missing', 'nowhere'), rejected(404));
    await assert.rejects(
      mallory.create(clusterRoles, {
        metadata: { name: 'agg' },
        aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] },
      }),
      rejected(403, /cluster-admin privileges/),
    );
  });

  it('shows a kubelet what its pods need, and nothing else', async () => {
    const kubelet = server.clientAs({ name: 'system:node:n1', groups: ['system:nodes'] });
    await kubelet.create(nodes, { metadata: { name: 'n1' } });
    await assert.rejects(
      kubelet.create(nodes, { metadata: { name: 'n2' } }),
      rejected(403, /not allowed to modify node "n2"/),
    );
    for (const name of ['mine', 'other']) await admin.create(secrets, { metadata: { name, namespace: 'default' } });
    await admin.create(serviceAccounts, { metadata: { name: 'default', namespace: 'default' } });
    await assert.rejects(
      kubelet.get(secrets, 'mine', 'default'),
      rejected(403, /no relationship found between node 'n1' and this object/),
    );
    const pod = await admin.create(pods, {
      metadata: { name: 'p', namespace: 'default' },
      spec: {
        nodeName: 'n1',
        containers: [{ name: 'c', image: 'i' }],
        volumes: [{ name: 'v', secret: { secretName: 'mine' } }],
      },
    });
    await kubelet.get(secrets, 'mine', 'default');
    await assert.rejects(kubelet.get(secrets, 'other', 'default'), rejected(403));
    await assert.rejects(kubelet.list(secrets, { namespace: 'default' }), rejected(403));
    await assert.rejects(kubelet.list(pods), rejected(403));
    await kubelet.list(pods, { fieldSelector: 'spec.nodeName=n1' });
    await assert.rejects(kubelet.list(pods, { fieldSelector: 'spec.nodeName=n2' }), rejected(403));
    await kubelet.create(leases, { metadata: { name: 'n1', namespace: 'kube-node-lease' } });
    await assert.rejects(
      kubelet.create(leases, { metadata: { name: 'n2', namespace: 'kube-node-lease' } }),
      rejected(403),
    );
    await assert.rejects(
      kubelet.patch(nodes, 'n1', 'merge', { metadata: { labels: { 'node-restriction.kubernetes.io/x': 'y' } } }),
      rejected(403),
    );
    await assert.rejects(
      kubelet.patch(nodes, 'n1', 'merge', { spec: { taints: [] } }),
      rejected(403, /not allowed to modify taints/),
    );

    const token = (spec: object) =>
      kubelet.request({
        method: 'POST',
        path: '/api/v1/namespaces/default/serviceaccounts/default/token',
        body: { spec },
      });
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: pod.metadata!.uid };
    await token({ boundObjectRef });
    await assert.rejects(token({}), rejected(403, /not bound to a pod/));
    await assert.rejects(
      token({ boundObjectRef, audiences: ['vault'] }),
      rejected(403, /audience "vault" not found in pod spec volume/),
    );

    const other = server.clientAs({ name: 'system:node:n2', groups: ['system:nodes'] });
    await assert.rejects(
      other.patch(pods, 'p', 'merge', { status: { phase: 'Failed' } }, { namespace: 'default', subresource: 'status' }),
      rejected(403),
    );
    await kubelet.patch(
      pods,
      'p',
      'merge',
      { status: { phase: 'Running' } },
      { namespace: 'default', subresource: 'status' },
    );
    await admin.patch(
      pods,
      'p',
      'strategic',
      { spec: { ephemeralContainers: [{ name: 'e', image: 'i', envFrom: [{ secretRef: { name: 'other' } }] }] } },
      { namespace: 'default', subresource: 'ephemeralcontainers' },
    );
    await kubelet.get(secrets, 'other', 'default');
    await admin.delete(pods, 'p', { namespace: 'default', gracePeriodSeconds: 0 });
    await assert.rejects(kubelet.get(secrets, 'mine', 'default'), rejected(403));
  });

  it('reaches secrets of volumes through the claims of pods', async () => {
    const kubelet = server.clientAs({ name: 'system:node:n1', groups: ['system:nodes'] });
    const plain = <T extends object>(resource: string, kind: string, namespaced: boolean): ResourceRef<T> => ({
      group: '',
      version: 'v1',
      resource,
      kind,
      namespaced,
    });
    await admin.create(secrets, { metadata: { name: 'csi', namespace: 'kube-system' } });
    await admin.create(plain('persistentvolumes', 'PersistentVolume', false), {
      metadata: { name: 'pv' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        claimRef: { namespace: 'default', name: 'claim' },
        csi: {
          driver: 'd',
          volumeHandle: 'h',
          nodeStageSecretRef: { name: 'csi', namespace: 'kube-system' },
          controllerPublishSecretRef: { name: 'no', namespace: 'kube-system' },
        },
      },
    });
    await admin.create(pods, {
      metadata: { name: 'claimer', namespace: 'default' },
      spec: {
        nodeName: 'n1',
        containers: [{ name: 'c', image: 'i' }],
        volumes: [{ name: 'v', persistentVolumeClaim: { claimName: 'claim' } }],
      },
    });
    await kubelet.get(secrets, 'csi', 'kube-system');
    await kubelet.get(plain('persistentvolumes', 'PersistentVolume', false), 'pv');
    await assert.rejects(kubelet.get(secrets, 'no', 'kube-system'), rejected(403));
  });

  it('repairs bootstrap roles but keeps what people added', async () => {
    const extra = { apiGroups: ['x.io'], resources: ['ys'], verbs: ['get'] };
    const broken = await admin.get(clusterRoles, 'system:kube-scheduler');
    const rules = broken.rules!;
    await admin.update(clusterRoles, { ...broken, rules: [extra, ...rules.slice(1)] });
    const kept = await admin.get(clusterRoles, 'system:discovery');
    const changed = {
      ...kept,
      metadata: { ...kept.metadata, annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'false' } },
      rules: [],
    };
    await admin.update(clusterRoles, changed);
    const binding = await admin.get(clusterRoleBindings, 'system:kube-scheduler');
    await admin.update(clusterRoleBindings, { ...binding, subjects: [user('me')] });
    const { app } = server;
    await ensureBootstrapObjects({
      clock: app.clock,
      logger: app.logger,
      reader: app.reader,
      writer: app.writer,
      serviceCidrs: ['10.96.0.0/16'],
    });
    const repaired = (await admin.get(clusterRoles, 'system:kube-scheduler')).rules!;
    assert.deepEqual(repaired[0], extra);
    const lost = rules[0]!;
    assert.ok(repaired.some((r) => r.verbs.includes(lost.verbs[0]!) && r.resources?.includes(lost.resources![0]!)));
    assert.deepEqual((await admin.get(clusterRoles, 'system:discovery')).rules ?? [], []);
    assert.deepEqual(
      (await admin.get(clusterRoleBindings, 'system:kube-scheduler')).subjects?.map((s) => s.name),
      ['me', 'system:kube-scheduler'],
    );
  });
});
