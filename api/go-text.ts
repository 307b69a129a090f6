/** Values as Go's fmt prints what it decoded from JSON, for messages that quote them. */

/** `%v`: maps with sorted keys, lists in brackets. */
export function goText(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  if (typeof value !== 'object') return String(value as string | number | bigint | boolean);
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  const object = value as Readonly<Record<string, unknown>>;
  const keys = Object.keys(object).sort();
  return `map[${keys.map((k) => `${k}:${goText(object[k])}`).join(' ')}]`;
}

/** `%T`. */
export function goType(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'bigint':
      return 'int64';
    case 'number':
      return Number.isInteger(value) ? 'int64' : 'float64';
    default:
      return Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}';
  }
}
