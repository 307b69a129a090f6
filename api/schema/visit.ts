/** Walks an object by its type to where something is to be done, past all that holds nothing of the kind. */
import type { JsonObject, JsonValue } from '../types.ts';
import type { ObjectType, SchemaNode } from './model.ts';

/** What is to be done with each object of a type, in place; undefined when nothing. */
export type ActionOf = (type: ObjectType) => ((object: JsonObject) => void) | undefined;

type Walker = (value: JsonValue) => void;

/** Makes a function that does the actions in an object and all it holds; each type is compiled once. */
export function createVisitor(actionOf: ActionOf): (object: JsonObject, type: ObjectType) => void {
  const walkers = new WeakMap<ObjectType, Walker | null>();

  /** null: nothing to do below. `above` are the types that are being worked out; within themselves they are not visited. */
  function ofType(type: ObjectType, above: ReadonlySet<ObjectType>): Walker | null {
    const known = walkers.get(type);
    if (known !== undefined) return known;
    if (above.has(type)) return null;
    const inside = new Set([...above, type]);
    const action = actionOf(type);
    const steps = type.fields.flatMap(({ name, node }) => {
      const walk = ofNode(node, inside);
      return walk ? [{ name, walk }] : [];
    });
    const made: Walker | null =
      steps.length === 0 && !action
        ? null
        : (value) => {
            const object = value as JsonObject;
            action?.(object);
            for (const { name, walk } of steps) {
              const v = object[name];
              if (typeof v === 'object' && v !== null) walk(v);
            }
          };
    walkers.set(type, made);
    return made;
  }

  function ofNode(node: SchemaNode, above: ReadonlySet<ObjectType>): Walker | null {
    switch (node.form) {
      case 'object':
        return ofType(node.type, above);
      case 'list': {
        const item = ofNode(node.items, above);
        return item && ((v) => (v as JsonValue[]).forEach((i) => i !== null && item(i)));
      }
      case 'map': {
        const entry = ofNode(node.values, above);
        return entry && ((v) => Object.values(v as Record<string, JsonValue>).forEach((i) => i !== null && entry(i)));
      }
      default:
        return null;
    }
  }

  return (object, type) => ofType(type, new Set())?.(object);
}
