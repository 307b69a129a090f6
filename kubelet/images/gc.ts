/** Removes images that no container uses when the disk fills up, those longest unused first. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import type { Image, Runtime } from '../cri/types.ts';
import { fsStats, type FsStats } from '../node/machine.ts';

export interface ImageGc {
  /** Frees down to the low threshold when the disk is fuller than the high one; removes what is unused for too long. */
  collect(): Promise<void>;
  /** Removes all that is unused; resolves with the bytes freed. */
  collectAll(): Promise<number>;
}

export function createImageGc(options: {
  config: KubeletConfiguration;
  clock: Clock;
  logger: Logger;
  runtime: Runtime;
  disk?: (dir: string) => FsStats;
  /** The image is gone: it was unused for too long, or room was needed. */
  forget?(id: string, why: 'age' | 'space'): void;
  nodeEvent(type: 'Normal' | 'Warning', reason: string, message: string): void;
}): ImageGc {
  const { config, clock, runtime, logger } = options;
  const disk = options.disk ?? fsStats;
  const seen = new Map<string, { first: number; used: number }>();

  /** Images that may go, longest unused first. */
  async function unused(): Promise<Image[]> {
    const [images, containers] = await Promise.all([runtime.listImages(), runtime.listContainers()]);
    const now = clock.now();
    const inUse = new Set(containers.flatMap((c) => [c.image_ref, c.image.image]));
    const ids = new Set<string>();
    for (const i of images) {
      ids.add(i.id);
      const entry = seen.get(i.id) ?? { first: now, used: 0 };
      seen.set(i.id, entry);
      if ([i.id, ...i.repo_tags, ...i.repo_digests].some((n) => inUse.has(n))) entry.used = now;
    }
    for (const id of seen.keys()) if (!ids.has(id)) seen.delete(id);
    const isPause = (i: Image) => i.pinned || i.repo_tags.some((t) => /\/pause:/.test(t));
    return images
      .filter((i) => !isPause(i) && seen.get(i.id)!.used !== now)
      .sort((a, b) => seen.get(a.id)!.used - seen.get(b.id)!.used || seen.get(a.id)!.first - seen.get(b.id)!.first);
  }

  async function free(want: number, images: Image[], why: 'age' | 'space' = 'space'): Promise<number> {
    let freed = 0;
    const minAge = parseDuration(config.imageMinimumGCAge);
    for (const i of images) {
      if (freed >= want) break;
      if (clock.now() - seen.get(i.id)!.first < minAge) continue;
      await runtime.removeImage(i.id).then(
        () => {
          freed += i.size;
          options.forget?.(i.id, why);
        },
        (error: unknown) => logger.debug('image stays', { image: i.id, error }),
      );
    }
    return freed;
  }

  return {
    async collect() {
      const candidates = await unused();
      const maxAge = parseDuration(config.imageMaximumGCAge);
      if (maxAge > 0) {
        const old = candidates.filter(
          (i) => clock.now() - Math.max(seen.get(i.id)!.used, seen.get(i.id)!.first) > maxAge,
        );
        await free(Infinity, old, 'age');
      }
      const where = (await runtime.imageFsInfo())[0]?.fs_id?.mountpoint;
      if (!where) return;
      const fs = disk(where);
      const usage = 100 - Math.floor((fs.availableBytes * 100) / Math.max(fs.capacityBytes, 1));
      if (usage < config.imageGCHighThresholdPercent) return;
      const want = (fs.capacityBytes * (100 - config.imageGCLowThresholdPercent)) / 100 - fs.availableBytes;
      const freed = await free(want, candidates);
      if (freed < want)
        options.nodeEvent(
          'Warning',
          'FreeDiskSpaceFailed',
          `Failed to garbage collect required amount of images. Attempted to free ${Math.round(want)} bytes, but only found ${freed} bytes eligible to free.`,
        );
    },
    collectAll: async () => free(Infinity, await unused()),
  };
}
