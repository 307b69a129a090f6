/**
 * A VXLAN between nodes that share no segment (RFC 7348). Nobody has to tell anybody anything: the hardware address of
 * a node's end follows from the node's address, and its end has the first address of the node's pod range.
 */
import { createHash } from 'node:crypto';
import type { Exec } from '../../base/exec.ts';
import { isV6 } from './addresses.ts';

export const OVERLAY = 'k8ts.vxlan';
const VNI = '1';
/** The port that Linux's VXLAN has always had among Kubernetes networks. */
const PORT = '8472';

/** A node at the far end. */
export interface OverlayPeer {
  mac: string;
  /** Its address on the network below. */
  under: string;
  /** The addresses of its end, one per family. */
  ends: readonly string[];
}

/** A locally administered address that a node's own address leads to. Pure. */
export function macOf(nodeAddress: string): string {
  const h = createHash('sha256').update(nodeAddress).digest('hex');
  return `0a:${h.slice(0, 10).match(/../g)!.join(':')}`;
}

/** Bytes that the wrapping takes from every packet. */
export const overhead = (under: string): number => (isV6(under) ? 70 : 50);

export interface OverlayState {
  /** This machine's hardware address in the overlay; undefined for one that is no node. */
  mac: string | undefined;
  /** Addresses of this machine's end. */
  ends: readonly string[];
  mtu: number | undefined;
  peers: readonly OverlayPeer[];
}

/** Brings the device to what it should be; without peers there is none. */
export async function syncOverlay(exec: Exec, state: OverlayState): Promise<void> {
  const link = JSON.parse((await exec('ip', ['-j', 'link', 'show', 'dev', OVERLAY]).catch(() => '')) || '[]') as {
    address?: string;
    mtu?: number;
  }[];
  let there = link.length > 0;
  if (there && (state.peers.length === 0 || (state.mac && link[0]!.address !== state.mac))) {
    await exec('ip', ['link', 'del', OVERLAY]);
    there = false;
  }
  if (state.peers.length === 0) return;
  const mac = state.mac ? ['address', state.mac] : [];
  if (!there)
    await exec('ip', ['link', 'add', OVERLAY, ...mac, 'type', 'vxlan', 'id', VNI, 'dstport', PORT, 'nolearning']);
  const mtu = state.mtu && link[0]?.mtu !== state.mtu ? ['mtu', String(state.mtu)] : [];
  await exec('ip', ['link', 'set', OVERLAY, ...mtu, 'up']);
  for (const ip of state.ends)
    await exec('ip', [
      'addr',
      'replace',
      `${ip}/${isV6(ip) ? 128 : 32}`,
      'dev',
      OVERLAY,
      ...(isV6(ip) ? ['nodad'] : []),
    ]);

  const forward = JSON.parse((await exec('bridge', ['-j', 'fdb', 'show', 'dev', OVERLAY])) || '[]') as {
    mac: string;
    dst?: string;
  }[];
  const haveForward = new Map(forward.flatMap((f) => (f.dst ? [[f.mac, f.dst] as const] : [])));
  const near = JSON.parse((await exec('ip', ['-j', 'neigh', 'show', 'dev', OVERLAY, 'nud', 'permanent'])) || '[]') as {
    dst: string;
    lladdr?: string;
  }[];
  const haveNear = new Map(near.map((n) => [n.dst, n.lladdr ?? '']));
  for (const p of state.peers) {
    if (haveForward.get(p.mac) !== p.under)
      await exec('bridge', ['fdb', 'replace', p.mac, 'dev', OVERLAY, 'dst', p.under, 'self', 'permanent']);
    haveForward.delete(p.mac);
    for (const ip of p.ends) {
      if (haveNear.get(ip) !== p.mac)
        await exec('ip', ['neigh', 'replace', ip, 'lladdr', p.mac, 'dev', OVERLAY, 'nud', 'permanent']);
      haveNear.delete(ip);
    }
  }
  for (const mac of haveForward.keys()) await exec('bridge', ['fdb', 'del', mac, 'dev', OVERLAY]).catch(() => {});
  for (const ip of haveNear.keys()) await exec('ip', ['neigh', 'del', ip, 'dev', OVERLAY]).catch(() => {});
}
