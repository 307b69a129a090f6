/** What admission plugins are: what they are told of a request, what they get when they are made. */
import type { DeepReadonly, GroupVersionKind, GroupVersionResource, KubeObject } from '../../api/types.ts';
import type { Clock, Ids } from '../../base/clock.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { Authorizer } from '../authorization/types.ts';
import type { ObjectReader } from '../registry/definition.ts';
import type { Writer } from '../registry/writer.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** One write (or connect) on its way into the store. */
export interface AdmissionAttributes {
  readonly operation: Operation;
  readonly kind: GroupVersionKind;
  readonly resource: GroupVersionResource;
  readonly subresource: string;
  readonly namespace: string;
  /** Empty on create with generateName. */
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The new object (mutable for mutating plugins); undefined on delete. For CONNECT the options object. */
  object: KubeObject | undefined;
  readonly oldObject: DeepReadonly<KubeObject> | undefined;
  /** CreateOptions, UpdateOptions, PatchOptions or DeleteOptions as sent. */
  readonly options: KubeObject & Record<string, unknown>;
  /** Adds a Warning header to the answer. */
  warn(text: string): void;
  /** Adds a key to the audit event. */
  annotate(key: string, value: string): void;
}

/** What plugins get when they are made. */
export interface AdmissionDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly reader: ObjectReader;
  readonly authorizer: Authorizer;
  /** Writes to the server's own API as itself, past authentication (quota usage, service account waits). */
  readonly writer: Writer;
}

/** Rejects by throwing a StatusError. All mutating plugins run before all validating ones. */
export interface AdmissionPlugin {
  /** Upstream's plugin name: `NamespaceLifecycle`. */
  readonly name: string;
  handles(operation: Operation): boolean;
  admit?(attributes: AdmissionAttributes): Promise<void> | void;
  validate?(attributes: AdmissionAttributes): Promise<void> | void;
  /** Asked when all mutating plugins have run: true runs them all once more (the object was changed from outside). */
  wantsReinvocation?(attributes: AdmissionAttributes): boolean;
}
