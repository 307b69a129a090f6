/**
 * Cluster IPs and node ports. An address is claimed by creating its IPAddress object, so that several servers never
 * hand out the same (KEP-1880). Node ports are kept track of in this process.
 */
import { isNotFound } from '../../../api/status.ts';
import type * as k8s from '@kubernetes/client-node';
import type { Json, Service } from '../../../api/types.ts';
import type { Rand } from '../../../base/clock.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { Writer } from '../../registry/writer.ts';
import { addressToNumber, numberToAddress } from '../validation/formats.ts';
import { familyOf, type IPFamily } from './validation.ts';

export type IPAddress = Json<k8s.V1IPAddress>;
type ServiceCIDR = Json<k8s.V1ServiceCIDR>;

/** An address or port that can't be had; the message is for the user. */
export class AllocationError extends Error {
  /** Nothing is left to choose from. */
  readonly full: boolean;
  constructor(message: string, full = false) {
    super(message);
    this.full = full;
  }
}

/** The service that an address belongs to. */
export interface Owner {
  readonly namespace: string;
  readonly name: string;
}

export interface ServiceAllocator {
  /** The families that addresses can be had of; the first is the default. */
  families(): readonly IPFamily[];
  /** Claims an address, a particular one when `wanted` is given. Throws AllocationError. */
  claimIP(family: IPFamily, wanted: string | undefined, owner: Owner, dryRun: boolean): Promise<string>;
  releaseIP(address: string): Promise<void>;
  /** Claims a node port, a particular one when `wanted` is given. Throws AllocationError. */
  claimPort(wanted: number | undefined, dryRun: boolean): number;
  releasePort(port: number): void;
  /** Removes what goes with a service that is gone. */
  forget(owner: Owner): Promise<void>;
}

export interface ServiceAllocatorOptions {
  readonly reader: ObjectReader;
  readonly writer: Pick<Writer, 'createIfAbsent' | 'delete'>;
  readonly rand: Rand;
  /** --service-cluster-ip-range; used for the default family and while no ServiceCIDR object is there. */
  readonly cidrs: readonly string[];
  /** --service-node-port-range, both inclusive; defaults to 30000-32767. */
  readonly nodePorts?: readonly [first: number, last: number];
}

const IP_ADDRESSES = 'networking.k8s.io/ipaddresses';
const FULL = 'range is full';

interface Range {
  readonly family: IPFamily;
  /** First and last address that may be handed out. */
  readonly first: bigint;
  readonly last: bigint;
  /** From here on addresses are chosen at random; those before are left for people to choose. */
  readonly dynamic: bigint;
}

/** The addresses of a range that services can have: neither the network's own nor, for IPv4, the broadcast address. */
function rangeOf(cidr: string): Range {
  const [address = '', bits = '0'] = cidr.split('/');
  const family = familyOf(address);
  const size = 1n << BigInt((family === 'IPv6' ? 128 : 32) - Number(bits));
  const base = addressToNumber(address);
  const first = base + (size > 2n ? 1n : 0n);
  const last = base + size - (family === 'IPv4' && size > 2n ? 2n : 1n);
  const count = last - first + 1n;
  let offset = count / 16n;
  if (offset < 16n) offset = 16n;
  if (offset > 256n) offset = 256n;
  return { family, first, last, dynamic: count <= 16n ? first : first + offset };
}

export function createServiceAllocator(options: ServiceAllocatorOptions): ServiceAllocator {
  const { reader, writer, rand } = options;
  const [firstPort, lastPort] = options.nodePorts ?? [30000, 32767];
  let ports: Set<number> | undefined;
  const usedPorts = () => {
    if (ports) return ports;
    ports = new Set();
    for (const s of reader.list<Service>('services')) for (const p of portsOf(s.spec)) ports.add(p);
    return ports;
  };
  const ranges = (): Range[] => {
    const objects = reader.list<ServiceCIDR>('networking.k8s.io/servicecidrs').filter((c) => {
      const ready = c.status?.conditions?.find((x) => x.type === 'Ready');
      return !c.metadata?.deletionTimestamp && (!ready || ready.status === 'True');
    });
    const cidrs = objects.flatMap((c) => c.spec?.cidrs ?? []);
    return (cidrs.length > 0 ? cidrs : options.cidrs).map(rangeOf);
  };
  const isTaken = (address: string) => reader.get(IP_ADDRESSES, '', address) !== undefined;

  /** True when it was claimed, false when somebody else has it. */
  const claim = async (address: string, owner: Owner, dryRun: boolean): Promise<boolean> => {
    if (isTaken(address)) return false;
    if (dryRun) return true;
    const object: IPAddress = {
      metadata: {
        name: address,
        labels: {
          'ipaddress.kubernetes.io/ip-family': familyOf(address),
          'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io',
        },
      },
      spec: { parentRef: { group: '', resource: 'services', namespace: owner.namespace, name: owner.name } },
    };
    return writer.createIfAbsent(IP_ADDRESSES, '', object);
  };

  /** Tries each address of [first, last] once, from a random one on. */
  const search = async (
    range: Range,
    first: bigint,
    last: bigint,
    owner: Owner,
    dryRun: boolean,
  ): Promise<string | undefined> => {
    const count = last - first + 1n;
    if (count <= 0n) return undefined;
    const limit = count < 1_000_000n ? count : 1_000_000n;
    const start = BigInt(Math.floor(rand.next() * Number(limit)));
    for (let i = 0n; i < limit; i++) {
      const address = numberToAddress(first + ((start + i) % count), range.family === 'IPv6');
      if (await claim(address, owner, dryRun)) return address;
    }
    return undefined;
  };

  return {
    families() {
      const all = [...new Set([...options.cidrs.map(rangeOf), ...ranges()].map((r) => r.family))];
      return all.length > 0 ? all : ['IPv4'];
    },

    async claimIP(family, wanted, owner, dryRun) {
      const mine = ranges().filter((r) => r.family === family);
      if (wanted !== undefined) {
        const n = addressToNumber(wanted);
        if (!mine.some((r) => n >= r.first && n <= r.last)) {
          throw new AllocationError(`the provided IP (${wanted}) is not in the valid range of service addresses`);
        }
        const address = numberToAddress(n, family === 'IPv6');
        if (!(await claim(address, owner, dryRun))) throw new AllocationError('provided IP is already allocated');
        return wanted;
      }
      for (const r of mine) {
        const found =
          (await search(r, r.dynamic, r.last, owner, dryRun)) ??
          (await search(r, r.first, r.dynamic - 1n, owner, dryRun));
        if (found !== undefined) return found;
      }
      throw new AllocationError(FULL, true);
    },

    async releaseIP(address) {
      await ignoringAbsence(() => writer.delete(IP_ADDRESSES, '', address));
    },

    claimPort(wanted, dryRun) {
      const used = usedPorts();
      if (wanted !== undefined) {
        if (!dryRun && (wanted < firstPort || wanted > lastPort))
          throw new AllocationError(
            `provided port is not in the valid range. The range of valid ports is ${firstPort}-${lastPort}`,
          );
        if (used.has(wanted)) throw new AllocationError('provided port is already allocated');
        if (!dryRun) used.add(wanted);
        return wanted;
      }
      const count = lastPort - firstPort + 1;
      const start = Math.floor(rand.next() * count);
      for (let i = 0; i < count; i++) {
        const port = firstPort + ((start + i) % count);
        if (used.has(port)) continue;
        if (!dryRun) used.add(port);
        return port;
      }
      throw new AllocationError(FULL, true);
    },

    releasePort(port) {
      ports?.delete(port);
    },

    async forget(owner) {
      await ignoringAbsence(() => writer.delete('endpoints', owner.namespace, owner.name));
    },
  };
}

async function ignoringAbsence(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

interface Ports {
  readonly ports?: readonly { readonly nodePort?: number }[];
  readonly healthCheckNodePort?: number;
}
/** All node ports of a service. */
export function portsOf(spec: Ports | undefined): number[] {
  const all = (spec?.ports ?? []).map((p) => p.nodePort ?? 0);
  all.push(spec?.healthCheckNodePort ?? 0);
  return all.filter((p) => p !== 0);
}
