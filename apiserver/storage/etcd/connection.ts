/** Calls to one etcd cluster: endpoints, TLS, deadlines, and errors in the store's own terms. */
import { readFileSync } from 'node:fs';
import { CompactedError, FutureRevisionError, RequestTooLargeError, StoreUnavailableError } from '../store.ts';
import { Channel, CODE, RpcError, type RpcStream } from '../../../base/grpc.ts';
import { etcdMethods, type EtcdMethods, type Method } from './proto.ts';
import type { Clock } from '../../../base/clock.ts';

export interface EtcdOptions {
  /** `http://host:port` or `https://host:port`; the first that answers is used. */
  servers: readonly string[];
  /** Paths of PEM files. */
  cafile?: string;
  certfile?: string;
  keyfile?: string;
  /** Everything is kept below it; defaults to `/registry`. */
  prefix?: string;
}

/** How long one request may take, in ms. */
const DEADLINE_MS = 30_000;
/** How long and how often a request that may be sent again is, in ms: an election or a restart takes about that long. */
const RETRY_MS = 3000;
const RETRY_EVERY_MS = 50;

/** What an error of a call means to users of the store. */
export function storeError(e: unknown, compactRevision: number): Error {
  const { code, message: text } = e as RpcError;
  // etcd tells these apart by their text only.
  if (text.includes('required revision has been compacted')) return new CompactedError(compactRevision);
  if (text.includes('required revision is a future revision')) return new FutureRevisionError(text);
  if (text.includes('request is too large') || code === CODE.resourceExhausted) return new RequestTooLargeError(text);
  return new StoreUnavailableError(`etcd: ${text}`);
}

/** See the top of this file. */
export class EtcdConnection {
  readonly methods: EtcdMethods = etcdMethods();
  readonly #channels: Channel[];
  readonly #clock: Clock;
  #chosen = 0;
  #closed = false;

  constructor(options: EtcdOptions, clock: Clock) {
    if (options.servers.length === 0) throw new Error('no etcd server given');
    this.#clock = clock;
    const read = (path: string | undefined) => (path === undefined || path === '' ? undefined : readFileSync(path));
    const tls = { ca: read(options.cafile), cert: read(options.certfile), key: read(options.keyfile) };
    this.#channels = options.servers.map((server) => {
      const url = new URL(server.includes('://') ? server : `http://${server}`);
      const secure = url.protocol === 'https:';
      const origin = `${secure ? 'https' : 'http'}://${url.hostname}:${url.port || '2379'}`;
      // a member without a leader then ends its watches rather than leaving them silent
      const metadata = { hasleader: 'true' };
      return new Channel(origin, { clock, tls: secure ? tls : {}, metadata, keepAlive: true });
    });
  }

  get #channel(): Channel {
    return this.#channels[this.#chosen % this.#channels.length]!;
  }

  /** Turns to the next endpoint after the chosen one failed. */
  #rotate(failed: Channel, error: unknown): void {
    if (error instanceof RpcError && error.code === CODE.unavailable && this.#channel === failed) this.#chosen++;
  }

  /** Sends it until it is answered, `again` says no, or the time for that is over; on the next endpoint each time. */
  async #send<Q, R>(method: Method<Q, R>, request: Q, again: (error: RpcError) => boolean): Promise<R> {
    const bytes = method.serialize(request);
    const giveUp = this.#clock.monotonic() + RETRY_MS;
    for (let attempt = 1; ; attempt++) {
      const channel = this.#channel;
      try {
        return method.deserialize(await channel.call(method.path, bytes, DEADLINE_MS));
      } catch (error) {
        this.#rotate(channel, error);
        if (this.#closed || !(error instanceof RpcError) || !again(error) || this.#clock.monotonic() > giveUp)
          throw error;
        if (attempt % this.#channels.length === 0) await this.#clock.sleep(RETRY_EVERY_MS);
      }
    }
  }

  /** A request with effects: sent again only when no server has seen it, since its outcome is unknown otherwise. */
  async write<Q, R>(method: Method<Q, R>, request: Q): Promise<R> {
    return this.#send(method, request, (error) => error.unsent);
  }

  /** A request without effects. */
  async read<Q, R>(method: Method<Q, R>, request: Q): Promise<R> {
    return this.#send(method, request, (error) => error.code === CODE.unavailable);
  }

  /** Sends one request and gives every answer to `message`, until `end` or the result is cancelled. */
  follow<Q, R>(method: Method<Q, R>, request: Q, message: (answer: R) => void, end: (error: Error) => void): RpcStream {
    const channel = this.#channel;
    const stream = channel.stream(method.path, {
      message: (bytes) => message(method.deserialize(bytes)),
      end: (error) => {
        this.#rotate(channel, error);
        end(error);
      },
    });
    stream.send(method.serialize(request));
    return stream;
  }

  close(): void {
    this.#closed = true;
    for (const c of this.#channels) c.close();
  }
}
