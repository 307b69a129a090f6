import assert from 'node:assert/strict';
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../../api/types.ts';
import { clusterRoleBindings, clusterRoles, resourceClaims, roleBindings } from '../../../client/resources.ts';
import { ask, type Answer } from '../apiserver/http.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const RBAC = 'rbac.authorization.k8s.io';
type Status = NonNullable<Json<k8s.ResourceV1ResourceClaim>['status']>;
const GPU = 'gpu.example.com';
const NIC = 'nic.example.com';
const rule = (resource: string, verbs: string[], ...resourceNames: string[]) => ({
  apiGroups: ['resource.k8s.io'],
  resources: [resource],
  verbs,
  ...(resourceNames.length > 0 ? { resourceNames } : {}),
});
const STATUS = rule('resourceclaims/status', ['update', 'patch']);
const ON_N1 = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }] };
const device = (driver: string, data?: object) => ({ driver, pool: 'p', device: 'd', data });
const allocation = (nodeSelector: object | undefined = ON_N1) => ({
  devices: { results: [GPU, NIC].map((driver) => ({ request: 'r', driver, pool: 'p', device: 'd' })) },
  nodeSelector: nodeSelector as k8s.V1NodeSelector,
});
const reserved = [{ resource: 'pods', name: 'p', uid: 'u' }];

describe('rights to parts of a ResourceClaim status', () => {
  let server: TestServer;
  let claims = 0;
  before(async () => {
    server = await startTestServer();
    await grant('plain', STATUS);
    await grant('binder', STATUS, rule('resourceclaims/binding', ['update']));
    await grant('central', STATUS, rule('resourceclaims/driver', ['arbitrary-node:update'], GPU));
    await grant('local', STATUS, rule('resourceclaims/driver', ['associated-node:update'], GPU));
  });
  after(() => server.stop());

  /** A service account of this name with these rules everywhere. */
  async function grant(name: string, ...rules: k8s.V1PolicyRule[]): Promise<void> {
    await server.client.create(clusterRoles, { metadata: { name }, rules });
    await server.client.create(clusterRoleBindings, {
      metadata: { name },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
      subjects: [
        { kind: 'ServiceAccount', namespace: 'default', name },
        ...(name === 'local' ? [{ kind: 'User', apiGroup: RBAC, name: 'somebody' }] : []),
      ],
    });
  }
  const account = (name: string) => `system:serviceaccount:default:${name}`;

  async function claim(status?: Status): Promise<string> {
    const name = `c${++claims}`;
    const made = await server.client.create(resourceClaims, {
      metadata: { name, namespace: 'default' },
      spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'any' } }] } },
    });
    if (status) await server.client.updateStatus(resourceClaims, { ...made, status });
    return name;
  }
  const pathOf = (name: string) => `/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/${name}/status`;
  const as = (user: string, node?: string) => ({
    'impersonate-user': user,
    ...(node ? { 'impersonate-extra-authentication.kubernetes.io%2fnode-name': node } : {}),
  });
  const statusOf = async (name: string) => (await server.client.get(resourceClaims, name, 'default')).status ?? {};

  /** Replaces parts of the status as that user. */
  async function put(name: string, user: string, change: Partial<Status>, node?: string): Promise<Answer> {
    const now = await server.client.get(resourceClaims, name, 'default');
    const body = { ...now, status: { ...now.status, ...change } };
    return ask(server, { method: 'PUT', path: pathOf(name), body, headers: as(user, node) });
  }
  const allowed = (a: Answer) => assert.equal(a.code, 200, a.body.toString());
  function refused(a: Answer, ...causes: [field: string, message: RegExp][]): void {
    assert.equal(a.code, 422, a.body.toString());
    assert.equal(a.json['reason'], 'Invalid');
    const said = a.json.details['causes'] as unknown as k8s.V1StatusCause[];
    assert.deepEqual(
      said.map((c) => [c.reason, c.field]),
      causes.map(([field]) => ['FieldValueForbidden', field]),
    );
    causes.forEach(([, message], i) => assert.match(said[i]!.message!, message));
  }
  const driverRefusal = (verb: string, driver: string): [string, RegExp] => [
    'status.devices',
    new RegExp(`"${driver}" is forbidden: User .* cannot ${verb} resource "resourceclaims/driver" .* in the namespace`),
  ];

  it('takes resourceclaims/binding in the whole cluster to allocate, reserve and free', async () => {
    const name = await claim();
    const why: [string, RegExp] = [
      'status.allocation',
      /^Forbidden: changing status\.allocation or status\.reservedFor requires resource="resourceclaims\/binding", verb="update" permission: resourceclaims\.resource\.k8s\.io is forbidden: User "system:serviceaccount:default:plain" cannot update resource "resourceclaims\/binding" in API group "resource\.k8s\.io" at the cluster scope$/,
    ];
    refused(await put(name, account('plain'), { allocation: allocation() }), why);
    await server.client.create(roleBindings, {
      metadata: { name: 'plain-binder', namespace: 'default' },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: 'binder' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'default', name: 'plain' }],
    });
    refused(await put(name, account('plain'), { allocation: allocation() }), why);
    assert.deepEqual(await statusOf(name), {});
    allowed(await put(name, account('plain'), { reservedFor: [] }));
    allowed(await put(name, account('binder'), { allocation: allocation() }));
    refused(await put(name, account('plain'), { reservedFor: reserved }), why);
    allowed(await put(name, account('binder'), { reservedFor: reserved }));
    refused(await put(name, account('plain'), { reservedFor: undefined, allocation: undefined }), why);
    allowed(await put(name, account('binder'), { reservedFor: undefined, allocation: undefined }));
    assert.deepEqual(await statusOf(name), {});
  });

  it('asks for the verb of the request', async () => {
    const name = await claim({ allocation: allocation() });
    const patch = (user: string) =>
      ask(server, {
        method: 'PATCH',
        path: pathOf(name),
        type: 'application/merge-patch+json',
        body: { status: { reservedFor: reserved } },
        headers: as(user),
      });
    refused(await patch(account('binder')), ['status.allocation', /cannot patch resource "resourceclaims\/binding"/]);
    allowed(await patch('system:kube-scheduler'));
  });

  it('takes resourceclaims/driver for each driver whose devices change', async () => {
    const name = await claim({ allocation: allocation() });
    refused(
      await put(name, account('plain'), { devices: [device(NIC), device(GPU)] }),
      driverRefusal('arbitrary-node:update', GPU),
      driverRefusal('arbitrary-node:update', NIC),
    );
    refused(
      await put(name, account('central'), { devices: [device(NIC), device(GPU)] }),
      driverRefusal('arbitrary-node:update', NIC),
    );
    allowed(await put(name, account('central'), { devices: [device(GPU)] }));
    const admin = await server.client.get(resourceClaims, name, 'default');
    await server.client.updateStatus(resourceClaims, {
      ...admin,
      status: { ...admin.status, devices: [device(GPU), device(NIC)] },
    });
    allowed(await put(name, account('central'), { devices: [device(NIC), device(GPU, { ready: true })] }));
    allowed(await put(name, account('plain'), { devices: [device(GPU, { ready: true }), device(NIC)] }));
    refused(await put(name, account('plain'), { devices: [device(NIC)] }), driverRefusal('arbitrary-node:update', GPU));
    refused(await put(name, account('central'), { devices: undefined }), driverRefusal('arbitrary-node:update', NIC));
    refused(
      await put(name, 'system:kube-scheduler', { devices: undefined }),
      driverRefusal('arbitrary-node:update', GPU),
      driverRefusal('arbitrary-node:update', NIC),
    );
  });

  it('lets a driver on the node of the allocation report with associated-node', async () => {
    const devices = [device(GPU)];
    const name = await claim({ allocation: allocation() });
    refused(await put(name, account('local'), { devices }), driverRefusal('arbitrary-node:update', GPU));
    refused(await put(name, account('local'), { devices }, 'n2'), driverRefusal('arbitrary-node:update', GPU));
    refused(await put(name, account('plain'), { devices }, 'n1'), driverRefusal('associated-node:update', GPU));
    // only service accounts have a node to speak of
    refused(await put(name, 'somebody', { devices }, 'n1'), driverRefusal('arbitrary-node:update', GPU));
    allowed(await put(name, account('local'), { devices }, 'n1'));
    allowed(await put(name, account('central'), { devices: [device(GPU, { ready: true })] }, 'n1'));
    const anywhere = { nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'Exists' }] }] };
    const networked = await claim({ allocation: allocation(anywhere) });
    refused(await put(networked, account('local'), { devices }, 'n1'), driverRefusal('arbitrary-node:update', GPU));
    allowed(await put(networked, account('central'), { devices }));
  });

  it('lets the scheduler allocate and the claim controller free, with the devices that drivers reported', async () => {
    const name = await claim();
    allowed(await put(name, 'system:kube-scheduler', { allocation: allocation(), reservedFor: reserved }));
    allowed(await put(name, account('central'), { devices: [device(GPU)] }));
    const controller = 'system:serviceaccount:kube-system:resource-claim-controller';
    allowed(await put(name, controller, { allocation: undefined, reservedFor: undefined }));
    assert.deepEqual(await statusOf(name), {});
  });
});
