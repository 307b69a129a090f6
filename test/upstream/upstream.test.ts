/** Upstream's own programs beside ours: each must find in the other what it finds in its own kind. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { eventually, inNamespace, Kubectl, pidOf, replacements } from '../e2e/cluster.ts';

interface List<T> {
  items: T[];
}
interface Slice {
  endpoints: { addresses: string[]; conditions: { ready: boolean } }[] | null;
}

describe(`a cluster with ${replacements()
  .map(([name]) => name)
  .join(', ')} of upstream`, function () {
  this.timeout(180_000);
  let k: Kubectl;
  before(async () => {
    k = await inNamespace('upstream');
    await k.run('create', 'deployment', 'web', '--image=nginx', '--replicas=3');
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'upstream', '--wait=false']);
  });
  const lines = async (...args: string[]) => (await k.run(...args)).trim().split('\n').filter(Boolean).sort();

  for (const [name, file] of replacements())
    it(`runs upstream's ${name}`, () => {
      const where = name === 'kubelet' ? 'node1/agent' : 'server';
      assert.equal(readlinkSync(`/proc/${pidOf(where, name)}/exe`), file);
    });

  it('publishes the ready pods of a Service, and forgets those that go', async () => {
    await k.run('expose', 'deployment', 'web', '--port=80');
    for (const replicas of [3, 1]) {
      await k.run('scale', 'deployment/web', `--replicas=${replicas}`);
      await eventually(async () => {
        const ips = await lines(
          'get',
          'pods',
          '-l',
          'app=web',
          '-o',
          'jsonpath={range .items[*]}{.status.podIP}{"\\n"}{end}',
        );
        const { items } = await k.json<List<Slice>>('get', 'endpointslices', '-l', 'kubernetes.io/service-name=web');
        const published = items
          .flatMap((s) => s.endpoints ?? [])
          .flatMap((e) => (e.conditions.ready ? e.addresses : []));
        return ips.length === replicas && published.sort().join() === ips.join()
          ? undefined
          : `pods ${ips.join()}, published ${published.join()}`;
      });
    }
    await k.run(
      'run',
      'asker',
      '--image=busybox',
      '--restart=Never',
      '--image-pull-policy=IfNotPresent',
      '--',
      'wget',
      '-q',
      '-O',
      '-',
      'http://web.upstream.svc.cluster.local',
    );
    await eventually(async () =>
      (await k.path('pod asker', '{.status.phase}')) === 'Succeeded' ? undefined : 'asker has not succeeded',
    );
    assert.match(await k.run('logs', 'asker'), /It works/);
  });

  it('gives a pod its configuration, secrets, token and volumes', async () => {
    await k.run('create', 'configmap', 'settings', '--from-literal=colour=blue');
    await k.run('create', 'secret', 'generic', 'secrets', '--from-literal=word=hush');
    await k.apply(`
apiVersion: v1
kind: Pod
metadata: { name: reader, labels: { tier: front } }
spec:
  restartPolicy: Never
  initContainers:
    - { name: first, image: busybox, imagePullPolicy: IfNotPresent, command: [sh, -c, "echo made > /data/made"], volumeMounts: [{ name: data, mountPath: /data }] }
  containers:
    - name: c
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, 'cat /etc/settings/colour /etc/secrets/word /data/made /etc/labels; echo; echo $NODE; test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token']
      env: [{ name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }]
      volumeMounts:
        - { name: data, mountPath: /data }
        - { name: settings, mountPath: /etc/settings }
        - { name: secrets, mountPath: /etc/secrets }
        - { name: labels, mountPath: /etc/labels, subPath: labels }
  volumes:
    - { name: data, emptyDir: {} }
    - { name: settings, configMap: { name: settings } }
    - { name: secrets, secret: { secretName: secrets } }
    - { name: labels, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }] } }
`);
    await eventually(async () => {
      const phase = await k.path('pod reader', '{.status.phase}');
      return phase === 'Succeeded' ? undefined : `reader is ${phase}`;
    });
    const node = await k.path('pod reader', '{.spec.nodeName}');
    assert.equal(await k.run('logs', 'reader'), `bluehushmade\ntier="front"\n${node}\ntoken\n`);
  });

  it('runs Jobs, CronJobs, StatefulSets and DaemonSets', async () => {
    await k.run('create', 'job', 'sums', '--image=busybox', '--', 'sh', '-c', 'echo $((6*7))');
    await k.run('wait', '--for=condition=complete', 'job/sums', '--timeout=180s');
    await k.run('create', 'cronjob', 'tick', '--image=busybox', '--schedule=0 0 1 1 *', '--', 'true');
    await k.run('create', 'job', '--from=cronjob/tick', 'tock');
    await k.run('wait', '--for=condition=complete', 'job/tock', '--timeout=180s');
    const template = `{ metadata: { labels: { app: NAME } }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "3600"] }] } }`;
    await k.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec: { replicas: 2, serviceName: db, selector: { matchLabels: { app: db } }, template: ${template.replace('NAME', 'db')} }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec: { selector: { matchLabels: { app: agent } }, template: ${template.replace('NAME', 'agent')} }
`);
    await k.run('rollout', 'status', 'statefulset/db', '--timeout=180s');
    await k.run('rollout', 'status', 'daemonset/agent', '--timeout=180s');
    assert.deepEqual(await lines('get', 'pods', '-l', 'app=db', '-o', 'name'), ['pod/db-0', 'pod/db-1']);
    const nodes = await new Kubectl('default').run('get', 'nodes', '-o', 'name');
    const agents = await lines('get', 'pods', '-l', 'app=agent', '-o', 'name');
    assert.equal(agents.length, nodes.trim().split('\n').length);
  });

  it('collects what deleted owners leave behind, and orphans what it is told to', async () => {
    const [set] = await lines('get', 'replicasets', '-l', 'app=web', '-o', 'name');
    await k.run('delete', 'deployment', 'web', '--cascade=orphan');
    assert.deepEqual(await lines('get', 'replicasets', '-l', 'app=web', '-o', 'name'), [set]);
    await k.run('delete', set!, '--cascade=foreground');
    assert.deepEqual(await lines('get', 'pods', '-l', 'app=web', '-o', 'name'), []);
    await k.run('delete', 'statefulset/db', 'daemonset/agent', 'job/sums', 'cronjob/tick');
    await eventually(async () => {
      const left = await lines('get', 'pods', '-l', 'app in (db, agent)', '-o', 'name');
      const jobs = await lines('get', 'pods', '-l', 'job-name in (sums, tock)', '-o', 'name');
      return left.length + jobs.length === 0 ? undefined : `${[...left, ...jobs].join()} left`;
    });
  });

  it('ends a namespace with all that is in it', async () => {
    await new Kubectl('default').run('delete', 'namespace', 'upstream', '--timeout=180s');
    assert.equal((await k.try(['get', 'namespace', 'upstream'])).code, 1);
  });
});
