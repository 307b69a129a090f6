/**
 * What a kind is to the generic registry: data, plus hooks for what data can't say.
 * One folder per kind in apiserver/resources/ exports a ResourceDefinition.
 */
import type { FieldError } from '../../api/field-errors.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Clock, Ids } from '../../base/clock.ts';
import type { UserInfo } from '../authentication/types.ts';

/** What hooks may know about the request and the world. */
export interface StrategyContext {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly user: UserInfo;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** '' for the object itself, else `status`, `scale`, `finalize` ... */
  readonly subresource: string;
  /** The version the request came in ('v1', 'events.k8s.io/v1'); the object has the stored version's form. */
  readonly apiVersion?: string;
  /** Synchronous look-ups in the API server's own caches. */
  readonly reader: ObjectReader;
  /** Warns the client, even when the request is refused. */
  readonly warn?: (text: string) => void;
}

/** What the user of a request may do beyond the request itself. */
export interface RequestRights {
  /** The request's own verb. */
  readonly verb: string;
  /** The request's own namespace. */
  readonly namespace: string;
  /**
   * Why the user may not do this to a subresource of the request's resource, which need not exist; undefined when he may.
   * An empty namespace asks for the whole cluster, an empty name for every name.
   */
  refusal(wanted: RightsQuery): Promise<string | undefined>;
}
export interface RightsQuery {
  readonly verb: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Read-only access to cached objects of any built-in resource, `group/resource` as key ('pods', 'apps/deployments'). */
export interface ObjectReader {
  get<T extends KubeObject>(resource: string, namespace: string, name: string): DeepReadonly<T> | undefined;
  list<T extends KubeObject>(resource: string, namespace?: string): DeepReadonly<T>[];
}

/**
 * A kind's rules. Objects given to prepare* and defaults are the request's own and may be changed in place;
 * `old` never. All hooks are optional; absent means nothing to do.
 */
export interface Strategy<T extends KubeObject = KubeObject> {
  /** Defaults that the schema's own (schema-v3.json) don't cover; runs after them on each decode and on each read of stored objects. */
  defaults?(object: T, apiVersion: string): void;
  /** Clears what a client may not set (status), sets generation and the like. */
  prepareForCreate?(object: T, ctx: StrategyContext): void;
  /** What is wrong with a new object, its metadata included. */
  validate?(object: T, ctx: StrategyContext): FieldError[];
  /** On update, fields of features that are off count as a change of the spec before they are dropped. */
  readonly countsDisabledFields?: boolean;
  /** Restores what this endpoint may not change, bumps generation when the spec changed. */
  prepareForUpdate?(object: T, old: DeepReadonly<T>, ctx: StrategyContext): void;
  /** What is wrong with the new form of an object, its metadata included. */
  validateUpdate?(object: T, old: DeepReadonly<T>, ctx: StrategyContext): FieldError[];
  /** What the user lacks for this change; these complaints stand before those of validateUpdate. */
  authorizeUpdate?(object: T, old: DeepReadonly<T>, ctx: StrategyContext, rights: RequestRights): Promise<FieldError[]>;
  /** Brings a valid object into its stored form (sorting, trimming). */
  canonicalize?(object: T): void;
  /** Texts for Warning headers; `old` is undefined on create. */
  warnings?(object: T, old: DeepReadonly<T> | undefined, ctx: StrategyContext): string[];
  /** Fields that this endpoint ignores, for managedFields ([["status"]]). */
  resetFields?: readonly (readonly string[])[];
}

/** How one subresource behaves. `update` reads and writes the parent object with a strategy of its own. */
export type SubresourceDefinition<T extends KubeObject = KubeObject> =
  | { readonly type: 'update'; readonly strategy: Strategy<T> }
  | {
      readonly type: 'scale';
      /** JSON paths inside the parent, as for custom resources. */
      readonly specReplicas: readonly string[];
      /** The same by API version, for kinds where it differs between versions; empty where there is no scale. */
      readonly replicasAt?: Readonly<Record<string, readonly string[]>>;
      readonly statusReplicas: readonly string[];
      /** The selector in its string form. */
      selector(object: DeepReadonly<T>): string;
    }
  /** Handled by code registered in apiserver/http under this name: log, exec, proxy, token, binding, eviction ... */
  | { readonly type: 'special'; readonly verbs: readonly string[] };

/** One column of a Table; `value` may return undefined for an empty cell. */
export interface TableRowMaker<T extends KubeObject = KubeObject> {
  /** The cells in the order of api/facts/table-columns.json for this resource; `now` in ms for ages. */
  cells(object: DeepReadonly<T>, now: number): (string | number | boolean)[];
  /** Conditions of a row (completed pods). */
  conditions?(object: DeepReadonly<T>): object[] | undefined;
}

/** What `allocate` claimed; exactly one of the two is called. */
export interface Allocation {
  /** The object is stored: gives back what it no longer needs. */
  commit(): Promise<void>;
  /** The write failed: gives back what was claimed for it. */
  revert(): Promise<void>;
}

/** A resource that lives in storage of its own. */
export interface ResourceDefinition<T extends KubeObject = KubeObject> {
  readonly group: string;
  /** The version objects are stored in. */
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** The schema's name: `io.k8s.api.core.v1.Pod`. */
  readonly schema: string;
  /** The version that upstream stores it in, by discovery's hash; defaults to `version`. */
  readonly announcedStorage?: string;
  /** Where keys live; defaults to `/RESOURCE/` or `/GROUP/RESOURCE/`. */
  readonly keyPrefix?: string;
  readonly strategy: Strategy<T>;
  readonly subresources?: Readonly<Record<string, SubresourceDefinition<T>>>;
  readonly table?: TableRowMaker<T>;
  /** Selectable fields besides metadata.name and metadata.namespace. */
  selectableFields?(object: DeepReadonly<T>): Record<string, string>;
  readonly indexedFields?: readonly string[];
  /** PUT on a name that isn't there creates it. */
  readonly allowCreateOnUpdate?: boolean;
  /** PUT without a resourceVersion overwrites. */
  readonly allowUnconditionalUpdate?: boolean;
  /** Seconds after which an object vanishes by itself (events). */
  ttlSeconds?(object: DeepReadonly<T>): number | undefined;
  /**
   * For kinds with graceful deletion (pods): the grace period that applies, 0 to delete at once.
   * Absent: deletion is immediate (finalizers apart).
   */
  gracePeriodSeconds?(object: DeepReadonly<T>, requested: number | undefined): number;
  /** Finalizers that stand elsewhere than in the metadata (a namespace's spec.finalizers); they too hold up deletion. */
  moreFinalizers?(object: DeepReadonly<T>): readonly string[];
  /** The garbage collector has nothing to do with it: deletion adds no finalizers, whatever propagation is asked for. */
  readonly uncollected?: boolean;
  /** Upstream reads it past its cache: lists honour their limit at resourceVersion 0, versions are checked as the store does. */
  readonly uncached?: boolean;
  /** Whether objects of one version may be selected by a field; defaults to yes for all that `selectableFields` has. */
  selectsBy?(field: string, apiVersion: string): boolean;
  /** What the kind's conversion writes into an object that holds nothing: bookmarks show it. */
  fillEmpty?(object: T): void;
  /** Changes an object that is marked for deletion (a namespace's phase becomes Terminating). */
  onDeleting?(object: T): void;
  /** Annotations that stand for fields of the spec: metadata that is shown alone doesn't have them. */
  readonly specAnnotations?: readonly string[];
  /** DELETE answers with the object instead of a Status. */
  readonly returnDeletedObject?: boolean;
  /** Finalizers by default when propagation isn't chosen: 'orphan' for old controllers, else background. */
  readonly defaultPropagation?: 'Background' | 'Orphan';
  /**
   * Claims something outside the object (a cluster IP, a node port) before it is prepared, validated and stored.
   * With ctx.dryRun it only chooses values. May throw a StatusError.
   */
  allocate?(object: T, old: DeepReadonly<T> | undefined, ctx: StrategyContext): Promise<Allocation>;
  /** Gives back what allocate claimed once the object is gone. */
  release?(object: DeepReadonly<T>, ctx: StrategyContext): Promise<void>;
  /** Strategies see objects in the version of the request, which are converted when they are written (custom resources). */
  readonly inRequestVersion?: boolean;
  /**
   * Versions that aren't served, by apiVersion, in which kube-apiserver keeps this kind in etcd: what makes the stored
   * form of them. As protobuf they have the fields of `schema`.
   */
  readonly storedVersions?: Readonly<Record<string, (object: KubeObject) => T>>;
  /** Other served versions that share this storage, with pure conversions from and to the stored form. */
  readonly otherVersions?: readonly {
    readonly group: string;
    readonly version: string;
    readonly schema: string;
    fromStorage(object: DeepReadonly<T>): KubeObject;
    toStorage(object: KubeObject): T;
  }[];
}
