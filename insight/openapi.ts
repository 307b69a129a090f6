/**
 * OpenAPI documents of the groups, version 2 and 3: `kubectl explain` reads them, and the API server makes them a part of
 * its own. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
 */
import { createHash } from 'node:crypto';
import type { JsonObject, JsonValue } from '../api/types.ts';
import type { ApiGroup, ResourceInfo } from './group.ts';

const INFO = { title: 'k8ts insight', version: 'v1' };
const PRODUCES = 'application/json';

const text = (description: string): JsonObject => ({ type: 'string', description });
/** One that the groups share. Only what is ever set here; in the API server's document the whole one takes its place. */
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';
const SHARED: Record<string, JsonObject> = {
  [META]: {
    description: 'Which object this is about.',
    type: 'object',
    properties: {
      name: text('Its name.'),
      namespace: text('Its namespace, where it has one.'),
      uid: text('Its unique identifier.'),
      creationTimestamp: { ...text('When the answer was made.'), format: 'date-time' },
      labels: { type: 'object', additionalProperties: { type: 'string' }, description: 'Its labels.' },
    },
  },
  [LIST_META]: {
    description: 'About the list itself.',
    type: 'object',
    properties: { resourceVersion: text('Unused here.') },
  },
};
const REST: Record<string, JsonObject> = {
  apiVersion: text('The group and version of this kind.'),
  kind: text('The name of this kind.'),
};

const gvk = (g: ApiGroup, kind: string): JsonObject => ({ group: g.group, version: g.version, kind });
/** `io.k8s.metrics.v1beta1.PodMetrics` for a kind of metrics.k8s.io. */
const nameOf = (g: ApiGroup, kind: string) => `${g.group.split('.').reverse().join('.')}.${g.version}.${kind}`;

/** What the kinds of a group look like; references are names alone. */
function definitionsOf(g: ApiGroup): Record<string, JsonObject> {
  const out: Record<string, JsonObject> = {};
  const qualified = (value: JsonValue | undefined): JsonValue | undefined => {
    if (Array.isArray(value)) return value.map((v) => qualified(v)!);
    if (typeof value !== 'object' || value === null) return value;
    if (typeof value['$ref'] === 'string') return { ...value, $ref: nameOf(g, value['$ref']) };
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, qualified(v)]));
  };
  for (const [kind, { description, properties, top }] of Object.entries(g.kinds)) {
    const name = nameOf(g, kind);
    const own = qualified(properties) as JsonObject;
    const all = top ? { ...REST, metadata: { $ref: META }, ...own } : own;
    out[name] = { type: 'object', description, properties: all };
    if (top) out[name]['x-kubernetes-group-version-kind'] = [gvk(g, kind)];
    if (!top || !g.resources.some((r) => r.kind === kind && r.verbs.includes('list'))) continue;
    out[`${name}List`] = {
      type: 'object',
      description: `A list of ${kind}.`,
      required: ['items'],
      properties: { ...REST, metadata: { $ref: LIST_META }, items: { type: 'array', items: { $ref: name } } },
      'x-kubernetes-group-version-kind': [gvk(g, `${kind}List`)],
    };
  }
  return out;
}

interface Read {
  readonly path: string;
  readonly resource: ResourceInfo;
  readonly action: 'get' | 'list';
}

/** All ways to ask for what a group has. */
function readsOf(g: ApiGroup): Read[] {
  const root = `/apis/${g.group}/${g.version}`;
  return g.resources.flatMap((resource) => {
    const { name, namespaced, verbs } = resource;
    const base = namespaced ? `${root}/namespaces/{namespace}/${name}` : `${root}/${name}`;
    const lists = verbs.includes('list') ? new Set([base, `${root}/${name}`]) : [];
    return [
      ...[...lists].map((path): Read => ({ path, resource, action: 'list' })),
      { path: `${base}/{name}`, resource, action: 'get' } as const,
    ];
  });
}

const schemaOf = (g: ApiGroup, r: Read) => nameOf(g, r.action === 'list' ? `${r.resource.kind}List` : r.resource.kind);

const camel = (s: string) => s.replace(/(?:^|[^a-z0-9])([a-z0-9])/gi, (_, c: string) => c.toUpperCase());
function common(g: ApiGroup, r: Read): JsonObject {
  const where = r.resource.namespaced && r.path.includes('{namespace}') ? 'Namespaced' : '';
  const everywhere = r.resource.namespaced && !where ? 'ForAllNamespaces' : '';
  const verb = r.action === 'get' ? 'read' : 'list';
  return {
    operationId: `${verb}${camel(g.group)}${camel(g.version)}${where}${camel(r.resource.name)}${everywhere}`,
    tags: [`${camel(g.group)}_${g.version}`],
    description: r.action === 'get' ? `read the ${r.resource.kind} of that name` : `list ${r.resource.kind}`,
    'x-kubernetes-action': r.action,
    'x-kubernetes-group-version-kind': gvk(g, r.resource.kind),
  };
}
/** What stands for the variables of a path. An empty list would not survive a client that reads and writes it again. */
function variables(path: string, type: JsonObject): JsonObject {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map((m) => ({
    name: m[1]!,
    in: 'path',
    required: true,
    ...type,
  }));
  return parameters.length === 0 ? {} : { parameters };
}

/** References with the place where a document keeps its definitions. */
function placed(value: JsonValue | undefined, prefix: string): JsonValue | undefined {
  if (Array.isArray(value)) return value.map((v) => placed(v, prefix)!);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([k, v]) => [
      k,
      k === '$ref' && typeof v === 'string' ? `${prefix}${v}` : placed(v, prefix),
    ]),
  );
}

/** /openapi/v2: everything in one. */
export function buildV2(groups: readonly ApiGroup[]): JsonObject {
  const paths: JsonObject = {};
  for (const g of groups)
    for (const r of readsOf(g))
      paths[r.path] = {
        get: {
          ...common(g, r),
          produces: [PRODUCES],
          schemes: ['https'],
          responses: { 200: { description: 'OK', schema: { $ref: schemaOf(g, r) } } },
        },
        ...variables(r.path, { type: 'string' }),
      };
  const definitions = Object.assign({}, SHARED, ...groups.map(definitionsOf)) as JsonObject;
  return placed({ swagger: '2.0', info: INFO, paths, definitions }, '#/definitions/') as JsonObject;
}

function buildV3(g: ApiGroup): JsonObject {
  const paths: JsonObject = {};
  for (const r of readsOf(g))
    paths[r.path] = {
      get: {
        ...common(g, r),
        responses: {
          200: { description: 'OK', content: { [PRODUCES]: { schema: { $ref: schemaOf(g, r) } } } },
        },
      },
      ...variables(r.path, { schema: { type: 'string' } }),
    };
  const schemas: JsonObject = { ...SHARED, ...definitionsOf(g) };
  return placed(
    { openapi: '3.0.0', info: INFO, paths, components: { schemas } },
    '#/components/schemas/',
  ) as JsonObject;
}

/** The documents by their paths; undefined for other paths. */
export function openApi(groups: readonly ApiGroup[], path: string): JsonObject | undefined {
  if (path === '/openapi/v2') return buildV2(groups);
  const documents = new Map(groups.map((g) => [`apis/${g.group}/${g.version}`, g]));
  if (path === '/openapi/v3') {
    const url = (name: string, g: ApiGroup) => {
      const hash = createHash('sha512')
        .update(JSON.stringify(buildV3(g)))
        .digest('hex')
        .toUpperCase();
      return [name, { serverRelativeURL: `/openapi/v3/${name}?hash=${hash}` }] as const;
    };
    return { paths: Object.fromEntries([...documents].map(([name, g]) => url(name, g))) };
  }
  const group = path.startsWith('/openapi/v3/') ? documents.get(path.slice('/openapi/v3/'.length)) : undefined;
  return group && buildV3(group);
}
