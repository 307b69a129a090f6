/**
 * What this server serves: every resource of every version, and where its objects live.
 * Built from the definitions and api/facts/resources.json; custom resources come and go at run time.
 */
import { readFileSync } from 'node:fs';
import { builtinSchemas } from '../../api/schema/builtin.ts';
import type { ObjectType } from '../../api/schema/model.ts';
import { apiVersionOf, type DeepReadonly, type KubeObject } from '../../api/types.ts';
import type { ResourceDefinition, SubresourceDefinition } from './definition.ts';
import type { ResourceStore } from './resource-store.ts';

/** One entry of api/facts/resources.json. */
export interface ResourceFact {
  group: string;
  version: string;
  resource: string;
  responseKind: { group: string; version: string; kind: string };
  scope: 'Namespaced' | 'Cluster';
  singularResource: string;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
  subresources?: SubresourceFact[];
}
export interface SubresourceFact {
  subresource: string;
  responseKind: { group: string; version: string; kind: string };
  verbs: string[];
}
/** One column of a Table. */
export interface ColumnFact {
  name: string;
  type: string;
  format: string;
  priority: number;
  description?: string;
}

/** One resource in one served version. */
export interface ServedResource {
  readonly group: string;
  readonly version: string;
  /** `v1` or `apps/v1`. */
  readonly apiVersion: string;
  readonly resource: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Undefined for kinds whose schema isn't known (then objects pass as they are). */
  readonly type: ObjectType | undefined;
  readonly definition: ResourceDefinition;
  /** Undefined for resources that are only posted (reviews, bindings). */
  readonly store: ResourceStore | undefined;
  readonly subresources: ReadonlyMap<string, ServedSubresource>;
  readonly columns: readonly ColumnFact[];
  /** A custom resource: its objects keep kind and apiVersion in lists, and come and go in JSON and YAML only. */
  readonly custom?: boolean;
  /** The kind of lists, where it isn't the kind and `List`. */
  readonly listKind?: string;
  /** Served, but not shown by discovery yet: the definition's status doesn't say so. */
  readonly unannounced?: boolean;
  /** What discovery shows instead of `verbs`. */
  readonly discoveryVerbs?: readonly string[];
  /** The version its objects are stored in, where the definition doesn't say. */
  readonly storageVersion?: string;
  /** Warned of on every request. */
  readonly deprecation?: string | undefined;
  /** Present when this version isn't the stored one, and for all custom resources. */
  readonly convert?: VersionConversion;
}

/** Between a served version and the stored one. */
export interface VersionConversion {
  /** May return the very object it is given. */
  fromStorage(object: DeepReadonly<KubeObject>): KubeObject;
  toStorage(object: KubeObject): KubeObject;
  /** Changes when the same stored object may look different from now on (another schema). */
  readonly generation?: number;
  /** For custom resources: the type at any version that the definition names, served or not. */
  typeAt?(apiVersion: string): ObjectType | undefined;
  /** Where converting means asking somebody: to be awaited before `fromStorage` of these objects. */
  prepare?(objects: readonly DeepReadonly<KubeObject>[]): Promise<void>;
  /** The same before `toStorage`. */
  prepareStorage?(object: DeepReadonly<KubeObject>): Promise<void>;
}

export interface ServedSubresource {
  readonly name: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
  /** The type of what is sent to it; the parent's for status and the like. */
  readonly type: ObjectType | undefined;
  readonly definition: SubresourceDefinition;
}

/** The look-up table of served resources. */
export class Catalog {
  readonly #byKey = new Map<string, ServedResource>();
  /** Grows with each change, for discovery's ETags. */
  generation = 0;

  get(group: string, version: string, resource: string): ServedResource | undefined {
    return this.#byKey.get(`${group}/${version}/${resource}`);
  }
  add(resource: ServedResource): void {
    this.#byKey.set(`${resource.group}/${resource.version}/${resource.resource}`, resource);
    this.generation++;
  }
  remove(group: string, version: string, resource: string): void {
    if (this.#byKey.delete(`${group}/${version}/${resource}`)) this.generation++;
  }
  /** In the order they were added. */
  all(): ServedResource[] {
    return [...this.#byKey.values()];
  }
  /** Those that discovery shows. */
  announced(): ServedResource[] {
    return this.all().filter((r) => !r.unannounced);
  }
  /** Whether a group's resources are custom ones (some of them, where a built-in group has been added to). */
  isCustom(group: string): boolean {
    for (const r of this.#byKey.values()) if (r.group === group) return r.custom === true;
    return false;
  }
  /** The group has built-in resources, in whatever version. */
  hasBuiltinGroup(group: string): boolean {
    for (const r of this.#byKey.values()) if (r.group === group && !r.custom) return true;
    return false;
  }
  hasGroup(group: string, version?: string): boolean {
    for (const r of this.#byKey.values())
      if (r.group === group && (version === undefined || r.version === version)) return true;
    return false;
  }
}

/** The facts of served resources, read when asked for. */
function loadFacts(): { resources: ResourceFact[]; columns: Record<string, ColumnFact[]> } {
  const load = <T>(name: string) =>
    JSON.parse(readFileSync(new URL(`../../api/facts/${name}`, import.meta.url), 'utf8')) as T;
  return { resources: load('resources.json'), columns: load('table-columns.json') };
}

const DEFAULT_COLUMNS: readonly ColumnFact[] = [
  { name: 'Name', type: 'string', format: 'name', priority: 0 },
  { name: 'Created At', type: 'date', format: '', priority: 0 },
];

const NO_STORE_VERBS = new Set(['list', 'update', 'watch']);

/** A resource that is only posted, or computed: it has no storage. */
function isVirtual(fact: ResourceFact): boolean {
  return !fact.verbs.some((v) => NO_STORE_VERBS.has(v)) || fact.resource === 'componentstatuses';
}

/** Puts facts, definitions and stores together. `storeOf` gives the store of a definition. */
export function buildCatalog(
  definitions: readonly ResourceDefinition[],
  storeOf: (definition: ResourceDefinition) => ResourceStore,
  facts = loadFacts(),
): Catalog {
  const schemas = builtinSchemas();
  const catalog = new Catalog();
  const byName = new Map<
    string,
    { definition: ResourceDefinition; other?: NonNullable<ResourceDefinition['otherVersions']>[number] }
  >();
  for (const d of definitions) {
    byName.set(`${d.group}/${d.version}/${d.resource}`, { definition: d });
    for (const other of d.otherVersions ?? [])
      byName.set(`${other.group}/${other.version}/${d.resource}`, { definition: d, other });
  }
  for (const fact of facts.resources) {
    const found = byName.get(`${fact.group}/${fact.version}/${fact.resource}`);
    const virtual = isVirtual(fact);
    const definition =
      found?.definition ??
      plainDefinition(fact, schemas.forKind({ ...fact, kind: fact.responseKind.kind })?.name ?? '');
    const type =
      schemas.lookup(found?.other?.schema ?? definition.schema) ??
      schemas.forKind({ group: fact.group, version: fact.version, kind: fact.responseKind.kind });
    const subresources = new Map<string, ServedSubresource>();
    for (const s of fact.subresources ?? []) {
      const kind = {
        group: s.responseKind.group || fact.group,
        version: s.responseKind.version || fact.version,
        kind: s.responseKind.kind,
      };
      const own = definition.subresources?.[s.subresource];
      subresources.set(s.subresource, {
        name: s.subresource,
        kind,
        verbs: s.verbs,
        type: kind.kind === fact.responseKind.kind ? type : schemas.forKind(kind),
        definition: own ?? plainSubresource(s),
      });
    }
    catalog.add({
      group: fact.group,
      version: fact.version,
      apiVersion: apiVersionOf(fact),
      resource: fact.resource,
      singular: fact.singularResource,
      kind: fact.responseKind.kind,
      namespaced: fact.scope === 'Namespaced',
      verbs: fact.verbs,
      shortNames: fact.shortNames ?? [],
      categories: fact.categories ?? [],
      type,
      definition,
      store: virtual ? undefined : storeOf(definition),
      subresources,
      columns: facts.columns[`${apiVersionOf(fact)}/${fact.resource}`] ?? DEFAULT_COLUMNS,
      convert: found?.other,
    });
  }
  return catalog;
}

/** A definition for a resource that nobody has written rules for. */
function plainDefinition(fact: ResourceFact, schema: string): ResourceDefinition {
  return {
    group: fact.group,
    version: fact.version,
    resource: fact.resource,
    kind: fact.responseKind.kind,
    namespaced: fact.scope === 'Namespaced',
    schema,
    strategy: {},
    allowUnconditionalUpdate: true,
  };
}

function plainSubresource(fact: SubresourceFact): SubresourceDefinition {
  if (fact.verbs.includes('update') && fact.subresource !== 'proxy' && fact.subresource !== 'scale')
    return { type: 'update', strategy: {} };
  return { type: 'special', verbs: fact.verbs };
}
