/** Answers over UDP and TCP; says when it is ready; counts. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { createForwarder } from './forward.ts';
import { parseQuery, RCODE, TYPE, writeAnswer, type Answer, type Query } from './wire.ts';
import type { Zone } from './zone.ts';

export interface DnsServerOptions {
  zone: Zone;
  upstreams: readonly string[];
  port: number;
  host: string;
  clock: Clock;
  logger: Logger;
}

const MAX_UDP = 1232;
const MAX_TCP_CLIENTS = 1000;
const TCP_IDLE_MS = 10_000;

export interface DnsServer {
  readonly counts: ReadonlyMap<string, number>;
  readonly port: number;
  close(): Promise<void>;
}

/** Starts listening; resolves when both sockets are bound. */
export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const { zone, logger } = options;
  const forwarder = createForwarder(options.upstreams, options.clock);
  const counts = new Map<string, number>();
  const count = (key: string) => counts.set(key, (counts.get(key) ?? 0) + 1);

  function fromZone(query: Query): Answer | undefined {
    const answer = zone.resolve(query.name, query.type);
    const alias = answer?.answers[0];
    if (!answer || alias?.type !== TYPE.CNAME || query.type === TYPE.CNAME) return answer;
    // an ExternalName that points into the cluster is followed here; others are the resolver's to follow
    const next = zone.resolve(alias.target, query.type);
    return next ? { ...answer, answers: [alias, ...next.answers], additional: next.additional } : answer;
  }

  async function answer(message: Buffer, maxSize: number): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (!query) return undefined;
    const fail = (rcode: number) => writeAnswer(query, { rcode, authoritative: false, answers: [] }, maxSize);
    if (query.opcode !== 0) return fail(RCODE.NOTIMP);
    const size = maxSize === MAX_UDP ? Math.min(query.udpSize, MAX_UDP) : maxSize;
    const own = fromZone(query);
    if (own) {
      count(`${own.rcode}`);
      return writeAnswer(query, own, size);
    }
    const forwarded = await forwarder.ask(query, message);
    count(forwarded ? `${forwarded[3]! & 15}` : `${RCODE.SERVFAIL}`);
    return forwarded ?? fail(RCODE.SERVFAIL);
  }

  const udp = createSocket(options.host.includes(':') ? 'udp6' : 'udp4');
  udp.on('message', (message, from) => {
    void answer(message, MAX_UDP).then(
      (reply) =>
        reply &&
        udp.send(reply, from.port, from.address, (error) => error && logger.debug('answer not sent', { error })),
    );
  });
  const tcp = net.createServer((socket) => serveTcp(socket, (m) => answer(m, 65_535)));
  tcp.maxConnections = MAX_TCP_CLIENTS;
  await bindUdp(udp, options.port, options.host);
  const port = udp.address().port;
  await new Promise<void>((resolve, reject) => tcp.once('error', reject).listen(port, options.host, resolve));
  udp.on('error', (error) => logger.error('udp', { error }));
  tcp.on('error', (error) => logger.error('tcp', { error }));
  return {
    counts,
    port,
    async close() {
      udp.close();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
}

const bindUdp = (socket: UdpSocket, port: number, host: string) =>
  new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, host, () => {
      socket.off('error', reject);
      resolve();
    });
  });

/** Messages on TCP have a length of two bytes before them. */
function serveTcp(socket: net.Socket, answer: (message: Buffer) => Promise<Buffer | undefined>): void {
  let held: Buffer = Buffer.alloc(0);
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    held = held.length ? Buffer.concat([held, chunk]) : chunk;
    while (held.length >= 2) {
      const length = held.readUInt16BE(0);
      if (held.length < 2 + length) break;
      const message = Buffer.from(held.subarray(2, 2 + length));
      held = held.subarray(2 + length);
      void answer(message).then((reply) => {
        if (!reply) return socket.destroy();
        const head = Buffer.alloc(2);
        head.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([head, reply]));
      });
    }
  });
}

/** /health and /ready on one port, /metrics on another. */
export function startDnsStatus(options: {
  ready(): boolean;
  counts: ReadonlyMap<string, number>;
  statusPort: number;
  metricsPort: number;
  logger: Logger;
}): { close(): void } {
  const NAMES: Record<string, string> = { 0: 'NOERROR', 2: 'SERVFAIL', 3: 'NXDOMAIN', 4: 'NOTIMP', 5: 'REFUSED' };
  const metrics = () =>
    '# TYPE coredns_dns_responses_total counter\n' +
    [...options.counts]
      .map(([rcode, n]) => `coredns_dns_responses_total{rcode="${NAMES[rcode] ?? rcode}"} ${n}\n`)
      .join('');
  const handler: http.RequestListener = (req, res) => {
    if (req.url === '/health') res.writeHead(200).end('OK');
    else if (req.url === '/ready')
      res.writeHead(options.ready() ? 200 : 503).end(options.ready() ? 'OK' : 'not synced');
    else if (req.url === '/metrics') res.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(metrics());
    else res.writeHead(404).end();
  };
  const servers = [options.statusPort, options.metricsPort].map((port) =>
    http
      .createServer(handler)
      .on('error', (error) => options.logger.error('status endpoint', { port, error }))
      .listen(port),
  );
  return { close: () => servers.forEach((s) => s.close()) };
}
