/** Recorded cases told of other kinds: what was tried with one is tried with its relatives. */
import { readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '../../../api/types.ts';
import { NAMESPACE, readSeeds } from '../differ/seeds.ts';
import { RUN, Scenario, type Step } from './step.ts';

const corpus = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..', 'shared', 'parity');

/** A recorded case, and the kind it is about. */
interface Case {
  readonly file: string;
  readonly id: string;
  readonly namespace: string;
  readonly resource: string;
}
const CASES: readonly Case[] = [
  { file: 'd-listwatch', id: 'listwatch.generate', namespace: 'v-gen', resource: 'configmaps' },
  { file: 'd-listwatch', id: 'listwatch.watch', namespace: 'v-watch', resource: 'configmaps' },
  { file: 'd-listwatch', id: 'listwatch.pages', namespace: 'v-pages', resource: 'configmaps' },
  { file: 'd-listwatch', id: 'listwatch.labels', namespace: 'v-labels', resource: 'configmaps' },
  { file: 'd-listwatch', id: 'listwatch.delete-pod', namespace: 'v-del-pod', resource: 'pods' },
  { file: 'c-patch', id: 'patch.ssa-own', namespace: 'v-ssa-own', resource: 'configmaps' },
  { file: 'c-patch', id: 'patch.ssa-errors', namespace: 'v-ssa-errors', resource: 'configmaps' },
  { file: 'c-patch', id: 'patch.apply-put', namespace: 'v-apput', resource: 'configmaps' },
  { file: 'c-patch', id: 'patch.json-basic', namespace: 'v-pt-json-basic', resource: 'configmaps' },
  { file: 'c-patch', id: 'patch.upgrade-2', namespace: 'v-upg-2', resource: 'services' },
  { file: 'f-content', id: 'content.types', namespace: 'v-types', resource: 'configmaps' },
  {
    file: 'e-subresource',
    id: 'subresource.scale-deployments',
    namespace: 'v-sc-deployments',
    resource: 'deployments',
  },
];
const SCALED = ['replicasets', 'replicationcontrollers'];
const RELATIVES = [
  'secrets',
  'services',
  'serviceaccounts',
  'events',
  'replicationcontrollers',
  'endpoints',
  'statefulsets',
  'cronjobs',
  'horizontalpodautoscalers',
  'networkpolicies',
  'poddisruptionbudgets',
  'roles',
  'endpointslices',
  'leases',
  'resourceclaims',
];

interface Target {
  /** The collection, its namespace written as NS. */
  readonly path: string;
  readonly object: JsonObject;
}

function targets(): Map<string, Target> {
  const found = new Map<string, Target>();
  for (const { path, resource, object } of readSeeds(realpathSync(corpus), ['a-defaults']))
    if (path.includes(`/namespaces/${NAMESPACE}/`) && !found.has(resource))
      found.set(resource, { path: path.replace(`/${NAMESPACE}/`, '/NS/'), object });
  return found;
}

/** The steps of a case with another kind's path and objects. Data is left out where the kind has none. */
function retarget(c: Case, resource: string, { path, object }: Target): Scenario {
  const s = new Scenario('retold', `${c.id.replace('.', '-')}-${resource}`);
  const ns = `${c.namespace}-${resource.slice(0, 20)}-${RUN}`;
  const own = (text: string) => text.replaceAll(c.namespace, ns).replaceAll(`"${NAMESPACE}"`, `"${ns}"`);
  const there = new RegExp(`^(/api/v1|/apis/[^/]+/[^/]+)/(watch/)?namespaces/${c.namespace}/${c.resource}`);
  const { metadata: _, ...rest } = object;
  for (const line of readFileSync(join(corpus, `${c.file}.jsonl`), 'utf8').split('\n')) {
    if (!line.startsWith(`{"id":"${c.id}.`)) continue;
    const { res: _res, ...step } = JSON.parse(line) as Step & { res?: unknown };
    if (!there.test(step.path) && !/\/(namespaces|serviceaccounts)$/.test(step.path)) continue;
    const to = step.path.replace(there, (_all, _base: string, watch?: string) =>
      path.replace('/NS/', `/${c.namespace}/`).replace('/namespaces/', `/${watch ?? ''}namespaces/`),
    );
    let { body } = step;
    const b = body as JsonObject | undefined;
    if (
      there.test(step.path) &&
      typeof b === 'object' &&
      b !== null &&
      b['kind'] &&
      b['kind'] !== 'DeleteOptions' &&
      b['kind'] !== 'Scale'
    )
      body = { ...rest, metadata: b['metadata'] ?? {} };
    const { id: _id, group: _group, method, path: _path, body: _body, ...more } = step;
    s.send(method, own(to), body === undefined ? undefined : JSON.parse(own(JSON.stringify(body))), more);
  }
  return s;
}

export function retargeted(): Scenario[] {
  const all = targets();
  return CASES.flatMap((c) =>
    (c.id.includes('scale') ? SCALED : RELATIVES).flatMap((r) => (all.has(r) ? [retarget(c, r, all.get(r)!)] : [])),
  );
}
