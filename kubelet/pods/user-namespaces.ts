/** Which ids of the node a pod with a user namespace of its own is given (spec.hostUsers: false). https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/ */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { IdMapping } from '../cri/types.ts';

/** Ids that each pod gets. */
const LENGTH = 65_536;
/** Below it are the node's own users. */
const FIRST = 65_536;
const FILE = 'userns';

interface Saved {
  uidMappings: { hostId: number; containerId: number; length: number }[];
  gidMappings: { hostId: number; containerId: number; length: number }[];
}

export interface UserNamespaces {
  /** The pod's mapping, the same each time; undefined for a pod that uses the node's users. Its folder must be there. */
  of(pod: DeepReadonly<Pod>): Promise<IdMapping[] | undefined>;
  release(uid: string): void;
}

/** `podsDir` is ROOT/pods, `most` the number of pods at once. */
export function createUserNamespaces(podsDir: string, most: number): UserNamespaces {
  let known: Promise<Map<string, number>> | undefined;

  async function load(): Promise<Map<string, number>> {
    const out = new Map<string, number>();
    for (const uid of await readdir(podsDir).catch(() => [] as string[])) {
      const text = await readFile(join(podsDir, uid, FILE), 'utf8').catch(() => undefined);
      const first = text === undefined ? undefined : (JSON.parse(text) as Saved).uidMappings[0];
      if (first) out.set(uid, first.hostId);
    }
    return out;
  }

  return {
    async of(pod) {
      if (pod.spec!.hostUsers !== false) return undefined;
      const uid = pod.metadata!.uid!;
      const all = await (known ??= load());
      let host = all.get(uid);
      if (host === undefined) {
        const taken = new Set(all.values());
        for (let i = 0; i < most && host === undefined; i++)
          if (!taken.has(FIRST + i * LENGTH)) host = FIRST + i * LENGTH;
        if (host === undefined) throw new Error('could not find an empty slot to allocate a user namespace');
        all.set(uid, host);
        const mapping = [{ hostId: host, containerId: 0, length: LENGTH }];
        const saved: Saved = { uidMappings: mapping, gidMappings: mapping };
        await writeFile(join(podsDir, uid, FILE), JSON.stringify(saved));
      }
      return [{ host_id: host, container_id: 0, length: LENGTH }];
    },
    release(uid) {
      void known?.then((all) => all.delete(uid));
    },
  };
}
