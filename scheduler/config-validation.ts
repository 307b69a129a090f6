/** What a KubeSchedulerConfiguration must be beyond its form; messages are the original's. */
import {
  duplicate,
  forbiddenField,
  invalid,
  notSupported,
  Path,
  required,
  type FieldError,
} from '../api/field-errors.ts';
import { parseDuration } from '../api/time.ts';
import { isQualifiedName } from '../api/validation/names.ts';
import type { ExtenderConfig, ProfileConfig, SchedulerConfig } from './config.ts';
import { isExtendedResource } from './core/resources.ts';
import type { DefaultPreemptionArgs } from './plugins/default-preemption.ts';
import type { DynamicResourcesArgs } from './plugins/dynamic-resources.ts';
import type { InterPodAffinityArgs } from './plugins/inter-pod-affinity.ts';
import type { BalancedAllocationArgs } from './plugins/node-resources-balanced-allocation.ts';
import type { NodeResourcesFitArgs } from './plugins/node-resources-fit.ts';
import type { PodTopologySpreadArgs } from './plugins/pod-topology-spread.ts';
import type { VolumeBindingArgs } from './plugins/volume-binding.ts';

/** Plugins of times past. */
const GONE = new Set(['AzureDiskLimits', 'CinderLimits', 'EBSLimits', 'GCEPDLimits']);
const VERSION = 'kubescheduler.config.k8s.io/v1';

export function validateConfig(c: SchedulerConfig): FieldError[] {
  const out: FieldError[] = [];
  const root = (name: string) => Path.root(name);
  if (c.parallelism !== undefined && c.parallelism <= 0)
    out.push(invalid(root('parallelism'), c.parallelism, 'should be an integer value greater than zero'));
  const profiles = c.profiles ?? [];
  const seen = new Map<string, number>();
  for (const [i, p] of profiles.entries()) {
    const path = root('profiles').index(i);
    const name = p.schedulerName ?? (profiles.length === 1 ? 'default-scheduler' : '');
    if (name === '') out.push(required(path.child('schedulerName')));
    out.push(...percentage(path.child('percentageOfNodesToScore'), p.percentageOfNodesToScore));
    out.push(...profile(path, p));
    const before = seen.get(name);
    if (before !== undefined)
      out.push(duplicate(path.child('schedulerName'), String(root('profiles').index(before).child('schedulerName'))));
    seen.set(name, i);
  }
  out.push(...queueSorts(profiles), ...percentage(root('percentageOfNodesToScore'), c.percentageOfNodesToScore));
  const initial = c.podInitialBackoffSeconds ?? 1;
  const most = c.podMaxBackoffSeconds ?? 10;
  if (initial <= 0) out.push(invalid(root('podInitialBackoffSeconds'), initial, 'must be greater than 0'));
  if (most < initial)
    out.push(invalid(root('podMaxBackoffSeconds'), most, 'must be greater than or equal to PodInitialBackoffSeconds'));
  out.push(...election(c.leaderElection), ...extenders(c.extenders ?? []));
  return out;
}

function percentage(path: Path, value: number | undefined): FieldError[] {
  return value !== undefined && (value < 0 || value > 100) ? [invalid(path, value, 'not in valid range [0-100]')] : [];
}

function election(e: SchedulerConfig['leaderElection']): FieldError[] {
  if (!e || e.leaderElect === false) return [];
  const out: FieldError[] = [];
  const path = Path.root('leaderElection');
  const ms = (text: string | undefined, standard: number) =>
    text === undefined ? standard : Number(parseDuration(text) ?? 0n) / 1e6;
  const [lease, renew, retry] = [ms(e.leaseDuration, 15_000), ms(e.renewDeadline, 10_000), ms(e.retryPeriod, 2000)];
  const positive = (name: 'leaseDuration' | 'renewDeadline' | 'retryPeriod', value: number) => {
    if (value <= 0) out.push(invalid(path.child(name), e[name], 'must be greater than zero'));
  };
  positive('leaseDuration', lease);
  positive('renewDeadline', renew);
  positive('retryPeriod', retry);
  if (lease <= renew)
    out.push(invalid(path.child('leaseDuration'), e.renewDeadline, 'LeaseDuration must be greater than RenewDeadline'));
  if (e.resourceLock !== undefined && e.resourceLock !== 'leases')
    out.push(invalid(path.child('resourceLock'), e.resourceLock, 'resourceLock value must be "leases"'));
  return out;
}

function profile(path: Path, p: ProfileConfig): FieldError[] {
  const out: FieldError[] = [];
  const gone = (at: Path, name: string) => {
    if (GONE.has(name))
      out.push(
        invalid(at, name, `was invalid in version "${VERSION}" (KubeSchedulerConfiguration is version "${VERSION}")`),
      );
  };
  for (const [point, set] of Object.entries(p.plugins ?? {}))
    for (const [i, e] of (set.enabled ?? []).entries()) gone(path.child('plugins', point, 'enabled').index(i), e.name);
  const seen = new Set<string>();
  for (const [i, { name, args = {} }] of (p.pluginConfig ?? []).entries()) {
    const at = path.child('pluginConfig').index(i);
    if (seen.has(name)) out.push(duplicate(at, name));
    seen.add(name);
    gone(at, name);
    const check = Object.hasOwn(ARGUMENTS, name) ? ARGUMENTS[name] : undefined;
    if (check) out.push(...check(at.child('args'), args));
  }
  return out;
}

function queueSorts(profiles: readonly ProfileConfig[]): FieldError[] {
  const out: FieldError[] = [];
  const sortOf = (p: ProfileConfig | undefined) => p?.plugins?.queueSort;
  const path = Path.root('profiles');
  const first = sortOf(profiles[0]);
  const many = first?.enabled?.length ?? 0;
  if (many > 1)
    out.push(
      invalid(
        path.index(0).child('plugins', 'queueSort', 'Enabled'),
        many,
        'only one queue sort plugin can be enabled',
      ),
    );
  for (const [i, p] of profiles.entries())
    if (JSON.stringify(sortOf(p) ?? {}) !== JSON.stringify(first ?? {}))
      out.push(
        invalid(path.index(i).child('plugins', 'queueSort'), sortOf(p) ?? {}, 'must be the same for all profiles'),
      );
  return out;
}

function extenders(list: readonly ExtenderConfig[]): FieldError[] {
  const out: FieldError[] = [];
  const path = Path.root('extenders');
  const managed = new Set<string>();
  for (const [i, e] of list.entries()) {
    if (e.prioritizeVerb && (e.weight ?? 0) <= 0)
      out.push(invalid(path.index(i).child('weight'), e.weight ?? 0, 'must have a positive weight applied to it'));
    for (const [j, r] of (e.managedResources ?? []).entries()) {
      const at = path.index(i).child('managedResources').index(j).child('name');
      const wrong = isQualifiedName(r.name);
      for (const m of wrong) out.push(invalid(at, r.name, m));
      if (wrong.length === 0 && !isExtendedResource(r.name))
        out.push(invalid(at, r.name, 'is an invalid extended resource name'));
      if (managed.has(r.name)) out.push(invalid(at, r.name, 'duplicate extender managed resource name'));
      managed.add(r.name);
    }
  }
  const binders = list.filter((e) => e.bindVerb).length;
  if (binders > 1)
    out.push(invalid(path, `found ${binders} extenders implementing bind`, 'only one extender can implement bind'));
  return out;
}

function range(path: Path, value: number | undefined, min: number, max: number): FieldError[] {
  if (value === undefined || (value >= min && value <= max)) return [];
  return [invalid(path, value, `not in valid range [${min}, ${max === Infinity ? 'inf)' : `${max}]`}`)];
}

type Check = (path: Path, args: object) => FieldError[];
const ARGUMENTS: Readonly<Record<string, Check>> = {
  DefaultPreemption(path, args: DefaultPreemptionArgs) {
    const { minCandidateNodesPercentage: percent = 10, minCandidateNodesAbsolute: absolute = 100 } = args;
    const [p, a] = [path.child('minCandidateNodesPercentage'), path.child('minCandidateNodesAbsolute')];
    const out = [...range(p, percent, 0, 100), ...range(a, absolute, 0, Infinity)];
    if (percent === 0 && absolute === 0)
      out.push(
        invalid(p, percent, 'cannot be zero at the same time as minCandidateNodesAbsolute'),
        invalid(a, absolute, 'cannot be zero at the same time as minCandidateNodesPercentage'),
      );
    return out;
  },
  DynamicResources(path, args: DynamicResourcesArgs) {
    return (['filterTimeout', 'bindingTimeout'] as const).flatMap((name) => {
      const nanos = args[name] === undefined ? undefined : parseDuration(args[name]);
      if (nanos === undefined) return [];
      if (name === 'filterTimeout')
        return nanos < 0n ? [invalid(path.child(name), args[name], 'must be zero or positive')] : [];
      return nanos < 1_000_000_000n ? [invalid(path.child(name), args[name], 'must be at least 1 second')] : [];
    });
  },
  InterPodAffinity: (path, args: InterPodAffinityArgs) =>
    range(path.child('hardPodAffinityWeight'), args.hardPodAffinityWeight, 0, 100),
  NodeResourcesBalancedAllocation(path, args: BalancedAllocationArgs) {
    const seen = new Set<string>();
    return (args.resources ?? []).flatMap((r, i) => {
      const at = path.child('resources').index(i);
      const out = seen.has(r.name) ? [duplicate(at.child('name'), r.name)] : [];
      seen.add(r.name);
      return r.weight && r.weight !== 1 ? [...out, invalid(at.child('weight'), r.weight, 'must be 1')] : out;
    });
  },
  NodeResourcesFit: resourcesFit,
  PodTopologySpread: topologySpread,
  VolumeBinding(path, args: VolumeBindingArgs & { shape?: unknown }) {
    const out: FieldError[] = [];
    const { bindTimeoutSeconds: seconds = 600, shape } = args;
    if (seconds < 0)
      out.push(
        invalid(
          path.child('bindTimeoutSeconds'),
          seconds,
          'invalid BindTimeoutSeconds, should not be a negative value',
        ),
      );
    if (shape !== undefined)
      out.push(
        invalid(
          path.child('shape'),
          shape,
          'unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring',
        ),
      );
    return out;
  },
};

function resourcesFit(path: Path, args: NodeResourcesFitArgs): FieldError[] {
  const out: FieldError[] = [];
  const names = (field: 'ignoredResources' | 'ignoredResourceGroups') => {
    for (const [i, name] of (args[field] ?? []).entries()) {
      const at = path.child(field).index(i);
      if (field === 'ignoredResourceGroups' && name.includes('/'))
        out.push(invalid(at, name, "resource group name can't contain '/'"));
      for (const m of isQualifiedName(name)) out.push(invalid(at, name, m));
    }
  };
  names('ignoredResources');
  names('ignoredResourceGroups');
  const strategy = args.scoringStrategy;
  if (!strategy) return out;
  const at = path.child('scoringStrategy');
  const { type = 'LeastAllocated', requestedToCapacityRatio: ratio } = strategy;
  const types = ['LeastAllocated', 'MostAllocated', 'RequestedToCapacityRatio'];
  if (!types.includes(type)) out.push(notSupported(at.child('type'), type, types));
  for (const [i, r] of (strategy.resources ?? []).entries())
    if (r.weight !== undefined && (r.weight < 0 || r.weight > 100))
      out.push(
        invalid(
          at.child('resources').index(i).child('weight'),
          r.weight,
          `resource weight of ${r.name} not in valid range (0, 100]`,
        ),
      );
  const below = at.child('requestedToCapacityRatio');
  if (type !== 'RequestedToCapacityRatio') {
    if (ratio) out.push(forbiddenField(below, 'must be nil when type is not RequestedToCapacityRatio'));
  } else if (!ratio) out.push(required(below, 'must be specified when type is RequestedToCapacityRatio'));
  else out.push(...functionShape(below.child('shape'), ratio.shape ?? []));
  return out;
}

function functionShape(path: Path, shape: readonly { utilization: number; score: number }[]): FieldError[] {
  if (shape.length === 0) return [required(path, 'at least one point must be specified')];
  const out: FieldError[] = [];
  const unsorted = shape.findIndex((p, i) => i > 0 && shape[i - 1]!.utilization >= p.utilization);
  if (unsorted > 0)
    out.push(
      invalid(
        path.index(unsorted).child('utilization'),
        shape[unsorted]!.utilization,
        'values must be sorted in increasing order',
      ),
    );
  for (const [i, p] of shape.entries())
    out.push(
      ...range(path.index(i).child('utilization'), p.utilization, 0, 100),
      ...range(path.index(i).child('score'), p.score, 0, 10),
    );
  return out;
}

function topologySpread(path: Path, args: PodTopologySpreadArgs): FieldError[] {
  const out: FieldError[] = [];
  const { defaultingType: type = 'System', defaultConstraints: list = [] } = args;
  if (type !== 'System' && type !== 'List')
    out.push(notSupported(path.child('defaultingType'), type, ['System', 'List']));
  else if (type === 'System' && list.length > 0)
    out.push(invalid(path.child('defaultingType'), type, 'when .defaultConstraints are not empty'));
  const actions = ['DoNotSchedule', 'ScheduleAnyway'];
  for (const [i, c] of list.entries()) {
    const at = path.child('defaultConstraints').index(i);
    if (!(c.maxSkew > 0)) out.push(invalid(at.child('maxSkew'), c.maxSkew ?? 0, 'not in valid range (0, inf)'));
    if (!c.topologyKey) out.push(required(at.child('topologyKey'), 'can not be empty'));
    else for (const m of isQualifiedName(c.topologyKey)) out.push(invalid(at.child('topologyKey'), c.topologyKey, m));
    if (!c.whenUnsatisfiable) out.push(required(at.child('whenUnsatisfiable'), 'can not be empty'));
    else if (!actions.includes(c.whenUnsatisfiable))
      out.push(notSupported(at.child('whenUnsatisfiable'), c.whenUnsatisfiable, actions));
    if (c.labelSelector)
      out.push(
        forbiddenField(
          at.child('labelSelector'),
          'constraint must not define a selector, as they deduced for each pod',
        ),
      );
    const same = list
      .slice(0, i)
      .some((o) => o.topologyKey === c.topologyKey && o.whenUnsatisfiable === c.whenUnsatisfiable);
    if (same) out.push(duplicate(at, `{${c.topologyKey}, ${c.whenUnsatisfiable}}`));
  }
  return out;
}
