/**
 * CEL as kube-apiserver has it: parse once, evaluate often, over plain JSON, within a budget.
 * https://kubernetes.io/docs/reference/using-api/cel/
 */
import type { JsonValue } from '../types.ts';
import { CelSyntaxError } from './ast.ts';
import { check, type Types } from './check.ts';
import { CelCompileError, compile, TYPE_CONSTANTS } from './compile.ts';
import { PER_CALL_LIMIT } from './cost.ts';
import { type CostRange, estimateCost } from './estimate.ts';
import { type Functions, mergeFunctions } from './functions.ts';
import { type DeclType, DYN, fromJson } from './json-values.ts';
import { KUBERNETES } from './library/kubernetes.ts';
import { LISTS } from './library/lists.ts';
import { NET } from './library/net.ts';
import { STRINGS } from './library/strings.ts';
import { parse } from './parser.ts';
import { type Eval, Run } from './run.ts';
import { STANDARD } from './standard.ts';
import { type CelType, fromDecl, showType, T } from './types.ts';
import { TypeValue, type Value } from './values.ts';
import type { StructTypes } from './structs.ts';

export { CelSyntaxError } from './ast.ts';
export { CostLimitError, PER_CALL_LIMIT, RUNTIME_CEL_COST_BUDGET } from './cost.ts';
export { type Functions, fn, method } from './functions.ts';
export { declTypeOf, maxCardinality } from './decl.ts';
export { type DeclType, DYN, escapeField, fromJson, toJson, unescapeField } from './json-values.ts';
export { MUTATION_TYPES, StructValue } from './structs.ts';
export { CelError, ListValue, MapValue, OpaqueValue, OptionalValue, type Value } from './values.ts';

/** A lazily computed variable (`variables.x` of policies, `authorizer`). */
export interface LazyVariable {
  value(): Value;
}
/** JSON of a declared type, a finished CEL value, or something computed when it is first asked for. */
export type Binding = { readonly json: JsonValue } | { readonly cel: Value } | LazyVariable;

export interface CelEnvOptions {
  /** Names that expressions may use, with their types. */
  readonly variables: Readonly<Record<string, DeclType>>;
  /** Functions besides the standard ones and kube-apiserver's libraries. */
  readonly functions?: readonly Functions[];
  /** Work out types and refuse what can't come out well. Defaults to true; without, mistakes show when evaluating. */
  readonly checked?: boolean;
  /** `cel.bind(name, value, expression)` is known. */
  readonly bindings?: boolean;
  /** Types of which expressions may make objects. Defaults to none. */
  readonly structs?: StructTypes;
}

/** Outcome of one evaluation. */
export interface Evaluated {
  readonly value: Value;
  /** In kube-apiserver's units. */
  readonly cost: number;
}

export interface Program {
  readonly source: string;
  /** What comes out, as far as the declared types tell: `bool`, `list(string)`, `dyn`. */
  readonly resultType: string;
  /** The least and the most that an evaluation can cost, by the sizes that the declared types allow. */
  estimate(): CostRange;
  /**
   * Throws CelError when there is no value and CostLimitError when `limit` (defaults to PER_CALL_LIMIT) is exceeded.
   * Variables that are declared but not bound are errors where they are used.
   */
  evaluate(bindings: Readonly<Record<string, Binding>>, limit?: number): Evaluated;
}

export interface CelEnv {
  /** Throws CelSyntaxError with the place when the text isn't CEL, uses unknown names or can't come out well. */
  compile(source: string): Program;
}

const OPAQUE_TYPES = [
  'kubernetes.Quantity',
  'kubernetes.URL',
  'kubernetes.Semver',
  'kubernetes.NamedFormat',
  'net.IP',
  'net.CIDR',
];

/** An environment in which expressions with these variables and libraries compile. */
export function createCelEnv(options: CelEnvOptions): CelEnv {
  const functions = mergeFunctions(STANDARD, STRINGS, LISTS, NET, ...KUBERNETES, ...(options.functions ?? []));
  const constants = new Map([...TYPE_CONSTANTS, ...OPAQUE_TYPES.map((n): [string, Value] => [n, new TypeValue(n)])]);
  const names = {
    functions,
    constants,
    isVariable: (name: string) => Object.hasOwn(options.variables, name),
    variableType: (name: string) =>
      Object.hasOwn(options.variables, name) ? fromDecl(options.variables[name]!) : undefined,
    ...(options.structs === undefined ? {} : { structs: options.structs }),
  };
  return {
    compile(source) {
      const tree = parse(source, options.bindings);
      let evaluate: Eval;
      let type: CelType;
      let types: Types;
      try {
        const checked = options.checked === false ? { type: T.dyn, types: new Map() } : check(tree, names);
        type = checked.type;
        types = checked.types;
        evaluate = compile(tree, names);
      } catch (e) {
        if (e instanceof CelCompileError) throw new CelSyntaxError(e.message, source, e.pos);
        throw e;
      }
      return {
        source,
        resultType: type.kind === 'null' ? 'null_type' : showType(type),
        estimate: () => estimateCost(tree, types),
        evaluate(bindings, limit = PER_CALL_LIMIT) {
          const known = new Map<string, Value>();
          const run = new Run((name) => {
            const value = known.get(name);
            if (value !== undefined || known.has(name)) return value;
            const bound = Object.hasOwn(bindings, name) ? bindings[name] : undefined;
            if (bound === undefined) return undefined;
            const made =
              'json' in bound
                ? fromJson(bound.json, options.variables[name] ?? DYN)
                : 'cel' in bound
                  ? bound.cel
                  : bound.value();
            known.set(name, made);
            return made;
          }, limit);
          const value = evaluate(run);
          return { value, cost: run.cost };
        },
      };
    },
  };
}
