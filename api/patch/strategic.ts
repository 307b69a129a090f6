/**
 * Strategic merge patch: a merge patch that knows which lists are merged by a key.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 */
import { encodeJson } from '../codec/json.ts';
import type { ObjectType, SchemaNode } from '../schema/model.ts';
import { badRequest, StatusError } from '../status.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { order, type MergeLists } from './strategic-order.ts';
import { getKey, isObject, setKey, UNPROCESSABLE } from './value.ts';

const PATCH = '$patch';
const RETAIN = '$retainKeys';
const DELETE_FROM = '$deleteFromPrimitiveList/';
const SET_ORDER = '$setElementOrder/';
const ORDERS = SET_ORDER.slice(0, -1);

/**
 * Applies a decoded patch to `document`, whose type says how lists merge; null changes nothing. Inputs stay as they
 * are, unchanged parts are shared with the result. Throws 400 for directives of a wrong form, 500 (as kube-apiserver
 * does) where a merge key is missing or a directive is unknown. Custom resources have no strategies: refuse them
 * before (415).
 */
export function applyStrategicMergePatch(document: JsonObject, patch: JsonValue, type: ObjectType): JsonObject {
  if (patch === null) return document;
  if (!isObject(patch)) throw badRequest('error decoding patch: a strategic merge patch must be an object');
  return mergeObject(document, patch, { type, node: undefined });
}

/** Errors that upstream hands on as they come: a 500 without a reason. */
const failure = (message: string) => new StatusError(500, '', message);
const noMergeKey = (item: JsonValue, key: string) =>
  failure(`map: ${encodeJson(item)} does not contain declared merge key: ${key}`);

/** What is known of the object being merged: its declared fields, or (for maps) the form of its values. */
interface Scope {
  readonly type: ObjectType | undefined;
  readonly node: SchemaNode | undefined;
}
interface Lookup {
  readonly scope: Scope;
  /** 'merge', 'replace' or '' (objects merge, lists are replaced). */
  readonly strategy: string;
  readonly mergeKey: string;
}
const NOTHING: Scope = { type: undefined, node: undefined };
/** What is kept as bytes has no fields that could be merged into. */
const RAW: Scope = { type: undefined, node: undefined };

function scopeOf(node: SchemaNode | undefined): Scope {
  if (node?.form === 'object') return { type: node.type, node: undefined };
  if (node?.form === 'map') return { type: undefined, node: node.values };
  return node?.form === 'raw' ? RAW : NOTHING;
}

function lookup(scope: Scope, key: string): Lookup {
  if (scope === RAW)
    throw failure(`unable to find api field in struct RawExtension for the json field ${JSON.stringify(key)}`);
  const field = scope.type?.field(key);
  const node = field?.node ?? scope.node;
  return {
    scope: scopeOf(node?.form === 'list' ? node.items : node),
    strategy: field?.patchStrategy.find((s) => s !== 'retainKeys') ?? '',
    mergeKey: field?.patchMergeKey ?? '',
  };
}

function mergeObject(original: JsonObject, patch: JsonObject, scope: Scope): JsonObject {
  if (Object.hasOwn(patch, PATCH)) {
    const directive = patch[PATCH];
    if (directive === 'delete') return {};
    if (directive !== 'replace') {
      throw failure(`unknown patch type: ${encodeJson(directive)} in map: ${encodeJson(patch)}`);
    }
    const { [PATCH]: _directive, ...rest } = patch;
    return rest;
  }
  const out: JsonObject = { ...original };
  if (Object.hasOwn(patch, RETAIN)) retainKeys(out, patch);
  const done = new Set<string>([RETAIN]);
  for (const key of Object.keys(patch)) {
    if (key.startsWith(ORDERS)) {
      done.add(key);
      mergeOrdered(out, patch, key, scope, done);
    }
  }
  for (const key of Object.keys(patch)) {
    if (!done.has(key)) mergeField(out, key, patch[key] ?? null, scope);
  }
  return out;
}

function mergeField(out: JsonObject, patchKey: string, value: JsonValue, scope: Scope): void {
  const deletes = patchKey.startsWith(DELETE_FROM);
  const key = deletes ? patchKey.slice(DELETE_FROM.length) : patchKey;
  if (patchKey === DELETE_FROM.slice(0, -1)) throw badRequest('invalid patch format of primitive list');
  if (value === null) {
    delete out[key];
    return;
  }
  const current = getKey(out, key);
  if (deletes) {
    if (Array.isArray(current) && Array.isArray(value)) {
      const gone = new Set(value);
      setKey(
        out,
        key,
        current.filter((v) => !gone.has(v)),
      );
    }
    return;
  }
  if (isObject(current) && isObject(value)) {
    const { scope: inner, strategy } = lookup(scope, key);
    setKey(out, key, strategy === 'replace' ? value : mergeObject(current, value, inner));
  } else if (Array.isArray(current) && Array.isArray(value)) {
    setKey(out, key, mergeList(current, value, lookup(scope, key)));
  } else {
    const fresh = asNew(value);
    if (fresh === undefined) delete out[key];
    else setKey(out, key, fresh);
  }
}

/** `$retainKeys`: everything that the list doesn't name goes. */
function retainKeys(out: JsonObject, patch: JsonObject): void {
  const list = patch[RETAIN];
  const wrong = () => badRequest('invalid patch format of retainKeys');
  if (!Array.isArray(list)) throw wrong();
  const kept = new Set<JsonValue>(list);
  for (const key of Object.keys(patch)) {
    const silent = key === RETAIN || patch[key] === null || key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
    if (!silent && !kept.has(key)) throw wrong();
  }
  for (const key of Object.keys(out)) if (!kept.has(key)) delete out[key];
}

/** `$setElementOrder/FIELD`: merges FIELD's lists as usual, then puts the elements into the order given. */
function mergeOrdered(out: JsonObject, patch: JsonObject, directive: string, scope: Scope, done: Set<string>): void {
  const wrong = () => badRequest('invalid patch format of setElementOrder list');
  const wanted = patch[directive];
  if (!Array.isArray(wanted)) throw failure('expected a []interface {}, but received another type');
  const key = directive.slice(SET_ORDER.length);
  if (key === '') throw wrong();
  const original = getKey(out, key);
  const change = getKey(patch, key);
  if (original !== undefined && !Array.isArray(original))
    throw failure('expected a []interface {}, but received another type');
  if (change !== undefined && !Array.isArray(change)) throw wrong();
  const found = lookup(scope, key);
  checkOrder(change ?? [], wanted, found.mergeKey);
  done.add(key);
  if (original === undefined && change === undefined) return;
  const merged =
    change === undefined ? original! : original === undefined ? newItems(change) : mergeList(original, change, found);
  if ((original?.length ?? 0) + (change?.length ?? 0) === 0) throw failure('no elements in any of the given slices');
  const lists: MergeLists = { merged, patchOrder: wanted, serverOrder: original ?? [], mergeKey: found.mergeKey };
  setKey(out, key, order(lists, noMergeKey));
}

/** The patch's elements must stand in the order list, in that order. */
function checkOrder(change: readonly JsonValue[], wanted: readonly JsonValue[], mergeKey: string): void {
  if (change.length === 0 || wanted.length === 0) return;
  const keyOf = (item: JsonValue): JsonValue => {
    if (mergeKey === '') return item;
    if (!isObject(item)) throw failure('expected a map[string]interface {}, but received another type');
    const key = getKey(item, mergeKey);
    if (key === undefined) throw noMergeKey(item, mergeKey);
    return key;
  };
  const items = change.filter((item) => !(isObject(item) && Object.hasOwn(item, PATCH)));
  let i = 0;
  for (const w of wanted) if (i < items.length && keyOf(items[i]!) === keyOf(w)) i++;
  if (i < items.length) {
    throw failure(
      `The order in patch list:\n${encodeJson(change)}\n doesn't match ${SET_ORDER.slice(0, -1)} list:\n${encodeJson(wanted)}\n`,
    );
  }
}

function mergeList(original: JsonValue[], patch: JsonValue[], found: Lookup): JsonValue[] {
  if (found.strategy !== 'merge') return patch;
  if (original.length === 0 && patch.length === 0) return original;
  const kind = elementKind(original, patch);
  if (kind !== 'object') {
    const merged = [...new Set([...original, ...patch])];
    return order({ merged, patchOrder: patch, serverOrder: original, mergeKey: '' }, noMergeKey);
  }
  if (found.mergeKey === '') throw failure('cannot merge lists without merge key for struct');
  return mergeObjects(original as JsonObject[], patch as JsonObject[], found.mergeKey, found.scope);
}

function mergeObjects(original: JsonObject[], patch: JsonObject[], mergeKey: string, scope: Scope): JsonValue[] {
  let base = original;
  const items: JsonObject[] = [];
  let replace = false;
  for (const item of patch) {
    if (!Object.hasOwn(item, PATCH)) {
      items.push(item);
      continue;
    }
    switch (item[PATCH]) {
      case 'delete': {
        const gone = getKey(item, mergeKey);
        if (gone === undefined) throw noMergeKey(item, mergeKey);
        base = base.filter((o) => getKey(o, mergeKey) !== gone);
        break;
      }
      case 'replace':
        replace = true;
        break;
      case 'merge':
        throw failure('merging lists cannot yet be specified in the patch');
      default:
        throw failure(`unknown patch type: ${encodeJson(item[PATCH])} in map: ${encodeJson(item)}`);
    }
  }
  if (replace) return order({ merged: items, patchOrder: [], serverOrder: items, mergeKey }, noMergeKey);
  const merged = base.slice();
  for (const item of items) {
    const key = getKey(item, mergeKey);
    if (key === undefined) throw noMergeKey(item, mergeKey);
    const at = merged.findIndex((o) => getKey(o, mergeKey) === key);
    if (at < 0) merged.push(item);
    else merged[at] = mergeObject(merged[at]!, item, scope);
  }
  return order({ merged, patchOrder: items, serverOrder: base, mergeKey }, noMergeKey);
}

type Kind = 'object' | 'string' | 'number' | 'boolean' | 'null';
function elementKind(...lists: readonly JsonValue[][]): Kind {
  let kind: Kind | undefined;
  for (const list of lists) {
    for (const item of list) {
      if (Array.isArray(item)) throw new StatusError(422, 'Invalid', UNPROCESSABLE, {});
      const k: Kind = item === null ? 'null' : typeof item === 'bigint' ? 'number' : (typeof item as Kind);
      if (kind !== undefined && kind !== k) throw failure('list element types are not identical');
      kind = k;
    }
  }
  return kind ?? 'null';
}

/** A value that has no counterpart in the document: nulls and directives vanish. undefined: the value is a directive. */
function asNew(value: JsonValue): JsonValue | undefined {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return newItems(value);
  if (Object.hasOwn(value, PATCH)) return undefined;
  const out: JsonObject = {};
  for (const key of Object.keys(value)) {
    const v = value[key];
    const fresh = v === null || v === undefined ? undefined : asNew(v);
    if (fresh !== undefined) setKey(out, key, fresh);
  }
  return out;
}

function newItems(list: readonly JsonValue[]): JsonValue[] {
  const out: JsonValue[] = [];
  for (const item of list) {
    const fresh = asNew(item);
    if (fresh !== undefined) out.push(fresh);
  }
  return out;
}
