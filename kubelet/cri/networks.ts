/** What containerd's CRI tells of its networks in a verbose Status. Other runtimes tell nothing that is understood here. */
import { join } from 'node:path';

export interface CniPlugin {
  type: string;
  capabilities?: Record<string, boolean>;
  ipam?: { type?: string; dataDir?: string; ranges?: { subnet?: string }[][] };
  [field: string]: unknown;
}

/** A list of CNI plugins that sandboxes are connected by. */
export interface SandboxNetwork {
  name: string;
  cniVersion: string;
  plugins: readonly CniPlugin[];
}

export interface SandboxNetworks {
  /** The folder with the network namespaces that the runtime makes. */
  namespaces: string;
  /** Folders with plugins. */
  binDirs: readonly string[];
  lists: readonly SandboxNetwork[];
}

type Info = Record<string, string> | undefined;

interface CniInfo {
  PluginDirs?: string[];
  Networks?: { Config?: { Source?: string } }[];
}

/** Undefined where the runtime doesn't say. */
export function networksOf(info: Info): SandboxNetworks | undefined {
  if (!info?.['config'] || !info['cniconfig']) return undefined;
  const config = JSON.parse(info['config']) as { netnsMountsUnderStateDir?: boolean; stateDir?: string };
  const cni = JSON.parse(info['cniconfig']) as CniInfo;
  const own = config.netnsMountsUnderStateDir === true;
  if (own && !config.stateDir) return undefined;
  return {
    namespaces: own ? join(config.stateDir!, 'netns') : '/var/run/netns',
    binDirs: cni.PluginDirs ?? [],
    lists: (cni.Networks ?? []).flatMap((n) => {
      const list = JSON.parse(n.Config?.Source ?? '{}') as Partial<SandboxNetwork>;
      return list.name && list.plugins
        ? [{ name: list.name, cniVersion: list.cniVersion ?? '0.2.0', plugins: list.plugins }]
        : [];
    }),
  };
}

/** The path of a sandbox's network namespace, out of its verbose status; undefined where it isn't told. */
export function namespaceOf(info: Info): string | undefined {
  const { runtimeSpec } = JSON.parse(info?.['info'] ?? '{}') as {
    runtimeSpec?: { linux?: { namespaces?: { type: string; path?: string }[] } };
  };
  return runtimeSpec?.linux?.namespaces?.find((n) => n.type === 'network')?.path || undefined;
}
