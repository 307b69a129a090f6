/** Random cases against simple models: patches, apply, selectors. */
import assert from 'node:assert/strict';
import { FieldManager } from '../../../api/apply/index.ts';
import { applyJsonPatch } from '../../../api/patch/json-patch.ts';
import { applyMergePatch } from '../../../api/patch/merge-patch.ts';
import { applyStrategicMergePatch } from '../../../api/patch/strategic.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { parseLabelSelector } from '../../../api/selectors.ts';
import { hasCode, StatusError } from '../../../api/status.ts';
import type { JsonObject, JsonValue, KubeObject } from '../../../api/types.ts';
import type { Rand } from '../../../base/clock.ts';
import { int, pick, seeded } from '../api/gen.ts';

const KEYS = ['a', 'b', 'c', 'd'];
const isMap = (v: unknown): v is JsonObject => typeof v === 'object' && v !== null && !Array.isArray(v);

/** A value without nulls, for which a merge patch can say every change. */
function value(r: Rand, depth: number): JsonValue {
  switch (int(r, 0, depth > 0 ? 5 : 2)) {
    case 0:
      return int(r, 0, 3);
    case 1:
      return pick(r, ['x', 'y', '']);
    case 2:
      return r.next() < 0.5;
    case 3:
      return Array.from({ length: int(r, 0, 3) }, () => value(r, depth - 1));
    default:
      return object(r, depth - 1);
  }
}
function object(r: Rand, depth: number): JsonObject {
  return Object.fromEntries(KEYS.filter(() => r.next() < 0.6).map((k) => [k, value(r, depth)]));
}

/** The merge patch that leads from one object to another. */
function difference(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const k of Object.keys(from)) if (!(k in to)) patch[k] = null;
  for (const [k, v] of Object.entries(to)) {
    const old = from[k];
    if (isMap(old) && isMap(v)) patch[k] = difference(old, v);
    else if (JSON.stringify(old) !== JSON.stringify(v)) patch[k] = v;
  }
  return patch;
}

describe('patches', () => {
  it('a merge patch leads from any object to any other, and once more changes nothing', () => {
    const r = seeded(31);
    for (let i = 0; i < 3000; i++) {
      const [from, to] = [object(r, 3), object(r, 3)];
      const patch = difference(from, to);
      const before = JSON.stringify([from, patch]);
      const out = applyMergePatch(from, patch);
      assert.deepEqual(out, to);
      assert.deepEqual(applyMergePatch(out as JsonObject, patch), to);
      assert.equal(JSON.stringify([from, patch]), before, 'an input changed');
    }
  });

  it('JSON patches do what plain code does to a copy', () => {
    const r = seeded(32);
    let applied = 0;
    for (let i = 0; i < 4000; i++) {
      const doc = object(r, 3);
      const model = structuredClone(doc);
      const patch: JsonObject[] = [];
      let good = true;
      for (let n = int(r, 1, 4); n > 0 && good; n--) {
        const op = operation(r, model);
        patch.push(op);
        good = perform(model, op);
      }
      let out: JsonValue | undefined;
      try {
        out = applyJsonPatch(doc, patch);
      } catch (e) {
        assert.ok(e instanceof StatusError);
      }
      if (good) assert.deepEqual(out, model, JSON.stringify([doc, patch]));
      else assert.equal(out, undefined, JSON.stringify([doc, patch]));
      if (good) applied++;
    }
    assert.ok(applied > 1000);
  });

  it('a strategic patch without lists is a merge patch', () => {
    const r = seeded(33);
    const type = builtinSchemas().type('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
    const labels = () => Object.fromEntries(KEYS.filter(() => r.next() < 0.6).map((k) => [k, pick(r, ['x', 'y'])]));
    for (let i = 0; i < 1000; i++) {
      const make = () => ({ name: pick(r, ['m', 'n']), labels: labels(), annotations: labels() });
      const [from, to] = [make(), make()];
      const patch = difference(from, to);
      assert.deepEqual(applyStrategicMergePatch(from, patch, type), applyMergePatch(from, patch));
    }
  });

  it('a strategic patch merges lists by their key: the union, what is new counts', () => {
    const r = seeded(34);
    const type = builtinSchemas().type('io.k8s.api.core.v1.PodSpec');
    const list = () =>
      KEYS.filter(() => r.next() < 0.6).map((name) => ({ name, image: pick(r, ['i', 'j']), tty: r.next() < 0.5 }));
    for (let i = 0; i < 1000; i++) {
      const from = list();
      const patch = list().map((c) => (r.next() < 0.3 ? { name: c.name, $patch: 'delete' } : c));
      const want = new Map<string, JsonObject>(from.map((c) => [c.name, c]));
      for (const c of patch)
        if ('$patch' in c) want.delete(c.name);
        else want.set(c.name, { ...want.get(c.name), ...c });
      const out = applyStrategicMergePatch({ containers: from }, { containers: patch }, type) as JsonObject;
      const got = (out['containers'] ?? []) as (JsonObject & { name: string })[];
      assert.deepEqual(Object.fromEntries(got.map((c) => [c.name, c])), Object.fromEntries(want));
      assert.equal(got.length, want.size);
    }
  });
});

/** The place a pointer's parent stands for, and its last part. */
function place(doc: JsonObject, path: string): [at: unknown, key: string] {
  const parts = path.slice(1).split('/');
  let at: unknown = doc;
  for (const p of parts.slice(0, -1)) at = (at as Record<string, unknown> | undefined | null)?.[p];
  return [at, parts.at(-1)!];
}

function operation(r: Rand, doc: JsonObject): JsonObject {
  const path = (from: unknown, depth: number): string => {
    if (Array.isArray(from)) {
      const i = int(r, 0, Math.max(0, from.length - 1));
      return `/${i}${depth > 0 && typeof from[i] === 'object' ? path(from[i], depth - 1) : ''}`;
    }
    const keys = isMap(from) && r.next() < 0.8 ? Object.keys(from) : KEYS;
    const key = keys.length > 0 ? pick(r, keys) : 'a';
    const inner = isMap(from) ? from[key] : undefined;
    return `/${key}${depth > 0 && typeof inner === 'object' && r.next() < 0.6 ? path(inner, depth - 1) : ''}`;
  };
  const op = pick(r, ['add', 'remove', 'replace', 'test']);
  const at = path(doc, 3);
  const [parent, key] = place(doc, at);
  const present = (parent as Record<string, JsonValue> | undefined)?.[key];
  return structuredClone({
    op,
    path: at,
    value: op === 'test' && r.next() < 0.7 && present !== undefined ? present : value(r, 1),
  });
}

/** Does one operation in place; false when it can't be done. */
function perform(doc: JsonObject, op: JsonObject): boolean {
  const [at, key] = place(doc, op['path'] as string);
  const v = structuredClone(op['value']) as JsonValue;
  if (Array.isArray(at)) {
    const i = Number(key);
    switch (op['op']) {
      case 'add':
        return i <= at.length && at.splice(i, 0, v).length === 0;
      case 'remove':
        return at.splice(i, 1).length === 1;
      case 'replace':
        return i < at.length && ((at[i] = v), true);
      default:
        return i < at.length && same(at[i], v);
    }
  }
  if (!isMap(at)) return false;
  switch (op['op']) {
    case 'add':
      at[key] = v;
      return true;
    // An absent key is replaced and tested as upstream's library does: replace makes it.
    case 'replace':
      at[key] = v;
      return true;
    case 'remove':
      return key in at && delete at[key];
    default:
      return same(at[key], v);
  }
}
const same = (a: unknown, b: unknown): boolean => {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
};

describe('server-side apply of a map', () => {
  /** Who owns which value: what apply comes down to where there is no structure. */
  class Model {
    readonly values = new Map<string, string>();
    readonly owners = new Map<string, Set<string>>();
    /** False for a conflict, which changes nothing. */
    apply(manager: string, data: Record<string, string>, force: boolean): boolean {
      const disputed = Object.keys(data).filter(
        (k) => this.values.get(k) !== data[k] && [...(this.owners.get(k) ?? [])].some((o) => o !== manager),
      );
      if (disputed.length > 0 && !force) return false;
      for (const k of disputed) this.owners.set(k, new Set());
      for (const [k, o] of this.owners) {
        if (k in data || !o.delete(manager) || o.size > 0) continue;
        this.owners.delete(k);
        this.values.delete(k);
      }
      for (const [k, v] of Object.entries(data)) {
        this.values.set(k, v);
        this.owners.set(k, (this.owners.get(k) ?? new Set()).add(manager));
      }
      return true;
    }
  }

  it('is what a table of owners says, conflicts included', () => {
    const r = seeded(35);
    const kind = { group: '', version: 'v1', kind: 'ConfigMap' };
    const manager = new FieldManager(builtinSchemas().forKind(kind)!, { kind });
    let conflicts = 0;
    for (let round = 0; round < 150; round++) {
      const model = new Model();
      let live: KubeObject | undefined;
      for (let step = 0; step < 15; step++) {
        const who = pick(r, ['m1', 'm2', 'm3']);
        const data = Object.fromEntries(
          // An empty map would be something to own by itself.
          ['e', ...KEYS.filter(() => r.next() < 0.5)].map((k) => [k, k === 'e' ? 'e' : pick(r, ['x', 'y'])] as const),
        );
        const force = r.next() < 0.3;
        const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data };
        let worked = true;
        try {
          const time = `2024-01-01T00:00:${String(step).padStart(2, '0')}Z`;
          const { object: made, managedFields } = manager.apply(live, config, { manager: who, force, time });
          live = { ...made, metadata: { ...made.metadata, uid: 'u', managedFields: managedFields as never } };
        } catch (e) {
          assert.ok(hasCode(e, 409));
          worked = false;
          conflicts++;
        }
        assert.equal(worked, model.apply(who, data, force));
        const got = (live as { data?: Record<string, string> } | undefined)?.data ?? {};
        assert.deepEqual({ ...got }, Object.fromEntries(model.values));
      }
    }
    assert.ok(conflicts > 100);
  });
});

describe('label selectors', () => {
  it('match what their requirements say, one by one', () => {
    const r = seeded(36);
    const values = ['', 'x', 'y', '1', '2', '10'];
    const requirement = (): [text: string, holds: (v: string | undefined) => boolean, key: string] => {
      const key = pick(r, KEYS);
      const some = values.filter(() => r.next() < 0.5);
      const one = pick(r, values);
      const n = int(r, 0, 10);
      const whole = (v: string | undefined) => (v !== undefined && /^-?\d+$/.test(v) ? Number(v) : undefined);
      return pick<[string, (v: string | undefined) => boolean, string]>(r, [
        [`${key}=${one}`, (v) => v === one, key],
        [`${key}!=${one}`, (v) => v !== one, key],
        [key, (v) => v !== undefined, key],
        [`!${key}`, (v) => v === undefined, key],
        [`${key} in (${some.join(',')})`, (v) => v !== undefined && (some.length ? some : ['']).includes(v), key],
        [`${key} notin (${some.join(',')})`, (v) => v === undefined || !(some.length ? some : ['']).includes(v), key],
        [`${key}>${n}`, (v) => (whole(v) ?? -Infinity) > n, key],
        [`${key}<${n}`, (v) => (whole(v) ?? Infinity) < n, key],
      ]);
    };
    for (let i = 0; i < 5000; i++) {
      const wanted = Array.from({ length: int(r, 1, 3) }, requirement);
      const labels = Object.fromEntries(KEYS.filter(() => r.next() < 0.6).map((k) => [k, pick(r, values)]));
      const text = wanted.map(([t]) => t).join(',');
      const expected = wanted.every(([, holds, key]) => holds(labels[key]));
      assert.equal(parseLabelSelector(text).matches(labels), expected, `${text} on ${JSON.stringify(labels)}`);
    }
  });
});
