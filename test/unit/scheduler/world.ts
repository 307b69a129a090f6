/** Nodes and pods on paper, and one plugin asked about them. */
import type { Container, Node, Pod, PodSpec } from '../../../api/types.ts';
import { Cache } from '../../../scheduler/core/cache.ts';
import { newCycle } from '../../../scheduler/core/cycle.ts';
import type { Plugin } from '../../../scheduler/core/framework.ts';
import { PodInfo } from '../../../scheduler/core/pod-info.ts';

let uids = 0;

export interface PodShape extends Partial<Omit<PodSpec, 'containers'>> {
  name?: string;
  namespace?: string;
  labels?: Record<string, string>;
  requests?: Record<string, string>;
  container?: Partial<Container>;
  containers?: Container[];
  meta?: Partial<NonNullable<Pod['metadata']>>;
  status?: Pod['status'];
}

export function pod(shape: PodShape = {}): PodInfo {
  const { name, namespace, labels, requests, container, containers, meta, status, ...spec } = shape;
  const uid = `uid-${++uids}`;
  return new PodInfo({
    metadata: { name: name ?? uid, namespace: namespace ?? 'ns', uid, labels, ...meta },
    spec: { ...spec, containers: containers ?? [{ name: 'c', image: 'i', resources: { requests }, ...container }] },
    status,
  });
}

export interface NodeShape {
  labels?: Record<string, string>;
  taints?: { key: string; value?: string; effect: string }[];
  unschedulable?: boolean;
  allocatable?: Record<string, string>;
  images?: { names: string[]; sizeBytes: number }[];
  declaredFeatures?: string[];
}

export function node(name: string, shape: NodeShape = {}): Node {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...shape.labels } },
    spec: { taints: shape.taints, unschedulable: shape.unschedulable },
    status: {
      allocatable: { cpu: '4', memory: '8Gi', pods: '10', ...shape.allocatable },
      images: shape.images,
      ...(shape.declaredFeatures && { declaredFeatures: shape.declaredFeatures }),
    },
  };
}

/** A cache with these nodes, and these pods on them. */
export function world(nodes: Record<string, NodeShape>, placed: Record<string, PodInfo[]> = {}): Cache {
  const cache = new Cache();
  for (const [name, shape] of Object.entries(nodes)) cache.setNode(node(name, shape));
  for (const [name, pods] of Object.entries(placed)) for (const p of pods) cache.assume(p, name);
  return cache;
}

/** What the plugin says to each node: its reasons, '' for none; '*' for a pod that it turns away altogether. */
export function verdicts(plugin: Plugin, p: PodInfo, cache: Cache): Record<string, string> {
  const r = plugin.preFilter?.(p, newCycle(p, cache));
  if (r?.failure) return { '*': r.failure.reasons.join(', ') };
  const out: Record<string, string> = {};
  for (const n of cache.nodes) {
    if (r?.nodes && !r.nodes.has(n.name)) out[n.name] = 'not looked at';
    else out[n.name] = r?.filter?.filter(n)?.reasons.join(', ') ?? '';
  }
  return out;
}

/** The plugin's normalised scores; undefined when all nodes are alike to it. */
export function scores(plugin: Plugin, p: PodInfo, cache: Cache): Record<string, number> | undefined {
  const scorer = plugin.preScore!(p, newCycle(p, cache), cache.nodes);
  if (!scorer) return undefined;
  const list = cache.nodes.map((n) => scorer.score(n));
  scorer.normalize?.(list, cache.nodes);
  return Object.fromEntries(cache.nodes.map((n, i) => [n.name, list[i]!]));
}
