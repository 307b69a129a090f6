/** A watch cache of pods over a store with switches, and clients that follow it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json, KubeObject } from '../../../api/types.ts';
import type { CacheEvent, CacheWatcher, Entry, ResourceCache, Scope } from '../../../apiserver/storage/cache.ts';
import { openStore } from '../../../apiserver/storage/open.ts';
import type { Store } from '../../../apiserver/storage/store.ts';
import { createWatchCache } from '../../../apiserver/storage/watch-cache.ts';
import { type Clock, systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { written } from './contract.ts';
import { faultyStore } from './faults.ts';

export type Pod = KubeObject & { spec: { nodeName: string; n: number } };

export const pods = {
  prefix: '/pods/',
  namespaced: true,
  fields: (o: Json<KubeObject>) => ({ 'spec.nodeName': (o as Pod).spec.nodeName }),
  indexedFields: ['spec.nodeName'],
};

export function pod(namespace: string, name: string, app: string, nodeName = 'n0', n = 0): Pod {
  return { kind: 'Pod', apiVersion: 'v1', metadata: { name, namespace, labels: { app } }, spec: { nodeName, n } };
}
export const bytes = (o: object) => Buffer.from(JSON.stringify(o));
export const put = async (store: Store, p: Pod) =>
  written(await store.create(`/pods/${p.metadata!.namespace}/${p.metadata!.name}`, bytes(p)));

/** What a client sees that follows a scope: built from events alone. */
export class Follower {
  readonly scope: Scope;
  readonly state = new Map<string, string>();
  readonly revisions: number[] = [];
  readonly progress: number[] = [];
  readonly mistakes: string[] = [];
  ended: Error | undefined;
  watcher: CacheWatcher | undefined;

  constructor(scope: Scope) {
    this.scope = scope;
  }
  follow(cache: ResourceCache, after: number): this {
    this.watcher = cache.watch(after, this.scope, {
      event: (e) => this.#take(e),
      progress: (r) => void this.progress.push(r),
      end: (e) => (this.ended = e),
    });
    return this;
  }
  load(cache: ResourceCache): number {
    const list = cache.snapshot(this.scope);
    this.state.clear();
    for (const e of list.entries) this.state.set(e.key, e.json.toString());
    return list.revision;
  }
  leave(): void {
    this.watcher?.close();
    this.watcher = undefined;
  }
  /** Where to go on. */
  get last(): number {
    return Math.max(this.revisions.at(-1) ?? 0, this.progress.at(-1) ?? 0);
  }
  #take(e: CacheEvent): boolean {
    if (e.revision <= (this.revisions.at(-1) ?? 0)) this.mistakes.push(`${e.revision} after ${this.revisions.at(-1)}`);
    this.revisions.push(e.revision);
    if (e.type === 'put' && inside(this.scope, e.entry)) this.state.set(e.entry.key, e.entry.json.toString());
    else this.state.delete(e.entry.key);
    return true;
  }
}

/** Whether an entry is what the scope asks for. */
export function inside(scope: Scope, e: Entry): boolean {
  const o = e.object() as Pod;
  return (
    (scope.namespace === undefined || o.metadata?.namespace === scope.namespace) &&
    (scope.name === undefined || o.metadata?.name === scope.name) &&
    (!scope.label || o.metadata?.labels?.[scope.label.key] === scope.label.value) &&
    (!scope.field || o.spec.nodeName === scope.field.value)
  );
}

interface SetupOptions {
  clock?: Clock;
  lmdb?: boolean;
  patienceMs?: number;
  historyEvents?: number;
  historyBytes?: number;
  oldHistoryBytes?: number;
}

export async function setup(options: SetupOptions = {}) {
  const clock = options.clock ?? systemClock;
  const dataDir = options.lmdb ? await mkdtemp(join(tmpdir(), 'k8ts-cache-')) : undefined;
  const engine = await openStore({ backend: dataDir ? 'lmdb' : 'memory', dataDir, clock, logger: silentLogger });
  const store = faultyStore(engine);
  const cache = createWatchCache({ store, logger: silentLogger, ...options, clock });
  const resource = await cache.resource(pods);
  const close = async () => {
    await cache.close();
    await engine.close();
    if (dataDir) await rm(dataDir, { recursive: true, force: true });
  };
  return { store, cache, resource, close };
}
