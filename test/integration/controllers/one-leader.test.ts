/** Two controllers processes and one lease: whoever writes must hold the lease at the very revision of the write. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject, Lease } from '../../../api/types.ts';
import { createAuditor, type Auditor } from '../../../apiserver/audit/auditor.ts';
import type { AuditEvent } from '../../../apiserver/audit/event.ts';
import { parsePolicy } from '../../../apiserver/audit/policy.ts';
import { systemClock } from '../../../base/clock.ts';
import { configMaps, leases, namespaces, replicaSets } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { follow, type History } from './kills/history.ts';
import { startControllers, writeKubeconfig, type Program } from './kills/program.ts';

const FULL = process.env['K8TS_FULL'] !== undefined;
const LEASE = 'one-leader';
const NAMES = ['first', 'second'] as const;
type Name = (typeof NAMES)[number];
const POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  users: [${NAMES.join(', ')}]
  verbs: [create, update, patch, delete]
- level: None
`;
/** Lease duration, renewal deadline and retry period in seconds: a busy machine can keep it, a paused leader loses it. */
const TIMES = [8, 6, 0.5] as const;
const DEPOSED_MS = 60_000;

describe('two controllers processes with leader election', function () {
  this.timeout(FULL ? 30 * 60_000 : 8 * 60_000);
  let dir: string;
  let server: TestServer;
  let auditor: Auditor;
  let history: History;
  const audited: AuditEvent[] = [];
  const programs = new Map<Name, Program>();
  let over = false;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'k8ts-leader-'));
    auditor = createAuditor({
      clock: systemClock,
      policy: parsePolicy(POLICY),
      backends: [{ take: (_event, json) => void audited.push(JSON.parse(json) as AuditEvent), close: async () => {} }],
    });
    server = await startTestServer({ audit: auditor });
    await server.client.create(namespaces, { metadata: { name: 'work' } });
    history = await follow(server.client, [leases, configMaps, replicaSets]);
  });
  after(async () => {
    over = true;
    await Promise.all([...programs.values()].map((p) => p.kill()));
    history.stop();
    await server.stop();
    await auditor.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** Starts it, and again whenever it has ended: as a supervisor does. */
  function begin(name: Name): void {
    const [duration, deadline, period] = TIMES;
    const program = startControllers(
      writeKubeconfig(server, dir, name),
      `--leader-elect-lease-duration=${duration}s`,
      `--leader-elect-renew-deadline=${deadline}s`,
      `--leader-elect-retry-period=${period}s`,
      `--leader-elect-resource-name=${LEASE}`,
    );
    programs.set(name, program);
    void program.ended.then(() => {
      if (!over) begin(name);
    });
  }
  const lease = (): Lease | undefined => history.list(leases).find((l) => l.metadata?.name === LEASE);
  /** Who wrote that identity into the lease. */
  function userOf(identity: string): Name | undefined {
    const by = audited.find((e) => (e.responseObject as Lease | undefined)?.spec?.holderIdentity === identity);
    return by?.user.username as Name | undefined;
  }
  async function leader(other?: string): Promise<{ name: Name; identity: string }> {
    let found: { name: Name; identity: string } | undefined;
    await history.until(() => {
      const identity = lease()?.spec?.holderIdentity;
      const name = identity && identity !== other ? userOf(identity) : undefined;
      found = name && identity ? { name, identity } : undefined;
      return found ? undefined : `the lease is held by ${identity}`;
    }, DEPOSED_MS);
    return found!;
  }
  let made = 0;
  /** Work that goes on: owned objects whose owner is removed, and ReplicaSets that grow. */
  async function work(until: AbortSignal): Promise<void> {
    const { client } = server;
    const container = { name: 'c', image: 'x' };
    while (!until.aborted) {
      const n = made++;
      const name = `set-${n}`;
      await client.create(replicaSets, {
        metadata: { name, namespace: 'work' },
        spec: {
          replicas: 3,
          selector: { matchLabels: { n: name } },
          template: { metadata: { labels: { n: name } }, spec: { containers: [container] } },
        },
      });
      if (n >= 5)
        await client.delete(replicaSets, `set-${n - 5}`, { namespace: 'work', propagationPolicy: 'Background' });
      await systemClock.sleep(100, until).catch(() => undefined);
    }
  }

  it('never both write, whether the leader dies, is stopped, or sleeps for longer than its lease', async () => {
    const ended = new AbortController();
    for (const n of NAMES) begin(n);
    const working = work(ended.signal);
    const ways = ['pause', 'stop', 'kill'] as const;
    for (let i = 0; i < (FULL ? 30 : ways.length);) {
      const { name, identity } = await leader();
      const program = programs.get(name)!;
      const before = audited.length;
      let deposed = false;
      // It acts before it is deposed.
      await history.until(() => {
        const acted = audited.slice(before).some((e) => e.user.username === name && e.objectRef?.resource === 'pods');
        deposed = lease()?.spec?.holderIdentity !== identity;
        return acted || deposed ? undefined : `${name} has not acted`;
      }, DEPOSED_MS);
      // A busy machine may have done it without us.
      if (deposed) continue;
      switch (ways[i++ % ways.length]!) {
        case 'kill':
          await program.kill();
          break;
        case 'stop':
          await program.stop();
          break;
        case 'pause':
          program.signal('SIGSTOP');
          try {
            await leader(identity);
          } finally {
            program.signal('SIGCONT');
          }
          // It finds out and ends; whatever it still tries in between is looked at below.
          break;
      }
      await leader(identity);
    }
    ended.abort(new Error('enough'));
    await working;

    const told = Math.max(...audited.map((e) => revisionOf(e.responseObject)));
    await history.until(() => ((history.events(leases).at(-1)?.revision ?? 0) >= told ? undefined : 'behind'), 30_000);
    const terms = history.events(leases).filter((e) => e.object.metadata?.name === LEASE);
    const holderAt = (revision: number) => terms.findLast((t) => t.revision <= revision)?.object.spec?.holderIdentity;
    const writers = new Set<string>();
    const wrong: string[] = [];
    for (const e of audited) {
      const revision = revisionOf(e.responseObject);
      if (Number(e.responseStatus?.['code'] ?? 0) >= 300 || revision === 0 || e.objectRef?.resource === 'leases')
        continue;
      const holder = holderAt(revision);
      const writer = e.user.username as string;
      writers.add(writer);
      if (userOf(holder ?? '') !== writer)
        wrong.push(`${writer} ${e.verb} ${e.requestURI} at ${revision}, held by ${userOf(holder ?? '')}`);
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual([...writers].sort(), [...NAMES]);
  });
});

const revisionOf = (o: unknown): number =>
  (o as KubeObject | undefined)?.kind === 'Status'
    ? 0
    : Number((o as KubeObject | undefined)?.metadata?.resourceVersion ?? 0);
