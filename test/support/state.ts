/** What a cluster looks like when a test has waited in vain: the next failure on a busy machine shall tell its cause. */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import {
  deployments,
  events,
  horizontalPodAutoscalers,
  nodes,
  pods,
  replicaSets,
  type ResourceRef,
} from '../../client/resources.ts';

/** Lines of each kind, and events, are this many at most. */
const LIMIT = 40;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}
type Seen = DeepReadonly<KubeObject> & {
  readonly spec?: Record<string, unknown>;
  readonly status?: Record<string, unknown> & { readonly conditions?: readonly Condition[] };
};

const shown = (value: unknown): string => (value === undefined ? '-' : JSON.stringify(value));
/** The conditions that are not as one would like them. */
const complaints = (o: Seen, good: (c: Condition) => boolean): string =>
  (o.status?.conditions ?? [])
    .filter((c) => !good(c))
    .map((c) => ` ${c.type}=${c.status}(${c.reason ?? ''}${c.message ? `: ${c.message}` : ''})`)
    .join('');
const isTrue = (c: Condition) => c.status === 'True';
const isCalm = (c: Condition) => (c.type === 'Ready' ? c.status === 'True' : c.status === 'False');

const pick = (from: Record<string, unknown> | undefined, ...keys: string[]): string =>
  keys.map((k) => `${k}=${shown(from?.[k])}`).join(' ');

/** What is worth knowing of an object of each kind, in one line. */
const KINDS: readonly (readonly [ResourceRef<object>, (o: Seen) => string])[] = [
  [nodes, (o) => `taints=${shown(o.spec?.['taints'])}${complaints(o, isCalm)}`],
  [horizontalPodAutoscalers, (o) => `${pick(o.status, 'currentReplicas', 'desiredReplicas')}${complaints(o, isTrue)}`],
  [deployments, workload],
  [replicaSets, workload],
  [
    pods,
    (o) =>
      `${pick(o.spec, 'nodeName')} ${pick(o.status, 'phase', 'reason')} deleted=${shown(o.metadata?.deletionTimestamp)}` +
      complaints(o, isTrue) +
      waitingContainers(o),
  ],
];

function workload(o: Seen): string {
  const { spec, status, metadata } = o;
  const numbers = pick(status, 'observedGeneration', 'replicas', 'readyReplicas', 'updatedReplicas');
  return `wanted=${shown(spec?.['replicas'])} generation=${metadata?.generation} ${numbers}${complaints(o, isTrue)}`;
}

function waitingContainers(o: Seen): string {
  const list = (o.status?.['containerStatuses'] ?? []) as { name: string; ready: boolean; state?: object }[];
  return list
    .filter((c) => !c.ready)
    .map((c) => ` ${c.name}: ${shown(c.state)}`)
    .join('');
}

/** The objects that most tests wait for, the last events, and the requests that wait; never rejects. */
export async function stateOf(client: Client, namespace?: string): Promise<string> {
  const part = (title: string, lines: readonly string[]) =>
    lines.length === 0 ? [] : [`${title}:`, ...lines.slice(-LIMIT).map((l) => `  ${l}`)];
  const failed = (title: string) => (error: unknown) => [`${title}: ${(error as Error).message}`];
  const kinds = KINDS.map(async ([ref, line]) => {
    const list = await client.list(ref, ref.namespaced ? { namespace } : {});
    return part(
      ref.resource,
      (list.items as Seen[]).map((o) => `${o.metadata?.namespace ?? ''}/${o.metadata?.name} ${line(o)}`),
    );
  });
  const told = client.list(events, { namespace }).then(({ items }) => {
    const at = (e: (typeof items)[number]) => e.lastTimestamp ?? e.eventTime ?? e.metadata?.creationTimestamp ?? '';
    return part(
      'events',
      items
        .toSorted((a, b) => (at(a) < at(b) ? -1 : 1))
        .map((e) => `${at(e)} ${e.involvedObject.kind}/${e.involvedObject.name} ${e.reason}: ${e.message}`),
    );
  });
  const queued = client
    .request<string>({ path: '/debug/api_priority_and_fairness/dump_priority_levels' })
    .then((text) => ['requests:', text]);
  const work: Promise<string[]>[] = [...kinds, told, queued];
  const titles = [...KINDS.map(([ref]) => ref.resource), 'events', 'requests'];
  const parts = await Promise.all(work.map((w, i) => w.catch(failed(titles[i]!))));
  return parts.flat().join('\n');
}

/** What a test waits for; when that fails, the state of the cluster goes with the failure. */
export async function orState<T>(client: Client, namespace: string | undefined, wait: Promise<T>): Promise<T> {
  try {
    return await wait;
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${await stateOf(client, namespace)}`, { cause: error });
  }
}
