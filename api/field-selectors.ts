/** Field selectors: `metadata.name=a,status.phase!=Running`. */
import { SelectorError } from './selectors.ts';

export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** A compiled field selector. */
export interface FieldMatcher {
  readonly requirements: readonly FieldRequirement[];
  readonly isEverything: boolean;
  /** `fields` holds what can be selected by; an absent field counts as ''. */
  matches(fields: Readonly<Record<string, string>>): boolean;
  /** As matches, with a look-up in place of a record. */
  test(value: (field: string) => string): boolean;
  /** The one value that `field` must have, when the selector demands one. */
  exact(field: string): string | undefined;
  toString(): string;
}

/** Reads the text form; terms are put in order. Throws SelectorError. Which fields exist is the kind's business. */
export function parseFieldSelector(text: string): FieldMatcher {
  const out: FieldRequirement[] = [];
  for (const term of splitTerms(text).sort()) {
    if (term === '') continue;
    const m = /!=|==|=/.exec(term);
    if (!m) throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    const value = unescape(term.slice(m.index + m[0].length), text);
    const field = term.slice(0, m.index);
    if (field !== '' || value !== '') out.push({ field, operator: m[0] === '!=' ? '!=' : '=', value });
  }
  return fieldMatcher(out);
}

/** A matcher of given requirements, in their order. */
function fieldMatcher(requirements: readonly FieldRequirement[]): FieldMatcher {
  const test = (value: (field: string) => string) => {
    for (const r of requirements) if ((value(r.field) === r.value) !== (r.operator === '=')) return false;
    return true;
  };
  return {
    requirements,
    isEverything: requirements.length === 0,
    test,
    matches: (fields) => test((f) => (Object.hasOwn(fields, f) ? fields[f]! : '')),
    exact: (field) => requirements.find((r) => r.field === field && r.operator === '=')?.value,
    toString: () => requirements.map((r) => `${r.field}${r.operator}${escape(r.value)}`).join(','),
  };
}

/** At commas that no backslash stands before. */
function splitTerms(text: string): string[] {
  const out: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === ',') {
      out.push(text.slice(start, i));
      start = i + 1;
    }
  }
  out.push(text.slice(start));
  return out;
}

function unescape(value: string, selector: string): string {
  let out = '';
  for (let i = 0; i < value.length; i++) {
    const c = value[i]!;
    if (c === '=' || c === ',')
      throw new SelectorError(`invalid field selector: unescaped character in value: ${c} (in '${selector}')`);
    if (c !== '\\') {
      out += c;
      continue;
    }
    const next = value[++i];
    if (next !== '\\' && next !== ',' && next !== '=')
      throw new SelectorError(`invalid field selector: invalid escape sequence: \\${next ?? ''}`);
    out += next;
  }
  return out;
}

const escape = (value: string) => value.replace(/[\\,=]/g, '\\$&');
