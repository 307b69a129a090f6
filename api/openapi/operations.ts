/** What can be done at which path: read from api/facts once, told apart into OpenAPI v2 and v3 elsewhere. */
import { readFileSync } from 'node:fs';
import type { GroupVersionKind } from '../types.ts';
import { type Parameter, parameterOf } from './parameters.ts';

/** One method of one path. */
export interface Operation {
  readonly path: string;
  readonly method: string;
  readonly id: string;
  /** `list`, `get`, `post`, `watchlist` ...; absent for discovery and the like. */
  readonly action: string | undefined;
  /** The kind it is about; absent for discovery and the like. */
  readonly kind: GroupVersionKind | undefined;
  readonly consumes: readonly string[];
  readonly produces: readonly string[];
  readonly parameters: readonly Parameter[];
  /** Names of schemas; undefined: text or nothing. */
  readonly request: string | undefined;
  readonly response: string | undefined;
  /** The group version's document: `apis/apps/v1`. */
  readonly document: string;
  /** `apps_v1` or the like, to group operations by. */
  readonly tag: string;
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
export const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'application/apply-patch+cbor',
] as const;

interface PathFact {
  operationId: string;
  action?: string;
  consumes?: string[];
  produces?: string[];
  params: string[];
}
interface KindFact {
  group: string;
  version: string;
  kind: string;
}
interface ResourceFact {
  group: string;
  version: string;
  resource: string;
  responseKind: KindFact;
  subresources?: { subresource: string; responseKind: KindFact }[];
}
export type SchemaFacts = Record<string, Record<string, object>>;

const load = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../facts/${name}`, import.meta.url), 'utf8')) as T;
/** Schemas of OpenAPI v3 by document. */
export const loadSchemasV3 = (): SchemaFacts => load('schema-v3.json');
/** Definitions of OpenAPI v2. */
export const loadDefinitions = (): Record<string, object> => load('schema.json');

/** All operations on built-in resources, in the order of their paths. `schemas` tells the names of kinds' schemas. */
export function builtinOperations(schemas: SchemaFacts): Operation[] {
  const kindAt = new Map<string, GroupVersionKind>();
  for (const r of load<ResourceFact[]>('resources.json')) {
    const root = r.group === '' ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`;
    const fill = (k: KindFact): GroupVersionKind =>
      k.version === '' ? { group: r.group, version: r.version, kind: k.kind } : k;
    kindAt.set(`${root} ${r.resource}`, fill(r.responseKind));
    for (const s of r.subresources ?? []) kindAt.set(`${root} ${r.resource}/${s.subresource}`, fill(s.responseKind));
  }
  const nameOf = schemaNames(schemas);
  const out: Operation[] = [];
  for (const [path, methods] of Object.entries(load<Record<string, Record<string, PathFact>>>('paths.json'))) {
    const at = locate(path);
    const kind = at.resource === '' ? undefined : kindAt.get(`${at.root} ${at.resource}`);
    for (const [method, fact] of Object.entries(methods)) out.push(operation(path, method, fact, at, kind, nameOf));
  }
  return out;
}

/** The schema's name for a kind. */
function schemaNames(schemas: SchemaFacts): (kind: GroupVersionKind) => string | undefined {
  const names = new Map<string, string>();
  for (const types of Object.values(schemas)) {
    for (const [name, spec] of Object.entries(types)) {
      const kinds = (spec as { 'x-kubernetes-group-version-kind'?: GroupVersionKind[] })[
        'x-kubernetes-group-version-kind'
      ];
      if (kinds?.length === 1) names.set(`${kinds[0]!.group}/${kinds[0]!.version}/${kinds[0]!.kind}`, name);
    }
  }
  return (k) => names.get(`${k.group}/${k.version}/${k.kind}`);
}

interface Location {
  root: string;
  /** `pods` or `pods/status`; '' for discovery. */
  resource: string;
  document: string;
}
function locate(path: string): Location {
  const parts = path.split('/').filter(Boolean);
  const length = parts[0] === 'api' ? 2 : parts[0] === 'apis' ? 3 : parts.length;
  const root = `/${parts.slice(0, length).join('/')}`;
  let rest = parts.slice(length);
  if (rest[0] === 'watch') rest = rest.slice(1);
  if (rest[0] === 'namespaces' && rest.length > 2 && rest[1] === '{namespace}') rest = rest.slice(2);
  const sub = rest[2] === undefined ? '' : `/${rest[2]}`;
  return { root, resource: rest.length === 0 ? '' : `${rest[0]}${sub}`, document: parts.slice(0, length).join('/') };
}

function operation(
  path: string,
  method: string,
  fact: PathFact,
  at: Location,
  kind: GroupVersionKind | undefined,
  nameOf: (kind: GroupVersionKind) => string | undefined,
): Operation {
  const { action } = fact;
  const own = kind && nameOf(kind);
  return {
    path,
    method,
    id: fact.operationId,
    action,
    kind: action === undefined ? undefined : kind,
    consumes: method === 'patch' && action === 'patch' ? PATCH_TYPES : (fact.consumes ?? []),
    produces: fact.produces ?? [],
    parameters: fact.params.map((p) => parameterOf(p, path, method === 'patch')),
    request: requestOf(action, own),
    response: responseOf(path, action, kind, own, nameOf),
    document: at.document,
    tag: at.document
      .replace(/^apis?\//, '')
      .replace(/^v1$/, 'core_v1')
      .replaceAll('.k8s.io', '')
      .replaceAll('/', '_'),
  };
}

/** The schema of an action's body; undefined for actions without one. */
export function requestOf(action: string | undefined, own: string | undefined): string | undefined {
  if (action === 'post' || action === 'put') return own;
  if (action === 'patch') return `${META}Patch`;
  return action === 'delete' || action === 'deletecollection' ? `${META}DeleteOptions` : undefined;
}

function responseOf(
  path: string,
  action: string | undefined,
  kind: GroupVersionKind | undefined,
  own: string | undefined,
  nameOf: (kind: GroupVersionKind) => string | undefined,
): string | undefined {
  switch (action) {
    case undefined:
      if (path === '/version/') return 'io.k8s.apimachinery.pkg.version.Info';
      if (path === '/api/') return `${META}APIVersions`;
      if (path === '/apis/') return `${META}APIGroupList`;
      if (!path.startsWith('/api')) return undefined;
      return path.split('/').length === 4 && path.startsWith('/apis/') ? `${META}APIGroup` : `${META}APIResourceList`;
    case 'list':
      return kind && nameOf({ ...kind, kind: `${kind.kind}List` });
    case 'watch':
    case 'watchlist':
      return `${META}WatchEvent`;
    case 'delete':
    case 'deletecollection':
      return `${META}Status`;
    case 'connect':
      return undefined;
    default:
      return path.endsWith('/log') ? undefined : own;
  }
}

/** The codes that an operation answers with when it goes well, and their words. */
export function successCodes(op: Pick<Operation, 'action' | 'method'>): [string, string][] {
  switch (op.action) {
    case 'post':
      return [
        ['200', 'OK'],
        ['201', 'Created'],
        ['202', 'Accepted'],
      ];
    case 'put':
    case 'patch':
      return [
        ['200', 'OK'],
        ['201', 'Created'],
      ];
    case 'delete':
      return [
        ['200', 'OK'],
        ['202', 'Accepted'],
      ];
    default:
      return [['200', 'OK']];
  }
}
