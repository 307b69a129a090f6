import assert from 'node:assert/strict';
import { createCsr, generateKey, parseCertificate } from '../../../base/pki.ts';
import {
  certificateSigningRequests,
  clusterRoleBindings,
  leases,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  podDisruptionBudgets,
  pods,
  resourceQuotas,
  secrets,
} from '../../../client/resources.ts';
import { systemClock, systemIds, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { start } from '../../../controllers/manager.ts';
import { startCluster, type TestCluster } from './cluster.ts';

describe('controllers of nodes, certificates and the rest against our API server', function () {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster({
      nodeMonitorGracePeriodMs: 4000,
      allocateNodeCIDRs: true,
      clusterCIDRs: ['10.244.0.0/16'],
      nodeEvictionRate: 100,
    });
  });
  after(() => cluster.stop());

  it('gives each node a range of its own and takes its first taint away', async () => {
    const list = await cluster.untilList(nodes, undefined, (l) => l.length === 3 && l.every((n) => n.spec?.podCIDR));
    assert.equal(new Set(list.map((n) => n.spec?.podCIDR)).size, 3);
    await cluster.untilList(nodes, undefined, (l) =>
      l.some((n) => n.metadata?.name === 'n1' && !n.spec?.taints?.length),
    );

    // n3 falls silent: it becomes Unknown, is tainted, and its pod is sent away after the time it tolerates.
    cluster.nodes.silence('n3');
    const tolerations = [
      { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 1 },
    ];
    await cluster.client.create(pods, {
      metadata: { name: 'doomed', namespace: 'default' },
      spec: { nodeName: 'n3', tolerations, containers: [{ name: 'c', image: 'x' }] },
    });
    const lost = await cluster.until(
      nodes,
      undefined,
      'n3',
      (n) =>
        n.spec?.taints?.some((t) => t.key === 'node.kubernetes.io/unreachable' && t.effect === 'NoExecute') ?? false,
    );
    assert.equal(lost.status?.conditions?.find((c) => c.type === 'Ready')?.status, 'Unknown');
    await cluster.untilList(pods, 'default', (l) => !l.some((p) => p.metadata?.name === 'doomed'));

    await cluster.nodes.beat('n3');
    await cluster.until(nodes, undefined, 'n3', (n) => !n.spec?.taints?.length);
  });

  it('approves and signs what a joining kubelet asks for', async () => {
    const { client, server } = cluster;
    const bind = (name: string, role: string) =>
      client.create(clusterRoleBindings, {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'system:bootstrappers' }],
      });
    await bind('test-bootstrap', 'system:node-bootstrapper');
    await bind('test-approve', 'system:certificates.k8s.io:certificatesigningrequests:nodeclient');
    const joiner = server.clientAs({ name: 'system:bootstrap:abcdef', groups: ['system:bootstrappers'] });
    const request = Buffer.from(
      createCsr({ subject: { commonName: 'system:node:n9', organizations: ['system:nodes'] } }, generateKey()),
    ).toString('base64');
    await joiner.create(certificateSigningRequests, {
      metadata: { name: 'n9' },
      spec: {
        request,
        signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
        usages: ['digital signature', 'client auth'],
      },
    });
    const csr = await cluster.until(certificateSigningRequests, undefined, 'n9', (c) => Boolean(c.status?.certificate));
    const cert = parseCertificate(Buffer.from(csr.status!.certificate!, 'base64').toString());
    assert.equal(cert.subject.commonName, 'system:node:n9');
    assert.deepEqual(cert.subject.organizations, ['system:nodes']);
    assert.deepEqual(cert.extendedUsages, ['client auth']);
    assert.equal(csr.status?.conditions?.find((c) => c.type === 'Approved')?.reason, 'AutoApproved');
  });

  it('recounts quotas and budgets', async () => {
    const { client } = cluster;
    await client.create(namespaces, { metadata: { name: 'counted' } });
    await client.create(podDisruptionBudgets, {
      metadata: { name: 'b', namespace: 'counted' },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'a' } } },
    });
    for (const name of ['p1', 'p2'])
      await client.create(pods, {
        metadata: { name, namespace: 'counted', labels: { app: 'a' } },
        spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'x' }] },
      });
    await client.create(secrets, { metadata: { name: 's', namespace: 'counted' } });
    await client.create(leases, { metadata: { name: 'l', namespace: 'counted' } });
    await client.create(resourceQuotas, {
      metadata: { name: 'q', namespace: 'counted' },
      spec: { hard: { pods: '5', secrets: '3', 'count/leases.coordination.k8s.io': '9' } },
    });
    const q = await cluster.until(
      resourceQuotas,
      'counted',
      'q',
      (x) =>
        x.status?.used?.['pods'] === '2' &&
        x.status.used['secrets'] === '1' &&
        x.status.used['count/leases.coordination.k8s.io'] === '1',
    );
    assert.deepEqual(q.status?.hard, q.spec?.hard);
    const b = await cluster.until(podDisruptionBudgets, 'counted', 'b', (x) => x.status?.currentHealthy === 2);
    assert.equal(b.status?.disruptionsAllowed, 1);
    // what goes is taken off; what comes has been counted by the API server
    await client.delete(secrets, 's', { namespace: 'counted' });
    await client.delete(leases, 'l', { namespace: 'counted' });
    await cluster.until(
      resourceQuotas,
      'counted',
      'q',
      ({ status }) => status?.used?.['secrets'] === '0' && status.used['count/leases.coordination.k8s.io'] === '0',
    );
  });

  it('binds claims to volumes and keeps both until they are free', async () => {
    const { client } = cluster;
    await client.create(persistentVolumes, {
      metadata: { name: 'v1' },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        hostPath: { path: '/data' },
        storageClassName: 'manual',
        persistentVolumeReclaimPolicy: 'Retain',
      },
    });
    await client.create(persistentVolumeClaims, {
      metadata: { name: 'c1', namespace: 'default' },
      spec: { accessModes: ['ReadWriteOnce'], storageClassName: 'manual', resources: { requests: { storage: '1Gi' } } },
    });
    const claim = await cluster.until(persistentVolumeClaims, 'default', 'c1', (c) => c.status?.phase === 'Bound');
    assert.equal(claim.spec?.volumeName, 'v1');
    await client.delete(persistentVolumeClaims, 'c1', { namespace: 'default' });
    await cluster.until(persistentVolumes, undefined, 'v1', (v) => v.status?.phase === 'Released');
    await client.delete(persistentVolumes, 'v1');
    await cluster.untilList(persistentVolumes, undefined, (l) => l.length === 0);
  });

  it('lets one manager lead at a time, and the next when it has stopped', async () => {
    const options = () => ({
      client: cluster.server.clientAs({ name: 'system:kube-controller-manager' }),
      clock: systemClock,
      ids: systemIds,
      rand: systemRand,
      logger: silentLogger,
      controllers: ['ttl-controller'],
      leaderElection: { name: 'test-election', leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 100 },
      useServiceAccountCredentials: true,
    });
    // The role allows the lease of the manager's own name only.
    await cluster.client.create(clusterRoleBindings, {
      metadata: { name: 'test-leases' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'system:kube-controller-manager' }],
    });
    const first = await start(options());
    await first.ready();
    assert.equal(first.isLeader, true);
    const holder = (await cluster.until(leases, 'kube-system', 'test-election', (l) => Boolean(l.spec?.holderIdentity)))
      .spec?.holderIdentity;
    const second = await start(options());
    await cluster.until(leases, 'kube-system', 'test-election', (l) => l.spec?.holderIdentity === holder);
    assert.equal(second.isLeader, false);
    await first.stop();
    await second.ready();
    assert.equal(second.isLeader, true);
    const lease = await cluster.until(
      leases,
      'kube-system',
      'test-election',
      (l) => Boolean(l.spec?.holderIdentity) && l.spec?.holderIdentity !== holder,
    );
    assert.ok((lease.spec?.leaseTransitions ?? 0) >= 1);
    await second.stop();
  });
});
