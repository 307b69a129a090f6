/** Image volumes: the files of an image as a read-only volume (KEP-4639). */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Exec } from '../../base/exec.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { Runtime } from '../cri/types.ts';
import { mountsBelow, unmountBelow } from './mounts.ts';

const IMAGE_FOLDER = 'kubernetes.io~image';
const keyOf = (uid: string, volume: string): string => `k8ts-image-volume-${uid}-${volume}`;

/** Brings the image here by its pull policy; resolves with its id. */
export type EnsureImage = (
  pod: DeepReadonly<Pod>,
  volume: string,
  reference: string,
  policy: string | undefined,
) => Promise<string>;

export async function mountImage(
  deps: { exec: Exec; runtime: Runtime; ensureImage: EnsureImage },
  pod: DeepReadonly<Pod>,
  volumes: string,
  name: string,
  reference: string,
  policy: string | undefined,
): Promise<string> {
  const dir = join(volumes, IMAGE_FOLDER, name);
  if ((await mountsBelow(dir)).length > 0) return dir;
  const id = await deps.ensureImage(pod, name, reference, policy);
  // the folder says that there may be a view: it comes before it and goes after it
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const mounts = await deps.runtime.viewImage(keyOf(pod.metadata!.uid!, name), id);
  for (const m of mounts)
    await deps.exec('mount', [
      '-t',
      m.type,
      '-o',
      ['ro', 'noexec', ...m.options.filter((o) => o !== 'ro' && o !== 'rw')].join(','),
      m.source,
      dir,
    ]);
  return dir;
}

/** Unmounts what a pod has below `root` and gives back its views of images. */
export async function releaseImages(
  deps: { exec: Exec; runtime: Runtime },
  uid: string,
  root: string,
  volumes: string,
): Promise<void> {
  const names = await readdir(join(volumes, IMAGE_FOLDER)).catch(() => [] as string[]);
  if (names.length > 0) await unmountBelow(deps.exec, root);
  for (const name of names) await deps.runtime.releaseImage(keyOf(uid, name));
}
