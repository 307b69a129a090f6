/** SPDY/3.1 frames as bytes: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/ */

export const FRAME = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
} as const;
export const FLAG_FIN = 1;
const VERSION = 3;

/** The words that the header compression of SPDY/3 starts with, each with its length before it, then loose text. */
const WORDS =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status|200 OK|version|HTTP/1.1|url public set-cookie keep-alive origin';
const TAIL =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

/** The preset dictionary for zlib. */
export function spdyDictionary(): Buffer {
  // one word of the list has a blank in it, so it stands between bars
  const [plain, ok, version, http, rest] = WORDS.split('|') as [string, string, string, string, string];
  const words = [...plain.split(' '), ok, version, http, ...rest.split(' ')];
  const parts: Buffer[] = [];
  for (const w of words) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(w.length);
    parts.push(length, Buffer.from(w));
  }
  parts.push(Buffer.from(TAIL));
  return Buffer.concat(parts);
}

export type Headers = Record<string, string>;

/** Names and values as they stand inside a header block. */
export function encodeHeaders(headers: Headers): Buffer {
  const entries = Object.entries(headers);
  const parts: Buffer[] = [];
  const u32 = (n: number) => {
    const b = Buffer.alloc(4);
    b.writeUInt32BE(n);
    parts.push(b);
  };
  u32(entries.length);
  for (const [name, value] of entries) {
    for (const text of [name.toLowerCase(), value]) {
      const b = Buffer.from(text);
      u32(b.length);
      parts.push(b);
    }
  }
  return Buffer.concat(parts);
}

/** The reverse; throws on a block that doesn't add up. Several values of one name are joined by commas. */
export function decodeHeaders(block: Buffer): Headers {
  let at = 0;
  const u32 = (): number => {
    if (at + 4 > block.length) throw new Error('SPDY header block is cut short');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const n = u32();
    if (at + n > block.length) throw new Error('SPDY header block is cut short');
    at += n;
    return block.toString('utf8', at - n, at);
  };
  const out: Headers = {};
  const count = u32();
  if (count > 1000) throw new Error('too many SPDY headers');
  for (let i = 0; i < count; i++) {
    const name = text();
    out[name] = text().replaceAll('\0', ',');
  }
  return out;
}

/**
 * A zlib stream without compression: stored blocks, each followed by an empty one so that the reader sees all of it.
 * Header blocks are few and small here; what is saved is a compression state per connection.
 */
export function createHeaderWriter(): (block: Buffer) => Buffer {
  let first = true;
  return (block) => {
    const parts: Buffer[] = [];
    if (first) parts.push(Buffer.from([0x78, 0x01]));
    first = false;
    for (let at = 0; at < block.length; at += 0xffff) {
      const piece = block.subarray(at, at + 0xffff);
      const head = Buffer.alloc(5);
      head.writeUInt16LE(piece.length, 1);
      head.writeUInt16LE(piece.length ^ 0xffff, 3);
      parts.push(head, piece);
    }
    parts.push(Buffer.from([0, 0, 0, 0xff, 0xff]));
    return Buffer.concat(parts);
  };
}

export function controlFrame(type: number, flags: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8000 | VERSION, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(((flags << 24) | body.length) >>> 0, 4);
  return Buffer.concat([head, body]);
}

/** The eight bytes before a data frame's content, which is at most 16 MiB long. */
export function dataHeader(stream: number, fin: boolean, length: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(stream & 0x7fffffff, 0);
  head.writeUInt32BE((((fin ? FLAG_FIN : 0) << 24) | length) >>> 0, 4);
  return head;
}

export interface FrameHead {
  control: boolean;
  /** Of a control frame. */
  type: number;
  /** Of a data frame. */
  stream: number;
  flags: number;
  length: number;
}

/** The first eight bytes of a frame; throws for another version of SPDY. */
export function readHead(b: Buffer): FrameHead {
  const first = b.readUInt32BE(0);
  const second = b.readUInt32BE(4);
  const control = first >>> 31 === 1;
  if (control && ((first >>> 16) & 0x7fff) !== VERSION)
    throw new Error(`unsupported SPDY version ${(first >>> 16) & 0x7fff}`);
  return {
    control,
    type: control ? first & 0xffff : 0,
    stream: control ? 0 : first & 0x7fffffff,
    flags: second >>> 24,
    length: second & 0xffffff,
  };
}
