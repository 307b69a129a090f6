import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createClient } from '../../client/client.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { volumeAttachments } from '../../client/resources.ts';
import { loadCluster } from '../../deploy/cluster/config.ts';
import { enter } from '../../deploy/cluster/machine.ts';
import { LOCAL_PATH_DIRECTORY } from '../../deploy/node/options.ts';
import { CLUSTER, DIR, eventually, inNamespace, Kubectl, KUBECONFIG, pidOf, ROOT } from './cluster.ts';

const cluster = new Kubectl('default');
const DRIVER = 'e2e.csi.example.com';
/** Where a node's own folder lies on the machine. */
const onNode = (node: string, path: string) => join(DIR, node, 'root', path);

describe('storage', () => {
  it('keeps the data of a StatefulSet over restarts of its pods and of the kubelet, and removes them with the claim', async function () {
    const k = await inNamespace('storage');
    await k.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1000, fsGroup: 2000}
      containers:
      - name: c
        image: busybox
        command: [sh, -c, 'echo "\${HOSTNAME} began" >> /data/log; sleep 3600']
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
`);
    const ready = (n: string) =>
      eventually(async () => {
        const have = await k.path('statefulset db', '{.status.readyReplicas}');
        return have === n ? undefined : `${have || 0} ready`;
      }, 120_000);
    await ready('1');
    assert.equal(await k.path('pvc data-db-0', '{.spec.storageClassName}'), 'local-path');
    const volume = await k.path('pvc data-db-0', '{.spec.volumeName}');
    const node = await k.path('pod db-0', '{.spec.nodeName}');
    const path = await cluster.path(`pv ${volume}`, '{.spec.local.path}');
    assert.ok(path.startsWith(LOCAL_PATH_DIRECTORY));
    assert.ok(existsSync(onNode(node, path)), 'the directory is there');

    const proxied = `/api/v1/nodes/${node}/proxy`;
    await eventually(async () => {
      const summary = JSON.parse(await cluster.run('get', '--raw', `${proxied}/stats/summary`)) as {
        pods: { podRef: { name: string }; volume?: { pvcRef?: { name: string }; capacityBytes: number }[] }[];
      };
      const volumes = summary.pods.find((p) => p.podRef.name === 'db-0')?.volume;
      return volumes?.some((v) => v.pvcRef?.name === 'data-db-0' && v.capacityBytes > 0) ? undefined : 'no statistics';
    });
    assert.match(
      await cluster.run('get', '--raw', `${proxied}/metrics`),
      /kubelet_volume_stats_available_bytes\{namespace="storage",persistentvolumeclaim="data-db-0"\} \d+/,
    );

    process.kill(pidOf(`${node}/agent`, 'kubelet'), 'SIGKILL');
    await k.run('delete', 'pod', 'db-0', '--wait=true', '--timeout=180s');
    await ready('1');
    await eventually(async () => {
      const log = await k.run('exec', 'db-0', '--', 'cat', '/data/log');
      return log === 'db-0 began\ndb-0 began\n' ? undefined : JSON.stringify(log);
    });
    assert.equal(await k.path('pod db-0', '{.spec.nodeName}'), node, 'where its data are');

    await k.run('patch', 'pvc', 'data-db-0', '-p', '{"spec":{"resources":{"requests":{"storage":"20Mi"}}}}');
    await eventually(async () => {
      const size = await k.path('pvc data-db-0', '{.status.capacity.storage}');
      return size === '20Mi' ? undefined : size;
    });

    await k.run('delete', 'statefulset', 'db', '--wait=true');
    await k.run('delete', 'pvc', 'data-db-0', '--wait=true', '--timeout=180s');
    await eventually(async () => (existsSync(onNode(node, path)) ? 'the data are still there' : undefined));
    await cluster.run('delete', 'namespace', 'storage');
  });

  it('lets a privileged pod enter its node by process 1, as on a machine of its own', async function () {
    const k = await inNamespace('storage-node');
    await k.apply(`
apiVersion: v1
kind: Pod
metadata: {name: enters}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [busybox, nsenter, --mount=/host/proc/1/ns/mnt, cat, /etc/hostname]
    securityContext: {privileged: true}
    volumeMounts: [{name: host, mountPath: /host, readOnly: true}]
  volumes: [{name: host, hostPath: {path: /}}]
`);
    await eventually(async () => {
      const phase = await k.path('pod enters', '{.status.phase}');
      return phase === 'Succeeded' ? undefined : `the pod is ${phase}`;
    });
    assert.equal((await k.run('logs', 'enters')).trim(), await k.path('pod enters', '{.spec.nodeName}'));
    await cluster.run('delete', 'namespace', 'storage-node', '--wait=false');
  });

  describe('of a CSI driver', () => {
    let driver: ChildProcess | undefined;
    after(async () => {
      driver?.kill('SIGTERM');
      await cluster.try(['delete', 'csidriver', DRIVER, '--ignore-not-found']);
      await cluster.try(['delete', 'pv', 'csi-e2e', '--ignore-not-found', '--wait=false']);
    });

    it('attaches, mounts, unmounts and detaches', async function () {
      const k = await inNamespace('storage-csi');
      const [node] = (await cluster.run('get', 'nodes', '-o', 'name')).split('\n')[0]!.split('/').slice(-1);
      const state = '/var/lib/kubelet/csi-e2e';
      const volume = join(state, 'volumes/v1');
      mkdirSync(onNode(node!, volume), { recursive: true });
      writeFileSync(join(onNode(node!, volume), 'hello'), 'from the driver\n');
      const [command, ...args] = enter(loadCluster(CLUSTER)!, node!);
      driver = spawn(
        command!,
        [
          ...args,
          process.execPath,
          join(ROOT, 'test/support/csi-driver.ts'),
          DRIVER,
          state,
          `/var/lib/kubelet/plugins/${DRIVER}`,
          '/var/lib/kubelet/plugins_registry',
          `id-${node}`,
        ],
        { stdio: 'inherit' },
      );
      await eventually(async () => {
        const names = await cluster.path(`csinode ${node}`, '{.spec.drivers[*].name}');
        return names.includes(DRIVER) ? undefined : `drivers: ${names}`;
      });
      await k.apply(`
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: ${DRIVER}}
spec: {attachRequired: true}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: csi-e2e}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: storage-csi, name: claim}
  csi: {driver: ${DRIVER}, volumeHandle: v1}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], storageClassName: '', volumeName: csi-e2e, resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: busybox, command: [sleep, '3600'], volumeMounts: [{name: v, mountPath: /v}]}
  volumes: [{name: v, persistentVolumeClaim: {claimName: claim}}]
`);
      // the driver's own attacher would do this
      let attachment = '';
      await eventually(async () => {
        const all = await cluster.json<{ items: { metadata: { name: string }; spec: { attacher: string } }[] }>(
          'get',
          'volumeattachments',
        );
        attachment = all.items.find((a) => a.spec.attacher === DRIVER)?.metadata.name ?? '';
        return attachment ? undefined : 'nothing is to be attached';
      });
      const api = createClient({ ...loadKubeconfig(KUBECONFIG), userAgent: 'e2e' });
      await api.patch(
        volumeAttachments,
        attachment,
        'merge',
        { status: { attached: true } },
        { subresource: 'status' },
      );
      api.close();
      await k.run('wait', 'pod/user', '--for=condition=Ready', '--timeout=180s');
      assert.equal(await k.run('exec', 'user', '--', 'cat', '/v/hello'), 'from the driver\n');
      await k.run('exec', 'user', '--', 'sh', '-c', 'echo more > /v/written');
      await k.run('delete', 'pod', 'user', '--wait=true', '--timeout=180s');
      await eventually(async () => {
        const left = await cluster.try(['get', 'volumeattachment', attachment]);
        return left.code === 0 ? 'still attached' : undefined;
      });
      assert.deepEqual(readdirSync(onNode(node!, volume)).sort(), ['hello', 'written']);
      await cluster.run('delete', 'namespace', 'storage-csi');
    });
  });
});
