/**
 * The type model: what the fields of an object are. One model for built-in kinds (from api/facts) and custom
 * resources (from their openAPIV3Schema), so that normalising, defaulting, pruning, patching, server-side apply
 * and protobuf need one engine each.
 */
import type { GroupVersionKind, JsonValue } from '../types.ts';

/** Forms without inner structure that the schema speaks of. */
export type ScalarForm =
  | 'string'
  | 'bool'
  | 'int32'
  | 'int64'
  | 'float64'
  /** Base64 text. */
  | 'bytes'
  | 'quantity'
  /** RFC 3339, whole seconds, UTC. */
  | 'time'
  | 'microtime'
  /** Go's duration text: `1h2m`. */
  | 'duration'
  | 'intOrString'
  /** runtime.RawExtension: any JSON object. */
  | 'raw'
  /** metav1.FieldsV1: the field set of a manager. */
  | 'fieldsV1'
  /** Any JSON value. */
  | 'any';

interface NodeBase {
  /** The default for an absent value, as the schema declares it. */
  readonly default?: JsonValue;
  /** null is a value of its own; undefined for built-in kinds. */
  readonly nullable?: boolean;
}

export interface ScalarNode extends NodeBase {
  readonly form: ScalarForm;
  /** The allowed values, when closed. */
  readonly enum?: readonly JsonValue[];
}

export interface ListNode extends NodeBase {
  readonly form: 'list';
  readonly items: SchemaNode;
  /** How server-side apply sees the list; atomic when the schema is silent. */
  readonly listType: 'atomic' | 'set' | 'map';
  /** The keys of a `map` list, else empty. */
  readonly listMapKeys: readonly string[];
}

export interface MapNode extends NodeBase {
  readonly form: 'map';
  readonly values: SchemaNode;
  /** granular when the schema is silent. */
  readonly mapType: 'granular' | 'atomic';
}

export interface ObjectNode extends NodeBase {
  readonly form: 'object';
  readonly type: ObjectType;
  readonly mapType: 'granular' | 'atomic';
}

/** An object of `type` or, in its place, a boolean, a list of such objects, or a list of strings (JSONSchemaPropsOrX). */
export interface UnionNode extends NodeBase {
  readonly form: 'union';
  readonly type: ObjectType;
  readonly or: 'bool' | 'list' | 'strings';
}

/** What one value may be. Switch on `form`. */
export type SchemaNode = ScalarNode | ListNode | MapNode | ObjectNode | UnionNode;

/** One field of an object, with what Go's struct tags say of it. */
export interface FieldSchema {
  /** The JSON name. */
  readonly name: string;
  readonly node: SchemaNode;
  /** A pointer in Go: null differs from zero, an explicit 0, "" or false is kept. Always true for custom resources. */
  readonly presence: boolean;
  /** Left out when empty or zero (structs are never empty in this sense). */
  readonly omitEmpty: boolean;
  /** Left out when zero. */
  readonly omitZero: boolean;
  readonly required: boolean;
  /** x-kubernetes-patch-strategy, split: `merge`, `replace`, `retainKeys`. */
  readonly patchStrategy: readonly string[];
  /** x-kubernetes-patch-merge-key. */
  readonly patchMergeKey: string | undefined;
  /** Name of the embedded Go type this field comes from (`...v1.VolumeSource`), for protobuf. */
  readonly inlinedFrom: string | undefined;
}

/** An object with named fields. Fields are loaded when first asked for, so types may be recursive. */
export interface ObjectType {
  /** `io.k8s.api.core.v1.Pod`, or a name made of the CRD's. */
  readonly name: string;
  /** In the order of the Go struct, embedded structs flattened in place. */
  readonly fields: readonly FieldSchema[];
  field(name: string): FieldSchema | undefined;
  /** Kinds that have this type at their root. */
  readonly kinds: readonly GroupVersionKind[];
  /** A Go struct (typed decoding: zero values dropped, wrong types refused); false for custom resources (pruning only). */
  readonly native: boolean;
  /** x-kubernetes-preserve-unknown-fields: unknown fields stay. */
  readonly preserveUnknown: boolean;
  /** x-kubernetes-embedded-resource: apiVersion, kind and metadata belong to it though not declared. */
  readonly embedded: boolean;
}

/** All types by name and by kind. */
export interface SchemaRegistry {
  /** Throws for an unknown name. */
  type(name: string): ObjectType;
  lookup(name: string): ObjectType | undefined;
  forKind(kind: GroupVersionKind): ObjectType | undefined;
  /** Every kind that is served, with its type's name. */
  kinds(): readonly (GroupVersionKind & { readonly type: string })[];
}
