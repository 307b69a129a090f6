/** Questions about addresses and ranges of both families. Pure. */
import { BlockList } from 'node:net';

export const isV6 = (text: string): boolean => text.includes(':');
const familyOf = (text: string) => (isV6(text) ? 'ipv6' : 'ipv4');

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
