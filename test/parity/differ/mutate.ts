/** Variations of an object: each field, one after the other, takes values that a validation may think about. */
import type { ObjectType, SchemaNode } from '../../../api/schema/model.ts';
import type { JsonObject, JsonValue } from '../../../api/types.ts';

export interface Mutation {
  /** The path with list positions left out: `spec.containers[].image=`. */
  readonly label: string;
  readonly path: Path;
  /** undefined removes. */
  readonly value: JsonValue | undefined;
}

export type Path = readonly (string | number)[];

const LONG = 'a'.repeat(300);
const VALUES: Readonly<Record<string, readonly JsonValue[]>> = {
  string: ['', 'Bad_Value!', LONG, 'other', 7],
  bool: [true, false, 'yes'],
  int32: [-1, 0, 1, 70_000, 2_147_483_648, 'x'],
  int64: [-1, 0, 1, 70_000, 'x'],
  float64: [-1.5, 0, 'x'],
  bytes: ['not base64!', '', 'YQ=='],
  quantity: ['-1', '0', '1.5', 'abc', '3Gi', 10],
  time: ['garbage', '2020-01-01T00:00:00Z'],
  microtime: ['garbage', '2020-01-01T00:00:00.000001Z'],
  duration: ['-1s', 'x', '10s'],
  intOrString: [-1, 0, '150%', '10%', 'abc'],
  raw: [{ a: 1 }, 'x'],
  any: [1, 'x', { a: 1 }],
};

/** A value that could do, with what is required filled in. `deep` fills in everything, to that depth. */
export function sample(node: SchemaNode, deep = 0): JsonValue {
  switch (node.form) {
    case 'list':
      return [sample(node.items, deep)];
    case 'map':
      return { key: sample(node.values, deep) };
    case 'object':
    case 'union': {
      const out: JsonObject = {};
      for (const f of node.type.fields) if (f.required || deep > 0) out[f.name] = sample(f.node, deep - 1);
      return out;
    }
    case 'string':
      return node.enum?.[0] ?? 'value';
    case 'bool':
      return true;
    case 'quantity':
      return '1';
    case 'int32':
    case 'int64':
    case 'float64':
      return 1;
    case 'time':
      return '2020-01-01T00:00:00Z';
    case 'microtime':
      return '2020-01-01T00:00:00.000000Z';
    case 'duration':
      return '10s';
    case 'bytes':
      return 'YQ==';
    case 'intOrString':
      return 1;
    default:
      return { a: 1 };
  }
}

const copy = <T extends JsonValue>(v: T): T => JSON.parse(JSON.stringify(v)) as T;

/** The object with one variation; throws when it has no such place. */
export function changed(root: JsonObject, { path, value }: Pick<Mutation, 'path' | 'value'>): JsonObject {
  const out = copy(root);
  let at = out as Record<string | number, JsonValue>;
  for (const p of path.slice(0, -1)) at = at[p] as Record<string | number, JsonValue>;
  const last = path.at(-1)!;
  if (value !== undefined) at[last] = value;
  else if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete at[last];
  return out;
}

const labelOf = (path: Path) =>
  path
    .map((p) => (typeof p === 'number' ? '[]' : `.${p}`))
    .join('')
    .slice(1);
const show = (v: JsonValue | undefined) =>
  v === undefined ? '(removed)' : v === LONG ? '(long)' : JSON.stringify(v).slice(0, 40);

/** Fields that every kind shares and that are tried with few kinds only. */
const SKIPPED = new Set(['managedFields', 'resourceVersion', 'uid', 'creationTimestamp', 'selfLink', 'generation']);

/** All variations of one object; `within` limits them to one field of the root. */
export function* mutations(root: JsonObject, type: ObjectType, within?: string): Generator<Mutation> {
  function* put(path: Path, value: JsonValue | undefined): Generator<Mutation> {
    yield { label: `${labelOf(path)}=${show(value)}`, path, value };
  }
  function* visit(path: Path, node: SchemaNode, value: JsonValue): Generator<Mutation> {
    if (path.length > 0) yield* put(path, undefined);
    if (value === null) return;
    switch (node.form) {
      case 'list': {
        if (!Array.isArray(value)) return;
        yield* put(path, []);
        yield* put(path, null);
        if (value.length > 0) {
          yield* put(path, [...value, value[0]!]);
          yield* put(path, [...value, sample(node.items)]);
          for (let i = 0; i < Math.min(value.length, 2); i++) yield* visit([...path, i], node.items, value[i]!);
        }
        return;
      }
      case 'map': {
        if (typeof value !== 'object' || Array.isArray(value)) return;
        yield* put(path, {});
        yield* put([...path, 'Bad key!'], sample(node.values));
        yield* put([...path, LONG], sample(node.values));
        yield* put([...path, 'example.com/key'], sample(node.values));
        const first = Object.keys(value)[0];
        if (first !== undefined) yield* visit([...path, first], node.values, value[first]!);
        return;
      }
      case 'object':
      case 'union': {
        if (typeof value !== 'object' || Array.isArray(value)) return;
        if (path.length > 0) yield* put(path, {});
        for (const f of node.type.fields) {
          if (path.length === 0 && within !== undefined && f.name !== within) continue;
          if (f.name in value) {
            if (SKIPPED.has(f.name) || (path.length === 0 && (f.name === 'kind' || f.name === 'apiVersion'))) continue;
            yield* visit([...path, f.name], f.node, value[f.name]!);
          } else if (!SKIPPED.has(f.name) && (path.length > 0 || within !== undefined || f.name !== 'status')) {
            const at = [...path, f.name];
            yield* put(at, sample(f.node));
            if (f.node.form === 'object' || f.node.form === 'list') yield* put(at, sample(f.node, 2));
            if (f.node.form in VALUES) for (const v of VALUES[f.node.form]!) yield* put(at, v);
          }
        }
        return;
      }
      default:
        for (const v of VALUES[node.form] ?? []) if (v !== value) yield* put(path, v);
        if ('enum' in node && node.enum) for (const v of node.enum) if (v !== value) yield* put(path, v);
    }
  }
  yield* visit([], { form: 'object', type, mapType: 'granular' }, root);
}

/** So many objects with three variations each; the same `seed` gives the same ones. */
export function* mixed(
  root: JsonObject,
  all: readonly Mutation[],
  count: number,
  seed: number,
): Generator<{ label: string; object: JsonObject }> {
  let state = seed + 1;
  const next = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let i = 0; i < count && all.length > 0; i++) {
    const labels: string[] = [];
    let object = root;
    for (let n = 0; n < 3; n++) {
      const m = all[next(all.length)]!;
      try {
        object = changed(object, m);
        labels.push(m.label);
      } catch {
        // an earlier one has taken the place away
      }
    }
    yield { label: labels.join(' + '), object };
  }
}
