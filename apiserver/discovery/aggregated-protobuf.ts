/** Aggregated discovery as protobuf. The type model has no such kinds: their few messages are told here. */
import { messageWriter } from '../../api/codec/proto-encode.ts';
import { encodeEnvelope } from '../../api/codec/protobuf.ts';
import type { WireWriter } from '../../api/codec/wire.ts';
import { builtinSchemas } from '../../api/schema/builtin.ts';
import type { JsonObject, JsonValue } from '../../api/types.ts';

type Kind = 'text' | 'texts' | 'meta' | 'kind' | 'group' | 'version' | 'resource' | 'subresource';
/** The fields of a message by their numbers, from 1. */
type Message = readonly (readonly [name: string, kind: Kind])[];

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const LIST: Message = [
  ['metadata', 'meta'],
  ['items', 'group'],
];
const MESSAGES: Readonly<Record<Exclude<Kind, 'text' | 'texts' | 'meta'>, Message>> = {
  kind: [
    ['group', 'text'],
    ['version', 'text'],
    ['kind', 'text'],
  ],
  group: [
    ['metadata', 'meta'],
    ['versions', 'version'],
  ],
  version: [
    ['version', 'text'],
    ['resources', 'resource'],
    ['freshness', 'text'],
  ],
  resource: [
    ['resource', 'text'],
    ['responseKind', 'kind'],
    ['scope', 'text'],
    ['singularResource', 'text'],
    ['verbs', 'texts'],
    ['shortNames', 'texts'],
    ['categories', 'texts'],
    ['subresources', 'subresource'],
  ],
  subresource: [
    ['subresource', 'text'],
    ['responseKind', 'kind'],
    ['acceptedTypes', 'kind'],
    ['verbs', 'texts'],
  ],
};

/** An APIGroupDiscoveryList (v2) in its envelope. */
export function encodeDiscovery(list: JsonObject): Buffer {
  const kind = { group: 'apidiscovery.k8s.io', version: 'v2', kind: 'APIGroupDiscoveryList' };
  return encodeEnvelope(kind, (w) => write(w, list, LIST, 'ListMeta'));
}

/** The writer fills its buffer from behind, so everything is told last to first. */
function write(w: WireWriter, object: JsonObject, message: Message, meta = 'ObjectMeta'): void {
  for (let i = message.length - 1; i >= 0; i--) {
    const [name, kind] = message[i]!;
    const given = object[name];
    // Of single values only structs may be absent.
    const values = Array.isArray(given) ? given : given !== undefined ? [given] : kind === 'text' ? [''] : [];
    for (let n = values.length - 1; n >= 0; n--) {
      one(w, values[n]!, kind, meta);
      w.varint(((i + 1) << 3) | 2);
    }
  }
}

function one(w: WireWriter, value: JsonValue, kind: Kind, meta: string): void {
  if (kind === 'text' || kind === 'texts') return w.string(value as string);
  const mark = w.length;
  if (kind === 'meta') messageWriter(builtinSchemas().type(`${META}.${meta}`))(w, value as JsonObject);
  else write(w, value as JsonObject, MESSAGES[kind]);
  w.lengthSince(mark);
}
