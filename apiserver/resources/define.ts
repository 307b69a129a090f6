/** How kinds are written down: a ResourceDefinition from a few words, and the strategies that most kinds share. */
import { deepCopy, semanticEqual } from '../../api/meta.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { ResourceDefinition, Strategy, SubresourceDefinition } from '../registry/definition.ts';

const PACKAGES: Record<string, string> = {
  '': 'io.k8s.api.core',
  'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  'apiregistration.k8s.io': 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
};

/** The schema's name of a built-in kind: `io.k8s.api.apps.v1.Deployment`. */
export function schemaName(group: string, version: string, kind: string): string {
  return `${PACKAGES[group] ?? `io.k8s.api.${group.split('.')[0]}`}.${version}.${kind}`;
}

/** What a kind says beyond its names. */
export type DefinitionOptions<T extends KubeObject> = Partial<
  Omit<ResourceDefinition<T>, 'group' | 'resource' | 'kind' | 'namespaced'>
>;

/** A definition with version v1, its schema's usual name and unconditional updates allowed, unless said otherwise. */
export function define<T extends KubeObject>(
  group: string,
  resource: string,
  kind: string,
  scope: 'Namespaced' | 'Cluster',
  options: DefinitionOptions<T> = {},
): ResourceDefinition<T> {
  const version = options.version ?? 'v1';
  return {
    group,
    version,
    resource,
    kind,
    namespaced: scope === 'Namespaced',
    schema: schemaName(group, version, kind),
    strategy: {},
    allowUnconditionalUpdate: true,
    ...options,
  };
}

/** Registered in apiserver/http under the subresource's name. */
export const special = (...verbs: string[]): SubresourceDefinition => ({ type: 'special', verbs });

interface Parts {
  spec?: unknown;
  status?: unknown;
}
const parts = (object: unknown) => object as Parts;

/**
 * The status endpoint's usual rule: everything but the status (and some metadata) comes from the stored object. Where
 * the metadata is reset, what clients may write of it stays, too.
 */
export function statusEndpoint<T extends KubeObject>(strategy: Strategy<T> = {}): SubresourceDefinition<T> {
  const resetsMetadata = strategy.resetFields?.some((path) => path.join('.') === 'metadata');
  return {
    type: 'update',
    strategy: {
      resetFields: [['spec']],
      ...strategy,
      prepareForUpdate(object, old, ctx) {
        parts(object).spec = deepCopy(parts(old).spec);
        if (resetsMetadata) {
          const { labels, annotations, finalizers, ownerReferences } = old.metadata ?? {};
          Object.assign((object.metadata ??= {}), deepCopy({ labels, annotations, finalizers, ownerReferences }));
        }
        strategy.prepareForUpdate?.(object, old, ctx);
      },
    },
  };
}

/** Create and update rules of kinds with spec and status: status cleared and kept, generation bumped when the spec changes. */
export function specAndStatus<T extends KubeObject>(strategy: Strategy<T> = {}): Strategy<T> {
  return {
    resetFields: [['status']],
    ...strategy,
    prepareForCreate(object, ctx) {
      parts(object).status = {};
      (object.metadata ??= {}).generation = 1;
      strategy.prepareForCreate?.(object, ctx);
    },
    prepareForUpdate(object, old, ctx) {
      parts(object).status = deepCopy(parts(old).status) ?? {};
      strategy.prepareForUpdate?.(object, old, ctx);
      bumpGeneration(object, old);
    },
  };
}

/** Create and update rules of kinds without status whose generation counts changes of the spec. */
export function withGeneration<T extends KubeObject>(): Strategy<T> {
  return {
    prepareForCreate: (object) => void ((object.metadata ??= {}).generation = 1),
    prepareForUpdate: (object, old) => bumpGeneration(object, old),
  };
}

/** Sets generation from the old object, one higher when the spec differs. */
export function bumpGeneration<T extends KubeObject>(object: T, old: DeepReadonly<T>): void {
  const generation = (old.metadata as { generation?: number } | undefined)?.generation ?? 0;
  (object.metadata ??= {}).generation = semanticEqual(parts(object).spec, parts(old).spec)
    ? generation
    : generation + 1;
}
