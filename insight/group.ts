/** An API group that this server answers for, as the aggregator and clients see it. */
import type { StatusError } from '../api/status.ts';
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

export interface ApiGroup {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly ResourceInfo[];
  /** Answers for resources beyond those it lists. */
  readonly open?: boolean;
  /** @throws StatusError */
  read(request: ReadRequest): Promise<JsonObject>;
  /** How lists and objects look as a Table; undefined when they don't. */
  rows?(resource: string): Rows | undefined;
}

export type { StatusError };
