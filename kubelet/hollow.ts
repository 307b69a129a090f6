/**
 * Many hollow nodes in one process: real kubelets over runtimes that keep all in memory. They show a control plane a
 * large cluster at the cost of a few megabytes a node.
 */
import { Command } from 'commander';
import { systemClock, systemIds, systemRand, type Clock, type Ids, type Rand } from '../base/clock.ts';
import { createLogger, silentLogger, type Logger } from '../base/log.ts';
import { loadKubeconfig, type ConnectionOptions } from '../client/kubeconfig.ts';
import { completeConfiguration } from './config.ts';
import { createHollowRuntime, type HollowOptions } from './cri/hollow.ts';
import { start, type Kubelet } from './start.ts';

export interface HollowNodesOptions {
  names: readonly string[];
  /** By node name: the Node authorizer knows each by its own certificate; a member of system:masters may stand for all. */
  connection(name: string): ConnectionOptions;
  clock?: Clock;
  ids?: Ids;
  rand?: Rand;
  logger?: Logger;
  /** How containers behave; default: they run until they are stopped. */
  behaviour?: HollowOptions['behaviour'];
  /** Fields of the KubeletConfiguration, for all nodes. */
  fields?: Record<string, unknown>;
  labels?: Record<string, string>;
}

export interface HollowNodes {
  readonly kubelets: readonly Kubelet[];
  /** Resolves when all nodes are in the API. */
  registered(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the nodes; each has an address of 198.18.0.0/15 and pods of its own range. */
export async function startHollowNodes(options: HollowNodesOptions): Promise<HollowNodes> {
  const clock = options.clock ?? systemClock;
  const ids = options.ids ?? systemIds;
  const kubelets = await Promise.all(
    options.names.map((name, i) =>
      start({
        config: completeConfiguration({ enableServer: false, ...options.fields }),
        nodeName: name,
        nodeIPs: [`198.18.${Math.floor(i / 250)}.${(i % 250) + 1}`],
        connection: options.connection(name),
        runtime: createHollowRuntime({ clock, ids, network: `10.${128 + (i % 100)}`, behaviour: options.behaviour }),
        hollow: true,
        rootDir: '/nonexistent',
        nodeLabels: options.labels,
        clock,
        ids,
        rand: options.rand ?? systemRand,
        logger: options.logger ?? silentLogger,
      }),
    ),
  );
  return {
    kubelets,
    registered: async () => void (await Promise.all(kubelets.map((k) => k.registered()))),
    stop: async () => void (await Promise.all(kubelets.map((k) => k.stop()))),
  };
}

/** `node kubelet/hollow.ts --kubeconfig F --nodes 100` */
export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('hollow-nodes')
    .description('Registers nodes whose containers only pretend to run.')
    .requiredOption('--kubeconfig <file>', 'a member of system:masters')
    .option('--nodes <number>', 'how many', '10')
    .option('--prefix <text>', 'of their names', 'hollow-');
  program.parse(argv as string[], { from: 'user' });
  const o = program.opts<{ kubeconfig: string; nodes: string; prefix: string }>();
  const connection = loadKubeconfig(o.kubeconfig);
  const logger = createLogger({ clock: systemClock, component: 'hollow-nodes' });
  const names = Array.from({ length: Number(o.nodes) }, (_, i) => `${o.prefix}${i + 1}`);
  const nodes = await startHollowNodes({ names, connection: () => connection, logger: silentLogger });
  await nodes.registered();
  logger.info('all nodes are registered', { nodes: names.length });
  process.once('SIGTERM', () => void nodes.stop().then(() => process.exit(0)));
  process.once('SIGINT', () => void nodes.stop().then(() => process.exit(0)));
}

if (import.meta.main)
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`hollow-nodes: ${(error as Error).message}\n`);
    process.exit(1);
  });
