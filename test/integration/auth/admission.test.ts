import assert from 'node:assert/strict';
import type * as k8s from '@kubernetes/client-node';
import type { Container, Json, Pod } from '../../../api/types.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { choosePlugins } from '../../../apiserver/admission/chain.ts';
import { createCsr, generateKey } from '../../../base/pki.ts';
import type { Client } from '../../../client/client.ts';
import {
  configMaps,
  deployments,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  pods,
  priorityClasses,
  resourceQuotas,
  serviceAccounts,
  services,
  storageClasses,
  type ResourceRef,
} from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { eventually } from '../../support/wait.ts';

const csrs: ResourceRef<Json<k8s.V1CertificateSigningRequest>> = {
  group: 'certificates.k8s.io',
  version: 'v1',
  resource: 'certificatesigningrequests',
  kind: 'CertificateSigningRequest',
  namespaced: false,
};
const runtimeClasses: ResourceRef<Json<k8s.V1RuntimeClass>> = {
  group: 'node.k8s.io',
  version: 'v1',
  resource: 'runtimeclasses',
  kind: 'RuntimeClass',
  namespaced: false,
};

const rejected = (code: number, message?: RegExp) => (error: unknown) => {
  const e = error as { code: number; message: string };
  assert.equal(e.code, code, e.message);
  if (message) assert.match(e.message, message);
  return true;
};

describe('admission', () => {
  let server: TestServer;
  let admin: Client;
  let n = 0;
  before(async () => {
    server = await startTestServer({
      hooks: bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }),
      securityOptions: { enableAdmission: ['NodeRestriction', 'AlwaysPullImages'] },
    });
    admin = server.client;
  });
  after(() => server.stop());

  /** A namespace with a default account. */
  async function namespace(labels?: Record<string, string>): Promise<string> {
    const name = `ns-${++n}`;
    await admin.create(namespaces, { metadata: { name, labels } });
    await admin.create(serviceAccounts, { metadata: { name: 'default', namespace: name } });
    return name;
  }
  const pod = (ns: string, spec: Partial<Json<k8s.V1PodSpec>> = {}, container: Partial<Container> = {}): Pod => ({
    metadata: { generateName: 'p-', namespace: ns },
    spec: { ...spec, containers: [{ name: 'c', image: 'i', ...container }] },
  });

  it('takes the names of plugins and refuses unknown ones', () => {
    const chosen = choosePlugins(['NodeRestriction', 'AlwaysPullImages'], ['PodSecurity']);
    assert.ok(
      chosen.includes('NodeRestriction') && chosen.includes('ResourceQuota') && !chosen.includes('PodSecurity'),
    );
    assert.ok(chosen.indexOf('AlwaysPullImages') < chosen.indexOf('Priority'));
    assert.throws(() => choosePlugins(['Nonsense'], []), /"Nonsense" is unknown/);
    assert.throws(() => choosePlugins(['Priority'], ['Priority']), /overlapped/);
    assert.throws(() => choosePlugins(['ImagePolicyWebhook'], []), /not available/);
  });

  it('gives pods an account, a token, tolerations and a priority', async () => {
    const ns = await namespace();
    const made = await admin.create(pods, pod(ns, { initContainers: [{ name: 'i', image: 'i' }] }));
    const spec = made.spec!;
    assert.equal(spec.serviceAccountName, 'default');
    const volume = spec.volumes![0]!;
    assert.match(volume.name, /^kube-api-access-[a-z0-9]{5}$/);
    assert.deepEqual(
      volume.projected!.sources!.map((s) => Object.keys(s)[0]),
      ['serviceAccountToken', 'configMap', 'downwardAPI'],
    );
    for (const c of [...spec.containers, ...spec.initContainers!]) {
      assert.deepEqual(c.volumeMounts, [
        { name: volume.name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
      ]);
    }
    assert.deepEqual(
      spec.tolerations!.map((t) => [t.key, t.tolerationSeconds]),
      [
        ['node.kubernetes.io/not-ready', 300],
        ['node.kubernetes.io/unreachable', 300],
      ],
    );
    assert.equal(spec.priority, 0);
    await admin.create(serviceAccounts, {
      metadata: { name: 'quiet', namespace: ns },
      automountServiceAccountToken: false,
      imagePullSecrets: [{ name: 'pull' }],
    });
    const quiet = await admin.create(pods, pod(ns, { serviceAccountName: 'quiet' }));
    assert.equal(quiet.spec!.volumes, undefined);
    assert.deepEqual(quiet.spec!.imagePullSecrets, [{ name: 'pull' }]);
    await assert.rejects(
      admin.create(pods, pod(ns, { serviceAccountName: 'none' })),
      rejected(403, /serviceaccount "none" not found/),
    );
  });

  it('waits a moment for the default account of a new namespace', async () => {
    await admin.create(namespaces, { metadata: { name: 'fresh' } });
    const made = admin.create(pods, pod('fresh'));
    await admin.create(serviceAccounts, { metadata: { name: 'default', namespace: 'fresh' } });
    assert.equal((await made).spec!.serviceAccountName, 'default');
  });

  it('refuses what goes into no namespace or a dying one', async () => {
    await assert.rejects(
      admin.create(configMaps, { metadata: { name: 'x', namespace: 'nowhere' } }),
      rejected(404, /namespaces "nowhere" not found/),
    );
    const ns = await namespace();
    await admin.delete(namespaces, ns);
    await assert.rejects(
      admin.create(configMaps, { metadata: { name: 'x', namespace: ns } }),
      (e: { code: number; status: k8s.V1Status }) => {
        assert.equal(e.code, 403);
        assert.equal(e.status.details?.causes?.[0]?.reason, 'NamespaceTerminating');
        return true;
      },
    );
  });

  it('keeps limit ranges', async () => {
    const ns = await namespace();
    await admin.create(limitRanges, {
      metadata: { name: 'l', namespace: ns },
      spec: {
        limits: [
          {
            type: 'Container',
            default: { cpu: '500m' },
            defaultRequest: { cpu: '100m' },
            max: { cpu: '2' },
            min: { memory: '16Mi' },
            maxLimitRequestRatio: { cpu: '8' },
          },
          { type: 'Pod', max: { cpu: '3' } },
        ],
      },
    });
    const memory = { requests: { memory: '32Mi' } };
    const made = await admin.create(pods, pod(ns, {}, { resources: memory }));
    assert.deepEqual(made.spec!.containers[0]!.resources, {
      limits: { cpu: '500m' },
      requests: { cpu: '100m', memory: '32Mi' },
    });
    assert.equal(
      made.metadata!.annotations!['kubernetes.io/limit-ranger'],
      'LimitRanger plugin set: cpu request for container c; cpu limit for container c',
    );
    const refused = (resources: Container['resources'], message: RegExp) =>
      assert.rejects(admin.create(pods, pod(ns, {}, { resources })), rejected(403, message));
    await refused({ requests: { memory: '1Mi' } }, /minimum memory usage per Container is 16Mi, but request is 1Mi/);
    await refused(
      { limits: { cpu: '4' }, requests: { cpu: '1', memory: '32Mi' } },
      /maximum cpu usage per Container is 2, but limit is 4/,
    );
    await refused(
      { limits: { cpu: '1' }, requests: { cpu: '100m', memory: '32Mi' } },
      /cpu max limit to request ratio per Container is 8, but provided ratio is 10/,
    );
    const twoCpus: Container = {
      name: 'd',
      image: 'i',
      resources: { limits: { cpu: '2' }, requests: { cpu: '2', memory: '32Mi' } },
    };
    const big = pod(ns, {}, { resources: twoCpus.resources });
    big.spec!.containers.push(twoCpus);
    await assert.rejects(admin.create(pods, big), rejected(403, /maximum cpu usage per Pod is 3, but limit is 4/));
  });

  it('keeps quotas under concurrent writers', async () => {
    const ns = await namespace();
    const quota = await admin.create(resourceQuotas, {
      metadata: { name: 'q', namespace: ns },
      spec: { hard: { configmaps: '5', pods: '2', 'requests.cpu': '1', 'services.nodeports': '1' } },
    });
    await admin.updateStatus(resourceQuotas, {
      ...quota,
      status: {
        hard: quota.spec!.hard,
        used: { configmaps: '0', pods: '0', 'requests.cpu': '0', 'services.nodeports': '0' },
      },
    });
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, (_, i) => admin.create(configMaps, { metadata: { name: `c${i}`, namespace: ns } })),
    );
    assert.equal(results.filter((r) => r.status === 'fulfilled').length, 5);
    const failure = results.find((r) => r.status === 'rejected') as PromiseRejectedResult;
    assert.match(
      (failure.reason as Error).message,
      /exceeded quota: q, requested: configmaps=1, used: configmaps=5, limited: configmaps=5/,
    );
    const used = async () => (await admin.get(resourceQuotas, 'q', ns)).status!.used!;
    assert.equal((await used())['configmaps'], '5');
    await assert.rejects(
      admin.create(pods, pod(ns)),
      rejected(403, /failed quota: q: must specify requests.cpu for: c/),
    );
    await assert.rejects(
      admin.create(pods, pod(ns, {}, { resources: { requests: { cpu: '2' } } })),
      rejected(403, /requested: requests.cpu=2/),
    );
    const small = pod(ns, {}, { resources: { requests: { cpu: '400m' } } });
    await admin.create(pods, small, { dryRun: true });
    assert.equal((await used())['pods'], '0', 'dry runs book nothing');
    await admin.create(pods, small);
    assert.deepEqual(await used(), { configmaps: '5', pods: '1', 'requests.cpu': '400m', 'services.nodeports': '0' });
    const service = await admin.create(services, {
      metadata: { name: 's', namespace: ns },
      spec: { ports: [{ port: 1 }] },
    });
    await admin.update(services, { ...service, spec: { ...service.spec, type: 'NodePort' } });
    assert.equal((await used())['services.nodeports'], '1');
  });

  it('looks at the scopes of quotas', async () => {
    const ns = await namespace();
    const hard = { pods: '0' };
    const quota = await admin.create(resourceQuotas, {
      metadata: { name: 'q', namespace: ns },
      spec: { hard, scopes: ['BestEffort'] },
    });
    await admin.updateStatus(resourceQuotas, { ...quota, status: { hard, used: { pods: '0' } } });
    await assert.rejects(admin.create(pods, pod(ns)), rejected(403, /exceeded quota/));
    await admin.create(pods, pod(ns, {}, { resources: { requests: { cpu: '1m' } } }));
  });

  it('turns priority classes into priorities', async () => {
    const ns = await namespace();
    await admin.create(priorityClasses, { metadata: { name: 'high' }, value: 1000, preemptionPolicy: 'Never' });
    const made = await admin.create(pods, pod(ns, { priorityClassName: 'high' }));
    assert.deepEqual([made.spec!.priority, made.spec!.preemptionPolicy], [1000, 'Never']);
    await assert.rejects(
      admin.create(pods, pod(ns, { priorityClassName: 'none' })),
      rejected(403, /no PriorityClass with name none was found/),
    );
    await assert.rejects(admin.create(pods, pod(ns, { priority: 5 })), rejected(403));
    await admin.create(priorityClasses, { metadata: { name: 'all' }, value: 7, globalDefault: true });
    assert.equal((await admin.create(pods, pod(ns))).spec!.priorityClassName, 'all');
    await assert.rejects(
      admin.create(priorityClasses, { metadata: { name: 'all2' }, value: 8, globalDefault: true }),
      rejected(403, /already marked as default/),
    );
    await admin.delete(priorityClasses, 'all');
  });

  it('enforces pod security standards', async () => {
    const ns = await namespace({ 'pod-security.kubernetes.io/enforce': 'baseline' });
    await admin.create(pods, pod(ns));
    await assert.rejects(
      admin.create(pods, pod(ns, { hostNetwork: true }, { securityContext: { privileged: true } })),
      rejected(
        403,
        /violates PodSecurity "baseline:latest": host namespaces \(hostNetwork=true\), privileged \(container "c" must not set securityContext.privileged=true\)/,
      ),
    );
    const template = {
      metadata: { labels: { a: 'b' } },
      spec: pod(ns, {}, { securityContext: { privileged: true } }).spec,
    };
    await admin.create(deployments, {
      metadata: { name: 'd', namespace: ns },
      spec: { selector: { matchLabels: { a: 'b' } }, template },
    });
    await assert.rejects(
      admin.patch(namespaces, ns, 'merge', { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'bogus' } } }),
      rejected(422),
    );
    const strict = await namespace({
      'pod-security.kubernetes.io/enforce': 'restricted',
      'pod-security.kubernetes.io/enforce-version': 'v1.25',
    });
    await assert.rejects(
      admin.create(pods, pod(strict)),
      rejected(
        403,
        /allowPrivilegeEscalation != false .*unrestricted capabilities .*runAsNonRoot != true .*seccompProfile/,
      ),
    );
    const securityContext = {
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    };
    await admin.create(pods, pod(strict, {}, { securityContext }));
  });

  it('gives claims the default class and keeps volumes in use', async () => {
    const ns = await namespace();
    await admin.create(storageClasses, {
      metadata: { name: 'std', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
      provisioner: 'x.io/y',
    });
    const claim = await admin.create(persistentVolumeClaims, {
      metadata: { name: 'c', namespace: ns },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
    assert.equal(claim.spec!.storageClassName, 'std');
    assert.deepEqual(claim.metadata!.finalizers, ['kubernetes.io/pvc-protection']);
    await admin.updateStatus(persistentVolumeClaims, { ...claim, status: { phase: 'Bound' } });
    const grow = () =>
      admin.patch(
        persistentVolumeClaims,
        'c',
        'merge',
        { spec: { resources: { requests: { storage: '2Gi' } } } },
        { namespace: ns },
      );
    await assert.rejects(grow(), rejected(403, /must support resize/));
  });

  it('adds overhead, labels and taints', async () => {
    const ns = await namespace();
    await admin.create(runtimeClasses, {
      metadata: { name: 'kata' },
      handler: 'kata',
      overhead: { podFixed: { cpu: '100m' } },
      scheduling: { nodeSelector: { kata: 'yes' }, tolerations: [{ key: 'kata', operator: 'Exists' }] },
    });
    const made = await admin.create(pods, pod(ns, { runtimeClassName: 'kata' }));
    assert.deepEqual([made.spec!.overhead, made.spec!.nodeSelector], [{ cpu: '100m' }, { kata: 'yes' }]);
    await assert.rejects(
      admin.create(pods, pod(ns, { overhead: { cpu: '1' } })),
      rejected(403, /without corresponding RuntimeClass/),
    );
    await assert.rejects(
      admin.create(pods, pod(ns, { runtimeClassName: 'none' })),
      rejected(403, /RuntimeClass "none" not found/),
    );
    const node = await admin.create(nodes, {
      metadata: { name: 'zoned', labels: { 'topology.kubernetes.io/zone': 'z1' } },
    });
    assert.deepEqual(node.spec!.taints, [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
    const placed = await admin.create(pods, pod(ns, { nodeName: 'zoned' }));
    assert.equal(placed.metadata!.labels!['topology.kubernetes.io/zone'], 'z1');
  });

  it('refuses changes of a pod that its node does not know', async () => {
    const ns = await namespace();
    const node = await admin.create(nodes, { metadata: { name: 'older' } });
    const say = async (declaredFeatures: string[]) => {
      const allocatable = { cpu: '8', memory: '8Gi' };
      const status = { allocatable, declaredFeatures };
      await admin.patch(nodes, node.metadata!.name!, 'merge', { status }, { subresource: 'status' });
    };
    await say(['Other']);
    const { name } = (await admin.create(pods, pod(ns, { nodeName: 'older', resources: { requests: { cpu: '1' } } })))
      .metadata!;
    const resize = (cpu: string) =>
      admin.patch(
        pods,
        name!,
        'merge',
        { spec: { resources: { requests: { cpu } } } },
        { namespace: ns, subresource: 'resize' },
      );
    await assert.rejects(
      resize('2'),
      rejected(
        403,
        /requires features InPlacePodLevelResourcesVerticalScaling which are not available on node "older"/,
      ),
    );
    await say(['InPlacePodLevelResourcesVerticalScaling']);
    // what the plugins read follows the store
    await eventually(async () => assert.equal((await resize('2')).spec!.resources!.requests!['cpu'], '2'));
    await assert.rejects(resize('9'), rejected(403, /allocatable resources/));
  });

  it('watches over certificates', async () => {
    const request = (organization: string) =>
      Buffer.from(createCsr({ subject: { commonName: 'x', organizations: [organization] } }, generateKey())).toString(
        'base64',
      );
    const make = (name: string, organization: string) =>
      admin.create(csrs, {
        metadata: { name },
        spec: {
          request: request(organization),
          signerName: 'kubernetes.io/kube-apiserver-client',
          usages: ['client auth'],
        },
      });
    await assert.rejects(make('masters', 'system:masters'), rejected(403, /system:masters group is not allowed/));
    const csr = await make('fine', 'devs');
    const rules = [
      {
        apiGroups: ['certificates.k8s.io'],
        resources: ['certificatesigningrequests/approval'],
        verbs: ['update', 'patch'],
      },
    ];
    const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1', namespaced: false };
    await admin.create({ ...rbac, resource: 'clusterroles', kind: 'ClusterRole' }, {
      metadata: { name: 'approver' },
      rules,
    } as object);
    await admin.create({ ...rbac, resource: 'clusterrolebindings', kind: 'ClusterRoleBinding' }, {
      metadata: { name: 'approver' },
      roleRef: { apiGroup: rbac.group, kind: 'ClusterRole', name: 'approver' },
      subjects: [{ kind: 'User', name: 'ann' }],
    } as object);
    const ann = server.clientAs({ name: 'ann' });
    const approved = {
      ...csr,
      status: { conditions: [{ type: 'Approved', status: 'True', reason: 'r', message: 'm' }] },
    };
    await assert.rejects(
      ann.update(csrs, approved, { subresource: 'approval' }),
      rejected(403, /not permitted to approve requests with signerName/),
    );
    await admin.update(csrs, approved, { subresource: 'approval' });
  });

  it('stands objects that say nothing, before validation has seen them', async () => {
    const ns = await namespace();
    const resources = [
      ...[
        'pods',
        'pods/binding',
        'pods/status',
        'nodes',
        'persistentvolumeclaims',
        'persistentvolumes',
        'serviceaccounts/token',
        'services',
        'limitranges',
      ].map((r) => ['', r]),
      ['networking.k8s.io', 'ingresses'],
      ['coordination.k8s.io', 'leases'],
      ['storage.k8s.io', 'csinodes'],
      ['resource.k8s.io', 'resourceslices'],
      ['scheduling.k8s.io', 'priorityclasses'],
      ['certificates.k8s.io', 'certificatesigningrequests'],
      ['certificates.k8s.io', 'podcertificaterequests'],
    ] as const;
    const users = [
      { name: 'jo', groups: ['system:authenticated'] },
      { name: 'system:node:n', groups: ['system:nodes'] },
    ];
    const objects = [
      {},
      { metadata: {} },
      { spec: {} },
      { spec: { nodeName: 'n', containers: [] }, metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } },
    ];
    for (const [group, path] of resources) {
      const [resource, subresource = ''] = path!.split('/') as [string, string?];
      for (const user of users) {
        for (const object of objects) {
          for (const operation of ['CREATE', 'UPDATE'] as const) {
            const attributes = {
              operation,
              kind: { group: group!, version: 'v1', kind: 'X' },
              resource: { group: group!, version: 'v1', resource },
              subresource,
              namespace: ns,
              name: 'x',
              user,
              dryRun: true,
              object: structuredClone(object),
              oldObject: operation === 'UPDATE' ? {} : undefined,
              options: {},
              warn() {},
              annotate() {},
            };
            await server.app.registry.admission
              .admit(attributes)
              .catch((error: Error) => assert.equal(error.name, 'StatusError', `${path}: ${error.stack}`));
          }
        }
      }
    }
  });
});
