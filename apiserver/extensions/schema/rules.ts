/**
 * Rules of x-kubernetes-validations, compiled once per schema and run within one budget per object.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
 */
import { Path, duplicate, forbiddenField, invalid, required, type FieldError } from '../../../api/field-errors.ts';
import {
  CelError,
  CelSyntaxError,
  CostLimitError,
  createCelEnv,
  declTypeOf,
  fromJson,
  OptionalValue,
  PER_CALL_LIMIT,
  RUNTIME_CEL_COST_BUDGET,
  type Binding,
  type CelEnv,
  type DeclType,
  type Program,
} from '../../../api/cel/index.ts';
import type { JsonValue } from '../../../api/types.ts';
import { correlateItem, isObject, sameBySchema, type Value } from './equal.ts';
import { fieldPathText } from './field-path.ts';
import { itemsOf, valuesOf, type SchemaProps, type ValidationRule } from './props.ts';

/** The rules of one schema, compiled. */
export interface SchemaRules {
  /**
   * Complaints about `value`; rules that speak of oldSelf run where an old value can be told. `passed` hears of
   * complaints about what has not changed, which are let pass.
   */
  validate(value: Value, old: Value | undefined, base?: string, passed?: (e: FieldError) => void): FieldError[];
}

/** A rule as it runs; `error` when it can't. */
export interface CompiledRule {
  readonly rule: ValidationRule;
  readonly program: Program | undefined;
  readonly message: Program | undefined;
  readonly usesOldSelf: boolean;
  /** What is wrong with the rule, or with its messageExpression. */
  readonly error?: string;
  readonly messageError?: string;
}

const MAX_MESSAGE_BYTES = 5 * 1024;
const OUT_OF_BUDGET = 'validation failed due to running out of cost budget, no further validation rules will be run';

/** Compiles one rule for values of `type`. */
export function compileRule(rule: ValidationRule, type: DeclType): CompiledRule {
  const plain = createCelEnv({ variables: { self: type } });
  const withOld = createCelEnv({
    variables: { self: type, oldSelf: rule.optionalOldSelf ? { kind: 'optional', of: type } : type },
  });
  const source = rule.rule.trim();
  const first = tryCompile(plain, source, 'bool');
  // What only compiles with it speaks of it.
  const second = first.program ? first : tryCompile(withOld, source, 'bool');
  const usesOldSelf = !first.program && second.program !== undefined;
  const expression = rule.messageExpression?.trim();
  const message = expression ? tryCompile(withOld, expression, 'string') : undefined;
  return {
    rule,
    program: second.program,
    message: message?.program,
    usesOldSelf,
    ...(second.program ? {} : { error: second.error }),
    ...(message && !message.program ? { messageError: message.error } : {}),
  };
}

function tryCompile(env: CelEnv, source: string, wanted: 'bool' | 'string'): { program?: Program; error?: string } {
  try {
    const program = env.compile(source);
    if (program.resultType === wanted) return { program };
    return {
      error:
        wanted === 'bool' ? 'cel expression must evaluate to a bool' : 'messageExpression must evaluate to a string',
    };
  } catch (e) {
    if (e instanceof CelSyntaxError) return { error: `compilation failed: ${e.message}` };
    throw e;
  }
}

/** What is left to spend on one object; below zero nothing more is run. */
interface Run {
  left: number;
  /** Hears of complaints that are let pass. */
  readonly passed: ((e: FieldError) => void) | undefined;
}

/** The rules at one place of a schema and below it. */
class Node {
  readonly #schema: SchemaProps;
  readonly #type: DeclType;
  readonly #rules: readonly CompiledRule[];
  readonly #properties = new Map<string, Node>();
  readonly #values: Node | undefined;
  readonly #items: Node | undefined;

  constructor(schema: SchemaProps, root: boolean) {
    this.#schema = schema;
    this.#type = declTypeOf(schema as Parameters<typeof declTypeOf>[0], 'object', root);
    this.#rules = (schema['x-kubernetes-validations'] ?? []).map((r) => compileRule(r, this.#type));
    for (const [k, p] of Object.entries(schema.properties ?? {}))
      if (hasRules(p)) this.#properties.set(k, new Node(p, false));
    const values = valuesOf(schema);
    if (values && hasRules(values)) this.#values = new Node(values, false);
    const items = itemsOf(schema);
    if (items && hasRules(items)) this.#items = new Node(items, false);
  }

  /** `same`: nothing has changed here, so complaints that don't compare are let pass. */
  run(
    value: Value | undefined,
    old: Value | undefined,
    path: Path,
    ratchet: boolean,
    budget: Run,
    errors: FieldError[],
  ): void {
    if (value === undefined || value === null || budget.left < 0) return;
    if (this.#rules.length > 0) this.#here(value, old, path, ratchet, budget, errors);
    if (budget.left < 0) return;
    if (Array.isArray(value)) {
      if (!this.#items) return;
      (value as Value[]).forEach((v, i) => {
        const known = correlateItem(this.#schema, old === undefined ? undefined : { old }, v);
        this.#items!.run(v, known?.old, path.index(i), known !== undefined, budget, errors);
      });
      return;
    }
    if (!isObject(value)) return;
    const before = isObject(old) ? old : undefined;
    for (const [k, v] of Object.entries(value)) {
      const own = this.#properties.get(k);
      const declared = this.#schema.properties && Object.hasOwn(this.#schema.properties, k);
      const node = own ?? (declared ? undefined : this.#values);
      if (!node) continue;
      const oldValue = before && Object.hasOwn(before, k) ? before[k] : undefined;
      node.run(v, oldValue, own ? path.child(k) : path.key(k), oldValue !== undefined, budget, errors);
    }
  }

  #here(value: Value, old: Value | undefined, path: Path, ratchet: boolean, budget: Run, errors: FieldError[]): void {
    const type = this.#schema.type ?? '';
    const unchanged = ratchet && sameBySchema(this.#schema, value, old);
    const hasOld = old !== undefined && old !== null;
    const refuse = (why: string) => errors.push(invalid(path, type, why));
    for (const c of this.#rules) {
      if (c.error !== undefined) {
        refuse(`rule compile error: ${c.error}`);
        continue;
      }
      if (budget.left <= 0) {
        budget.left = -1;
        refuse(OUT_OF_BUDGET);
        return;
      }
      const optional = c.rule.optionalOldSelf === true;
      if (!c.program || (c.usesOldSelf && !hasOld && !optional)) continue;
      const bindings: Record<string, Binding> = { self: { json: value as JsonValue } };
      if (optional)
        bindings['oldSelf'] = { cel: new OptionalValue(hasOld ? fromJson(old as JsonValue, this.#type) : undefined) };
      else if (hasOld) bindings['oldSelf'] = { json: old as JsonValue };
      const shown = (c.rule.message || c.rule.rule).trim();
      let holds: boolean;
      try {
        const { value: result, cost } = c.program.evaluate(bindings, Math.min(PER_CALL_LIMIT, budget.left));
        budget.left -= cost;
        holds = result === true;
      } catch (e) {
        if (e instanceof CostLimitError) {
          refuse(
            budget.left < PER_CALL_LIMIT
              ? OUT_OF_BUDGET
              : `'${e.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${shown}`,
          );
          budget.left = -1;
          return;
        }
        if (!(e instanceof CelError)) throw e;
        refuse(
          e.message.startsWith('no such overload')
            ? `'${e.message}': call arguments did not match a supported operator, function or macro signature for rule: ${shown}`
            : `${e.message} evaluating rule: ${shown}`,
        );
        continue;
      }
      if (holds) continue;
      const at = c.rule.fieldPath
        ? Path.root(joined(path.toString(), fieldPathText(this.#schema, c.rule.fieldPath)))
        : path;
      const detail =
        this.#message(c, bindings, budget) ?? (c.rule.message ? c.rule.message.trim() : `failed rule: ${shown}`);
      const found = complaint(c.rule.reason, at, type === 'object' || type === 'array' ? undefined : value, detail);
      if (!c.usesOldSelf && unchanged) budget.passed?.(found);
      else errors.push(found);
      if (budget.left < 0) return;
    }
  }

  /** What the rule's messageExpression says; undefined when it has none that works. */
  #message(c: CompiledRule, bindings: Record<string, Binding>, budget: Run): string | undefined {
    if (!c.message) return undefined;
    try {
      const { value, cost } = c.message.evaluate(bindings, Math.min(PER_CALL_LIMIT, Math.max(budget.left, 1)));
      budget.left -= cost;
      if (typeof value !== 'string') return undefined;
      const text = value.trim();
      return text === '' || text.includes('\n') || Buffer.byteLength(text) > MAX_MESSAGE_BYTES ? undefined : text;
    } catch (e) {
      if (e instanceof CostLimitError) {
        budget.left = -1;
        return 'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run';
      }
      if (e instanceof CelError) return undefined;
      throw e;
    }
  }
}

const joined = (base: string, more: string) =>
  base === '' || more.startsWith('[') ? `${base}${more}` : `${base}.${more}`;

/** `value`: undefined for objects and lists, which are not shown. */
function complaint(reason: string | undefined, path: Path, value: Value | undefined, detail: string): FieldError {
  // A complaint about the whole object has no field to name.
  const at = path.toString() === '' ? '<nil>' : path;
  switch (reason) {
    case 'FieldValueForbidden':
      return forbiddenField(at, detail);
    case 'FieldValueRequired':
      return required(at, detail);
    case 'FieldValueDuplicate':
      return duplicate(at, value ?? '');
    default:
      if (value !== undefined) return invalid(at, value, detail);
      return { type: 'FieldValueInvalid', field: String(at), message: `Invalid value: ${detail}` };
  }
}

const withRules = new WeakMap<SchemaProps, boolean>();
function hasRules(s: SchemaProps): boolean {
  let known = withRules.get(s);
  if (known === undefined) {
    const items = itemsOf(s);
    const values = valuesOf(s);
    known =
      (s['x-kubernetes-validations']?.length ?? 0) > 0 ||
      Object.values(s.properties ?? {}).some(hasRules) ||
      (items !== undefined && hasRules(items)) ||
      (values !== undefined && hasRules(values));
    withRules.set(s, known);
  }
  return known;
}

/** Compiles all rules inside a schema; undefined when there are none. */
export function compileRules(schema: SchemaProps, root = false): SchemaRules | undefined {
  if (!hasRules(schema)) return undefined;
  let node: Node | undefined;
  return {
    validate(value, old, base = '', passed) {
      node ??= new Node(schema, root);
      const errors: FieldError[] = [];
      const run = { left: RUNTIME_CEL_COST_BUDGET, passed };
      node.run(value, old, Path.root(base), old !== undefined, run, errors);
      return errors.map((e) => (e.field === '' ? { ...e, field: '<nil>' } : e));
    },
  };
}
