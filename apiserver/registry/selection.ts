/** Label and field selectors as lists use them: parsed by api/, errors as 400, with what an index can answer. */
import { SelectorError, parseLabelSelector as parseLabels } from '../../api/selectors.ts';
import { parseFieldSelector as parseFields } from '../../api/field-selectors.ts';
import { badRequest } from '../../api/status.ts';

export interface LabelSelection {
  matches(labels: Readonly<Record<string, string>> | undefined): boolean;
  /** One required value, for an index. */
  readonly single: { key: string; value: string } | undefined;
}
export interface FieldTerm {
  readonly field: string;
  readonly value: string;
  /** `=` and `==`; false for `!=`. */
  readonly equal: boolean;
}

/** Undefined for a selector that selects everything. Throws 400. */
export function parseLabelSelector(text: string): LabelSelection | undefined {
  const matcher = bad(() => parseLabels(text));
  if (matcher.isEverything) return undefined;
  const one = matcher.requirements.find(
    (r) => (r.operator === '=' || r.operator === '==' || r.operator === 'in') && r.values.length === 1,
  );
  return { matches: (labels) => matcher.matches(labels), single: one && { key: one.key, value: one.values[0]! } };
}

/** Throws 400. */
export function parseFieldSelector(text: string): FieldTerm[] {
  return bad(() => parseFields(text)).requirements.map((r) => ({
    field: r.field,
    value: r.value,
    equal: r.operator === '=',
  }));
}

function bad<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}
