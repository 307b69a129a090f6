/** `k8ts logs --all -l app=x`: the logs of many pods as one, each line under its pod's name and in its colour. */
import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import { createInterface } from 'node:readline';
import type { DeepReadonly, Json } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { createInformer } from '../../client/informer.ts';
import { pods, resourcePath } from '../../client/resources.ts';
import { machineDir } from '../cluster/machine.ts';
import { adminClient } from '../server/server.ts';
import type { Context } from './context.ts';
import { existingCluster } from './inspect.ts';

export interface PodLogsOptions {
  name: string;
  /** Undefined: all namespaces. */
  namespace?: string;
  selector?: string;
  follow?: boolean;
  /** Lines of each container to begin with; defaults to all. */
  tail?: number;
  /** Only lines of the last so many seconds. */
  sinceSeconds?: number;
  /** Whether names are coloured. */
  colour: boolean;
}

type Pod = DeepReadonly<Json<V1Pod>>;
type ContainerStatus = DeepReadonly<Json<V1ContainerStatus>>;

interface Source {
  namespace: string;
  pod: string;
  container: string;
  /** What stands before each line. */
  title: string;
  /** One run of one container, so that a restarted one is followed anew. */
  run: string;
}

const COLOURS = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];
const RETRY_MS = 500;

/** Containers of a pod that have (or had) something to say. */
function sourcesOf(pod: Pod): Source[] {
  const { name = '', namespace = '' } = pod.metadata ?? {};
  const s = pod.status;
  const all = [
    ...(s?.initContainerStatuses ?? []),
    ...(s?.containerStatuses ?? []),
    ...(s?.ephemeralContainerStatuses ?? []),
  ];
  const many = all.length > 1;
  const started = (c: ContainerStatus) => c.state?.running ?? c.state?.terminated;
  return all.filter(started).map((c) => ({
    namespace,
    pod: name,
    container: c.name,
    title: many ? `${name} ${c.name}` : name,
    run: `${pod.metadata?.uid}/${c.name}/${c.restartCount}`,
  }));
}

/** Prints until everything was said, or, when following, until `signal`. */
export async function podLogs(ctx: Context, options: PodLogsOptions, signal: AbortSignal): Promise<void> {
  const client = adminClient(machineDir(existingCluster(options.name), 'server'));
  try {
    await printLogs(ctx, client, options, signal);
  } finally {
    client.close();
  }
}

async function printLogs(ctx: Context, client: Client, options: PodLogsOptions, signal: AbortSignal): Promise<void> {
  const { namespace, selector } = options;
  const first = (await client.list(pods, { namespace, labelSelector: selector })).items.flatMap((p) =>
    sourcesOf(p as Pod),
  );
  let width = Math.max(0, ...first.map((s) => s.title.length));
  const colours = new Map<string, number>();
  const print = (s: Source, line: string) => {
    width = Math.max(width, s.title.length);
    if (!colours.has(s.pod)) colours.set(s.pod, COLOURS[colours.size % COLOURS.length]!);
    const title = s.title.padEnd(width);
    ctx.say(options.colour ? `\u001b[${colours.get(s.pod)}m${title}\u001b[0m ${line}` : `${title} ${line}`);
  };

  const lines: { at: string; source: Source; text: string }[] = [];
  const last = new Map<string, string>();
  await Promise.all(
    first.map(async (source) => {
      for await (const { at, text } of read(client, source, options, { follow: false }, signal)) {
        lines.push({ at, source, text });
        last.set(source.run, at);
      }
    }),
  );
  // Stable: lines of one container with the same stamp stay in their order.
  lines.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  for (const l of lines) print(l.source, l.text);
  if (options.follow) await followAll(ctx, client, options, last, print, signal);
}

/** Goes on with every container that runs, and with each that starts later. */
async function followAll(
  ctx: Context,
  client: Client,
  options: PodLogsOptions,
  last: ReadonlyMap<string, string>,
  print: (source: Source, line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const followed = new Set<string>();
  const begin = (pod: Pod) => {
    for (const source of sourcesOf(pod)) {
      if (followed.has(source.run)) continue;
      followed.add(source.run);
      const after = last.get(source.run);
      void (async () => {
        for await (const { at, text } of read(client, source, options, { follow: true, after }, signal)) {
          if (after === undefined || at > after) print(source, text);
        }
      })().catch(async () => {
        // The node may be away for a moment; the pod's next change tries again.
        await ctx.clock.sleep(RETRY_MS);
        followed.delete(source.run);
      });
    }
  };
  const { clock, rand, logger } = ctx;
  const informer = createInformer(pods, {
    client,
    clock,
    rand,
    logger,
    namespace: options.namespace,
    labelSelector: options.selector,
  });
  informer.on({ added: (p) => begin(p as Pod), updated: (p) => begin(p as Pod) });
  informer.start();
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  informer.stop();
}

/** The lines of one container with the time stamp of each. */
async function* read(
  client: Client,
  source: Source,
  options: PodLogsOptions,
  how: { follow: boolean; after?: string },
  signal: AbortSignal,
): AsyncGenerator<{ at: string; text: string }> {
  const stream = await client.stream({
    path: `${resourcePath(pods, source.namespace, source.pod)}/log`,
    query: {
      container: source.container,
      timestamps: true,
      follow: how.follow || undefined,
      sinceTime: how.after,
      sinceSeconds: how.after ? undefined : options.sinceSeconds,
      tailLines: how.after ? undefined : options.tail,
    },
    accept: '*/*',
    signal,
  });
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
    const i = line.indexOf(' ');
    yield { at: line.slice(0, i), text: line.slice(i + 1) };
  }
}
