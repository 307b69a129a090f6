/** Everything that ever happened to some kinds, as their watches told it, and the state that follows from it. */
import type { KubeObject, WatchEvent } from '../../../../api/types.ts';
import { systemClock } from '../../../../base/clock.ts';
import type { Client } from '../../../../client/client.ts';
import type { ResourceRef } from '../../../../client/resources.ts';

export interface HistoryEvent<T extends object = KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: T;
  /** The revision of the write; a deletion has one of its own. */
  readonly revision: number;
}

export interface History {
  /** All events of a kind since the start (or the last `forget`), in order; objects there at the start come first. */
  events<T extends object>(r: ResourceRef<T>): readonly HistoryEvent<T>[];
  /** What there is now, as far as the watch has told. */
  list<T extends object>(r: ResourceRef<T>, namespace?: string): T[];
  /**
   * Resolves when `what` returns nothing; it is asked after each event. Rejects with what it returned last when `ms`
   * have passed without any event: slow is no failure.
   */
  until(what: () => string | undefined, ms: number): Promise<void>;
  /** Resolves when so many more events have come, or none for `ms`. */
  more(count: number, ms: number): Promise<void>;
  /** Drops events of a namespace that were looked at. */
  forget(namespace: string): void;
  stop(): void;
}

const metaOf = (o: object) => (o as KubeObject).metadata ?? {};
const revisionOf = (o: object) => Number(metaOf(o).resourceVersion);

/** Follows the kinds from now on. A watch that ends goes on where it was: what it missed is told all the same. */
export async function follow(client: Client, kinds: readonly ResourceRef<object>[]): Promise<History> {
  const stopping = new AbortController();
  const logs = new Map<string, HistoryEvent<object>[]>();
  const states = new Map<string, Map<string, object>>();
  const waiting = new Set<() => void>();
  let broken: Error | undefined;

  async function run(r: ResourceRef<object>, from: string, log: HistoryEvent<object>[], state: Map<string, object>) {
    let resourceVersion = from;
    while (!stopping.signal.aborted) {
      const events = client.watch(r, { resourceVersion, allowWatchBookmarks: true, signal: stopping.signal });
      for await (const event of events as AsyncIterable<WatchEvent<object>>) {
        if (event.type === 'ERROR')
          throw new Error(`history of ${r.resource} is lost: ${JSON.stringify(event.object)}`);
        resourceVersion = metaOf(event.object).resourceVersion ?? resourceVersion;
        if (event.type === 'BOOKMARK') continue;
        const { type, object } = event;
        log.push({ type, object, revision: revisionOf(object) });
        const uid = metaOf(object).uid!;
        if (type === 'DELETED') state.delete(uid);
        else state.set(uid, object);
        for (const look of waiting) look();
      }
    }
  }
  for (const r of kinds) {
    const { items, metadata } = await client.list(r);
    const state = new Map(items.map((o) => [metaOf(o).uid!, o]));
    const log = items.map((object): HistoryEvent<object> => ({ type: 'ADDED', object, revision: revisionOf(object) }));
    states.set(r.resource, state);
    logs.set(r.resource, log);
    run(r, metadata?.resourceVersion ?? '', log, state).catch((error: unknown) => {
      if (stopping.signal.aborted) return;
      broken = error as Error;
      for (const look of waiting) look();
    });
  }

  return {
    events: <T extends object>(r: ResourceRef<T>) => logs.get(r.resource) as unknown as HistoryEvent<T>[],
    list<T extends object>(r: ResourceRef<T>, namespace?: string) {
      const all = [...states.get(r.resource)!.values()] as T[];
      return namespace === undefined ? all : all.filter((o) => metaOf(o).namespace === namespace);
    },
    until(what, ms) {
      return new Promise((resolve, reject) => {
        let last: string | undefined = '';
        const end = (error?: Error) => {
          timer.cancel();
          waiting.delete(look);
          if (error) reject(error);
          else resolve();
        };
        const look = () => {
          if (broken) return end(broken);
          last = what();
          if (last === undefined) return end();
          timer.cancel();
          timer = systemClock.after(ms, stuck);
        };
        const stuck = () => end(new Error(`nothing has happened for ${ms} ms: ${last}`));
        let timer = systemClock.after(ms, stuck);
        waiting.add(look);
        look();
      });
    },
    more(count, ms) {
      return new Promise((resolve) => {
        let left = count;
        const end = () => {
          timer.cancel();
          waiting.delete(look);
          resolve();
        };
        let timer = systemClock.after(ms, end);
        const look = () => {
          timer.cancel();
          if (left-- <= 0) return end();
          timer = systemClock.after(ms, end);
        };
        waiting.add(look);
      });
    },
    forget(namespace) {
      for (const log of logs.values()) {
        const rest = log.filter((e) => metaOf(e.object).namespace !== namespace);
        log.splice(0, log.length, ...rest);
      }
    },
    stop() {
      stopping.abort(new Error('stopped'));
    },
  };
}
