import assert from 'node:assert/strict';
import type { Endpoints, Pod, Service } from '../../../api/types.ts';
import { subsetsOf, truncate } from '../../../controllers/endpoints/subsets.ts';
import { desiredGroups, findPort } from '../../../controllers/endpointslice/desired.ts';
import { planSlices, type Endpoint, type Group, type SliceView } from '../../../controllers/endpointslice/pack.ts';
import { TriggerTimes } from '../../../controllers/endpointslice/trigger.ts';
import { giveZones, zoneShares } from '../../../controllers/endpointslice/zones.ts';
import { mirrored } from '../../../controllers/endpointslicemirroring/controller.ts';
import { CidrPool, formatCidr, overlaps, parseCidr } from '../../../controllers/nodeipam/cidrs.ts';

const endpoint = (ip: string): Endpoint => ({ addresses: [ip], conditions: { ready: true } });
const group = (n: number, from = 0): Group => ({
  addressType: 'IPv4',
  ports: [{ name: '', port: 80, protocol: 'TCP' }],
  endpoints: Array.from({ length: n }, (_, i) => endpoint(`10.0.${(from + i) >> 8}.${(from + i) & 255}`)),
});
const slice = (name: string, g: Group): SliceView => ({
  metadata: { name },
  addressType: g.addressType,
  ports: g.ports,
  endpoints: g.endpoints,
});

describe('endpointslice: packing', () => {
  it('fills new slices to the brim', () => {
    const plan = planSlices([], [group(250)], 100);
    assert.deepEqual(
      plan.create.map((c) => c.endpoints.length).toSorted((a, b) => a - b),
      [50, 100, 100],
    );
  });

  it('leaves slices alone that are right', () => {
    const g = group(3);
    const plan = planSlices([slice('a', g)], [g], 100);
    assert.deepEqual([plan.create.length, plan.update.length, plan.remove.length, plan.keep.length], [0, 0, 0, 1]);
  });

  it('puts what is new where something changes anyway', () => {
    const old = group(3);
    const now = group(3, 1);
    const other = group(5, 50);
    const plan = planSlices(
      [slice('a', old), slice('b', other)],
      [{ ...now, endpoints: [...now.endpoints, ...other.endpoints] }],
      100,
    );
    assert.deepEqual(
      plan.update.map((u) => u.slice.metadata?.name),
      ['a'],
    );
    assert.equal(plan.update[0]?.endpoints.length, 3);
    assert.equal(plan.create.length, 0);
  });

  it('removes slices that are empty, but keeps one to say so', () => {
    const plan = planSlices([slice('a', group(2)), slice('b', group(2, 10))], [group(2)], 100);
    assert.deepEqual(
      plan.remove.map((s) => s.metadata?.name),
      ['b'],
    );
    const empty = planSlices([slice('a', group(2)), slice('b', group(2, 10))], [group(0)], 100);
    assert.deepEqual([empty.update.length, empty.remove.length, empty.create.length], [1, 1, 0]);
    assert.equal(planSlices([], [group(0)], 100).create.length, 1);
  });

  it('keeps port sets apart', () => {
    const g = group(1);
    const other: Group = { ...group(1, 10), ports: [{ name: '', port: 81, protocol: 'TCP' }] };
    const plan = planSlices([slice('a', g)], [g, other], 100);
    assert.deepEqual(plan.create, [other]);
    assert.deepEqual([plan.update.length, plan.remove.length, plan.keep.length], [0, 0, 1]);
  });

  it('rewrites a slice that would go with what a new one would hold, in one write', () => {
    const nobody: Group = { addressType: 'IPv4', ports: [], endpoints: [] };
    const g = group(1);
    const plan = planSlices([slice('a', nobody)], [g], 100);
    assert.deepEqual([plan.create.length, plan.remove.length], [0, 0]);
    assert.deepEqual(plan.update, [{ slice: slice('a', nobody), ports: g.ports, endpoints: g.endpoints }]);
    // Another family needs a slice of its own.
    const six = planSlices([slice('a', nobody)], [{ ...g, addressType: 'IPv6' }], 100);
    assert.deepEqual([six.create.length, six.update.length, six.remove.length], [1, 0, 1]);
  });
});

const service = (spec: Service['spec']): Service => ({
  metadata: { name: 's', namespace: 'ns', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: {
    clusterIP: '10.0.0.1',
    ipFamilies: ['IPv4'],
    ports: [{ port: 80, targetPort: 'http', protocol: 'TCP' }],
    ...spec,
  },
});
const pod = (name: string, o: { ready?: boolean; deleting?: boolean; ip?: string; phase?: string } = {}): Pod => ({
  metadata: {
    name,
    namespace: 'ns',
    uid: name,
    creationTimestamp: '2026-01-01T00:00:00Z',
    ...(o.deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  },
  spec: { nodeName: 'n', containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] }] },
  status: {
    phase: o.phase ?? 'Running',
    podIPs: [{ ip: o.ip ?? '10.1.0.1' }],
    conditions: [
      { type: 'Ready', status: (o.ready ?? true) ? 'True' : 'False', lastTransitionTime: '2026-01-01T00:00:05Z' },
    ],
  },
});

describe('endpointslice: endpoints of pods', () => {
  const conditions = (p: Pod, spec: Service['spec'] = {}) =>
    desiredGroups(service(spec), [p], () => undefined)[0]?.endpoints[0]?.conditions;

  it('knows ready, serving and terminating', () => {
    assert.deepEqual(conditions(pod('a')), { ready: true, serving: true, terminating: false });
    assert.deepEqual(conditions(pod('a', { ready: false })), { ready: false, serving: false, terminating: false });
    assert.deepEqual(conditions(pod('a', { deleting: true })), { ready: false, serving: true, terminating: true });
    assert.deepEqual(conditions(pod('a', { ready: false }), { publishNotReadyAddresses: true }), {
      ready: true,
      serving: false,
      terminating: false,
    });
  });

  it('leaves out ended pods and those without address', () => {
    assert.equal(conditions(pod('a', { phase: 'Succeeded' })), undefined);
    const p = pod('a');
    p.status!.podIPs = [];
    assert.equal(conditions(p), undefined);
  });

  it('resolves named ports per pod, of sidecars too', () => {
    const p = pod('a');
    assert.equal(findPort(p, { port: 80, targetPort: 'http', protocol: 'TCP' }), 8080);
    assert.equal(findPort(p, { port: 80, targetPort: 'http', protocol: 'UDP' }), undefined);
    assert.equal(findPort(p, { port: 80, targetPort: 99 }), 99);
    p.spec!.initContainers = [{ name: 'side', restartPolicy: 'Always', ports: [{ name: 'x', containerPort: 7 }] }];
    assert.equal(findPort(p, { port: 80, targetPort: 'x' }), 7);
  });

  it('gives zones and hints', () => {
    const node = { metadata: { name: 'n', labels: { 'topology.kubernetes.io/zone': 'z1' } } };
    const [g] = desiredGroups(service({ trafficDistribution: 'PreferSameNode' }), [pod('a')], () => node);
    assert.deepEqual(g?.endpoints[0]?.hints, { forZones: [{ name: 'z1' }], forNodes: [{ name: 'n' }] });
    assert.equal(g?.endpoints[0]?.zone, 'z1');
  });

  describe('meant for zones', () => {
    const node = (name: string, zone: string, cpu: string, ready = 'True') => ({
      metadata: { name, labels: { 'topology.kubernetes.io/zone': zone } },
      status: { allocatable: { cpu }, conditions: [{ type: 'Ready', status: ready }] },
    });
    const endpoints = (zones: string) =>
      zones.split('').map((zone, i) => ({
        addresses: [`10.0.0.${i}`],
        zone,
        conditions: { ready: true },
        targetRef: { name: `p${i}` },
      }));
    const given = (zones: string, shares: ReturnType<typeof zoneShares>) => {
      const group: Pick<Group, 'endpoints'> = { endpoints: endpoints(zones) };
      const reason = giveZones(group, shares);
      return reason ?? group.endpoints.map((e) => e.hints?.forZones?.map((z) => z.name).join()).join('');
    };
    const sorted = (text: string) => text.split('').sort().join('');
    const even = zoneShares([node('1', 'a', '2'), node('2', 'b', '2000m'), node('3', 'c', '2')]);

    it('stay where they are when every zone has its share', () => {
      assert.equal(given('abc', even), 'abc');
      assert.equal(given('abcabc', even), 'abcabc');
    });
    it('go to zones that have too few', () => {
      assert.deepEqual(sorted(given('aaabbb', even)), 'aabbcc');
      assert.deepEqual(sorted(given('aaaaaa', even)), 'aabbcc');
      // the same the next time
      assert.equal(given('aaaaaa', even), given('aaaaaa', even));
    });
    it('follow the CPUs of the zones', () => {
      const uneven = zoneShares([node('1', 'a', '6'), node('2', 'b', '2')]);
      assert.deepEqual(sorted(given('aabb', uneven)), 'aaab');
    });
    it('are not when that would overload some or the zones are unknown', () => {
      assert.match(given('ab', even), /too few endpoints/);
      assert.match(given('aabb', even), /overloaded/);
      assert.match(given('abc', zoneShares([node('1', 'a', '2'), node('2', 'a', '2')])), /two zones/);
      assert.match(given('abc', zoneShares([node('1', 'a', '2'), node('2', '', '2')])), /no zone/);
      assert.equal(
        given('ab', zoneShares([node('1', 'a', '2'), node('2', 'b', '2'), node('3', '', '2', 'False')])),
        'ab',
      );
    });
    it('take the place of a traffic distribution', () => {
      const s = service({ trafficDistribution: 'PreferClose' });
      s.metadata!.annotations = { 'service.kubernetes.io/topology-mode': 'Auto' };
      const [g] = desiredGroups(s, [pod('a')], () => node('n', 'a', '1'));
      assert.equal(g?.endpoints[0]?.hints, undefined);
    });
  });

  it('tells when the change happened', () => {
    const times = new TriggerTimes();
    const s = service({});
    assert.equal(times.next('k', s, [pod('a')]), Date.parse('2026-01-01T00:00:00Z'));
    assert.equal(times.next('k', s, [pod('a')]), undefined);
    assert.equal(times.next('k', s, [pod('a'), pod('b')]), Date.parse('2026-01-01T00:00:05Z'));
  });
});

describe('endpoints: subsets', () => {
  it('parts ready and not ready addresses, sorted by number', () => {
    const s = subsetsOf(service({}), [
      pod('b', { ip: '10.1.0.10' }),
      pod('a', { ip: '10.1.0.9' }),
      pod('c', { ip: '10.1.0.3', ready: false }),
      pod('d', { deleting: true }),
    ]);
    assert.deepEqual(
      s.map((x) => [x.addresses?.map((a) => a.ip), x.notReadyAddresses?.map((a) => a.ip), x.ports]),
      [[['10.1.0.9', '10.1.0.10'], ['10.1.0.3'], [{ port: 8080, protocol: 'TCP' }]]],
    );
  });

  it('lists a headless Service without ports', () => {
    const s = subsetsOf(service({ clusterIP: 'None', ports: [] }), [pod('a')]);
    assert.deepEqual(
      s.map((x) => [x.addresses?.length, x.ports]),
      [[1, undefined]],
    );
    assert.deepEqual(subsetsOf(service({ ports: [] }), [pod('a')]), []);
  });

  it('stops at a thousand addresses', () => {
    const many = Array.from({ length: 1001 }, (_, i) => ({ ip: `10.0.${i >> 8}.${i & 255}` }));
    const { subsets, truncated } = truncate([{ addresses: many, notReadyAddresses: [{ ip: '1.1.1.1' }], ports: [] }]);
    assert.equal(truncated, true);
    assert.equal(subsets[0]?.addresses?.length, 1000);
    assert.equal(subsets[0]?.notReadyAddresses?.length, 0);
  });
});

describe('endpointslice mirroring', () => {
  it('copies addresses and says what it can not', () => {
    const e: Endpoints = {
      subsets: [
        {
          addresses: [{ ip: '1.2.3.4' }, { ip: 'x' }, { ip: '::1' }],
          notReadyAddresses: [{ ip: '5.6.7.8' }],
          ports: [{ port: 80 }],
        },
      ],
    };
    const m = mirrored(e, 10);
    assert.deepEqual([m.invalid, m.skipped], [1, 0]);
    assert.deepEqual(
      m.groups.map((g) => [g.addressType, g.endpoints.map((x) => x.conditions?.ready)]),
      [
        ['IPv4', [true, false]],
        ['IPv6', [true]],
      ],
    );
    assert.equal(mirrored(e, 1).skipped, 3);
  });
});

describe('node ipam: ranges', () => {
  it('reads and writes both families', () => {
    for (const text of ['10.0.0.0/8', '192.168.1.0/24', 'fd00::/48', '2001:db8:0:1::/64', '::/0'])
      assert.equal(formatCidr(parseCidr(text)), text);
    assert.equal(formatCidr(parseCidr('10.1.2.3/16')), '10.1.0.0/16');
    for (const bad of ['10.0.0.0', '10.0.0.0/33', 'x/8', 'fd00::/129']) assert.throws(() => parseCidr(bad));
  });

  it('hands out each range once and takes freed ones back', () => {
    const pool = new CidrPool(parseCidr('10.244.0.0/22'), 24);
    const first = pool.allocate()!;
    const got = [first, pool.allocate()!, pool.allocate()!, pool.allocate()!].map(formatCidr);
    assert.deepEqual(got, ['10.244.0.0/24', '10.244.1.0/24', '10.244.2.0/24', '10.244.3.0/24']);
    assert.equal(pool.allocate(), undefined);
    pool.release(first);
    assert.equal(formatCidr(pool.allocate()!), '10.244.0.0/24');
  });

  it('leaves room for what is in use, also when larger', () => {
    const pool = new CidrPool(parseCidr('10.244.0.0/22'), 24);
    pool.occupy(parseCidr('10.244.0.0/23'));
    pool.occupy(parseCidr('10.96.0.0/12'));
    assert.equal(formatCidr(pool.allocate()!), '10.244.2.0/24');
    assert.equal(overlaps(parseCidr('10.0.0.0/8'), parseCidr('10.9.0.0/16')), true);
    assert.equal(overlaps(parseCidr('10.0.0.0/16'), parseCidr('10.1.0.0/16')), false);
    assert.throws(() => new CidrPool(parseCidr('10.0.0.0/24'), 16));
  });
});
