/** kill -9 of every component under load; a dead node; a joining and a leaving node. */
import assert from 'node:assert/strict';
import { CLUSTER, eventually, inNamespace, k8ts, Kubectl, Load, nodeAddress, pidOf, programPids } from './cluster.ts';

describe('faults', function () {
  this.timeout(300_000);
  let k: Kubectl;
  let urls: string[] = [];
  before(async () => {
    k = await inNamespace('faults');
    await k.run('create', 'deployment', 'web', '--image=nginx', '--replicas=6');
    await k.run('expose', 'deployment', 'web', '--port=80', '--type=NodePort');
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    const port = await k.path('service web', '{.spec.ports[0].nodePort}');
    urls = [];
    for (const n of ['node1', 'node2', 'node3']) urls.push(`http://${await nodeAddress(n)}:${port}/`);
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'faults', '--wait=false']);
  });

  const programs: [where: string, program: string][] = [
    ['server', 'apiserver'],
    ['server', 'controllers'],
    ['server', 'scheduler'],
    ['node1/agent', 'kubelet'],
    ['node1/agent', 'proxy'],
    ['node1/agent', 'containerd'],
  ];
  for (const [where, program] of programs)
    it(`keeps traffic and containers when ${program} is killed`, async () => {
      const starts = () =>
        k.path(
          'pods -l app=web',
          '{range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\\n"}{end}',
        );
      const before = await starts();
      const load = new Load(urls);
      const marker = `before-${program}`;
      await k.run('create', 'configmap', marker, '--from-literal=k=v');
      const pid = pidOf(where, program);
      process.kill(pid, 'SIGKILL');
      await eventually(
        async () => (pidOf(where, program) !== pid ? undefined : `${program} was not started again`),
        30_000,
      );
      // it works again: an object made now becomes a running container
      await eventually(async () => {
        const r = await k.try([
          'run',
          `after-${program}`,
          '--image=busybox',
          '--restart=Never',
          '--image-pull-policy=IfNotPresent',
          '--',
          'sleep',
          '1',
        ]);
        return r.code === 0 || r.stderr.includes('AlreadyExists') || r.stderr.includes('already exists')
          ? undefined
          : r.stderr;
      }, 30_000);
      await eventually(async () => {
        const phase = await k.path(`pod after-${program}`, '{.status.phase}');
        return phase === 'Succeeded' ? undefined : `pod is ${phase}`;
      }, 60_000);
      assert.equal(await k.path(`configmap ${marker}`, '{.data.k}'), 'v');
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.ok(load.answered > 50);
      assert.equal(await starts(), before);
    });

  it('keeps resolving names when a name server is killed', async () => {
    const admin = new Kubectl('kube-system');
    await admin.run('rollout', 'status', 'deployment/kube-dns', '--timeout=180s');
    const servers = programPids('/k8ts/proxy/dns/main.ts');
    assert.equal(servers.length, 2);
    await k.run('run', 'asker', '--image=busybox', '--image-pull-policy=IfNotPresent', '--', 'sleep', '3600');
    await k.run('wait', '--for=condition=Ready', 'pod/asker', '--timeout=180s');
    process.kill(servers[0]!, 'SIGKILL');
    for (let i = 0; i < 10; i++) {
      // the resolver of a client asks again, as every resolver does
      const r = await k.try(['exec', 'asker', '--', 'wget', '-q', '-O', '-', 'http://web.faults.svc.cluster.local']);
      assert.match(r.stdout, /It works/, r.stderr);
    }
    await admin.run('rollout', 'status', 'deployment/kube-dns', '--timeout=180s');
    await eventually(async () => (programPids('/k8ts/proxy/dns/main.ts').length === 2 ? undefined : 'not both run'));
  });

  it('replaces the pods of a node that dies', async () => {
    await k.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: movers }
spec:
  replicas: 6
  selector: { matchLabels: { app: movers } }
  template:
    metadata: { labels: { app: movers } }
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
        - { key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1 }
        - { key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1 }
      containers: [{ name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "3600"] }]
`);
    await k.run('rollout', 'status', 'deployment/movers', '--timeout=180s');
    const supervisor = pidOf('node3', 'agent');
    process.kill(supervisor, 'SIGKILL');
    process.kill(pidOf('node3/agent', 'kubelet'), 'SIGKILL');
    await eventually(
      async () => {
        const list = await k.json<{
          items: { metadata: { deletionTimestamp?: string }; spec: { nodeName: string }; status: { phase: string } }[];
        }>('get', 'pods', '-l', 'app=movers');
        const alive = list.items.filter(
          (p) => !p.metadata.deletionTimestamp && p.status.phase === 'Running' && p.spec.nodeName !== 'node3',
        );
        return alive.length === 6 ? undefined : `${alive.length} of 6 run elsewhere`;
      },
      150_000,
      1000,
    );
    // `up` on a cluster that is there mends what is broken
    k8ts('up', '--name', CLUSTER);
    assert.equal(
      await new Kubectl('default').path('node node3', '{.status.conditions[?(@.type=="Ready")].status}'),
      'True',
    );
  });
});
