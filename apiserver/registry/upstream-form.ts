/**
 * How kube-apiserver keeps objects in etcd: built-in resources under their name alone (`/deployments/ns/name`), a few
 * under older names, and most values as protobuf. On etcd we keep its keys, and read its values beside ours, so that
 * either server can go on where the other stopped; it reads our JSON as it is.
 */
import { decodeMessage, decodeProtobuf, isProtobuf, openEnvelope } from '../../api/codec/protobuf.ts';
import { applyDefaults } from '../../api/schema/defaults.ts';
import { builtinSchemas } from '../../api/schema/builtin.ts';
import { apiVersionOf, type JsonObject, type KubeObject } from '../../api/types.ts';
import type { Translation } from '../storage/translated.ts';
import { orderMeta } from './create.ts';
import type { ResourceDefinition } from './definition.ts';
import { encodeStored, keyPrefix, parseObject } from './resource-store.ts';
import { intoStoredForm } from './stored-form.ts';

/** These groups come from servers of their own within kube-apiserver, and keep their names in keys. */
const WITH_GROUP = new Set(['apiextensions.k8s.io', 'apiregistration.k8s.io']);
/** Names from before resources had the ones they have. */
const OLD_NAMES: Readonly<Record<string, string>> = {
  replicationcontrollers: 'controllers',
  services: 'services/specs',
  endpoints: 'services/endpoints',
  nodes: 'minions',
  ingresses: 'ingress',
};

const NEWLINE = 0x0a;

/** The first part of a key that `table` knows, of one or two segments, replaced. */
function swap(table: ReadonlyMap<string, string>, key: string): string {
  const first = key.indexOf('/', 1) + 1;
  if (first === 0) return key;
  const one = table.get(key.slice(0, first));
  if (one !== undefined) return one + key.slice(first);
  const second = key.indexOf('/', first) + 1;
  if (second === 0) return key;
  const two = table.get(key.slice(0, second));
  return two === undefined ? key : two + key.slice(second);
}

/** Between the form of kube-apiserver and ours, for these built-in resources; custom ones lie alike in both. */
export function upstreamForm(definitions: readonly ResourceDefinition[]): Translation {
  const toStored = new Map<string, string>();
  const toOwn = new Map<string, string>();
  const byPrefix = new Map<string, ResourceDefinition>();
  for (const d of definitions) {
    const own = keyPrefix(d);
    byPrefix.set(own, d);
    if (WITH_GROUP.has(d.group)) continue;
    const stored = `/${OLD_NAMES[d.resource] ?? d.resource}/`;
    toStored.set(own, stored);
    toOwn.set(stored, own);
  }
  const definitionOf = (key: string) => {
    const first = key.indexOf('/', 1) + 1;
    return byPrefix.get(key.slice(0, first)) ?? byPrefix.get(key.slice(0, key.indexOf('/', first) + 1));
  };
  return {
    toStored: (key) => swap(toStored, key),
    toOwn: (key) => swap(toOwn, key),
    value(key, stored) {
      if (isProtobuf(stored)) {
        const d = definitionOf(key);
        // Its own bookkeeping (ranges, leases of servers) is nothing that we read.
        return d ? fromProtobuf(d, stored) : stored;
      }
      // Go ends JSON with a newline, which doesn't belong into the lines of a watch; we don't.
      if (stored[stored.length - 1] !== NEWLINE) return stored;
      const json = stored.subarray(0, -1);
      const d = definitionOf(key);
      return d ? fromJson(d, json) : json;
    },
  };
}

/** An object that was kept in another version; only some kinds are. */
function fromJson(d: ResourceDefinition, json: Buffer): Buffer {
  if (!d.storedVersions) return json;
  const object = parseObject(json);
  const convert = d.storedVersions[object.apiVersion ?? ''];
  return convert ? encodeStored(convert(object)) : json;
}

/** The bytes that we would have stored in its place. */
function fromProtobuf(d: ResourceDefinition, stored: Buffer): Buffer {
  const kept = { group: d.group, version: d.version, kind: d.kind };
  const apiVersion = apiVersionOf(kept);
  const type = builtinSchemas().lookup(d.schema);
  const envelope = openEnvelope(stored);
  const convert =
    d.storedVersions?.[envelope.apiVersion] ??
    d.otherVersions?.find((v) => apiVersionOf(v) === envelope.apiVersion)?.toStorage;
  if (!convert && envelope.apiVersion !== apiVersion)
    throw new Error(`${envelope.apiVersion} ${envelope.kind} is not known as a form of ${d.resource}`);
  const alike = type && d.storedVersions?.[envelope.apiVersion];
  let object: KubeObject = alike ? decodeMessage(envelope.message, type, kept) : decodeProtobuf(stored, kept);
  if (convert) object = convert(object);
  if (type) applyDefaults(object as JsonObject, type);
  d.strategy.defaults?.(object, apiVersion);
  object.metadata = orderMeta(object.metadata ?? {});
  intoStoredForm(d, object);
  return encodeStored(object);
}
