/** From stored bytes to the bytes of an answer: views, lists, tables, partial metadata. */
import { encodeJson } from '../../api/codec/json.ts';
import { encodeYaml } from '../../api/codec/yaml.ts';
import { notAcceptable, type StatusError } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, KubeObject, ListMeta } from '../../api/types.ts';
import type { Entry } from '../storage/cache.ts';
import { withNewline } from '../storage/cache/splice.ts';
import type { ServedResource } from '../registry/catalog.ts';
import { JoinedList, Pieces, type ByteSource } from './byte-source.ts';
import { MEDIA_TYPES, type View } from './negotiate.ts';
import { encodeMessage, encodeProtobuf, protobufListEnds, protobufListItem } from './protobuf.ts';
import { hasPlainTable, tableColumns, tableRow } from './table.ts';

/** Anything with a kind and an apiVersion. */
export type AnyObject = DeepReadonly<KubeObject> | KubeObject | JsonObject;

/** How rows of a Table carry their objects. */
export type IncludeObject = 'None' | 'Metadata' | 'Object';

/** The Content-Type of a view's answer. */
export function contentType(view: View): string {
  return MEDIA_TYPES[view.media];
}

/** Any object in a view's encoding, not transformed. */
export function encodeObject(object: AnyObject, view: View): Buffer {
  switch (view.media) {
    case 'json':
      return Buffer.from(view.pretty ? encodeJson(object, 2) : `${encodeJson(object)}\n`);
    case 'yaml':
      return Buffer.from(encodeYaml(object));
    case 'protobuf':
      return encodeProtobuf(object as KubeObject);
  }
}

/** The object of stored bytes in the served version. */
export function servedObject(served: ServedResource, stored: DeepReadonly<KubeObject>): DeepReadonly<KubeObject> {
  return served.convert ? (served.convert.fromStorage(stored) as DeepReadonly<KubeObject>) : stored;
}

/** JSON bytes (without newline) of an entry in the served version. */
export function servedJson(served: ServedResource, entry: Entry): Buffer {
  if (!served.convert) return entry.json;
  const { generation } = served.convert;
  const key = generation === undefined ? `json@${served.apiVersion}` : `json@${served.apiVersion}#${generation}`;
  let bytes = entry.views.get(key);
  if (!bytes) {
    const stored = entry.object();
    const object = served.convert.fromStorage(stored);
    bytes = (object as DeepReadonly<KubeObject>) === stored ? entry.json : Buffer.from(encodeJson(object));
    entry.views.set(key, bytes);
  }
  return bytes;
}

/** One object as an answer. `source` is an entry, or bytes of the stored version. */
export function renderObject(
  served: ServedResource,
  entry: Entry,
  view: View,
  now: number,
  include: IncludeObject,
): Buffer {
  if (view.as === '' && view.media === 'json' && !view.pretty) return withNewline(servedJson(served, entry));
  if (view.as === '' && view.media === 'protobuf') return entryProtobuf(served, entry);
  if (view.as === 'PartialObjectMetadataList') throw unfit(view, `is no list (${served.kind})`);
  return encodeObject(transformObject(served, entry.object(), view, now, include), view);
}

/** The form that was asked for isn't one for this answer. */
function unfit(view: View, what: string): StatusError {
  const error = notAcceptable(`you requested ${view.as}, but the requested object ${what}`);
  delete error.status.details;
  return error;
}

/** An entry's protobuf, made once. */
export function entryProtobuf(served: ServedResource, entry: Entry): Buffer {
  const key = `protobuf@${served.apiVersion}`;
  let bytes = entry.views.get(key);
  if (!bytes) {
    bytes = encodeProtobuf(servedObject(served, entry.object()) as KubeObject);
    entry.views.set(key, bytes);
  }
  return bytes;
}

/** An entry's protobuf as an item of a list; made once. */
function entryItem(served: ServedResource, entry: Entry): Buffer {
  const key = `item@${served.apiVersion}`;
  let bytes = entry.views.get(key);
  if (!bytes) {
    const { group, version, kind } = served;
    bytes = protobufListItem(encodeMessage(servedObject(served, entry.object()), { group, version, kind }));
    entry.views.set(key, bytes);
  }
  return bytes;
}

/** One stored object as its view wants it: itself in the served version, its metadata, or a Table of one row. */
export function transformObject(
  served: ServedResource,
  stored: DeepReadonly<KubeObject>,
  view: View,
  now: number,
  include: IncludeObject,
  columns = true,
): AnyObject {
  switch (view.as) {
    case '':
      return servedObject(served, stored);
    case 'PartialObjectMetadata':
    case 'PartialObjectMetadataList':
      return partialMetadata(stored, view.asVersion, served);
    case 'Table':
      return {
        kind: 'Table',
        apiVersion: `meta.k8s.io/${view.asVersion}`,
        metadata: { resourceVersion: stored.metadata?.resourceVersion },
        columnDefinitions: columns ? tableColumns(served) : null,
        rows: [tableRow(served, stored, now, include, view.asVersion)],
      } as unknown as JsonObject;
  }
}

/** An object's metadata as an object of its own; `served` says what of it isn't shown alone. */
export function partialMetadata(
  object: DeepReadonly<KubeObject>,
  version: string,
  served?: ServedResource,
): JsonObject {
  const metadata = (object.metadata ?? {}) as JsonObject;
  const hidden = served?.definition.specAnnotations;
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: hidden ? withoutAnnotations(metadata, hidden) : metadata,
  };
}

function withoutAnnotations(metadata: JsonObject, names: readonly string[]): JsonObject {
  const { annotations, ...rest } = metadata;
  const left = Object.entries((annotations ?? {}) as JsonObject).filter(([k]) => !names.includes(k));
  return left.length === 0 ? rest : { ...metadata, annotations: Object.fromEntries(left) };
}

/** A list of entries as an answer. */
export function renderList(
  served: ServedResource,
  entries: readonly Entry[],
  meta: ListMeta,
  view: View,
  now: number,
  include: IncludeObject,
): Buffer | ByteSource {
  // Lists without a Go type behind them always say where they go on.
  if (served.custom && view.as === '') meta = { ...meta, continue: meta.continue ?? '' };
  if (view.as === '' && view.media === 'json' && !view.pretty) return joinList(served, entries, meta);
  const kind = listKind(served);
  if (view.as === '' && view.media === 'protobuf' && served.type?.native) return joinMessages(served, entries, meta);
  if (view.as === '') {
    const items = entries.map((e) => {
      if (served.custom) return servedObject(served, e.object());
      const {
        kind: _k,
        apiVersion: _a,
        ...rest
      } = servedObject(served, e.object()) as KubeObject & Record<string, unknown>;
      return rest;
    });
    return encodeObject({ kind, apiVersion: served.apiVersion, metadata: meta, items } as unknown as JsonObject, view);
  }
  if (view.as === 'PartialObjectMetadata') throw unfit(view, `is a list (${listKind(served)})`);
  if (view.as === 'Table')
    return encodeObject(
      {
        kind: 'Table',
        apiVersion: `meta.k8s.io/${view.asVersion}`,
        metadata: meta,
        columnDefinitions: tableColumns(served),
        rows:
          entries.length === 0 && hasPlainTable(served)
            ? null
            : entries.map((e) => tableRow(served, e.object(), now, include, view.asVersion)),
      } as unknown as JsonObject,
      view,
    );
  return encodeObject(
    {
      kind: 'PartialObjectMetadataList',
      apiVersion: `meta.k8s.io/${view.asVersion}`,
      metadata: meta,
      items: entries.length === 0 ? null : entries.map((e) => partialMetadata(e.object(), view.asVersion, served)),
    } as unknown as JsonObject,
    view,
  );
}

const listKind = (served: ServedResource) => served.listKind ?? `${served.kind}List`;

const heads = new Map<string, Buffer>();

/** The bytes that every stored object of a kind begins with; lists leave them out of their items. */
function itemHead(served: ServedResource): Buffer {
  const key = `${served.apiVersion}/${served.kind}`;
  let head = heads.get(key);
  if (!head) heads.set(key, (head = Buffer.from(`{"kind":"${served.kind}","apiVersion":"${served.apiVersion}",`)));
  return head;
}

/** Stored bytes as a list: nothing is parsed. */
function joinList(served: ServedResource, entries: readonly Entry[], meta: ListMeta): ByteSource {
  const front = `{"kind":"${listKind(served)}","apiVersion":"${served.apiVersion}","metadata":${JSON.stringify(meta)},"items":[`;
  const pieces = served.convert ? entries.map((e) => servedJson(served, e)) : entries.map((e) => e.json);
  return new JoinedList(Buffer.from(front), pieces, itemHead(served), BACK);
}
const BACK = Buffer.from(']}\n');

/** The same in protobuf. */
function joinMessages(served: ServedResource, entries: readonly Entry[], meta: ListMeta): ByteSource {
  const items = entries.map((e) => entryItem(served, e));
  let size = 0;
  for (const i of items) size += i.length;
  const { group, version } = served;
  const { front, back } = protobufListEnds({ group, version, kind: listKind(served) }, meta, size);
  return new Pieces([front, ...items, back]);
}
