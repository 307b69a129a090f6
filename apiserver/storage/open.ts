/** Chooses and opens a storage engine. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { EtcdOptions } from './etcd/connection.ts';
import type { Store } from './store.ts';
import { transformValues, type ValueTransformer } from './transform.ts';
import { translated, type Translation } from './translated.ts';

/** The values of --storage-backend. */
export type StorageBackend = 'memory' | 'lmdb' | 'etcd3';

export interface StoreOptions {
  backend: StorageBackend;
  clock: Clock;
  logger: Logger;
  /** For lmdb: where the database lies. */
  dataDir?: string;
  /** For etcd3. */
  etcd?: EtcdOptions;
  /** Changes value bytes on their way in and out (encryption at rest). */
  transformer?: ValueTransformer;
  /** The form that keys and values have in the engine, when it isn't ours. */
  translation?: Translation;
}

/** Opens the store; throws a plain sentence when options are missing or the data directory is taken. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const store = await openEngine(options);
  const plain = options.transformer ? transformValues(store, options.transformer) : store;
  return options.translation ? translated(plain, options.translation) : plain;
}

/** Only the engine that is used is loaded. */
async function openEngine({ backend, clock, logger, dataDir, etcd }: StoreOptions): Promise<Store> {
  switch (backend) {
    case 'memory':
      return (await import('./memory/store.ts')).createMemoryStore({ clock });
    case 'lmdb':
      if (!dataDir) throw new Error('the lmdb storage backend needs a data directory (--data-dir)');
      return (await import('./lmdb/store.ts')).openLmdbStore({ dataDir, clock, logger });
    case 'etcd3':
      if (!etcd?.servers.length) throw new Error('the etcd3 storage backend needs --etcd-servers');
      return (await import('./etcd/store.ts')).createEtcdStore({ ...etcd, clock });
  }
}
