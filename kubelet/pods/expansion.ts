/** `$(NAME)` in commands, arguments and variables. */

/** Replaces `$(NAME)` by what `lookup` knows; `$$` stands for `$`, unknown names stay as they are. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  if (!text.includes('$')) return text;
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const ch = text[i]!;
    if (ch !== '$' || i + 1 === text.length) {
      out += ch;
      continue;
    }
    const next = text[i + 1]!;
    if (next === '$') {
      out += '$';
      i++;
      continue;
    }
    const end = next === '(' ? text.indexOf(')', i + 2) : -1;
    if (end < 0) {
      out += '$';
      continue;
    }
    const name = text.slice(i + 2, end);
    out += lookup(name) ?? `$(${name})`;
    i = end;
  }
  return out;
}

/** As `expand`, but unknown names are an error: for paths, where leaving them would be surprising. */
export function expandStrict(text: string, lookup: (name: string) => string | undefined): string {
  const missing: string[] = [];
  const out = expand(text, (name) => {
    const v = lookup(name);
    if (v === undefined) missing.push(name);
    return v;
  });
  if (missing.length) throw new Error(`missing value for ${missing.map((m) => JSON.stringify(m)).join(', ')}`);
  return out;
}
