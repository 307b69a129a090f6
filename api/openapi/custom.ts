/** Custom resources in OpenAPI: their operations and schemas. */
import type { GroupVersionKind, JsonObject, JsonValue } from '../types.ts';
import { apiVersionOf } from '../types.ts';
import { isObject } from '../patch/value.ts';
import { type Operation, PATCH_TYPES, requestOf } from './operations.ts';
import type { Parameter } from './parameters.ts';

/** One served version of a CustomResourceDefinition. */
export interface CustomKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** openAPIV3Schema. */
  readonly schema: JsonObject;
  readonly status: boolean;
  readonly scale: boolean;
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
const SCALE = 'io.k8s.api.autoscaling.v1.Scale';
const SELECTION = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
  'watch',
];
const BOOLEANS = new Set(['allowWatchBookmarks', 'sendInitialEvents', 'watch', 'force', 'orphanDependents']);
const INTEGERS = new Set(['limit', 'timeoutSeconds', 'gracePeriodSeconds']);
const PRODUCES = ['application/json', 'application/yaml'];
const PATCHES = PATCH_TYPES.filter((t) => !t.includes('strategic'));

/** `com.example.v1.Thing` */
const customSchemaName = (k: GroupVersionKind): string =>
  `${k.group.split('.').reverse().join('.')}.${k.version}.${k.kind}`;

const upperFirst = (s: string): string => s.charAt(0).toUpperCase() + s.slice(1);

/** What can be done with one version of a custom resource, path by path. */
export function customOperations(custom: CustomKind): Operation[] {
  const { group, version, plural, namespaced } = custom;
  const kind = { group, version, kind: custom.kind };
  const own = customSchemaName(kind);
  const document = `apis/${group}/${version}`;
  const scope = namespaced ? 'Namespaced' : '';
  const title = group.split('.').map(upperFirst).join('') + upperFirst(version);
  const one = namespaced ? `/${document}/namespaces/{namespace}/${plural}` : `/${document}/${plural}`;
  const out: Operation[] = [];
  const parameter = (name: string): Parameter => {
    const path = name === 'name' || name === 'namespace';
    const type = name === 'body' ? 'body' : BOOLEANS.has(name) ? 'boolean' : INTEGERS.has(name) ? 'integer' : 'string';
    return {
      name,
      in: path ? 'path' : name === 'body' ? 'body' : 'query',
      type,
      required: path || name === 'body',
      shared: undefined,
    };
  };
  const add = (
    path: string,
    method: string,
    verb: string,
    action: string,
    names: string[],
    response: string,
    of = kind,
    suffix = '',
  ) => {
    const where = path.includes('{namespace}') ? ['namespace'] : [];
    const named = path.includes('{name}') ? ['name'] : [];
    out.push({
      path,
      method,
      id: `${verb}${title}${action === 'deletecollection' ? 'Collection' : ''}${where.length || !namespaced ? scope : ''}${custom.kind}${suffix}`,
      action,
      kind: of,
      consumes: method === 'patch' ? PATCHES : ['application/json', 'application/yaml'],
      produces: PRODUCES,
      parameters: [...names, ...named, ...where, 'pretty'].map(parameter),
      request: requestOf(action, of === kind ? own : SCALE),
      response,
      document,
      tag: document.slice(5).replaceAll('/', '_'),
    });
  };
  const writes = ['body', 'dryRun', 'fieldManager', 'fieldValidation'];
  const deletes = ['body', 'dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'];
  if (namespaced)
    add(`/${document}/${plural}`, 'get', 'list', 'list', SELECTION, `${own}List`, kind, 'ForAllNamespaces');
  add(one, 'get', 'list', 'list', SELECTION, `${own}List`);
  add(one, 'post', 'create', 'post', writes, own);
  add(one, 'delete', 'delete', 'deletecollection', [...deletes, ...SELECTION], `${META}Status`);
  const item = `${one}/{name}`;
  add(item, 'get', 'read', 'get', ['resourceVersion'], own);
  add(item, 'put', 'replace', 'put', writes, own);
  add(item, 'delete', 'delete', 'delete', deletes, `${META}Status`);
  add(item, 'patch', 'patch', 'patch', [...writes, 'force'], own);
  const sub = (name: string, schema: string, of: GroupVersionKind) => {
    const path = `${item}/${name}`;
    add(path, 'get', 'read', 'get', ['resourceVersion'], schema, of, upperFirst(name));
    add(path, 'put', 'replace', 'put', writes, schema, of, upperFirst(name));
    add(path, 'patch', 'patch', 'patch', [...writes, 'force'], schema, of, upperFirst(name));
  };
  if (custom.scale) sub('scale', SCALE, { group: 'autoscaling', version: 'v1', kind: 'Scale' });
  if (custom.status) sub('status', own, kind);
  return out;
}

/** What every object says of itself. */
export const API_VERSION_TEXT = 'APIVersion defines which version of its schema this object is written in.';
export const KIND_TEXT = 'Kind names the type of this object.';
export const METADATA_TEXT = "Standard object's metadata: its name, labels, owners and dates.";

/** The kind's and its list's schemas; `reference` makes a $ref of a schema's name. */
export function customSchemas(
  custom: CustomKind,
  reference: (name: string) => JsonObject,
  v2: boolean,
): Record<string, JsonObject> {
  const kind = { group: custom.group, version: custom.version, kind: custom.kind };
  const name = customSchemaName(kind);
  const apiVersion = { description: API_VERSION_TEXT, type: 'string' };
  const kindText = { description: KIND_TEXT, type: 'string' };
  const schema = v2 ? forV2(custom.schema) : custom.schema;
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  const gvk = (k: string) => [{ group: kind.group, version: kind.version, kind: k }] as JsonValue;
  return {
    [name]:
      v2 && custom.schema['x-kubernetes-preserve-unknown-fields'] === true
        ? // where anything may stand, clients of v2 would refuse whatever isn't declared
          { type: 'object', 'x-kubernetes-group-version-kind': gvk(custom.kind) }
        : {
            ...schema,
            properties: {
              ...properties,
              apiVersion,
              kind: kindText,
              metadata: { ...reference(`${META}ObjectMeta`), description: METADATA_TEXT },
            },
            'x-kubernetes-group-version-kind': gvk(custom.kind),
          },
    [`${name}List`]: {
      description: `A list of ${custom.kind} of ${apiVersionOf(kind)}.`,
      type: 'object',
      required: ['items'],
      properties: {
        apiVersion,
        items: { type: 'array', items: reference(name) },
        kind: kindText,
        metadata: reference(`${META}ListMeta`),
      },
      'x-kubernetes-group-version-kind': gvk(custom.listKind),
    },
  };
}

/** What OpenAPI v2 doesn't know is left out; what it can't say becomes "anything". */
function forV2(schema: JsonObject): JsonObject {
  const out: JsonObject = {};
  for (const [key, value] of Object.entries(schema)) {
    if (value === undefined || ['nullable', 'oneOf', 'anyOf', 'allOf', 'not', 'x-kubernetes-validations'].includes(key))
      continue;
    if (key === 'properties' && isObject(value)) {
      out[key] = Object.fromEntries(Object.entries(value).map(([k, v]) => [k, isObject(v) ? forV2(v) : v]));
    } else if ((key === 'items' || key === 'additionalProperties') && isObject(value)) out[key] = forV2(value);
    else out[key] = value;
  }
  // In v2 a type next to "anything goes" makes clients refuse what the server takes.
  if (schema['nullable'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true) {
    delete out['type'];
    if (schema['x-kubernetes-preserve-unknown-fields'] === true) {
      delete out['properties'];
      delete out['items'];
    }
  }
  if (schema['x-kubernetes-int-or-string'] === true) delete out['type'];
  return out;
}
