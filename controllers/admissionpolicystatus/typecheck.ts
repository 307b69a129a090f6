/** Checks the expressions of a ValidatingAdmissionPolicy against the kinds that it names. Pure. */
import type * as k8s from '@kubernetes/client-node';
import { CelSyntaxError, createCelEnv, declTypeOf, DYN, type CelEnv, type DeclType } from '../../api/cel/index.ts';
import { apiVersionOf, type DeepReadonly, type GroupVersionKind, type Json } from '../../api/types.ts';

export type Policy = DeepReadonly<Json<k8s.V1ValidatingAdmissionPolicy>>;

/** No more kinds are looked at. */
const MAX_KINDS = 10;
const MAX_DEPTH = 40;

interface OpenApiSchema {
  $ref?: string;
  allOf?: OpenApiSchema[];
  oneOf?: unknown[];
  properties?: Record<string, OpenApiSchema>;
  items?: OpenApiSchema;
  additionalProperties?: boolean | OpenApiSchema;
  'x-kubernetes-group-version-kind'?: GroupVersionKind[];
  [key: string]: unknown;
}
export interface OpenApiDocument {
  components?: { schemas?: Record<string, OpenApiSchema> };
}

/** Of no particular type: expressions may do with it what they like. */
const ANYTHING: OpenApiSchema = { 'x-kubernetes-int-or-string': true };

/** A schema without references; what refers to itself ends as anything. */
function resolve(schema: OpenApiSchema, all: Record<string, OpenApiSchema>, within: readonly string[]): OpenApiSchema {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  if (ref !== undefined) {
    const name = ref.replace('#/components/schemas/', '');
    const target = all[name];
    if (!target || within.includes(name) || within.length > MAX_DEPTH) return ANYTHING;
    return resolve(target, all, [...within, name]);
  }
  const out: OpenApiSchema = { ...schema };
  if (schema.oneOf && schema['format'] === 'int-or-string') out['x-kubernetes-int-or-string'] = true;
  if (schema.properties)
    out.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([k, v]) => [k, resolve(v, all, within)]),
    );
  if (schema.items) out.items = resolve(schema.items, all, within);
  if (typeof schema.additionalProperties === 'object')
    out.additionalProperties = resolve(schema.additionalProperties, all, within);
  return out;
}

/** The declared type of a kind in an OpenAPI v3 document; undefined when it isn't there. */
export function declaredType(document: OpenApiDocument, kind: GroupVersionKind): DeclType | undefined {
  const all = document.components?.schemas ?? {};
  for (const schema of Object.values(all)) {
    const kinds = schema['x-kubernetes-group-version-kind'];
    if (!kinds?.some((k) => k.group === kind.group && k.version === kind.version && k.kind === kind.kind)) continue;
    return declTypeOf(resolve(schema, all, []) as Parameters<typeof declTypeOf>[0], kind.kind);
  }
  return undefined;
}

/** The group, version and resource of each rule that names them all. */
export function namedResources(policy: Policy): { group: string; version: string; resource: string }[] {
  const out = new Map<string, { group: string; version: string; resource: string }>();
  for (const rule of policy.spec?.matchConstraints?.resourceRules ?? []) {
    const parts = [rule.apiGroups ?? [], rule.apiVersions ?? [], rule.resources ?? []];
    if (parts.some((list) => list.length === 0 || list.some((x) => x.includes('*') || x.includes('/')))) continue;
    for (const group of parts[0]!)
      for (const version of parts[1]!)
        for (const resource of parts[2]!) out.set(`${group}/${version}/${resource}`, { group, version, resource });
  }
  return [...out.values()].slice(0, MAX_KINDS);
}

function environment(policy: Policy, object: DeclType): CelEnv {
  const names = [
    'request',
    'namespaceObject',
    'authorizer',
    'variables',
    ...(policy.spec?.paramKind ? ['params'] : []),
  ];
  return createCelEnv({ variables: { ...Object.fromEntries(names.map((n) => [n, DYN])), object, oldObject: object } });
}

export interface ExpressionWarning {
  fieldRef: string;
  warning: string;
}

/** What is wrong with the policy's expressions for objects of these kinds. */
export function typeCheck(
  policy: Policy,
  types: readonly { kind: GroupVersionKind; type: DeclType }[],
): ExpressionWarning[] {
  const environments = types.map(({ kind, type }) => ({
    name: `${apiVersionOf(kind)}, Kind=${kind.kind}`,
    env: environment(policy, type),
  }));
  const out: ExpressionWarning[] = [];
  const check = (fieldRef: string, expression: string | undefined) => {
    if (!expression) return;
    const issues: string[] = [];
    for (const { name, env } of environments) {
      try {
        env.compile(expression);
      } catch (error) {
        if (error instanceof CelSyntaxError) issues.push(`${name}: ${error.message}\n`);
      }
    }
    if (issues.length) out.push({ fieldRef, warning: issues.join('\n') });
  };
  for (const [i, v] of (policy.spec?.validations ?? []).entries()) {
    check(`spec.validations[${i}].expression`, v.expression);
    check(`spec.validations[${i}].messageExpression`, v.messageExpression);
  }
  return out;
}
