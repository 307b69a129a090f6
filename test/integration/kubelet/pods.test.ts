import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import { configMaps, events, leases, nodes, pods } from '../../../client/resources.ts';
import { eventually } from '../../support/wait.ts';
import { isReady, phaseIs, startTestNode, type TestNode } from './harness.ts';

type View = DeepReadonly<Pod>;

describe('kubelet with a hollow runtime', () => {
  let node: TestNode;
  /** What exec answers per container name. */
  const healthy = new Map<string, boolean>();
  before(async () => {
    node = await startTestNode({
      hollow: {
        missingImage: (name) => name.includes('missing'),
        behaviour: (config) => ({
          exit: config.args[0] === 'exit' ? { code: Number(config.args[1]) } : undefined,
          ignoresSignal: config.args[0] === 'stubborn',
          exec: () => ({ exit_code: healthy.get(config.metadata.name) === false ? 1 : 0 }),
        }),
      },
    });
  });
  after(() => node.stop());
  const container = (args: string[] = [], more = {}) => [{ name: 'c', image: 'busybox:1', args, ...more }];
  const reasonOf = (p: View | undefined) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason;

  it('registers its node and renews its lease', async () => {
    await node.kubelet.registered();
    const n = await node.client.get(nodes, 'n1');
    assert.equal(n.status!.conditions!.find((c) => c.type === 'Ready')!.status, 'True');
    assert.deepEqual(n.status!.addresses, [
      { type: 'InternalIP', address: '192.0.2.7' },
      { type: 'Hostname', address: 'n1' },
    ]);
    assert.equal((await node.client.get(leases, 'n1', 'kube-node-lease')).spec!.holderIdentity, 'n1');
  });

  it('runs a pod and tells its status and events', async () => {
    await node.create('runs');
    const p = await node.until<View>('runs', isReady);
    assert.equal(p.status!.phase, 'Running');
    assert.equal(p.status!.hostIP, '192.0.2.7');
    assert.equal(p.status!.observedGeneration, p.metadata!.generation);
    assert.match(p.status!.containerStatuses![0]!.containerID!, /^hollow:\/\//);
    assert.equal(node.kubelet.pods.byName('default', 'runs')!.state.containers.length, 1);
  });

  it('deletes a pod gracefully and removes all traces', async () => {
    await node.create('leaves');
    const p = await node.until<View>('leaves', isReady);
    await node.client.delete(pods, 'leaves', { namespace: 'default' });
    await node.until('leaves', (x) => x === undefined);
    assert.deepEqual(
      (await node.runtime.listContainers(p.metadata!.uid)).filter((c) => c.state === 'CONTAINER_RUNNING'),
      [],
    );
  });

  it('ends pods that run to their end', async () => {
    await node.create('good', { restartPolicy: 'Never', containers: container(['exit', '0']) });
    await node.create('bad', { restartPolicy: 'Never', containers: container(['exit', '3']) });
    const good = await node.until<View>('good', phaseIs('Succeeded'));
    assert.equal(good.status!.conditions!.find((c) => c.type === 'Ready')!.reason, 'PodCompleted');
    const bad = await node.until<View>('bad', phaseIs('Failed'));
    assert.equal(bad.status!.containerStatuses![0]!.state!.terminated!.exitCode, 3);
  });

  it('restarts a crashing container once at once, then backs off', async () => {
    await node.create('crashes', { containers: container(['exit', '1']) });
    const p = await node.until<View>('crashes', (x) => reasonOf(x) === 'CrashLoopBackOff');
    const c = p.status!.containerStatuses![0]!;
    assert.equal(c.restartCount, 1);
    assert.equal(c.lastState!.terminated!.exitCode, 1);
    assert.match(c.state!.waiting!.message!, /^back-off 10s restarting failed container=c pod=crashes_default/);
  });

  it('runs init containers before the others', async () => {
    await node.create('init', {
      initContainers: [{ name: 'i', image: 'busybox:1', args: ['exit', '0'] }],
      containers: container(),
    });
    const p = await node.until<View>('init', isReady);
    assert.equal(p.status!.initContainerStatuses![0]!.state!.terminated!.exitCode, 0);
  });

  it('says why an image or a configuration is missing, and goes on when it comes', async () => {
    await node.create('no-image', { containers: [{ name: 'c', image: 'missing:1' }] });
    await node.until('no-image', (x) => reasonOf(x) === 'ImagePullBackOff');
    await node.create('no-config', {
      containers: container([], { env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'later', key: 'k' } } }] }),
    });
    const p = await node.until<View>('no-config', (x) => reasonOf(x) === 'CreateContainerConfigError');
    assert.equal(p.status!.containerStatuses![0]!.state!.waiting!.message, 'configmap "later" not found');
    await node.client.create(configMaps, { metadata: { name: 'later', namespace: 'default' }, data: { k: 'v' } });
    node.kubelet.pods.wakeAll();
    await node.until('no-config', isReady);
  });

  it('takes a pod out of service while its readiness probe fails, and restarts it when liveness fails', async () => {
    healthy.set('web', false);
    const probe = { exec: { command: ['check'] }, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 1 };
    await node.create('probed', { containers: [{ name: 'web', image: 'busybox:1', readinessProbe: probe }] });
    const p = await node.until<View>('probed', phaseIs('Running'));
    assert.equal(isReady(p), false);
    healthy.set('web', true);
    await node.until('probed', isReady);
    healthy.set('live', false);
    await node.create('sick', { containers: [{ name: 'live', image: 'busybox:1', livenessProbe: probe }] });
    await node.until('sick', (x) => (x?.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1);
    healthy.set('live', true);
  });

  it('ends a pod that is over its deadline', async () => {
    await node.create('late', { activeDeadlineSeconds: 1 });
    const p = await node.until<View>('late', phaseIs('Failed'));
    assert.equal(p.status!.reason, 'DeadlineExceeded');
  });

  it('rejects a pod that does not fit', async () => {
    await node.create('big', { containers: container([], { resources: { requests: { cpu: '5000' } } }) });
    const p = await node.until<View>('big', phaseIs('Failed'));
    assert.equal(p.status!.reason, 'OutOfcpu');
    assert.match(p.status!.message!, /^Pod was rejected: Node didn't have enough resource: cpu/);
  });

  it('kills a container that does not listen when its time is over', async () => {
    await node.create('stubborn', { containers: container(['stubborn']) });
    await node.until('stubborn', isReady);
    await node.client.delete(pods, 'stubborn', { namespace: 'default' });
    await node.until('stubborn', (x) => x === undefined);
  });

  it('finds its pods again after a restart and restarts none, but ends those deleted meanwhile', async () => {
    await node.create('stays');
    await node.create('goes');
    const stays = await node.until<View>('stays', isReady);
    const goes = await node.until<View>('goes', isReady);
    await node.kubelet.stop();
    await node.client.delete(pods, 'goes', { namespace: 'default', gracePeriodSeconds: 0 });
    await node.until('goes', (x) => x === undefined);
    await node.startKubelet();
    await node.create('after');
    await node.until('after', isReady);
    const again = await node.until<View>('stays', isReady);
    assert.deepEqual(again.status!.containerStatuses, stays.status!.containerStatuses);
    assert.equal(again.metadata!.resourceVersion, stays.metadata!.resourceVersion, 'nothing is said anew');
    await node.kubelet.pods.settled();
    assert.deepEqual(await node.runtime.listContainers(goes.metadata!.uid), []);
  });

  it('shows a new generation with old resources only while it says that they are being changed', async () => {
    const ask = (cpu: string) => ({ resources: { requests: { cpu } } });
    await node.create('larger', { containers: container([], ask('20m')) });
    const { metadata } = await node.until<View>('larger', isReady);
    const resize = { spec: { containers: [{ name: 'c', ...ask('25m') }] } };
    await node.client.patch(pods, 'larger', 'strategic', resize, { namespace: 'default', subresource: 'resize' });
    const { resourceVersion } = metadata!;
    const options = { namespace: 'default', fieldSelector: 'metadata.name=larger', resourceVersion: resourceVersion! };
    for await (const { object } of node.client.watch(pods, options)) {
      const { status } = object as View;
      if (status?.observedGeneration !== 2) continue;
      if (status.containerStatuses?.[0]?.resources?.requests?.['cpu'] === '25m') break;
      assert.ok(status.conditions?.some((c) => c.type === 'PodResizeInProgress'));
    }
    // one status may overtake the other on its way: what is over is taken away all the same
    for (const cpu of ['30m', '35m', '40m', '45m']) {
      const again = { spec: { containers: [{ name: 'c', ...ask(cpu) }] } };
      await node.client.patch(pods, 'larger', 'strategic', again, { namespace: 'default', subresource: 'resize' });
      await node.until<View>(
        'larger',
        (p) =>
          p?.status?.containerStatuses?.[0]?.resources?.requests?.['cpu'] === cpu &&
          !p.status.conditions?.some((c) => c.type.startsWith('PodResize')),
      );
    }
  });

  it('puts right what others make of a status', async () => {
    await node.create('meddled');
    await node.until('meddled', isReady);
    const status = { conditions: [{ type: 'Ready', status: 'False', reason: 'NodeNotReady' }] };
    await node.client.patch(pods, 'meddled', 'strategic', { status }, { namespace: 'default', subresource: 'status' });
    await node.until('meddled', isReady);
    await node.client.patch(
      pods,
      'meddled',
      'merge',
      { metadata: { labels: { now: 'labelled' } } },
      { namespace: 'default' },
    );
    const p = await node.until<View>('meddled', (x) => x?.metadata?.labels?.['now'] === 'labelled' && isReady(x));
    assert.equal(p.status!.conditions!.find((c) => c.type === 'Ready')!.reason, undefined);
  });

  it('runs static pods and shows them as mirrors', async () => {
    const dir = join(node.rootDir, 'manifests');
    mkdirSync(dir);
    writeFileSync(
      join(dir, 'st.yaml'),
      'apiVersion: v1\nkind: Pod\nmetadata: {name: st, namespace: default}\nspec: {containers: [{name: c, image: "busybox:1"}], terminationGracePeriodSeconds: 1}\n',
    );
    await node.kubelet.stop();
    await node.startKubelet({ fields: { staticPodPath: dir } });
    const mirror = await node.until<View>('st-n1', isReady);
    assert.ok(mirror.metadata!.annotations!['kubernetes.io/config.mirror']);
    await node.client.delete(pods, 'st-n1', { namespace: 'default', gracePeriodSeconds: 0 });
    await node.until('st-n1', (x) => x !== undefined && x.metadata!.uid !== mirror.metadata!.uid && isReady(x));
    rmSync(join(dir, 'st.yaml'));
    await node.until('st-n1', (x) => x === undefined);
  });

  it('runs static pods that a URL gives', async () => {
    const web = (name: string) => ({
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'c', image: 'busybox:1' }], terminationGracePeriodSeconds: 1 },
    });
    let answer: { status: number; body: object } = {
      status: 200,
      body: { apiVersion: 'v1', kind: 'PodList', items: [web('one'), web('two')] },
    };
    const seen = new Set<unknown>();
    const server = createServer((req, res) => {
      seen.add(req.headers['x-cluster']);
      res.writeHead(answer.status).end(JSON.stringify(answer.body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      await node.kubelet.stop();
      const staticPodURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/pods`;
      await node.startKubelet({
        fields: { staticPodURL, staticPodURLHeader: { 'X-Cluster': ['c1'] }, httpCheckFrequency: '200ms' },
      });
      const one = await node.until<View>('one-n1', isReady);
      assert.equal(one.metadata!.annotations!['kubernetes.io/config.source'], 'http');
      await node.until('two-n1', isReady);
      assert.deepEqual([...seen], ['c1']);
      answer = { status: 200, body: { apiVersion: 'v1', kind: 'Pod', ...web('two') } };
      await node.until('one-n1', (x) => x === undefined);
      answer = { status: 200, body: { apiVersion: 'v1', kind: 'PodList', items: [] } };
      await node.until('two-n1', (x) => x === undefined);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('recorded what happened', async () => {
    const list = await node.client.list(events, { namespace: 'default' });
    const seen = new Set(list.items.map((e) => e.reason));
    for (const reason of [
      'Pulled',
      'Created',
      'Started',
      'Killing',
      'BackOff',
      'Unhealthy',
      'DeadlineExceeded',
      'OutOfcpu',
    ])
      assert.ok(seen.has(reason), reason);
  });
});

describe('kubelet of a node that shuts down', () => {
  it('ends its pods by priority and takes no more', async function () {
    const fields = {
      shutdownGracePeriodByPodPriority: [
        { priority: 0, shutdownGracePeriodSeconds: 20 },
        { priority: 100, shutdownGracePeriodSeconds: 20 },
      ],
    };
    const node = await startTestNode({ fields });
    try {
      await node.create('plain');
      await node.create('gone-first', { terminationGracePeriodSeconds: 30 });
      await node.until('plain', isReady);
      await node.until('gone-first', isReady);
      await node.kubelet.shutdown();
      const p = await node.until<View>('plain', phaseIs('Failed'));
      assert.equal(p.status!.reason, 'Terminated');
      assert.equal(p.status!.message, 'Pod was terminated in response to imminent node shutdown.');
      await node.create('late');
      const late = await node.until<View>('late', phaseIs('Failed'));
      assert.equal(late.status!.reason, 'NodeShutdown');
      await eventually(async () => {
        const ready = (await node.client.get(nodes, 'n1')).status!.conditions!.find((c) => c.type === 'Ready')!;
        assert.deepEqual([ready.status, ready.message], ['False', 'node is shutting down']);
      });
    } finally {
      await node.stop();
    }
  });
});
