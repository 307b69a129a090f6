/** Distributes endpoints over EndpointSlices with as few writes as can be. Pure. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, EndpointSlice, Json } from '../../api/types.ts';
import { semanticEqual } from '../lib/meta.ts';

export type Endpoint = Json<k8s.V1Endpoint>;
export type EndpointPort = Json<k8s.DiscoveryV1EndpointPort>;
export type SliceView = DeepReadonly<EndpointSlice>;

/** Endpoints that can share slices: one address family, the same ports. */
export interface Group {
  addressType: string;
  ports: EndpointPort[];
  endpoints: Endpoint[];
}

export interface Plan {
  /** Contents of new slices. */
  create: { addressType: string; ports: EndpointPort[]; endpoints: Endpoint[] }[];
  /** Existing slices with their new ports and endpoints. */
  update: { slice: SliceView; ports: EndpointPort[]; endpoints: Endpoint[] }[];
  remove: SliceView[];
  /** Existing slices whose endpoints stay as they are. */
  keep: SliceView[];
}

/** Equal for the same ports in any order. */
function portsKey(ports: readonly DeepReadonly<EndpointPort>[] | undefined): string {
  return (ports ?? [])
    .map((p) => `${p.name ?? ''}|${p.protocol ?? ''}|${p.port ?? ''}|${p.appProtocol ?? ''}`)
    .toSorted()
    .join(';');
}

export const groupKey = (g: {
  readonly addressType: string;
  readonly ports?: readonly DeepReadonly<EndpointPort>[];
}): string => `${g.addressType}/${portsKey(g.ports)}`;

/** The same endpoint, whatever its state: a pod, or an address. */
function identity(e: DeepReadonly<Endpoint>): string {
  return `${e.targetRef?.uid ?? e.targetRef?.name ?? ''}|${e.addresses.join(',')}|${e.hostname ?? ''}`;
}

/** What to write so that the slices hold the groups' endpoints, at most `max` each. */
export function planSlices(existing: readonly SliceView[], groups: readonly Group[], max: number): Plan {
  const plan: Plan = { create: [], update: [], remove: [], keep: [] };
  const byGroup = new Map<string, SliceView[]>();
  for (const s of existing) {
    const key = groupKey(s);
    const list = byGroup.get(key);
    if (list) list.push(s);
    else byGroup.set(key, [s]);
  }
  for (const g of groups) {
    const key = groupKey(g);
    packGroup(g, byGroup.get(key) ?? [], max, plan);
    byGroup.delete(key);
  }
  for (const rest of byGroup.values()) plan.remove.push(...rest);
  rewriteInPlace(plan);
  return plan;
}

/** A slice that would go holds what a new one would: readers never see both, nor neither. */
function rewriteInPlace(plan: Plan): void {
  plan.create = plan.create.filter(({ addressType, ports, endpoints }) => {
    const i = plan.remove.findIndex((s) => s.addressType === addressType);
    if (i < 0) return true;
    plan.update.push({ slice: plan.remove.splice(i, 1)[0]!, ports, endpoints });
    return false;
  });
}

function packGroup(group: Group, slices: readonly SliceView[], max: number, plan: Plan): void {
  const wanted = new Map<string, Endpoint>();
  for (const e of group.endpoints) wanted.set(identity(e), e);
  const opened: { slice: SliceView; endpoints: Endpoint[] }[] = [];
  const untouched: SliceView[] = [];
  for (const slice of slices) {
    const endpoints: Endpoint[] = [];
    let changed = false;
    for (const e of slice.endpoints ?? []) {
      const id = identity(e);
      const now = wanted.get(id);
      if (!now || endpoints.length >= max) {
        changed = true;
        continue;
      }
      wanted.delete(id);
      if (!semanticEqual(now, e)) changed = true;
      endpoints.push(now);
    }
    if (changed) opened.push({ slice, endpoints });
    else untouched.push(slice);
  }
  const left = [...wanted.values()];
  // Slices that are written anyway take what is new, the fullest first.
  for (const o of opened.toSorted((a, b) => b.endpoints.length - a.endpoints.length))
    while (left.length > 0 && o.endpoints.length < max) o.endpoints.push(left.shift()!);
  while (left.length >= max)
    plan.create.push({ addressType: group.addressType, ports: group.ports, endpoints: left.splice(0, max) });
  if (left.length > 0) {
    // The remainder goes where it fits best, else into a slice of its own.
    let best: SliceView | undefined;
    for (const s of untouched) {
      const n = s.endpoints?.length ?? 0;
      if (n + left.length <= max && n > (best ? (best.endpoints?.length ?? 0) : -1)) best = s;
    }
    if (best) {
      untouched.splice(untouched.indexOf(best), 1);
      opened.push({ slice: best, endpoints: [...((best.endpoints ?? []) as Endpoint[]), ...left] });
    } else plan.create.push({ addressType: group.addressType, ports: group.ports, endpoints: left });
  }
  for (const o of opened) {
    // An empty slice of an empty group stays: it says that the Service has no endpoints.
    if (o.endpoints.length > 0 || group.endpoints.length === 0) plan.update.push({ ...o, ports: group.ports });
    else plan.remove.push(o.slice);
  }
  for (const s of untouched) {
    if ((s.endpoints?.length ?? 0) === 0 && group.endpoints.length > 0) plan.remove.push(s);
    else plan.keep.push(s);
  }
  if (group.endpoints.length === 0) keepOne(plan, slices, group);
}

/** Of an empty group exactly one slice stays. */
function keepOne(plan: Plan, slices: readonly SliceView[], group: Group): void {
  if (slices.length === 0) {
    plan.create.push({ addressType: group.addressType, ports: group.ports, endpoints: [] });
    return;
  }
  const mine = new Set(slices);
  let kept = false;
  const once = (s: SliceView) => {
    if (!mine.has(s)) return true;
    if (!kept) return (kept = true);
    plan.remove.push(s);
    return false;
  };
  plan.keep = plan.keep.filter(once);
  plan.update = plan.update.filter((u) => once(u.slice));
}
