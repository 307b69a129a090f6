/**
 * The REST client of every component: JSON over HTTPS, one object form, errors as StatusError.
 * Watches are async iterables; see client/informer.ts for the cache on top.
 */
import type { IncomingMessage } from 'node:http';
import type { KubeList, KubeObject, WatchEvent } from '../api/types.ts';
import type { ConnectionOptions } from './kubeconfig.ts';
import type { RequestMetrics } from './metrics.ts';
import { resourcePath, type ResourceRef } from './resources.ts';
import { headerLine, isPath, Lines, openTarget, parseError, readAll, type Target } from './transport.ts';

export type PatchType = 'merge' | 'strategic' | 'json' | 'apply';
const PATCH_TYPES: Record<PatchType, string> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

export interface ListOptions {
  /** All namespaces when absent. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  resourceVersion?: string;
  resourceVersionMatch?: string;
  limit?: number;
  continue?: string;
  /** The Accept header; defaults to application/json. */
  accept?: string;
  signal?: AbortSignal;
}

export interface WatchOptions extends ListOptions {
  allowWatchBookmarks?: boolean;
  timeoutSeconds?: number;
  sendInitialEvents?: boolean;
}

export interface WriteOptions {
  /** Nobody looks at the answer: what is resolved with is undefined. */
  ignoreAnswer?: boolean;
  namespace?: string;
  subresource?: string;
  fieldManager?: string;
  force?: boolean;
  dryRun?: boolean;
}

export interface DeleteOptions {
  namespace?: string;
  gracePeriodSeconds?: number;
  propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  preconditions?: { uid?: string; resourceVersion?: string };
}

/** The Accept header that asks for metadata alone; servers that can't do it answer with whole objects. */
export const METADATA_ONLY_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
export const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

export interface RequestOptions {
  method?: string;
  /** With the leading slash; `query` is appended. */
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  contentType?: string;
  accept?: string;
  signal?: AbortSignal;
  /** The answer's body isn't looked at: resolves with undefined. */
  ignoreAnswer?: boolean;
  /** Milliseconds without an answer after which the request fails; defaults to 60,000; 0 is none. */
  timeoutMs?: number;
}

export interface ClientOptions extends ConnectionOptions {
  /** Sent as User-Agent; its first part is the field manager of writes. */
  userAgent: string;
  /** Open sockets for plain requests; defaults to 32. Watches have sockets of their own. */
  maxSockets?: number;
  /** Uses that client's connections: for others of the same server without a certificate of their own. */
  sharing?: Client;
  /** Asked just before a write is sent: false refuses it. For those that may act only as long as they hold a lease. */
  mayWrite?(): boolean;
  metrics?: RequestMetrics;
}

/** Every failed request rejects with a StatusError, or with the socket's error when no answer came. */
export interface Client {
  readonly options: ClientOptions;
  /** The server and the sockets, for clients that share them. */
  readonly target: Target;
  get<T extends object>(r: ResourceRef<T>, name: string, namespace?: string): Promise<T>;
  list<T extends object>(r: ResourceRef<T>, options?: ListOptions): Promise<KubeList<T>>;
  watch<T extends object>(r: ResourceRef<T>, options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** A watch whose events are told at once; resolves at its end, or when `event` has said true: that was the last. */
  follow<T extends object>(
    r: ResourceRef<T>,
    options: WatchOptions,
    event: (event: WatchEvent<T>) => boolean,
  ): Promise<void>;
  create<T extends object>(r: ResourceRef<T>, object: T, options?: WriteOptions & { name?: string }): Promise<T>;
  update<T extends object>(r: ResourceRef<T>, object: T, options?: WriteOptions): Promise<T>;
  updateStatus<T extends object>(r: ResourceRef<T>, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends object>(
    r: ResourceRef<T>,
    name: string,
    type: PatchType,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<T>;
  delete<T extends object>(r: ResourceRef<T>, name: string, options?: DeleteOptions): Promise<void>;
  deleteCollection<T extends object>(r: ResourceRef<T>, options?: ListOptions & DeleteOptions): Promise<void>;
  /** Any other request; resolves with the parsed JSON answer (or the text when it is not JSON). */
  request<R = unknown>(options: RequestOptions): Promise<R>;
  /** The answer as a stream, for logs and watches. */
  stream(options: RequestOptions): Promise<IncomingMessage>;
  /**
   * Gives all later requests another address or identity; what is under way ends on the old connections.
   * Throws, and changes nothing, when a certificate or key is of no use. Not for a client that shares another's.
   */
  reconnect(connection: ConnectionOptions): void;
  /** Called after each `reconnect` (of the client whose connections it shares). */
  onReconnect(listener: (connection: ConnectionOptions) => void): void;
  /** Ends idle sockets. */
  close(): void;
}

function queryString(query: RequestOptions['query']): string {
  if (!query) return '';
  const parts: string[] = [];
  for (const [k, v] of Object.entries(query))
    if (v !== undefined && v !== '') parts.push(`${k}=${encodeURIComponent(String(v))}`);
  return parts.length ? `?${parts.join('&')}` : '';
}

function listQuery(o: ListOptions): RequestOptions['query'] {
  const { labelSelector, fieldSelector, resourceVersion, resourceVersionMatch, limit } = o;
  return { labelSelector, fieldSelector, resourceVersion, resourceVersionMatch, limit, continue: o.continue };
}

const TIMEOUT_MS = 60_000;
const NOT_LEADING = 'not sent: the lease is not ours any more';

/** A client for one server; cheap to make, keeps connections alive until `close`. */
export function createClient(initial: ClientOptions): Client {
  let options = initial;
  const shared = options.sharing;
  let own = shared ? undefined : openTarget(options, options.maxSockets ?? 32);
  const target = () => own ?? shared!.target;
  const followers: ((connection: ConnectionOptions) => void)[] = [];

  const authorization = (): string | undefined => {
    const token = typeof options.token === 'function' ? options.token() : options.token;
    return token ? `Bearer ${token}` : undefined;
  };
  const pathOf = (o: RequestOptions) => target().url.pathname.replace(/\/$/, '') + o.path + queryString(o.query);
  const refusal = () => (options.mayWrite!() ? undefined : new Error(NOT_LEADING));

  async function request<R>(o: RequestOptions): Promise<R> {
    const method = o.method ?? 'GET';
    const path = pathOf(o);
    const body = o.body === undefined || typeof o.body === 'string' ? o.body : JSON.stringify(o.body);
    let headers = headerLine('User-Agent', options.userAgent) + headerLine('Accept', o.accept ?? 'application/json');
    const who = authorization();
    if (who) headers += headerLine('Authorization', who);
    if (body !== undefined) headers += headerLine('Content-Type', o.contentType ?? 'application/json');
    if (!isPath(path)) throw new TypeError(`a path must be encoded: ${path}`);
    const { plain, url } = target();
    const done = options.metrics?.begin(method, url.host);
    const answer = await plain
      .send({
        method,
        path,
        headers,
        body,
        timeoutMs: o.timeoutMs ?? TIMEOUT_MS,
        signal: o.signal,
        refusal: options.mayWrite && method !== 'GET' ? refusal : undefined,
      })
      .catch((error: unknown) => {
        done?.('<error>');
        throw error;
      });
    done?.(answer.status);
    if (answer.status >= 400) throw parseError(answer.status, answer.body);
    if (o.ignoreAnswer) return undefined as R;
    const text = answer.body.toString('utf8');
    return (answer.contentType.startsWith('application/json') ? JSON.parse(text) : text) as R;
  }

  async function stream(o: RequestOptions): Promise<IncomingMessage> {
    const { url, transport, watch } = target();
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const who = authorization();
    const req = transport.request({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port || (url.protocol === 'http:' ? 80 : 443),
      path: pathOf(o),
      method: o.method ?? 'GET',
      headers: {
        'User-Agent': options.userAgent,
        Accept: o.accept ?? 'application/json',
        ...(who && { Authorization: who }),
      },
      agent: watch,
      signal: o.signal,
    });
    const limit = o.timeoutMs ?? TIMEOUT_MS;
    if (limit > 0) req.setTimeout(limit, () => req.destroy(new Error(`no answer within ${limit} ms: GET ${o.path}`)));
    req.on('error', reject);
    req.on('response', resolve);
    req.end();
    const res = await promise;
    const code = res.statusCode ?? 500;
    // An error is read whole, within the same time; a stream may be quiet.
    if (code >= 400) throw parseError(code, await readAll(res));
    req.setTimeout(0);
    return res;
  }

  async function openWatch<T extends object>(r: ResourceRef<T>, o: WatchOptions): Promise<IncomingMessage> {
    const { allowWatchBookmarks, timeoutSeconds, sendInitialEvents } = o;
    const res = await stream({
      path: resourcePath(r, o.namespace),
      query: { ...listQuery(o), watch: true, allowWatchBookmarks, timeoutSeconds, sendInitialEvents },
      accept: o.accept,
      signal: o.signal,
    });
    // A peer that vanished without a word must not leave us waiting for events for ever.
    res.socket.setKeepAlive(true, 30_000);
    return res;
  }

  const meta = (object: object) => (object as KubeObject).metadata ?? {};
  const body = <T extends object>(r: ResourceRef<T>, object: T) => ({
    kind: r.kind,
    apiVersion: r.group === '' ? r.version : `${r.group}/${r.version}`,
    ...object,
  });
  const writeQuery = (o: WriteOptions) => ({
    fieldManager: o.fieldManager,
    force: o.force,
    dryRun: o.dryRun ? 'All' : undefined,
  });

  return {
    get options() {
      return options;
    },
    get target() {
      return target();
    },
    get: (r, name, namespace) => request({ path: resourcePath(r, namespace, name) }),
    async list(r, o = {}) {
      const path = resourcePath(r, o.namespace);
      const list = await request<KubeList<never>>({ path, query: listQuery(o), accept: o.accept, signal: o.signal });
      // Go writes an empty list of metadata as null.
      list.items ??= [];
      return list;
    },
    async *watch<T extends object>(r: ResourceRef<T>, o: WatchOptions = {}) {
      const res = await openWatch(r, o);
      try {
        const events: WatchEvent<T>[] = [];
        const lines = new Lines<WatchEvent<T>>((e) => events.push(e));
        for await (const chunk of res as AsyncIterable<Buffer>) {
          lines.take(chunk);
          yield* events.splice(0);
        }
      } finally {
        res.destroy();
      }
    },
    async follow<T extends object>(r: ResourceRef<T>, o: WatchOptions, event: (e: WatchEvent<T>) => boolean) {
      const res = await openWatch(r, o);
      let over = false;
      const lines = new Lines<WatchEvent<T>>((e) => (over = over || event(e)));
      try {
        // Events, not an async iterator: a pod's change costs half as much.
        await new Promise<void>((resolve, reject) => {
          res.on('data', (chunk: Buffer) => {
            try {
              lines.take(chunk);
              if (over) resolve();
            } catch (error) {
              over = true;
              reject(error as Error);
            }
          });
          res.on('end', resolve);
          res.on('error', reject);
          res.on('close', () => reject(new Error('the watch was cut off')));
        });
      } finally {
        res.destroy();
      }
    },
    create: (r, object, o = {}) =>
      request({
        method: 'POST',
        ignoreAnswer: o.ignoreAnswer,
        path: resourcePath(r, o.namespace ?? meta(object).namespace, o.name, o.subresource),
        query: writeQuery(o),
        body: o.subresource ? object : body(r, object),
      }),
    update: (r, object, o = {}) =>
      request({
        method: 'PUT',
        ignoreAnswer: o.ignoreAnswer,
        path: resourcePath(r, o.namespace ?? meta(object).namespace, meta(object).name, o.subresource),
        query: writeQuery(o),
        body: body(r, object),
      }),
    updateStatus(r, object, o = {}) {
      return this.update(r, object, { ...o, subresource: 'status' });
    },
    patch: (r, name, type, patch, o = {}) =>
      request({
        method: 'PATCH',
        ignoreAnswer: o.ignoreAnswer,
        path: resourcePath(r, o.namespace, name, o.subresource),
        query: writeQuery(o),
        body: patch,
        contentType: PATCH_TYPES[type],
      }),
    async delete(r, name, o = {}) {
      const { gracePeriodSeconds, propagationPolicy, preconditions } = o;
      await request({
        method: 'DELETE',
        ignoreAnswer: true,
        path: resourcePath(r, o.namespace, name),
        body: { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds, propagationPolicy, preconditions },
      });
    },
    async deleteCollection(r, o = {}) {
      const { gracePeriodSeconds, propagationPolicy, preconditions } = o;
      await request({
        method: 'DELETE',
        ignoreAnswer: true,
        path: resourcePath(r, o.namespace),
        query: listQuery(o),
        body: { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds, propagationPolicy, preconditions },
      });
    },
    request,
    stream,
    reconnect(connection) {
      if (!own) throw new Error('a client that shares connections has none of its own');
      const old = own;
      own = openTarget(connection, options.maxSockets ?? 32);
      const { userAgent, maxSockets, metrics } = options;
      options = { ...connection, userAgent, maxSockets, metrics };
      old.plain.retire();
      for (const f of followers) f(connection);
    },
    onReconnect(listener) {
      if (shared) shared.onReconnect(listener);
      else followers.push(listener);
    },
    close() {
      own?.plain.destroy();
      own?.watch.destroy();
    },
  };
}

/** The same client, but one that writes only while `mayWrite` says so. */
export function guardWrites(client: Client, mayWrite: () => boolean): Client {
  const token = () => {
    const t = client.options.token;
    return (typeof t === 'function' ? t() : t) ?? '';
  };
  return createClient({ ...client.options, token, sharing: client, mayWrite });
}
