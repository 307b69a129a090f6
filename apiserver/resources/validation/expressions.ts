/** CEL expressions of policies, webhooks and device selectors: whether they compile, and to what. */
import { CelSyntaxError, createCelEnv, DYN, type DeclType, MUTATION_TYPES } from '../../../api/cel/index.ts';
import { AUTHORIZER_FUNCTIONS } from '../../admission/policies/authorizer.ts';
import type { Field } from './field.ts';

/** What an expression may name and has to result in. */
export interface Scope {
  /** The variables where they aren't those of admission. */
  names?: Readonly<Record<string, DeclType>>;
  /** `cel.bind` is known. */
  bindings?: boolean;
  params?: boolean;
  authorizer?: boolean;
  /** What is below `variables`, and of which type; undefined where there are no variables. */
  variables?: ReadonlyMap<string, DeclType>;
  /** The types that may come out; defaults to a bool. */
  result?: readonly string[] | 'any';
  /** Nothing else may come out, not even what is known only when it runs; the complaint names what does. */
  exact?: boolean;
  /** What is known only when it runs may come out, too: attributes of devices may be of several types. */
  open?: boolean;
}

const object = (name: string, fields: Record<string, DeclType>): DeclType => ({
  kind: 'object',
  name,
  fields: new Map(Object.entries(fields)),
});
const STRING: DeclType = { kind: 'string' };
const gv = { group: STRING, version: STRING };
const kind = object('kind', { ...gv, kind: STRING });
const resource = object('resource', { ...gv, resource: STRING });
const strings: DeclType = { kind: 'list', items: STRING };
/** An AdmissionRequest without its objects. */
const REQUEST = object('request', {
  kind,
  resource,
  subResource: STRING,
  requestKind: kind,
  requestResource: resource,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: object('userInfo', {
    username: STRING,
    uid: STRING,
    groups: strings,
    extra: { kind: 'map', values: strings },
  }),
  dryRun: { kind: 'bool' },
  options: DYN,
});

const texts: DeclType = { kind: 'map', values: STRING };
/** What policies see of the namespace; times are left open. */
const NAMESPACE = object('namespace', {
  metadata: object('metadata', {
    name: STRING,
    generateName: STRING,
    namespace: STRING,
    labels: texts,
    annotations: texts,
    UID: STRING,
    creationTimestamp: DYN,
    deletionGracePeriodSeconds: { kind: 'int' },
    deletionTimestamp: DYN,
    generation: { kind: 'int' },
    resourceVersion: STRING,
    finalizers: strings,
  }),
  spec: object('spec', { finalizers: strings }),
  status: object('status', {
    phase: STRING,
    conditions: {
      kind: 'list',
      items: object('condition', {
        status: STRING,
        type: STRING,
        lastTransitionTime: DYN,
        message: STRING,
        reason: STRING,
      }),
    },
  }),
});

function variablesOf(scope: Scope): Readonly<Record<string, DeclType>> {
  if (scope.names) return scope.names;
  return {
    object: DYN,
    oldObject: DYN,
    namespaceObject: NAMESPACE,
    request: REQUEST,
    ...(scope.params ? { params: DYN } : {}),
    ...(scope.authorizer === false ? {} : { authorizer: DYN, 'authorizer.requestResource': DYN }),
    ...(scope.variables ? { variables: object('variables', Object.fromEntries(scope.variables)) } : {}),
  };
}

/** The type of what an expression gives, as text. Throws CelSyntaxError. */
const resultOf = (source: string, scope: Scope): string =>
  createCelEnv({
    variables: variablesOf(scope),
    functions: [AUTHORIZER_FUNCTIONS],
    bindings: scope.bindings,
    structs: MUTATION_TYPES,
  }).compile(source).resultType;

const SIMPLE = ['bool', 'string', 'int', 'double', 'bytes', 'timestamp', 'duration'] as const;

/** A type by its text; what is made of others may be anything. */
function declared(text: string): DeclType {
  const simple = SIMPLE.find((t) => t === text);
  if (simple) return { kind: simple };
  const items = /^list\((.*)\)$/.exec(text);
  if (items) return { kind: 'list', items: declared(items[1]!) };
  return MUTATION_TYPES.fieldsOf(text) ? { kind: 'struct', name: text } : DYN;
}

/** The type of a variable that has this expression; open when the expression is wrong. */
export function typeOfExpression(source: string, scope: Scope): DeclType {
  try {
    return declared(resultOf(source.trim(), scope));
  } catch (e) {
    if (e instanceof CelSyntaxError) return DYN;
    throw e;
  }
}

/** What is wrong with an expression, undefined when nothing is. */
function complaint(source: string, scope: Scope): string | undefined {
  try {
    const resultType = resultOf(source, scope);
    const wanted: readonly string[] | 'any' = scope.result ?? ['bool'];
    if (wanted === 'any') return undefined;
    if (scope.exact)
      return resultType === wanted[0] ? undefined : `must evaluate to ${wanted[0]} but got ${resultType}`;
    return wanted.includes(resultType) || (scope.open && resultType === 'dyn')
      ? undefined
      : `must evaluate to ${wanted.join(' or ')}`;
  } catch (e) {
    if (e instanceof CelSyntaxError) return `compilation failed: ${e.message}`;
    throw e;
  }
}

/** An expression that must be there and compile. */
export function expression(f: Field<string>, scope: Scope, detail = ''): void {
  if ((f.value?.trim() ?? '') === '') f.missing(detail);
  else compiles(f, scope);
}

/** As expression, where an empty text is as wrong as any other. */
export function compiles(f: Field<string>, scope: Scope): void {
  const bad = complaint((f.value ?? '').trim(), scope);
  if (bad !== undefined) f.invalid(bad);
}

const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);
export const isIdentifier = (name: string) => /^[_a-zA-Z][_a-zA-Z0-9]*$/.test(name) && !RESERVED.has(name);
