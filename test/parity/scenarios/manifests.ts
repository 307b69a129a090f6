/** Folders of YAML, as charts and operators come: each object created, applied by two managers, put, and refused. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { decodeYaml } from '../../../api/codec/yaml.ts';
import resources from '../../../api/facts/resources.json' with { type: 'json' };
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { Scenario } from './step.ts';

interface Place {
  readonly plural: string;
  readonly namespaced: boolean;
}

/** How many variations of each object are sent. */
const VARIATIONS = 12;

function objectsOf(dir: string): JsonObject[] {
  const out: JsonObject[] = [];
  for (const f of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (!f.isFile() || !/\.(ya?ml|json)$/.test(f.name)) continue;
    for (const text of readFileSync(join(f.parentPath, f.name), 'utf8').split(/^---.*$/m))
      try {
        const o = decodeYaml(text).value as JsonObject | null;
        if (typeof o?.['kind'] !== 'string' || typeof o['apiVersion'] !== 'string') continue;
        if (o['kind'] === 'List') out.push(...(o['items'] as JsonObject[]));
        else if (typeof (o['metadata'] as JsonObject | null)?.['name'] === 'string') out.push(o);
      } catch {
        // a template, or meant to be wrong
      }
  }
  return out;
}

/** Every leaf in turn removed, or given a value of another form. */
function* wrong(o: JsonObject): Generator<JsonObject> {
  const at = (
    path: readonly (string | number)[],
    put: (parent: Record<string | number, JsonValue>, key: string | number) => void,
  ) => {
    const out = JSON.parse(JSON.stringify(o)) as JsonObject;
    let parent = out as Record<string | number, JsonValue>;
    for (const p of path.slice(0, -1)) parent = parent[p] as Record<string | number, JsonValue>;
    put(parent, path.at(-1)!);
    return out;
  };
  function* visit(v: JsonValue, path: readonly (string | number)[]): Generator<JsonObject> {
    if (path.length > 1) {
      yield at(
        path,
        (parent, key) => void (Array.isArray(parent) ? parent.splice(Number(key), 1) : delete parent[key]),
      );
      yield at(path, (parent, key) => void (parent[key] = null));
      const others: JsonValue[] =
        typeof v === 'string'
          ? ['', 'Bad Value!', 'a'.repeat(300), 5]
          : typeof v === 'number'
            ? [-1, 0, 70_000, 'x', 1.5]
            : [{}, [], 'x'];
      for (const other of others) yield at(path, (parent, key) => void (parent[key] = other));
      if (Array.isArray(v) && v.length > 0) yield at([...path, v.length], (parent, key) => void (parent[key] = v[0]!));
      if (typeof v === 'object' && v !== null && !Array.isArray(v))
        yield at([...path, 'unknownField'], (parent, key) => void (parent[key] = 'x'));
    }
    if (typeof v === 'object' && v !== null)
      for (const [k, w] of Object.entries(v) as [string, JsonValue][])
        if (path.length > 0 || !['apiVersion', 'kind', 'metadata'].includes(k))
          yield* visit(w, [...path, Array.isArray(v) ? Number(k) : k]);
  }
  yield* visit(o, []);
}

const spread = <T>(list: readonly T[], most: number) =>
  Array.from(
    { length: Math.min(most, list.length) },
    (_, i) => list[Math.floor((i * list.length) / Math.min(most, list.length))]!,
  );

/** One scenario of all objects below a folder; their definitions come first. */
export function manifests(dir: string): Scenario {
  const s = new Scenario(
    'apps',
    `files-${basename(dir)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')}`,
  );
  const ns = s.namespace(s.name.slice(0, 40));
  const places = new Map<string, Place>();
  for (const r of resources as {
    group: string;
    version: string;
    resource: string;
    scope: string;
    responseKind: { kind: string };
  }[])
    if (!r.resource.includes('/')) {
      const key = `${r.group ? `${r.group}/` : ''}${r.version} ${r.responseKind.kind}`;
      if (!places.has(key)) places.set(key, { plural: r.resource, namespaced: r.scope === 'Namespaced' });
    }
  const all = objectsOf(dir);
  const name = (o: JsonObject) => (o['metadata'] as { name: string }).name;
  const seen = new Set<string>();
  for (const crd of all) {
    if (crd['kind'] !== 'CustomResourceDefinition' || seen.has(name(crd))) continue;
    seen.add(name(crd));
    const { group, names, scope, versions } = crd['spec'] as unknown as {
      group: string;
      names: { plural: string; kind: string };
      scope: string;
      versions?: { name: string; served: boolean }[];
    };
    const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    s.post(definitions, crd);
    s.patch('apply', `${definitions}/${name(crd)}?fieldManager=a&force=true`, crd);
    s.get(`${definitions}/${name(crd)}`, { until: { '.status.conditions[?type=Established].status': 'True' } });
    for (const v of versions ?? []) {
      places.set(`${group}/${v.name} ${names.kind}`, { plural: names.plural, namespaced: scope === 'Namespaced' });
      if (!v.served) continue;
      s.get(`/apis/${group}/${v.name}/${names.plural}`, { retry: true, expect: 200 });
      s.table(`/apis/${group}/${v.name}/${names.plural}`);
      s.get(`/openapi/v3/apis/${group}/${v.name}`, { retry: true, expect: 200, view: 'openapi3', sleep: 300 });
    }
  }
  for (const o of all) {
    const place = places.get(`${o['apiVersion'] as string} ${o['kind'] as string}`);
    if (!place || o['kind'] === 'CustomResourceDefinition' || o['kind'] === 'Namespace') continue;
    const metadata = { ...(o['metadata'] as JsonObject) };
    if (place.namespaced) metadata['namespace'] = ns;
    const object = { ...o, metadata };
    const version = o['apiVersion'] as string;
    const base = `${version.includes('/') ? '/apis' : '/api'}/${version}/${place.namespaced ? `namespaces/${ns}/` : ''}${place.plural}`;
    const one = `${base}/${name(o)}`;
    s.post(`${base}?dryRun=All&fieldValidation=Strict`, object);
    s.post(base, object);
    s.patch('apply', `${one}?fieldManager=kubectl`, object);
    s.patch('apply', `${one}?fieldManager=kubectl&force=true`, object);
    s.patch('apply', `${one}?fieldManager=gitops`, object);
    for (const w of spread([...wrong(object)], VARIATIONS)) {
      s.post(`${base}?dryRun=All`, { ...w, metadata: { ...metadata, name: `${name(o)}-w` } });
      s.put(`${one}?dryRun=All`, w);
      s.patch('apply', `${one}?fieldManager=third&force=true&dryRun=All`, w);
      s.patch('merge', `${one}?dryRun=All`, w);
    }
    s.put(one, object);
    s.table(one);
    s.patch('strategic', `${one}?dryRun=All`, object);
    s.patch('merge', one, { metadata: { annotations: { a: 'b' } } });
    s.patch('merge', one, { metadata: { finalizers: null } }, { view: 'code' });
    s.del(`${one}?gracePeriodSeconds=0`);
  }
  for (const crd of seen)
    s.del(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${crd}`, undefined, { view: 'code' });
  return s;
}
