/** CEL expressions of policies, webhooks and device selectors: whether they compile, and to what. */
import { CelSyntaxError, createCelEnv, DYN, type DeclType, OpaqueValue } from '../../../api/cel/index.ts';
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
  /** Names below `variables`; undefined where there are no variables. */
  variables?: ReadonlySet<string>;
  /** The types that may come out; defaults to a bool. */
  result?: readonly ResultType[] | 'any';
}
type ResultType = 'bool' | 'string' | 'list' | 'null_type' | 'object';

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

/** `Object{...}` and `JSONPatch{...}`; they are only looked at, never made. */
class Struct extends OpaqueValue {
  readonly typeName: string;
  constructor(typeName: string) {
    super();
    this.typeName = typeName;
  }
}
const struct = (name: string) => (/^(JSONPatch|Object)(\.|$)/.test(name) ? new Struct(name) : undefined);

function variablesOf(scope: Scope): Readonly<Record<string, DeclType>> {
  if (scope.names) return scope.names;
  return {
    object: DYN,
    oldObject: DYN,
    namespaceObject: DYN,
    request: REQUEST,
    ...(scope.params ? { params: DYN } : {}),
    ...(scope.authorizer === false ? {} : { authorizer: DYN, 'authorizer.requestResource': DYN }),
    ...(scope.variables
      ? { variables: object('variables', Object.fromEntries([...scope.variables].map((n) => [n, DYN]))) }
      : {}),
  };
}

/** What is wrong with an expression, undefined when nothing is. */
function complaint(source: string, scope: Scope): string | undefined {
  try {
    const { resultType } = createCelEnv({
      variables: variablesOf(scope),
      functions: [AUTHORIZER_FUNCTIONS],
      bindings: scope.bindings,
      struct,
    }).compile(source);
    const wanted: readonly string[] | 'any' = scope.result ?? ['bool'];
    if (wanted === 'any' || resultType === 'dyn') return undefined;
    // Structs have types of their own.
    const type = resultType.replace(/\(.*$/, '');
    const known = ['bool', 'string', 'int', 'uint', 'double', 'bytes', 'list', 'map', 'null_type'].includes(type)
      ? type
      : 'object';
    return wanted.includes(known) ? undefined : `must evaluate to ${wanted.join(' or ')}`;
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
