/** Label and field selectors: parsed or taken from objects once, then matched many times. */
import { formatRequirement, parseLabelRequirements } from './selector-parser.ts';
import type { DeepReadonly, LabelSelector } from './types.ts';
import { isLabelValue, isQualifiedName } from './validation/names.ts';

/** As the text form has them; `exists` and `!` have no value. */
export type LabelOperator = '=' | '==' | '!=' | 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';

export interface LabelRequirement {
  readonly key: string;
  readonly operator: LabelOperator;
  /** Sorted for in and notin. */
  readonly values: readonly string[];
}

/** The selector can't be read; the message is for a BadRequest. */
export class SelectorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SelectorError';
  }
}

type Labels = Readonly<Record<string, string>> | undefined;

/** A compiled label selector. */
export interface LabelMatcher {
  /** Sorted by key; empty for everything and for nothing. */
  readonly requirements: readonly LabelRequirement[];
  readonly isEverything: boolean;
  readonly isNothing: boolean;
  matches(labels: Labels): boolean;
  /** The one value that `key` must have, when the selector demands one: for look-ups in an index. */
  exact(key: string): string | undefined;
  /** The values of which `key` must have one (=, ==, in). */
  anyOf(key: string): readonly string[] | undefined;
  /** The canonical text, '' for everything. */
  toString(): string;
}

class Matcher implements LabelMatcher {
  readonly requirements: readonly LabelRequirement[];
  readonly isNothing: boolean;
  readonly #tests: readonly ((labels: Labels) => boolean)[];

  constructor(requirements: readonly LabelRequirement[], nothing = false) {
    this.requirements = [...requirements].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    this.isNothing = nothing;
    this.#tests = this.requirements.map(compile);
  }
  get isEverything(): boolean {
    return !this.isNothing && this.requirements.length === 0;
  }
  matches(labels: Labels): boolean {
    if (this.isNothing) return false;
    for (const t of this.#tests) if (!t(labels)) return false;
    return true;
  }
  exact(key: string): string | undefined {
    const values = this.anyOf(key);
    return values?.length === 1 ? values[0] : undefined;
  }
  anyOf(key: string): readonly string[] | undefined {
    for (const r of this.requirements) {
      if (r.key === key && (r.operator === '=' || r.operator === '==' || r.operator === 'in')) return r.values;
    }
    return undefined;
  }
  toString(): string {
    return this.requirements.map(formatRequirement).join(',');
  }
}

/** Matches all objects. */
export const everything = (): LabelMatcher => new Matcher([]);
/** Matches no object. */
export const nothing = (): LabelMatcher => new Matcher([], true);

function get(labels: Labels, key: string): string | undefined {
  return labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function compile(r: LabelRequirement): (labels: Labels) => boolean {
  const { key, values } = r;
  const [first] = values;
  switch (r.operator) {
    case '=':
    case '==':
      return (l) => get(l, key) === first;
    case '!=':
      return (l) => get(l, key) !== first;
    case 'in': {
      const set = new Set(values);
      return (l) => {
        const v = get(l, key);
        return v !== undefined && set.has(v);
      };
    }
    case 'notin': {
      const set = new Set(values);
      return (l) => {
        const v = get(l, key);
        return v === undefined || !set.has(v);
      };
    }
    case 'exists':
      return (l) => get(l, key) !== undefined;
    case '!':
      return (l) => get(l, key) === undefined;
    case 'gt':
    case 'lt': {
      const bound = BigInt(first!);
      const more = r.operator === 'gt';
      return (l) => {
        const v = parseInteger(get(l, key));
        return v !== undefined && (more ? v > bound : v < bound);
      };
    }
  }
}

function parseInteger(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^[+-]?[0-9]{1,19}$/.test(text)) return undefined;
  const n = BigInt(text.startsWith('+') ? text.slice(1) : text);
  return n >= -9_223_372_036_854_775_808n && n <= 9_223_372_036_854_775_807n ? n : undefined;
}

/** Checks one requirement. Throws SelectorError; `path` stands before the field in its message. */
export function labelRequirement(
  key: string,
  operator: LabelOperator,
  values: readonly string[],
  path = '',
): LabelRequirement {
  const at = (field: string) => (path === '' ? field : `${path}.${field}`);
  const problems: string[] = [];
  const complain = (field: string, value: unknown, detail: string) =>
    problems.push(`${at(field)}: Invalid value: ${JSON.stringify(value)}: ${detail}`);
  const keyProblems = isQualifiedName(key);
  if (keyProblems.length) complain('key', key, keyProblems.join('; '));
  switch (operator) {
    case 'in':
    case 'notin':
      if (values.length === 0) complain('values', values, "for 'in', 'notin' operators, values set can't be empty");
      break;
    case '=':
    case '==':
    case '!=':
      if (values.length !== 1) complain('values', values, 'exactly one value is required');
      break;
    case 'exists':
    case '!':
      if (values.length !== 0) complain('values', values, 'values set must be empty for exists and does not exist');
      break;
    case 'gt':
    case 'lt':
      if (values.length !== 1) complain('values', values, "for 'Gt', 'Lt' operators, exactly one value is required");
      for (const [i, v] of values.entries()) {
        if (parseInteger(v) === undefined)
          complain(`values[${i}]`, v, "for 'Gt', 'Lt' operators, the value must be an integer");
      }
      break;
  }
  for (const [i, v] of values.entries()) {
    const valueProblems = isLabelValue(v);
    if (valueProblems.length) complain(`values[${i}][${key}]`, v, valueProblems.join('; '));
  }
  if (problems.length) throw new SelectorError(problems.length === 1 ? problems[0]! : `[${problems.join(', ')}]`);
  return { key, operator, values: operator === 'in' || operator === 'notin' ? [...new Set(values)].sort() : values };
}

/** Reads the text form (`a=b,c in (d,e),!f`). Throws SelectorError. */
export function parseLabelSelector(text: string): LabelMatcher {
  return new Matcher(parseLabelRequirements(text));
}

/** A matcher of parsed requirements. */
export const labelMatcher = (requirements: readonly LabelRequirement[]): LabelMatcher => new Matcher(requirements);

const OBJECT_OPERATORS: Readonly<Record<string, LabelOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
};

/** Compiles a LabelSelector object: absent matches nothing, an empty one everything. Throws SelectorError. */
export function compileLabelSelector(selector: DeepReadonly<LabelSelector> | null | undefined): LabelMatcher {
  if (selector === undefined || selector === null) return nothing();
  const out: LabelRequirement[] = [];
  for (const [k, v] of Object.entries(selector.matchLabels ?? {})) out.push(labelRequirement(k, '=', [v]));
  for (const e of selector.matchExpressions ?? []) {
    const op = OBJECT_OPERATORS[e.operator];
    if (op === undefined)
      throw new SelectorError(`${JSON.stringify(e.operator)} is not a valid label selector operator`);
    out.push(labelRequirement(e.key, op, e.values ?? []));
  }
  return new Matcher(out);
}

/** Compiles a plain map of labels that must all be there (Service selectors); absent or empty matches everything. */
export function compileLabelSet(labels: Readonly<Record<string, string>> | null | undefined): LabelMatcher {
  // Not validated: what is stored may be older than today's rules.
  return new Matcher(
    Object.entries(labels ?? {}).map(([key, value]) => ({ key, operator: '=' as const, values: [value] })),
  );
}

/** The text of a LabelSelector as kubectl prints it: `<none>` when empty, `<error>` when it can't be read. */
export function formatLabelSelector(selector: DeepReadonly<LabelSelector> | null | undefined): string {
  try {
    const text = compileLabelSelector(selector).toString();
    return text === '' ? '<none>' : text;
  } catch (e) {
    if (e instanceof SelectorError) return '<error>';
    throw e;
  }
}
