/** Field paths of rules and selectable fields: `.a.b['c.d']`, fields and keys of maps but no list items. */
import { valuesOf, type SchemaProps } from './props.ts';

/** The names of a field path; undefined when it isn't one. */
export function fieldPathNames(path: string): string[] | undefined {
  const out: string[] = [];
  const step = /\.([^.[\]]+)|\['((?:[^'\\]|\\.)*)'\]/y;
  while (step.lastIndex < path.length) {
    const m = step.exec(path);
    if (!m) return undefined;
    out.push(m[1] ?? m[2]!.replace(/\\(.)/g, '$1'));
  }
  return out.length === 0 ? undefined : out;
}

/** The schema that a field path leads to. */
export function schemaAtFieldPath(schema: SchemaProps, path: string): SchemaProps | undefined {
  const names = fieldPathNames(path);
  if (!names) return undefined;
  let s: SchemaProps | undefined = schema;
  for (const n of names) {
    if (!s) return undefined;
    s = s.properties ? (Object.hasOwn(s.properties, n) ? s.properties[n] : undefined) : valuesOf(s);
  }
  return s;
}

/** A field path as errors write it: keys of maps in brackets. */
export function fieldPathText(schema: SchemaProps, path: string): string {
  let s: SchemaProps | undefined = schema;
  let out = '';
  for (const n of fieldPathNames(path) ?? []) {
    if (s?.properties) {
      out += out === '' ? n : `.${n}`;
      s = s.properties[n];
    } else {
      out += `[${n}]`;
      s = s && valuesOf(s);
    }
  }
  return out;
}
