/** The parts that certificates and signing requests are made of: names, usages, extensions (RFC 5280). */
import { isIPv4, isIPv6 } from 'node:net';
import * as der from './der.ts';

/** A distinguished name in the parts that Kubernetes uses. */
export interface Subject {
  commonName?: string;
  organizations?: readonly string[];
  organizationalUnits?: readonly string[];
  /** The user's UID (OID 1.3.6.1.4.1.57683.2), as Kubernetes 1.34 and later read it. */
  uid?: string;
}

/** Subject alternative names. */
export interface AltNames {
  dns?: readonly string[];
  ip?: readonly string[];
  email?: readonly string[];
  uri?: readonly string[];
}

/** Names of Kubernetes' certificates API. */
export type KeyUsage =
  | 'digital signature'
  | 'content commitment'
  | 'key encipherment'
  | 'data encipherment'
  | 'key agreement'
  | 'cert sign'
  | 'crl sign';
export type ExtendedUsage =
  | 'server auth'
  | 'client auth'
  | 'code signing'
  | 'email protection'
  | 'timestamping'
  | 'ocsp signing'
  | 'any';

const KEY_USAGES: readonly KeyUsage[] = [
  'digital signature',
  'content commitment',
  'key encipherment',
  'data encipherment',
  'key agreement',
  'cert sign',
  'crl sign',
];
export const EXTENDED: Record<ExtendedUsage, string> = {
  'server auth': '1.3.6.1.5.5.7.3.1',
  'client auth': '1.3.6.1.5.5.7.3.2',
  'code signing': '1.3.6.1.5.5.7.3.3',
  'email protection': '1.3.6.1.5.5.7.3.4',
  timestamping: '1.3.6.1.5.5.7.3.8',
  'ocsp signing': '1.3.6.1.5.5.7.3.9',
  any: '2.5.29.37.0',
};
export const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  organizationalUnit: '2.5.4.11',
  uid: '1.3.6.1.4.1.57683.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  altNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedUsage: '2.5.29.37',
  extensionRequest: '1.2.840.113549.1.9.14',
  rsaSha256: '1.2.840.113549.1.1.11',
  ecdsaSha256: '1.2.840.10045.4.3.2',
} as const;

const attribute = (type: string, value: string) =>
  der.encode(der.TAG.set, der.sequence(der.oid(type), der.utf8(value)));
export function encodeName(s: Subject): Buffer {
  return der.sequence(
    ...(s.organizations ?? []).map((o) => attribute(OID.organization, o)),
    ...(s.organizationalUnits ?? []).map((o) => attribute(OID.organizationalUnit, o)),
    ...(s.uid ? [attribute(OID.uid, s.uid)] : []),
    ...(s.commonName ? [attribute(OID.commonName, s.commonName)] : []),
  );
}

/** The 4 or 16 bytes of an address. */
function ipBytes(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split('.').map(Number));
  if (!isIPv6(ip)) throw new Error(`not an IP address: ${ip}`);
  let text = ip;
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (v4) {
    const b = ipBytes(v4[2]!);
    text = `${v4[1]}${b.readUInt16BE(0).toString(16)}:${b.readUInt16BE(2).toString(16)}`;
  }
  const [head, tail] = text.split('::') as [string, string | undefined];
  const a = head ? head.split(':') : [];
  const b = tail ? tail.split(':') : [];
  const words = tail === undefined ? a : [...a, ...Array<string>(8 - a.length - b.length).fill('0'), ...b];
  const out = Buffer.alloc(16);
  words.forEach((w, i) => out.writeUInt16BE(parseInt(w, 16), i * 2));
  return out;
}

/** Undefined where there are none. */
export function encodeAltNames(n: AltNames | undefined): Buffer | undefined {
  const names = [
    ...(n?.email ?? []).map((v) => der.encode(0x81, Buffer.from(v))),
    ...(n?.dns ?? []).map((v) => der.encode(0x82, Buffer.from(v))),
    ...(n?.uri ?? []).map((v) => der.encode(0x86, Buffer.from(v))),
    ...(n?.ip ?? []).map((v) => der.encode(0x87, ipBytes(v))),
  ];
  return names.length ? der.sequence(...names) : undefined;
}

export function encodeKeyUsage(usages: readonly KeyUsage[]): Buffer {
  let value = 0;
  let last = 0;
  for (const u of usages) {
    const bit = KEY_USAGES.indexOf(u);
    value |= 0x80 >> bit;
    last = Math.max(last, bit);
  }
  return der.bits(Buffer.from([value]), 7 - last);
}

export const extension = (id: string, value: Buffer, critical = false) =>
  der.sequence(der.oid(id), ...(critical ? [der.boolean(true)] : []), der.octets(value));

function decodeString(node: der.DerNode): string {
  return node.tag === 0x1e ? Buffer.from(node.content).swap16().toString('utf16le') : node.content.toString('utf8');
}

/** Reads a DER name; other attributes are skipped. */
export function parseName(name: der.DerNode): Required<Subject> {
  const subject = { commonName: '', organizations: [] as string[], organizationalUnits: [] as string[], uid: '' };
  for (const set of der.readAll(name.content)) {
    for (const pair of der.readAll(set.content)) {
      const [type, value] = der.readAll(pair.content);
      if (!type || !value) throw new Error('DER: bad name');
      switch (der.readOid(type.content)) {
        case OID.commonName:
          subject.commonName = decodeString(value);
          break;
        case OID.organization:
          subject.organizations.push(decodeString(value));
          break;
        case OID.organizationalUnit:
          subject.organizationalUnits.push(decodeString(value));
          break;
        case OID.uid:
          subject.uid = decodeString(value);
          break;
      }
    }
  }
  return subject;
}

function formatIp(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  const text = words.join(':');
  const runs = [...text.matchAll(/(?:^|(?<=:))0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  if (!runs[0]) return text;
  const { index } = runs[0];
  return `${text.slice(0, index).replace(/:$/, '')}::${text.slice(index + runs[0][0].length).replace(/^:/, '')}`;
}

export interface ParsedExtensions {
  altNames: { dns: string[]; ip: string[]; email: string[]; uri: string[] };
  usages: KeyUsage[];
  extendedUsages: string[];
  ca: boolean;
  subjectKeyId: Buffer | undefined;
}

/** Extensions that aren't known here are passed over. */
export function parseExtensions(list: der.DerNode[]): ParsedExtensions {
  const out: ParsedExtensions = {
    altNames: { dns: [], ip: [], email: [], uri: [] },
    usages: [],
    extendedUsages: [],
    ca: false,
    subjectKeyId: undefined,
  };
  for (const item of list) {
    const parts = der.readAll(item.content);
    const value = parts.at(-1)!.content;
    switch (der.readOid(parts[0]!.content)) {
      case OID.keyUsage: {
        const b = der.readOne(value).content;
        KEY_USAGES.forEach((u, i) => {
          if (((b[1] ?? 0) & (0x80 >> i)) !== 0) out.usages.push(u);
        });
        break;
      }
      case OID.extendedUsage:
        for (const id of der.readAll(der.readOne(value).content)) {
          const text = der.readOid(id.content);
          out.extendedUsages.push(Object.entries(EXTENDED).find(([, v]) => v === text)?.[0] ?? text);
        }
        break;
      case OID.basicConstraints:
        out.ca = der.readAll(der.readOne(value).content)[0]?.content[0] === 0xff;
        break;
      case OID.subjectKeyId:
        out.subjectKeyId = Buffer.from(der.readOne(value).content);
        break;
      case OID.altNames:
        for (const n of der.readAll(der.readOne(value).content)) {
          if (n.tag === 0x81) out.altNames.email.push(n.content.toString());
          if (n.tag === 0x82) out.altNames.dns.push(n.content.toString());
          if (n.tag === 0x86) out.altNames.uri.push(n.content.toString());
          if (n.tag === 0x87) out.altNames.ip.push(formatIp(n.content));
        }
        break;
    }
  }
  return out;
}

/** Milliseconds since the epoch, of both of X.509's forms of time. */
export function parseTime(node: der.DerNode): number {
  let t = node.content.toString('latin1');
  if (node.tag === der.TAG.utcTime) t = (Number(t.slice(0, 2)) < 50 ? '20' : '19') + t;
  return Date.parse(
    `${t.slice(0, 4)}-${t.slice(4, 6)}-${t.slice(6, 8)}T${t.slice(8, 10)}:${t.slice(10, 12)}:${t.slice(12, 14)}Z`,
  );
}
