/** The node's CNI configuration: a bridge with addresses from Node.spec.podCIDR, host ports, bandwidth limits. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CniOptions {
  podCidrs: readonly string[];
  /** Where host-local remembers its addresses. */
  dataDir: string;
  /** The bandwidth plugin is installed. */
  bandwidth: boolean;
  mtu?: number;
}

/** The network list as JSON text. Pure. */
export function cniConfig(options: CniOptions): string {
  const plugins: object[] = [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      isDefaultGateway: true,
      hairpinMode: true,
      ipMasq: false,
      ...(options.mtu ? { mtu: options.mtu } : {}),
      ipam: { type: 'host-local', dataDir: options.dataDir, ranges: options.podCidrs.map((subnet) => [{ subnet }]) },
    },
    { type: 'portmap', capabilities: { portMappings: true }, snat: true },
  ];
  if (options.bandwidth) plugins.push({ type: 'bandwidth', capabilities: { bandwidth: true } });
  return JSON.stringify({ cniVersion: '0.4.0', name: 'k8ts', plugins }, undefined, 2) + '\n';
}

/** Writes the configuration when it differs; the runtime picks it up by itself. */
export function writeCniConfig(dir: string, text: string): boolean {
  const file = join(dir, '10-k8ts.conflist');
  try {
    if (readFileSync(file, 'utf8') === text) return false;
  } catch {
    // not there yet
  }
  mkdirSync(dir, { recursive: true });
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
  return true;
}
