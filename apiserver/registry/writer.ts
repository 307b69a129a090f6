/** Writes of the server itself: through the registry, past authentication and admission. */
import { isAlreadyExists, StatusError } from '../../api/status.ts';
import { normalize } from '../../api/schema/normalize.ts';
import type { DeepReadonly, JsonObject, KubeObject } from '../../api/types.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { Authorizer } from '../authorization/types.ts';
import type { ServedResource } from './catalog.ts';
import { createObject } from './create.ts';
import { setDefaults } from './decode.ts';
import { deleteObject } from './delete.ts';
import type { AdmissionChain, RegistryDeps, WriteOutcome, WriteRequest } from './operation.ts';
import { parseObject } from './resource-store.ts';
import { patchSource } from './patch.ts';
import { updateObject } from './update.ts';

/** What the server needs to write as itself: nothing is admitted, and everything is its right. */
export type WriterDeps = Omit<RegistryDeps, 'admission' | 'authorizer'>;

const NOTHING: AdmissionChain = { handles: () => false, async admit() {}, async validate() {} };
const ANYTHING: Authorizer = { authorize: () => ({ decision: 'allow' }) };
/** The server's own user. */
export const SELF: UserInfo = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] };

/** Resources are named `group/resource`, those of the core group by the resource alone. Every method throws StatusErrors. */
export interface Writer {
  create<T extends KubeObject>(resource: string, namespace: string, object: T): Promise<T>;
  /** False where an object of that name is there already. */
  createIfAbsent<T extends KubeObject>(resource: string, namespace: string, object: T): Promise<boolean>;
  /** Applies `change` to the newest version and stores it, again on conflict; undefined from `change` stops. */
  update<T extends KubeObject>(
    resource: string,
    namespace: string,
    name: string,
    change: (current: DeepReadonly<T>) => T | undefined,
    subresource?: string,
  ): Promise<T>;
  delete(resource: string, namespace: string, name: string): Promise<void>;
  /** Applies fields to an object's status as `manager`, whoever had them before. */
  applyStatus(resource: string, name: string, manager: string, status: JsonObject): Promise<void>;
  /** A writer whose changes are noted under another manager's name. */
  as(manager: string): Writer;
}

/** Writes the stored version of each resource. */
export function createWriter(deps: WriterDeps, fieldManager = 'kube-apiserver'): Writer {
  const own: RegistryDeps = { ...deps, admission: NOTHING, authorizer: ANYTHING };
  const requestOf = (
    verb: string,
    resource: string,
    namespace: string,
    name: string,
    subresource = '',
  ): WriteRequest => ({
    verb,
    served: servedOf(deps, resource),
    subresource,
    namespace,
    name,
    user: SELF,
    dryRun: false,
    fieldManager,
    options: {},
    warn() {},
    annotate() {},
  });
  const create = async <T extends KubeObject>(resource: string, namespace: string, object: T): Promise<T> => {
    const request = requestOf('create', resource, namespace, '');
    return result<T>(await createObject(own, request, settled(request.served, object)));
  };
  return {
    create,
    async createIfAbsent(resource, namespace, object) {
      try {
        await create(resource, namespace, object);
        return true;
      } catch (error) {
        if (isAlreadyExists(error)) return false;
        throw error;
      }
    },
    async update<T extends KubeObject>(
      resource: string,
      namespace: string,
      name: string,
      change: (current: DeepReadonly<T>) => T | undefined,
      subresource?: string,
    ) {
      const request = requestOf('update', resource, namespace, name, subresource);
      let kept: KubeObject | undefined;
      try {
        return result<T>(
          await updateObject(own, request, {
            createWhenAbsent: false,
            requireVersion: false,
            attempts: Number.MAX_SAFE_INTEGER,
            produce(live) {
              const changed = change(live as unknown as DeepReadonly<T>);
              if (changed === undefined) {
                kept = live;
                throw new Unchanged();
              }
              const object = settled(request.served, changed);
              if (!own.fields || !request.served.type) return object;
              return own.fields.update({
                type: request.served.type,
                live: live as DeepReadonly<KubeObject>,
                object,
                manager: request.fieldManager,
                apiVersion: request.served.apiVersion,
                kind: request.served,
                subresource: subresource ?? '',
                resetFields: undefined,
                resource: request.served,
              });
            },
          }),
        );
      } catch (error) {
        if (error instanceof Unchanged) return kept as T;
        throw error;
      }
    },
    async delete(resource, namespace, name) {
      await deleteObject(own, requestOf('delete', resource, namespace, name), {});
    },
    async applyStatus(resource, name, manager, status) {
      const request = { ...requestOf('patch', resource, '', name, 'status'), fieldManager: manager };
      const { apiVersion, kind } = request.served;
      const source = patchSource(own, request, {
        kind: 'apply',
        patch: () => ({ apiVersion, kind, metadata: { name }, status }),
        force: true,
        typed: (value) => settled(request.served, value as unknown as KubeObject),
      });
      await updateObject(own, request, source);
    },
    as: (manager) => createWriter(deps, manager),
  };
}

/** The object in normal form, as if it had come over the wire. */
function settled(served: ServedResource, object: KubeObject): KubeObject {
  const named = { ...object, kind: served.kind, apiVersion: served.apiVersion, metadata: { ...object.metadata } };
  const own = (served.type ? normalize(named as unknown as JsonObject, served.type).object : named) as KubeObject;
  setDefaults(served, own);
  return own;
}

class Unchanged extends Error {}

function result<T>(outcome: WriteOutcome): T {
  return (outcome.json ? parseObject(outcome.json) : outcome.object) as T;
}

function servedOf(deps: WriterDeps, resource: string): ServedResource {
  const slash = resource.indexOf('/');
  const group = slash < 0 ? '' : resource.slice(0, slash);
  const name = resource.slice(slash + 1);
  const found = deps.catalog.all().find((r) => r.group === group && r.resource === name && !r.convert);
  if (!found) throw new StatusError(404, 'NotFound', `no such resource: ${resource}`);
  return found;
}
