/**
 * The OpenAPI documents that the API server serves. Made when first asked for, kept as bytes until custom resources
 * change. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
 */
import { createHash } from 'node:crypto';
import type { JsonObject } from '../types.ts';
import type { CustomKind } from './custom.ts';
import { builtinOperations, loadDefinitions, loadSchemasV3, type Operation, type SchemaFacts } from './operations.ts';
import { encodeV2 } from './proto.ts';
import { buildV2 } from './v2.ts';
import { buildCustomV3, buildV3 } from './v3.ts';

export type { CustomKind } from './custom.ts';

/** What old kubectl asks /openapi/v2 for; it is answered with V2_PROTOBUF_TYPE. */
export const V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
export const V2_PROTOBUF_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** A document as bytes; `hash` changes with its content (128 hex digits) and serves as an ETag. */
export interface Document {
  readonly bytes: Buffer;
  readonly hash: string;
}

export interface OpenApi {
  /** /openapi/v2 as JSON. */
  v2(): Document;
  /** /openapi/v2 in the protobuf form of gnostic. */
  v2Protobuf(): Document;
  /** /openapi/v3: where each document is, with its hash in the URL. */
  v3Index(): Document;
  /** /openapi/v3/PATH (`apis/apps/v1`); undefined: no such group version. */
  v3(path: string): Document | undefined;
  /** Replaces all custom resources' parts. Costs nothing until a document is asked for. */
  setCustom(kinds: readonly CustomKind[]): void;
  /** Replaces what aggregated servers document; their v3 documents are theirs to serve. */
  setRemote(documents: readonly RemoteDocuments[]): void;
}

/** The documents of one group version of an aggregated server. */
export interface RemoteDocuments {
  /** `apis/metrics.k8s.io/v1beta1` */
  readonly document: string;
  /** Where its v3 document is, with its hash. */
  readonly url: string | undefined;
  /** Its part of /openapi/v2. */
  readonly v2: { readonly paths: JsonObject; readonly definitions: JsonObject } | undefined;
}

export interface OpenApiOptions {
  /** Shown as the documents' version: `v1.36.3`. */
  readonly version: string;
}

const document = (bytes: Buffer): Document => ({
  bytes,
  hash: createHash('sha512').update(bytes).digest('hex').toUpperCase().slice(0, 128),
});
const json = (value: JsonObject): Document => document(Buffer.from(JSON.stringify(value)));

/** The documents of what is served; they are made when somebody asks, and made anew after a change. */
export function createOpenApi(options: OpenApiOptions): OpenApi {
  const { version } = options;
  let facts: { schemas: SchemaFacts; operations: Operation[] } | undefined;
  const load = () => {
    if (facts === undefined) {
      const schemas = loadSchemasV3();
      facts = { schemas, operations: builtinOperations(schemas) };
    }
    return facts;
  };
  let customs: readonly CustomKind[] = [];
  let v2: Document | undefined;
  let v2Protobuf: Document | undefined;
  let index: Document | undefined;
  const builtin = new Map<string, Document>();
  let custom = new Map<string, Document>();
  let remote: readonly RemoteDocuments[] = [];
  const whole = () => withRemote(buildV2(version, load().operations, loadDefinitions(), customs), remote);
  const documentOf = (c: CustomKind) => `apis/${c.group}/${c.version}`;

  const v3 = (path: string): Document | undefined => {
    const known = builtin.get(path) ?? custom.get(path);
    if (known !== undefined) return known;
    const { schemas, operations } = load();
    if (Object.hasOwn(schemas, path)) {
      const made = json(
        buildV3(
          version,
          operations.filter((o) => o.document === path),
          schemas[path]!,
        ),
      );
      builtin.set(path, made);
      return made;
    }
    const own = customs.filter((c) => documentOf(c) === path);
    if (own.length === 0) return undefined;
    const made = json(buildCustomV3(version, own, schemas));
    custom.set(path, made);
    return made;
  };

  return {
    v2: () => (v2 ??= json(whole())),
    v2Protobuf: () => (v2Protobuf ??= document(encodeV2(whole()))),
    v3Index() {
      if (index !== undefined) return index;
      const elsewhere = new Map(remote.flatMap((r) => (r.url === undefined ? [] : [[r.document, r.url]])));
      const names = new Set([...Object.keys(load().schemas), ...customs.map(documentOf), ...elsewhere.keys()]);
      const paths: JsonObject = {};
      for (const name of [...names].sort()) {
        paths[name] = { serverRelativeURL: elsewhere.get(name) ?? `/openapi/v3/${name}?hash=${v3(name)!.hash}` };
      }
      return (index = json({ paths }));
    },
    v3,
    setCustom(kinds) {
      customs = kinds;
      custom = new Map();
      v2 = v2Protobuf = index = undefined;
    },
    setRemote(documents) {
      remote = documents;
      v2 = v2Protobuf = index = undefined;
    },
  };
}

/** A document with the parts of others; a name that is taken keeps its meaning. */
function withRemote(document: JsonObject, remote: readonly RemoteDocuments[]): JsonObject {
  const parts = remote.flatMap((r) => r.v2 ?? []);
  if (parts.length === 0) return document;
  const merged = (key: 'paths' | 'definitions'): JsonObject =>
    Object.assign({}, ...parts.map((p) => p[key]), document[key]) as JsonObject;
  return { ...document, paths: merged('paths'), definitions: merged('definitions') };
}
