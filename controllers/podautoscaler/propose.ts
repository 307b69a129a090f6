/** What one metric of an autoscaler asks for. */
import { Quantity } from '../../api/quantity.ts';
import type { LabelMatcher } from '../../api/selectors.ts';
import { parseApiVersion, type DeepReadonly, type LabelSelector } from '../../api/types.ts';
import { horizontalPodAutoscalers, pods } from '../../client/resources.ts';
import type { Deps } from '../framework.ts';
import { discover, type DiscoveredResource } from '../../client/discovery.ts';
import { body, meta } from '../lib/meta.ts';
import { isReady, type PodView } from '../lib/pods.ts';
import { labelSelector } from '../lib/selectors.ts';
import type { Autoscaler, AutoscalerView, History } from './behavior.ts';
import { because, externalValue, milli, objectValue, podSamples, requestOf, resourceSamples } from './metrics.ts';
import {
  groupPods,
  replicasByAverage,
  replicasByUse,
  replicasByValue,
  type Samples,
  type Tolerance,
} from './replicas.ts';

export const inputs = { autoscalers: horizontalPodAutoscalers, pods };
export interface State {
  history: Map<string, History>;
  /** What each autoscaler's target selects. */
  selectors: Map<string, LabelMatcher>;
  discovered?: { at: number; resources: readonly DiscoveredResource[] };
}
export type D = Deps<typeof inputs, State>;
export type Status = NonNullable<Autoscaler['status']>;
export type MetricSpec = NonNullable<NonNullable<AutoscalerView['spec']>['metrics']>[number];
export type MetricStatus = NonNullable<Status['currentMetrics']>[number];

export interface Scale {
  metadata?: { resourceVersion?: string };
  spec?: { replicas?: number };
  status?: { replicas?: number; selector?: string };
}

export interface Turn {
  readonly deps: D;
  readonly hpa: AutoscalerView;
  readonly now: number;
  status: Status;
}

/** The resource that serves a kind. @throws when none does. */
export async function resourceFor(deps: D, apiVersion: string, kind: string): Promise<DiscoveredResource> {
  const now = deps.clock.monotonic();
  if (!deps.state.discovered || now - deps.state.discovered.at > 60_000)
    deps.state.discovered = { at: now, resources: (await discover(deps.client)).resources };
  const { group } = parseApiVersion(apiVersion);
  const found = deps.state.discovered.resources.find((r) => r.group === group && r.kind === kind);
  if (!found) throw new Error(`no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`);
  return found;
}

const quantity = (thousandths: number) => Quantity.fromMilli(Math.round(thousandths)).toString();
const selectorText = (s: DeepReadonly<LabelSelector> | undefined) => (s ? labelSelector(s).text : '');

export interface Proposal {
  replicas: number;
  /** For the reason of a rescale: "<name> above target". */
  name: string;
  status: MetricStatus;
}

/** What one metric asks for. @throws when it can't be had. */
export function propose(
  t: Turn,
  m: MetricSpec,
  scale: Scale,
  selected: readonly PodView[],
  tolerance: Tolerance,
): Promise<Proposal> {
  const work = () => measure(t, m, scale, selected, tolerance);
  if (m.type !== 'Resource' && m.type !== 'ContainerResource') return work();
  const { name, target } = (m.resource ?? m.containerResource)!;
  return because(`failed to get ${name} ${target.averageValue === undefined ? 'utilization' : 'usage'}`, work);
}

/** What a failure of the metric is called beside those of other metrics. */
export function failureOf(m: MetricSpec): string {
  switch (m.type) {
    case 'Object':
      return 'failed to get object metric value';
    case 'Pods':
      return 'failed to get pods metric value';
    case 'Resource':
      return `failed to get ${m.resource?.name} resource metric value`;
    case 'ContainerResource':
      return `failed to get ${m.containerResource?.container} container metric value`;
    default:
      return `failed to get ${m.external?.metric.name} external metric value`;
  }
}

async function measure(
  t: Turn,
  m: MetricSpec,
  scale: Scale,
  selected: readonly PodView[],
  tolerance: Tolerance,
): Promise<Proposal> {
  const { deps, hpa, now } = t;
  const { client, options } = deps;
  const { namespace } = meta(hpa);
  const current = scale.spec?.replicas ?? 0;
  const selector = scale.status?.selector ?? '';
  const timing = {
    now,
    cpuInitializationMs: options.hpaCPUInitializationPeriodMs,
    initialReadinessMs: options.hpaInitialReadinessDelayMs,
  };
  const byUse = (
    samples: Samples,
    isCpu: boolean,
    wanted: (pod: string) => number,
    fallback: (pod: string) => number,
  ) => {
    const groups = groupPods(selected, samples, isCpu, timing);
    const use = groups.ready.reduce((n, p) => n + (samples.get(p)?.value ?? 0), 0);
    return {
      ...replicasByUse(current, groups, samples, wanted, fallback, tolerance),
      average: groups.ready.length ? use / groups.ready.length : 0,
    };
  };
  const byAverage = (value: number, target: string | undefined) => {
    const n = scale.status?.replicas ?? 0;
    return {
      replicas: replicasByAverage(current, value, milli(target), n, tolerance),
      current: { averageValue: quantity(n === 0 ? value : value / n) },
    };
  };
  const byValue = (value: number, target: string | undefined) => ({
    replicas: replicasByValue(current, value, milli(target), selected.filter(isReady).length, tolerance),
    current: { value: quantity(value) },
  });
  switch (m.type) {
    case 'Resource':
    case 'ContainerResource': {
      const source = (m.type === 'Resource' ? m.resource : m.containerResource)!;
      const container = m.type === 'ContainerResource' ? m.containerResource!.container : undefined;
      const samples = await because(`unable to get metrics for resource ${source.name}`, () =>
        resourceSamples(client, namespace, selector, source.name, container),
      );
      const isCpu = source.name === 'cpu';
      const make = (now2: NonNullable<MetricStatus['resource']>['current']): MetricStatus =>
        container === undefined
          ? { type: 'Resource', resource: { name: source.name, current: now2 } }
          : { type: 'ContainerResource', containerResource: { name: source.name, container, current: now2 } };
      if (source.target.averageValue !== undefined) {
        const target = milli(source.target.averageValue);
        const r = byUse(
          samples,
          isCpu,
          () => target,
          () => target,
        );
        return {
          replicas: r.replicas,
          name: `${source.name} resource`,
          status: make({ averageValue: quantity(r.average) }),
        };
      }
      const percent = source.target.averageUtilization ?? 80;
      const requests = new Map<string, number>();
      for (const p of selected) requests.set(meta(p).name, requestOf(p, source.name, container));
      const request = (pod: string) => requests.get(pod) ?? 0;
      const r = byUse(
        samples,
        isCpu,
        (pod) => (request(pod) * percent) / 100,
        (pod) => (request(pod) * Math.max(100, percent)) / 100,
      );
      const what = container === undefined ? 'resource' : 'container resource';
      return {
        replicas: r.replicas,
        name: `${source.name} ${what} utilization (percentage of request)`,
        status: make({ averageUtilization: Math.trunc(r.ratio * percent), averageValue: quantity(r.average) }),
      };
    }
    case 'Pods': {
      const source = m.pods!;
      const samples = await because(`unable to get metric ${source.metric.name}`, () =>
        podSamples(client, namespace, selector, source.metric.name, selectorText(source.metric.selector)),
      );
      const target = milli(source.target.averageValue);
      const r = byUse(
        samples,
        false,
        () => target,
        () => target,
      );
      const metric = body<NonNullable<MetricStatus['pods']>['metric']>(source.metric);
      return {
        replicas: r.replicas,
        name: `pods metric ${source.metric.name}`,
        status: { type: 'Pods', pods: { metric, current: { averageValue: quantity(r.average) } } },
      };
    }
    case 'Object': {
      const source = m.object!;
      const described = source.describedObject;
      const resource = await resourceFor(deps, described.apiVersion ?? 'v1', described.kind);
      const group = resource.group === '' ? resource.resource : `${resource.resource}.${resource.group}`;
      const where = `${described.kind} on ${namespace} ${described.name}`;
      const value = await because(`unable to get metric ${source.metric.name}: ${where}`, () =>
        objectValue(client, namespace, group, described.name, source.metric.name, selectorText(source.metric.selector)),
      );
      const shared = {
        describedObject: { ...described },
        metric: body<NonNullable<MetricStatus['object']>['metric']>(source.metric),
      };
      const name = `${described.kind} metric ${source.metric.name}`;
      const r =
        source.target.type === 'AverageValue'
          ? byAverage(value, source.target.averageValue)
          : byValue(value, source.target.value);
      return { replicas: r.replicas, name, status: { type: 'Object', object: { ...shared, current: r.current } } };
    }
    case 'External': {
      const source = m.external!;
      const chosen = selectorText(source.metric.selector);
      const value = await because(
        `unable to get external metric ${namespace}/${source.metric.name}/${chosen || 'nil'}`,
        () => externalValue(client, namespace, source.metric.name, chosen),
      );
      const metric = body<NonNullable<MetricStatus['external']>['metric']>(source.metric);
      const name = `external metric ${source.metric.name}(${chosen || 'nil'})`;
      const r =
        source.target.averageValue === undefined
          ? byValue(value, source.target.value)
          : byAverage(value, source.target.averageValue);
      return { replicas: r.replicas, name, status: { type: 'External', external: { metric, current: r.current } } };
    }
    default:
      throw new Error(`unknown metric source type ${JSON.stringify(m.type)}`);
  }
}
