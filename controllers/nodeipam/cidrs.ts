/** Cuts a cluster's pod ranges into ranges for nodes. Pure. */
import { isIPv4, isIPv6 } from 'node:net';

export interface Cidr {
  readonly family: 4 | 6;
  /** The first address as a number. */
  readonly base: bigint;
  readonly prefix: number;
}

function parseV6(text: string): bigint {
  let head = text;
  const v4 = /^(.*:)([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)$/.exec(text);
  if (v4) {
    const n = parseV4(v4[2]!);
    head = `${v4[1]}${(n >> 16n).toString(16)}:${(n & 0xffffn).toString(16)}`;
  }
  const [left = '', right] = head.split('::');
  const groups = (s: string) => (s === '' ? [] : s.split(':'));
  const a = groups(left);
  const b = right === undefined ? [] : groups(right);
  const all = [...a, ...Array.from({ length: right === undefined ? 0 : 8 - a.length - b.length }, () => '0'), ...b];
  return all.reduce((n, g) => (n << 16n) | BigInt(`0x${g}`), 0n);
}

function parseV4(text: string): bigint {
  return text.split('.').reduce((n, g) => (n << 8n) | BigInt(g), 0n);
}

/** @throws Error when the text is no CIDR. */
export function parseCidr(text: string): Cidr {
  const [ip = '', bits] = text.split('/');
  const family = isIPv4(ip) ? 4 : isIPv6(ip) ? 6 : undefined;
  const size = family === 4 ? 32 : 128;
  const prefix = Number(bits);
  if (!family || bits === undefined || !/^[0-9]+$/.test(bits) || prefix > size)
    throw new Error(`invalid CIDR address: ${text}`);
  const value = family === 4 ? parseV4(ip) : parseV6(ip);
  const host = BigInt(size - prefix);
  return { family, base: (value >> host) << host, prefix };
}

/** The shortest form, as RFC 5952 has it. */
export function formatAddress(family: 4 | 6, value: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((s) => String((value >> s) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt((7 - i) * 16)) & 0xffffn).toString(16));
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (groups[i + n] === '0') n++;
    if (n > best.length) best = { at: i, length: n };
  }
  if (best.at < 0) return groups.join(':');
  return `${groups.slice(0, best.at).join(':')}::${groups.slice(best.at + best.length).join(':')}`;
}

export function formatCidr(c: Cidr): string {
  return `${formatAddress(c.family, c.base)}/${c.prefix}`;
}

/** Whether two ranges share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  if (a.family !== b.family) return false;
  const shift = BigInt((a.family === 4 ? 32 : 128) - Math.min(a.prefix, b.prefix));
  return a.base >> shift === b.base >> shift;
}

/** Hands out ranges of one size from one range, going round so that freed ones are not used again at once. */
export class CidrPool {
  readonly range: Cidr;
  readonly #prefix: number;
  readonly #count: bigint;
  readonly #used = new Set<bigint>();
  #next = 0n;

  /** @throws Error when nodes would get more than the cluster has. */
  constructor(range: Cidr, prefix: number) {
    if (prefix < range.prefix)
      throw new Error(`node CIDR mask size /${prefix} is larger than the cluster CIDR ${formatCidr(range)}`);
    this.range = range;
    this.#prefix = prefix;
    this.#count = 1n << BigInt(prefix - range.prefix);
  }

  #shift(): bigint {
    return BigInt((this.range.family === 4 ? 32 : 128) - this.#prefix);
  }

  /** Marks all parts that a range touches; others' ranges are no concern. */
  occupy(c: Cidr): void {
    if (!overlaps(c, this.range)) return;
    const shift = this.#shift();
    const size = 1n << BigInt((c.family === 4 ? 32 : 128) - c.prefix);
    const first = c.base > this.range.base ? (c.base - this.range.base) >> shift : 0n;
    const last = (c.base + size - 1n - this.range.base) >> shift;
    for (let i = first; i <= last && i < this.#count; i++) this.#used.add(i);
  }

  release(c: Cidr): void {
    if (c.prefix === this.#prefix && overlaps(c, this.range))
      this.#used.delete((c.base - this.range.base) >> this.#shift());
  }

  /** The next free range; undefined when all are in use. */
  allocate(): Cidr | undefined {
    if (BigInt(this.#used.size) >= this.#count) return undefined;
    for (let i = 0n; i < this.#count; i++) {
      const at = (this.#next + i) % this.#count;
      if (this.#used.has(at)) continue;
      this.#used.add(at);
      this.#next = (at + 1n) % this.#count;
      return { family: this.range.family, base: this.range.base + (at << this.#shift()), prefix: this.#prefix };
    }
    return undefined;
  }
}
