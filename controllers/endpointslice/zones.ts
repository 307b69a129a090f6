/**
 * Topology aware routing (KEP-2433): each endpoint is meant for one zone, so that every zone gets a share of the
 * endpoints that fits its share of the cluster's CPUs and most traffic stays within its zone. Pure.
 */
import { Quantity } from '../../api/quantity.ts';
import type { DeepReadonly, Service } from '../../api/types.ts';
import type { NodeView } from '../lib/nodes.ts';
import type { Endpoint, Group } from './pack.ts';

const MODE = 'service.kubernetes.io/topology-mode';
/** What the annotation was called at first; it counts before the new one. */
const OLD_MODE = 'service.kubernetes.io/topology-aware-hints';
const ZONE = 'topology.kubernetes.io/zone';
/** No endpoint may get more than this share above its due. */
const OVERLOAD = 0.2;

/** Whether the Service asks for it. */
export function wantsZones(service: DeepReadonly<Service>): boolean {
  const annotations = service.metadata?.annotations ?? {};
  const mode = annotations[OLD_MODE] ?? annotations[MODE];
  return mode === 'Auto' || mode === 'auto';
}

const cpuOf = (node: NodeView): number => {
  const text = node.status?.allocatable?.['cpu'];
  return text === undefined ? 0 : Quantity.parse(text).asNumber();
};
const zoneOf = (node: NodeView): string => node.metadata?.labels?.[ZONE] ?? '';
const isReady = (node: NodeView): boolean =>
  node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;

/** What of a node the shares depend on. */
export const zoneFacts = (node: NodeView): string =>
  isReady(node) && !isControlPlane(node) ? `${zoneOf(node)} ${cpuOf(node)}` : '';

const isControlPlane = (node: NodeView): boolean => {
  const labels = node.metadata?.labels ?? {};
  return 'node-role.kubernetes.io/control-plane' in labels || 'node-role.kubernetes.io/master' in labels;
};

/** Each zone's share of the CPUs, by name; a sentence when there are none to speak of. */
export function zoneShares(nodes: readonly NodeView[]): Map<string, number> | string {
  const cpus = new Map<string, number>();
  let sum = 0;
  for (const node of nodes) {
    if (isControlPlane(node) || !isReady(node)) continue;
    const cpu = cpuOf(node);
    const zone = zoneOf(node);
    if (zone === '' || cpu === 0) return `node ${node.metadata?.name} has no zone or no CPUs`;
    cpus.set(zone, (cpus.get(zone) ?? 0) + cpu);
    sum += cpu;
  }
  if (cpus.size < 2) return 'the ready nodes are not in two zones or more';
  return new Map([...cpus].sort(([a], [b]) => (a < b ? -1 : 1)).map(([zone, cpu]) => [zone, cpu / sum]));
}

/**
 * Writes hints into the ready endpoints of a group; those that have no hint to get lose what they had. Returns the
 * reason when there can be none.
 */
export function giveZones(
  group: Pick<Group, 'endpoints'>,
  shares: ReadonlyMap<string, number> | string,
): string | undefined {
  for (const e of group.endpoints) delete e.hints;
  if (typeof shares === 'string') return shares;
  // the order decides who is given away, and must not change from one time to the next
  const ready = group.endpoints.filter((e) => e.conditions?.ready).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const counts = `${ready.length} endpoints, ${shares.size} zones`;
  if (ready.length < shares.size) return `there are too few endpoints (${counts})`;
  if (ready.some((e) => !e.zone)) return 'an endpoint has no zone';
  const wanted = new Map<string, number>();
  let least = 0;
  for (const [zone, share] of shares) {
    const due = share * ready.length;
    const minimum = Math.ceil(due / (1 + OVERLOAD));
    wanted.set(zone, Math.max(due, minimum));
    least += minimum;
  }
  if (least > ready.length) return `a zone's endpoints would be overloaded (${counts})`;
  const have = new Map<string, number>();
  for (const e of ready) have.set(e.zone!, (have.get(e.zone!) ?? 0) + 1);
  const moves = moveBetween(have, wanted);
  for (const e of ready) {
    const to = moves.get(e.zone!)?.shift();
    e.hints = { forZones: [{ name: to ?? e.zone! }] };
  }
  return undefined;
}

const nameOf = (e: Endpoint): string => `${e.targetRef?.name ?? ''} ${e.addresses[0]}`;

/** Where endpoints of each zone go until no zone has much more or less than it wants. */
function moveBetween(have: ReadonlyMap<string, number>, wanted: ReadonlyMap<string, number>): Map<string, string[]> {
  const spare = new Map([...wanted].map(([zone, want]) => [zone, (have.get(zone) ?? 0) - want]));
  const moves = new Map<string, string[]>();
  for (;;) {
    let [from, to] = ['', ''];
    let [most, least] = [0, 0];
    for (const [zone, n] of spare) {
      if (n > most) [from, most] = [zone, n];
      if (n < least) [to, least] = [zone, n];
    }
    // half an endpoint is not worth a move, and one side at least must gain a whole one
    if (most < 0.5 || -least < 0.5 || (most < 1 && -least < 1)) return moves;
    spare.set(from, most - 1);
    spare.set(to, least + 1);
    const list = moves.get(from);
    if (list) list.push(to);
    else moves.set(from, [to]);
  }
}
