/** Static pods: manifests in a folder of the node, or at a URL. https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/ */
import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { parseYaml } from '../../base/yaml.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Pod } from '../../api/types.ts';
import { parseDuration, type KubeletConfiguration } from '../config.ts';
import { CONFIG_HASH, CONFIG_SOURCE } from './identity.ts';

/** Gives a manifest what the API server would have given it. */
export function completeStaticPod(raw: Pod, from: string, nodeName: string, source = 'file'): Pod {
  if (raw.kind !== 'Pod' || !raw.metadata?.name || !raw.spec?.containers?.length)
    throw new Error('not a Pod with a name and containers');
  const hash = createHash('md5')
    .update(JSON.stringify(raw))
    .update(`host:${nodeName}`)
    .update(`${source}:${from}`)
    .digest('hex');
  const spec = raw.spec;
  const container = (c: Pod['spec'] extends infer S ? (S extends { containers: (infer C)[] } ? C : never) : never) => ({
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    ...c,
    ports: c.ports?.map((p) => ({
      protocol: 'TCP',
      ...p,
      ...(spec.hostNetwork ? { hostPort: p.hostPort ?? p.containerPort } : {}),
    })),
    livenessProbe: probe(c.livenessProbe),
    readinessProbe: probe(c.readinessProbe),
    startupProbe: probe(c.startupProbe),
    resources: c.resources?.limits
      ? { ...c.resources, requests: { ...c.resources.limits, ...c.resources.requests } }
      : c.resources,
  });
  const probe = <P extends object>(p: P | undefined): P | undefined =>
    p ? { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3, ...p } : undefined;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...raw.metadata,
      name: `${raw.metadata.name}-${nodeName}`,
      namespace: raw.metadata.namespace || 'default',
      uid:
        raw.metadata.uid ??
        [hash.slice(0, 8), hash.slice(8, 12), hash.slice(12, 16), hash.slice(16, 20), hash.slice(20)].join('-'),
      annotations: { ...raw.metadata.annotations, [CONFIG_HASH]: hash, [CONFIG_SOURCE]: source },
    },
    spec: {
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
      securityContext: {},
      ...spec,
      nodeName,
      containers: spec.containers.map(container),
      initContainers: spec.initContainers?.map(container),
      // a static pod stays whatever happens to the node
      tolerations: [...(spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }],
    },
  };
}

/** Reads the folder now, on each change and every `checkMs`; `changed` gets all pods there are. */
function watchStaticPods(options: {
  dir: string;
  nodeName: string;
  checkMs: number;
  clock: Clock;
  logger: Logger;
  changed(pods: Pod[]): void;
}): { stop(): void } {
  const { dir, clock, logger } = options;
  let stopped = false;
  let reading = false;
  let again = false;
  let last: string | undefined;

  async function read(): Promise<void> {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    try {
      const files = (await readdir(dir).catch(() => [] as string[])).filter((f) => !f.startsWith('.')).sort();
      const pods: Pod[] = [];
      for (const f of files) {
        try {
          const raw = parseYaml(await readFile(join(dir, f), 'utf8')) as Pod | null;
          if (raw) pods.push(completeStaticPod(raw, f, options.nodeName));
        } catch (error) {
          logger.warn('static pod not read', { file: f, error: (error as Error).message });
        }
      }
      const text = JSON.stringify(pods);
      if (!stopped && text !== last) {
        last = text;
        options.changed(pods);
      }
    } finally {
      reading = false;
      if (again && !stopped) {
        again = false;
        void read();
      }
    }
  }
  const timer = clock.every(options.checkMs, () => void read(), { background: true });
  let watcher: ReturnType<typeof watch> | undefined;
  try {
    watcher = watch(dir, { persistent: false }, () => clock.after(50, () => void read(), { background: true }));
    watcher.on('error', () => watcher?.close());
  } catch {
    logger.debug('the folder of static pods is looked at from time to time only', { dir });
  }
  void read();
  return {
    stop() {
      stopped = true;
      timer.cancel();
      watcher?.close();
    },
  };
}

const MAX_BODY = 10 << 20;
const ASK_MS = 10_000;

/** The text at a URL; rejects when it isn't answered with 200 in time. */
function fetchText(url: string, headers: Readonly<Record<string, string[]>>, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const get = url.startsWith('https:') ? https.get : http.get;
    const request = get(url, { headers, timeout: timeoutMs, agent: false }, (res) => {
      const parts: Buffer[] = [];
      let size = 0;
      res.on('data', (chunk: Buffer) => {
        parts.push(chunk);
        if ((size += chunk.length) > MAX_BODY) request.destroy(new Error('the answer is too long'));
      });
      res.on('error', reject);
      res.on('end', () => {
        if (res.statusCode === 200) resolve(Buffer.concat(parts).toString());
        else reject(new Error(`answered with ${res.statusCode}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
  });
}

/** Asks a URL (staticPodURL) now and every `checkMs` for a Pod or a PodList; while it fails the last answer stands. */
function watchStaticUrl(options: {
  url: string;
  headers: Readonly<Record<string, string[]>>;
  nodeName: string;
  checkMs: number;
  clock: Clock;
  logger: Logger;
  changed(pods: Pod[]): void;
}): { stop(): void } {
  const { url, clock, logger } = options;
  let stopped = false;
  let asking = false;
  let last: string | undefined;
  async function ask(): Promise<void> {
    if (asking) return;
    asking = true;
    try {
      const text = await fetchText(url, options.headers, ASK_MS);
      if (stopped || text === last) return;
      const raw = parseYaml(text) as (Pod & { items?: Pod[] }) | null;
      const items = raw?.kind === 'PodList' ? (raw.items ?? []).map((p) => ({ kind: 'Pod', ...p })) : raw ? [raw] : [];
      const pods = items.map((p) => completeStaticPod(p, url, options.nodeName, 'http'));
      last = text;
      options.changed(pods);
    } catch (error) {
      logger.warn('static pods not read', { url, error: (error as Error).message });
    } finally {
      asking = false;
    }
  }
  const timer = clock.every(options.checkMs, () => void ask(), { background: true });
  void ask();
  return {
    stop() {
      stopped = true;
      timer.cancel();
    },
  };
}

/** Follows all sources of static pods that the configuration names. */
export function watchStatics(options: {
  config: Pick<
    KubeletConfiguration,
    'staticPodPath' | 'staticPodURL' | 'staticPodURLHeader' | 'fileCheckFrequency' | 'httpCheckFrequency'
  >;
  nodeName: string;
  clock: Clock;
  logger: Logger;
  /** `all` is false while one of the sources has not answered yet. */
  changed(pods: Pod[], all: boolean): void;
}): { stop(): void } {
  const { config } = options;
  const { staticPodPath: dir, staticPodURL: url } = config;
  const wanted = [dir, url].filter(Boolean).length;
  const lists = new Map<string, Pod[]>();
  const from = (source: string) => (pods: Pod[]) => {
    lists.set(source, pods);
    options.changed([...lists.values()].flat(), lists.size === wanted);
  };
  const watches: { stop(): void }[] = [];
  if (dir)
    watches.push(
      watchStaticPods({ ...options, dir, checkMs: parseDuration(config.fileCheckFrequency), changed: from('file') }),
    );
  if (url)
    watches.push(
      watchStaticUrl({
        ...options,
        url,
        headers: config.staticPodURLHeader,
        checkMs: parseDuration(config.httpCheckFrequency),
        changed: from('http'),
      }),
    );
  return {
    stop() {
      for (const w of watches) w.stop();
    },
  };
}
