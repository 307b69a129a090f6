/** Tables of custom resources: cells by JSONPath. */
import { encodeJson } from '../../../api/codec/json.ts';
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import type { ColumnFact } from '../../registry/catalog.ts';
import { ageSince } from '../../http/table.ts';
import type { CrdColumn } from '../crd/types.ts';
import { parseJsonPath, JsonPathError, type JsonPath } from './jsonpath.ts';
import type { Value } from '../schema/equal.ts';

/** Shown when a definition names no columns. */
const AGE: CrdColumn = {
  name: 'Age',
  type: 'date',
  description: 'When the object was created, in UTC.',
  jsonPath: '.metadata.creationTimestamp',
};

export interface Columns {
  readonly facts: readonly ColumnFact[];
  cells(object: DeepReadonly<KubeObject>, now: number): (string | number | boolean)[];
}

/** Name and age where a definition names no columns. */
export function columnsOf(columns: readonly CrdColumn[] | undefined): Columns {
  const facts: ColumnFact[] = [
    { name: 'Name', type: 'string', format: 'name', priority: 0, description: 'The name of the object.' },
  ];
  const makers: { type: string; path: JsonPath }[] = [];
  for (const c of columns?.length ? columns : [AGE]) {
    const path = readPath(c.jsonPath);
    // What can't be read ends the columns, as it does upstream.
    if (!path) break;
    facts.push({
      name: c.name,
      type: c.type,
      format: c.format ?? '',
      priority: c.priority ?? 0,
      description: c.description || `Custom resource definition column (in JSONPath format): ${c.jsonPath}`,
    });
    makers.push({ type: c.type, path });
  }
  return {
    facts,
    cells: (object, now) =>
      [
        object.metadata?.name ?? '',
        ...makers.map((m) => cell(m.type, m.path.find(object as unknown as Value)[0], now)),
      ] as (string | number | boolean)[],
  };
}

function readPath(text: string): JsonPath | undefined {
  try {
    return parseJsonPath(text);
  } catch (e) {
    if (e instanceof JsonPathError) return undefined;
    throw e;
  }
}

/** A value as its column's type shows it; null for none or one of another type. */
export function cell(type: string, value: Value | undefined, now: number): string | number | bigint | boolean | null {
  if (value === undefined) return null;
  if (type === 'string')
    return value === null ? '<nil>' : typeof value === 'object' ? encodeJson(value) : String(value);
  if (value === null) return null;
  switch (type) {
    case 'integer':
      if (typeof value === 'bigint') return value;
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      if (typeof value !== 'string') return null;
      return value === '' ? '<unknown>' : Number.isNaN(Date.parse(value)) ? '<invalid>' : ageSince(value, now);
    default:
      return null;
  }
}
