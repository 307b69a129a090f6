import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import {
  csiDrivers,
  csiNodes,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  volumeAttachments,
} from '../../../client/resources.ts';
import { attachmentName } from '../../../kubelet/csi/records.ts';
import { startCsiDriver, type CsiTestDriver } from '../../support/csi-driver.ts';
import { eventually } from '../../support/wait.ts';
import { isReady, onDisk, startTestNode, type TestNode } from './harness.ts';

type View = DeepReadonly<Pod>;
const DRIVER = 'test.csi.example.com';

describe('kubelet with a CSI driver', function () {
  let node: TestNode;
  let driver: CsiTestDriver;
  let dir: string;
  const startDriver = () =>
    startCsiDriver({
      name: DRIVER,
      stateDir: join(dir, 'state'),
      pluginDir: join(node.rootDir, 'plugins', DRIVER),
      registryDir: join(node.rootDir, 'plugins_registry'),
      nodeId: 'id-of-n1',
    });
  const made = (method: string) => driver.calls.filter((c) => c.method === method);
  const mounts = () =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((l) => l.includes(node.rootDir));

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'csi-test-'));
    node = await startTestNode(onDisk(dir));
    driver = await startDriver();
    await node.client.create(csiDrivers, {
      metadata: { name: DRIVER },
      spec: { podInfoOnMount: true, volumeLifecycleModes: ['Persistent', 'Ephemeral'], fsGroupPolicy: 'File' },
    });
  });
  after(async () => {
    driver.stop();
    await node.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** A bound claim, as the controllers would have made it. */
  async function claim(name: string, volumeMode = 'Filesystem'): Promise<void> {
    const handle = `handle-${name}`;
    mkdirSync(driver.volumeDir(handle), { recursive: true });
    const pvc = await node.client.create(persistentVolumeClaims, {
      metadata: { name, namespace: 'default' },
      spec: {
        accessModes: ['ReadWriteOnce'],
        resources: { requests: { storage: '1Gi' } },
        volumeName: `pv-${name}`,
        storageClassName: '',
        volumeMode,
      },
    });
    await node.client.create(persistentVolumes, {
      metadata: { name: `pv-${name}` },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        volumeMode,
        claimRef: { kind: 'PersistentVolumeClaim', namespace: 'default', name, uid: pvc.metadata!.uid },
        csi: {
          driver: DRIVER,
          volumeHandle: handle,
          volumeAttributes: { color: 'blue' },
          nodeStageSecretRef: { name: 'stage', namespace: 'default' },
        },
      },
    });
    await node.client.updateStatus(persistentVolumeClaims, {
      ...pvc,
      status: { phase: 'Bound', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'] },
    });
  }
  async function attach(name: string): Promise<void> {
    const attachment = await node.client.create(volumeAttachments, {
      metadata: { name: attachmentName(`handle-${name}`, DRIVER, 'n1') },
      spec: { attacher: DRIVER, nodeName: 'n1', source: { persistentVolumeName: `pv-${name}` } },
    });
    await node.client.updateStatus(volumeAttachments, {
      ...attachment,
      status: { attached: true, attachmentMetadata: { device: '/dev/x' } },
    });
    const volumesAttached = [{ name: `kubernetes.io/csi/${DRIVER}^handle-${name}`, devicePath: '' }];
    await node.client.patch(nodes, 'n1', 'merge', { status: { volumesAttached } }, { subresource: 'status' });
  }
  const using = (claimName: string, readOnly = false): Partial<NonNullable<Pod['spec']>> => ({
    containers: [{ name: 'c', image: 'busybox:1', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
    volumes: [{ name: 'v', persistentVolumeClaim: { claimName, readOnly } }],
  });
  const targetOf = (uid: string, volume: string) =>
    join(node.rootDir, 'pods', uid, 'volumes', 'kubernetes.io~csi', volume, 'mount');

  it('tells the API of the driver', async () => {
    await eventually(async () => {
      const n = await node.client.get(csiNodes, 'n1');
      assert.deepEqual(n.spec.drivers, [
        { name: DRIVER, nodeID: 'id-of-n1', topologyKeys: [`topology.${DRIVER}/node`], allocatable: { count: 7 } },
      ]);
      assert.equal(n.metadata!.ownerReferences![0]!.kind, 'Node');
      await eventually(async () => assert.ok(made('NotifyRegistrationStatus').length));
    });
    const n = await node.client.get(nodes, 'n1');
    assert.equal(n.metadata!.annotations!['csi.volume.kubernetes.io/nodeid'], `{"${DRIVER}":"id-of-n1"}`);
    assert.equal(n.metadata!.labels![`topology.${DRIVER}/node`], 'id-of-n1');
    assert.equal(made('NotifyRegistrationStatus')[0]!.request['plugin_registered'], true);
  });

  it('waits for the attachment, then stages and publishes with all the driver asks for', async () => {
    await node.client.create(secrets, {
      metadata: { name: 'stage', namespace: 'default' },
      data: { key: Buffer.from('secret').toString('base64') },
    });
    await claim('one');
    const p = await node.create('one', { ...using('one'), securityContext: { fsGroup: 4321 } });
    await eventually(async () =>
      assert.deepEqual((await node.client.get(nodes, 'n1')).status!.volumesInUse, [
        `kubernetes.io/csi/${DRIVER}^handle-one`,
      ]),
    );
    assert.equal(made('NodeStageVolume').length, 0, 'not before it is attached');
    await attach('one');
    await node.until('one', isReady);
    const stage = made('NodeStageVolume')[0]!.request;
    assert.deepEqual(stage['secrets'], { key: 'secret' });
    assert.deepEqual(stage['publish_context'], { device: '/dev/x' });
    assert.deepEqual(stage['volume_context'], { color: 'blue' });
    const publish = made('NodePublishVolume')[0]!.request;
    assert.equal((publish['volume_context'] as Record<string, string>)['csi.storage.k8s.io/pod.name'], 'one');
    assert.equal(
      (publish['volume_capability'] as { access_mode: { mode: string } }).access_mode.mode,
      'SINGLE_NODE_MULTI_WRITER',
    );
    const target = targetOf(p.metadata!.uid!, 'pv-one');
    assert.equal(publish['target_path'], target);
    writeFileSync(join(target, 'kept'), 'data');
    assert.equal(readFileSync(join(driver.volumeDir('handle-one'), 'kept'), 'utf8'), 'data');
    assert.equal(statSync(target).gid, 4321, 'fsGroupPolicy File');
  });

  it('shares the staged volume among pods and publishes nothing anew after a restart', async () => {
    await node.create('two', using('one', true));
    const two = await node.until<View>('two', isReady);
    assert.equal(made('NodeStageVolume').length, 1);
    assert.equal(made('NodePublishVolume').length, 2);
    await node.kubelet.stop();
    await node.startKubelet(onDisk(dir).kubelet);
    await node.create('three', using('one'));
    await node.until('three', isReady);
    assert.equal(made('NodePublishVolume').length, 3, 'only for the new pod');
    for (const name of ['two', 'three']) {
      await node.client.delete(pods, name, { namespace: 'default' });
      await node.until(name, (x) => x === undefined);
    }
    assert.equal(made('NodeUnpublishVolume').length, 2);
    assert.equal(made('NodeUnstageVolume').length, 0, 'another pod uses it');
    assert.equal(existsSync(targetOf(two.metadata!.uid!, 'pv-one')), false);
  });

  it('lets the driver grow the file system', async () => {
    const pv = await node.client.get(persistentVolumes, 'pv-one');
    await node.client.update(persistentVolumes, { ...pv, spec: { ...pv.spec, capacity: { storage: '2Gi' } } });
    driver.fail = { method: 'NodeExpandVolume', message: 'not now' };
    node.kubelet.pods.wakeAll();
    const claimed = async () => (await node.client.get(persistentVolumeClaims, 'one', 'default')).status!;
    await eventually(async () =>
      assert.equal((await claimed()).allocatedResourceStatuses?.['storage'], 'NodeResizeInProgress'),
    );
    driver.fail = { message: '' };
    await eventually(async () => {
      node.kubelet.pods.wakeAll();
      const status = await claimed();
      assert.equal(status.capacity!['storage'], '2Gi');
      assert.equal(status.allocatedResourceStatuses, undefined);
    });
    assert.deepEqual(made('NodeExpandVolume')[0]!.request['capacity_range'], {
      required_bytes: 2 ** 31,
      limit_bytes: 0,
    });
  });

  it('takes all down with the last pod, and not before the driver could', async () => {
    driver.fail = { method: 'NodeUnstageVolume', message: 'busy' };
    await node.client.delete(pods, 'one', { namespace: 'default' });
    await eventually(async () => assert.ok(made('NodeUnstageVolume').length));
    assert.ok((await node.client.get(pods, 'one', 'default')).metadata!.deletionTimestamp, 'the pod stays meanwhile');
    driver.fail = { message: '' };
    await node.until('one', (x) => x === undefined);
    assert.deepEqual(mounts(), []);
    assert.equal(readFileSync(join(driver.volumeDir('handle-one'), 'kept'), 'utf8'), 'data');
    await eventually(async () => assert.deepEqual((await node.client.get(nodes, 'n1')).status!.volumesInUse ?? [], []));
  });

  it('gives no device as a folder and no folder as a device', async () => {
    const staged = made('NodeStageVolume').length;
    await claim('device', 'Block');
    await claim('folder');
    await node.create('wants-folder', using('device'));
    const { volumes } = using('folder');
    const container = { name: 'c', image: 'busybox:1', volumeDevices: [{ name: 'v', devicePath: '/dev/v' }] };
    await node.create('wants-device', { containers: [container], volumes });
    const said = async (pod: string, mode: string, where: string) =>
      eventually(async () => {
        const failed = (await node.client.list(events, { namespace: 'default' })).items.filter(
          (e) => e.reason === 'FailedMount' && e.involvedObject.name === pod,
        );
        const message = `volume v has volumeMode ${mode}, but is specified in ${where}`;
        assert.ok(failed.some((e) => e.message!.includes(message)));
      });
    await said('wants-folder', 'Block', 'volumeMounts');
    await said('wants-device', 'Filesystem', 'volumeDevices');
    for (const name of ['device', 'folder']) {
      await node.client.delete(pods, `wants-${name}`, { namespace: 'default' });
      rmSync(driver.volumeDir(`handle-${name}`), { recursive: true });
    }
    assert.equal(made('NodeStageVolume').length, staged, 'the driver is not asked');
  });

  it('mounts volumes that a pod defines itself', async () => {
    const p = await node.create('inline', {
      containers: [{ name: 'c', image: 'busybox:1', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
      volumes: [{ name: 'v', csi: { driver: DRIVER, volumeAttributes: { size: 'small' } } }],
    });
    await node.until('inline', isReady);
    const publish = made('NodePublishVolume').at(-1)!.request;
    const context = publish['volume_context'] as Record<string, string>;
    assert.equal(context['csi.storage.k8s.io/ephemeral'], 'true');
    assert.equal(context['size'], 'small');
    assert.match(publish['volume_id'] as string, /^csi-[0-9a-f]{64}$/);
    assert.ok(existsSync(targetOf(p.metadata!.uid!, 'v')));
    await node.client.delete(pods, 'inline', { namespace: 'default' });
    await node.until('inline', (x) => x === undefined);
    assert.deepEqual(mounts(), []);
    assert.deepEqual(readdirSync(join(dir, 'state', 'volumes')), ['handle-one']);
  });

  it("gives the driver the pod's tokens, among the secrets when it wants them there", async () => {
    const inline = async (name: string) => {
      await node.create(name, {
        containers: [{ name: 'c', image: 'busybox:1', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
        volumes: [{ name: 'v', csi: { driver: DRIVER } }],
      });
      await node.until(name, isReady);
      const { secrets: hidden, volume_context: context } = made('NodePublishVolume').at(-1)!.request;
      await node.client.delete(pods, name, { namespace: 'default' });
      await node.until(name, (x) => x === undefined);
      return [hidden, context].map((o) => (o as Record<string, string>)['csi.storage.k8s.io/serviceAccount.tokens']);
    };
    const spec = (more: object) => node.client.patch(csiDrivers, DRIVER, 'merge', { spec: more });
    await spec({ tokenRequests: [{ audience: 'vault' }] });
    const [noSecret, told] = await inline('told');
    assert.equal(noSecret, undefined);
    assert.ok((JSON.parse(told!) as Record<string, { token: string }>)['vault']!.token);
    await spec({ serviceAccountTokenInSecrets: true });
    const [secret, untold] = await inline('untold');
    assert.equal(untold, undefined);
    assert.ok((JSON.parse(secret!) as Record<string, { token: string }>)['vault']!.token);
    await spec({ tokenRequests: null, serviceAccountTokenInSecrets: null });
  });

  it('forgets the driver when its socket goes, and takes it again', async () => {
    driver.stop();
    await eventually(async () => assert.deepEqual((await node.client.get(csiNodes, 'n1')).spec.drivers ?? [], []));
    driver = await startDriver();
    await eventually(async () => assert.equal((await node.client.get(csiNodes, 'n1')).spec.drivers.length, 1));
  });
});
