/**
 * Measures controllers and scheduler together, on hollow nodes (real kubelets whose containers only pretend):
 * `node test/bench/controllers.ts [--nodes 50] [--replicas 1000] [--ours | --peer]`.
 * k8ts' two programs and kube-controller-manager with kube-scheduler (where found: ~/.cache/k8ts-peer/bin) run in turn
 * against our API server. One JSON object each: memory and CPU while nothing happens, then from `scale --replicas=N` to
 * all pods created, bound and ready with the CPU per pod of each program, then from a node's death to its taint and to
 * the eviction of its pods, and memory at the end.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import { systemClock, systemRand } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { createInformer, type Informer } from '../../client/informer.ts';
import { deployments, namespaces, nodes, pods, serviceAccounts } from '../../client/resources.ts';
import { program } from '../../deploy/paths.ts';
import { usage } from './measure.ts';
import { startBenchServer } from './server.ts';

const args = process.argv.slice(2);
const option = (name: string, fallback: number) => {
  const i = args.indexOf(`--${name}`);
  return i < 0 ? fallback : Number(args[i + 1]);
};
const nodeCount = option('nodes', 50);
const replicas = option('replicas', 1000);
const BIN = process.env['K8TS_PEER_BIN'] ?? join(homedir(), '.cache/k8ts-peer/bin');
const IDLE_MS = 20_000;
const LIMIT_MS = 420_000;

/** Resolves with the seconds from now until `is` holds of what the informer has. */
function until<T extends object>(informer: Informer<T>, what: string, is: () => boolean): Promise<number> {
  const began = systemClock.monotonic();
  return new Promise((resolve, reject) => {
    const end = (result: number | Error) => {
      timer.cancel();
      informer.off(handlers);
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const timer = systemClock.after(LIMIT_MS, () => end(new Error(`waited too long for ${what}`)));
    const look = () => {
      if (is()) end(Number(((systemClock.monotonic() - began) / 1000).toFixed(1)));
    };
    const handlers = { added: look, updated: look, deleted: look };
    informer.on(handlers);
    look();
  });
}

const isReady = (o: DeepReadonly<Pod | Node>) =>
  o.status?.conditions?.some((c: { type: string; status: string }) => c.type === 'Ready' && c.status === 'True') ===
  true;

async function measure(which: 'k8ts' | 'upstream'): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'k8ts-bench-'));
  const server = await startBenchServer(dir);
  const { client } = server;
  const children: ChildProcess[] = [];
  const common = { client, clock: systemClock, rand: systemRand, logger: silentLogger };
  const ours = createInformer(pods, { ...common, namespace: 'bench' });
  const all = createInformer(nodes, common);
  const run = (name: string, command: string, argv: readonly string[], env: Record<string, string> = {}) => {
    const child = spawn(command, argv, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const log = createWriteStream(join(dir, `${name}.log`));
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    children.push(child);
    return child;
  };
  const own = (name: string, file: string, ...flags: string[]) => {
    const p = program(file);
    return run(name, p.command, [...p.args, ...flags], p.env);
  };
  const hollow = (prefix: string, count: number) =>
    own(prefix, 'kubelet/hollow.ts', `--kubeconfig=${admin}`, '--nodes', String(count), '--prefix', prefix);
  const admin = server.kubeconfig('bench-nodes', 'system:masters');
  const users = ['kube-controller-manager', 'kube-scheduler'].map((n) =>
    server.kubeconfig(`bench-${n}`, 'system:masters'),
  );
  try {
    ours.start();
    all.start();
    await Promise.all([ours.synced(), all.synced()]);
    hollow('alive-', nodeCount);
    const doomed = hollow('doomed-', 1);
    await until(all, 'nodes', () => all.list().filter(isReady).length === nodeCount + 1);
    const upstream = (name: string, kubeconfig: string, port: number) =>
      run(name, join(BIN, name), [
        `--kubeconfig=${kubeconfig}`,
        `--secure-port=${port}`,
        '--bind-address=127.0.0.1',
        '--leader-elect=false',
        '--kube-api-qps=5000',
        '--kube-api-burst=5000',
      ]);
    const flags = (kubeconfig: string) => [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0'];
    const [controllers, scheduler] =
      which === 'k8ts'
        ? [
            own('controllers', 'controllers/main.ts', ...flags(users[0]!)),
            own('scheduler', 'scheduler/main.ts', ...flags(users[1]!)),
          ]
        : [upstream('kube-controller-manager', users[0]!, 18257), upstream('kube-scheduler', users[1]!, 18259)];
    const both = () => ({ controllers: usage(controllers.pid!), scheduler: usage(scheduler.pid!) });
    const memory = (u: ReturnType<typeof both>) => ({
      controllers: { rssMiB: Math.round(u.controllers.rssMiB), pssMiB: Math.round(u.controllers.pssMiB) },
      scheduler: { rssMiB: Math.round(u.scheduler.rssMiB), pssMiB: Math.round(u.scheduler.pssMiB) },
      rssMiB: Math.round(u.controllers.rssMiB + u.scheduler.rssMiB),
      pssMiB: Math.round(u.controllers.pssMiB + u.scheduler.pssMiB),
    });
    await client.create(namespaces, { metadata: { name: 'bench' } });
    await client
      .create(serviceAccounts, {
        metadata: { name: 'default', namespace: 'bench' },
        automountServiceAccountToken: false,
      })
      .catch(() => undefined);
    await client.create(deployments, {
      metadata: { name: 'web', namespace: 'bench' },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            containers: [{ name: 'c', image: 'registry.example.com/app:1', resources: { requests: { cpu: '10m' } } }],
            tolerations: [
              { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 0 },
            ],
          },
        },
      },
    });
    // Start-up is over.
    await systemClock.sleep(IDLE_MS);
    const calm = both();
    await systemClock.sleep(IDLE_MS);
    const idle = both();

    await client.patch(deployments, 'web', 'merge', { spec: { replicas } }, { namespace: 'bench' });
    const [createdSeconds, boundSeconds, readySeconds] = await Promise.all([
      until(ours, 'pods', () => ours.size === replicas),
      until(ours, 'bindings', () => ours.list().filter((p) => p.spec?.nodeName).length === replicas),
      until(ours, 'ready pods', () => ours.list().filter(isReady).length === replicas),
    ]);
    await systemClock.sleep(3000);
    const loaded = both();
    const perPod = (p: 'controllers' | 'scheduler') =>
      Number(((loaded[p].cpuMs - idle[p].cpuMs) / replicas).toFixed(2));

    const onDoomed = ours.list().filter((p) => p.spec?.nodeName === 'doomed-1');
    doomed.kill('SIGKILL');
    const tainted = (n: DeepReadonly<Node>) => n.spec?.taints?.some((t) => t.effect === 'NoExecute') === true;
    const evicted = () =>
      onDoomed.every((p) => {
        const now = ours.get(p.metadata!.name!, 'bench');
        return !now || now.metadata?.deletionTimestamp !== undefined;
      });
    const [taintSeconds, evictionSeconds] = await Promise.all([
      until(all, 'the taint', () => all.list().some((n) => n.metadata?.name === 'doomed-1' && tainted(n))),
      until(ours, 'the eviction', evicted),
    ]);
    process.stdout.write(
      `${JSON.stringify({
        programs: which,
        nodes: nodeCount,
        replicas,
        idle: memory(idle),
        idleCpuMsPerSecond: {
          controllers: Math.round((idle.controllers.cpuMs - calm.controllers.cpuMs) / (IDLE_MS / 1000)),
          scheduler: Math.round((idle.scheduler.cpuMs - calm.scheduler.cpuMs) / (IDLE_MS / 1000)),
        },
        createdSeconds,
        boundSeconds,
        readySeconds,
        cpuMsPerPod: { controllers: perPod('controllers'), scheduler: perPod('scheduler') },
        loaded: memory(loaded),
        nodeDeath: { pods: onDoomed.length, taintSeconds, evictionSeconds },
        end: memory(both()),
      })}\n`,
    );
  } finally {
    ours.stop();
    all.stop();
    for (const child of children) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await ended;
    }
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

if (!args.includes('--peer')) await measure('k8ts');
if (!args.includes('--ours') && existsSync(join(BIN, 'kube-controller-manager'))) await measure('upstream');
