/** An API server and hollow kubelets in this process, and a way to wait for what shall come. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemIds, systemRand } from '../../../base/clock.ts';
import { createLogger, silentLogger } from '../../../base/log.ts';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import type { Client } from '../../../client/client.ts';
import { createInformer, type Informer } from '../../../client/informer.ts';
import { pods, serviceAccounts } from '../../../client/resources.ts';
import { completeConfiguration } from '../../../kubelet/config.ts';
import { createHollowRuntime, type HollowOptions, type HollowRuntime } from '../../../kubelet/cri/hollow.ts';
import { start, type Kubelet, type KubeletOptions } from '../../../kubelet/start.ts';
import { BOUND_MS } from '../../support/wait.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../apiserver/harness.ts';

type View = DeepReadonly<Pod>;

export interface TestNode {
  readonly server: TestServer;
  readonly client: Client;
  readonly runtime: HollowRuntime;
  readonly rootDir: string;
  kubelet: Kubelet;
  /** Starts a kubelet over the same runtime, as after a restart. */
  startKubelet(more?: Partial<KubeletOptions> & { fields?: Record<string, unknown> }): Promise<Kubelet>;
  create(name: string, spec?: Partial<NonNullable<Pod['spec']>>, meta?: Pod['metadata']): Promise<Pod>;
  /** Resolves with the pod once it is as asked; undefined stands for "gone". */
  until<T extends View | undefined>(
    name: string,
    is: (pod: View | undefined) => boolean,
    namespace?: string,
  ): Promise<T>;
  stop(): Promise<void>;
}

const NODE = 'n1';

/** How the test's node differs from the plain one. */
export interface TestNodeOptions {
  hollow?: Partial<HollowOptions>;
  /** Fields of the KubeletConfiguration. */
  fields?: Record<string, unknown>;
  server?: TestServerOptions;
  kubelet?: Partial<KubeletOptions>;
  /** Called when the API server is up, before the kubelet begins. */
  prepare?(server: TestServer): void;
}

/** Options of a node that works on disk (`dir` for its logs) over a runtime that starts nothing. */
export const onDisk = (dir: string) => ({
  fields: {
    cgroupsPerQOS: false,
    enableServer: false,
    healthzPort: 0,
    evictionHard: {},
    podLogsDir: join(dir, 'logs'),
  },
  kubelet: { hollow: false, containerLogsDir: join(dir, 'containers') },
});

export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const { hollow = {}, fields = {} } = options;
  const server = await startTestServer(options.server);
  options.prepare?.(server);
  const { client } = server;
  const rootDir = mkdtempSync(join(tmpdir(), 'kubelet-test-'));
  const logger = process.env['TEST_LOG']
    ? createLogger({ clock: systemClock, component: 'kubelet', level: 'debug' })
    : silentLogger;
  const runtime = createHollowRuntime({ clock: systemClock, ids: systemIds, ...hollow });
  const identity = server.identity(`system:node:${NODE}`, 'system:nodes');
  await client.create(serviceAccounts, {
    metadata: { name: 'default', namespace: 'default' },
    automountServiceAccountToken: false,
  });

  const informer: Informer<Pod> = createInformer(pods, {
    client,
    clock: systemClock,
    rand: systemRand,
    logger: silentLogger,
  });
  informer.start();
  await informer.synced();
  const checks = new Set<() => void>();
  const check = () => {
    for (const c of checks) c();
  };
  informer.on({ added: check, updated: check, deleted: check });

  const kubelets: Kubelet[] = [];
  const node: TestNode = {
    server,
    client,
    runtime,
    rootDir,
    kubelet: undefined as unknown as Kubelet,
    async startKubelet(more = {}) {
      const { fields: extra, ...changes } = more;
      const kubelet = await start({
        config: completeConfiguration({ ...fields, ...extra }),
        nodeName: NODE,
        nodeIPs: [changes.hollowServer ? '127.0.0.1' : '192.0.2.7'],
        connection: { server: server.url, ca: server.ca, cert: identity.cert, key: identity.key },
        runtime,
        hollow: true,
        rootDir,
        logger,
        ...changes,
      });
      kubelets.push(kubelet);
      node.kubelet = kubelet;
      return kubelet;
    },
    create: (name, spec = {}, meta = {}) =>
      client.create(pods, {
        metadata: { name, namespace: 'default', ...meta },
        spec: {
          nodeName: NODE,
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'c', image: 'busybox:1' }],
          ...spec,
        },
      }),
    until: <T extends View | undefined>(name: string, is: (pod: View | undefined) => boolean, namespace = 'default') =>
      new Promise<T>((resolve, reject) => {
        const timer = systemClock.after(BOUND_MS, () => {
          checks.delete(look);
          reject(
            new Error(
              `pod ${name} is not as it should be: ${JSON.stringify(informer.get(name, namespace)?.status ?? null)}`,
            ),
          );
        });
        const look = () => {
          const pod = informer.get(name, namespace);
          if (!is(pod)) return;
          timer.cancel();
          checks.delete(look);
          resolve(pod as T);
        };
        checks.add(look);
        look();
      }),
    async stop() {
      for (const k of kubelets) await k.stop();
      informer.stop();
      await server.stop();
      rmSync(rootDir, { recursive: true, force: true });
    },
  };
  await node.startKubelet(options.kubelet);
  return node;
}

export const isReady = (pod: View | undefined): boolean =>
  pod?.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
export const phaseIs = (phase: string) => (pod: View | undefined) => pod?.status?.phase === phase;
