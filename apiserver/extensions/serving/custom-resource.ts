/**
 * One CustomResourceDefinition as served resources: a resource per served version over one storage. The served
 * objects stay the same while the definition changes, so that requests and watches under way see the new schema.
 */
import { encodeJson } from '../../../api/codec/json.ts';
import { structuralType, type StructuralSchema } from '../../../api/schema/structural.ts';
import type { ObjectType } from '../../../api/schema/model.ts';
import type { CustomKind } from '../../../api/openapi/index.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { parseApiVersion, type DeepReadonly, type JsonObject, type KubeObject } from '../../../api/types.ts';
import type { ColumnFact, ServedResource, ServedSubresource } from '../../registry/catalog.ts';
import type { ResourceDefinition } from '../../registry/definition.ts';
import type { ResourceStore } from '../../registry/resource-store.ts';
import { isTrue, type Crd, type CrdColumn, type CrdNames, type CrdScale, type CrdVersion } from '../crd/types.ts';
import type { SchemaProps } from '../schema/props.ts';
import type { Value } from '../schema/equal.ts';
import { compareVersions } from '../../discovery/overlay.ts';
import { columnsOf } from './columns.ts';
import { noConversion, ordered, pruned, settled, type VersionConverter } from './conversion.ts';
import { parseJsonPath, type JsonPath } from './jsonpath.ts';
import { customStrategies, customSubresources, pathNames } from './strategy.ts';

const VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];
const VERBS_TERMINATING = ['delete', 'deletecollection', 'get', 'list', 'watch'];
const SUB_VERBS = ['get', 'patch', 'update'];
const ANYTHING: SchemaProps = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** Everything that comes out of one version's part of the definition. */
interface Version {
  readonly spec: CrdVersion;
  readonly apiVersion: string;
  readonly type: ObjectType;
  readonly definition: ResourceDefinition;
  readonly columns: readonly ColumnFact[];
  readonly subresources: ReadonlyMap<string, ServedSubresource>;
  readonly deprecation: string | undefined;
}

export interface CustomResourceDeps {
  /** The converter of definitions with a conversion webhook. */
  webhook?(crd: Crd): VersionConverter;
}

/** A served version; reads everything from the definition as it is now. */
class ServedVersion implements ServedResource {
  readonly group: string;
  readonly version: string;
  readonly apiVersion: string;
  readonly resource: string;
  readonly namespaced: boolean;
  readonly store: ResourceStore;
  readonly custom = true;
  readonly convert: NonNullable<ServedResource['convert']>;
  readonly #of: CustomResource;
  #last: Version;

  constructor(of: CustomResource, version: string, store: ResourceStore) {
    this.#of = of;
    this.#last = of.version(version)!;
    this.group = of.group;
    this.version = version;
    this.apiVersion = `${of.group}/${version}`;
    this.resource = of.names.plural;
    this.namespaced = of.namespaced;
    this.store = store;
    const { apiVersion } = this;
    this.convert = {
      get generation() {
        return of.generation;
      },
      fromStorage: (object) => of.read(object, apiVersion),
      toStorage: (object) => of.toStorage(object),
      typeAt: (other) => of.typeAt(other),
      get prepare() {
        return of.preparation(apiVersion);
      },
      get prepareStorage() {
        return of.storagePreparation();
      },
    };
  }
  get #now(): Version {
    return (this.#last = this.#of.version(this.version) ?? this.#last);
  }
  get singular(): string {
    return this.#of.names.singular ?? '';
  }
  get kind(): string {
    return this.#of.names.kind;
  }
  get listKind(): string {
    return this.#of.names.listKind ?? `${this.kind}List`;
  }
  get storageVersion(): string {
    return this.#of.storageVersion;
  }
  get shortNames(): readonly string[] {
    return this.#of.names.shortNames ?? [];
  }
  get categories(): readonly string[] {
    return this.#of.names.categories ?? [];
  }
  get verbs(): readonly string[] {
    return VERBS;
  }
  get unannounced(): boolean {
    return !this.#of.established;
  }
  get discoveryVerbs(): readonly string[] {
    return this.#of.terminating ? VERBS_TERMINATING : VERBS;
  }
  get type(): ObjectType {
    return this.#now.type;
  }
  get definition(): ResourceDefinition {
    return this.#now.definition;
  }
  get subresources(): ReadonlyMap<string, ServedSubresource> {
    return this.#now.subresources;
  }
  get columns(): readonly ColumnFact[] {
    return this.#now.columns;
  }
  get deprecation(): string | undefined {
    return this.#now.deprecation;
  }
}

/** All versions of one definition, as the registry serves them. */
export class CustomResource {
  readonly group: string;
  readonly namespaced: boolean;
  readonly uid: string;
  names: CrdNames;
  /** Grows with each change of the schemas: views made before are stale. */
  generation = 0;
  terminating = false;
  /** Its status says that it is served. */
  established = false;
  readonly #deps: CustomResourceDeps;
  #versions = new Map<string, Version>();
  #storage = '';
  #converter: VersionConverter = noConversion;
  #spec: Crd['spec'] | undefined;
  readonly #served = new Map<string, ServedVersion>();

  constructor(crd: DeepReadonly<Crd>, deps: CustomResourceDeps) {
    this.group = crd.spec.group;
    this.namespaced = crd.spec.scope === 'Namespaced';
    this.uid = crd.metadata?.uid ?? '';
    this.names = crd.status?.acceptedNames as CrdNames;
    this.#deps = deps;
    this.update(crd);
  }

  /** Takes over a changed definition. */
  update(definition: DeepReadonly<Crd>): void {
    const crd = definition as Crd;
    this.terminating = crd.metadata?.deletionTimestamp !== undefined;
    this.established = isTrue(crd, 'Established');
    const names = crd.status!.acceptedNames!;
    const changed = this.#spec !== crd.spec || JSON.stringify(names) !== JSON.stringify(this.names);
    this.names = names;
    if (!changed) return;
    this.#spec = crd.spec;
    this.generation++;
    this.#storage = crd.spec.versions.find((v) => v.storage)?.name ?? '';
    this.#converter =
      crd.spec.conversion?.strategy === 'Webhook' && this.#deps.webhook ? this.#deps.webhook(crd) : noConversion;
    this.#versions = new Map(crd.spec.versions.map((v) => [v.name, this.#make(crd, v)]));
  }

  version(name: string): Version | undefined {
    return this.#versions.get(name);
  }
  typeAt(apiVersion: string): ObjectType | undefined {
    const { group, version } = parseApiVersion(apiVersion);
    return group === this.group ? this.#versions.get(version)?.type : undefined;
  }
  get storageVersion(): string {
    return this.#storage;
  }
  /** The definition that the storage is opened with: fields are selected in the served versions, not in the stored one. */
  get storageDefinition(): ResourceDefinition {
    const { selectableFields: _, ...definition } = this.#versions.get(this.#storage)!.definition;
    return definition;
  }

  /** The versions to serve, the same objects for the same version. */
  served(store: ResourceStore): ServedResource[] {
    for (const [name, v] of this.#versions) {
      if (!v.spec.served) this.#served.delete(name);
      else if (!this.#served.has(name)) this.#served.set(name, new ServedVersion(this, name, store));
    }
    for (const name of this.#served.keys()) if (!this.#versions.has(name)) this.#served.delete(name);
    return [...this.#served.values()];
  }

  /** A stored object in a served version: pruned and defaulted by today's schemas. */
  read(stored: DeepReadonly<KubeObject>, apiVersion: string): KubeObject {
    const from = this.#versions.get(parseApiVersion(stored.apiVersion ?? '').version);
    let object = from ? settled(stored, from.type) : stored;
    if (object.apiVersion !== apiVersion) {
      const to = this.#versions.get(parseApiVersion(apiVersion).version);
      const converted = this.#converter.convert(object, apiVersion);
      object = (to ? pruned(converted as DeepReadonly<KubeObject>, to.type) : converted) as DeepReadonly<KubeObject>;
    }
    return object as KubeObject;
  }

  toStorage(object: KubeObject): KubeObject {
    const storage = this.#versions.get(this.#storage)!;
    if (object.apiVersion === storage.apiVersion) return ordered(object);
    return ordered(
      pruned(
        this.#converter.convert(object as DeepReadonly<KubeObject>, storage.apiVersion) as DeepReadonly<KubeObject>,
        storage.type,
      ),
    );
  }

  /** For converters that must ask first: readies `read` for stored objects. */
  preparation(apiVersion: string): ((stored: readonly DeepReadonly<KubeObject>[]) => Promise<void>) | undefined {
    const converter = this.#converter;
    if (!converter.prepare) return undefined;
    return (stored) => {
      const foreign = stored.filter((o) => o.apiVersion !== apiVersion);
      if (foreign.length === 0) return Promise.resolve();
      const settle = (o: DeepReadonly<KubeObject>) => {
        const from = this.#versions.get(parseApiVersion(o.apiVersion ?? '').version);
        return from ? settled(o, from.type) : o;
      };
      return converter.prepare!(foreign.map(settle), apiVersion);
    };
  }

  /** The same for `toStorage`. */
  storagePreparation(): ((object: DeepReadonly<KubeObject>) => Promise<void>) | undefined {
    const converter = this.#converter;
    const to = this.#versions.get(this.#storage)?.apiVersion ?? '';
    if (!converter.prepare) return undefined;
    return (object) => (object.apiVersion === to ? Promise.resolve() : converter.prepare!([object], to));
  }

  /** For the OpenAPI documents. */
  openApi(): CustomKind[] {
    return [...this.#versions.values()]
      .filter((v) => v.spec.served)
      .map((v) => ({
        group: this.group,
        version: v.spec.name,
        kind: this.names.kind,
        listKind: this.names.listKind ?? `${this.names.kind}List`,
        plural: this.names.plural,
        namespaced: this.namespaced,
        schema: (v.spec.schema?.openAPIV3Schema ?? ANYTHING) as unknown as JsonObject,
        status: v.spec.subresources?.status !== undefined,
        scale: v.spec.subresources?.scale !== undefined,
      }));
  }

  #make(crd: Crd, v: CrdVersion): Version {
    const { group } = crd.spec;
    const { names, namespaced } = this;
    const kind = { group, version: v.name, kind: names.kind };
    const given = v.schema?.openAPIV3Schema ?? ANYTHING;
    const schema: SchemaProps = crd.spec.preserveUnknownFields
      ? { ...given, 'x-kubernetes-preserve-unknown-fields': true }
      : given;
    const type = structuralType(kind, schema as StructuralSchema);
    const status = v.subresources?.status !== undefined;
    const scale: CrdScale | undefined = v.subresources?.scale;
    const strategies = customStrategies({
      group,
      version: v.name,
      kind: names.kind,
      resource: names.plural,
      namespaced,
      schema,
      status,
      scale,
      terminating: () => this.terminating,
    });
    const columns = columnsOf(v.additionalPrinterColumns as CrdColumn[] | undefined);
    const subresourceDefinitions = customSubresources(strategies, status, scale, replicasOf(crd));
    const definition: ResourceDefinition = {
      group,
      version: v.name,
      resource: names.plural,
      kind: names.kind,
      namespaced,
      schema: type.name,
      keyPrefix: `/${group}/${names.plural}/`,
      strategy: strategies.main,
      subresources: subresourceDefinitions,
      table: { cells: columns.cells },
      selectableFields: selectableFields(v.selectableFields?.map((f) => f.jsonPath) ?? []),
      allowUnconditionalUpdate: false,
      inRequestVersion: true,
    };
    const subresources = new Map<string, ServedSubresource>();
    for (const [name, d] of Object.entries(subresourceDefinitions)) {
      const own = name === 'scale' ? { group: 'autoscaling', version: 'v1', kind: 'Scale' } : kind;
      subresources.set(name, {
        name,
        kind: own,
        verbs: SUB_VERBS,
        type: name === 'scale' ? builtinSchemas().forKind(own) : type,
        definition: d,
      });
    }
    return {
      spec: v,
      apiVersion: `${group}/${v.name}`,
      type,
      definition,
      columns: columns.facts,
      subresources,
      deprecation: deprecationOf(crd, v),
    };
  }
}

/** Where each version has its replicas. */
function replicasOf(crd: Crd): Record<string, readonly string[]> {
  const { group, versions } = crd.spec;
  const at = (v: CrdVersion) => v.subresources?.scale?.specReplicasPath;
  return Object.fromEntries(versions.map((v) => [`${group}/${v.name}`, at(v) ? pathNames(at(v)!) : []]));
}

/** The values of fields by which objects can be selected; '' for none. */
function selectableFields(paths: readonly string[]): (object: DeepReadonly<KubeObject>) => Record<string, string> {
  const made: [string, JsonPath][] = paths.map((p) => [p.replace(/^\./, ''), parseJsonPath(p)]);
  return (object) => {
    const out: Record<string, string> = {
      'metadata.name': object.metadata?.name ?? '',
    };
    if (object.metadata?.namespace) out['metadata.namespace'] = object.metadata.namespace;
    for (const [name, path] of made) {
      const v = path.find(object as unknown as Value)[0];
      out[name] = v === undefined || v === null ? '' : typeof v === 'object' ? encodeJson(v) : String(v);
    }
    return out;
  };
}

function deprecationOf(crd: Crd, v: CrdVersion): string | undefined {
  if (!v.deprecated) return undefined;
  if (v.deprecationWarning !== undefined) return v.deprecationWarning;
  const { group, names } = crd.spec;
  const text = `${group}/${v.name} ${names.kind} is deprecated`;
  const better = crd.spec.versions
    .filter((o) => o.served && !o.deprecated && compareVersions(v.name, o.name) < 0)
    .map((o) => o.name);
  better.sort((a, b) => -compareVersions(a, b));
  return better.length === 0 ? text : `${text}; use ${group}/${better[0]} ${names.kind}`;
}
