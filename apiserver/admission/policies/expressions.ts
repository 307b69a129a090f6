/** CEL as admission policies and match conditions use it: the variables, and expressions compiled once. */
import {
  CelError,
  CelSyntaxError,
  CostLimitError,
  createCelEnv,
  DYN,
  MapValue,
  MUTATION_TYPES,
  StructValue,
  toJson,
  type Binding,
  type CelEnv,
  type Program,
  type Value,
} from '../../../api/cel/index.ts';
import {
  apiVersionOf,
  type DeepReadonly,
  type JsonValue,
  type KubeObject,
  type Namespace,
} from '../../../api/types.ts';
import { userInfoJson } from '../../authentication/reviews.ts';
import type { Authorizer } from '../../authorization/types.ts';
import type { AdmissionAttributes } from '../types.ts';
import { AUTHORIZER_FUNCTIONS, authorizerValue, requestResourceValue } from './authorizer.ts';

/** A value as JSON, with structs as objects. */
export function jsonOf(value: Value): JsonValue {
  if (value instanceof StructValue) return Object.fromEntries([...value.fields].map(([k, v]) => [k, jsonOf(v)]));
  if (value instanceof MapValue) {
    const out: Record<string, JsonValue> = {};
    for (const key of value.keys()) {
      if (typeof key !== 'string') throw new EvaluationError('the keys of a patch must be strings');
      out[key] = jsonOf(value.get(key)!);
    }
    return out;
  }
  if (typeof value === 'object' && value !== null && Symbol.iterator in value && !(value instanceof Uint8Array)) {
    return [...(value as Iterable<Value>)].map(jsonOf);
  }
  return toJson(value);
}

let env: CelEnv | undefined;
/** The environment of all admission expressions; made when the first one is compiled. */
function environment(): CelEnv {
  const names = [
    'object',
    'oldObject',
    'request',
    'params',
    'namespaceObject',
    'variables',
    'authorizer',
    'authorizer.requestResource',
  ];
  return (env ??= createCelEnv({
    variables: Object.fromEntries(names.map((n) => [n, DYN])),
    functions: [AUTHORIZER_FUNCTIONS],
    structs: MUTATION_TYPES,
  }));
}

/** A compiled expression, or the words for why there is none. */
export type Expression =
  | { readonly source: string; readonly program: Program }
  | { readonly source: string; readonly error: string };

/** An expression that doesn't compile is kept with its error, which evaluating it throws. */
export function compileExpression(source: string): Expression {
  try {
    return { source, program: environment().compile(source.trim()) };
  } catch (e) {
    if (e instanceof CelSyntaxError) return { source, error: `compilation failed: ${e.message}` };
    throw e;
  }
}

/** An expression had no value: its message says why. */
export class EvaluationError extends Error {}

/** Throws EvaluationError where the expression has no value. */
export function evaluate(e: Expression, bindings: Readonly<Record<string, Binding>>): Value {
  if ('error' in e) throw new EvaluationError(e.error);
  try {
    return e.program.evaluate(bindings).value;
  } catch (error) {
    if (error instanceof CelError || error instanceof CostLimitError) {
      throw new EvaluationError(`expression '${e.source}' resulted in error: ${error.message}`);
    }
    throw error;
  }
}

/** Named expressions, each evaluated when it is first asked for. */
class Variables extends MapValue {
  readonly #expressions: ReadonlyMap<string, Expression>;
  readonly #bindings: () => Readonly<Record<string, Binding>>;
  readonly #known = new Map<string, Value>();
  constructor(expressions: ReadonlyMap<string, Expression>, bindings: () => Readonly<Record<string, Binding>>) {
    super();
    this.#expressions = expressions;
    this.#bindings = bindings;
  }
  get size(): number {
    return this.#expressions.size;
  }
  *keys(): Generator<Value> {
    yield* this.#expressions.keys();
  }
  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const expression = this.#expressions.get(key);
    if (!expression) return undefined;
    let value: Value;
    try {
      value = evaluate(expression, this.#bindings());
    } catch (error) {
      throw error instanceof EvaluationError ? new CelError(error.message) : error;
    }
    this.#known.set(key, value);
    return value;
  }
}

export interface BindingSource {
  readonly authorizer: Authorizer;
  readonly namespace: DeepReadonly<Namespace> | undefined;
  readonly params?: DeepReadonly<KubeObject> | null;
  readonly variables?: ReadonlyMap<string, Expression>;
}

function objectJson(o: DeepReadonly<KubeObject> | undefined, a: AdmissionAttributes): JsonValue {
  if (!o) return null;
  const namespaced = a.namespace !== '' && a.resource.resource !== 'namespaces' && a.operation !== 'CONNECT';
  return {
    ...o,
    apiVersion: o.apiVersion ?? apiVersionOf(a.kind),
    kind: o.kind ?? a.kind.kind,
    ...(namespaced ? { metadata: { ...o.metadata, namespace: o.metadata?.namespace ?? a.namespace } } : {}),
  } as unknown as JsonValue;
}

/** What expressions see of a request. */
export function bindingsFor(a: AdmissionAttributes, s: BindingSource): Record<string, Binding> {
  const kind = { ...a.kind, group: a.kind.group, version: a.kind.version, kind: a.kind.kind };
  const resource = { group: a.resource.group, version: a.resource.version, resource: a.resource.resource };
  const request = {
    kind: { group: kind.group, version: kind.version, kind: kind.kind },
    resource,
    subResource: a.subresource,
    requestKind: { group: kind.group, version: kind.version, kind: kind.kind },
    requestResource: resource,
    requestSubResource: a.subresource,
    name: a.name,
    namespace: a.namespace,
    operation: a.operation,
    userInfo: userInfoJson(a.user) as unknown as JsonValue,
    dryRun: a.dryRun,
    options: a.options as unknown as JsonValue,
  };
  const bindings: Record<string, Binding> = {
    object: { json: objectJson(a.object, a) },
    oldObject: { json: objectJson(a.oldObject, a) },
    request: { json: request },
    namespaceObject: { json: (s.namespace ?? null) as unknown as JsonValue },
    authorizer: { cel: authorizerValue(s.authorizer, a.user) },
    'authorizer.requestResource': { cel: requestResourceValue(s.authorizer, a.user, a) },
  };
  if (s.params !== undefined) bindings['params'] = { json: s.params as unknown as JsonValue };
  if (s.variables?.size) bindings['variables'] = { cel: new Variables(s.variables, () => bindings) };
  return bindings;
}

/** All conditions hold; the first that doesn't decides. Throws EvaluationError when one has no value and none is false. */
export function conditionsHold(
  conditions: readonly { name: string; expression: Expression }[],
  bindings: Record<string, Binding>,
): boolean {
  let failure: unknown;
  for (const c of conditions) {
    try {
      if (evaluate(c.expression, bindings) !== true) return false;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure) throw failure as Error;
  return true;
}
