/** Deployments, Services, rollouts, restarts: what people run a cluster for. */
import assert from 'node:assert/strict';
import { eventually, inNamespace, Kubectl, Load, nodeAddress } from './cluster.ts';

const web = (replicas: number, page: string) => `
apiVersion: v1
kind: ConfigMap
metadata: { name: site }
data: { index.html: "${page}" }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  type: NodePort
  selector: { app: web }
  ports: [{ port: 80 }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web }, annotations: { page: "${page}" } }
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: nginx
          image: nginx
          imagePullPolicy: IfNotPresent
          ports: [{ containerPort: 80 }]
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
          lifecycle: { preStop: { exec: { command: [sleep, "3"] } } }
          volumeMounts: [{ name: site, mountPath: /usr/share/nginx/html }]
      volumes: [{ name: site, configMap: { name: site } }]
`;

describe('workloads', function () {
  let k: Kubectl;
  let urls: string[] = [];
  before(async () => {
    k = await inNamespace('workloads');
    await k.apply(web(12, 'one'));
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    const port = await k.path('service web', '{.spec.ports[0].nodePort}');
    urls = [];
    for (const n of ['node1', 'node2', 'node3']) urls.push(`http://${await nodeAddress(n)}:${port}/`);
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'workloads', '--wait=false']);
  });

  it('has three Ready nodes', async () => {
    const { items } = await new Kubectl('default').json<{
      items: { status: { conditions: { type: string; status: string }[] } }[];
    }>('get', 'nodes');
    assert.equal(items.length, 3);
    for (const n of items) assert.equal(n.status.conditions.find((c) => c.type === 'Ready')?.status, 'True');
  });

  it('spreads a Deployment of 12 over all nodes', async () => {
    const nodes = (await k.path('pods', '{.items[*].spec.nodeName}')).split(' ');
    assert.equal(nodes.length, 12);
    assert.deepEqual([...new Set(nodes)].sort(), ['node1', 'node2', 'node3']);
  });

  it('updates it under load without a failed request', async () => {
    const load = new Load(urls);
    await eventually(async () => (load.answered > 100 ? undefined : 'no load yet'));
    await k.apply(web(12, 'two'));
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    const seen = load.answered;
    await eventually(async () => (load.answered > seen + 100 ? undefined : 'load stopped'));
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.ok(load.answers.has('two'));
  });

  it('rolls back', async () => {
    await k.run('rollout', 'undo', 'deployment/web');
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    assert.equal(await k.path('deployment web', '{.spec.template.metadata.annotations.page}'), 'one');
  });

  it('resolves and balances a Service name from every node', async () => {
    await k.apply(`
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: client }
spec:
  selector: { matchLabels: { app: client } }
  template:
    metadata: { labels: { app: client } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: c
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "nslookup web.workloads.svc.cluster.local && for i in 1 2 3 4 5; do wget -q -O - http://web || exit 1; done && echo DONE; sleep 3600"]
`);
    await eventually(
      async () => {
        const pods = (await k.run('get', 'pods', '-l', 'app=client', '-o', 'name')).trim().split('\n').filter(Boolean);
        if (pods.length !== 3) return `${pods.length} clients`;
        for (const p of pods) if (!(await k.run('logs', p)).includes('DONE')) return `${p} has not got through`;
        return undefined;
      },
      90_000,
      1000,
    );
  });

  it('restarts a container that dies', async () => {
    await k.apply(`
apiVersion: v1
kind: Pod
metadata: { name: mortal }
spec:
  containers: [{ name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "sleep 2; exit 3"] }]
`);
    await eventually(async () => {
      const pod = await k.json<{
        status: { containerStatuses?: { restartCount: number; lastState?: { terminated?: { exitCode: number } } }[] };
      }>('get', 'pod', 'mortal');
      const c = pod.status.containerStatuses?.[0];
      return c && c.restartCount >= 1 && c.lastState?.terminated?.exitCode === 3 ? undefined : JSON.stringify(c);
    });
    await k.run('delete', 'pod', 'mortal', '--grace-period=1');
  });

  it('runs a Job to its end and counts', async () => {
    await k.apply(`
apiVersion: batch/v1
kind: Job
metadata: { name: sums }
spec:
  completions: 3
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo $((6*7))"] }]
`);
    await k.run('wait', '--for=condition=complete', 'job/sums', '--timeout=180s');
    assert.equal(await k.path('job sums', '{.status.succeeded}'), '3');
    assert.match(await k.run('logs', 'job/sums'), /42/);
  });
});
