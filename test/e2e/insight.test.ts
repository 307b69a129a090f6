/** Metrics of real kubelets behind kubectl top and an autoscaler, and explanations from a running scheduler. */
import assert from 'node:assert/strict';
import { CLUSTER, eventually, inNamespace, k8ts, Kubectl } from './cluster.ts';

const burner = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: burn }
spec:
  selector: { matchLabels: { app: burn } }
  template:
    metadata: { labels: { app: burn } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: c
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "while [ ! -e /tmp/stop ]; do :; done; sleep 100000"]
          resources: { requests: { cpu: 20m }, limits: { cpu: 100m } }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: burn }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: burn }
  minReplicas: 1
  maxReplicas: 3
  metrics: [{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 50 } } }]
  behavior:
    scaleDown: { stabilizationWindowSeconds: 0, policies: [{ type: Pods, value: 5, periodSeconds: 1 }] }
`;

describe('insight', function () {
  this.timeout(400_000);
  let k: Kubectl;
  before(async () => {
    k = await inNamespace('insight');
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'insight', '--wait=false']);
  });

  it('says what nodes and pods use', async () => {
    const system = new Kubectl('kube-system');
    await eventually(async () => {
      const { stdout, stderr } = await system.try(['top', 'pods', '--no-headers']);
      return /^kube-dns\S+\s+\d+m\s+[1-9]\d*Mi\s*$/m.test(stdout) ? undefined : `kubectl top pods: ${stdout}${stderr}`;
    }, 90_000);
    const nodes = await system.run('top', 'nodes', '--no-headers');
    for (const n of ['node1', 'node2', 'node3']) assert.match(nodes, new RegExp(`^${n}\\s+\\d+m\\s`, 'm'));
    assert.match(k8ts('top', 'nodes', '--name', CLUSTER), /^NAME +CPU +CPU% +MEMORY +MEMORY%\nnode\d/);
  });

  it('says why a pod waits, and what would make it fit', async () => {
    await k.run(
      'run',
      'large',
      '--image=busybox',
      '--overrides={"spec":{"containers":[{"name":"c","image":"busybox","resources":{"requests":{"cpu":"1000"}}}]}}',
    );
    await eventually(async () => {
      const text = k8ts('why', 'pod/large', '-n', 'insight', '--name', CLUSTER);
      const wanted =
        /pod large fits on no node[^]*Insufficient cpu[^]*The smallest change that makes it fit:\n +free or add /;
      return wanted.test(text) ? undefined : text;
    });
    await k.run('delete', 'pod', 'large', '--wait=false');
  });

  if (process.env['K8TS_FULL'])
    it('lets an autoscaler follow the load, up and down', async () => {
      await k.apply(burner);
      const ready = async () => Number(await k.path('deployment burn', '{.status.readyReplicas}'));
      const told = async () => `${await ready()} ready: ${await k.path('hpa burn', '{.status.conditions}')}`;
      await eventually(async () => ((await ready()) === 3 ? undefined : told()), 180_000, 1000);
      const names = (await k.run('get', 'pods', '-l', 'app=burn', '-o', 'name')).trim().split('\n');
      for (const n of names) await k.run('exec', n.replace('pod/', ''), '--', 'touch', '/tmp/stop');
      await eventually(async () => ((await ready()) === 1 ? undefined : told()), 180_000, 1000);
    });
});
