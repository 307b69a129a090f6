/** The protobuf form of answers and bodies. */
import {
  decodeProtobuf as decode,
  encodeProtobuf as encode,
  encodeMessage,
  hasProtobuf,
  protobufListEnds,
  protobufListItem,
} from '../../api/codec/protobuf.ts';
import { DecodeError } from '../../api/codec/errors.ts';
import { badRequest, notAcceptable } from '../../api/status.ts';
import { parseApiVersion, type GroupVersionKind, type KubeObject } from '../../api/types.ts';

export { encodeMessage, protobufListEnds, protobufListItem };

/** Encodes an object with the envelope that Go clients expect; 406 for kinds without a protobuf form. */
export function encodeProtobuf(object: KubeObject): Buffer {
  if (!hasProtobuf({ ...parseApiVersion(object.apiVersion ?? ''), kind: object.kind ?? '' }))
    throw notAcceptable('only the following media types are accepted: application/json, application/yaml');
  return encode(object);
}

/** Decodes an enveloped object; 400 when it can't be read. */
export function decodeProtobuf(body: Buffer, fallback: GroupVersionKind): KubeObject {
  try {
    return decode(body, fallback);
  } catch (error) {
    if (error instanceof DecodeError) throw badRequest(error.message);
    throw error;
  }
}

/** One event of a protobuf watch: a four-byte length, then the event with its enveloped object. */
export function watchFrame(type: string, object: Buffer): Buffer {
  const name = Buffer.from(type);
  const rawLength = varint(object.length);
  const innerLength = 1 + rawLength.length + object.length;
  const inner = varint(innerLength);
  const size = 2 + name.length + 1 + inner.length + innerLength;
  const out = Buffer.allocUnsafe(4 + size);
  let at = out.writeUInt32BE(size, 0);
  out[at++] = 0x0a;
  out[at++] = name.length;
  at += name.copy(out, at);
  out[at++] = 0x12;
  at += inner.copy(out, at);
  out[at++] = 0x0a;
  at += rawLength.copy(out, at);
  object.copy(out, at);
  return out;
}

function varint(n: number): Buffer {
  const bytes: number[] = [];
  while (n > 127) {
    bytes.push((n & 127) | 128);
    n = Math.floor(n / 128);
  }
  bytes.push(n);
  return Buffer.from(bytes);
}
