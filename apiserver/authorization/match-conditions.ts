/** CEL conditions on what a webhook is asked: expressions over `request`, the spec of a SubjectAccessReview. */
import {
  CelError,
  CelSyntaxError,
  CostLimitError,
  createCelEnv,
  type CelEnv,
  type DeclType,
  type Program,
} from '../../api/cel/index.ts';
import { invalid, type FieldError, type Path } from '../../api/field-errors.ts';
import type { JsonObject } from '../../api/types.ts';

const STRING: DeclType = { kind: 'string' };
const list = (items: DeclType): DeclType => ({ kind: 'list', items });
const object = (name: string, fields: Record<string, DeclType>): DeclType => ({
  kind: 'object',
  name: `kubernetes.${name}`,
  fields: new Map(Object.entries(fields)),
});
const selector = (name: string): DeclType =>
  object(name, {
    rawSelector: STRING,
    requirements: list(object('SelectorRequirement', { key: STRING, operator: STRING, values: list(STRING) })),
  });
const REQUEST = object('SubjectAccessReviewSpec', {
  resourceAttributes: object('ResourceAttributes', {
    namespace: STRING,
    verb: STRING,
    group: STRING,
    version: STRING,
    resource: STRING,
    subresource: STRING,
    name: STRING,
    fieldSelector: selector('FieldSelectorAttributes'),
    labelSelector: selector('LabelSelectorAttributes'),
  }),
  nonResourceAttributes: object('NonResourceAttributes', { path: STRING, verb: STRING }),
  user: STRING,
  groups: list(STRING),
  extra: { kind: 'map', values: list(STRING) },
  uid: STRING,
});

/** The conditions of one webhook. */
export interface MatchConditions {
  /** False when one of them is false. Throws an Error when one has no value and none is false. */
  hold(spec: JsonObject): boolean;
}

/** Compiles conditions one by one; complaints go into `errors`. */
export function createConditionCompiler(): {
  add(expression: string, path: Path, errors: FieldError[]): void;
  conditions(): MatchConditions | undefined;
} {
  let env: CelEnv | undefined;
  const programs: Program[] = [];
  return {
    add(expression, path, errors) {
      try {
        const program = (env ??= createCelEnv({ variables: { request: REQUEST } })).compile(expression);
        if (program.resultType === 'bool') programs.push(program);
        else errors.push(invalid(path, expression, `must evaluate to bool but got ${program.resultType}`));
      } catch (error) {
        if (!(error instanceof CelSyntaxError)) throw error;
        errors.push(invalid(path, expression, `compilation failed: ${error.message}`));
      }
    },
    conditions: () => (programs.length === 0 ? undefined : { hold: (spec) => hold(programs, spec) }),
  };
}

function hold(programs: readonly Program[], spec: JsonObject): boolean {
  // Strings that the request leaves empty are there for expressions.
  const resource = spec['resourceAttributes'] as JsonObject | undefined;
  const request: JsonObject = { user: '', uid: '', groups: [], extra: {}, ...spec };
  if (resource) {
    const empty = { namespace: '', verb: '', group: '', version: '', resource: '', subresource: '', name: '' };
    request['resourceAttributes'] = { ...empty, ...resource };
  }
  let failure: Error | undefined;
  for (const p of programs) {
    try {
      if (p.evaluate({ request: { json: request } }).value !== true) return false;
    } catch (error) {
      if (!(error instanceof CelError) && !(error instanceof CostLimitError)) throw error;
      failure ??= new Error(`cel evaluation error: expression '${p.source}' resulted in error: ${error.message}`);
    }
  }
  if (failure) throw failure;
  return true;
}
