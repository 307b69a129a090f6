/** Watch streams as protobuf: metav1.WatchEvent messages behind lengths of four bytes, most significant first. */
import { DecodeError } from './errors.ts';
import { WireError, WireReader, WireWriter } from './wire.ts';

/** The largest frame that is taken: no object is larger. */
export const MAX_FRAME = 64 * 1024 * 1024;

/** One framed event; `object` is the enveloped object. */
export function encodeWatchFrame(type: string, object: Buffer): Buffer {
  const w = new WireWriter(object.length + 64);
  w.bytes(object);
  w.varint(object.length);
  w.varint(10);
  w.lengthSince(0);
  w.varint(18);
  w.string(type);
  w.varint(10);
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(w.length);
  w.bytes(length);
  return w.finish();
}

/** A frame's content; `object` is a view. Throws DecodeError. */
export function decodeWatchEvent(message: Buffer): { type: string; object: Buffer } {
  try {
    let type = '';
    let object = message.subarray(0, 0);
    const r = new WireReader(message);
    while (!r.done) {
      const tag = r.varint();
      if (tag === 10) type = r.string();
      else if (tag === 18) {
        const raw = r.message();
        while (!raw.done) {
          const t = raw.varint();
          if (t === 10) object = raw.bytes();
          else raw.skip(t & 7);
        }
      } else r.skip(tag & 7);
    }
    return { type, object };
  } catch (e) {
    if (e instanceof WireError) throw new DecodeError(e.message);
    throw e;
  }
}

/** Cuts a byte stream into frames. */
export class FrameSplitter {
  #pending: Buffer = Buffer.alloc(0);

  /** Takes a chunk; gives the frames that are now complete, in memory of their own. Throws DecodeError for an absurd length. */
  push(chunk: Buffer): Buffer[] {
    let data = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const out: Buffer[] = [];
    while (data.length >= 4) {
      const length = data.readUInt32BE(0);
      if (length > MAX_FRAME) throw new DecodeError(`a frame of ${length} bytes is too long`);
      if (data.length < 4 + length) break;
      out.push(Buffer.from(data.subarray(4, 4 + length)));
      data = data.subarray(4 + length);
    }
    this.#pending = Buffer.from(data);
    return out;
  }
}
