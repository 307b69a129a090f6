/**
 * Sends the same requests to kube-apiserver and to this API server and reports what was answered differently:
 *
 *     node test/parity/differ.ts [--only REGEX] [--field REGEX] [--ops create,mix,update,status,patch,read] [--max N]
 *                                [--json OUT] [--peer URL --peer-pki DIR] [--ours URL --ours-pki DIR]
 *
 * Objects come from the recorded corpus beside the project, their variations from the schema: every field of every
 * kind in turn removed, emptied, given values of the wrong form and at the bounds (`mix`: three fields at once).
 * Nothing is kept: dryRun=All.
 * The programs of the peer lie in $PEER/bin (default ~/.cache/k8ts-peer/bin).
 */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { builtinSchemas } from '../../api/schema/builtin.ts';
import { parseApiVersion, type JsonObject } from '../../api/types.ts';
import { serverAt, type Send, type Server } from './differ/client.ts';
import { differences } from './differ/compare.ts';
import { changed, mixed, mutations, type Mutation } from './differ/mutate.ts';
import { reads } from './differ/reads.ts';
import { NAMESPACE, readSeeds, type Seed } from './differ/seeds.ts';
import { startPeer } from './differ/servers.ts';
import { startPeerLikeServer } from './server.ts';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    field: { type: 'string', default: '' },
    ops: { type: 'string', default: 'create,update,status,patch' },
    max: { type: 'string', default: '400' },
    json: { type: 'string' },
    peer: { type: 'string' },
    'peer-pki': { type: 'string' },
    ours: { type: 'string' },
    'ours-pki': { type: 'string' },
  },
});
const corpus = realpathSync(join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'shared', 'parity'));
const only = new RegExp(flags.only);
const field = new RegExp(flags.field);
const ops = new Set(flags.ops.split(','));
const most = Number(flags.max);

interface Case {
  readonly id: string;
  /** The request to each server: updates start from what that server stored. */
  readonly want: Send;
  readonly got: Send;
}
interface Cases {
  readonly cases: readonly Case[];
  /** What was created for them. */
  readonly item?: string;
}
interface Result {
  id: string;
  diff: string[];
  sent: unknown;
}

/** At most `most` of a list, evenly spread. */
function spread<T>(list: readonly T[]): T[] {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, i) => list[Math.floor((i * list.length) / most)]!);
}

const varied = (all: Iterable<Mutation>) => spread([...all].filter((m) => field.test(m.label)));

const named = (o: JsonObject) => (o['metadata'] as { name: string }).name;
const DRY = '?dryRun=All';

function withoutManagers(o: JsonObject): JsonObject {
  const { managedFields: _, ...metadata } = o['metadata'] as JsonObject;
  return { ...o, metadata };
}

/** The cases of one seed; `index` keeps its name apart from the other seeds'. */
async function casesOf(seed: Seed, index: number, peer: Server, ours: Server): Promise<Cases> {
  const { apiVersion, kind } = seed.object as { apiVersion: string; kind: string };
  const type = builtinSchemas().forKind({ ...parseApiVersion(apiVersion), kind });
  if (!type) return { cases: [] };
  const out: Case[] = [];
  const id = (op: string, label: string) => `${op} ${seed.path.replace(/^\/apis?\//, '')}#${index} ${label}`;
  const same = (name: string, send: Send) => out.push({ id: name, want: send, got: send });
  if (ops.has('create'))
    for (const m of varied(mutations(seed.object, type)))
      same(id('create', m.label), { method: 'POST', path: seed.path + DRY, body: changed(seed.object, m) });
  if (ops.has('mix'))
    for (const { label, object } of mixed(
      seed.object,
      [...mutations(seed.object, type)].filter((m) => field.test(m.label)),
      most,
      index,
    ))
      same(id('mix', label), { method: 'POST', path: seed.path + DRY, body: object });
  if (['update', 'status', 'patch', 'read'].every((op) => !ops.has(op))) return { cases: out };
  const item = `${seed.path}/${named(seed.object)}`;
  const post = { method: 'POST', path: seed.path, body: seed.object };
  await Promise.all([peer.send(post), ours.send(post)]);
  const [theirs, mine] = await Promise.all([peer, ours].map((s) => settled(s, item)));
  if (theirs!['kind'] !== kind || mine!['kind'] !== kind) return { cases: out, item };
  /** Both get the same variations, each of what it has stored itself. */
  const put = (op: string, path: string, m: Mutation) => {
    const request = (live: JsonObject): Send => {
      const object = changed({ ...live, status: (live['status'] as JsonObject) ?? {} }, m);
      if (op === 'update' && !live['status']) delete object['status'];
      return { method: 'PUT', path: path + DRY, body: withoutManagers(object) };
    };
    try {
      out.push({ id: id(op, m.label), want: request(theirs!), got: request(mine!) });
    } catch {
      // what was stored differs there, which the create has shown
    }
  };
  if (ops.has('read')) for (const { label, send } of spread([...reads(seed.path, item)])) same(id('read', label), send);
  if (ops.has('update')) for (const m of varied(mutations(theirs!, type))) put('update', item, m);
  if (ops.has('status') && type.field('status')) {
    const before = { ...theirs!, status: (theirs!['status'] as JsonObject) ?? {} };
    for (const m of varied(mutations(before, type, 'status'))) put('status', `${item}/status`, m);
  }
  if (ops.has('patch'))
    for (const m of varied(mutations(seed.object, type)))
      for (const [form, query] of [
        ['merge-patch+json', DRY],
        ['strategic-merge-patch+json', DRY],
        ['apply-patch+yaml', `${DRY}&fieldManager=other`],
      ] as const)
        same(id(form.split('-')[0]!, m.label), {
          method: 'PATCH',
          path: item + query,
          type: `application/${form}`,
          body: changed(seed.object, m),
        });
  return { cases: out, item };
}

/** The object once the server's own controllers (of definitions, flow schemas) have had their say. */
async function settled(server: Server, path: string): Promise<JsonObject> {
  const get = async () => (await server.send({ method: 'GET', path })).body as JsonObject;
  for (let before = await get(), i = 0; ; i++) {
    if (path.includes('/namespaces/')) return before;
    await new Promise((r) => setTimeout(r, 500));
    const now = await get();
    if (i >= 10 || JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
}

async function prepare(servers: readonly Server[]): Promise<void> {
  for (const s of servers) {
    await s.send({
      method: 'POST',
      path: '/api/v1/namespaces',
      body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    });
    await s.send({
      method: 'POST',
      path: `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`,
      body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } },
    });
  }
}

async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-differ-'));
  const theirs =
    flags.peer !== undefined
      ? { url: flags.peer, pki: flags['peer-pki']!, async stop() {} }
      : await startPeer(dir, join(corpus, 'pki.sh'));
  const mine =
    flags.ours !== undefined
      ? { url: flags.ours, pki: flags['ours-pki']!, async stop() {} }
      : await startPeerLikeServer(dir);
  const results: Result[] = [];
  let total = 0;
  const perKind = new Map<string, [number, number]>();
  try {
    const [peer, ours] = [serverAt(theirs.url, theirs.pki), serverAt(mine.url, mine.pki)];
    await prepare([peer, ours]);
    for (const [index, seed] of readSeeds(corpus).entries()) {
      if (!only.test(seed.path)) continue;
      const { cases, item } = await casesOf(seed, index, peer, ours);
      const count = perKind.get(seed.resource) ?? [0, 0];
      perKind.set(seed.resource, count);
      let next = 0;
      const worker = async () => {
        while (next < cases.length) {
          const c = cases[next++]!;
          const [want, got] = await Promise.all([peer.send(c.want), ours.send(c.got)]);
          const diff = differences(want, got, c.want.method === 'PUT' ? undefined : c.want.body);
          count[1]++;
          total++;
          if (diff.length === 0) count[0]++;
          else results.push({ id: c.id, diff, sent: c.want.body });
        }
      };
      await Promise.all([1, 2, 3, 4, 5, 6].map(worker));
      if (item !== undefined) {
        const gone = { method: 'DELETE', path: `${item}?gracePeriodSeconds=0` };
        await Promise.all([peer.send(gone), ours.send(gone)]);
      }
    }
  } finally {
    await mine.stop();
    await theirs.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  for (const r of results) console.log([r.id, ...r.diff.map((d) => `    ${d}`)].join('\n'));
  for (const [resource, [agreed, of]] of perKind) console.log(`${resource}: ${agreed} of ${of}`);
  console.log(`${total - results.length} of ${total} agreed`);
  if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify(results));
}

await main();
