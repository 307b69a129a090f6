/** Keeps NetworkPolicy's rules in step with the API. Pods and namespaces are followed only once there is a policy. */
import type { Exec } from '../../base/exec.ts';
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import { createInformer, type Informer, type InformerOptions } from '../../client/informer.ts';
import { namespaces as namespaceResource, networkPolicies, pods as podResource } from '../../client/resources.ts';
import { createLoop } from '../loop.ts';
import { plainAddress } from '../network/addresses.ts';
import { renderRemoval, renderTable, renderTableChange, type NftTable } from '../rules/nft.ts';
import type { NetworkPolicy, PolicyInput, PolicyNode, PolicyPod } from './model.ts';
import { findRefused, isRefusal } from '../rules/refused.ts';
import { closed, POLICY_TABLE, policyTable } from './translate.ts';

type Common = Pick<InformerOptions<never>, 'client' | 'clock' | 'rand' | 'logger'>;

export interface PolicySyncOptions extends Common {
  nodes: Informer<Node>;
  nodeName: string;
  families: readonly (4 | 6)[];
  exec: Exec;
  /** Least milliseconds between two transactions; defaults to 50. */
  minPeriodMs?: number;
}

const PERIOD_MS = 50;

/** Drops from a pod what no policy looks at. */
function slimPod(pod: Pod): Pod {
  const { name, namespace, uid, resourceVersion, labels, creationTimestamp } = pod.metadata ?? {};
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const ports = containers.flatMap((c) => c.ports ?? []).filter((p) => p.name);
  return {
    metadata: { name, namespace, uid, resourceVersion, labels, creationTimestamp },
    spec: {
      nodeName: pod.spec?.nodeName,
      hostNetwork: pod.spec?.hostNetwork,
      containers: ports.length ? [{ name: '', ports }] : [],
    },
    status: { phase: pod.status?.phase, podIPs: pod.status?.podIPs },
  };
}

/** A pod as policies see it; undefined for one on its node's own network, one that has ended, and one without a node. */
export function policyPod(pod: DeepReadonly<Pod>): PolicyPod | undefined {
  const { metadata = {}, spec, status } = pod;
  if (!spec?.nodeName || spec.hostNetwork) return undefined;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    labels: metadata.labels ?? {},
    ips: (status?.podIPs ?? []).map((p) => plainAddress(p.ip)).filter((ip) => ip !== undefined),
    node: spec.nodeName,
    ports: spec.containers.flatMap((c) =>
      (c.ports ?? []).flatMap((p) =>
        p.name ? [{ name: p.name, protocol: p.protocol ?? 'TCP', port: p.containerPort }] : [],
      ),
    ),
    since: metadata.creationTimestamp ?? '',
  };
}

const tableOf = (family: 4 | 6) => `${family === 6 ? 'ip6' : 'ip'} ${POLICY_TABLE}`;

export function startPolicies(options: PolicySyncOptions): { stop(): void } {
  const { nodes, exec, clock, rand, logger, client } = options;
  const common = { client, clock, rand, logger };
  const policies = createInformer(networkPolicies, common);
  const namespaces = createInformer(namespaceResource, common);
  const pods = createInformer(podResource, { ...common, transform: slimPod });
  const seen = new Map<string, { text: string; policy: PolicyPod | undefined }>();
  const applied = new Map<4 | 6, NftTable | undefined>();
  /** Policies that can't be put into force, by uid: first they only isolate, then they are left out. */
  const broken = new Map<string, { version: string | undefined; closed: boolean }>();
  let following = false;

  /** As much of a policy as can be put into force. */
  const sound = (p: DeepReadonly<NetworkPolicy>): DeepReadonly<NetworkPolicy>[] => {
    const found = broken.get(p.metadata!.uid!);
    if (found?.version !== p.metadata!.resourceVersion || !found) return [p];
    return found.closed ? [closed(p)] : [];
  };
  const input = (): PolicyInput => ({
    policies: policies.list().flatMap(sound),
    namespaces: new Map(namespaces.list().map((n) => [n.metadata?.name ?? '', n.metadata?.labels ?? {}])),
    pods: [...seen.values()].flatMap((s) => s.policy ?? []),
  });

  async function sync(): Promise<void> {
    if (policies.size > 0 && !following) {
      following = true;
      namespaces.start();
      pods.start();
    }
    if (following) await Promise.all([namespaces.synced(), pods.synced(), nodes.synced()]);
    const self = nodes.get(options.nodeName);
    const podCidrs = self?.spec?.podCIDRs ?? (self?.spec?.podCIDR ? [self.spec.podCIDR] : []);
    const now = input();
    for (const family of options.families)
      try {
        await apply(now, { name: options.nodeName, family, podCidrs });
      } catch (error) {
        await findBroken(now, { name: options.nodeName, family, podCidrs });
        throw error;
      }
  }

  async function apply(now: PolicyInput, node: PolicyNode): Promise<void> {
    const { family } = node;
    const table = tableOf(family);
    const desired = policyTable(now, node);
    const known = applied.has(family);
    const before = applied.get(family);
    const text = desired
      ? before
        ? renderTableChange(table, before, desired)
        : renderTable(table, desired)
      : before || !known
        ? renderRemoval(table)
        : '';
    applied.delete(family); // until it is in force, nothing is known
    if (text !== '') await exec('nft', ['-f', '-'], { input: text, timeoutMs: 60_000 });
    applied.set(family, desired);
  }

  /** Notes the policies that can't be translated, and those whose rules nftables does not take. */
  async function findBroken(now: PolicyInput, node: PolicyNode): Promise<void> {
    const refused = await findRefused(now.policies, async (list) => {
      let text: string;
      try {
        const desired = policyTable({ ...now, policies: list }, node);
        if (!desired) return true;
        text = renderTable(tableOf(node.family), desired);
      } catch {
        return false;
      }
      try {
        await exec('nft', ['-c', '-f', '-'], { input: text, timeoutMs: 60_000 });
        return true;
      } catch (error) {
        if (isRefusal(error)) return false;
        throw error;
      }
    });
    for (const { metadata: m } of refused) {
      const before = broken.get(m!.uid!);
      const version = m!.resourceVersion;
      broken.set(m!.uid!, { version, closed: before?.version !== version });
      logger.error('a NetworkPolicy allows nothing until it changes: it could not be put into force', {
        policy: `${m!.namespace}/${m!.name}`,
      });
    }
  }
  const loop = createLoop({
    clock,
    minPeriodMs: options.minPeriodMs ?? PERIOD_MS,
    run: sync,
    failed: (error) => logger.error('network policies could not be applied; all of them are written again', { error }),
  });

  const follow = (p: DeepReadonly<Pod>) => {
    const policy = policyPod(p);
    const text = JSON.stringify(policy ?? null);
    const key = `${p.metadata?.namespace}/${p.metadata?.name}`;
    if (seen.get(key)?.text === text) return;
    seen.set(key, { text, policy });
    loop.trigger();
  };
  pods.on({
    added: follow,
    updated: follow,
    deleted(p) {
      seen.delete(`${p.metadata?.namespace}/${p.metadata?.name}`);
      loop.trigger();
    },
  });
  const labels = (o: { readonly metadata?: { readonly labels?: unknown } }) => JSON.stringify(o.metadata?.labels ?? {});
  namespaces.on({
    added: loop.trigger,
    updated: (n, old) => void (labels(n) !== labels(old) && loop.trigger()),
    deleted: loop.trigger,
  });
  policies.on({
    added: loop.trigger,
    updated: loop.trigger,
    deleted(p) {
      broken.delete(p.metadata!.uid!);
      loop.trigger();
    },
  });
  nodes.on({ added: (n) => void (n.metadata?.name === options.nodeName && loop.trigger()) });
  policies.start();
  void policies.synced().then(loop.trigger);
  return {
    stop() {
      loop.stop();
      for (const i of [policies, namespaces, pods]) i.stop();
    },
  };
}
