/** What every write carries with it, and what the registry works with. */
import type { ObjectType } from '../../api/schema/model.ts';
import type { DeepReadonly, GroupVersionKind, JsonObject, KubeObject } from '../../api/types.ts';
import type { Clock, Ids, Rand } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { AdmissionAttributes, Operation } from '../admission/types.ts';
import type { UserInfo } from '../authentication/types.ts';
import { forbiddenRequest } from '../authorization/errors.ts';
import type { Authorizer } from '../authorization/types.ts';
import type { Catalog, ServedResource } from './catalog.ts';
import type { ObjectReader, RequestRights, Strategy, StrategyContext } from './definition.ts';

/** All admission plugins as one. Both reject by throwing a StatusError. */
export interface AdmissionChain {
  handles(operation: Operation): boolean;
  admit(attributes: AdmissionAttributes): Promise<void>;
  validate(attributes: AdmissionAttributes): Promise<void>;
}

/** Keeps metadata.managedFields; made from api/apply. Objects are changed in place or returned anew. */
export interface FieldManagers {
  /** After a client's create or update: what changed against `live` now belongs to `manager`. */
  update(request: ManagedUpdate): KubeObject;
  /** Server-side apply of `patch` onto `live`. Throws 409 on conflicts unless `force`. */
  apply(request: ManagedUpdate & { patch: JsonObject; force: boolean }): KubeObject;
}
export interface ManagedUpdate {
  readonly type: ObjectType;
  readonly live: DeepReadonly<KubeObject> | undefined;
  readonly object: KubeObject;
  readonly manager: string;
  readonly apiVersion: string;
  readonly kind: GroupVersionKind;
  readonly subresource: string;
  /** Fields that this endpoint ignores. */
  readonly resetFields: readonly (readonly string[])[] | undefined;
  readonly resource: { group: string; resource: string };
}

export interface RegistryDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly rand: Rand;
  readonly logger: Logger;
  readonly catalog: Catalog;
  readonly reader: ObjectReader;
  readonly admission: AdmissionChain;
  /** For rights that a strategy demands besides the request's own. */
  readonly authorizer: Authorizer;
  readonly fields: FieldManagers | undefined;
  /** Hears of each validation that failed by its own fault. */
  readonly validationBroke?: () => void;
}

/** One write on one object (or on the object to come). */
export interface WriteRequest {
  /** As authorization has it: create, update, patch, delete. */
  readonly verb: string;
  readonly served: ServedResource;
  /** '' or the name of an `update` subresource. */
  readonly subresource: string;
  readonly namespace: string;
  /** '' on create with generateName. */
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  /** The manager named by the client, else the first part of its User-Agent. */
  readonly fieldManager: string;
  /** CreateOptions, UpdateOptions, PatchOptions as sent. */
  readonly options: KubeObject & Record<string, unknown>;
  warn(text: string): void;
  annotate(key: string, value: string): void;
}

/** The outcome of a write: the object in its stored version. */
export interface WriteOutcome {
  readonly code: number;
  /** Bytes with the resource version; absent for dry runs. */
  readonly json?: Buffer;
  readonly revision?: number;
  /** The object; absent when only bytes are at hand. */
  readonly object?: DeepReadonly<KubeObject>;
}

/** The strategy that a request's endpoint follows. */
export function strategyOf(request: WriteRequest): Strategy {
  if (request.subresource === '') return request.served.definition.strategy;
  const sub = request.served.subresources.get(request.subresource)?.definition;
  return sub?.type === 'update' ? sub.strategy : request.served.definition.strategy;
}

/** What the hooks of a kind are told of a request. */
export function strategyContext(deps: RegistryDeps, request: WriteRequest): StrategyContext {
  return {
    clock: deps.clock,
    ids: deps.ids,
    user: request.user,
    namespace: request.namespace,
    dryRun: request.dryRun,
    subresource: request.subresource,
    apiVersion: request.served.apiVersion,
    reader: deps.reader,
    warn: request.warn,
  };
}

/** The rights of the request's user; refusals have the words of a 403. */
export function rightsOf(deps: RegistryDeps, request: WriteRequest): RequestRights {
  const { served, user, verb, namespace } = request;
  return {
    verb,
    namespace,
    async refusal(wanted) {
      const attributes = {
        ...wanted,
        user,
        resourceRequest: true,
        path: '',
        apiGroup: served.group,
        apiVersion: served.version,
        resource: served.resource,
      };
      const d = await deps.authorizer.authorize(attributes);
      if (d.decision === 'allow') return undefined;
      return forbiddenRequest(attributes, [d.error, d.reason].filter(Boolean).join(': ')).message;
    },
  };
}

/** Admission's view of a write; `name` may differ from the request's when it is generated. */
export function admissionAttributes(
  request: WriteRequest,
  operation: Operation,
  object: KubeObject | undefined,
  oldObject: DeepReadonly<KubeObject> | undefined,
  name = request.name,
): AdmissionAttributes {
  const { served } = request;
  return {
    operation,
    kind: { group: served.group, version: served.version, kind: served.kind },
    resource: { group: served.group, version: served.version, resource: served.resource },
    subresource: request.subresource,
    namespace: request.namespace,
    name,
    user: request.user,
    dryRun: request.dryRun,
    object,
    oldObject,
    options: request.options,
    warn: request.warn,
    annotate: request.annotate,
  };
}
