/** Registers the node, keeps its status and its Lease. */
import { formatMicroTime, type Clock, type Rand, type Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { hasCode, isNotFound, StatusError } from '../../api/status.ts';
import type { DeepReadonly, Lease, Node } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { leases, nodes } from '../../client/resources.ts';
import type { Taint } from '../config.ts';
import { differs, leftOver, type NodeStatus } from './status.ts';

export interface NodeAgentOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  nodeName: string;
  labels: Record<string, string>;
  taints: readonly Taint[];
  unschedulable: boolean;
  providerID?: string;
  /** The node's volumes are attached by the controller manager, and the node is marked so. */
  controllerAttaches: boolean;
  podCIDR?: string;
  register: boolean;
  updateMs: number;
  reportMs: number;
  leaseSeconds: number;
  /** The status as it is now. */
  status(previous: DeepReadonly<NodeStatus> | undefined): Promise<NodeStatus>;
  /** Called before it tries to create the node object, and when it has created it. */
  registering?(): void;
  registered?(): void;
  /** Called with each node object that the API answers with. */
  seen(node: Node): void;
  event(type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export interface NodeAgent {
  start(): void;
  stop(): void;
  /** Resolves when the node object is known. */
  known(): Promise<void>;
  /** Resolves when its status and its Lease were sent, too. */
  registered(): Promise<void>;
  /** Something changed that the status tells: says it now. */
  poke(): void;
}

const CONTROLLER_ATTACHES = 'volumes.kubernetes.io/controller-managed-attach-detach';

export function createNodeAgent(options: NodeAgentOptions): NodeAgent {
  const { client, clock, logger, nodeName } = options;
  const stopping = new AbortController();
  let timers: Timer[] = [];
  let resolveKnown: () => void;
  const isKnown = new Promise<void>((resolve) => (resolveKnown = resolve));
  let resolveRegistered: () => void;
  const isRegistered = new Promise<void>((resolve) => (resolveRegistered = resolve));
  let current: NodeStatus | undefined;
  let reportedAt = -Infinity;
  let busy = false;
  let again = false;
  let lease: Lease | undefined;
  let node: Node | undefined;

  async function register(): Promise<void> {
    const status = await options.status(undefined);
    const wanted: Node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: nodeName,
        labels: options.labels,
        ...(options.controllerAttaches ? { annotations: { [CONTROLLER_ATTACHES]: 'true' } } : {}),
      },
      spec: {
        ...(options.taints.length ? { taints: options.taints.map((t) => ({ ...t })) } : {}),
        ...(options.unschedulable ? { unschedulable: true } : {}),
        ...(options.providerID ? { providerID: options.providerID } : {}),
      },
      status,
    };
    let known: Node | undefined;
    if (options.register) {
      try {
        options.registering?.();
        known = await client.create(nodes, wanted);
        options.registered?.();
        logger.info('registered the node');
      } catch (error) {
        if (!hasCode(error, 409)) throw error;
      }
    }
    if (!known) {
      known = await client.get(nodes, nodeName);
      const labels = known.metadata?.labels ?? {};
      const stale = Object.entries(options.labels).some(([k, v]) => labels[k] !== v);
      const mark = options.controllerAttaches ? 'true' : undefined;
      if (stale || known.metadata?.annotations?.[CONTROLLER_ATTACHES] !== mark)
        known = await client.patch(nodes, nodeName, 'merge', {
          metadata: { labels: options.labels, annotations: { [CONTROLLER_ATTACHES]: mark ?? null } },
        });
    }
    node = known;
    current = known.status;
    options.seen(known);
    resolveKnown();
  }

  async function report(): Promise<void> {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const due = clock.monotonic() - reportedAt >= options.reportMs;
      // Others may have written it, or removed the node: a read tells, and costs no write that all watchers see.
      if (!due) {
        node = await client.get(nodes, nodeName);
        current = node.status;
        options.seen(node);
      }
      const status = await options.status(current);
      const gone = leftOver(current, status);
      if (due || gone.length > 0 || differs(current, status)) {
        const ready = (s: DeepReadonly<NodeStatus> | undefined) =>
          s?.conditions?.find((c) => c.type === 'Ready')?.status;
        const turned = current && ready(current) !== ready(status);
        // keys of others in capacity are not named, so they stay
        const addresses = [...(status.addresses ?? []), { $patch: 'replace' }];
        const allocatable = { ...status.allocatable, ...Object.fromEntries(gone.map((k) => [k, null])) };
        const patch = { status: { ...status, addresses, allocatable } };
        const answer = await client.patch(nodes, nodeName, 'strategic', patch, { subresource: 'status' });
        reportedAt = clock.monotonic();
        node = answer;
        current = answer.status;
        options.seen(answer);
        if (turned)
          options.event(
            'Normal',
            ready(status) === 'True' ? 'NodeReady' : 'NodeNotReady',
            `Node ${nodeName} status is now: ${ready(status) === 'True' ? 'NodeReady' : 'NodeNotReady'}`,
          );
      }
    } catch (error) {
      if (isNotFound(error)) await register().catch((e: unknown) => logger.warn('node not registered', { error: e }));
      else logger.warn('node status not taken', { error: (error as Error).message });
    } finally {
      busy = false;
      if (again) {
        again = false;
        void report();
      }
    }
  }

  async function renew(): Promise<void> {
    const spec = {
      holderIdentity: nodeName,
      leaseDurationSeconds: options.leaseSeconds,
      renewTime: formatMicroTime(clock.now()),
    };
    const namespace = 'kube-node-lease';
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        lease ??= await client.get(leases, nodeName, namespace).catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        });
        const owner = node?.metadata?.uid
          ? [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid }]
          : undefined;
        lease = lease
          ? await client.update(leases, { ...lease, spec: { ...lease.spec, ...spec } })
          : await client.create(leases, { metadata: { name: nodeName, namespace, ownerReferences: owner }, spec });
        return;
      } catch (error) {
        lease = undefined;
        if (!(error instanceof StatusError)) {
          logger.debug('lease not renewed', { error });
          return;
        }
      }
    }
  }

  async function run(): Promise<void> {
    let delay = 100;
    while (!stopping.signal.aborted) {
      try {
        await register();
        break;
      } catch (error) {
        logger.warn('node not registered', { error: (error as Error).message, retryMs: delay });
        await clock.sleep(delay, stopping.signal).catch(() => {});
        delay = Math.min(delay * 2, 7000);
      }
    }
    if (stopping.signal.aborted) return;
    await Promise.all([renew(), report()]);
    resolveRegistered();
    timers.push(clock.every((options.leaseSeconds * 1000) / 4, () => void renew(), { background: true }));
    timers.push(clock.every(options.updateMs, () => void report(), { background: true }));
  }

  return {
    start: () => void run(),
    stop() {
      stopping.abort(new Error('stopped'));
      for (const t of timers) t.cancel();
      timers = [];
    },
    known: () => isKnown,
    registered: () => isRegistered,
    poke() {
      if (current) void report();
    },
  };
}
