/** Puts the parts together: what it watches, what it asks, and the server in front. */
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { DeepReadonly, Node, Pod } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import { discover } from '../client/discovery.ts';
import { createInformer } from '../client/informer.ts';
import { nodes, pods } from '../client/resources.ts';
import { createAccess } from './access.ts';
import { publishEndpoints } from './endpoints.ts';
import { explainGroup } from './explain/api.ts';
import type { SchedulerAccount } from './explain/sources.ts';
import { metricsGroup } from './metrics/api.ts';
import { createScraper, type ScraperOptions } from './metrics/scraper.ts';
import { serve, type ServerOptions } from './server.ts';

export interface InsightOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  address: string;
  port: number;
  tls: ServerOptions['tls'];
  /** Milliseconds between the reports of kubelets; defaults to 15,000. */
  resolutionMs?: number;
  /** How it shows itself to kubelets; and whom it trusts there (everybody when absent). */
  kubelet?: Partial<Pick<ScraperOptions, 'cert' | 'key' | 'ca' | 'locate'>>;
  /** The Service whose EndpointSlices it keeps; none when absent. */
  publish?: { namespace: string; name: string };
  /** The scheduler's account of a pod (GET /explain/NAMESPACE/NAME of its own port). */
  scheduler?(namespace: string, name: string): Promise<SchedulerAccount | undefined>;
}

const RESOLUTION_MS = 15_000;

/** Of a pod only what metrics name. */
function trim(pod: Pod): Pod {
  const { name, namespace, uid, resourceVersion, labels } = pod.metadata!;
  const metadata = { name, namespace, uid, resourceVersion, labels };
  return { metadata, spec: { nodeName: pod.spec?.nodeName, containers: [] }, status: { phase: pod.status?.phase } };
}

/** Starts it; resolves when it serves and knows nodes and pods. */
export async function start(options: InsightOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const { client, clock, logger } = options;
  const watchedNodes = createInformer(nodes, options);
  const watchedPods = createInformer(pods, { ...options, fieldSelector: 'status.phase=Running', transform: trim });
  const scraper = createScraper({
    clock,
    logger,
    resolutionMs: options.resolutionMs ?? RESOLUTION_MS,
    ...options.kubelet,
    nodes: () => watchedNodes.list() as DeepReadonly<Node>[],
  });
  const access = createAccess(options);
  let ready = false;
  const server = await serve({
    address: options.address,
    port: options.port,
    tls: options.tls,
    clock,
    logger,
    access,
    isReady: () => ready,
    groups: [
      metricsGroup({
        scraper,
        nodes: () => watchedNodes.list(),
        pods: (namespace) => watchedPods.list(namespace),
        now: () => clock.now(),
      }),
      explainGroup({
        client,
        now: () => clock.now(),
        scheduler: options.scheduler ?? (() => Promise.resolve(undefined)),
        discover: async () => (await discover(client)).resources,
      }),
    ],
  });
  const endpoints = options.publish && publishEndpoints({ ...options, service: options.publish, port: server.port });
  watchedNodes.start();
  watchedPods.start();
  await Promise.all([access.synced(), watchedNodes.synced(), watchedPods.synced()]);
  ready = true;
  scraper.start();
  return {
    port: server.port,
    async stop() {
      scraper.stop();
      endpoints?.stop();
      watchedNodes.stop();
      watchedPods.stop();
      access.close();
      await server.stop();
    },
  };
}
