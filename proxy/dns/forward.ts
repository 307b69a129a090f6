/** Passes questions that aren't the cluster's own to other resolvers, and remembers their answers while they last. */
import { createSocket } from 'node:dgram';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { negativeTtl, RCODE, ttlOffsets, type Query } from './wire.ts';

const TIMEOUT_MS = 2_000;
/** The longest that an answer is remembered, in seconds. */
const MAX_TTL = 30;
const MAX_CACHED = 10_000;
const MAX_PENDING = 1_000;

/** Where questions go: the first domain (of most labels) that holds a name has its own resolvers. */
export interface Upstreams {
  resolvers: readonly string[];
  /** Domains in lower case without a last dot, with their resolvers. */
  stubs: ReadonlyMap<string, readonly string[]>;
}

/** The name servers of a resolv.conf, or of a list of addresses (with ports, perhaps). */
export function upstreamsOf(spec: string): string[] {
  if (!spec.startsWith('/')) return spec.split(',').filter(Boolean);
  try {
    return readFileSync(spec, 'utf8')
      .split('\n')
      .map((l) => /^\s*nameserver\s+(\S+)/.exec(l)?.[1])
      .filter((ip) => ip !== undefined);
  } catch {
    return [];
  }
}

/** The resolvers for a name. Pure. */
export function resolversFor(upstreams: Upstreams, name: string): readonly string[] {
  for (let rest = name; rest !== ''; rest = rest.slice(rest.indexOf('.') + 1)) {
    const found = upstreams.stubs.get(rest);
    if (found) return found;
    if (!rest.includes('.')) break;
  }
  return upstreams.resolvers;
}

/** Address and port of a resolver's text: `10.0.0.1`, `10.0.0.1:5353`, `fd00::1`, `[fd00::1]:5353`. */
export function endpointOf(text: string): { host: string; port: number } {
  const m = /^\[(.+)\](?::(\d+))?$/.exec(text) ?? /^([^:]+):(\d+)$/.exec(text);
  return m ? { host: m[1]!, port: Number(m[2] ?? 53) } : { host: text, port: 53 };
}

export interface ForwardCounts {
  hit(denial: boolean): void;
  miss(): void;
  asked(to: string, rcode: number | undefined, seconds: number): void;
}

export interface Forwarder {
  /** The resolver's message with the query's id, or undefined when none answered. */
  ask(query: Query, message: Buffer, overTcp: boolean): Promise<Buffer | undefined>;
  /** Answers remembered now. */
  readonly size: number;
  /** Takes effect for the next question. */
  use(upstreams: Upstreams): void;
}

interface Kept {
  message: Buffer;
  offsets: readonly number[];
  since: number;
  until: number;
}

export function createForwarder(first: Upstreams, clock: Clock, counts: ForwardCounts): Forwarder {
  let upstreams = first;
  const cache = new Map<string, Kept>();
  const flying = new Map<string, Promise<Buffer | undefined>>();
  /** Resolvers that did not answer lately come last. */
  const failed = new Map<string, number>();

  function askUdp(server: string, message: Buffer): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const { host, port } = endpointOf(server);
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      const id = randomInt(65_536);
      const request = Buffer.from(message);
      request.writeUInt16BE(id, 0);
      const done = (answer: Buffer | undefined) => {
        timer.cancel();
        socket.removeAllListeners();
        socket.on('error', () => {});
        socket.close();
        resolve(answer);
      };
      const timer = clock.after(TIMEOUT_MS, () => done(undefined));
      socket.on('error', () => done(undefined));
      socket.on('message', (m) => m.length >= 12 && m.readUInt16BE(0) === id && done(m));
      // a connected socket hears of a refused port at once
      socket.connect(port, host, () => socket.send(request, (error) => error && done(undefined)));
    });
  }

  function askTcp(server: string, message: Buffer): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const socket = net.connect(endpointOf(server));
      let held: Buffer = Buffer.alloc(0);
      const done = (answer: Buffer | undefined) => {
        timer.cancel();
        socket.destroy();
        resolve(answer);
      };
      const timer = clock.after(TIMEOUT_MS, () => done(undefined));
      socket.on('error', () => done(undefined));
      socket.on('close', () => done(undefined));
      socket.on('data', (chunk: Buffer) => {
        held = Buffer.concat([held, chunk]);
        if (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0))
          done(Buffer.from(held.subarray(2, 2 + held.readUInt16BE(0))));
      });
      const head = Buffer.alloc(2);
      head.writeUInt16BE(message.length);
      socket.write(Buffer.concat([head, message]));
    });
  }

  async function askAll(name: string, message: Buffer, overTcp: boolean): Promise<Buffer | undefined> {
    const now = clock.monotonic();
    const servers = [...resolversFor(upstreams, name)].sort(
      (a, b) => Number((failed.get(a) ?? 0) > now) - Number((failed.get(b) ?? 0) > now),
    );
    for (const server of servers) {
      const began = clock.monotonic();
      let answer = await askUdp(server, message);
      // the client can take it whole, so it gets it whole
      if (answer && overTcp && answer[2]! & 2) answer = await askTcp(server, message);
      counts.asked(server, answer && answer[3]! & 15, (clock.monotonic() - began) / 1000);
      if (!answer) failed.set(server, clock.monotonic() + 10_000);
      else failed.delete(server);
      if (answer && (answer[3]! & 15) !== RCODE.SERVFAIL) return answer;
      if (answer && server === servers.at(-1)) return answer;
    }
    return undefined;
  }

  function keep(key: string, message: Buffer): void {
    const rcode = message[3]! & 15;
    if ((rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) || message[2]! & 2) return;
    const offsets = ttlOffsets(message);
    if (!offsets) return;
    const empty = message.readUInt16BE(6) === 0;
    const ttls = offsets.map((o) => message.readUInt32BE(o));
    const seconds = Math.min(MAX_TTL, ...(empty ? [negativeTtl(message) ?? 0] : ttls));
    if (seconds <= 0) return;
    const since = clock.monotonic();
    cache.delete(key);
    cache.set(key, { message, offsets, since, until: since + seconds * 1000 });
    if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value!);
  }

  return {
    get size() {
      return cache.size;
    },
    use(next) {
      upstreams = next;
      cache.clear();
      failed.clear();
    },
    async ask(query, message, overTcp) {
      const key = `${query.name} ${query.type} ${query.class} ${query.edns ? query.udpSize : 0} ${overTcp} ${message[3]! & 16}`;
      const have = cache.get(key);
      if (have && have.until > clock.monotonic()) {
        const reply = Buffer.from(have.message);
        const passed = Math.floor((clock.monotonic() - have.since) / 1000);
        for (const o of have.offsets) reply.writeUInt32BE(Math.max(0, reply.readUInt32BE(o) - passed), o);
        reply.writeUInt16BE(query.id, 0);
        counts.hit((reply[3]! & 15) !== RCODE.NOERROR);
        return reply;
      }
      counts.miss();
      let asked = flying.get(key);
      if (!asked) {
        if (flying.size >= MAX_PENDING) return undefined;
        asked = askAll(query.name, message, overTcp)
          .then((answer) => {
            if (answer) keep(key, answer);
            return answer;
          })
          .finally(() => flying.delete(key));
        flying.set(key, asked);
      }
      const answer = await asked;
      if (!answer) return undefined;
      const reply = Buffer.from(answer);
      reply.writeUInt16BE(query.id, 0);
      return reply;
    },
  };
}
