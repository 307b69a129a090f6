/** How many seats a request takes: long lists take several, and so do writes that many watchers hear of. */
import type { CacheLookup } from '../authorization/follow.ts';
import type { ApiRequest } from '../http/request.ts';
import type { RequestInfo } from '../http/request-info.ts';
import { readerKey } from '../registry/reader.ts';
import { ONE_SEAT, type WorkEstimate } from './types.ts';

const OBJECTS_PER_SEAT = 100;
const MAX_LIST_SEATS = 10;
/** The part of a level's seats that one request may take. */
const MAX_PART = 0.15;
const WATCHES_PER_SEAT = 10;
/** What telling one watcher costs, in milliseconds. */
const WATCHER_MS = 5;
const WRITES = new Set(['create', 'update', 'patch', 'delete']);
/** Written all the time and watched by nobody who would wait for it. */
const UNWATCHED = new Set(['/events', 'events.k8s.io/events', 'coordination.k8s.io/leases']);

/** Open watches by what they watch. */
export class WatchCounts {
  readonly #counts = new Map<string, number>();
  /** Counts a watch; call the result when it is over. */
  add(info: RequestInfo): () => void {
    const key = `${info.apiGroup}/${info.resource}/${info.namespace}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return () => {
      const left = this.#counts.get(key)! - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
  /** Watches that may hear of a write. */
  concerned(info: RequestInfo): number {
    if (this.#counts.size === 0) return 0;
    const resource = `${info.apiGroup}/${info.resource}/`;
    const everywhere = this.#counts.get(resource) ?? 0;
    return info.namespace === '' ? everywhere : everywhere + (this.#counts.get(resource + info.namespace) ?? 0);
  }
}

export interface WidthDeps {
  readonly caches: CacheLookup;
  readonly watches: WatchCounts;
}

/** The work that a request is taken to be at a level with `nominalSeats`. */
export function estimateWork(
  deps: WidthDeps,
  request: ApiRequest,
  nominalSeats: number,
  sawWatches: (count: number) => void,
): WorkEstimate {
  const { info } = request;
  if (!info.isResourceRequest) return ONE_SEAT;
  if (info.verb === 'list' || (info.verb === 'watch' && request.rawQuery.includes('sendInitialEvents=true')))
    return listWork(deps, request, nominalSeats);
  if (!WRITES.has(info.verb) || info.subresource === 'token' || UNWATCHED.has(`${info.apiGroup}/${info.resource}`))
    return ONE_SEAT;
  const watches = deps.watches.concerned(info);
  sawWatches(watches);
  if (watches < WATCHES_PER_SEAT) return ONE_SEAT;
  const finalSeats = bounded(Math.ceil(watches / WATCHES_PER_SEAT), nominalSeats);
  return { initialSeats: 1, finalSeats, additionalMs: (watches * WATCHER_MS) / finalSeats };
}

const bounded = (seats: number, nominal: number) =>
  Math.max(1, Math.min(seats, MAX_LIST_SEATS, Math.ceil(nominal * MAX_PART)));

function listWork(deps: WidthDeps, request: ApiRequest, nominalSeats: number): WorkEstimate {
  const { info } = request;
  if (info.name !== '') return ONE_SEAT;
  const cache = deps.caches(readerKey(info.apiGroup, info.resource));
  // What isn't cached here is somebody else's; the work of passing it on is small.
  if (!cache || cache.size <= OBJECTS_PER_SEAT) return ONE_SEAT;
  // A namespace is read from an index, and a selector has to look at all of it.
  let objects = info.namespace === '' ? cache.size : cache.sizeOf(info.namespace);
  const query = request.query;
  const limit = Number(query.get('limit') ?? 0);
  if (limit > 0 && limit < objects && !query.get('labelSelector') && !query.get('fieldSelector')) objects = limit;
  const seats = bounded(Math.ceil(objects / OBJECTS_PER_SEAT), nominalSeats);
  return seats === 1 ? ONE_SEAT : { initialSeats: seats, finalSeats: 0, additionalMs: 0 };
}
