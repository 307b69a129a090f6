/** Puts custom resources into the catalog, the stores and the documents, and takes them out again. */
import type { OpenApi } from '../../../api/openapi/index.ts';
import { isNotFound } from '../../../api/status.ts';
import type { DeepReadonly } from '../../../api/types.ts';
import type { Catalog, ServedResource } from '../../registry/catalog.ts';
import type { ResourceDefinition } from '../../registry/definition.ts';
import { deleteObject } from '../../registry/delete.ts';
import type { AdmissionChain, RegistryDeps, WriteRequest } from '../../registry/operation.ts';
import type { ResourceStore } from '../../registry/resource-store.ts';
import { SELF } from '../../registry/writer.ts';
import type { CrdServer } from '../crd/controller.ts';
import type { Crd } from '../crd/types.ts';
import { CustomResource, type CustomResourceDeps } from './custom-resource.ts';

export interface CustomServerDeps extends CustomResourceDeps {
  readonly catalog: Catalog;
  readonly openapi: OpenApi;
  readonly registry: Omit<RegistryDeps, 'admission'>;
  openStore(definition: ResourceDefinition): Promise<ResourceStore>;
  closeStore(store: ResourceStore): void;
  /** Called when what is served has changed. */
  changed(): void;
}

interface Serving {
  readonly resource: CustomResource;
  readonly store: ResourceStore;
  served: ServedResource[];
}

const NO_ADMISSION: AdmissionChain = { handles: () => false, async admit() {}, async validate() {} };

export class CustomServer implements CrdServer {
  readonly #deps: CustomServerDeps;
  readonly #serving = new Map<string, Serving>();

  constructor(deps: CustomServerDeps) {
    this.#deps = deps;
  }

  /** Versions that are served, by definition. */
  all(): CustomResource[] {
    return [...this.#serving.values()].map((s) => s.resource);
  }

  async serve(crd: DeepReadonly<Crd>): Promise<void> {
    const name = crd.metadata!.name!;
    let known = this.#serving.get(name);
    if (known && known.resource.uid !== crd.metadata!.uid) {
      this.withdraw(name);
      known = undefined;
    }
    const before = known?.resource.generation;
    const { terminating, established } = known?.resource ?? {};
    const resource = known?.resource ?? new CustomResource(crd, this.#deps);
    if (known) resource.update(crd);
    if (!known) {
      const store = await this.#deps.openStore(resource.storageDefinition);
      known = { resource, store, served: [] };
      this.#serving.set(name, known);
    } else if (
      before === resource.generation &&
      terminating === resource.terminating &&
      established === resource.established
    )
      return;
    this.#remove(known);
    known.served = resource.served(known.store);
    for (const s of known.served) this.#deps.catalog.add(s);
    this.#published();
  }

  withdraw(name: string): void {
    const known = this.#serving.get(name);
    if (!known) return;
    this.#serving.delete(name);
    this.#remove(known);
    this.#deps.closeStore(known.store);
    this.#published();
  }

  #remove(known: Serving): void {
    for (const s of known.served) this.#deps.catalog.remove(s.group, s.version, s.resource);
  }

  #published(): void {
    this.#deps.openapi.setCustom(this.all().flatMap((r) => r.openApi()));
    this.#deps.changed();
  }

  async deleteInstances(crd: DeepReadonly<Crd>): Promise<number> {
    const known = this.#serving.get(crd.metadata!.name!);
    if (!known) return 0;
    const served = known.served[0] ?? this.#anyVersion(known);
    const { store } = known;
    for (const entry of (await store.cache.list()).entries) {
      const request: WriteRequest = {
        verb: 'delete',
        served,
        subresource: '',
        namespace: entry.namespace,
        name: entry.name,
        user: SELF,
        dryRun: false,
        fieldManager: 'kube-apiserver',
        options: {},
        warn() {},
        annotate() {},
      };
      try {
        await deleteObject({ ...this.#deps.registry, admission: NO_ADMISSION }, request, {});
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    return (await store.cache.list()).entries.length;
  }

  /** A definition that serves no version has instances all the same. */
  #anyVersion(known: Serving): ServedResource {
    const d = known.resource.storageDefinition;
    return {
      group: d.group,
      version: d.version,
      apiVersion: `${d.group}/${d.version}`,
      resource: d.resource,
      singular: '',
      kind: d.kind,
      namespaced: d.namespaced,
      verbs: [],
      shortNames: [],
      categories: [],
      type: undefined,
      definition: d,
      store: known.store,
      subresources: new Map(),
      columns: [],
    };
  }

  onInstanceGone(crd: DeepReadonly<Crd>, fn: () => void): () => void {
    const store = this.#serving.get(crd.metadata!.name!)?.store;
    if (!store) return () => {};
    const { cache } = store;
    const watcher = cache.watch(
      cache.revision,
      {},
      {
        event(event) {
          if (event.type === 'delete' && cache.size === 0) fn();
          return true;
        },
        progress() {},
        end() {},
      },
    );
    return () => watcher.close();
  }
}
