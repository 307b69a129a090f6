/** Questions about addresses and ranges of both families. Pure. */
import { BlockList, isIP } from 'node:net';

export const isV6 = (text: string): boolean => text.includes(':');
const familyOf = (text: string) => (isV6(text) ? 'ipv6' : 'ipv4');

/**
 * An address as the kernel's tools take it: Kubernetes allows leading zeros, and IPv4 in the form of IPv6, which both
 * mean the plain IPv4 address. Undefined for what is no address.
 */
export function plainAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const v4 = /^(?:::ffff:)?([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/i.exec(text);
  if (!v4) return isIP(text) === 6 && !text.includes('%') ? text : undefined;
  const parts = v4.slice(1).map(Number);
  return parts.every((n) => n <= 255) ? parts.join('.') : undefined;
}

/** A range in the same form; undefined for what is none. */
export function plainRange(text: string | undefined): string | undefined {
  const [address, prefix = '', ...rest] = (text ?? '').trim().split('/');
  const ip = plainAddress(address);
  if (ip === undefined || rest.length > 0 || !/^[0-9]+$/.test(prefix)) return undefined;
  // an IPv4 range counts its bits as such
  if (isV6(ip) !== isV6(address!) || Number(prefix) > (isV6(ip) ? 128 : 32)) return undefined;
  return `${ip}/${Number(prefix)}`;
}

/** A test of whether an address lies in one of the ranges; a text that is no range is left out. */
export function inRanges(cidrs: readonly string[]): (ip: string) => boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [ip = '', prefix = ''] = cidr.split('/');
    try {
      list.addSubnet(ip, Number(prefix), familyOf(ip));
    } catch {
      // no range
    }
  }
  return (ip) => list.check(ip, familyOf(ip));
}

/** The ranges without those that others of them hold: nft takes no overlaps within one set. */
export function withoutOverlaps(cidrs: readonly string[]): string[] {
  const prefix = (c: string) => Number(c.split('/')[1]);
  const out: string[] = [];
  for (const c of [...new Set(cidrs)].sort((a, b) => prefix(a) - prefix(b)))
    if (!inRanges(out)(c.split('/')[0]!)) out.push(c);
  return out;
}
