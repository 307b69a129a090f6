/**
 * Seams for what isn't plain storage: subresources of type `special` (log, exec, proxy, token, binding, eviction)
 * and resources that are only posted (reviews). Registered by name when the server is put together.
 */
import type { Duplex } from 'node:stream';
import type { KubeObject } from '../../api/types.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import type { UserInfo } from '../authentication/types.ts';

/** What a posted object's handler knows of its request. */
export interface ObjectContext {
  readonly user: UserInfo;
  readonly namespace: string;
  /** The parent's name for a subresource; '' for a review. */
  readonly name: string;
  readonly dryRun: boolean;
  /** Adds a Warning header. */
  warn(text: string): void;
  readonly request: ApiRequest;
}

/** A decoded, defaulted object in, an object out. Admission (CREATE) has been through when it is called. */
export interface ObjectHandler {
  readonly type: 'object';
  /** `code` defaults to 201. */
  create(object: KubeObject, context: ObjectContext): Promise<{ object: KubeObject; code?: number }>;
}

/** Takes the request as it is, after authorization. `upgrade` gets the socket of a WebSocket or SPDY upgrade. */
export interface RawHandler {
  readonly type: 'raw';
  handle?(request: ApiRequest, reply: Reply): Promise<void>;
  upgrade?(request: ApiRequest, socket: Duplex, head: Buffer): Promise<void>;
}

export type SpecialHandler = ObjectHandler | RawHandler;

/** By `resource.group/subresource`: `pods/log`, `serviceaccounts/token`, `tokenreviews.authentication.k8s.io`. */
export class SpecialHandlers {
  readonly #handlers = new Map<string, SpecialHandler>();
  register(key: string, handler: SpecialHandler): void {
    this.#handlers.set(key, handler);
  }
  get(group: string, resource: string, subresource: string): SpecialHandler | undefined {
    return this.#handlers.get(specialKey(group, resource, subresource));
  }
}

/** The key of a special handler. */
function specialKey(group: string, resource: string, subresource: string): string {
  const r = group === '' ? resource : `${resource}.${group}`;
  return subresource === '' ? r : `${r}/${subresource}`;
}
