/** kube-apiserver's URLs, IP addresses and CIDR blocks. */
import { isIP } from 'node:net';
import { type Functions, fn, method } from '../functions.ts';
import { ArrayList, CelError, LiteralMap, OpaqueValue, type Value } from '../values.ts';

class UrlValue extends OpaqueValue {
  readonly typeName = 'kubernetes.URL';
  readonly url: URL;
  /** The text as it was given: schemes, hosts and ports are shown as written. */
  readonly text: string;
  constructor(url: URL, text: string) {
    super();
    this.url = url;
    this.text = text;
  }
  override equals(other: Value): boolean {
    return other instanceof UrlValue && other.text === this.text;
  }
  get authority(): string {
    const m = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#]*)/.exec(this.text);
    return (m?.[1] ?? '').replace(/^.*@/, '');
  }
}

/** An absolute URI or a path from the root, as Go's ParseRequestURI takes it. */
function parseUrl(text: string): UrlValue | undefined {
  // oxlint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f ]/.test(text) || /%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  const absolute = /^[A-Za-z][A-Za-z0-9+.-]*:/.test(text);
  if (!absolute && !text.startsWith('/')) return undefined;
  try {
    const url = absolute ? new URL(text) : new URL(text, 'none://none');
    return new UrlValue(url, text);
  } catch {
    return undefined;
  }
}

const hostname = (u: UrlValue): string => u.authority.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
function escapedPath(u: UrlValue): string {
  const m = /^(?:[A-Za-z][A-Za-z0-9+.-]*:(?:\/\/[^/?#]*)?)?([^?#]*)/.exec(u.text);
  return m?.[1] ?? '';
}
function query(u: UrlValue): LiteralMap {
  const params = new Map<string, string[]>();
  for (const [k, v] of u.url.searchParams) params.set(k, [...(params.get(k) ?? []), v]);
  return new LiteralMap([...params].map(([k, v]): [Value, Value] => [k, new ArrayList(v)]));
}

/** An address as a number of 32 or 128 bits. */
class IpValue extends OpaqueValue {
  readonly typeName = 'net.IP';
  readonly family: 4 | 6;
  readonly bits: bigint;
  constructor(family: 4 | 6, bits: bigint) {
    super();
    this.family = family;
    this.bits = bits;
  }
  override equals(other: Value): boolean {
    return other instanceof IpValue && other.family === this.family && other.bits === this.bits;
  }
  get width(): number {
    return this.family === 4 ? 32 : 128;
  }
  /** The first `n` bits. */
  prefix(n: number): bigint {
    return this.bits >> BigInt(this.width - n);
  }
  toText(): string {
    if (this.family === 4) return [24n, 16n, 8n, 0n].map((s) => (this.bits >> s) & 255n).join('.');
    const groups = Array.from({ length: 8 }, (_, i) => Number((this.bits >> BigInt(112 - 16 * i)) & 0xffffn));
    let best = { at: -1, length: 1 };
    for (let i = 0; i < 8; i++) {
      let n = 0;
      while (i + n < 8 && groups[i + n] === 0) n++;
      if (n > best.length) best = { at: i, length: n };
    }
    const hex = (part: number[]) => part.map((g) => g.toString(16)).join(':');
    return best.at < 0 ? hex(groups) : `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.length))}`;
  }
}

/** undefined: no address; zones and IPv4 inside IPv6 are refused. */
function parseIp(text: string): IpValue | undefined {
  const family = isIP(text);
  if (family === 4)
    return new IpValue(
      4,
      text.split('.').reduce((acc, part) => (acc << 8n) | BigInt(part), 0n),
    );
  if (family !== 6 || text.includes('%')) return undefined;
  let plain = text;
  const tail = /:(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail !== null) {
    const v4 = parseIp(tail[1]!)!.bits;
    plain = `${text.slice(0, tail.index + 1)}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`;
  }
  const [head, rest] = plain.split('::') as [string, string | undefined];
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const groups =
    rest === undefined ? left : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const bits = groups.reduce((acc, g) => (acc << 16n) | BigInt(`0x${g}`), 0n);
  return bits >> 32n === 0xffffn ? undefined : new IpValue(6, bits);
}
function toIp(text: string): IpValue {
  const ip = parseIp(text);
  if (ip === undefined)
    throw new CelError(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
  return ip;
}

class CidrValue extends OpaqueValue {
  readonly typeName = 'net.CIDR';
  readonly ip: IpValue;
  readonly length: number;
  constructor(ip: IpValue, length: number) {
    super();
    this.ip = ip;
    this.length = length;
  }
  override equals(other: Value): boolean {
    return other instanceof CidrValue && other.length === this.length && other.ip.equals(this.ip);
  }
  contains(ip: IpValue): boolean {
    return ip.family === this.ip.family && ip.prefix(this.length) === this.ip.prefix(this.length);
  }
}
function parseCidr(text: string): CidrValue | undefined {
  const m = /^(.*)\/(0|[1-9]\d{0,2})$/.exec(text);
  const ip = m === null ? undefined : parseIp(m[1]!);
  return ip === undefined || Number(m![2]) > ip.width ? undefined : new CidrValue(ip, Number(m![2]));
}
function toCidr(text: string): CidrValue {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new CelError('network address parse error during conversion from string');
  return cidr;
}
function masked({ ip, length }: CidrValue): CidrValue {
  const shift = BigInt(ip.width - length);
  return new CidrValue(new IpValue(ip.family, (ip.bits >> shift) << shift), length);
}
const within = (outer: CidrValue, inner: CidrValue): boolean =>
  outer.length <= inner.length && outer.contains(inner.ip);

const V4 = (text: string) => parseCidr(text)!;
const LOOPBACK = [V4('127.0.0.0/8'), V4('::1/128')];
const LINK_LOCAL = [V4('169.254.0.0/16'), V4('fe80::/10')];
const LINK_LOCAL_MULTICAST = [V4('224.0.0.0/24'), new CidrValue(new IpValue(6, 0xff02n << 112n), 16)];
const MULTICAST = [V4('224.0.0.0/4'), V4('ff00::/8')];
const inAny = (ip: IpValue, blocks: readonly CidrValue[]): boolean => blocks.some((b) => b.contains(ip));
const isBroadcast = (ip: IpValue) => ip.family === 4 && ip.bits === 0xffffffffn;
const is = (id: string, test: (ip: IpValue) => boolean) => [method(id, ['net.IP'], 'bool', test)];

export const NET: Functions = {
  url: [
    fn('string_to_url', ['string'], 'kubernetes.URL', (s: string) => {
      const url = parseUrl(s);
      if (url === undefined)
        throw new CelError(
          `URL parse error during conversion from string: parse ${JSON.stringify(s)}: invalid URI for request`,
        );
      return url;
    }),
  ],
  isURL: [fn('is_url_string', ['string'], 'bool', (s: string) => parseUrl(s) !== undefined)],
  getScheme: [
    method(
      'url_get_scheme',
      ['kubernetes.URL'],
      'string',
      (u: UrlValue) => /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(u.text)?.[1]?.toLowerCase() ?? '',
    ),
  ],
  getHost: [method('url_get_host', ['kubernetes.URL'], 'string', (u: UrlValue) => u.authority)],
  getHostname: [method('url_get_hostname', ['kubernetes.URL'], 'string', hostname)],
  getPort: [
    method('url_get_port', ['kubernetes.URL'], 'string', (u: UrlValue) => /:(\d+)$/.exec(u.authority)?.[1] ?? ''),
  ],
  getEscapedPath: [method('url_get_escaped_path', ['kubernetes.URL'], 'string', escapedPath)],
  getQuery: [method('url_get_query', ['kubernetes.URL'], 'map', query)],
  ip: [
    fn('string_to_ip', ['string'], 'net.IP', toIp),
    method('cidr_ip', ['net.CIDR'], 'net.IP', (c: CidrValue) => c.ip),
  ],
  isIP: [fn('is_ip', ['string'], 'bool', (s: string) => parseIp(s) !== undefined)],
  'ip.isCanonical': [fn('ip_is_canonical', ['string'], 'bool', (s: string) => toIp(s).toText() === s)],
  family: [method('ip_family', ['net.IP'], 'int', (ip: IpValue) => BigInt(ip.family))],
  isUnspecified: is('ip_is_unspecified', (ip) => ip.bits === 0n),
  isLoopback: is('ip_is_loopback', (ip) => inAny(ip, LOOPBACK)),
  isLinkLocalMulticast: is('ip_is_link_local_multicast', (ip) => inAny(ip, LINK_LOCAL_MULTICAST)),
  isLinkLocalUnicast: is('ip_is_link_local_unicast', (ip) => inAny(ip, LINK_LOCAL)),
  isGlobalUnicast: is(
    'ip_is_global_unicast',
    (ip) =>
      ip.bits !== 0n && !isBroadcast(ip) && !inAny(ip, LOOPBACK) && !inAny(ip, MULTICAST) && !inAny(ip, LINK_LOCAL),
  ),
  cidr: [fn('string_to_cidr', ['string'], 'net.CIDR', toCidr)],
  isCIDR: [fn('is_cidr', ['string'], 'bool', (s: string) => parseCidr(s) !== undefined)],
  containsIP: [
    method('cidr_contains_ip_string', ['net.CIDR', 'string'], 'bool', (c: CidrValue, s: string) => c.contains(toIp(s))),
    method('cidr_contains_ip_ip', ['net.CIDR', 'net.IP'], 'bool', (c: CidrValue, ip: IpValue) => c.contains(ip)),
  ],
  containsCIDR: [
    method('cidr_contains_cidr_string', ['net.CIDR', 'string'], 'bool', (c: CidrValue, s: string) =>
      within(c, toCidr(s)),
    ),
    method('cidr_contains_cidr', ['net.CIDR', 'net.CIDR'], 'bool', within),
  ],
  prefixLength: [method('cidr_prefix_length', ['net.CIDR'], 'int', (c: CidrValue) => BigInt(c.length))],
  masked: [method('cidr_masked', ['net.CIDR'], 'net.CIDR', masked)],
  string: [
    fn('ip_to_string', ['net.IP'], 'string', (ip: IpValue) => ip.toText()),
    fn('cidr_to_string', ['net.CIDR'], 'string', (c: CidrValue) => `${c.ip.toText()}/${c.length}`),
  ],
};
