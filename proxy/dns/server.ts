/** Answers over UDP and TCP; says when it is ready; counts. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { createForwarder, type Upstreams } from './forward.ts';
import type { DnsMetrics } from './metrics.ts';
import { parseQuery, RCODE, TYPE, writeAnswer, type Answer, type Query } from './wire.ts';
import type { Zone } from './zone.ts';

export interface DnsServerOptions {
  zone: Zone;
  upstreams: Upstreams;
  metrics: DnsMetrics;
  port: number;
  /** The address to listen at; undefined for all of both families. */
  host: string | undefined;
  clock: Clock;
  logger: Logger;
}

const MAX_UDP = 1232;
const MAX_READY = 20_000;
const MAX_TCP_CLIENTS = 1000;
const TCP_IDLE_MS = 10_000;

export interface DnsServer {
  /** Forwards elsewhere from now on. */
  forwardTo(upstreams: Upstreams): void;
  readonly port: number;
  close(): Promise<void>;
}

/** Starts listening; resolves when both sockets are bound. */
export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const { zone, logger, clock, metrics } = options;
  const forwarder = createForwarder(options.upstreams, clock, metrics.forward);
  metrics.entries(() => forwarder.size);
  /** Answers of the zone by what was asked (all but the id), as long as the zone stays as it is. */
  const ready = new Map<string, { reply: Buffer; type: number }>();
  let version = zone.version;

  function fromZone(query: Query): Answer | undefined {
    const answer = zone.resolve(query.name, query.type);
    const alias = answer?.answers[0];
    if (!answer || alias?.type !== TYPE.CNAME || query.type === TYPE.CNAME) return answer;
    // an ExternalName that points into the cluster is followed here; others are the resolver's to follow
    const next = zone.resolve(alias.target, query.type);
    return next ? { ...answer, answers: [alias, ...next.answers], additional: next.additional } : answer;
  }

  /** The answer to a question that can be given at once; undefined when somebody else must be asked. */
  function own(message: Buffer, query: Query, size: number): Buffer | undefined {
    const found = fromZone(query);
    if (!found) return undefined;
    const reply = writeAnswer(query, shuffled(found), size);
    // several addresses come in another order each time
    if (found.answers.length < 2) {
      if (ready.size >= MAX_READY) ready.clear();
      ready.set(message.toString('latin1', 2), { reply: Buffer.from(reply), type: query.type });
    }
    return reply;
  }
  const shuffled = (a: Answer): Answer => {
    if (a.answers.length < 2 || a.answers[0]!.type === TYPE.CNAME) return a;
    const first = turn++ % a.answers.length;
    return { ...a, answers: [...a.answers.slice(first), ...a.answers.slice(0, first)] };
  };
  let turn = 0;

  /** Hands the reply over at once where it can. */
  function answer(message: Buffer, proto: 'udp' | 'tcp', family: 1 | 2, reply: (m: Buffer | undefined) => void): void {
    const began = clock.monotonic();
    if (version !== zone.version) {
      ready.clear();
      version = zone.version;
    }
    const key = message.length <= 512 && proto === 'udp' ? message.toString('latin1', 2) : '';
    const known = key === '' ? undefined : ready.get(key);
    if (known) {
      known.reply.writeUInt16BE(message.readUInt16BE(0), 0);
      metrics.request(proto, family, known.type);
      metrics.response(known.reply[3]! & 15, true, (clock.monotonic() - began) / 1000);
      return reply(Buffer.from(known.reply));
    }
    const query = parseQuery(message);
    if (!query) return reply(undefined);
    metrics.request(proto, family, query.type);
    const size = proto === 'udp' ? Math.min(query.udpSize, MAX_UDP) : 65_535;
    const done = (m: Buffer, isOwn: boolean) => {
      metrics.response(m[3]! & 15, isOwn, (clock.monotonic() - began) / 1000);
      reply(m);
    };
    const fail = (rcode: number) => writeAnswer(query, { rcode, authoritative: false, answers: [] }, size);
    if (query.opcode !== 0) return done(fail(RCODE.NOTIMP), true);
    const mine = own(message, query, size);
    if (mine) return done(mine, true);
    void forwarder
      .ask(query, message, proto === 'tcp')
      .catch(() => undefined)
      .then((m) => done(m ?? fail(RCODE.SERVFAIL), false));
  }

  const { udp, host } = await bindUdp(options.host, options.port, (message, from, socket) => {
    answer(message, 'udp', familyOf(from.address), (reply) => {
      if (reply) socket.send(reply, from.port, from.address, (e) => e && logger.debug('answer not sent', { error: e }));
    });
  });
  const tcp = net.createServer((socket) => {
    const family = familyOf(socket.remoteAddress ?? '');
    serveTcp(socket, (m) => new Promise((resolve) => answer(m, 'tcp', family, resolve)));
  });
  tcp.maxConnections = MAX_TCP_CLIENTS;
  const port = udp.address().port;
  await new Promise<void>((resolve, reject) => tcp.once('error', reject).listen(port, host, resolve));
  udp.on('error', (error) => logger.error('udp', { error }));
  tcp.on('error', (error) => logger.error('tcp', { error }));
  return {
    forwardTo: (upstreams) => forwarder.use(upstreams),
    port,
    async close() {
      udp.close();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
}

/** 1 for IPv4, also when it comes over a socket for both, 2 for IPv6. */
const familyOf = (address: string) => (address.includes(':') && !address.startsWith('::ffff:') ? 2 : 1);

/** Binds to both families at once where the kernel has both, else to IPv4. */
async function bindUdp(
  host: string | undefined,
  port: number,
  onMessage: (message: Buffer, from: RemoteInfo, socket: UdpSocket) => void,
): Promise<{ udp: UdpSocket; host: string }> {
  const bind = (address: string) =>
    new Promise<{ udp: UdpSocket; host: string }>((resolve, reject) => {
      const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
      udp.once('error', reject);
      udp.on('message', (m, from) => onMessage(m, from, udp));
      udp.bind(port, address, () => {
        udp.off('error', reject);
        resolve({ udp, host: address });
      });
    });
  if (host !== undefined) return bind(host);
  return bind('::').catch(() => bind('0.0.0.0'));
}

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
  metrics: DnsMetrics;
  statusPort: number;
  metricsPort: number;
  logger: Logger;
}): { close(): void } {
  const handler: http.RequestListener = (req, res) => {
    if (req.url === '/health') res.writeHead(200).end('OK');
    else if (req.url === '/ready')
      res.writeHead(options.ready() ? 200 : 503).end(options.ready() ? 'OK' : 'not synced');
    else if (req.url === '/metrics')
      res.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' }).end(options.metrics.text());
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
