/** Which size of huge pages an emptyDir is made of. https://kubernetes.io/docs/tasks/manage-hugepages/scheduling-hugepages/ */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { VolumeError } from './types.ts';

const PREFIX = 'hugepages-';

/** "HugePages-2Mi" names the size; "HugePages" stands for the only one that the pod asks for. */
export function pageSize(pod: DeepReadonly<Pod>, medium: string, volume: string): string {
  const containers = [...(pod.spec!.initContainers ?? []), ...pod.spec!.containers];
  const lists = [pod.spec!.resources, ...containers.map((c) => c.resources)];
  const asked = new Set(
    lists.flatMap((r) =>
      Object.keys({ ...r?.requests, ...r?.limits }).flatMap((k) =>
        k.startsWith(PREFIX) ? [k.slice(PREFIX.length)] : [],
      ),
    ),
  );
  const named = /^HugePages-(.+)$/.exec(medium)?.[1];
  if (named !== undefined) {
    if (!asked.has(named))
      throw new VolumeError(`volume ${volume}: medium ${medium} but no container asks for ${PREFIX}${named}`);
    return named;
  }
  if (asked.size !== 1)
    throw new VolumeError(
      `volume ${volume}: medium HugePages needs exactly one page size among the containers' resources, not ${asked.size}`,
    );
  return [...asked][0]!;
}
