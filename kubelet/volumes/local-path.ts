/**
 * Data of volumes that are directories of this node: removed when their volume is, also when the kubelet was away.
 * What is here is written down, so that only directories that were once seen as volumes of this very cluster are removed.
 */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import type { Clock, Rand } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { LOCAL_PATH_NODE, LOCAL_PATH_PROVISIONER, localPathFolder, localPathNode } from '../../api/local-path.ts';
import type { DeepReadonly, PersistentVolume } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { createInformer } from '../../client/informer.ts';
import { persistentVolumes } from '../../client/resources.ts';

interface Ledger {
  /** Tells clusters apart: a hash of the authority of the API server. */
  cluster: string;
  /** Directories by volume name. */
  volumes: Record<string, string>;
}

const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';

/** The directory that goes with the volume; undefined for one whose data are not ours to remove. */
function ownDirectory(pv: DeepReadonly<PersistentVolume>): string | undefined {
  const path = pv.spec?.local?.path;
  const ref = pv.spec?.claimRef;
  if (!path || !isAbsolute(path) || pv.metadata?.annotations?.[PROVISIONED_BY] !== LOCAL_PATH_PROVISIONER)
    return undefined;
  if (pv.spec?.persistentVolumeReclaimPolicy !== 'Delete' || !ref?.uid) return undefined;
  return basename(path) === localPathFolder(ref.uid, ref.namespace ?? '', ref.name ?? '') ? path : undefined;
}

export function startLocalPath(options: {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  nodeName: string;
  rootDir: string;
}): { stop(): void } {
  const { client, logger } = options;
  const file = join(options.rootDir, 'local-path.json');
  const cluster = createHash('sha256')
    .update(String(client.options.ca ?? client.options.server))
    .digest('hex');
  let ledger: Ledger = { cluster, volumes: {} };
  try {
    const had = JSON.parse(readFileSync(file, 'utf8')) as Ledger;
    if (had.cluster === cluster) ledger = had;
  } catch {
    // the first time
  }
  const save = () => {
    writeFileSync(`${file}.new`, JSON.stringify(ledger));
    renameSync(`${file}.new`, file);
  };
  let last: Promise<unknown> = Promise.resolve();
  const later = (work: () => Promise<void>) => {
    last = last.then(work).catch((error: unknown) => logger.warn('volume data stay', { error: String(error) }));
  };

  function seen(pv: DeepReadonly<PersistentVolume>): void {
    const name = pv.metadata!.name!;
    const path = ownDirectory(pv);
    if (path === ledger.volumes[name]) return;
    later(async () => {
      // written down before it is made
      if (path === undefined) delete ledger.volumes[name];
      else ledger.volumes[name] = path;
      save();
      if (path === undefined) return;
      await mkdir(path, { recursive: true });
      // whoever the pod runs as is to write there
      await chmod(path, 0o777);
    });
  }
  function gone(name: string): void {
    later(async () => {
      const path = ledger.volumes[name];
      if (path === undefined) return;
      await rm(path, { recursive: true, force: true });
      delete ledger.volumes[name];
      save();
      logger.info('removed the data of a deleted volume', { volume: name });
    });
  }

  const informer = createInformer(persistentVolumes, {
    ...options,
    labelSelector: `${LOCAL_PATH_NODE}=${localPathNode(options.nodeName)}`,
  });
  informer.on({ added: seen, updated: seen, deleted: (pv) => gone(pv.metadata!.name!) });
  informer.start();
  void informer.synced().then(
    () => {
      for (const name of Object.keys(ledger.volumes)) if (!informer.get(name)) gone(name);
    },
    () => {},
  );
  return { stop: () => informer.stop() };
}
