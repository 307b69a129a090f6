/** Aggregated discovery: everything that is served in two documents (KEP-3352). */
import { createHash } from 'node:crypto';
import { encodeJson } from '../../api/codec/json.ts';
import { encodeYaml } from '../../api/codec/yaml.ts';
import type { JsonObject } from '../../api/types.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import { gzipIfWanted } from '../http/compress.ts';
import { wantsPretty } from '../http/negotiate.ts';
import type { DiscoveryOverlay } from './overlay.ts';
import type { Catalog, ServedResource } from '../registry/catalog.ts';
import { encodeDiscovery } from './aggregated-protobuf.ts';

const FORM = 'g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
export const AGGREGATED_TYPE = `application/json;${FORM}`;

/** What is asked for: the media type and how it is laid out. */
interface Form {
  readonly type: string;
  readonly pretty: boolean;
}
interface Made {
  readonly generation: number;
  readonly etag: string;
  readonly list: JsonObject;
  /** By media type. */
  readonly bodies: Map<string, Buffer>;
}

/** Makes the documents when first asked for, again when the catalog has changed. */
export class AggregatedDiscovery {
  readonly #catalog: Catalog;
  readonly #overlay: DiscoveryOverlay;
  readonly #made = new Map<string, Made>();

  constructor(catalog: Catalog, overlay: DiscoveryOverlay) {
    this.#catalog = catalog;
    this.#overlay = overlay;
  }

  /** True when the client prefers this form; then it is answered. */
  serve(request: ApiRequest, reply: Reply, core: boolean): boolean {
    const type = wanted(request.header('accept'));
    if (type === undefined) return false;
    const made = this.#document(core);
    const { etag } = made;
    reply.header('etag', etag);
    reply.header('vary', 'Accept');
    if (request.header('if-none-match') === etag) reply.send(304, '', Buffer.alloc(0));
    else gzipIfWanted(request, reply, 200, `${type};${FORM}`, bodyOf(made, { type, pretty: wantsPretty(request) }));
    return true;
  }

  #document(core: boolean): Made {
    const key = core ? 'api' : 'apis';
    const generation = this.#catalog.generation + this.#overlay.generation;
    let made = this.#made.get(key);
    if (made?.generation !== generation) {
      const list = {
        kind: 'APIGroupDiscoveryList',
        apiVersion: 'apidiscovery.k8s.io/v2',
        metadata: {},
        items: groups(this.#catalog, this.#overlay, core),
      };
      const body = Buffer.from(encodeJson(list) + '\n');
      const etag = `"${createHash('sha512').update(body).digest('hex').toUpperCase()}"`;
      made = { generation, etag, list, bodies: new Map([['application/json', body]]) };
      this.#made.set(key, made);
    }
    return made;
  }
}

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const TYPES = new Set(['application/json', 'application/yaml', PROTOBUF, '*/*']);

function bodyOf({ list, bodies }: Made, { type, pretty }: Form): Buffer {
  const key = pretty && type === 'application/json' ? 'pretty' : type;
  let body = bodies.get(key);
  if (!body) {
    body =
      type === PROTOBUF
        ? encodeDiscovery(list)
        : Buffer.from(type === 'application/yaml' ? encodeYaml(list) : encodeJson(list, 2));
    bodies.set(key, body);
  }
  return body;
}

/** The media type, where the first acceptable clause decides for this form and not for the old one. */
function wanted(accept: string | undefined): string | undefined {
  if (!accept?.includes('APIGroupDiscoveryList')) return undefined;
  for (const clause of accept.split(',')) {
    const [type, ...params] = clause.split(';').map((p) => p.trim());
    if (!TYPES.has(type!)) continue;
    const as = params.find((p) => p.startsWith('as='));
    if (as === undefined) return undefined;
    if (as === 'as=APIGroupDiscoveryList' && params.includes('g=apidiscovery.k8s.io') && params.includes('v=v2'))
      return type === '*/*' ? 'application/json' : type;
  }
  return undefined;
}

function groups(catalog: Catalog, overlay: DiscoveryOverlay, core: boolean): JsonObject[] {
  const order = core ? new Map([['', ['v1']]]) : overlay.groups(catalog);
  const all = catalog.announced();
  return [...order].map(([group, versions]) => ({
    metadata: group === '' ? {} : { name: group },
    versions: versions.map((version) => versionOf(group, version, all, overlay)),
  }));
}

function versionOf(
  group: string,
  version: string,
  all: readonly ServedResource[],
  overlay: DiscoveryOverlay,
): JsonObject {
  const remote = overlay.remote.find((r) => r.group === group && r.version === version);
  // Of a server that doesn't answer nothing is known but that it should be there.
  if (remote)
    return remote.resources
      ? { version, resources: [...remote.resources], freshness: 'Current' }
      : { version, freshness: 'Stale' };
  const own = all.filter((r) => r.group === group && r.version === version);
  if (own[0]?.custom) own.sort((a, b) => (a.resource < b.resource ? -1 : 1));
  return { version, resources: own.map(resourceOf), freshness: 'Current' };
}

function resourceOf(r: ServedResource): JsonObject {
  const out: JsonObject = {
    resource: r.resource,
    responseKind: { group: r.custom ? r.group : '', version: r.custom ? r.version : '', kind: r.kind },
    scope: r.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: r.singular,
    verbs: [...(r.discoveryVerbs ?? r.verbs)],
  };
  if (r.shortNames.length > 0) out.shortNames = [...r.shortNames];
  if (r.categories.length > 0) out.categories = [...r.categories];
  if (r.subresources.size > 0)
    out.subresources = [...r.subresources.values()].map((s) => {
      const own = !r.custom && s.kind.group === r.group && s.kind.version === r.version;
      return {
        subresource: s.name,
        responseKind: { group: own ? '' : s.kind.group, version: own ? '' : s.kind.version, kind: s.kind.kind },
        verbs: [...s.verbs],
      };
    });
  return out;
}
