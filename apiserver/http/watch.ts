/** WATCH: a stream of frames, each made once for all watchers with the same view. */
import { constants, type Http2ServerResponse } from 'node:http2';
import type { Writable } from 'node:stream';
import { normalize } from '../../api/schema/normalize.ts';
import { StatusError, resourceExpired } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, KubeObject, Status } from '../../api/types.ts';
import type { Clock, Rand, Timer } from '../../base/clock.ts';
import { preparedEntries, sequenced } from '../registry/prepared.ts';
import type { ServedResource } from '../registry/catalog.ts';
import { matcherOf, scopeOf, type ListOptions } from '../registry/list-options.ts';
import type { CacheEvent, CacheWatcher, Entry, Scope } from '../storage/cache.ts';
import { CompactedError } from '../storage/store.ts';
import type { WatchValues } from './cache-metrics.ts';
import { parseReadVersion } from './list.ts';
import { MEDIA_TYPES, type View } from './negotiate.ts';
import {
  encodeObject,
  entryProtobuf,
  servedJson,
  transformObject,
  type AnyObject,
  type IncludeObject,
} from './render.ts';
import { encodeProtobuf, watchFrame } from './protobuf.ts';

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';

export interface WatchDeps {
  readonly clock: Clock;
  readonly rand: Rand;
  /** Watches without a timeout end after this long or up to twice it, in seconds. */
  readonly minRequestTimeoutSeconds: number;
  /** A watcher that has more bytes than this waiting is cut off; it comes back and lists again. Defaults to 16 MiB. */
  readonly maxPendingBytes?: number;
  /** What is counted of the events of a served resource. */
  readonly metrics?: (served: ServedResource) => WatchValues;
  readonly outbox: Outbox;
  /** Ends all watches (shutdown). */
  readonly stopping: AbortSignal;
}

export interface WatchTarget {
  readonly served: ServedResource;
  readonly namespace: string;
  readonly name: string;
  readonly options: ListOptions;
  readonly view: View;
  readonly include: IncludeObject;
}

/** Where frames go: a response, or a WebSocket. */
export interface FrameSink {
  /** Bytes that wait to be sent. */
  readonly pending: number;
  write(frame: Buffer): void;
  /** Ends in good order. */
  end(): void;
  /** Breaks off. */
  destroy(): void;
  onClose(fn: () => void): void;
}

/** Frames are put together up to this length. */
const SMALL = 16 * 1024;
/** So many watchers at one time are a crowd, which is written to at most once in so many ms. */
const CROWD = 32;
const CROWD_MS = 5;

/**
 * Writes what a turn has gathered, for all watchers at one time. Handing something to a stream costs more than the bytes
 * do, so while events follow each other closely a crowd gets several in one piece; the first of them leaves at once.
 */
export class Outbox {
  readonly #clock: Clock;
  #sinks: ResponseSink[] = [];
  /** When a crowd may be written to again, in ms of the monotonic clock. */
  #next = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(sink: ResponseSink): void {
    if (this.#sinks.push(sink) === 1) process.nextTick(() => this.#turn());
  }

  #turn(): void {
    if (this.#sinks.length < CROWD) return this.#flush();
    const early = this.#next - this.#clock.monotonic();
    if (early > 0) this.#clock.after(early, () => this.#flush());
    else this.#flush();
  }

  #flush(): void {
    const sinks = this.#sinks;
    this.#sinks = [];
    for (const s of sinks) s.flush();
    if (sinks.length >= CROWD) this.#next = this.#clock.monotonic() + CROWD_MS;
  }
}

/** A response as a sink; frames of one turn leave together. */
class ResponseSink implements FrameSink {
  /** Of HTTP/2 the stream itself: what Node puts in front of it costs time with every frame. */
  readonly #out: Writable;
  readonly #response: Writable;
  readonly #outbox: Outbox;
  #frames: Buffer[] = [];
  #waiting = 0;

  constructor(response: Writable, outbox: Outbox) {
    this.#response = response;
    this.#outbox = outbox;
    this.#out = (response as Partial<Http2ServerResponse>).stream ?? response;
  }

  get pending(): number {
    return this.#out.writableLength + this.#waiting;
  }

  write(frame: Buffer): void {
    if (this.#frames.length === 0) this.#outbox.add(this);
    this.#frames.push(frame);
    this.#waiting += frame.length;
  }

  flush(): void {
    const frames = this.#frames;
    if (frames.length === 0) return;
    const size = this.#waiting;
    this.#frames = [];
    this.#waiting = 0;
    const out = this.#out;
    if (out.destroyed || out.writableEnded) return;
    if (frames.length === 1) out.write(frames[0]);
    else if (size <= SMALL) out.write(Buffer.concat(frames, size));
    else {
      out.cork();
      for (const f of frames) out.write(f);
      out.uncork();
    }
  }

  end(): void {
    this.flush();
    this.#response.end();
  }

  destroy(): void {
    // A reset with a code: without one the client would take the end for a good one.
    (this.#response as Partial<Http2ServerResponse>).stream?.close(constants.NGHTTP2_CANCEL);
    this.#response.destroy();
  }

  onClose(fn: () => void): void {
    // The client may have left before there was anything to be sent.
    if (this.#out.destroyed) fn();
    else this.#response.once('close', fn);
  }
}

/** The sink of a response that was opened as a stream. */
export function responseSink(out: Writable, outbox: Outbox): FrameSink {
  return new ResponseSink(out, outbox);
}

/** The Content-Type of a watch. */
export function watchContentType(view: View): string {
  return view.media === 'protobuf' ? `${MEDIA_TYPES.protobuf};stream=watch` : MEDIA_TYPES.json;
}

/** One frame around an encoded object. */
function frameOf(type: EventType, object: Buffer, view: View): Buffer {
  if (view.media === 'protobuf') return watchFrame(type, object);
  const head = HEADS[type];
  const out = Buffer.allocUnsafe(head.length + object.length + 2);
  head.copy(out, 0);
  object.copy(out, head.length);
  out[out.length - 2] = 0x7d;
  out[out.length - 1] = 0x0a;
  return out;
}
const head = (type: EventType) => Buffer.from(`{"type":"${type}","object":`);
const HEADS: Record<EventType, Buffer> = {
  ADDED: head('ADDED'),
  MODIFIED: head('MODIFIED'),
  DELETED: head('DELETED'),
  BOOKMARK: head('BOOKMARK'),
  ERROR: head('ERROR'),
};

function encodeLine(object: AnyObject, view: View): Buffer {
  if (view.media === 'protobuf') return encodeProtobuf(object as KubeObject);
  const line = encodeObject(object, { ...view, pretty: false, media: 'json' });
  return line.subarray(0, line.length - 1);
}

/** A name is all that is selected by: the scope lets nothing else through. */
const isOneObject = (scope: Scope, o: ListOptions): boolean =>
  !o.labels && o.fields.every((t) => t.field === 'metadata.name' && t.equal && t.value === scope.name);

/** An object of this kind that says nothing but its metadata; fields that are always written are there. */
function emptyObject(served: ServedResource, metadata: JsonObject): DeepReadonly<KubeObject> {
  const object: JsonObject = { kind: served.kind, apiVersion: served.apiVersion, metadata };
  if (!served.type?.native) return object as unknown as DeepReadonly<KubeObject>;
  const filled = normalize(object, served.type).object as unknown as KubeObject;
  served.definition.fillEmpty?.(filled);
  return filled as DeepReadonly<KubeObject>;
}

/** Serves one watch until the client leaves, time is up, or history is gone. Errors before the first frame are thrown. */
export async function serveWatch(
  deps: WatchDeps,
  target: WatchTarget,
  open: () => FrameSink | Promise<FrameSink>,
): Promise<void> {
  const { served, options: o, view } = target;
  const maxPending = deps.maxPendingBytes ?? 16 * 1024 * 1024;
  const cache = served.store!.cache;
  const scope = scopeOf(o, served, target.namespace, target.name);
  const matches = isOneObject(scope, o) ? undefined : matcherOf(o, served);
  const version = parseReadVersion(o.resourceVersion);
  const initialList = o.sendInitialEvents === true;
  const since = deps.clock.monotonic();
  let revision = version;
  let initial: readonly Entry[] = [];
  if (initialList || o.resourceVersion === '' || version === 0) {
    if (o.resourceVersion === '' || (initialList && version === 0 && o.resourceVersion === '')) {
      const list = await cache.list(scope);
      revision = list.revision;
      if (o.sendInitialEvents !== false) initial = list.entries;
    } else {
      if (version > 0) await cache.waitFor(version);
      const list = cache.snapshot(scope);
      revision = list.revision;
      if (o.sendInitialEvents !== false) initial = list.entries;
    }
  }
  await preparedEntries(served, initial);
  let frameViewKey = view.as === '' && !served.convert ? view.media : `${view.key}@${served.apiVersion}`;
  if (view.as === 'Table') frameViewKey += `#${target.include}`;
  const frameKeys = {
    ADDED: `ADDED:${frameViewKey}`,
    MODIFIED: `MODIFIED:${frameViewKey}`,
    DELETED: `DELETED:${frameViewKey}`,
  };
  let sink: FrameSink | undefined;
  let watcher: CacheWatcher | undefined;
  let ended = false;
  let columnsSent = false;
  let started = false;
  let timer: Timer | undefined;
  const early: (() => void)[] = [];

  const finish = (cut: boolean) => {
    if (ended) return;
    ended = true;
    watcher?.close();
    timer?.cancel();
    deps.stopping.removeEventListener('abort', onStop);
    if (cut) sink?.destroy();
    else sink?.end();
  };
  const onStop = () => finish(false);

  /** The first Table of a watch carries the columns. */
  const tableOf = (object: DeepReadonly<KubeObject>, include = target.include): AnyObject => {
    const columns = !columnsSent;
    columnsSent = true;
    return transformObject(served, object, view, deps.clock.now(), include, columns);
  };
  const encodeEntry = (entry: Entry): Buffer => {
    if (view.as === '') return view.media === 'protobuf' ? entryProtobuf(served, entry) : servedJson(served, entry);
    return encodeLine(tableOf(entry.object()), view);
  };
  const values = deps.metrics?.(served);
  const put = (frame: Buffer): boolean => {
    sink!.write(frame);
    if (values) {
      values.events.value++;
      values.sizes.observe(frame.length);
    }
    if (sink!.pending <= maxPending) return true;
    finish(true);
    return false;
  };
  const emit = (type: 'ADDED' | 'MODIFIED' | 'DELETED', event: CacheEvent, entry: Entry): boolean => {
    // The first row of a Table watch carries the columns, so it is nobody else's.
    if (view.as === 'Table') return put(frameOf(type, encodeEntry(entry), view));
    const key = frameKeys[type];
    let frame = event.frames.get(key);
    if (!frame) event.frames.set(key, (frame = frameOf(type, encodeEntry(entry), view)));
    return put(frame);
  };
  const bookmark = (at: number, first: boolean) => {
    const metadata: JsonObject = { resourceVersion: String(at) };
    if (first) metadata.annotations = { 'k8s.io/initial-events-end': 'true' };
    const object = emptyObject(served, metadata);
    let shown: AnyObject = object;
    if (view.as === 'Table')
      // the mark of the end is always sent, also to who wants no objects
      shown = tableOf(object, first && target.include === 'None' ? 'Metadata' : target.include);
    else if (view.as !== '') shown = transformObject(served, object, view, 0, 'None');
    put(frameOf('BOOKMARK', encodeLine(shown, view), view));
    if (first) {
      const where = target.name ? 'resource' : target.namespace ? 'namespace' : 'cluster';
      values?.listed(where, (deps.clock.monotonic() - since) / 1000);
    }
  };
  const fail = (error: Error) => {
    const status: Status =
      error instanceof StatusError
        ? error.status
        : error instanceof CompactedError
          ? expired(version, error).status
          : new StatusError(500, 'InternalError', 'the watch has failed').status;
    put(frameOf('ERROR', encodeLine(status as unknown as JsonObject, { ...view, as: '' }), view));
    finish(false);
  };

  const handlers = {
    event(event: CacheEvent): boolean {
      if (ended) return false;
      if (!sink) {
        early.push(() => void handlers.event(event));
        return true;
      }
      if (!matches) {
        if (event.type === 'delete') return emit('DELETED', event, event.entry);
        return emit(event.previous ? 'MODIFIED' : 'ADDED', event, event.entry);
      }
      const before = event.previous !== undefined && matches(event.previous);
      if (event.type === 'delete')
        return before || (!event.previous && matches(event.entry)) ? emit('DELETED', event, event.entry) : true;
      const now = matches(event.entry);
      if (now) return emit(before ? 'MODIFIED' : 'ADDED', event, event.entry);
      if (!before) return true;
      return emitGone(event);
    },
    progress(at: number): void {
      // The first call says that the initial events are over, which clients only hear of when they asked for them.
      if (!started) {
        started = true;
        return;
      }
      if (!ended && sink && o.allowWatchBookmarks) bookmark(at, false);
    },
    end(error: Error): void {
      if (ended) return;
      if (sink) fail(error);
      else early.push(() => fail(error));
    },
  };
  /** The object stopped matching: watchers see their last matching state go, at the revision of the change. */
  const emitGone = (event: CacheEvent): boolean => {
    const old = event.previous!.object() as KubeObject;
    const object = {
      ...old,
      metadata: { ...old.metadata, resourceVersion: String(event.revision) },
    } as DeepReadonly<KubeObject>;
    if (view.as === 'Table') return put(frameOf('DELETED', encodeLine(tableOf(object), view), view));
    const key = `GONE:${frameViewKey}`;
    let frame = event.frames.get(key);
    if (!frame) {
      const shown = transformObject(served, object, view, deps.clock.now(), target.include);
      event.frames.set(key, (frame = frameOf('DELETED', encodeLine(shown, view), view)));
    }
    return put(frame);
  };

  try {
    watcher = cache.watch(revision, scope, sequenced(served, handlers));
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
    sink = await open();
    fail(error);
    return;
  }
  const opened = open();
  sink = opened instanceof Promise ? await opened : opened;
  sink.onClose(() => finish(false));
  try {
    for (const entry of initial) {
      if (ended) return;
      if (!matches || matches(entry)) put(frameOf('ADDED', encodeEntry(entry), view));
    }
    if (initialList && o.allowWatchBookmarks && !ended) bookmark(revision, true);
    for (const fn of early.splice(0)) if (!ended) fn();
  } catch (error) {
    // The answer has begun: its reader hears of it in the stream.
    fail(error as Error);
  }
  if (ended) return;
  if (deps.stopping.aborted) return finish(false);
  deps.stopping.addEventListener('abort', onStop, { once: true });
  const seconds =
    o.timeoutSeconds && o.timeoutSeconds > 0
      ? o.timeoutSeconds
      : deps.minRequestTimeoutSeconds * (1 + deps.rand.next());
  timer = deps.clock.after(seconds * 1000, () => finish(false), { background: true });
}

function expired(asked: number, error: CompactedError): StatusError {
  return resourceExpired(`too old resource version: ${asked} (${error.compactRevision})`);
}
