/** The OpenAPI v2 document: everything in one. */
import type { JsonObject } from '../types.ts';
import { describe } from './describe.ts';
import { type CustomKind, customOperations, customSchemas } from './custom.ts';
import { type Operation, successCodes } from './operations.ts';
import type { Parameter } from './parameters.ts';

const reference = (name: string): JsonObject => ({ $ref: `#/definitions/${name}` });

/** Builds the document. `definitions` are those of api/facts/schema.json. */
export function buildV2(
  version: string,
  operations: readonly Operation[],
  definitions: Record<string, object>,
  customs: readonly CustomKind[],
): JsonObject {
  const all: Record<string, object> = describe(definitions);
  const shared: Record<string, JsonObject> = {};
  const paths: Record<string, JsonObject> = {};
  const own = customs.flatMap((c) => {
    Object.assign(all, customSchemas(c, reference, true));
    return customOperations(c);
  });
  for (const op of [...operations, ...own]) (paths[op.path] ??= {})[op.method] = operationV2(op, shared);
  return {
    swagger: '2.0',
    info: { title: 'Kubernetes', version },
    paths: sorted(paths),
    definitions: sorted(all),
    parameters: sorted(shared),
    securityDefinitions: {
      BearerToken: { description: 'A bearer token', type: 'apiKey', name: 'authorization', in: 'header' },
    },
    security: [{ BearerToken: [] }],
  } as unknown as JsonObject;
}

const sorted = <T>(map: Record<string, T>): Record<string, T> =>
  Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));

function operationV2(op: Operation, shared: Record<string, JsonObject>): JsonObject {
  const schema = op.response === undefined ? { type: 'string' } : reference(op.response);
  const responses: JsonObject = {};
  for (const [code, description] of successCodes(op)) responses[code] = { description, schema };
  responses['401'] = { description: 'Unauthorized' };
  return {
    consumes: [...op.consumes],
    produces: [...op.produces],
    schemes: ['https'],
    tags: [op.tag],
    operationId: op.id,
    ...(op.parameters.length === 0 ? {} : { parameters: op.parameters.map((p) => parameterV2(p, op, shared)) }),
    responses,
    ...(op.action === undefined ? {} : { 'x-kubernetes-action': op.action }),
    ...(op.kind === undefined ? {} : { 'x-kubernetes-group-version-kind': { ...op.kind } }),
  };
}

function parameterV2(p: Parameter, op: Operation, shared: Record<string, JsonObject>): JsonObject {
  const out: JsonObject = {
    ...(p.type === 'body'
      ? { schema: op.request === undefined ? { type: 'object' } : reference(op.request) }
      : { uniqueItems: true, type: p.type }),
    ...(p.description === undefined ? {} : { description: p.description }),
    name: p.name,
    in: p.in,
    ...(p.required ? { required: true } : {}),
  };
  if (p.shared === undefined) return out;
  shared[p.shared] ??= out;
  return { $ref: `#/parameters/${p.shared}` };
}
