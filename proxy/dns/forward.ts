/** Passes questions that aren't the cluster's own to the upstream resolvers, and remembers their answers for a while. */
import { createSocket } from 'node:dgram';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import type { Query } from './wire.ts';

const TIMEOUT_MS = 2_000;
const CACHE_MS = 30_000;
const MAX_CACHED = 10_000;
const MAX_PENDING = 1_000;

/** The name servers of a resolv.conf, or of a list of addresses. */
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

export interface Forwarder {
  /** The upstream's message with the query's id, or undefined when none answered. */
  ask(query: Query, message: Buffer): Promise<Buffer | undefined>;
}

export function createForwarder(upstreams: readonly string[], clock: Clock): Forwarder {
  const cache = new Map<string, { message: Buffer; until: number }>();
  const flying = new Map<string, Promise<Buffer | undefined>>();

  function askOne(server: string, message: Buffer): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const socket = createSocket(server.includes(':') ? 'udp6' : 'udp4');
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
      socket.connect(53, server, () => socket.send(request, (error) => error && done(undefined)));
    });
  }
  async function askAll(message: Buffer): Promise<Buffer | undefined> {
    for (const server of upstreams) {
      const answer = await askOne(server, message);
      if (answer) return answer;
    }
    return undefined;
  }

  return {
    async ask(query, message) {
      const key = `${query.name} ${query.type} ${query.class} ${query.edns ? query.udpSize : 0}`;
      const have = cache.get(key);
      let answer = have && have.until > clock.monotonic() ? have.message : undefined;
      if (!answer) {
        if (!flying.has(key) && flying.size >= MAX_PENDING) return undefined;
        let asked = flying.get(key);
        if (!asked) flying.set(key, (asked = askAll(message).finally(() => flying.delete(key))));
        answer = await asked;
        if (!answer) return undefined;
        const rcode = answer[3]! & 15;
        const truncated = (answer[2]! & 2) !== 0;
        if ((rcode === 0 || rcode === 3) && !truncated)
          cache.set(key, { message: answer, until: clock.monotonic() + CACHE_MS });
        if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value!);
      }
      const reply = Buffer.from(answer);
      reply.writeUInt16BE(query.id, 0);
      return reply;
    },
  };
}
