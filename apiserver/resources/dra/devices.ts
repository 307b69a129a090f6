/** Device classes and the slices that drivers publish. */
import type * as k8s from '@kubernetes/client-node';
import type { Quantity } from '../../../api/quantity.ts';
import { semanticEqual } from '../../../api/meta.ts';
import { formatTime } from '../../../base/clock.ts';
import type { StrategyContext } from '../../registry/definition.ts';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { bumpGeneration, define, withGeneration } from '../define.ts';
import { nodeSelector } from '../pods/scheduling.ts';
import { rules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { dns1123Subdomain } from '../validation/names.ts';
import { isExtendedResource, quantity } from '../validation/values.ts';
import {
  attributeName,
  bindingConditions,
  configuration,
  driverName,
  GROUP,
  label,
  MAX,
  poolName,
  selectors,
  taint,
} from './common.ts';
import { bounded, map, set } from './sets.ts';

type Class = Json<k8s.V1DeviceClass>;

export const deviceClasses = define<Class>(GROUP, 'deviceclasses', 'DeviceClass', 'Cluster', {
  returnDeletedObject: true,
  strategy: {
    ...withGeneration<Class>(),
    ...rules<Class>({
      scope: 'Cluster',
      anyGenerateName: true,
      always(f) {
        const s = f.get('spec');
        selectors(s.get('selectors'));
        bounded(s.get('config'), MAX.config, (c) => configuration(c as never));
        const name = s.get('extendedResourceName');
        if (name.isSet) name.check(isExtendedResource(name.value!), 'must be a valid extended resource name');
      },
    }),
  },
  table: { cells: (c, now) => [nameOf(c), age(c, now)] },
});

type Slice = Json<k8s.V1ResourceSlice>;
type SliceSpec = Slice['spec'];
type Device = Json<k8s.V1Device>;
type Capacity = Json<k8s.V1DeviceCapacity>;
type Policy = Json<k8s.V1CapacityRequestPolicy>;

const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$/;
const TYPES = ['bool', 'int', 'string', 'version'] as const;

function attribute(f: Field<Json<k8s.V1DeviceAttribute>>): void {
  f.get('string').maxLength(MAX.value);
  const version = f.get('version');
  if (version.isSet)
    version
      .check(SEMVER.test(version.value!), 'must be a string compatible with semver.org spec 2.0.0')
      .maxLength(MAX.value);
  f.check(TYPES.filter((t) => f.get(t).isSet).length === 1, 'exactly one value must be specified');
}

function requestPolicy(f: Field<Policy>, capacity: Quantity): void {
  const { validValues, validRange, default: fallback } = f.value!;
  if (validValues?.length && validRange)
    return void f.forbidden(
      'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time',
    );
  if (!validValues?.length && !validRange) return;
  if (fallback === undefined)
    return void f.get('default').missing(`required when ${validRange ? 'validRange' : 'validValues'} is defined`);
  const normal = quantity(fallback);
  if (validRange) return policyRange(f.get('validRange'), capacity, normal);
  const values = f.get('validValues');
  const amounts = validValues!.map(quantity);
  amounts.forEach(
    (q, i) =>
      i > 0 && values.at(i, q).check(amounts[i - 1]!.compare(q) <= 0, 'values must be sorted in ascending order'),
  );
  set(
    values,
    10,
    (q) => quantity(q).toString(),
    (q) =>
      void q.check(
        quantity(q.value).compare(capacity) <= 0,
        `option is larger than capacity value: ${String(capacity)}`,
      ),
  );
  values.check(
    amounts.some((q) => q.equals(normal)),
    'default value is not valid according to the requestPolicy',
  );
}

function policyRange(f: Field<NonNullable<Policy['validRange']>>, capacity: Quantity, normal: Quantity): void {
  const r = f.value!;
  if (r.min === undefined) return void f.get('min').missing('required when validRange is defined');
  const min = quantity(r.min);
  f.get('min').check(min.compare(capacity) <= 0, `min is larger than capacity value: ${String(capacity)}`);
  f.get('min').check(normal.compare(min) >= 0, `default is less than min: ${String(min)}`);
  const max = r.max === undefined ? undefined : quantity(r.max);
  if (max) {
    f.get('max').check(min.compare(max) <= 0, `min is larger than max: ${String(max)}`);
    f.get('max').check(max.compare(capacity) <= 0, `max is larger than capacity value: ${String(capacity)}`);
    f.get('max').check(normal.compare(max) <= 0, `default is more than max: ${String(max)}`);
  }
  if (r.step === undefined) return;
  const step = quantity(r.step);
  f.get('step').check(
    min.add(step).compare(capacity) <= 0,
    `one step is larger than capacity value: ${String(capacity)}`,
  );
  for (const q of max ? [normal, max] : [normal]) {
    const steps = (q.asNumber() - min.asNumber()) % step.asNumber();
    f.get('step').check(steps === 0, `value is not a multiple of a given step (${String(step)}) from (${String(min)})`);
  }
}

function capacity(f: Field<Capacity>, shared: boolean): void {
  const policy = f.get('requestPolicy');
  if (!policy.isSet) return;
  if (shared) requestPolicy(policy, quantity(f.value?.value));
  else policy.forbidden('allowMultipleAllocations must be true');
}

interface Placement {
  nodeName?: string;
  nodeSelector?: Json<k8s.V1NodeSelector>;
  allNodes?: boolean;
  perDeviceNodeSelection?: boolean;
}
/** How many ways of saying where something is are used; each is checked. */
function placements(f: Field<Placement>): number {
  const name = f.get('nodeName');
  if (name.value === '') name.invalid('must be either unset or set to a non-empty string');
  name.format(dns1123Subdomain);
  f.get('nodeSelector').with((s) => nodeSelector(s));
  for (const k of ['allNodes', 'perDeviceNodeSelection'] as const)
    f.get(k).check(f.value?.[k] !== false, 'must be either unset or set to true');
  const { nodeName, nodeSelector: selector, allNodes, perDeviceNodeSelection } = f.value!;
  return [nodeName, selector, allNodes, perDeviceNodeSelection].filter(Boolean).length;
}
function onePlacement(f: Field<Placement>, which: string): void {
  const n = placements(f);
  if (n === 0) f.missing(`exactly one of ${which} is required`);
  else f.check(n === 1, `exactly one of ${which} is required, but multiple fields are set`);
}

function device(f: Field<Device>, old: DeepReadonly<Device> | undefined, perDevice: boolean): void {
  const d = f.value!;
  label(f.get('name'));
  const count = Object.keys(d.attributes ?? {}).length + Object.keys(d.capacity ?? {}).length;
  f.check(count <= 32, 'the total number of attributes and capacities must not exceed 32');
  map(f.get('attributes') as Field<Record<string, Json<k8s.V1DeviceAttribute>>>, Infinity, attributeName, attribute);
  map(f.get('capacity') as Field<Record<string, Capacity>>, Infinity, attributeName, (c) =>
    capacity(c, d.allowMultipleAllocations === true),
  );
  if (!old || !semanticEqual(old.taints, d.taints)) bounded(f.get('taints'), 16, taint);
  set(
    f.get('consumesCounters'),
    2,
    (c) => c.counterSet,
    (c) => {
      if (c.get('counterSet').need()) label(c.get('counterSet'));
      counters(c.get('counters') as Field<Record<string, unknown>>);
    },
  );
  if (perDevice) onePlacement(f as never, '`nodeName`, `nodeSelector`, or `allNodes`');
  else if (d.nodeName !== undefined || d.nodeSelector !== undefined || d.allNodes !== undefined) {
    f.invalid(
      '`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec',
      null,
    );
  }
  bindingConditions(f as never);
}

function counters(f: Field<Record<string, unknown>>): void {
  if (f.need()) map(f, 32, label, () => undefined);
}

function slice(f: Field<SliceSpec>, old: DeepReadonly<SliceSpec> | undefined): void {
  const s = f.value;
  driverName(f.get('driver'));
  const pool = f.get('pool');
  poolName(pool.get('name'));
  pool.get('resourceSliceCount').check((s?.pool?.resourceSliceCount ?? 0) > 0, 'must be greater than zero');
  pool.get('generation').check((s?.pool?.generation ?? 0) >= 0, 'must be greater than or equal to zero');
  if (old) {
    pool.get('name').immutable(old.pool?.name);
    f.get('driver').immutable(old.driver);
    f.get('nodeName').immutable(old.nodeName);
  }
  onePlacement(f as unknown as Field<Placement>, '`nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection`');
  const terms = f.get('nodeSelector').get('nodeSelectorTerms');
  if (s?.nodeSelector) terms.check(terms.value?.length === 1, 'must have exactly one node selector term');
  if (s?.sharedCounters && s.devices) f.invalid('only one of `sharedCounters` or `devices` is allowed', '');
  const advanced = s?.devices?.some((d) => d.taints?.length || d.consumesCounters?.length);
  set(
    f.get('devices'),
    advanced ? 64 : 128,
    (d) => d.name,
    (d) =>
      device(
        d,
        old?.devices?.find((o) => o.name === d.value!.name),
        s?.perDeviceNodeSelection === true,
      ),
  );
  set(
    f.get('sharedCounters'),
    8,
    (c) => c.name,
    (c) => {
      if (c.get('name').need()) label(c.get('name'));
      counters(c.get('counters') as Field<Record<string, unknown>>);
    },
  );
}

/** Taints say since when they are there. */
function noteTaints(s: Slice, ctx: StrategyContext): void {
  for (const d of s.spec?.devices ?? []) for (const t of d.taints ?? []) t.timeAdded ??= formatTime(ctx.clock.now());
}

export const resourceSlices = define<Slice>(GROUP, 'resourceslices', 'ResourceSlice', 'Cluster', {
  returnDeletedObject: true,
  strategy: {
    countsDisabledFields: true,
    prepareForCreate(s, ctx) {
      (s.metadata ??= {}).generation = 1;
      noteTaints(s, ctx);
    },
    prepareForUpdate(s, old, ctx) {
      noteTaints(s, ctx);
      bumpGeneration(s, old);
    },
    ...rules<Slice>({
      scope: 'Cluster',
      anyGenerateName: 'update',
      always: (f, _ctx, old) => slice(f.value?.spec ? f.get('spec') : f.named('spec', {} as SliceSpec), old?.spec),
    }),
    warnings: (s) =>
      s.spec?.driver && s.spec.driver !== s.spec.driver.toLowerCase()
        ? [
            `spec.driver: driver names should be lowercase; ${JSON.stringify(s.spec.driver)} contains uppercase characters`,
          ]
        : [],
  },
  selectableFields: (s) => ({ 'spec.nodeName': s.spec?.nodeName ?? '', 'spec.driver': s.spec?.driver ?? '' }),
  indexedFields: ['spec.nodeName'],
  table: {
    cells: (s, now) => [nameOf(s), s.spec?.nodeName ?? '', s.spec?.driver ?? '', s.spec?.pool?.name ?? '', age(s, now)],
  },
});
