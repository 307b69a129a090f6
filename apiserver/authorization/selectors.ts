/** Field selectors as authorizers see them. */

export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

/** Reads `a=b,c!=d` (with `\,` `\=` `\\` escaped in values); undefined when the text is no selector. */
export function parseFieldRequirements(selector: string): FieldRequirement[] | undefined {
  const terms: string[] = [];
  let term = '';
  for (let i = 0; i < selector.length; i++) {
    const c = selector[i]!;
    if (c === '\\' && i + 1 < selector.length) term += c + selector[++i]!;
    else if (c === ',') {
      terms.push(term);
      term = '';
    } else term += c;
  }
  terms.push(term);
  const out: FieldRequirement[] = [];
  for (const t of terms) {
    if (t === '') continue;
    const m = /^((?:[^\\=!]|\\.)*?)(!=|==|=)((?:[^\\=]|\\.)*)$/.exec(t);
    if (!m) return undefined;
    out.push({ field: m[1]!, operator: m[2] === '!=' ? '!=' : '=', value: m[3]!.replace(/\\(.)/g, '$1') });
  }
  return out;
}

/** True when the selector demands exactly this value of the field. */
export function selectsExactly(selector: string | undefined, field: string, value: string): boolean {
  if (!selector) return false;
  return (parseFieldRequirements(selector) ?? []).some(
    (r) => r.field === field && r.operator === '=' && r.value === value,
  );
}
