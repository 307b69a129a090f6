/** Objects that expressions make themselves: `Object{...}` and `JSONPatch{...}` of mutating policies (KEP-3962). */
import { OpaqueValue, type Value } from './values.ts';

/** What types there are to be made, for the checker and for evaluation. */
export interface StructTypes {
  /** What a field of the type takes; undefined when the type has no such field. Undefined itself: no such type. */
  fieldsOf(name: string): ((field: string) => 'any' | 'string' | undefined) | undefined;
  make(name: string, fields: ReadonlyMap<string, Value>): Value;
}

/** A value of such a type. */
export class StructValue extends OpaqueValue {
  readonly typeName: string;
  readonly fields: ReadonlyMap<string, Value>;
  constructor(typeName: string, fields: ReadonlyMap<string, Value>) {
    super();
    this.typeName = typeName;
    this.fields = fields;
  }
}

const PATCH_FIELDS: ReadonlyMap<string, 'any' | 'string'> = new Map([
  ['op', 'string'],
  ['path', 'string'],
  ['from', 'string'],
  ['value', 'any'],
]);

/** `Object`, `Object.spec` and so on take whatever they are given; `JSONPatch` has the fields of RFC 6902. */
export const MUTATION_TYPES: StructTypes = {
  fieldsOf(name) {
    if (name === 'JSONPatch') return (field) => PATCH_FIELDS.get(field);
    return name === 'Object' || name.startsWith('Object.') ? () => 'any' : undefined;
  },
  make: (name, fields) => new StructValue(name, fields),
};
