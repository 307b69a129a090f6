/**
 * Container Device Interface: what a device name stands for, from the specs in /etc/cdi and /var/run/cdi. For runtimes
 * that don't read them (containerd before 2). https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseYaml } from '../../base/yaml.ts';

interface Edits {
  env?: string[];
  deviceNodes?: { path: string; hostPath?: string; permissions?: string }[];
  mounts?: { hostPath: string; containerPath: string; options?: string[] }[];
  hooks?: unknown[];
  additionalGids?: number[];
}
interface Spec {
  kind?: string;
  devices?: { name: string; containerEdits?: Edits }[];
  containerEdits?: Edits;
}

export interface CdiEdits {
  envs: { key: string; value: string }[];
  devices: { container_path: string; host_path: string; permissions: string }[];
  mounts: { container_path: string; host_path: string; readonly: boolean }[];
  gids: number[];
}

/** Later folders win over earlier ones. */
const CDI_FOLDERS = ['/etc/cdi', '/var/run/cdi'];

async function specs(folders: readonly string[]): Promise<Spec[]> {
  const out: Spec[] = [];
  for (const dir of folders)
    for (const name of (await readdir(dir).catch(() => [] as string[])).sort()) {
      if (!/\.(json|yaml)$/.test(name)) continue;
      try {
        out.push((parseYaml(await readFile(join(dir, name), 'utf8')) ?? {}) as Spec);
      } catch {
        // another's broken file must not stop this container
      }
    }
  return out;
}

/** The changes that devices named like `vendor.com/class=name` make in a container; rejects for a name nobody knows. */
export async function resolveCdi(names: readonly string[], folders = CDI_FOLDERS): Promise<CdiEdits> {
  const out: CdiEdits = { envs: [], devices: [], mounts: [], gids: [] };
  if (names.length === 0) return out;
  const all = await specs(folders);
  const seen = new Set<Spec>();
  const take = (e: Edits | undefined, name: string) => {
    if (e?.hooks?.length)
      throw new Error(`CDI device ${name} needs hooks, which this container runtime can't be given`);
    for (const pair of e?.env ?? []) {
      const i = pair.indexOf('=');
      out.envs.push({ key: i < 0 ? pair : pair.slice(0, i), value: i < 0 ? '' : pair.slice(i + 1) });
    }
    for (const d of e?.deviceNodes ?? [])
      out.devices.push({
        container_path: d.path,
        host_path: d.hostPath ?? d.path,
        permissions: d.permissions || 'rwm',
      });
    for (const m of e?.mounts ?? [])
      out.mounts.push({
        container_path: m.containerPath,
        host_path: m.hostPath,
        readonly: m.options?.includes('ro') ?? false,
      });
    out.gids.push(...(e?.additionalGids ?? []));
  };
  for (const name of names) {
    const [kind, device] = name.split('=') as [string, string | undefined];
    const spec = all.findLast((s) => s.kind === kind && s.devices?.some((d) => d.name === device));
    if (!spec) throw new Error(`unresolvable CDI devices ${name}`);
    if (!seen.has(spec)) take(spec.containerEdits, name);
    seen.add(spec);
    take(spec.devices!.find((d) => d.name === device)!.containerEdits, name);
  }
  return out;
}
