import assert from 'node:assert/strict';
import { compileDeviceSelector } from '../../../api/cel/devices.ts';
import { allocate, type AllocatorDeps } from '../../../scheduler/dra/allocator.ts';
import { requestsFor } from '../../../scheduler/dra/extended.ts';
import { Slices } from '../../../scheduler/dra/pools.ts';
import type { Allocation, Claim, Class, Device, Slice } from '../../../scheduler/dra/types.ts';
import { Usage } from '../../../scheduler/dra/usage.ts';
import { pod } from './world.ts';

const DRIVER = 'gpu.example.com';
const node = (name = 'a', labels: Record<string, string> = {}) => ({ name, labels });

interface SliceShape extends Partial<Slice['spec']> {
  name?: string;
  poolName?: string;
  generation?: number;
  count?: number;
}
function slice(devices: readonly Device[], shape: SliceShape = {}): Slice {
  const { name, poolName, generation, count, ...spec } = shape;
  const where = spec.allNodes || spec.nodeSelector || spec.perDeviceNodeSelection ? {} : { nodeName: 'a' };
  const pool = { name: poolName ?? 'p', generation: generation ?? 1, resourceSliceCount: count ?? 1 };
  return { metadata: { name: name ?? 's' }, spec: { driver: DRIVER, pool, devices, ...where, ...spec } };
}
const device = (name: string, more: Partial<Device> = {}): Device => ({ name, ...more });

type Requests = NonNullable<NonNullable<Claim['spec']['devices']>['requests']>;
type Exactly = NonNullable<Requests[number]['exactly']>;
const exactly = (name: string, more: Partial<Exactly> = {}): Requests[number] => ({
  name,
  exactly: { deviceClassName: 'gpu', allocationMode: 'ExactCount', count: 1, ...more },
});
function claim(requests: Requests, more: Partial<NonNullable<Claim['spec']['devices']>> = {}): Claim {
  return { metadata: { name: 'c', namespace: 'ns', uid: 'u' }, spec: { devices: { requests, ...more } } };
}
const cel = (expression: string) => [{ cel: { expression } }];

interface World {
  classes?: Class[];
  used?: Allocation[];
}
function deps(slices: Slice[], world: World = {}): AllocatorDeps {
  const usage = new Usage();
  for (const u of world.used ?? []) usage.add(u);
  const classes = world.classes ?? [{ metadata: { name: 'gpu' }, spec: {} }];
  let shares = 0;
  return {
    slices: new Slices(slices),
    usage,
    classOf: (name) => classes.find((c) => c.metadata!.name === name),
    uid: () => `share-${++shares}`,
    now: () => 0,
    timeoutMs: 10_000,
  };
}
/** `request=device` for each device that each claim would get; undefined when they don't all get theirs. */
function chosen(claims: Claim[], slices: Slice[], world: World = {}, where = node()): string[][] | undefined {
  return allocate(where, claims, deps(slices, world))?.map((a) =>
    a.devices!.results!.map((r) => `${r.request}=${r.device}`),
  );
}
const taken = (name: string, more: object = {}): Allocation => ({
  devices: { results: [{ request: 'r', driver: DRIVER, pool: 'p', device: name, ...more }] },
});

describe('allocation of devices', () => {
  it('takes the first devices that are free and selected by class and request', () => {
    const slices = [
      slice([
        device('d1'),
        device('d2', { attributes: { model: { string: 'x' } }, capacity: { memory: { value: '8Gi' } } }),
        device('d3', { attributes: { model: { string: 'x' } }, capacity: { memory: { value: '16Gi' } } }),
      ]),
    ];
    const classes: Class[] = [
      {
        metadata: { name: 'gpu' },
        spec: { selectors: cel(`device.attributes["${DRIVER}"].?model.orValue("") == "x"`) },
      },
    ];
    const big = cel(`device.capacity["${DRIVER}"].memory.isGreaterThan(quantity("10Gi"))`);
    assert.deepEqual(chosen([claim([exactly('r')])], slices, { classes }), [['r=d2']]);
    assert.deepEqual(chosen([claim([exactly('r')])], slices, { classes, used: [taken('d2')] }), [['r=d3']]);
    assert.deepEqual(chosen([claim([exactly('r', { selectors: big })])], slices, { classes }), [['r=d3']]);
    assert.equal(chosen([claim([exactly('r', { count: 3 })])], slices, { classes }), undefined);
    assert.equal(chosen([claim([exactly('r')])], slices, { classes }, node('b')), undefined);
  });

  it('goes back when an earlier choice leaves nothing for a later request', () => {
    const slices = [
      slice([
        device('d1', { attributes: { fast: { bool: true } } }),
        device('d2', { attributes: { fast: { bool: false } } }),
      ]),
    ];
    const fast = cel(`device.attributes["${DRIVER}"].fast`);
    assert.deepEqual(chosen([claim([exactly('any'), exactly('fast', { selectors: fast })])], slices), [
      ['any=d2', 'fast=d1'],
    ]);
    assert.deepEqual(chosen([claim([exactly('any')]), claim([exactly('fast', { selectors: fast })])], slices), [
      ['any=d2'],
      ['fast=d1'],
    ]);
  });

  it('gives all devices or none, and waits while a pool is being published', () => {
    const all = claim([exactly('r', { allocationMode: 'All', count: undefined })]);
    const slices = [slice([device('d1'), device('d2')])];
    assert.deepEqual(chosen([all], slices), [['r=d1', 'r=d2']]);
    assert.equal(chosen([all], slices, { used: [taken('d2')] }), undefined);
    assert.equal(chosen([all], [slice([])]), undefined);
    const half = [slice([device('d1')], { count: 2 })];
    assert.throws(
      () => chosen([all], half),
      /asks for all devices, but resource pool gpu\.example\.com\/p is currently being updated/,
    );
    assert.equal(chosen([claim([exactly('r')])], half), undefined);
  });

  it('looks at the newest generation of a pool only', () => {
    const slices = [slice([device('old')]), slice([device('new')], { name: 't', generation: 2 })];
    assert.deepEqual(chosen([claim([exactly('r')])], slices), [['r=new']]);
    const elsewhere = [slice([device('old')]), slice([device('new')], { generation: 2, nodeName: 'b' })];
    assert.equal(chosen([claim([exactly('r')])], elsewhere), undefined);
  });

  it('keeps to constraints', () => {
    const at = (name: string, numa: number) => device(name, { attributes: { 'example.com/numa': { int: numa } } });
    const slices = [slice([at('d1', 0), at('d2', 1), at('d3', 1), device('d4')])];
    const two = [exactly('x'), exactly('y')];
    const match = claim(two, { constraints: [{ matchAttribute: 'example.com/numa' }] });
    assert.deepEqual(chosen([match], slices), [['x=d2', 'y=d3']]);
    const distinct = claim([exactly('x', { count: 2 })], { constraints: [{ distinctAttribute: 'example.com/numa' }] });
    assert.deepEqual(chosen([distinct], slices), [['x=d1', 'x=d2']]);
    const own = claim(two, { constraints: [{ requests: ['x'], matchAttribute: 'example.com/numa' }] });
    assert.deepEqual(chosen([own], slices), [['x=d1', 'y=d2']]);
    const three = claim([exactly('x', { count: 3 })], { constraints: [{ matchAttribute: 'example.com/numa' }] });
    assert.equal(chosen([three], slices), undefined);
  });

  it('takes the first alternative that can be had', () => {
    const alternatives: Requests[number] = {
      name: 'r',
      firstAvailable: [
        { name: 'big', deviceClassName: 'gpu', selectors: cel(`"big" in device.attributes["${DRIVER}"]`) },
        { name: 'small', deviceClassName: 'gpu', count: 2 },
      ],
    };
    const slices = [slice([device('d1'), device('d2'), device('d3', { attributes: { big: { bool: true } } })])];
    assert.deepEqual(chosen([claim([alternatives])], slices), [['r/big=d3']]);
    assert.deepEqual(chosen([claim([alternatives])], slices, { used: [taken('d3')] }), [['r/small=d1', 'r/small=d2']]);
    const constrained = claim([alternatives], { constraints: [{ requests: ['r/big'], matchAttribute: 'a.b/c' }] });
    assert.deepEqual(chosen([constrained], slices), [['r/small=d1', 'r/small=d2']]);
  });

  it('lets administrators at devices that are in use, but not twice in one claim', () => {
    const slices = [slice([device('d1')])];
    const admin = exactly('r', { adminAccess: true });
    const result = allocate(node(), [claim([admin])], deps(slices, { used: [taken('d1')] }))!;
    assert.deepEqual(
      result[0]!.devices!.results!.map((r) => [r.device, r.adminAccess]),
      [['d1', true]],
    );
    assert.equal(chosen([claim([admin, { ...admin, name: 's' }])], slices), undefined);
    assert.deepEqual(chosen([claim([exactly('r')])], slices, { used: [taken('d1', { adminAccess: true })] }), [
      ['r=d1'],
    ]);
  });

  it('leaves tainted devices alone unless the taint is tolerated', () => {
    const taints = [{ key: 'example.com/broken', value: 'yes', effect: 'NoSchedule' }];
    const slices = [slice([device('d1', { taints }), device('d2', { taints: [{ ...taints[0]!, effect: 'None' }] })])];
    assert.deepEqual(chosen([claim([exactly('r')])], slices), [['r=d2']]);
    const tolerations = [{ key: 'example.com/broken', operator: 'Exists' }];
    assert.deepEqual(chosen([claim([exactly('r', { tolerations })])], slices), [['r=d1']]);
    const other = [{ key: 'example.com/broken', operator: 'Equal', value: 'no' }];
    assert.deepEqual(chosen([claim([exactly('r', { tolerations: other })])], slices), [['r=d2']]);
  });

  it('never takes more of shared counters than there is', () => {
    const counters = (value: string) => ({ memory: { value } });
    const part = (name: string, value: string) =>
      device(name, { consumesCounters: [{ counterSet: 'gpu-0', counters: counters(value) }] });
    const slices = [
      slice([], { name: 'c', count: 2, sharedCounters: [{ name: 'gpu-0', counters: counters('40Gi') }] }),
      slice([part('whole', '40Gi'), part('half-1', '20Gi'), part('half-2', '20Gi')], { name: 'd', count: 2 }),
    ];
    assert.deepEqual(chosen([claim([exactly('r')])], slices), [['r=whole']]);
    assert.deepEqual(chosen([claim([exactly('r', { count: 2 })])], slices), [['r=half-1', 'r=half-2']]);
    assert.deepEqual(chosen([claim([exactly('r')])], slices, { used: [taken('half-1')] }), [['r=half-2']]);
    assert.equal(chosen([claim([exactly('r')])], slices, { used: [taken('whole')] }), undefined);
    const unknown = [slice([part('d', '1')])];
    assert.throws(() => chosen([claim([exactly('r')])], unknown), /invalid resource pools were encountered/);
  });

  it('shares the capacity of devices that allow it, as their policy rounds it', () => {
    const shared = device('d1', {
      allowMultipleAllocations: true,
      capacity: {
        memory: { value: '10Gi', requestPolicy: { default: '1Gi', validRange: { min: '1Gi', step: '1Gi' } } },
        slots: { value: '2', requestPolicy: { default: '1', validValues: ['1', '2'] } },
      },
    });
    const wants = (memory?: string) => exactly('r', memory ? { capacity: { requests: { memory } } } : {});
    const [result] = allocate(node(), [claim([wants('1500Mi')])], deps([slice([shared])]))!;
    assert.deepEqual(result!.devices!.results![0]!.consumedCapacity, { memory: '2Gi', slots: '1' });
    assert.equal(result!.devices!.results![0]!.shareID, 'share-1');
    const full = taken('d1', { shareID: 'x', consumedCapacity: { memory: '9Gi', slots: '1' } });
    assert.deepEqual(chosen([claim([wants()])], [slice([shared])], { used: [full] }), [['r=d1']]);
    assert.equal(chosen([claim([wants('2Gi')])], [slice([shared])], { used: [full] }), undefined);
    assert.deepEqual(chosen([claim([wants()]), claim([wants()])], [slice([shared])]), [['r=d1'], ['r=d1']]);
    assert.equal(chosen([claim([wants()]), claim([wants()]), claim([wants()])], [slice([shared])]), undefined);
    const missing = exactly('r', { capacity: { requests: { cores: '1' } } });
    assert.equal(chosen([claim([missing])], [slice([shared])]), undefined);
  });

  it('says where an allocation can be used, and with which configuration', () => {
    const opaque = { driver: DRIVER, parameters: { a: 1 } };
    const classes: Class[] = [{ metadata: { name: 'gpu' }, spec: { config: [{ opaque }] } }];
    const c = claim([exactly('x'), exactly('y')], {
      config: [
        { requests: ['y'], opaque },
        { requests: ['z'], opaque },
      ],
    });
    const [local] = allocate(node(), [c], deps([slice([device('d1'), device('d2')])], { classes }))!;
    assert.deepEqual(local!.nodeSelector!.nodeSelectorTerms, [
      { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['a'] }] },
    ]);
    assert.deepEqual(local!.devices!.config, [
      { source: 'FromClass', requests: ['x', 'y'], opaque },
      { source: 'FromClaim', requests: ['y'], opaque },
    ]);
    const nodeSelector = {
      nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['z'] }] }],
    };
    const zonal = [slice([device('d1'), device('d2')], { nodeSelector })];
    const [wide] = allocate(node('b', { zone: 'z' }), [c], deps(zonal))!;
    assert.deepEqual(wide!.nodeSelector, nodeSelector);
    assert.equal(allocate(node('b'), [c], deps(zonal)), undefined);
    const [everywhere] = allocate(
      node('b'),
      [claim([exactly('x')])],
      deps([slice([device('d')], { allNodes: true })]),
    )!;
    assert.equal(everywhere!.nodeSelector, undefined);
    const each = slice([device('d1', { nodeName: 'b' }), device('d2', { allNodes: true })], {
      perDeviceNodeSelection: true,
    });
    assert.deepEqual(chosen([claim([exactly('x')])], [each]), [['x=d2']]);
  });

  it('ends a hopeless search among equal devices soon', () => {
    const many = Array.from({ length: 64 }, (_, i) => device(`d${i}`, { attributes: { same: { bool: true } } }));
    const never = exactly('never', { selectors: cel('device.driver == "other"') });
    const some = Array.from({ length: 6 }, (_, i) => exactly(`r${i}`, { count: 4 }));
    assert.equal(chosen([claim([...some, never])], [slice(many)]), undefined);
  });

  it('ends the attempt when a selector or a class is broken', () => {
    const slices = [slice([device('d1')])];
    const broken = claim([exactly('r', { selectors: cel(`device.attributes["${DRIVER}"].missing`) })]);
    assert.throws(() => chosen([broken], slices), /claim ns\/c: selector #0: CEL runtime error: no such key: missing/);
    assert.throws(
      () => chosen([claim([exactly('r', { deviceClassName: 'none' })])], slices),
      /could not retrieve device class none/,
    );
    assert.throws(
      () => chosen([claim([exactly('r', { count: 40 })])], slices),
      /number of requested devices 40 exceeds the claim limit of 32/,
    );
  });
});

describe('device selectors', () => {
  it('see attributes and capacity by domain, and versions', () => {
    const input = {
      driver: DRIVER,
      attributes: { version: { version: '1.2.3' }, 'other.example.com/n': { int: 5 } },
      capacity: { memory: { value: '1Gi' } },
    };
    const is = (source: string) => compileDeviceSelector(source)(input);
    assert.ok(is(`device.attributes["${DRIVER}"].version.isGreaterThan(semver("1.2.0"))`));
    assert.ok(is('device.attributes["other.example.com"].n == 5 && !device.allowMultipleAllocations'));
    assert.ok(is('!has(device.attributes["unknown.example.com"].x)'));
    assert.ok(is(`cel.bind(c, device.capacity["${DRIVER}"], c.memory.compareTo(quantity("1024Mi")) == 0)`));
    assert.throws(() => is('device.unknown == 1'));
  });
});

describe('extended resources that devices stand for', () => {
  it('lets init containers share what later containers ask for', () => {
    const gpus = (n: number) => ({ requests: { 'example.com/gpu': String(n), cpu: '1' } });
    const p = pod({
      initContainers: [
        { name: 'i0', image: 'i', resources: gpus(3) },
        { name: 'side', image: 'i', restartPolicy: 'Always', resources: gpus(1) },
        { name: 'i1', image: 'i', resources: gpus(2) },
      ],
      containers: [{ name: 'main', image: 'i', resources: gpus(1) }],
    });
    const { requests, mappings } = requestsFor(
      p,
      new Map([['example.com/gpu', { metadata: { name: 'gpu' }, spec: {} }]]),
    );
    assert.deepEqual(
      requests.map((r) => [r.name, r.exactly!.count]),
      [
        ['container-0-request-1', 1],
        ['container-1-request-1', 1],
        ['container-3-request-1', 1],
      ],
    );
    assert.deepEqual(mappings.map((m) => `${m.containerName}: ${m.requestName}`).sort(), [
      'i0: container-0-request-1',
      'i0: container-1-request-1',
      'i0: container-3-request-1',
      'i1: container-0-request-1',
      'i1: container-3-request-1',
      'main: container-3-request-1',
      'side: container-1-request-1',
    ]);
  });
});
