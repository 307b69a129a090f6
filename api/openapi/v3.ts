/** OpenAPI v3: one document for each group version. */
import type { JsonObject, JsonValue } from '../types.ts';
import { type CustomKind, customOperations, customSchemas } from './custom.ts';
import { describe } from './describe.ts';
import { type Operation, type SchemaFacts, successCodes } from './operations.ts';
import type { Parameter } from './parameters.ts';

const PREFIX = '#/components/schemas/';
const reference = (name: string): JsonObject => ({ $ref: `${PREFIX}${name}` });
/** A property that refers to a schema, as the facts have it. */
const wrapped = (name: string): JsonObject => ({ allOf: [reference(name)] });

/** The document at `apis/apps/v1` and the like, from its operations and schemas. */
export function buildV3(
  version: string,
  operations: readonly Operation[],
  schemas: Record<string, object>,
): JsonObject {
  const paths: Record<string, JsonObject> = {};
  for (const op of operations) {
    const at = (paths[op.path] ??= {});
    at[op.method] = operationV3(op);
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version },
    paths,
    components: {
      ...(Object.keys(schemas).length === 0 ? {} : { schemas: describe(schemas) as unknown as JsonObject }),
      securitySchemes: {
        BearerToken: { type: 'apiKey', description: 'A bearer token', name: 'authorization', in: 'header' },
      },
    },
  };
}

function operationV3(op: Operation): JsonObject {
  const content = (types: readonly string[], schema: JsonObject): JsonObject =>
    Object.fromEntries(types.map((t) => [t, { schema }]));
  const answer = op.response === undefined ? { type: 'string' } : reference(op.response);
  const responses: JsonObject = {};
  for (const [code, description] of successCodes(op))
    responses[code] = { description, content: content(op.produces, answer) };
  responses['401'] = { description: 'Unauthorized' };
  const body = op.parameters.find((p) => p.in === 'body');
  const request = op.request === undefined ? { type: 'object' } : reference(op.request);
  const parameters = op.parameters.filter((p) => p.in !== 'body');
  return {
    tags: [op.tag],
    operationId: op.id,
    ...(parameters.length === 0 ? {} : { parameters: parameters.map(parameterV3) }),
    ...(body === undefined
      ? {}
      : { requestBody: { content: content(op.consumes, request), ...(body.required ? { required: true } : {}) } }),
    responses,
    ...(op.action === undefined ? {} : { 'x-kubernetes-action': op.action }),
    ...(op.kind === undefined ? {} : { 'x-kubernetes-group-version-kind': { ...op.kind } }),
  };
}

const parameterV3 = (p: Parameter): JsonObject => ({
  name: p.name,
  in: p.in,
  ...(p.description === undefined ? {} : { description: p.description }),
  ...(p.required ? { required: true } : {}),
  schema: { type: p.type, uniqueItems: true },
});

/** The document of a group version that custom resources make, with the built-in schemas that they refer to. */
export function buildCustomV3(version: string, customs: readonly CustomKind[], facts: SchemaFacts): JsonObject {
  const operations = customs.flatMap(customOperations);
  const own: Record<string, JsonObject> = {};
  for (const c of customs) Object.assign(own, customSchemas(c, wrapped, false));
  const pool: Record<string, object> = { ...facts['api/v1'], ...facts['apis/apps/v1'] };
  const schemas: Record<string, object> = {};
  const visit = (name: string): void => {
    if (Object.hasOwn(schemas, name)) return;
    const schema = own[name] ?? pool[name];
    if (schema === undefined) return;
    schemas[name] = Object.hasOwn(own, name) ? schema : shareable(name, schema);
    for (const ref of references(schema as JsonValue)) visit(ref);
  };
  for (const name of Object.keys(own)) visit(name);
  for (const op of operations) for (const name of [op.request, op.response]) if (name !== undefined) visit(name);
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
  return buildV3(version, operations, sorted);
}

/** Options and events belong to every group version: which ones is of no use here. */
function shareable(name: string, schema: object): object {
  if (!name.startsWith('io.k8s.apimachinery.pkg.apis.meta.')) return schema;
  const { 'x-kubernetes-group-version-kind': kinds, ...rest } = schema as Record<string, unknown>;
  return Array.isArray(kinds) && kinds.length > 1 ? rest : schema;
}

function* references(value: JsonValue | undefined): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const v of value) yield* references(v);
    return;
  }
  for (const [key, v] of Object.entries(value)) {
    if (key === '$ref' && typeof v === 'string' && v.startsWith(PREFIX)) yield v.slice(PREFIX.length);
    else yield* references(v);
  }
}
