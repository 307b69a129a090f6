/** An API group that this server answers for, as the aggregator and clients see it. */
import type { JsonObject } from '../api/types.ts';

/** A read of one object (`name`) or of a list; everything else is refused before. */
export interface ReadRequest {
  readonly resource: string;
  /** Absent: all namespaces, or a resource without them. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly query: URLSearchParams;
}

export interface ResourceInfo {
  readonly name: string;
  readonly singularName: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** Columns and rows of a Table. */
export interface Rows {
  readonly columns: readonly { readonly name: string; readonly type: string; readonly description: string }[];
  cells(object: JsonObject): readonly (string | number)[];
}

/** What a kind looks like, in OpenAPI's terms; a `$ref` is the name of another kind of the group. */
export interface KindInfo {
  readonly description: string;
  readonly properties: JsonObject;
  /** An object of the API, with metadata; not a part of one. */
  readonly top?: boolean;
}

export interface ApiGroup {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ResourceInfo[];
  /** By name. */
  readonly kinds: Readonly<Record<string, KindInfo>>;
  /** Answers for resources beyond those it lists. */
  readonly open?: boolean;
  /** @throws StatusError */
  read(request: ReadRequest): Promise<JsonObject>;
  /** How lists and objects look as a Table; undefined when they don't. */
  rows?(resource: string): Rows | undefined;
}
