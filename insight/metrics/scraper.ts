/** Asks every node's kubelet what it and its pods use, at regular intervals; keeps the last two reports of each. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Node } from '../../api/types.ts';
import { createClient, type Client } from '../../client/client.ts';
import { parseReport, usageOf, type Report, type Usage } from './samples.ts';

export interface ScraperOptions {
  clock: Clock;
  logger: Logger;
  /** Milliseconds between reports. */
  resolutionMs: number;
  /** PEM of the certificate to show to kubelets. */
  cert?: string | Buffer;
  key?: string | Buffer;
  /** Kubelets' certificates aren't verified without it. */
  ca?: string | Buffer;
  /** The URL of a node's kubelet; defaults to what the node says. */
  locate?(node: DeepReadonly<Node>): string | undefined;
  nodes(): readonly DeepReadonly<Node>[];
}

export interface Scraper {
  start(): void;
  stop(): void;
  readonly hasReports: boolean;
  node(name: string): Usage | undefined;
  /** By container; undefined when nobody has told. */
  pod(namespace: string, name: string, node: string): Map<string, Usage> | undefined;
}

const AT_ONCE = 16;
const TIMEOUT_MS = 10_000;

/** Where a node's kubelet listens. */
export function kubeletOf(node: DeepReadonly<Node>): string | undefined {
  const addresses = node.status?.addresses ?? [];
  const host = (['InternalIP', 'Hostname', 'ExternalIP'] as const)
    .map((type) => addresses.find((a) => a.type === type)?.address)
    .find((a) => a !== undefined);
  if (host === undefined) return undefined;
  const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port || 10250;
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

export function createScraper(options: ScraperOptions): Scraper {
  const { clock, logger } = options;
  const kubelets = new Map<string, { url: string; client: Client }>();
  const reports = new Map<string, { last: Report; before: Report | undefined }>();
  let timer: { cancel(): void } | undefined;
  let running = false;
  let stopped = false;

  function kubelet(node: DeepReadonly<Node>): Client | undefined {
    const name = node.metadata!.name!;
    const url = (options.locate ?? kubeletOf)(node);
    const have = kubelets.get(name);
    if (have?.url === url) return have?.client;
    have?.client.close();
    kubelets.delete(name);
    if (url === undefined) return undefined;
    const { cert, key, ca } = options;
    const client = createClient({
      server: url,
      cert,
      key,
      ca,
      insecureSkipTlsVerify: ca === undefined,
      userAgent: 'metrics-server',
      maxSockets: 1,
    });
    kubelets.set(name, { url, client });
    return client;
  }

  async function ask(node: DeepReadonly<Node>): Promise<void> {
    const name = node.metadata!.name!;
    try {
      const text = await kubelet(node)?.request<string>({ path: '/metrics/resource', timeoutMs: TIMEOUT_MS });
      if (text === undefined || stopped) return;
      const last = parseReport(text, clock.now());
      const have = reports.get(name);
      // A kubelet that repeats itself tells nothing new.
      const repeated = have !== undefined && have.last.node?.at === last.node?.at;
      reports.set(name, { last, before: repeated ? have.before : have?.last });
    } catch (error) {
      logger.debug('a kubelet could not be asked', { node: name, error: (error as Error).message });
    }
  }

  async function round(): Promise<void> {
    if (running) return;
    running = true;
    const waiting = [...options.nodes()];
    const names = new Set(waiting.map((n) => n.metadata!.name!));
    for (const name of reports.keys()) if (!names.has(name)) reports.delete(name);
    for (const [name, k] of kubelets)
      if (!names.has(name)) {
        k.client.close();
        kubelets.delete(name);
      }
    const work = async () => {
      for (let n = waiting.pop(); n && !stopped; n = waiting.pop()) await ask(n);
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, work));
    running = false;
  }

  return {
    start() {
      void round();
      timer ??= clock.every(options.resolutionMs, () => void round(), { background: true });
    },
    stop() {
      stopped = true;
      timer?.cancel();
      for (const k of kubelets.values()) k.client.close();
    },
    get hasReports() {
      return reports.size > 0;
    },
    node(name) {
      const r = reports.get(name);
      return usageOf(r?.last.node, r?.before?.node);
    },
    pod(namespace, name, node) {
      const r = reports.get(node);
      const last = r?.last.pods.get(`${namespace}/${name}`);
      if (!last) return undefined;
      const before = r?.before?.pods.get(`${namespace}/${name}`);
      const out = new Map<string, Usage>();
      for (const [container, reading] of last) {
        const usage = usageOf(reading, before?.get(container));
        // A pod of which a part is unknown would seem smaller than it is.
        if (!usage) return undefined;
        out.set(container, usage);
      }
      return out;
    },
  };
}
