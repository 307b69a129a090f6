import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import { events, nodes, pods, resourceClaims } from '../../../client/resources.ts';
import type { ContainerConfig } from '../../../kubelet/cri/types.ts';
import { DRA_HEALTH } from '../../../kubelet/dra/health.ts';
import { connect, loadService } from '../../../kubelet/grpc.ts';
import { serve } from '../../../kubelet/grpc-server.ts';
import { BOUND_MS, eventually } from '../../support/wait.ts';
import { isReady, onDisk, phaseIs, startTestNode, type TestNode } from './harness.ts';

type View = DeepReadonly<Pod>;
const RESOURCE = 'example.com/thing';
const DRIVER = 'dra.example.com';
const DRA = 'k8s.io.kubelet.pkg.apis.dra';

describe('kubelet with device plugins and DRA drivers', function () {
  let node: TestNode;
  let dir: string;
  const configs = new Map<string, ContainerConfig>();
  const calls: { method: string; request: Record<string, unknown> }[] = [];
  const made = (method: string) => calls.filter((c) => c.method === method);
  const note =
    <R extends object>(method: string, answer: (r: R) => object) =>
    (request: R) => {
      calls.push({ method, request: request as Record<string, unknown> });
      return answer(request);
    };
  let send: (message: object) => void = () => {};
  const health = (states: Record<string, string>) => ({
    devices: Object.entries(states).map(([ID, h]) => ({ ID, health: h, topology: { nodes: [{ ID: 0 }] } })),
  });
  const stops: (() => void)[] = [];

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'devices-test-'));
    node = await startTestNode({
      ...onDisk(dir),
      hollow: {
        behaviour(config) {
          configs.set(`${config.labels['io.kubernetes.pod.name']}/${config.metadata.name}`, config);
          return {};
        },
      },
    });
  });
  after(async () => {
    for (const s of stops) s();
    await node.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  async function startPlugin(): Promise<void> {
    const plugins = join(node.rootDir, 'device-plugins');
    const server = await serve(join(plugins, 'thing.sock'), [
      [
        loadService('kubelet-deviceplugin-v1beta1', 'v1beta1.DevicePlugin'),
        {
          GetDevicePluginOptions: () => ({ pre_start_required: true, get_preferred_allocation_available: true }),
          GetPreferredAllocation: note('GetPreferredAllocation', (r: never) => ({
            container_responses: [
              {
                deviceIDs: (
                  r as { container_requests: { available_deviceIDs: string[] }[] }
                ).container_requests[0]!.available_deviceIDs.toReversed(),
              },
            ],
          })),
          Allocate: note('Allocate', (r: never) => ({
            container_responses: [
              {
                envs: {
                  THINGS: (
                    r as { container_requests: { devices_ids: string[] }[] }
                  ).container_requests[0]!.devices_ids.join(),
                },
                mounts: [{ container_path: '/thing', host_path: '/tmp', read_only: true }],
                devices: [{ container_path: '/dev/thing', host_path: '/dev/null', permissions: 'rw' }],
                annotations: { thing: 'yes' },
              },
            ],
          })),
          PreStartContainer: note('PreStartContainer', () => ({})),
        },
        {
          ListAndWatch(_request: never, to: (message: object) => void) {
            send = to;
            to(health({ a: 'Healthy', b: 'Healthy', c: 'Unhealthy' }));
            return () => {};
          },
        },
      ],
    ]);
    stops.push(() => server.stop());
    const caller = connect(
      loadService('kubelet-deviceplugin-v1beta1', 'v1beta1.Registration'),
      join(plugins, 'kubelet.sock'),
      systemClock,
    );
    await caller.call(
      'Register',
      {
        version: 'v1beta1',
        endpoint: 'thing.sock',
        resource_name: RESOURCE,
        options: { pre_start_required: true, get_preferred_allocation_available: true },
      },
      5000,
    );
    caller.close();
  }
  const numbers = async () => {
    const s = (await node.client.get(nodes, 'n1')).status!;
    return [s.capacity![RESOURCE], s.allocatable![RESOURCE]];
  };
  const things = (count: string): Partial<NonNullable<Pod['spec']>> => ({
    containers: [{ name: 'c', image: 'busybox:1', resources: { limits: { [RESOURCE]: count } } }],
  });

  it('counts the devices of a plugin', async () => {
    await node.kubelet.registered();
    await startPlugin();
    await eventually(async () => assert.deepEqual(await numbers(), ['3', '2']));
  });

  it('gives a container the devices that the plugin prefers', async () => {
    await node.create('one', things('1'));
    await node.until('one', isReady);
    const config = configs.get('one/c')!;
    assert.equal(config.envs.find((e) => e.key === 'THINGS')?.value.toString(), 'b');
    assert.deepEqual(config.devices, [{ container_path: '/dev/thing', host_path: '/dev/null', permissions: 'rw' }]);
    assert.ok(config.mounts.some((m) => m.container_path === '/thing' && m.readonly));
    assert.equal(config.annotations['thing'], 'yes');
    assert.deepEqual(made('PreStartContainer')[0]!.request, { devices_ids: ['b'] });
  });

  it('tells agents on the node whose the devices are', async () => {
    const caller = connect(
      loadService('kubelet-podresources-v1', 'v1.PodResourcesLister'),
      join(node.rootDir, 'pod-resources', 'kubelet.sock'),
      systemClock,
    );
    const list = await caller.call<{
      pod_resources: { name: string; containers: { devices: { resource_name: string; device_ids: string[] }[] }[] }[];
    }>('List', {}, BOUND_MS);
    const mine = list.pod_resources.find((p) => p.name === 'one')!;
    assert.deepEqual(
      mine.containers[0]!.devices.map((d) => [d.resource_name, d.device_ids]),
      [[RESOURCE, ['b']]],
    );
    const all = await caller.call<{ devices: unknown[] }>('GetAllocatableResources', {}, BOUND_MS);
    assert.equal(all.devices.length, 3);
    await assert.rejects(caller.call('Get', { pod_name: 'no', pod_namespace: 'default' }, BOUND_MS), { code: 5 });
    caller.close();
  });

  it('hands no device out twice, not after a restart either, and takes it back with the pod', async () => {
    await node.kubelet.stop();
    for (const s of stops.splice(0)) s();
    await node.startKubelet(onDisk(dir).kubelet);
    await node.kubelet.registered();
    await eventually(async () => assert.deepEqual(await numbers(), ['3', '0']));
    await startPlugin();
    await eventually(async () => assert.deepEqual(await numbers(), ['3', '2']));
    await node.create('two', things('1'));
    await node.until('two', isReady);
    assert.equal(
      configs
        .get('two/c')!
        .envs.find((e) => e.key === 'THINGS')
        ?.value.toString(),
      'a',
    );
    await node.create('three', things('1'));
    const three = await node.until<View>('three', phaseIs('Failed'));
    assert.match(three.status!.reason!, /^(UnexpectedAdmissionError|OutOfexample.com\/thing)$/);
    await node.client.delete(pods, 'one', { namespace: 'default' });
    await node.until('one', (x) => x === undefined);
    await node.create('four', things('1'));
    await node.until('four', isReady);
    assert.equal(
      configs
        .get('four/c')!
        .envs.find((e) => e.key === 'THINGS')
        ?.value.toString(),
      'b',
    );
  });

  it('follows the health of devices', async () => {
    const told = (p: View | undefined) => p?.status?.containerStatuses?.[0]?.allocatedResourcesStatus;
    send(health({ a: 'Healthy', b: 'Unhealthy' }));
    const ill = await node.until<View>('four', (p) => told(p)?.[0]?.resources?.[0]?.health === 'Unhealthy');
    assert.deepEqual(told(ill), [{ name: RESOURCE, resources: [{ resourceID: 'b', health: 'Unhealthy' }] }]);
    send(health({ a: 'Healthy', b: 'Healthy', c: 'Healthy', d: 'Healthy' }));
    await eventually(async () => assert.deepEqual(await numbers(), ['4', '4']));
  });

  it('lets a pod go whose driver has never come', async () => {
    const claim = await node.client.create(resourceClaims, {
      metadata: { name: 'absent', namespace: 'default' },
      spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'any' } }] } },
    });
    const pod = await node.create('stuck', {
      resourceClaims: [{ name: 'mine', resourceClaimName: 'absent' }],
      containers: [{ name: 'c', image: 'busybox:1', resources: { claims: [{ name: 'mine' }] } }],
    });
    const result = { request: 'r', driver: 'absent.example.com', pool: 'p', device: 'd' };
    await node.client.updateStatus(resourceClaims, {
      ...claim,
      status: {
        allocation: { devices: { results: [result] } },
        reservedFor: [{ resource: 'pods', name: 'stuck', uid: pod.metadata!.uid! }],
      },
    });
    await eventually(async () => {
      const { items } = await node.client.list(events, { namespace: 'default' });
      assert.ok(items.some((e) => e.message?.includes('DRA driver absent.example.com is not registered')));
    });
    await node.client.delete(pods, 'stuck', { namespace: 'default' });
    await node.until('stuck', (x) => x === undefined);
  });

  it('has claims prepared before the containers start and unprepared after their end', async () => {
    const socket = join(node.rootDir, 'plugins', DRIVER, 'dra.sock');
    mkdirSync(join(node.rootDir, 'plugins', DRIVER), { recursive: true });
    let error = 'not yet';
    let stuck = '';
    let tell: (message: object) => void = () => {};
    type Claims = { claims: { uid: string; name: string }[] };
    const server = await serve(socket, [
      [
        // an older version with the same messages
        loadService('kubelet-dra-v1', `${DRA}.v1.DRAPlugin`, `${DRA}.v1beta1.DRAPlugin`),
        {
          NodePrepareResources: note('NodePrepareResources', (r: never) => ({
            claims: Object.fromEntries(
              (r as Claims).claims.map((c) => [
                c.uid,
                error
                  ? { error }
                  : {
                      devices: [
                        {
                          request_names: ['r'],
                          pool_name: 'p',
                          device_name: 'd1',
                          cdi_device_ids: ['example.com/x=d1'],
                        },
                      ],
                    },
              ]),
            ),
          })),
          NodeUnprepareResources: note('NodeUnprepareResources', (r: never) => ({
            claims: Object.fromEntries((r as Claims).claims.map((c) => [c.uid, stuck ? { error: stuck } : {}])),
          })),
        },
      ],
      [
        DRA_HEALTH,
        {},
        {
          NodeWatchResources(_request: never, to: (message: object) => void) {
            tell = to;
            return () => {};
          },
        },
      ],
    ]);
    stops.push(() => server.stop());
    const registration = await serve(join(node.rootDir, 'plugins_registry', 'dra-reg.sock'), [
      [
        loadService('kubelet-pluginregistration-v1', 'pluginregistration.Registration'),
        {
          GetInfo: () => ({
            type: 'DRAPlugin',
            name: DRIVER,
            endpoint: socket,
            supported_versions: ['v1beta1.DRAPlugin'],
          }),
          NotifyRegistrationStatus: note('NotifyRegistrationStatus', () => ({})),
        },
      ],
    ]);
    stops.push(() => registration.stop());
    /** A claim that is allocated to a pod, and the pod. */
    async function promise(name: string, podName: string) {
      const made = await node.client.create(resourceClaims, {
        metadata: { name, namespace: 'default' },
        spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'any' } }] } },
      });
      const pod = await node.create(podName, {
        resourceClaims: [{ name: 'mine', resourceClaimName: name }],
        containers: [{ name: 'c', image: 'busybox:1', resources: { claims: [{ name: 'mine', request: 'r' }] } }],
      });
      await node.client.updateStatus(resourceClaims, {
        ...made,
        status: {
          allocation: { devices: { results: [{ request: 'r', driver: DRIVER, pool: 'p', device: 'd1' }] } },
          reservedFor: [{ resource: 'pods', name: podName, uid: pod.metadata!.uid! }],
        },
      });
      return made;
    }
    const claim = await promise('claim', 'dra');
    await eventually(async () => assert.ok(made('NodePrepareResources').length));
    assert.equal(configs.has('dra/c'), false, 'waits for the driver');
    error = '';
    await node.until('dra', isReady);
    const device = { pool_name: 'p', device_name: 'd1' };
    const at = { last_updated_time: Math.floor(systemClock.now() / 1000), health_check_timeout_seconds: 600 };
    tell({ devices: [{ device, health: 'UNHEALTHY', message: 'too hot', ...at }] });
    const ill = await node.until<View>(
      'dra',
      (p) => p?.status?.containerStatuses?.[0]?.allocatedResourcesStatus?.[0]?.resources?.[0]?.health === 'Unhealthy',
    );
    assert.deepEqual(ill.status!.containerStatuses![0]!.allocatedResourcesStatus, [
      {
        name: 'claim:mine/r',
        resources: [{ resourceID: 'example.com/x=d1', health: 'Unhealthy', message: 'too hot' }],
      },
    ]);
    assert.deepEqual(configs.get('dra/c')!.CDI_devices, [{ name: 'example.com/x=d1' }]);
    assert.deepEqual(made('NodePrepareResources').at(-1)!.request, {
      claims: [{ namespace: 'default', uid: claim.metadata!.uid, name: 'claim' }],
    });
    // gone by force, and made again under the same names, while the driver can't undo the first
    stuck = 'busy';
    await node.client.delete(pods, 'dra', { namespace: 'default', gracePeriodSeconds: 0 });
    await node.client.delete(resourceClaims, 'claim', { namespace: 'default' });
    await promise('claim', 'dra');
    await eventually(async () => {
      const { items } = await node.client.list(events, { namespace: 'default' });
      const old = `old ResourceClaim with same name claim and different UID ${claim.metadata!.uid} still exists`;
      assert.ok(items.some((e) => e.message?.includes(old)));
    });
    stuck = '';
    await node.until('dra', isReady);
    await node.client.delete(pods, 'dra', { namespace: 'default' });
    await node.until('dra', (x) => x === undefined);
    assert.ok(made('NodeUnprepareResources').length >= 2);
  });

  it('gives memory and devices from one NUMA node, or rejects the pod', async () => {
    await node.kubelet.stop();
    for (const s of stops.splice(0)) s();
    await node.startKubelet({
      hollow: false,
      containerLogsDir: join(dir, 'containers'),
      fields: { memoryManagerPolicy: 'Static', topologyManagerPolicy: 'single-numa-node' },
    });
    await node.kubelet.registered();
    await startPlugin();
    await eventually(async () => {
      // other pods have two
      send(health({ n1: 'Healthy', n2: 'Healthy', n3: 'Healthy', n4: 'Healthy' }));
      assert.deepEqual(await numbers(), ['4', '4']);
    });
    const amounts = { [RESOURCE]: '1', cpu: '10m', memory: '32Mi' };
    const spec = { containers: [{ name: 'c', image: 'busybox:1', resources: { limits: amounts } }] };
    await node.create('aligned', spec);
    await node.until('aligned', isReady);
    assert.equal(configs.get('aligned/c')!.linux.resources.cpuset_mems, '0');
    const caller = connect(
      loadService('kubelet-podresources-v1', 'v1.PodResourcesLister'),
      join(node.rootDir, 'pod-resources', 'kubelet.sock'),
      systemClock,
    );
    interface Memory {
      memory: { memory_type: string; size: number; topology: { nodes: { ID: number }[] } }[];
    }
    const mine = { pod_name: 'aligned', pod_namespace: 'default' };
    const got = await caller.call<{ pod_resources: { containers: Memory[] } }>('Get', mine, BOUND_MS);
    assert.deepEqual(
      got.pod_resources.containers[0]!.memory.map((m) => [
        m.memory_type,
        Number(m.size),
        Number(m.topology.nodes[0]!.ID),
      ]),
      [['memory', 32 * 2 ** 20, 0]],
    );
    const all = await caller.call<Memory>('GetAllocatableResources', {}, BOUND_MS);
    assert.ok(all.memory.some((m) => m.memory_type === 'memory' && Number(m.size) > 32 * 2 ** 20));
    caller.close();
    // devices at a node that has none of the memory
    const topology = { nodes: [{ ID: 99 }] };
    send({ devices: ['f1', 'f2', 'f3', 'f4', 'f5'].map((ID) => ({ ID, health: 'Healthy', topology })) });
    await eventually(async () => assert.deepEqual(await numbers(), ['5', '5']));
    await node.create('apart', spec);
    const rejected = await node.until<View>('apart', phaseIs('Failed'));
    assert.equal(rejected.status!.reason, 'TopologyAffinityError');
    assert.match(rejected.status!.message!, /Resources cannot be allocated with Topology locality/);
  });
});
