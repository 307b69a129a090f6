/**
 * Device selectors (KEP-4381): the one variable `device`, with attributes and capacities by domain and name.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../quantity.ts';
import type { DeepReadonly, Json } from '../types.ts';
import { createCelEnv, type DeclType } from './index.ts';
import { parseSemver, QuantityValue } from './library/kubernetes.ts';
import { CelError, LiteralMap, MapValue, type Value } from './values.ts';

type Attribute = DeepReadonly<Json<k8s.V1DeviceAttribute>>;
type Capacity = DeepReadonly<Json<k8s.V1DeviceCapacity>>;

/** What a selector may look at. */
export interface DeviceInput {
  /** Also the domain of names that have none. */
  readonly driver: string;
  readonly allowMultipleAllocations?: boolean;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly capacity?: Readonly<Record<string, Capacity>>;
}
/** Throws CelError or CostLimitError when there is no answer. */
export type DeviceSelector = (device: DeviceInput) => boolean;

const DOMAIN = 63;
const ID = 32;
const VALUE = 64;
const ENTRIES = 32;
/** In kube-apiserver's cost units; above it an expression is refused, and evaluation ends. */
const DEVICE_SELECTOR_MAX_COST = 1_000_000;

const byDomain = (values: DeclType): DeclType => ({
  kind: 'map',
  max: ENTRIES,
  values: { kind: 'map', max: ENTRIES, values },
});
/** The variables of device selectors. */
export const DEVICE_VARIABLES: Readonly<Record<string, DeclType>> = {
  device: {
    kind: 'object',
    name: 'kubernetes.DRADevice',
    fields: new Map<string, DeclType>([
      ['driver', { kind: 'string', max: DOMAIN }],
      ['allowMultipleAllocations', { kind: 'bool' }],
      ['attributes', byDomain({ kind: 'dyn', max: VALUE })],
      ['capacity', byDomain({ kind: 'dyn', max: ID })],
    ]),
  },
};

/** A map that has an empty map under every name it doesn't know, so that `in` and `has` can be asked of any domain. */
class Domains extends MapValue {
  private readonly domains: ReadonlyMap<string, MapValue>;
  constructor(domains: ReadonlyMap<string, MapValue>) {
    super();
    this.domains = domains;
  }
  get size(): number {
    return this.domains.size;
  }
  get(key: Value): Value | undefined {
    return this.domains.get(key as string) ?? EMPTY;
  }
  override has(key: Value): boolean {
    return this.domains.has(key as string);
  }
  keys(): Iterable<Value> {
    return this.domains.keys();
  }
}
const EMPTY = new LiteralMap([]);

function attributeValue(name: string, a: Attribute): Value {
  if (a.int !== undefined) return BigInt(a.int);
  if (a.bool !== undefined) return a.bool;
  if (a.string !== undefined) return a.string;
  if (a.version !== undefined) {
    const v = parseSemver(a.version, false);
    if (v) return v;
    throw new CelError(`attribute ${name}: parse semantic version: ${JSON.stringify(a.version)}`);
  }
  throw new CelError(`attribute ${name}: unsupported attribute value`);
}

function domains<T>(
  driver: string,
  entries: Readonly<Record<string, T>> | undefined,
  read: (name: string, v: T) => Value,
): Domains {
  const found = new Map<string, [string, Value][]>();
  for (const [full, v] of Object.entries(entries ?? {})) {
    const slash = full.indexOf('/');
    const domain = slash < 0 ? driver : full.slice(0, slash);
    const entry: [string, Value] = [full.slice(slash + 1), read(full, v)];
    const list = found.get(domain);
    if (list) list.push(entry);
    else found.set(domain, [entry]);
  }
  return new Domains(new Map([...found].map(([k, v]) => [k, new LiteralMap(v)])));
}

let env: ReturnType<typeof createCelEnv> | undefined;

/** Throws CelSyntaxError when the text is no selector. */
export function compileDeviceSelector(source: string): DeviceSelector {
  env ??= createCelEnv({ variables: DEVICE_VARIABLES, bindings: true });
  const program = env.compile(source);
  return (device) => {
    const cel = new LiteralMap([
      ['driver', device.driver],
      ['allowMultipleAllocations', device.allowMultipleAllocations ?? false],
      ['attributes', domains(device.driver, device.attributes, attributeValue)],
      ['capacity', domains(device.driver, device.capacity, (_name, c) => new QuantityValue(Quantity.parse(c.value)))],
    ]);
    const { value } = program.evaluate({ device: { cel } }, DEVICE_SELECTOR_MAX_COST);
    if (typeof value !== 'boolean') throw new CelError('the selector is neither true nor false');
    return value;
  };
}
