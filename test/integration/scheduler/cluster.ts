/** An API server and a scheduler in this process, with nodes that exist on paper only. */
import type { CoreEvent, Container, Node, Pod, PodSpec } from '../../../api/types.ts';
import type { Client } from '../../../client/client.ts';
import { createInformer, type Informer } from '../../../client/informer.ts';
import { events, namespaces, nodes, pods, serviceAccounts } from '../../../client/resources.ts';
import { systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { start, type Scheduler, type SchedulerOptions } from '../../../scheduler/scheduler.ts';
import { BOUND_MS } from '../../support/wait.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

export interface SchedulingCluster {
  readonly server: TestServer;
  readonly client: Client;
  readonly scheduler: Scheduler;
  node(name: string, change?: (node: Node) => void): Promise<Node>;
  pod(name: string, spec?: Partial<PodSpec>, more?: PodOptions): Promise<Pod>;
  /** Resolves with the pod once `test` holds for it. */
  until(name: string, test: (pod: Pod) => boolean): Promise<Pod>;
  /** Resolves when the pod is gone. */
  untilGone(name: string): Promise<void>;
  /** Resolves with its node's name. */
  placed(name: string): Promise<string>;
  /** Resolves with the PodScheduled condition's message. */
  refused(name: string): Promise<string>;
  /** Resolves with the event once it is there. */
  event(name: string, reason: string): Promise<CoreEvent>;
  stop(): Promise<void>;
}
export interface PodOptions {
  requests?: Record<string, string>;
  labels?: Record<string, string>;
  container?: Partial<Container>;
}

export async function startCluster(options: Partial<SchedulerOptions> = {}): Promise<SchedulingCluster> {
  const server = await startTestServer();
  const { client } = server;
  const own = server.clientAs({ name: 'system:kube-scheduler' });
  const scheduler = await start({ client: own, ...options });
  await scheduler.synced();
  await client.create(namespaces, { metadata: { name: 'test' } });
  await client.create(serviceAccounts, { metadata: { name: 'default', namespace: 'test' } });
  const common = { client, clock: systemClock, rand: systemRand, logger: silentLogger };
  const watched = createInformer(pods, { ...common, namespace: 'test' });
  const told = createInformer(events, { ...common, namespace: 'test' });
  watched.start();
  told.start();
  await Promise.all([watched.synced(), told.synced()]);

  /** Waits for events of an informer until `look` finds what it wants. */
  function wait<T extends object, R>(informer: Informer<T>, what: string, look: () => R | undefined): Promise<R> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        informer.off(handlers);
        reject(new Error(`waited too long for ${what}`));
      }, BOUND_MS);
      const check = () => {
        const found = look();
        if (found === undefined) return;
        clearTimeout(timer);
        informer.off(handlers);
        resolve(found);
      };
      const handlers = { added: check, updated: check, deleted: check };
      informer.on(handlers);
      check();
    });
  }
  const until = (name: string, test: (pod: Pod) => boolean) =>
    wait(watched, `pod ${name}`, () => {
      const pod = watched.get(name, 'test') as Pod | undefined;
      return pod && test(pod) ? pod : undefined;
    });
  const scheduledCondition = (pod: Pod) => pod.status?.conditions?.find((c) => c.type === 'PodScheduled');

  return {
    server,
    client,
    scheduler,
    async node(name, change) {
      const node: Node = {
        metadata: { name, labels: { 'kubernetes.io/hostname': name } },
        spec: {},
        status: {
          allocatable: { cpu: '4', memory: '8Gi', pods: '10' },
          capacity: { cpu: '4', memory: '8Gi', pods: '10' },
        },
      };
      change?.(node);
      await client.create(nodes, node);
      // New nodes are tainted until somebody has seen them ready.
      return client.patch(nodes, name, 'merge', { spec: { taints: node.spec!.taints ?? null } });
    },
    pod(name, spec = {}, more = {}) {
      const container: Container = { name: 'c', image: 'i', resources: { requests: more.requests }, ...more.container };
      return client.create(pods, {
        metadata: { name, namespace: 'test', labels: more.labels },
        spec: { terminationGracePeriodSeconds: 0, ...spec, containers: spec.containers ?? [container] },
      });
    },
    until,
    untilGone: (name) =>
      wait(watched, `the end of pod ${name}`, () => (watched.get(name, 'test') ? undefined : true)).then(
        () => undefined,
      ),
    placed: async (name) => (await until(name, (p) => Boolean(p.spec!.nodeName))).spec!.nodeName!,
    refused: async (name) =>
      scheduledCondition(await until(name, (p) => scheduledCondition(p)?.status === 'False'))!.message!,
    event: (name, reason) =>
      wait(told, `event ${reason} of ${name}`, () =>
        (told.list('test') as CoreEvent[]).find((e) => e.involvedObject.name === name && e.reason === reason),
      ),
    async stop() {
      watched.stop();
      told.stop();
      await scheduler.stop();
      await server.stop();
    },
  };
}
