/**
 * application/vnd.kubernetes.protobuf: `k8s\0`, then runtime.Unknown with the kind and the object's message.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
 */
import { builtinSchemas } from '../schema/builtin.ts';
import type { ObjectType } from '../schema/model.ts';
import { normalize } from '../schema/normalize.ts';
import {
  apiVersionOf,
  parseApiVersion,
  type DeepReadonly,
  type GroupVersionKind,
  type JsonObject,
  type KubeObject,
  type ListMeta,
} from '../types.ts';
import { DecodeError } from './errors.ts';
import { messageReader } from './proto-decode.ts';
import { messageWriter } from './proto-encode.ts';
import { WireError, WireReader, WireWriter } from './wire.ts';

const PROTOBUF_MAGIC: Buffer = Buffer.from([0x6b, 0x38, 0x73, 0x00]);
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';
const NO_ENCODING_NOR_TYPE = Buffer.from([0x1a, 0x00, 0x22, 0x00]);

function typeOf(kind: GroupVersionKind): ObjectType {
  const type = builtinSchemas().forKind(kind);
  if (!type) throw new WireError(`no protobuf form for ${apiVersionOf(kind)} ${kind.kind}`);
  return type;
}

/** Whether objects of this kind can be sent as protobuf. */
export function hasProtobuf(kind: GroupVersionKind): boolean {
  return builtinSchemas().forKind(kind) !== undefined;
}

const kindOf = (object: DeepReadonly<KubeObject>): GroupVersionKind => ({
  ...parseApiVersion(object.apiVersion ?? ''),
  kind: object.kind ?? '',
});

let scratch: WireWriter | undefined;

/** Runs `write` on a buffer that is used again and again (nothing here waits or nests), and copies out the bytes. */
function written(write: (w: WireWriter) => void): Buffer {
  const w = scratch ?? new WireWriter();
  // Should `write` fail, the next call starts anew.
  scratch = undefined;
  write(w);
  const out = w.finish();
  w.reset();
  scratch = w;
  return out;
}

/** An object's message without the envelope: what stands in lists. `kind` defaults to the object's own. */
export function encodeMessage(object: object, kind?: GroupVersionKind): Buffer {
  const write = messageWriter(typeOf(kind ?? kindOf(object as KubeObject)));
  return written((w) => write(w, object as JsonObject));
}

/** The object with its envelope, as it is sent. The object must be normalised. `kind` defaults to the object's own. */
export function encodeProtobuf(object: object, kind: GroupVersionKind = kindOf(object as KubeObject)): Buffer {
  const write = messageWriter(typeOf(kind));
  return encodeEnvelope(kind, (w) => write(w, object as JsonObject));
}

/** The envelope of a kind around the message that `write` writes. */
export function encodeEnvelope(kind: GroupVersionKind, write: (w: WireWriter) => void): Buffer {
  return written((w) => {
    w.bytes(NO_ENCODING_NOR_TYPE);
    const mark = w.length;
    write(w);
    finishEnvelope(w, mark, kind);
  });
}

function finishEnvelope(w: WireWriter, mark: number, kind: GroupVersionKind): void {
  w.lengthSince(mark);
  envelopeHead(w, kind);
}

/** What comes before the message and its length. */
function envelopeHead(w: WireWriter, kind: GroupVersionKind): void {
  w.varint(18);
  const meta = w.length;
  w.string(kind.kind);
  w.varint(18);
  w.string(apiVersionOf(kind));
  w.varint(10);
  w.lengthSince(meta);
  w.varint(10);
  w.bytes(PROTOBUF_MAGIC);
}

/** A message (see encodeMessage) as an item of a list. */
export function protobufListItem(message: Buffer): Buffer {
  const w = new WireWriter(message.length + 8);
  w.bytes(message);
  w.varint(message.length);
  w.varint(18);
  return w.finish();
}

/** What stands before and after a list's items, which take `size` bytes; `kind` is the list's (`PodList`). */
export function protobufListEnds(
  kind: GroupVersionKind,
  metadata: ListMeta,
  size: number,
): { front: Buffer; back: Buffer } {
  const w = new WireWriter();
  messageWriter(builtinSchemas().type(LIST_META))(w, metadata as JsonObject);
  w.lengthSince(0);
  w.varint(10);
  w.varint(w.length + size);
  envelopeHead(w, kind);
  return { front: w.finish(), back: NO_ENCODING_NOR_TYPE };
}

/** Whether the bytes start as a protobuf envelope. */
export function isProtobuf(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.compare(PROTOBUF_MAGIC, 0, 4, 0, 4) === 0;
}

/** An envelope taken apart; `message` is a view into the bytes. */
export interface Envelope {
  apiVersion: string;
  kind: string;
  message: Buffer;
  contentType: string;
}

/** Opens an envelope. Throws DecodeError. */
export function openEnvelope(bytes: Buffer): Envelope {
  if (!isProtobuf(bytes))
    throw new DecodeError('provided data does not appear to be a protobuf message, expected prefix 6b387300');
  const out: Envelope = { apiVersion: '', kind: '', message: bytes.subarray(0, 0), contentType: '' };
  return guarded(() => {
    const r = new WireReader(bytes, 4);
    while (!r.done) {
      const tag = r.varint();
      if (tag === 10) {
        const meta = r.message();
        while (!meta.done) {
          const t = meta.varint();
          if (t === 10) out.apiVersion = meta.string();
          else if (t === 18) out.kind = meta.string();
          else meta.skip(t & 7);
        }
      } else if (tag === 18) out.message = r.bytes();
      else if (tag === 34) out.contentType = r.string();
      else r.skip(tag & 7);
    }
    return out;
  });
}

/**
 * Reads an enveloped object into its normalised JSON form. Throws DecodeError.
 * `fallback` is the kind to assume when the envelope names none.
 */
export function decodeProtobuf(bytes: Buffer, fallback?: GroupVersionKind): KubeObject {
  const envelope = openEnvelope(bytes);
  const named = envelope.kind === '' ? undefined : { ...parseApiVersion(envelope.apiVersion), kind: envelope.kind };
  const kind = named ?? fallback;
  if (!kind) throw new DecodeError("Object 'Kind' is missing");
  const type = builtinSchemas().forKind(kind);
  if (!type)
    throw new DecodeError(
      `no kind ${JSON.stringify(kind.kind)} is registered for version ${JSON.stringify(apiVersionOf(kind))}`,
    );
  return decodeMessage(envelope.message, type, kind);
}

/** Reads a message without envelope into the normalised JSON form, with kind and apiVersion when `kind` is given. Throws DecodeError. */
export function decodeMessage(message: Buffer, type: ObjectType, kind?: GroupVersionKind): KubeObject {
  const raw: JsonObject = kind ? { kind: kind.kind, apiVersion: apiVersionOf(kind) } : {};
  guarded(() => messageReader(type)(new WireReader(message), raw, 0));
  return normalize(raw, type, { ignoreUnknown: true }).object as KubeObject;
}

function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (e) {
    if (e instanceof WireError) throw new DecodeError(e.message);
    throw e;
  }
}
