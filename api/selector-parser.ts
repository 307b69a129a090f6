/** The grammar of label selector texts. */
import { labelRequirement, SelectorError, type LabelOperator, type LabelRequirement } from './selectors.ts';
import { isQualifiedName } from './validation/names.ts';

type Kind = 'end' | 'word' | 'in' | 'notin' | ',' | '(' | ')' | '!' | '=' | '==' | '!=' | '>' | '<';
interface Token {
  kind: Kind;
  text: string;
}

const TOKEN = /[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+)/y;
const OPERATORS: Partial<Record<Kind, LabelOperator>> = {
  in: 'in',
  notin: 'notin',
  '=': '=',
  '==': '==',
  '!=': '!=',
  '>': 'gt',
  '<': 'lt',
};
const SYMBOLS: ReadonlySet<string> = new Set([',', '(', ')', '!', '=', '==', '!=', '>', '<', 'in', 'notin']);

function tokens(text: string): Token[] {
  const out: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let m = TOKEN.exec(text); m; m = TOKEN.exec(text))
    out.push({ kind: SYMBOLS.has(m[1]!) ? (m[1] as Kind) : 'word', text: m[1]! });
  out.push({ kind: 'end', text: '' });
  return out;
}

/** The requirements in the order of the text. Throws SelectorError. */
export function parseLabelRequirements(text: string): LabelRequirement[] {
  return new Parser(tokens(text)).all();
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }
  /** The token to come. Where a key or value is due, `in` and `notin` are words like any other. */
  #peek(wordsOnly = true): Token {
    const t = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)]!;
    return wordsOnly && (t.kind === 'in' || t.kind === 'notin') ? { kind: 'word', text: t.text } : t;
  }
  #take(wordsOnly = true): Token {
    const t = this.#peek(wordsOnly);
    this.#at++;
    return t;
  }

  all(): LabelRequirement[] {
    const out: LabelRequirement[] = [];
    for (;;) {
      const t = this.#peek();
      if (t.kind === 'end') return out;
      if (t.kind !== 'word' && t.kind !== '!')
        throw new SelectorError(`found '${t.text}', expected: !, identifier, or 'end of string'`);
      try {
        out.push(this.#requirement());
      } catch (e) {
        if (e instanceof SelectorError) throw new SelectorError(`unable to parse requirement: ${e.message}`);
        throw e;
      }
      const sep = this.#take();
      if (sep.kind === 'end') return out;
      if (sep.kind !== ',') throw new SelectorError(`found '${sep.text}', expected: ',' or 'end of string'`);
      const next = this.#peek();
      if (next.kind !== 'word' && next.kind !== '!')
        throw new SelectorError(`found '${next.text}', expected: identifier after ','`);
    }
  }

  #requirement(): LabelRequirement {
    let t = this.#take();
    const absent = t.kind === '!';
    if (absent) t = this.#take();
    if (t.kind !== 'word') throw new SelectorError(`found '${t.text}', expected: identifier`);
    const key = t.text;
    const problems = isQualifiedName(key);
    if (problems.length)
      throw new SelectorError(`<nil>: Invalid value: ${JSON.stringify(key)}: ${problems.join('; ')}`);
    if (absent) return labelRequirement(key, '!', []);
    const { kind } = this.#peek();
    if (kind === 'end' || kind === ',') return labelRequirement(key, 'exists', []);
    const op = this.#take(false);
    const operator = OPERATORS[op.kind];
    if (operator === undefined) throw new SelectorError(`found '${op.text}', expected: in, notin, =, ==, !=, gt, lt`);
    return labelRequirement(key, operator, operator === 'in' || operator === 'notin' ? this.#set() : [this.#value()]);
  }

  #value(): string {
    const t = this.#peek();
    if (t.kind === 'end' || t.kind === ',') return '';
    this.#at++;
    if (t.kind !== 'word') throw new SelectorError(`found '${t.text}', expected: identifier`);
    return t.text;
  }

  #set(): string[] {
    const open = this.#take();
    if (open.kind !== '(') throw new SelectorError(`found '${open.text}' expected: '('`);
    const first = this.#peek();
    if (first.kind !== 'word' && first.kind !== ',' && first.kind !== ')')
      throw new SelectorError(`found '${first.text}', expected: ',', ')' or identifier`);
    const out = new Set<string>();
    for (;;) {
      const t = this.#peek();
      // A comma with nothing before or behind it stands beside an empty value.
      if (t.kind === ',' || t.kind === ')') out.add('');
      else if (t.kind === 'word') {
        out.add(t.text);
        this.#at++;
      } else throw new SelectorError(`found '${t.text}', expected: ',', or identifier`);
      const sep = this.#take();
      if (sep.kind === ')') return [...out];
      if (sep.kind !== ',') throw new SelectorError(`found '${sep.text}', expected: ',' or ')'`);
    }
  }
}

/** One requirement in canonical text. */
export function formatRequirement(r: LabelRequirement): string {
  switch (r.operator) {
    case 'exists':
      return r.key;
    case '!':
      return `!${r.key}`;
    case 'in':
    case 'notin':
      return `${r.key} ${r.operator} (${r.values.join(',')})`;
    case 'gt':
      return `${r.key}>${r.values[0]}`;
    case 'lt':
      return `${r.key}<${r.values[0]}`;
    case '=':
    case '==':
    case '!=':
      return `${r.key}${r.operator}${r.values[0]}`;
  }
}
