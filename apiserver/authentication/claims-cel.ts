/** CEL over the claims of a token and over the user that they were mapped to (KEP-3331). */
import { parse } from '../../api/cel/parser.ts';
import type { Expr } from '../../api/cel/ast.ts';
import {
  CelError,
  CelSyntaxError,
  CostLimitError,
  createCelEnv,
  DYN,
  ListValue,
  type CelEnv,
  type DeclType,
  type Program,
  type Value,
} from '../../api/cel/index.ts';
import { invalid, type FieldError, type Path } from '../../api/field-errors.ts';
import type { JsonValue } from '../../api/types.ts';
import { AuthenticationError } from './error.ts';

const STRING: DeclType = { kind: 'string' };
const STRINGS: DeclType = { kind: 'list', items: STRING };
const USER: DeclType = {
  kind: 'object',
  name: 'kubernetes.UserInfo',
  fields: new Map<string, DeclType>([
    ['username', STRING],
    ['uid', STRING],
    ['groups', STRINGS],
    ['extra', { kind: 'map', values: STRINGS }],
  ]),
};

export type CelVariable = 'claims' | 'user';

/** Compiles expressions over one variable each. */
export interface ClaimsCompiler {
  /** The program, or undefined after it has added to `errors` what is wrong. */
  compile(
    variable: CelVariable,
    source: string,
    path: Path,
    errors: FieldError[],
    result?: 'bool',
  ): Program | undefined;
}

/** Compiles expressions over `claims` and over `user`. */
export function createClaimsCompiler(): ClaimsCompiler {
  const envs: Partial<Record<CelVariable, CelEnv>> = {};
  const envOf = (v: CelVariable) =>
    (envs[v] ??= createCelEnv({ variables: { [v]: v === 'user' ? USER : { kind: 'map', values: DYN } } }));
  return {
    compile(variable, source, path, errors, result) {
      try {
        const program = envOf(variable).compile(source);
        if (result === undefined || program.resultType === result) return program;
        errors.push(invalid(path, source, `must evaluate to ${result}`));
      } catch (error) {
        if (!(error instanceof CelSyntaxError)) throw error;
        errors.push(invalid(path, source, `compilation failed: ${error.message}`));
      }
      return undefined;
    },
  };
}

/** The value of an expression over claims or user. Throws an AuthenticationError when there is none. */
export function evaluateOver(program: Program, variable: CelVariable, json: JsonValue, what: string): Value {
  try {
    return program.evaluate({ [variable]: { json } }).value;
  } catch (error) {
    // The engine's words may quote claims, and claims are nobody else's business.
    if (error instanceof CelError || error instanceof CostLimitError)
      throw new AuthenticationError(`oidc: error evaluating ${what}: the expression has no value for this token`);
    throw error;
  }
}

/** A string or a list of strings as a list without empty ones; undefined when it is something else. */
export function stringsOf(value: Value): string[] | undefined {
  if (value === null) return [];
  const list = typeof value === 'string' ? [value] : value instanceof ListValue ? [...value] : undefined;
  return list?.every((v) => typeof v === 'string') ? list.filter((s) => s !== '') : undefined;
}

/** True when the expression reads `claims.FIELD`. */
export function readsClaim(source: string, field: string): boolean {
  const claims = (e: Expr | undefined) => e?.kind === 'ident' && e.name === 'claims';
  const seen = (e: Expr): boolean => {
    switch (e.kind) {
      case 'const':
      case 'ident':
        return false;
      case 'select':
        return (claims(e.operand) && e.field === field) || seen(e.operand);
      case 'call': {
        const [operand, name] = e.args;
        if (e.fn === '_?._' && claims(operand) && name?.kind === 'const' && name.value === field) return true;
        return (e.target !== undefined && seen(e.target)) || e.args.some(seen);
      }
      case 'list':
        return e.items.some(seen);
      case 'map':
        return e.entries.some((x) => seen(x.key) || seen(x.value));
      case 'struct':
        return e.fields.some((x) => seen(x.value));
      case 'comprehension':
        return [e.range, e.init, e.condition, e.step, e.result].some(seen);
    }
  };
  return seen(parse(source));
}
