/** API server, controller manager and hollow nodes in one process, and ways to wait for what shall come. */
import { systemClock, systemIds, systemRand } from '../../../base/clock.ts';
import { createLogger, silentLogger } from '../../../base/log.ts';
import type { DeepReadonly } from '../../../api/types.ts';
import type { Client } from '../../../client/client.ts';
import { createInformer, type Informer } from '../../../client/informer.ts';
import type { ResourceRef } from '../../../client/resources.ts';
import { start, type ControllerManager, type ManagerOptions } from '../../../controllers/manager.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { orState } from '../../support/state.ts';
import { BOUND_MS } from '../../support/wait.ts';
import { startHollowNodes, type HollowNodes } from './hollow.ts';

export interface TestCluster {
  readonly server: TestServer;
  readonly client: Client;
  readonly manager: ControllerManager;
  readonly nodes: HollowNodes;
  /** Resolves with the object when it is as asked; rejects with what it was last after `ms`. */
  until<T extends object>(
    r: ResourceRef<T>,
    namespace: string | undefined,
    name: string,
    is: (o: DeepReadonly<T>) => boolean,
    ms?: number,
  ): Promise<DeepReadonly<T>>;
  /** Resolves when the list of a namespace's objects is as asked. */
  untilList<T extends object>(
    r: ResourceRef<T>,
    namespace: string | undefined,
    is: (list: DeepReadonly<T>[]) => boolean,
    ms?: number,
  ): Promise<DeepReadonly<T>[]>;
  stop(): Promise<void>;
}

/** The controller manager of a server, as the account that upstream runs it with. */
export function startManager(server: TestServer, options: Partial<ManagerOptions> = {}): Promise<ControllerManager> {
  const logger = process.env['TEST_LOG']
    ? createLogger({ clock: systemClock, component: 'controllers', level: 'debug' })
    : silentLogger;
  return start({
    client: server.clientAs({ name: 'system:kube-controller-manager' }),
    clock: systemClock,
    ids: systemIds,
    rand: systemRand,
    logger,
    leaderElect: false,
    useServiceAccountCredentials: true,
    rootCA: server.ca,
    signing: server.authority,
    ...options,
  });
}

export async function startCluster(
  options: Partial<ManagerOptions> = {},
  nodeNames: readonly string[] = ['n1', 'n2', 'n3'],
): Promise<TestCluster> {
  const server = await startTestServer();
  const manager = await startManager(server, { freeze: true, ...options });
  const grace = options.nodeMonitorGracePeriodMs;
  const nodes = await startHollowNodes(server.client, nodeNames, grace && grace / 5);
  const informers = new Map<string, Informer<object>>();
  await manager.ready();

  function informerOf<T extends object>(r: ResourceRef<T>): Informer<T> {
    const id = `${r.group}/${r.resource}`;
    let found = informers.get(id) as Informer<T> | undefined;
    if (!found) {
      found = createInformer(r, { client: server.client, clock: systemClock, rand: systemRand, logger: silentLogger });
      found.start();
      informers.set(id, found as Informer<object>);
    }
    return found;
  }

  async function wait<T extends object, R>(
    r: ResourceRef<T>,
    look: (i: Informer<T>) => R | undefined,
    describe: (i: Informer<T>) => unknown,
    ms: number,
  ): Promise<R> {
    const informer = informerOf(r);
    await informer.synced();
    return new Promise<R>((resolve, reject) => {
      const handlers = { added: check, updated: check, deleted: check };
      const timer = systemClock.after(ms, () => {
        informer.off(handlers);
        reject(new Error(`not within ${ms} ms; ${r.resource}: ${JSON.stringify(describe(informer))}`));
      });
      function check(): void {
        const found = look(informer);
        if (found === undefined) return;
        timer.cancel();
        informer.off(handlers);
        resolve(found);
      }
      informer.on(handlers);
      check();
    });
  }

  return {
    server,
    client: server.client,
    manager,
    nodes,
    until(r, namespace, name, is, ms = BOUND_MS) {
      const look = (i: Informer<NonNullable<(typeof r)['_type']>>) => {
        const o = i.get(name, namespace);
        return o && is(o) ? o : undefined;
      };
      return orState(
        server.client,
        namespace,
        wait(r, look, (i) => i.get(name, namespace), ms),
      );
    },
    untilList(r, namespace, is, ms = BOUND_MS) {
      const look = (i: Informer<NonNullable<(typeof r)['_type']>>) => {
        const list = i.list(namespace);
        return is(list) ? list : undefined;
      };
      return orState(
        server.client,
        namespace,
        wait(r, look, (i) => i.list(namespace), ms),
      );
    },
    async stop() {
      for (const i of informers.values()) i.stop();
      await nodes.stop();
      await manager.stop();
      await server.stop();
    },
  };
}
