/** Looks at the rules of a definition while its schema is walked: whether they compile, and what they may cost. */
import { declTypeOf, maxCardinality } from '../../../api/cel/index.ts';
import { forbiddenField, invalid, type FieldError, type Path } from '../../../api/field-errors.ts';
import { compileRule } from '../schema/rules.ts';
import type { SchemaProps } from '../schema/props.ts';

type CelSchema = Parameters<typeof declTypeOf>[0];

/** The cost that one rule, and all rules of a definition, may be estimated at. */
const RULE_LIMIT = 10_000_000;
const TOTAL_LIMIT = 100_000_000;

interface Total {
  cost: number;
  expensive: { path: Path; cost: number }[];
}

/** Adds up what the rules of one schema may cost, too. */
export class RuleChecker {
  readonly #root: boolean;
  /** How often a value can stand here; null: no limit is known. */
  readonly #times: number | null;
  readonly #total: Total;

  constructor(root = true, times: number | null = 1, total: Total = { cost: 0, expensive: [] }) {
    this.#root = root;
    this.#times = times;
    this.#total = total;
  }

  /** The checker of what stands inside `parent`. */
  inside(parent: SchemaProps): RuleChecker {
    const more = maxElements(parent);
    return new RuleChecker(false, this.#times === null || more === undefined ? null : this.#times * more, this.#total);
  }

  check(schema: SchemaProps, path: Path, uncorrelated: Path | undefined): FieldError[] {
    const errors: FieldError[] = [];
    const root = this.#root || schema['x-kubernetes-embedded-resource'] === true;
    const type = declTypeOf(schema as CelSchema, 'object', root);
    const times = this.#times ?? maxCardinality(schema as CelSchema);
    (schema['x-kubernetes-validations'] ?? []).forEach((rule, i) => {
      const at = path.index(i);
      const c = compileRule(rule, type);
      if (c.error !== undefined) errors.push(invalid(at.child('rule'), rule, c.error));
      if (c.messageError !== undefined) errors.push(invalid(at.child('messageExpression'), rule, c.messageError));
      const costOf = (p: typeof c.program, child: string, what: string, often: number) => {
        // Nothing without bound is nothing.
        if (p) errors.push(...this.#observe(at.child(child), what, often === 0 ? 0 : p.estimate().max * often));
      };
      costOf(c.program, 'rule', 'estimated rule cost', times);
      costOf(c.message, 'messageExpression', 'estimated messageExpression cost', 1);
      if (c.usesOldSelf && uncorrelated)
        errors.push(
          invalid(
            at.child('rule'),
            rule.rule,
            `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelated.toString()}`,
          ),
        );
      if (!c.usesOldSelf && rule.optionalOldSelf !== undefined)
        errors.push(
          invalid(at.child('optionalOldSelf'), rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule'),
        );
    });
    return errors;
  }

  /** What the rules cost together; asked once the whole schema was walked. */
  total(path: Path): FieldError[] {
    if (this.#total.cost <= TOTAL_LIMIT) return [];
    const expensive = this.#total.expensive.sort((a, b) => b.cost - a.cost).slice(0, 4);
    return [
      ...expensive.map((e) =>
        forbiddenField(
          e.path,
          'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema',
        ),
      ),
      forbiddenField(
        path,
        tooExpensive(
          'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema',
          this.#total.cost,
          TOTAL_LIMIT,
        ),
      ),
    ];
  }

  /** Takes note of an estimate; complains when one rule alone is too much. */
  #observe(path: Path, what: string, cost: number): FieldError[] {
    this.#total.cost += cost;
    if (cost >= TOTAL_LIMIT / 100) this.#total.expensive.push({ path, cost });
    return cost > RULE_LIMIT ? [forbiddenField(path, tooExpensive(what, cost, RULE_LIMIT))] : [];
  }
}

function tooExpensive(what: string, cost: number, limit: number): string {
  const factor = cost / limit;
  const times = factor > 100 ? 'more than 100x' : factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`;
  return `${what} exceeds budget by factor of ${times} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}

/** How many values stand inside one of `schema`. */
function maxElements(schema: SchemaProps): number | undefined {
  if (schema.type === 'object') return schema.additionalProperties === undefined ? 1 : schema.maxProperties;
  return schema.type === 'array' ? schema.maxItems : 1;
}
