/** metrics.k8s.io/v1beta1: what nodes and pods use now. https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/ */
import { formatTime } from '../../base/clock.ts';
import { badRequest, notFound } from '../../api/status.ts';
import { Quantity } from '../../api/quantity.ts';
import { parseFieldSelector } from '../../api/field-selectors.ts';
import { parseLabelSelector, SelectorError } from '../../api/selectors.ts';
import type { DeepReadonly, JsonObject, Node, Pod } from '../../api/types.ts';
import type { ApiGroup, KindInfo, ReadRequest, Rows } from '../group.ts';
import type { Usage } from './samples.ts';
import type { Scraper } from './scraper.ts';

export interface MetricsSources {
  readonly scraper: Scraper;
  nodes(): readonly DeepReadonly<Node>[];
  /** Pods that run. */
  pods(namespace: string | undefined): readonly DeepReadonly<Pod>[];
  now(): number;
}

const GROUP = 'metrics.k8s.io';
const VERSION = 'v1beta1';
const API = { apiVersion: `${GROUP}/${VERSION}` };

const amounts = (u: { cpuNanos: number; memoryBytes: number }) => ({
  cpu: Quantity.fromNanos(BigInt(u.cpuNanos)).toString(),
  memory: Quantity.fromInteger(Math.round(u.memoryBytes), 'BinarySI').toString(),
});
/** Go writes a duration so: `15.032s`, `1m0s`. */
function windowText(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const seconds = Number(((ms % 60_000) / 1000).toFixed(3));
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

function head(o: DeepReadonly<Node | Pod>, now: number): JsonObject {
  const { name, namespace, labels } = o.metadata!;
  return {
    name,
    ...(namespace ? { namespace } : {}),
    creationTimestamp: formatTime(now),
    ...(labels && Object.keys(labels).length > 0 ? { labels: { ...labels } } : {}),
  };
}

/** Those that the request's selectors leave, in order. */
function select<T extends DeepReadonly<Node | Pod>>(list: readonly T[], r: ReadRequest): T[] {
  try {
    const labels = parseLabelSelector(r.query.get('labelSelector') ?? '');
    const fields = parseFieldSelector(r.query.get('fieldSelector') ?? '');
    const field = (o: T) => (name: string) =>
      name === 'metadata.name' ? o.metadata!.name! : name === 'metadata.namespace' ? (o.metadata!.namespace ?? '') : '';
    const key = (o: T) => `${o.metadata!.namespace ?? ''}/${o.metadata!.name}`;
    return list
      .filter((o) => labels.matches(o.metadata!.labels ?? {}) && fields.test(field(o)))
      .sort((a, b) => (key(a) < key(b) ? -1 : 1));
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

/** The group metrics.k8s.io/v1beta1. */
export function metricsGroup(sources: MetricsSources): ApiGroup {
  const { scraper } = sources;

  function nodeMetrics(node: DeepReadonly<Node>): JsonObject | undefined {
    const u = scraper.node(node.metadata!.name!);
    if (!u) return undefined;
    return { kind: 'NodeMetrics', ...API, metadata: head(node, sources.now()), ...when(u), usage: amounts(u) };
  }
  function podMetrics(pod: DeepReadonly<Pod>): JsonObject | undefined {
    const { name, namespace } = pod.metadata!;
    const found = scraper.pod(namespace!, name!, pod.spec?.nodeName ?? '');
    if (!found?.size) return undefined;
    const all = [...found.values()];
    const newest = all.reduce((a, b) => (b.at > a.at ? b : a));
    const containers = [...found].map(([n, u]) => ({ name: n, usage: amounts(u) }));
    return { kind: 'PodMetrics', ...API, metadata: head(pod, sources.now()), ...when(newest), containers };
  }
  const one = (found: JsonObject | undefined, r: ReadRequest): JsonObject => {
    const name = r.namespace ? `${r.namespace}/${r.name}` : r.name!;
    if (!found) throw notFound({ group: GROUP, resource: r.resource === 'nodes' ? 'nodes' : 'pods' }, name);
    return found;
  };
  const list = (kind: string, items: (JsonObject | undefined)[]): JsonObject => ({
    kind,
    ...API,
    metadata: {},
    items: items.filter((i) => i !== undefined),
  });

  return {
    group: GROUP,
    version: VERSION,
    resources: [
      { name: 'nodes', singularName: '', namespaced: false, kind: 'NodeMetrics', verbs: ['get', 'list'] },
      { name: 'pods', singularName: '', namespaced: true, kind: 'PodMetrics', verbs: ['get', 'list'] },
    ],
    kinds: KINDS,
    async read(r) {
      if (r.resource === 'nodes') {
        const all = sources.nodes();
        if (r.name === undefined) return list('NodeMetricsList', select(all, r).map(nodeMetrics));
        const node = all.find((n) => n.metadata!.name === r.name);
        return one(node && nodeMetrics(node), r);
      }
      const all = sources.pods(r.namespace);
      if (r.name === undefined) return list('PodMetricsList', select(all, r).map(podMetrics));
      const pod = all.find((p) => p.metadata!.name === r.name);
      return one(pod && podMetrics(pod), r);
    },
    rows: () => ROWS,
  };
}

const when = (u: Usage) => ({ timestamp: formatTime(u.at), window: windowText(u.windowMs) });

const MEASURED: JsonObject = {
  timestamp: { type: 'string', format: 'date-time', description: 'When it was measured.' },
  window: { type: 'string', description: 'The time before that over which CPU is averaged, as in 15s.' },
};
const USAGE: JsonObject = {
  type: 'object',
  additionalProperties: { type: 'string', description: 'A quantity.' },
  description: 'What is in use: cpu as an average over the window, memory as the working set.',
};
const KINDS: Record<string, KindInfo> = {
  NodeMetrics: {
    description: 'What a node uses.',
    properties: { ...MEASURED, usage: USAGE },
    top: true,
  },
  PodMetrics: {
    description: 'What the containers of a pod use.',
    properties: {
      ...MEASURED,
      containers: { type: 'array', items: { $ref: 'ContainerMetrics' }, description: 'Each container that runs.' },
    },
    top: true,
  },
  ContainerMetrics: {
    description: 'What a container uses.',
    properties: { name: { type: 'string', description: 'Its name in the pod.' }, usage: USAGE },
  },
};

const ROWS: Rows = {
  columns: [
    { name: 'Name', type: 'string', description: 'name of the node or pod' },
    { name: 'cpu', type: 'string', description: 'CPU in use' },
    { name: 'memory', type: 'string', description: 'working set' },
    { name: 'Window', type: 'string', description: 'time over which usage was measured' },
  ],
  cells(o) {
    const parts = (o['containers'] ?? [{ usage: o['usage'] }]) as { usage: { cpu: string; memory: string } }[];
    const sum = (of: 'cpu' | 'memory') =>
      parts.reduce((q, p) => q.add(Quantity.parse(p.usage[of])), Quantity.zero).toString();
    return [(o['metadata'] as { name: string }).name, sum('cpu'), sum('memory'), o['window'] as string];
  },
};
