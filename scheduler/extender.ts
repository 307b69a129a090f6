/**
 * HTTP extenders: programs outside that filter and rank nodes, bind pods, and have a say in preemption.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/#scheduling-extensions
 */
import { readFileSync } from 'node:fs';
import { parseDuration } from '../api/time.ts';
import { createClient, type Client } from '../client/client.ts';
import type { ExtenderConfig } from './config.ts';
import { failure, type Failure } from './core/framework.ts';
import type { NodeInfo } from './core/node-info.ts';
import type { PodInfo } from './core/pod-info.ts';
import type { Victims } from './core/victims.ts';

/** Under this name pods are rejected by extenders, who can't say what would help. */
export const EXTENDER = 'Extender';
/** Extenders give 0 to 10, plugins 0 to 100. */
const SCALE = 10;

interface FilterResult {
  Nodes?: { items?: { metadata?: { name?: string } }[] | null } | null;
  NodeNames?: string[] | null;
  FailedNodes?: Record<string, string> | null;
  FailedAndUnresolvableNodes?: Record<string, string> | null;
  Error?: string;
}
interface MetaVictims {
  Pods?: { UID: string }[] | null;
  NumPDBViolations?: number;
}

export interface Extender {
  readonly config: ExtenderConfig;
  /** Some look only at pods that ask for certain resources. */
  isInterested(pod: PodInfo): boolean;
  /** The nodes that it leaves, and why it dropped others. Rejects when it can't be asked or says so. */
  filter(pod: PodInfo, nodes: readonly NodeInfo[]): Promise<{ nodes: NodeInfo[]; failures: Map<string, Failure> }>;
  /** Weighted scores by node name; empty when it has nothing to say. */
  prioritize(pod: PodInfo, nodes: readonly NodeInfo[]): Promise<Map<string, number>>;
  bind(pod: PodInfo, nodeName: string): Promise<void>;
  preempt(pod: PodInfo, candidates: readonly Victims[]): Promise<Victims[]>;
  close(): void;
}

export function createExtender(config: ExtenderConfig): Extender {
  const tls = config.tlsConfig ?? {};
  const read = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const client: Client = createClient({
    server: config.urlPrefix.replace(/\/$/, ''),
    ca: read(tls.caFile),
    cert: read(tls.certFile),
    key: read(tls.keyFile),
    serverName: tls.serverName,
    insecureSkipTlsVerify: tls.insecure,
    userAgent: 'kube-scheduler/v1.36',
  });
  const nanos = config.httpTimeout === undefined ? undefined : parseDuration(config.httpTimeout);
  const timeoutMs = nanos === undefined ? 5000 : Math.max(Number(nanos / 1_000_000n), 1);
  async function send<R>(verb: string, body: unknown): Promise<R> {
    const answer = await client.request<R | string>({ method: 'POST', path: `/${verb}`, body, timeoutMs });
    // Not every extender names the type of its answer.
    return typeof answer === 'string' ? (JSON.parse(answer) as R) : answer;
  }
  const args = (pod: PodInfo, nodes: readonly NodeInfo[]) => ({
    Pod: pod.pod,
    Nodes: config.nodeCacheCapable ? null : { metadata: {}, items: nodes.map((n) => n.node) },
    NodeNames: config.nodeCacheCapable ? nodes.map((n) => n.name) : null,
  });
  const managed = config.managedResources?.map((m) => m.name) ?? [];

  return {
    config,
    isInterested(pod) {
      if (managed.length === 0) return true;
      const { containers, initContainers } = pod.pod.spec!;
      return [...containers, ...(initContainers ?? [])].some((c) =>
        managed.some((m) => c.resources?.requests?.[m] !== undefined || c.resources?.limits?.[m] !== undefined),
      );
    },
    async filter(pod, nodes) {
      const failures = new Map<string, Failure>();
      if (!config.filterVerb) return { nodes: [...nodes], failures };
      const result = await send<FilterResult>(config.filterVerb, args(pod, nodes));
      if (result.Error) throw new Error(result.Error);
      const names = config.nodeCacheCapable
        ? result.NodeNames
        : result.Nodes?.items?.map((n) => n.metadata?.name ?? '');
      const byName = new Map(nodes.map((n) => [n.name, n]));
      const left = (names ?? []).map((name) => {
        const node = byName.get(name);
        if (!node)
          throw new Error(
            `extender "${config.urlPrefix}" claims a filtered node "${name}" which is not found in the input node list`,
          );
        return node;
      });
      for (const [name, why] of Object.entries(result.FailedNodes ?? {}))
        failures.set(name, failure(EXTENDER, 'Unschedulable', why));
      for (const [name, why] of Object.entries(result.FailedAndUnresolvableNodes ?? {}))
        failures.set(name, failure(EXTENDER, 'UnschedulableAndUnresolvable', why));
      return { nodes: left, failures };
    },
    async prioritize(pod, nodes) {
      const out = new Map<string, number>();
      if (!config.prioritizeVerb) return out;
      const list = await send<{ Host: string; Score: number }[] | null>(config.prioritizeVerb, args(pod, nodes));
      for (const { Host, Score } of list ?? []) out.set(Host, Score * (config.weight ?? 1) * SCALE);
      return out;
    },
    async bind(pod, nodeName) {
      const result = await send<{ Error?: string }>(config.bindVerb!, {
        PodName: pod.name,
        PodNamespace: pod.namespace,
        PodUID: pod.uid,
        Node: nodeName,
      });
      if (result.Error) throw new Error(result.Error);
    },
    async preempt(pod, candidates) {
      if (!config.preemptVerb) return [...candidates];
      const meta = (c: Victims): MetaVictims => ({
        Pods: c.pods.map((p) => ({ UID: p.uid })),
        NumPDBViolations: c.violations,
      });
      const full = (c: Victims) => ({ Pods: c.pods.map((p) => p.pod), NumPDBViolations: c.violations });
      const result = await send<{ NodeNameToMetaVictims?: Record<string, MetaVictims> | null }>(config.preemptVerb, {
        Pod: pod.pod,
        NodeNameToVictims: config.nodeCacheCapable
          ? null
          : Object.fromEntries(candidates.map((c) => [c.node, full(c)])),
        NodeNameToMetaVictims: config.nodeCacheCapable
          ? Object.fromEntries(candidates.map((c) => [c.node, meta(c)]))
          : null,
      });
      const out: Victims[] = [];
      for (const [node, v] of Object.entries(result.NodeNameToMetaVictims ?? {})) {
        const known = candidates.find((c) => c.node === node)?.pods ?? [];
        const wanted = new Set(v.Pods?.map((p) => p.UID));
        const pods = known.filter((p) => wanted.has(p.uid));
        if (pods.length > 0) out.push({ node, pods, violations: v.NumPDBViolations ?? 0 });
        else if (!config.ignorable) throw new Error(`expected at least one victim pod on node "${node}"`);
      }
      return out;
    },
    close: () => client.close(),
  };
}

/** Asks all that are interested, one after the other; those that may be ignored are when they fail. */
export async function filterByExtenders(
  extenders: readonly Extender[],
  pod: PodInfo,
  feasible: readonly NodeInfo[],
): Promise<{ nodes: NodeInfo[]; failures: Map<string, Failure> }> {
  let nodes = [...feasible];
  const failures = new Map<string, Failure>();
  for (const e of extenders) {
    if (nodes.length === 0) break;
    if (!e.isInterested(pod)) continue;
    try {
      const result = await e.filter(pod, nodes);
      nodes = result.nodes;
      for (const [name, f] of result.failures) failures.set(name, f);
    } catch (error) {
      if (!e.config.ignorable) throw error;
    }
  }
  return { nodes, failures };
}

/** The sum of what extenders give; one that fails gives nothing. */
export async function scoreByExtenders(
  extenders: readonly Extender[],
  pod: PodInfo,
  nodes: readonly NodeInfo[],
): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  const ask = (e: Extender) => e.prioritize(pod, nodes).catch(() => new Map<string, number>());
  for (const scores of await Promise.all(extenders.filter((e) => e.isInterested(pod)).map(ask)))
    for (const [name, n] of scores) sums.set(name, (sums.get(name) ?? 0) + n);
  return sums;
}
