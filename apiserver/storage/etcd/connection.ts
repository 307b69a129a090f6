/** Calls to one etcd cluster: endpoints, TLS, deadlines, and errors in the store's own terms. */
import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { CompactedError, FutureRevisionError, RequestTooLargeError, StoreUnavailableError } from '../store.ts';
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

/** What an error of a call means to users of the store. */
export function storeError(e: unknown, compactRevision: number): Error {
  const { code, details, message } = e as grpc.ServiceError;
  const text = details || message;
  // etcd tells these apart by their text only.
  if (text.includes('required revision has been compacted')) return new CompactedError(compactRevision);
  if (text.includes('required revision is a future revision')) return new FutureRevisionError(text);
  if (text.includes('request is too large') || code === grpc.status.RESOURCE_EXHAUSTED)
    return new RequestTooLargeError(text);
  return new StoreUnavailableError(`etcd: ${text}`);
}

/** See the top of this file. */
export class EtcdConnection {
  readonly methods: EtcdMethods = etcdMethods();
  readonly #clients: grpc.Client[];
  readonly #clock: Clock;
  readonly #metadata = new grpc.Metadata();
  #chosen = 0;

  constructor(options: EtcdOptions, clock: Clock) {
    if (options.servers.length === 0) throw new Error('no etcd server given');
    this.#clock = clock;
    // A member without a leader then ends its watches rather than leaving them silent.
    this.#metadata.set('hasleader', 'true');
    const read = (path: string | undefined) => (path === undefined || path === '' ? null : readFileSync(path));
    this.#clients = options.servers.map((server) => {
      const url = new URL(server.includes('://') ? server : `http://${server}`);
      const credentials =
        url.protocol === 'https:'
          ? grpc.credentials.createSsl(read(options.cafile), read(options.keyfile), read(options.certfile))
          : grpc.credentials.createInsecure();
      return new grpc.Client(`${url.hostname}:${url.port || '2379'}`, credentials, {
        'grpc.max_receive_message_length': -1,
        'grpc.max_send_message_length': -1,
        'grpc.keepalive_time_ms': 30_000,
        'grpc.keepalive_timeout_ms': 10_000,
        'grpc.enable_retries': 0,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 2000,
        // Each store has connections of its own, so that closing it closes them.
        'grpc.use_local_subchannel_pool': 1,
      });
    });
  }

  get #client(): grpc.Client {
    return this.#clients[this.#chosen % this.#clients.length]!;
  }

  /** Turns to the next endpoint after the chosen one failed. */
  #rotate(failed: grpc.Client): void {
    if (this.#client === failed) this.#chosen++;
  }

  #once<Q, R>(method: Method<Q, R>, request: Q): Promise<R> {
    const client = this.#client;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.serialize,
        method.deserialize,
        request,
        this.#metadata,
        { deadline: this.#clock.now() + DEADLINE_MS },
        (error, response) => {
          if (error) {
            if (error.code === grpc.status.UNAVAILABLE) this.#rotate(client);
            reject(error);
          } else resolve(response!);
        },
      );
    });
  }

  /** A request whose failure leaves its outcome unknown: sent once. */
  async write<Q, R>(method: Method<Q, R>, request: Q): Promise<R> {
    return this.#once(method, request);
  }

  /** A request without effects: tried on each endpoint. */
  async read<Q, R>(method: Method<Q, R>, request: Q): Promise<R> {
    for (let left = this.#clients.length - 1; ; left--) {
      try {
        return await this.#once(method, request);
      } catch (e) {
        if (left === 0 || (e as grpc.ServiceError).code !== grpc.status.UNAVAILABLE) throw e;
      }
    }
  }

  /** A stream in both directions. */
  stream<Q, R>(method: Method<Q, R>): grpc.ClientDuplexStream<Q, R> {
    const client = this.#client;
    const call = client.makeBidiStreamRequest(method.path, method.serialize, method.deserialize, this.#metadata, {});
    call.on('error', (e: grpc.ServiceError) => {
      if (e.code === grpc.status.UNAVAILABLE) this.#rotate(client);
    });
    return call;
  }

  close(): void {
    for (const c of this.#clients) c.close();
  }
}
