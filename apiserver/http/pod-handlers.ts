/** The posted subresources of pods: binding and eviction. */
import { notFound } from '../../api/status.ts';
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, KubeObject, Pod } from '../../api/types.ts';
import { deleteObject, type DeleteOptions } from '../registry/delete.ts';
import type { RegistryDeps, WriteRequest } from '../registry/operation.ts';
import { rawUpdate } from '../registry/raw-update.ts';
import type { ResourceStore } from '../registry/resource-store.ts';
import type { ObjectContext, ObjectHandler, SpecialHandlers } from '../registry/special.ts';
import type { Writer } from '../registry/writer.ts';
import { bindPod, evictPod } from '../resources/pods/index.ts';

type Budget = Json<k8s.V1PodDisruptionBudget>;
const PODS = { group: '', resource: 'pods' };

/** Registers `pods/binding`, `bindings` and `pods/eviction`. */
export function registerPodHandlers(
  special: SpecialHandlers,
  deps: RegistryDeps,
  stores: ReadonlyMap<string, ResourceStore>,
  writer: Writer,
): void {
  const { clock } = deps;
  const pods = stores.get('pods');
  const budgets = stores.get('policy/poddisruptionbudgets');
  if (!pods) return;
  const update = (
    namespace: string,
    name: string,
    change: (pod: DeepReadonly<Pod>) => Pod,
    options: { dryRun: boolean },
  ) => rawUpdate<Pod>(pods, namespace, name, change, options);

  const binding: ObjectHandler = {
    type: 'object',
    async create(object, context) {
      const name = context.name !== '' ? context.name : (object.metadata?.name ?? '');
      const status = await bindPod(
        object as never,
        { namespace: context.namespace, name, dryRun: context.dryRun },
        { clock, update },
      );
      return { object: status as KubeObject };
    },
  };
  special.register('pods/binding', binding);
  special.register('bindings', binding);
  special.register('pods/eviction', {
    type: 'object',
    async create(object, context) {
      const status = await evictPod(
        object as never,
        { namespace: context.namespace, name: context.name, dryRun: context.dryRun },
        {
          clock,
          async getPod(namespace, name) {
            const entry = await pods.get(namespace, name);
            if (!entry) throw notFound(PODS, name);
            return entry.object() as DeepReadonly<Pod>;
          },
          update,
          deletePod: (namespace, name, options) =>
            deleteObject(
              deps,
              deleteRequest(deps, context, namespace, name, options as DeleteOptions),
              options as DeleteOptions,
            ),
          async listBudgets(namespace) {
            const list = await budgets?.cache.list({ namespace });
            return (list?.entries ?? []).map((e) => e.object() as DeepReadonly<Budget>);
          },
          updateBudgetStatus: (namespace, name, change) =>
            writer.update<Budget>('policy/poddisruptionbudgets', namespace, name, change, 'status'),
        },
      );
      return { object: status as KubeObject };
    },
  });
}

function deleteRequest(
  deps: RegistryDeps,
  context: ObjectContext,
  namespace: string,
  name: string,
  options: DeleteOptions,
): WriteRequest {
  return {
    verb: 'delete',
    served: deps.catalog.get('', 'v1', 'pods')!,
    subresource: '',
    namespace,
    name,
    user: context.user,
    dryRun: options.dryRun?.includes('All') ?? false,
    fieldManager: '',
    options,
    warn: context.warn,
    annotate: (key, value) => context.request.annotate(key, value),
  };
}
