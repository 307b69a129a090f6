/** As much of DER (X.690) as certificates and signing requests need. */

/** Tags used in X.509. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element; `content` and `raw` are views of the input. */
export interface DerNode {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content. */
  readonly raw: Buffer;
}

/** Reads the elements that follow each other in `bytes`; throws an Error on malformed input. */
export function readAll(bytes: Buffer): DerNode[] {
  const out: DerNode[] = [];
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const tag = bytes[at++]!;
    if ((tag & 0x1f) === 0x1f) throw new Error('DER: long tags are not supported');
    let length = bytes[at++];
    if (length === undefined) throw new Error('DER: cut short');
    if (length >= 0x80) {
      const n = length & 0x7f;
      if (n === 0 || n > 4 || at + n > bytes.length) throw new Error('DER: bad length');
      length = bytes.readUIntBE(at, n);
      at += n;
    }
    if (at + length > bytes.length) throw new Error('DER: cut short');
    out.push({ tag, content: bytes.subarray(at, at + length), raw: bytes.subarray(start, at + length) });
    at += length;
  }
  return out;
}

/** The single element that `bytes` holds. */
export function readOne(bytes: Buffer): DerNode {
  const [node, ...rest] = readAll(bytes);
  if (!node || rest.length) throw new Error('DER: one element expected');
  return node;
}

/** One element: tag, length, content. */
export function encode(tag: number, ...content: Uint8Array[]): Buffer {
  const length = content.reduce((n, c) => n + c.length, 0);
  let head: number[];
  if (length < 0x80) head = [tag, length];
  else {
    const bytes: number[] = [];
    for (let n = length; n > 0; n = Math.floor(n / 256)) bytes.unshift(n % 256);
    head = [tag, 0x80 | bytes.length, ...bytes];
  }
  return Buffer.concat([Buffer.from(head), ...content]);
}

export const sequence = (...items: Uint8Array[]) => encode(TAG.sequence, ...items);
export const octets = (bytes: Uint8Array) => encode(TAG.octetString, bytes);
/** A bit string of whole bytes. */
export const bits = (bytes: Uint8Array, unused = 0) => encode(TAG.bitString, Buffer.from([unused]), bytes);
export const utf8 = (text: string) => encode(TAG.utf8String, Buffer.from(text));
export const boolean = (value: boolean) => encode(TAG.boolean, Buffer.from([value ? 0xff : 0]));

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let i = 0;
  while (i < bytes.length - 1 && bytes[i] === 0) i++;
  const trimmed = bytes.subarray(i);
  return trimmed.length > 0 && trimmed[0]! < 0x80
    ? encode(TAG.integer, trimmed)
    : encode(TAG.integer, Buffer.from([0]), trimmed);
}

/** An object identifier from its dotted form. */
export function oid(text: string): Buffer {
  const [a, b, ...rest] = text.split('.').map(Number);
  const bytes: number[] = [];
  for (const part of [a! * 40 + b!, ...rest]) {
    const group = [part % 128];
    for (let n = Math.floor(part / 128); n > 0; n = Math.floor(n / 128)) group.unshift((n % 128) | 0x80);
    bytes.push(...group);
  }
  return encode(TAG.oid, Buffer.from(bytes));
}

/** The dotted form of an object identifier's content. */
export function readOid(content: Buffer): string {
  const parts: number[] = [];
  let n = 0;
  for (const byte of content) {
    n = n * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      parts.push(n);
      n = 0;
    }
  }
  const first = parts.shift() ?? 0;
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - top * 40, ...parts].join('.');
}

/** A time as X.509 wants it: UTCTime before 2050, GeneralizedTime after. */
export function time(ms: number): Buffer {
  const text = new Date(Math.floor(ms / 1000) * 1000).toISOString().replace(/[-:T]|\.000/g, '');
  const short = ms < Date.UTC(2050, 0, 1);
  return encode(short ? TAG.utcTime : TAG.generalizedTime, Buffer.from(short ? text.slice(2) : text));
}

/** Splits PEM text into its blocks. */
export function readPem(text: string): { label: string; der: Buffer }[] {
  const out: { label: string; der: Buffer }[] = [];
  for (const m of text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g)) {
    const body = m[2]!.replace(/^[A-Za-z-]+:.*$/gm, '').replace(/\s+/g, '');
    out.push({ label: m[1]!, der: Buffer.from(body, 'base64') });
  }
  return out;
}

/** Text between `-----BEGIN LABEL-----` and its end, in lines of 64 characters. */
export function writePem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
