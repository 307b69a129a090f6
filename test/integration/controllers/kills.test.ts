/**
 * Controllers processes are killed without warning, again and again, while they create, scale, roll, run and remove.
 * What the API's history shows afterwards must be what an undisturbed controller would have been allowed to do.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject, Pod } from '../../../api/types.ts';
import { systemClock, type Rand } from '../../../base/clock.ts';
import { namespaces, pods, serviceAccounts, type ResourceRef } from '../../../client/resources.ts';
import { startHollowNodes, type HollowNodes } from '../../../kubelet/hollow.ts';
import { start as startScheduler, type Scheduler } from '../../../scheduler/scheduler.ts';
import { int, seeded } from '../../unit/api/gen.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { follow, type History } from './kills/history.ts';
import { startControllers, writeKubeconfig, type Program } from './kills/program.ts';
import { appOf, breaches, isActive, quiet, type Rule } from './kills/rules.ts';
import {
  cronJob,
  daemonSet,
  deployment,
  job,
  KINDS,
  replicationController,
  statefulSet,
  type Step,
  type World,
} from './kills/workloads.ts';

const FULL = process.env['K8TS_FULL'] !== undefined;
const KILLS = FULL ? 200 : 15;
const SEED = Number(process.env['K8TS_SEED'] ?? 1);
/** A step that takes longer than this is left in peace from then on: a slow machine must come to an end, too. */
const PATIENCE_MS = 45_000;
/** When nothing happens for so long, nothing more will. */
const REST_MS = 300_000;
/** Controllers that do nothing for so long are killed doing nothing. */
const IDLE_MS = 1500;
const NODES = ['k1', 'k2', 'k3', 'k4', 'k5'];

interface Killer {
  kills: number;
  /** Nobody is killed before this resolves. */
  peace: Promise<void> | undefined;
  complaints(): string[];
  stop(): Promise<void>;
}

describe(`controllers that are killed ${KILLS} times (seed ${SEED})`, function () {
  this.timeout(FULL ? 60 * 60_000 : 9 * 60_000);
  let dir: string;
  let server: TestServer;
  let scheduler: Scheduler;
  let hollow: HollowNodes;
  let history: History;
  let killer: Killer;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'k8ts-kills-'));
    server = await startTestServer();
    scheduler = await startScheduler({ client: server.clientAs({ name: 'scheduler', groups: ['system:masters'] }) });
    const failed = new Map<string, number>();
    hollow = await startHollowNodes({
      names: NODES,
      connection(name) {
        const id = server.identity(`system:node:${name}`, 'system:nodes');
        return { server: server.url, ca: server.ca, cert: id.cert, key: id.key };
      },
      behaviour(config, sandbox) {
        const fails = /:fail-(\d+)$/.exec(config.image.user_specified_image ?? config.image.image)?.[1];
        if (fails === undefined) return {};
        const of = `${sandbox.metadata.namespace}/${sandbox.labels['job-name']}`;
        const n = (failed.get(of) ?? 0) + 1;
        if (n > Number(fails)) return { exit: { code: 0, afterMs: 100 } };
        failed.set(of, n);
        return { exit: { code: 1, afterMs: 100 } };
      },
    });
    await hollow.registered();
    history = await follow(server.client, KINDS);
  });
  after(async () => {
    history.stop();
    await hollow.stop();
    await scheduler.stop();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it('leave no pod too many or too few, no index lost or done twice, and nothing behind', async () => {
    const rand = seeded(SEED);
    killer = startKiller(writeKubeconfig(server, dir, 'killed'), seeded(SEED + 1));
    try {
      for (let round = 1; killer.kills < KILLS; round++) await playRound(`round-${round}`, rand);
    } finally {
      await killer.stop();
    }
    assert.deepEqual(killer.complaints(), []);
  });

  /** Creates, scales, rolls, runs and removes, each while controllers die; then looks at what was seen. */
  async function playRound(namespace: string, rand: Rand): Promise<void> {
    const { client } = server;
    await client.create(namespaces, { metadata: { name: namespace } });
    await client
      .create(serviceAccounts, { metadata: { name: 'default', namespace }, automountServiceAccountToken: false })
      .catch(() => undefined);
    const w: World = { client, history, namespace, nodes: NODES.length };
    const web = deployment(w, 'web', { surge: int(rand, 1, 3), unavailable: int(rand, 0, 2) });
    const again = deployment(w, 'again', 'Recreate');
    const old = replicationController(w, 'old');
    const ordered = statefulSet(w, 'ordered', true);
    const parallel = statefulSet(w, 'parallel', false);
    const each = daemonSet(w, 'each', { surge: 0, unavailable: int(rand, 1, 2) });
    const surging = daemonSet(w, 'surging', { surge: 1, unavailable: 0 });
    const plain = job(w, 'plain', { completions: int(rand, 6, 14), parallelism: int(rand, 2, 5), fails: 1 });
    const indexed = job(w, 'indexed', { completions: int(rand, 6, 14), parallelism: int(rand, 2, 5), indexed: true });
    const perIndex = job(w, 'per-index', { completions: 5, parallelism: 3, indexed: true, perIndex: true, fails: 2 });
    const cron = cronJob(w, 'cron', systemClock.now());
    const rules: Rule[] = [];

    await play(rules, [
      web.create(int(rand, 3, 9)),
      again.create(int(rand, 2, 4)),
      old.create(int(rand, 2, 5)),
      ordered.create(3),
      parallel.create(int(rand, 2, 4)),
      each.create(),
      surging.create(),
      plain.run(),
    ]);
    await play(rules, [
      web.scale(int(rand, 10, 16)),
      again.scale(int(rand, 1, 6)),
      old.scale(int(rand, 0, 9)),
      ordered.scale(int(rand, 1, 5)),
      parallel.scale(int(rand, 5, 8)),
      indexed.run(),
      perIndex.run(),
    ]);
    await play(rules, [
      web.update(int(rand, 6, 18)),
      again.update(),
      ordered.update(),
      parallel.update(),
      each.update(),
      surging.update(),
      cron.run(),
    ]);
    for (const j of [plain, indexed, perIndex, cron]) assert.equal(j.miscounted(), undefined);
    await remove(w, rules);
    assert.deepEqual(
      breaches(
        history.events(pods).filter((e) => e.object.metadata?.namespace === namespace),
        rules,
      ),
      [],
    );
    await client.delete(namespaces, namespace);
    history.forget(namespace);
  }

  /** Waits until nothing is pending any more, the last part of it without kills. */
  async function rest(pending: () => string | undefined): Promise<void> {
    let resume!: () => void;
    const peaceful = new Promise<void>((resolve) => (resume = resolve));
    const timer = systemClock.after(PATIENCE_MS, () => (killer.peace = peaceful));
    try {
      await history.until(pending, REST_MS);
    } catch (error) {
      throw new Error(`after ${killer.kills} kills`, { cause: error });
    } finally {
      timer.cancel();
      killer.peace = undefined;
      resume();
    }
  }

  const newest = () => Math.max(0, ...KINDS.map((k) => history.events(k).at(-1)?.revision ?? 0));

  /** Applies the steps and waits for all of them to have come to rest. Adds the rules that follow. */
  async function play(rules: Rule[], steps: readonly Step[]): Promise<void> {
    const began: { step: Step; from: number }[] = [];
    for (const step of steps) {
      const written = await step.apply();
      const from = Number(written.metadata!.resourceVersion);
      // What was at rest was so up to this write.
      for (const [i, r] of rules.entries())
        if (r.app === step.app && r.to === Infinity) rules[i] = { ...r, to: from - 1 };
      began.push({ step, from });
    }
    await rest(() => steps.map((s) => s.pending()).find((p) => p !== undefined));
    const to = newest();
    for (const { step, from } of began) {
      const { app, check, rests } = step;
      if (!rests) rules.push({ app, from: 0, to: Infinity, check });
      else rules.push({ app, from, to, check }, { app, from: to + 1, to: Infinity, check: quiet });
    }
  }

  /** Removes all owners, each in one of the three ways, and waits until nothing of theirs is left. */
  async function remove(w: World, rules: Rule[]): Promise<void> {
    const { client } = server;
    const { namespace } = w;
    const now = newest();
    for (const [i, r] of rules.entries()) if (r.to === Infinity) rules[i] = { ...r, to: now };
    const orphaned = history.list(pods, namespace).filter((p) => appOf(p) === 'each' || appOf(p) === 'old');
    const uids = new Set(orphaned.map((p) => p.metadata!.uid));
    const policies = {
      each: 'Orphan',
      old: 'Orphan',
      web: 'Foreground',
      ordered: 'Foreground',
      plain: 'Foreground',
    } as const;
    const owners = KINDS.filter((k) => k.resource !== 'pods' && k.resource !== 'endpointslices');
    for (const kind of owners as readonly ResourceRef[])
      for (const o of history.list(kind, namespace)) {
        if (o.metadata?.ownerReferences?.length) continue;
        const name = o.metadata!.name!;
        const propagationPolicy = policies[name as keyof typeof policies] ?? 'Background';
        await client.delete(kind, name, { namespace, propagationPolicy });
      }
    const refs = (o: KubeObject) => o.metadata?.ownerReferences ?? [];
    /** What of the owners' is still there. */
    const left = () => {
      for (const kind of KINDS as readonly ResourceRef[])
        for (const o of history.list(kind, namespace)) {
          const freed = refs(o).length === 0 && (kind.resource === 'pods' || kind.resource === 'controllerrevisions');
          if (!freed) return `${kind.resource}/${o.metadata?.name} is left`;
          if (kind.resource === 'pods' && !uids.has(o.metadata?.uid)) return `pod ${o.metadata?.name} is nobody's`;
        }
      return undefined;
    };
    await rest(left);
    const kept = history.list(pods, namespace).filter((p: Pod) => uids.has(p.metadata!.uid) && isActive(p));
    assert.equal(kept.length, orphaned.length, 'orphans live on');
    for (const kind of KINDS.filter((k) => k.resource === 'pods' || k.resource === 'controllerrevisions'))
      await client.deleteCollection(kind, { namespace });
    await rest(() => {
      const pending = history.list(pods, namespace).length;
      return pending ? `${pending} pods are left` : undefined;
    });
  }

  /** Starts controllers and kills them at random moments: some while they start, most while they act. */
  function startKiller(config: string, rand: Rand): Killer {
    const all: Program[] = [];
    let ended = false;
    const self: Killer = {
      kills: 0,
      peace: undefined,
      complaints: () => all.flatMap((p) => p.complaints),
      async stop() {
        ended = true;
        await done;
        await all.at(-1)?.kill();
      },
    };
    const begin = () => {
      const p = startControllers(config, '--leader-elect=false');
      all.push(p);
      return p;
    };
    async function run(): Promise<void> {
      while (!ended && self.kills < KILLS) {
        const p = begin();
        if (rand.next() < 0.8) {
          await p.acting;
          // A moment in what happens, not in time: on a machine of any speed it is as likely to hurt.
          await history.more(int(rand, 0, 50), IDLE_MS);
        } else await systemClock.sleep(rand.next() * 500);
        await self.peace;
        await p.kill();
        self.kills++;
      }
      if (!ended) begin();
    }
    const done = run();
    return self;
  }
});
