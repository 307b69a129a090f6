/** The name server over sockets: its own zone, what it forwards, what it remembers, what it counts. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import net from 'node:net';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createDnsMetrics, type DnsMetrics } from '../../../proxy/dns/metrics.ts';
import { startDnsServer, type DnsServer } from '../../../proxy/dns/server.ts';
import { parseQuery, RCODE, TYPE, writeAnswer } from '../../../proxy/dns/wire.ts';
import type { Zone } from '../../../proxy/dns/zone.ts';

function question(name: string, type: number, id = 7): Buffer {
  const labels = name.split('.').flatMap((l) => [Buffer.from([l.length]), Buffer.from(l)]);
  return Buffer.concat([
    Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, 0, type, 0, 1]),
  ]);
}

function askUdp(port: number, message: Buffer, host = '127.0.0.1'): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const timer = setTimeout(() => (socket.close(), reject(new Error('no answer'))), 60_000);
    socket.on('message', (m) => {
      clearTimeout(timer);
      socket.close();
      resolve(m);
    });
    socket.send(message, port, host);
  });
}
function askTcp(port: number, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let held = Buffer.alloc(0);
    socket.setTimeout(60_000, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('data', (c: Buffer) => {
      held = Buffer.concat([held, c]);
      if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
      socket.destroy();
      resolve(held.subarray(2));
    });
    const head = Buffer.alloc(2);
    head.writeUInt16BE(message.length);
    socket.write(Buffer.concat([head, message]));
  });
}
const addresses = (m: Buffer) => m.readUInt16BE(6);

/** A resolver elsewhere: says over UDP that `big.test` doesn't fit, counts what it is asked. */
async function resolver(): Promise<{ port: number; asked: string[]; close(): void }> {
  const asked: string[] = [];
  const reply = (m: Buffer, limit: number) => {
    const q = parseQuery(m)!;
    asked.push(q.name);
    if (q.name === 'none.test')
      return writeAnswer(q, { rcode: RCODE.NXDOMAIN, authoritative: false, answers: [] }, limit);
    const count = q.name === 'big.test' ? 60 : 1;
    const answers = Array.from(
      { length: count },
      (_, i) => ({ type: TYPE.A, name: q.name, ttl: 20, address: `192.0.2.${i + 1}` }) as const,
    );
    return writeAnswer(q, { rcode: 0, authoritative: false, answers }, limit);
  };
  const tcp = net.createServer((s) => {
    s.on('error', () => {});
    s.on('data', (c: Buffer) => {
      const m = reply(c.subarray(2), 65_535);
      const head = Buffer.alloc(2);
      head.writeUInt16BE(m.length);
      s.end(Buffer.concat([head, m]));
    });
  });
  const port = await new Promise<number>((resolve) =>
    tcp.listen(0, '127.0.0.1', () => resolve((tcp.address() as net.AddressInfo).port)),
  );
  const udp: Socket = createSocket('udp4');
  udp.on('message', (m, from) => udp.send(reply(m, 512), from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  return { port, asked, close: () => (udp.close(), tcp.close()) };
}

describe('the name server', function () {
  let server: DnsServer;
  let metrics: DnsMetrics;
  let far: Awaited<ReturnType<typeof resolver>>;
  let stub: Awaited<ReturnType<typeof resolver>>;
  let page = 1;
  let version = 0;
  const zone: Zone = {
    domain: 'cluster.local',
    get version() {
      return version;
    },
    resolve(name, type) {
      if (!name.endsWith('.cluster.local')) return undefined;
      const one = { type: TYPE.A, name, ttl: 30 } as const;
      const ips = name.startsWith('many.') ? ['10.0.0.1', '10.0.0.2'] : [`10.0.${page}.1`];
      return {
        rcode: 0,
        authoritative: true,
        answers: type === TYPE.A ? ips.map((address) => ({ ...one, address })) : [],
      };
    },
  };
  before(async () => {
    [far, stub] = [await resolver(), await resolver()];
    metrics = createDnsMetrics(systemClock);
    server = await startDnsServer({
      zone,
      upstreams: { resolvers: [`127.0.0.1:${far.port}`], stubs: new Map() },
      metrics,
      port: 0,
      host: undefined,
      clock: systemClock,
      logger: silentLogger,
    });
  });
  after(async () => {
    await server.close();
    far.close();
    stub.close();
  });

  it('answers for its zone, with what it holds now', async () => {
    const ask = async (id: number) => {
      const m = await askUdp(server.port, question('web.cluster.local', TYPE.A, id));
      assert.equal(m.readUInt16BE(0), id);
      return [...m.subarray(-4)].join('.');
    };
    assert.equal(await ask(1), '10.0.1.1');
    assert.equal(await ask(2), '10.0.1.1');
    page = 2;
    version++;
    assert.equal(await ask(3), '10.0.2.1');
    const orders = new Set<string>();
    for (let i = 0; i < 4; i++)
      orders.add([...(await askUdp(server.port, question('many.cluster.local', TYPE.A))).subarray(-4)].join('.'));
    assert.equal(orders.size, 2, 'the order of several addresses changes');
  });

  it('asks others for the rest, and remembers', async () => {
    for (let i = 0; i < 3; i++) assert.equal(addresses(await askUdp(server.port, question('a.test', TYPE.A))), 1);
    assert.equal(far.asked.filter((n) => n === 'a.test').length, 1);
    assert.equal((await askUdp(server.port, question('none.test', TYPE.A)))[3]! & 15, RCODE.NXDOMAIN);
  });

  it('gives long answers whole over TCP, and cut over UDP', async () => {
    const cut = await askUdp(server.port, question('big.test', TYPE.A));
    assert.ok(cut[2]! & 2);
    assert.equal(addresses(await askTcp(server.port, question('big.test', TYPE.A))), 60);
  });

  it('sends stub domains to their own resolvers', async () => {
    server.forwardTo({
      resolvers: ['127.0.0.1:1', `127.0.0.1:${far.port}`],
      stubs: new Map([['corp.test', [`127.0.0.1:${stub.port}`]]]),
    });
    assert.equal(addresses(await askUdp(server.port, question('x.corp.test', TYPE.A))), 1);
    assert.deepEqual(stub.asked, ['x.corp.test']);
    // the first resolver is not there: the next one answers
    assert.equal(addresses(await askUdp(server.port, question('b.test', TYPE.A))), 1);
  });

  it('says what it did under the names that dashboards know', () => {
    const text = metrics.text();
    assert.match(
      text,
      /coredns_dns_requests_total\{family="1",proto="tcp",server="dns:\/\/:53",type="A",view="",zone="\."\} 1/,
    );
    assert.match(text, /coredns_dns_responses_total\{plugin="forward",rcode="NXDOMAIN",[^}]*\} 1/);
    assert.match(text, /coredns_cache_hits_total\{[^}]*type="success"[^}]*\} 2/);
    assert.match(text, /coredns_dns_request_duration_seconds_count\{[^}]*\} \d+/);
  });
});
