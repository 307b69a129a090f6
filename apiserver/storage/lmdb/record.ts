/**
 * One write as it stands in the log, under its revision:
 * type (1 byte: 1 put, 2 delete), revision of the value before (6), expiry in ms since the epoch or 0 (6),
 * length of the key (2), the key, the value. Numbers are big-endian.
 */

const HEADER = 15;
const PUT = 1;
const DELETE = 2;

/** A decoded record; `value` is a view into the record. */
export interface LogRecord {
  readonly key: string;
  readonly deleted: boolean;
  /** The revision of the value that this write replaced or removed; 0 for none. */
  readonly previous: number;
  /** When the key vanishes, ms since the epoch; 0 for never. */
  readonly expiresAt: number;
  readonly value: Buffer;
}

/** A fixed head, the key, the value. */
export function encodeRecord(r: LogRecord): Buffer {
  const keyLength = Buffer.byteLength(r.key);
  const out = Buffer.allocUnsafe(HEADER + keyLength + r.value.length);
  out[0] = r.deleted ? DELETE : PUT;
  out.writeUIntBE(r.previous, 1, 6);
  out.writeUIntBE(r.expiresAt, 7, 6);
  out.writeUInt16BE(keyLength, 13);
  out.write(r.key, HEADER);
  r.value.copy(out, HEADER + keyLength);
  return out;
}

/** The value is a view into `b`. */
export function decodeRecord(b: Buffer): LogRecord {
  const keyEnd = HEADER + b.readUInt16BE(13);
  return {
    key: b.toString('utf8', HEADER, keyEnd),
    deleted: b[0] === DELETE,
    previous: b.readUIntBE(1, 6),
    expiresAt: b.readUIntBE(7, 6),
    value: b.subarray(keyEnd),
  };
}
