/** What a claim asks for, in the form in which it is searched. */
import type { DeviceSelector } from '../../api/cel/devices.ts';
import { lazyModule } from '../../base/lazy.ts';
import type { Wanted } from './capacity.ts';
import type { PooledDevice } from './pools.ts';
import { AllocationError, type Claim, type Class, type Selector, type Toleration } from './types.ts';

/** One way to satisfy a request; a request with `firstAvailable` has several. */
export interface Alternative {
  /** `request` or `request/subrequest`, as results name it. */
  readonly name: string;
  readonly class: Class;
  readonly adminAccess: boolean;
  readonly mode: 'ExactCount' | 'All';
  readonly count: number;
  readonly selectors: readonly NamedSelector[];
  readonly tolerations: readonly Toleration[];
  readonly capacity: Wanted;
}
export interface Request {
  readonly name: string;
  readonly alternatives: readonly Alternative[];
}
export interface NamedSelector {
  /** For messages: whose and which selector it is. */
  readonly of: string;
  readonly matches: DeviceSelector;
}

const cel = lazyModule<typeof import('../../api/cel/devices.ts')>(import.meta.url, '../../api/cel/devices.ts');
const MAX_COMPILED = 256;
const compiled = new Map<string, DeviceSelector | Error>();
/** Few expressions are in use; each is compiled once. */
function selector(source: string): DeviceSelector {
  let s = compiled.get(source);
  if (s === undefined) {
    try {
      s = cel().compileDeviceSelector(source);
    } catch (error) {
      s = error as Error;
    }
    if (compiled.size >= MAX_COMPILED) compiled.clear();
    compiled.set(source, s);
  }
  if (s instanceof Error) throw s;
  return s;
}

function compileAll(of: string, list: readonly Selector[] | undefined): NamedSelector[] {
  return (list ?? []).map((s, i) => {
    const what = `${of}: selector #${i}`;
    if (!s.cel) throw new AllocationError(`${what}: CEL expression empty (unsupported selector type?)`);
    try {
      return { of: what, matches: selector(s.cel.expression) };
    } catch (error) {
      throw new AllocationError(`${what}: CEL compile error: ${(error as Error).message}`);
    }
  });
}

/** Throws AllocationError when a selector fails: its answer would mean nothing. */
export function matchesAll(selectors: readonly NamedSelector[], { device, slice }: PooledDevice): boolean {
  for (const s of selectors) {
    try {
      if (!s.matches({ ...device, driver: slice.spec.driver } as Parameters<DeviceSelector>[0])) return false;
    } catch (error) {
      throw new AllocationError(`${s.of}: CEL runtime error: ${(error as Error).message}`);
    }
  }
  return true;
}

/** The requests of a claim with their classes. @throws AllocationError when a class or the form of a request is unknown. */
export function readRequests(claim: Claim, classOf: (name: string) => Class | undefined): Request[] {
  const key = `${claim.metadata?.namespace}/${claim.metadata?.name}`;
  return (claim.spec.devices?.requests ?? []).map((r) => {
    const forms = r.exactly
      ? [{ name: r.name, form: r.exactly, adminAccess: r.exactly.adminAccess === true }]
      : (r.firstAvailable ?? []).map((form) => ({ name: `${r.name}/${form.name}`, form, adminAccess: false }));
    const alternatives = forms.map(({ name, form, adminAccess }): Alternative => {
      const found = classOf(form.deviceClassName);
      if (!found)
        throw new AllocationError(
          `claim ${key}, request ${name}: could not retrieve device class ${form.deviceClassName}: deviceclass.resource.k8s.io ${JSON.stringify(form.deviceClassName)} not found`,
        );
      return {
        name,
        class: found,
        adminAccess,
        mode: form.allocationMode === 'All' ? 'All' : 'ExactCount',
        count: form.count ?? 1,
        selectors: [
          ...compileAll(`class ${found.metadata?.name}`, found.spec.selectors),
          ...compileAll(`claim ${key}`, form.selectors),
        ],
        tolerations: form.tolerations ?? [],
        capacity: form.capacity?.requests,
      };
    });
    return { name: r.name, alternatives };
  });
}
