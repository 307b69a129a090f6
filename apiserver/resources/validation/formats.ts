/** Forms of texts beyond names: ports, addresses, variables, paths. Each returns what is wrong, nothing when it is fine. */
import { isIPv4, isIPv6 } from 'node:net';
import { isValidPortName } from '../../../api/validation/names.ts';
import type { Field, Format } from './field.ts';

const fine: readonly string[] = [];
export {
  isConfigMapKey as configMapKey,
  isHTTPHeaderName as httpHeaderName,
  isRelaxedEnvVarName as envVarName,
  isValidPercent as percent,
  isValidPortName as portName,
} from '../../../api/validation/names.ts';

export const absolutePath: Format = (v) => (v.startsWith('/') ? fine : ['must be an absolute path']);
export const noBacksteps: Format = (v) => (v.split('/').includes('..') ? ["must not contain '..'"] : fine);
/** A path below some directory. */
export const descendingPath: Format = (v) => [
  ...(v.startsWith('/') ? ['must be a relative path'] : []),
  ...noBacksteps(v),
];
/** As descendingPath, and not one of the kubelet's own names. */
export const localPath: Format = (v) => [
  ...descendingPath(v),
  ...(v.startsWith('..') && !v.startsWith('../') ? ["must not start with '..'"] : []),
];

const ID = 'must be between 0 and 2147483647, inclusive';
/** User and group ids. */
export const userId = (f: Field<number>) =>
  f.check(f.value === undefined || (f.value >= 0 && f.value <= 2147483647), ID);

const PORT = 'must be between 1 and 65535, inclusive';
export const isPort = (n: number) => n >= 1 && n <= 65535;
/** A port number; absent counts as 0. */
export const portNumber = (f: Field<number>) => f.check(isPort(Number(f.value ?? 0)), PORT);
/** A port by number or name. */
export function portNumberOrName(f: Field<unknown>): void {
  if (typeof f.value === 'string') for (const m of isValidPortName(f.value)) f.invalid(m);
  else f.check(isPort(Number(f.value ?? 0)), PORT);
}

const MAPPED = /^::ffff:(?:\d+\.\d+\.\d+\.\d+|[0-9a-f]{1,4}:[0-9a-f]{1,4})$/i;
const withoutZeros = (v: string) =>
  /^\d+(\.\d+){3}$/.test(v)
    ? v
        .split('.')
        .map((p) => p.replace(/^0+(?=\d)/, ''))
        .join('.')
    : v;

/** An IP address as older fields take it: strictly written, except where the value was stored before. */
export const ip: Format = (v) => {
  if (!isIPv4(v) && !isIPv6(v)) {
    return [
      isIPv4(withoutZeros(v))
        ? 'must not have leading 0s'
        : 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ];
  }
  if (v.includes('%')) return ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
  return MAPPED.test(v) ? ['must not be an IPv4-mapped IPv6 address'] : fine;
};

/** An IP address in its canonical text. */
export const canonicalIP: Format = (v) => {
  const errors = ip(v);
  if (errors.length > 0) return errors;
  const text = canonicalAddress(v);
  return text === v ? fine : [`must be in canonical form (${JSON.stringify(text)})`];
};

/** An address range, strictly written, no bits beyond the prefix. */
export const cidr: Format = (v) => {
  const slash = v.lastIndexOf('/');
  const address = v.slice(0, slash);
  const length = v.slice(slash + 1);
  const six = isIPv6(address);
  const bad = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
  if (slash < 0 || !/^\d+$/.test(length) || Number(length) > (six ? 128 : 32)) return [bad];
  if (!six && !isIPv4(address))
    return [isIPv4(withoutZeros(address)) ? 'must not have leading 0s in IP or prefix length' : bad];
  if (/^0\d/.test(length)) return ['must not have leading 0s in IP or prefix length'];
  if (MAPPED.test(address)) return ['must not have an IPv4-mapped IPv6 address'];
  const bits = BigInt((six ? 128 : 32) - Number(length));
  return (addressToNumber(address) >> bits) << bits === addressToNumber(address)
    ? fine
    : ['must not have bits set beyond the prefix length'];
};

/** As cidr, in canonical text. */
export const canonicalCIDR: Format = (v) => {
  const errors = cidr(v);
  if (errors.length > 0) return errors;
  const [address, length] = v.split('/') as [string, string];
  const text = `${canonicalAddress(address)}/${Number(length)}`;
  return text === v ? fine : [`must be in canonical form (${JSON.stringify(text)})`];
};

/** An address as a number: 32 bits for IPv4, 128 for IPv6. */
export function addressToNumber(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((n, p) => (n << 8n) + BigInt(p), 0n);
  let text = address;
  const tail = /(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[1];
  if (tail) {
    const n = addressToNumber(tail);
    text = text.slice(0, -tail.length) + `${(n >> 16n).toString(16)}:${(n & 0xffffn).toString(16)}`;
  }
  const [head = '', rest] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const zeros = rest === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].reduce((n, p) => (n << 16n) + BigInt(`0x${p}`), 0n);
}

/** The canonical text of a number made by addressToNumber. */
export function numberToAddress(n: bigint, six: boolean): string {
  if (!six) return [24n, 16n, 8n, 0n].map((s) => ((n >> s) & 255n).toString()).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (n >> BigInt(16 * (7 - i))) & 0xffffn);
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0n) j++;
    if (j - i > best.length) best = { start: i, length: j - i };
  }
  const hex = (gs: bigint[]) => gs.map((g) => g.toString(16)).join(':');
  return best.start < 0
    ? hex(groups)
    : `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

export const canonicalAddress = (address: string) => numberToAddress(addressToNumber(address), isIPv6(address));

/** Complains about addresses that can't be reached from outside their host. */
export const endpointIP: Format = (v) => {
  if (!isIPv4(v) && !isIPv6(v)) return ['must be a valid IP address'];
  const n = addressToNumber(v);
  const errors: string[] = [];
  if (n === 0n) errors.push(`may not be unspecified (${v})`);
  const within = (range4: [bigint, bigint], range6: [bigint, bigint]) => {
    const [prefix, bits] = isIPv4(v) ? range4 : range6;
    return n >> ((isIPv4(v) ? 32n : 128n) - bits) === prefix;
  };
  if (isIPv4(v) ? n >> 24n === 127n : n === 1n) errors.push('may not be in the loopback range (127.0.0.0/8, ::1/128)');
  if (within([0xa9fen, 16n], [0x3fan, 10n]))
    errors.push('may not be in the link-local range (169.254.0.0/16, fe80::/10)');
  if (within([0xe00000n, 24n], [0xff02n, 16n]))
    errors.push('may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)');
  return errors;
};

/** At most one address (or range) of each family. */
export function dualStack(values: readonly string[]): boolean {
  const six = values.filter((v) => v.includes(':')).length;
  return six === 1 && values.length - six === 1;
}
