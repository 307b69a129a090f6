/** LIST and GET: consistent or cached, in pages, at exact revisions. */
import { StatusError, badRequest, resourceExpired } from '../../api/status.ts';
import type { ListMeta } from '../../api/types.ts';
import { matcherOf, parseListOptions, scopeOf, selectsConverted, type ListOptions } from '../registry/list-options.ts';
import { preparedEntries } from '../registry/prepared.ts';
import type { ServedResource } from '../registry/catalog.ts';
import type { CacheList, Entry } from '../storage/cache.ts';
import { CompactedError, FutureRevisionError } from '../storage/store.ts';
import type { ApiRequest } from './request.ts';

const MAX_UNSIGNED = (1n << 64n) - 1n;

/**
 * A resource version of a get or a watch: its text must be a number (upstream's cache answers 500 without a reason, the
 * store behind it 400).
 */
export function parseReadVersion(text: string, uncached = false): number {
  if (text === '') return 0;
  if (!/^[0-9]+$/.test(text) || BigInt(text) > MAX_UNSIGNED) {
    if (uncached) return parseListVersion(text);
    const why = `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`;
    throw new StatusError(500, '', `invalid resource version ${JSON.stringify(text)}: ${why}`);
  }
  return Number(text);
}

function parseListVersion(text: string): number {
  if (text === '') return 0;
  if (!/^[0-9]+$/.test(text) || BigInt(text) > MAX_UNSIGNED)
    throw badRequest(`invalid resource version ${JSON.stringify(text)}`);
  return Number(text);
}

/** What a list found. */
export interface ListAnswer {
  readonly entries: readonly Entry[];
  readonly meta: ListMeta;
}

interface Token {
  /** The revision of the first page; -1: whatever is newest. */
  rv: number;
  /** The key that the page begins behind, below the prefix. */
  start: string;
}

const TOKEN_VERSION = 'meta.k8s.io/v1';

function encodeToken(rv: number, start: string): string {
  return Buffer.from(JSON.stringify({ v: TOKEN_VERSION, rv, start })).toString('base64url');
}

function decodeToken(text: string): Token {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    throw badRequest(`continue key is not valid: ${JSON.stringify(text)}`);
  }
  const t = parsed as { v?: unknown; rv?: unknown; start?: unknown };
  if (
    t === null ||
    typeof t !== 'object' ||
    t.v !== TOKEN_VERSION ||
    typeof t.rv !== 'number' ||
    t.rv === 0 ||
    typeof t.start !== 'string' ||
    t.start === ''
  )
    throw badRequest('continue key is not valid: incorrect encoding or version');
  if (t.start.split('/').includes('..') || t.start.startsWith('/'))
    throw badRequest('continue key is not valid: the start key is out of range');
  return { rv: t.rv, start: t.start };
}

/** Reads a list as its options say. */
export async function listEntries(
  served: ServedResource,
  namespace: string,
  name: string,
  o: ListOptions,
): Promise<ListAnswer> {
  const store = served.store!;
  const cache = store.cache;
  const scope = scopeOf(o, served, namespace, name);
  const version = parseListVersion(o.resourceVersion);
  const match = matcherOf(o, served);
  let list: CacheList;
  let start: string | undefined;
  if (o.continueToken !== '') {
    const token = decodeToken(o.continueToken);
    if (o.resourceVersion !== '' && o.resourceVersion !== '0')
      throw badRequest('specifying resource version is not allowed when using continue');
    start = store.prefix + token.start;
    list =
      token.rv < 0 ? await cache.list(scope) : await atRevision(served, () => cache.listAt(token.rv, scope), token);
  } else if (o.resourceVersion === '') list = await cache.list(scope);
  else if (o.resourceVersionMatch === 'Exact' || (o.limit > 0 && version > 0 && o.resourceVersionMatch === ''))
    list = await atRevision(served, () => cache.listAt(version, scope));
  else {
    if (version > 0) await cache.waitFor(version);
    list = cache.snapshot(scope);
  }
  if (selectsConverted(o, served)) await preparedEntries(served, list.entries);
  const answer = page(store.prefix, list, match, o, start, served.definition.uncached);
  cache.counts.lists++;
  cache.counts.fetched += list.entries.length;
  cache.counts.returned += answer.entries.length;
  return answer;
}

async function atRevision(served: ServedResource, read: () => Promise<CacheList>, token?: Token): Promise<CacheList> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof FutureRevisionError) throw tooLarge();
    if (!(error instanceof CompactedError)) throw error;
    if (!token) throw resourceExpired('The resourceVersion for the provided list is too old.');
    const expired = resourceExpired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    );
    (expired.status.metadata ??= {} as never).continue = encodeToken(-1, token.start);
    throw expired;
  }
}

/** 504 for a revision that isn't there yet. */
function tooLarge(): StatusError {
  return new StatusError(504, 'Timeout', 'Timeout: Too large resource version', {
    retryAfterSeconds: 1,
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
  });
}

function page(
  prefix: string,
  list: CacheList,
  match: ((e: Entry) => boolean) | undefined,
  o: ListOptions,
  start: string | undefined,
  uncached = false,
): ListAnswer {
  const meta: ListMeta = { resourceVersion: String(list.revision) };
  const all = list.entries;
  let from = 0;
  if (start !== undefined) {
    let hi = all.length;
    while (from < hi) {
      const mid = (from + hi) >>> 1;
      if (all[mid]!.key < start) from = mid + 1;
      else hi = mid;
    }
  }
  // A list from the cache (resourceVersion=0) comes whole, as upstream's does.
  const whole = o.resourceVersion === '0' && o.continueToken === '' && !uncached;
  const limit = o.limit > 0 && !whole ? o.limit : 0;
  if (limit === 0) {
    const rest = from === 0 ? all : all.slice(from);
    return { entries: match ? rest.filter(match) : rest, meta };
  }
  const entries: Entry[] = [];
  let i = from;
  for (; i < all.length && entries.length < limit; i++) {
    const e = all[i]!;
    if (!match || match(e)) entries.push(e);
  }
  if (i < all.length) {
    // The token names the key behind the last one looked at.
    meta.continue = encodeToken(list.revision, `${all[i - 1]!.key.slice(prefix.length)}\0`);
    if (!match) meta.remainingItemCount = all.length - i;
  }
  return { entries, meta };
}

/** The options of a list or watch request. */
export function optionsOf(request: ApiRequest, served: ServedResource): ListOptions {
  return parseListOptions(request.query, served, request.info.verb === 'watch');
}
