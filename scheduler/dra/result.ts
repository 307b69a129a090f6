/** What the choice of devices comes to in a claim's status. */
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../api/types.ts';
import type { Choice } from './allocator.ts';
import type { Request } from './requests.ts';
import type { AllocatedDevice, Allocation, Claim } from './types.ts';

type Config = Json<k8s.V1DeviceAllocationConfiguration>;
type NodeSelector = Json<k8s.V1NodeSelector>;
type Requirement = Json<k8s.V1NodeSelectorRequirement>;

export function toAllocation(
  claim: Claim,
  requests: readonly Request[],
  chosen: readonly Choice[],
  nodeName: string,
): Allocation {
  const config = configuration(claim, requests, chosen);
  return {
    devices: { results: chosen.map(toResult), ...(config.length > 0 ? { config } : {}) },
    nodeSelector: reach(chosen, nodeName),
  };
}

function toResult(c: Choice): AllocatedDevice {
  const { device, slice } = c.device;
  const { tolerations, adminAccess } = c.alternative;
  return {
    request: c.alternative.name,
    driver: slice.spec.driver,
    pool: slice.spec.pool.name,
    device: device.name,
    adminAccess: adminAccess || undefined,
    tolerations: tolerations.length > 0 ? [...tolerations] : undefined,
    bindingConditions: device.bindingConditions && [...device.bindingConditions],
    bindingFailureConditions: device.bindingFailureConditions && [...device.bindingFailureConditions],
    shareID: c.shareID,
    consumedCapacity: c.consumed && Object.fromEntries([...c.consumed].map(([n, q]) => [n, q.toString()])),
  };
}

/** The classes' configuration first, each class once for all of its requests; then the claim's own. */
function configuration(claim: Claim, requests: readonly Request[], chosen: readonly Choice[]): Config[] {
  const out: Config[] = [];
  const ofClass = new Map<string, Config[]>();
  const names = new Set<string>();
  for (const r of requests) {
    const used = chosen.find((c) => r.alternatives.includes(c.alternative))?.alternative ?? r.alternatives[0];
    if (!used) continue;
    names.add(r.name).add(used.name);
    const name = used.class.metadata?.name ?? '';
    const have = ofClass.get(name);
    if (have) for (const c of have) c.requests!.push(used.name);
    else {
      const made = (used.class.spec.config ?? []).map((c): Config => ({
        ...(c as Config),
        source: 'FromClass',
        requests: [used.name],
      }));
      ofClass.set(name, made);
      out.push(...made);
    }
  }
  for (const c of claim.spec.devices?.config ?? [])
    if (!c.requests?.length || c.requests.some((n) => names.has(n)))
      out.push({ ...(c as Config), source: 'FromClaim' });
  return out;
}

const sameRequirement = (a: Requirement, b: Requirement) =>
  a.key === b.key &&
  a.operator === b.operator &&
  [...(a.values ?? [])].sort().join('\0') === [...(b.values ?? [])].sort().join('\0');

/** Where the allocation can be used; undefined for everywhere. */
function reach(chosen: readonly Choice[], nodeName: string): NodeSelector | undefined {
  const fields: Requirement[] = [];
  const labels: Requirement[] = [];
  const add = (into: Requirement[], from: readonly unknown[] | undefined) => {
    for (const r of (from ?? []) as Requirement[]) if (!into.some((x) => sameRequirement(x, r))) into.push(r);
  };
  for (const { device } of chosen) {
    const where = device.slice.spec.perDeviceNodeSelection ? device.device : device.slice.spec;
    if (where.nodeName !== undefined || device.device.bindsToNode)
      return {
        nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }] }],
      };
    const term = where.nodeSelector?.nodeSelectorTerms[0];
    add(fields, term?.matchFields);
    add(labels, term?.matchExpressions);
  }
  if (fields.length + labels.length === 0) return undefined;
  return {
    nodeSelectorTerms: [
      {
        ...(labels.length > 0 ? { matchExpressions: labels } : {}),
        ...(fields.length > 0 ? { matchFields: fields } : {}),
      },
    ],
  };
}
