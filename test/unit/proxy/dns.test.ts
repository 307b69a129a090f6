import assert from 'node:assert/strict';
import type { EndpointSlice, Namespace, Service } from '../../../api/types.ts';
import type { Informer } from '../../../client/informer.ts';
import { createZone, reverseAddress, serviceIndexers, sliceIndexers } from '../../../proxy/dns/zone.ts';
import { endpointOf, resolversFor } from '../../../proxy/dns/forward.ts';
import { forwardingOf } from '../../../proxy/dns/settings.ts';
import { negativeTtl, parseQuery, RCODE, ttlOffsets, TYPE, writeAnswer } from '../../../proxy/dns/wire.ts';

/** A fixed set of objects with an informer's look-ups. */
function fixed<T extends { metadata?: { name?: string; namespace?: string } }>(
  items: T[],
  indexers: Record<string, (o: never) => readonly string[]> = {},
): Informer<T> {
  return {
    get: (name: string, namespace?: string) =>
      items.find((i) => i.metadata?.name === name && i.metadata.namespace === namespace),
    list: () => items,
    on: () => {},
    byIndex: (index: string, value: string) => items.filter((i) => indexers[index]!(i as never).includes(value)),
  } as unknown as Informer<T>;
}

const zone = createZone('cluster.local', {
  services: fixed<Service>(
    [
      {
        metadata: { name: 'web', namespace: 'ns' },
        spec: {
          clusterIP: '10.96.0.5',
          clusterIPs: ['10.96.0.5'],
          ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
        },
      },
      { metadata: { name: 'db', namespace: 'ns' }, spec: { clusterIP: 'None', ports: [{ name: 'sql', port: 5432 }] } },
      { metadata: { name: 'ext', namespace: 'ns' }, spec: { type: 'ExternalName', externalName: 'Example.ORG.' } },
    ],
    serviceIndexers,
  ),
  slices: fixed<EndpointSlice>(
    [
      {
        metadata: { name: 'db-1', namespace: 'ns', labels: { 'kubernetes.io/service-name': 'db' } },
        addressType: 'IPv4',
        ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
        endpoints: [
          { addresses: ['10.244.0.7'], hostname: 'db-0', conditions: { ready: true } },
          { addresses: ['10.244.0.8'], conditions: { ready: true } },
          { addresses: ['10.244.0.9'], conditions: { ready: false } },
        ],
      },
    ],
    sliceIndexers,
  ),
  namespaces: fixed<Namespace>([{ metadata: { name: 'ns' } }]),
});

const ask = (name: string, type: number) => {
  const a = zone.resolve(name, type);
  if (!a) return 'upstream';
  if (a.rcode !== RCODE.NOERROR) return `rcode ${a.rcode}`;
  return a.answers
    .map((r) =>
      'address' in r ? r.address : r.type === TYPE.SRV ? `${r.port} ${r.target}` : 'target' in r ? r.target : '?',
    )
    .sort();
};

describe('cluster names', () => {
  const cases: [string, number, string | string[]][] = [
    ['web.ns.svc.cluster.local', TYPE.A, ['10.96.0.5']],
    ['web.ns.svc.cluster.local', TYPE.AAAA, []],
    ['nosuch.ns.svc.cluster.local', TYPE.A, 'rcode 3'],
    ['ns.svc.cluster.local', TYPE.A, []],
    ['other.svc.cluster.local', TYPE.A, 'rcode 3'],
    ['svc.cluster.local', TYPE.A, []],
    ['_http._tcp.web.ns.svc.cluster.local', TYPE.SRV, ['80 web.ns.svc.cluster.local']],
    ['_http._udp.web.ns.svc.cluster.local', TYPE.SRV, 'rcode 3'],
    ['db.ns.svc.cluster.local', TYPE.A, ['10.244.0.7', '10.244.0.8']],
    ['db-0.db.ns.svc.cluster.local', TYPE.A, ['10.244.0.7']],
    ['10-244-0-8.db.ns.svc.cluster.local', TYPE.A, ['10.244.0.8']],
    ['10-244-0-9.db.ns.svc.cluster.local', TYPE.A, 'rcode 3'],
    [
      '_sql._tcp.db.ns.svc.cluster.local',
      TYPE.SRV,
      ['5432 10-244-0-8.db.ns.svc.cluster.local', '5432 db-0.db.ns.svc.cluster.local'],
    ],
    ['ext.ns.svc.cluster.local', TYPE.CNAME, ['example.org']],
    ['10-244-0-7.ns.pod.cluster.local', TYPE.A, ['10.244.0.7']],
    ['10-244-0-7.nosuch.pod.cluster.local', TYPE.A, 'rcode 3'],
    ['10-244-0-777.ns.pod.cluster.local', TYPE.A, 'rcode 3'],
    ['5.0.96.10.in-addr.arpa', TYPE.PTR, ['web.ns.svc.cluster.local']],
    ['7.0.244.10.in-addr.arpa', TYPE.PTR, ['db-0.db.ns.svc.cluster.local']],
    ['1.1.1.1.in-addr.arpa', TYPE.PTR, 'upstream'],
    ['example.org', TYPE.A, 'upstream'],
    ['cluster.local', TYPE.A, []],
  ];
  for (const [name, type, want] of cases) it(`${name} ${type}`, () => assert.deepEqual(ask(name, type), want));
  it('reads reversed addresses of both families', () => {
    assert.equal(reverseAddress('5.0.96.10.in-addr.arpa'), '10.96.0.5');
    assert.equal(reverseAddress(`1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`), '2001:db8::1');
    assert.equal(reverseAddress('x.ip6.arpa'), undefined);
  });
});

function query(name: string, type: number, edns?: number): Buffer {
  const labels = name.split('.').flatMap((l) => [Buffer.from([l.length]), Buffer.from(l)]);
  const head = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0]);
  const opt = edns ? Buffer.from([0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0]) : Buffer.alloc(0);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1]), opt]);
}

describe('DNS messages', () => {
  it('keep the letters of the question and match without case', () => {
    const q = parseQuery(query('WeB.ns.svc.Cluster.Local', TYPE.A))!;
    assert.equal(q.name, 'web.ns.svc.cluster.local');
    const reply = writeAnswer(q, zone.resolve(q.name, q.type)!, 512);
    assert.ok(reply.includes(Buffer.from('WeB')));
    assert.equal(reply.readUInt16BE(6), 1);
    assert.deepEqual([...reply.subarray(-4)], [10, 96, 0, 5]);
    // the record's name is a pointer to the question
    assert.equal(reply.readUInt16BE(12 + q.question.length), 0xc00c);
  });
  it('are cut at the size the client takes', () => {
    const q = parseQuery(query('x.y', TYPE.A))!;
    const answers = Array.from(
      { length: 100 },
      (_, i) => ({ type: TYPE.A, name: 'x.y', ttl: 1, address: `10.0.0.${i}` }) as const,
    );
    const reply = writeAnswer(q, { rcode: 0, authoritative: true, answers }, 512);
    assert.ok(reply.length <= 512);
    assert.ok(reply[2]! & 2, 'the truncation bit');
    assert.ok(reply.readUInt16BE(6) > 20);
  });
  it('answer EDNS with EDNS', () => {
    const q = parseQuery(query('x.y', TYPE.A, 4096))!;
    assert.equal(q.udpSize, 4096);
    assert.equal(writeAnswer(q, { rcode: 0, authoritative: true, answers: [] }, 512).readUInt16BE(10), 1);
  });
  it('that are broken are dropped', () => {
    for (const bad of [
      Buffer.alloc(0),
      Buffer.alloc(12),
      Buffer.from('x'.repeat(40)),
      query('a'.repeat(64), 1),
      query('x.y', 1).subarray(0, 15),
    ])
      assert.equal(parseQuery(bad), undefined);
  });
});

describe('what is asked elsewhere', () => {
  it('goes to the resolvers of the nearest domain', () => {
    const map = {
      data: {
        stubDomains: '{"corp.test": ["10.0.0.1"], "A.corp.test.": ["10.0.0.2:5353"], "bad": "x"}',
        upstreamNameservers: 'nonsense',
      },
    };
    const complaints: string[] = [];
    const u = forwardingOf(map, ['192.0.2.1'], (c) => complaints.push(c));
    assert.deepEqual(
      ['x.corp.test', 'corp.test', 'b.a.corp.test', 'other.test', 'xcorp.test', 'test'].map(
        (n) => resolversFor(u, n)[0],
      ),
      ['10.0.0.1', '10.0.0.1', '10.0.0.2:5353', '192.0.2.1', '192.0.2.1', '192.0.2.1'],
    );
    assert.equal(complaints.length, 2);
    assert.deepEqual(forwardingOf({ data: { upstreamNameservers: '["1.1.1.1"]' } }, ['x'], () => {}).resolvers, [
      '1.1.1.1',
    ]);
  });
  it('is found by address and port', () => {
    assert.deepEqual(endpointOf('10.0.0.1'), { host: '10.0.0.1', port: 53 });
    assert.deepEqual(endpointOf('10.0.0.1:54'), { host: '10.0.0.1', port: 54 });
    assert.deepEqual(endpointOf('fd00::1'), { host: 'fd00::1', port: 53 });
    assert.deepEqual(endpointOf('[fd00::1]:54'), { host: 'fd00::1', port: 54 });
  });
  it('is remembered as long as its records say', () => {
    const q = parseQuery(query('x.y', TYPE.A, 4096))!;
    const answers = [60, 7].map((ttl) => ({ type: TYPE.A, name: 'x.y', ttl, address: '10.0.0.1' }) as const);
    const reply = writeAnswer(q, { rcode: 0, authoritative: true, answers }, 512);
    assert.deepEqual(
      ttlOffsets(reply)!.map((o) => reply.readUInt32BE(o)),
      [60, 7],
    );
    const none = writeAnswer(q, zone.resolve('nosuch.ns.svc.cluster.local', TYPE.A)!, 512);
    assert.equal(negativeTtl(none), 30);
    assert.equal(ttlOffsets(reply.subarray(0, reply.length - 20)), undefined);
  });
});
