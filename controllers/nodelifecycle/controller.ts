/** Watches over nodes: silent ones become Unknown, ill ones get taints, pods on them are no longer ready. */
import { isConflict, isNotFound } from '../../api/status.ts';
import { formatTime, type Clock } from '../../base/clock.ts';
import type { Node } from '../../api/types.ts';
import { leases, nodes, pods } from '../../client/resources.ts';
import { select } from '../factory.ts';
import { defineController, type Deps, type Result } from '../framework.ts';
import { body, createTimestamp, isDeleting, meta } from '../lib/meta.ts';
import { nodeCondition, type NodeView } from '../lib/nodes.ts';
import { isReady, podCondition, podsByNode } from '../lib/pods.ts';
import type { ControllerOptions } from '../options.ts';
import { nodeTaints, noExecuteKey, silentConditions, zoneOf, zoneStates } from './health.ts';

const inputs = { nodes, pods, leases: select(leases, { namespace: 'kube-node-lease' }) };

/** The last sign of life of a node, by our own clock. */
interface Seen {
  renewTime: string | undefined;
  heartbeat: string | undefined;
  /** Monotonic milliseconds. */
  at: number;
  ready: string | undefined;
}

/** Hands out one eviction at a time, at a zone's rate. */
class ZoneLimiter {
  readonly #next = new Map<string, number>();
  /** Milliseconds until one may be had; 0 takes it. */
  take(zone: string, perSecond: number, now: number): number {
    if (perSecond <= 0) return 5_000;
    const at = this.#next.get(zone) ?? 0;
    if (at > now) return at - now;
    this.#next.set(zone, now + 1000 / perSecond);
    return 0;
  }
}

interface State {
  seen: Map<string, Seen>;
  limiter: ZoneLimiter;
  registered: Map<string, string>;
}
type D = Deps<typeof inputs, State>;

/** When the node last gave a sign of life; notes new ones. */
function lastSeen(deps: D, node: NodeView, clock: Clock): Seen {
  const { name } = meta(node);
  const lease = deps.informers.leases.get(name, 'kube-node-lease');
  const ready = nodeCondition(node, 'Ready');
  const now: Seen = {
    renewTime: lease?.spec?.renewTime,
    heartbeat: ready?.lastHeartbeatTime,
    at: clock.monotonic(),
    ready: ready?.status,
  };
  const have = deps.state.seen.get(name);
  // What we wrote ourselves (Unknown) is no sign of life.
  const alive =
    !have ||
    have.renewTime !== now.renewTime ||
    (have.heartbeat !== now.heartbeat && ready !== undefined && ready.status !== 'Unknown');
  const seen = alive ? now : { ...have, ready: now.ready };
  deps.state.seen.set(name, seen);
  return seen;
}

function evictionRate(
  options: ControllerOptions,
  all: readonly NodeView[],
  node: NodeView,
): { rate: number; suspended: boolean } {
  const zones = zoneStates(all, options.unhealthyZoneThreshold);
  const suspended = [...zones.values()].every((z) => z.state === 'FullDisruption');
  const zone = zones.get(zoneOf(node));
  if (zone?.state === 'PartialDisruption')
    return { rate: zone.size > options.largeClusterSizeThreshold ? options.secondaryNodeEvictionRate : 0, suspended };
  return { rate: options.nodeEvictionRate, suspended };
}

/** Sets Ready to False on all pods of a node that no longer reports: Services shall not lead there. */
async function markPodsNotReady(deps: D, name: string): Promise<void> {
  const time = formatTime(deps.clock.now());
  for (const pod of deps.informers.pods.lookup(podsByNode, name)) {
    if (!isReady(pod)) continue;
    const condition = { ...podCondition(pod, 'Ready'), type: 'Ready', status: 'False', lastTransitionTime: time };
    await deps.client
      .patch(
        pods,
        meta(pod).name,
        'strategic',
        { metadata: { uid: meta(pod).uid }, status: { conditions: [condition] } },
        { namespace: meta(pod).namespace, subresource: 'status' },
      )
      .catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    deps.recorder.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready', { apiVersion: 'v1', kind: 'Pod' });
  }
}

const NODE = { apiVersion: 'v1', kind: 'Node' };

/** Events about nodes name the node as its uid, as kubelets do. */
function nodeEvent(deps: D, node: { name: string; uid: string }, reason: string, message: string): void {
  deps.recorder.event({ ...NODE, metadata: { name: node.name, uid: node.uid } }, 'Normal', reason, message);
}

async function writeTaints(deps: D, node: NodeView, execute: string | undefined): Promise<void> {
  const taints = nodeTaints(node, execute, deps.clock.now());
  if (!taints) return;
  const { name, resourceVersion } = meta(node);
  await deps.client.patch(nodes, name, 'merge', {
    metadata: { resourceVersion },
    spec: { taints: taints.length ? taints : null },
  });
}

export const nodeLifecycleController = defineController({
  name: 'node-lifecycle-controller',
  account: 'node-controller',
  inputs,
  outputs: ['patch nodes', 'update nodes/status', 'patch pods/status'],
  workers: () => 8,
  state: (): State => ({ seen: new Map(), limiter: new ZoneLimiter(), registered: new Map() }),
  triggers: {
    nodes: 'self',
    leases: (lease) => [meta(lease).name],
    // A pod that comes to a node which is already lost.
    pods: {
      keys: (pod, deps: D) => {
        const name = pod.spec?.nodeName;
        const node = name && isReady(pod) ? deps.informers.nodes.get(name) : undefined;
        return node && nodeCondition(node, 'Ready')?.status !== 'True' ? [name!] : [];
      },
      when: (now, before) => now.spec?.nodeName !== before.spec?.nodeName || isReady(now) !== isReady(before),
    },
  },
  async reconcile(key, deps: D): Promise<Result | void> {
    const { informers, clock, options, state } = deps;
    const cached = informers.nodes.get(key);
    if (!cached) {
      const uid = state.registered.get(key);
      state.seen.delete(key);
      state.registered.delete(key);
      if (uid !== undefined)
        nodeEvent(deps, { name: key, uid }, 'RemovingNode', `Node ${key} event: Removing Node ${key} from Controller`);
      return;
    }
    if (state.registered.get(key) !== meta(cached).uid) {
      state.registered.set(key, meta(cached).uid);
      nodeEvent(deps, meta(cached), 'RegisteredNode', `Node ${key} event: Registered Node ${key} in Controller`);
    }
    let node: NodeView = cached;
    const wasReady = state.seen.get(key)?.ready;
    const seen = lastSeen(deps, node, clock);
    const started = nodeCondition(node, 'Ready') !== undefined;
    const grace = started ? options.nodeMonitorGracePeriodMs : options.nodeStartupGracePeriodMs;
    const quiet = started ? clock.monotonic() - seen.at : clock.now() - createTimestamp(node);
    if (quiet > grace) {
      const conditions = silentConditions(node, clock.now());
      if (conditions)
        node = await deps.client.updateStatus(nodes, {
          ...body<Node>(node),
          status: { ...body<Node>(node).status, conditions },
        });
    }
    const ready = nodeCondition(node, 'Ready')?.status;
    if (ready !== 'True' && started) {
      if (wasReady === 'True' || nodeCondition(cached, 'Ready')?.status === 'True')
        nodeEvent(deps, meta(node), 'NodeNotReady', `Node ${key} status is now: NodeNotReady`);
      await markPodsNotReady(deps, key);
    }
    let wait = Math.max(grace - quiet, 0) + 100;
    let execute = started ? noExecuteKey(node) : undefined;
    if (execute !== undefined) {
      const { rate, suspended } = evictionRate(options, informers.nodes.list(), node);
      const tainted = node.spec?.taints?.some(
        (t) => t.effect === 'NoExecute' && (t.key === execute || t.key === noExecuteOther(execute!)),
      );
      if (suspended) execute = undefined;
      else if (!tainted) {
        const left = state.limiter.take(zoneOf(node), rate, clock.monotonic());
        if (left > 0) {
          execute = undefined;
          wait = Math.min(wait, left + 50);
        }
      }
      wait = Math.min(wait, options.nodeMonitorPeriodMs);
    }
    if (!isDeleting(node)) await writeTaints(deps, node, execute);
    return { requeueAfterMs: Math.max(wait, 100) };
  },
});

function noExecuteOther(key: string): string {
  return key.endsWith('not-ready') ? key.replace('not-ready', 'unreachable') : key.replace('unreachable', 'not-ready');
}
