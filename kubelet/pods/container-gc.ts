/** Removes ended containers and sandboxes that nobody will ask for any more. */
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { isGrpcNotFound } from '../cri/client.ts';
import type { PodDeps } from './deps.ts';
import { legacyLogName } from './identity.ts';
import { hasExited, type PodRuntimeState, type RuntimeContainerState } from './state.ts';

/** The last one that ended is what `kubectl logs --previous` shows; one more while the newest itself has ended. */
const KEEP = 2;

/** What may be removed of a pod that goes on running. */
export function garbage(state: PodRuntimeState): { containers: RuntimeContainerState[]; sandboxes: string[] } {
  const kept = new Map<string, number>();
  const containers: RuntimeContainerState[] = [];
  const used = new Set<string>();
  for (const c of state.containers) {
    const n = kept.get(c.name) ?? 0;
    if (hasExited(c) && n >= KEEP) containers.push(c);
    else {
      if (hasExited(c)) kept.set(c.name, n + 1);
      used.add(c.sandboxId);
    }
  }
  const sandboxes = state.sandboxes
    .slice(1)
    .filter((s) => s.state === 'SANDBOX_NOTREADY' && !used.has(s.id))
    .map((s) => s.id);
  return { containers, sandboxes };
}

/** Removes the container with its log files. */
export async function removeContainer(
  pod: DeepReadonly<Pod>,
  c: { id: string; name: string; log_path: string },
  deps: PodDeps,
): Promise<void> {
  await deps.runtime.removeContainer(c.id).catch((error: unknown) => {
    if (!isGrpcNotFound(error)) throw error;
  });
  await rm(join(deps.containerLogsDir, legacyLogName(pod, c.name, c.id)), { force: true });
  if (c.log_path === '') return;
  const dir = dirname(c.log_path);
  const base = basename(c.log_path);
  for (const f of await readdir(dir).catch(() => []))
    if (f === base || f.startsWith(`${base}.`)) await rm(join(dir, f), { force: true });
}

export async function collectGarbage(pod: DeepReadonly<Pod>, state: PodRuntimeState, deps: PodDeps): Promise<void> {
  const { containers, sandboxes } = garbage(state);
  try {
    for (const c of containers) await removeContainer(pod, c, deps);
    for (const id of sandboxes) await deps.runtime.removeSandbox(id);
  } catch (error) {
    deps.logger.debug('garbage stays for now', { error });
  }
}
