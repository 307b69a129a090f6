/** Writes the EndpointSlices of Services that select pods. */
import { isNotFound } from '../../api/status.ts';
import { formatTime } from '../../base/clock.ts';
import type { EndpointSlice } from '../../api/types.ts';
import { keyOf, splitKey, type Informer } from '../../client/informer.ts';
import { endpointSlices, nodes, pods, services } from '../../client/resources.ts';
import { defineController, type Deps } from '../framework.ts';
import { body, controllerRef, isDeleting, keyFor, meta } from '../lib/meta.ts';
import { errorText, generateNamePrefix, isNamespaceTerminating } from '../lib/podcontrol.ts';
import type { PodView } from '../lib/pods.ts';
import { setSelector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import { desiredGroups, endpointRelevant, isHeadless, type ServiceView } from './desired.ts';
import { planSlices, type Group, type Plan } from './pack.ts';
import { TRIGGER_TIME, TriggerTimes } from './trigger.ts';
import { giveZones, wantsZones, zoneFacts, zoneShares } from './zones.ts';

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const SERVICE_NAME = 'kubernetes.io/service-name';
export const HEADLESS = 'service.kubernetes.io/headless';
const MANAGER = 'endpointslice-controller.k8s.io';

const inputs = { services, pods, nodes, slices: endpointSlices };
/** `zones`: by Service, what was last said about its zones. */
type State = { times: TriggerTimes; zones: Map<string, string> };
type D = Deps<typeof inputs, State>;

/** Keys of the Services that select a pod. */
export function servicesOf(pod: PodView, informer: Informer<NonNullable<(typeof services)['_type']>>): string[] {
  const { namespace, labels } = meta(pod);
  const keys: string[] = [];
  for (const s of informer.list(namespace))
    if (s.spec?.selector && setSelector(s.spec.selector).matches(labels)) keys.push(keyOf(s));
  return keys;
}

function labelsOf(service: ServiceView): Record<string, string> {
  const labels: Record<string, string> = { ...service.metadata?.labels };
  if (isHeadless(service)) labels[HEADLESS] = '';
  else delete labels[HEADLESS];
  labels[SERVICE_NAME] = meta(service).name;
  labels[MANAGED_BY] = MANAGER;
  return labels;
}

const sameLabels = (a: Readonly<Record<string, string>> | undefined, b: Record<string, string>) =>
  Object.keys(a ?? {}).length === Object.keys(b).length && Object.entries(b).every(([k, v]) => a?.[k] === v);

async function apply(
  deps: D,
  key: string,
  service: ServiceView,
  plan: Plan,
  trigger: number | undefined,
): Promise<void> {
  const { client, expectations, informers } = deps;
  const { name, namespace } = meta(service);
  const labels = labelsOf(service);
  const annotations: Record<string, string> = trigger === undefined ? {} : { [TRIGGER_TIME]: formatTime(trigger) };
  const informer = informers.slices as unknown as Informer<object>;
  const ownerReferences = [controllerRef(service, 'v1', 'Service')];
  const update = async (slice: Plan['keep'][number], now: Pick<EndpointSlice, 'ports' | 'endpoints'> = {}) => {
    const have = body<EndpointSlice>(slice);
    const { [TRIGGER_TIME]: _old, ...kept } = have.metadata?.annotations ?? {};
    const written = await client.update(endpointSlices, {
      ...have,
      ...now,
      metadata: { ...have.metadata, labels, annotations: { ...kept, ...annotations }, ownerReferences },
    });
    expectations.wrote(key, informer, written);
  };
  const outdated = plan.keep.filter((s) => !sameLabels(s.metadata?.labels, labels));
  const work = [
    ...plan.create.map(async (c) => {
      const written = await client.create(endpointSlices, {
        metadata: {
          generateName: generateNamePrefix(name),
          namespace,
          labels,
          annotations,
          ownerReferences,
        },
        ...c,
      });
      expectations.wrote(key, informer, written);
    }),
    ...plan.update.map(({ slice, ports, endpoints }) => update(slice, { ports, endpoints })),
    ...outdated.map((s) => update(s)),
  ];
  for (const r of await Promise.allSettled(work)) if (r.status === 'rejected') throw r.reason;
  for (const s of plan.remove) {
    await client.delete(endpointSlices, meta(s).name, { namespace }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
    expectations.deleted(key, informer, s);
  }
}

/** Hints for zones where the Service asks for them; an event tells when they come and why they go. */
function setZones(deps: D, key: string, service: ServiceView, groups: readonly Group[]): void {
  const { zones } = deps.state;
  const wanted = wantsZones(service);
  if (!wanted && !zones.has(key)) return;
  const shares = zoneShares(deps.informers.nodes.list());
  const reasons = groups.map((g) => (wanted ? giveZones(g, shares) : 'the Service no longer asks for them'));
  const now = reasons.find((r) => r !== undefined) ?? '';
  const before = zones.get(key);
  if (wanted) zones.set(key, now);
  else zones.delete(key);
  if (now === before) return;
  deps.recorder.event(
    service,
    now === '' ? 'Normal' : 'Warning',
    now === '' ? 'TopologyAwareHintsEnabled' : 'TopologyAwareHintsDisabled',
    now === '' ? 'Endpoints have hints for zones' : `Endpoints have no hints for zones: ${now}`,
    { apiVersion: 'v1', kind: 'Service' },
  );
}

export const endpointSliceController = defineController({
  name: 'endpointslice-controller',
  account: 'endpointslice-controller',
  inputs,
  outputs: ['create,delete,update endpointslices.discovery.k8s.io'],
  workers: concurrency('service-endpoint'),
  state: () => ({ times: new TriggerTimes(), zones: new Map() }),
  triggers: {
    services: 'self',
    pods: {
      keys: (pod, deps: D) => servicesOf(pod, deps.informers.services),
      when: endpointRelevant,
      delayMs: (deps) => deps.options.endpointUpdatesBatchPeriodMs,
    },
    nodes: {
      // who asked for zones gets other shares
      keys: (_node, deps: D) => deps.informers.services.list().filter(wantsZones).map(keyOf),
      when: (now, before) => zoneFacts(now) !== zoneFacts(before),
    },
    slices(slice) {
      const { namespace, labels } = meta(slice);
      return labels?.[MANAGED_BY] === MANAGER && labels[SERVICE_NAME] ? [keyFor(namespace, labels[SERVICE_NAME])] : [];
    },
  },
  async reconcile(key, deps: D) {
    const { informers, expectations } = deps;
    const { name, namespace } = splitKey(key);
    const service = informers.services.get(name, namespace);
    if (!service) {
      // Slices go with their owner.
      deps.state.times.forget(key);
      deps.state.zones.delete(key);
      return expectations.forget(key);
    }
    if (service.spec?.type === 'ExternalName' || !service.spec?.selector || isDeleting(service)) return;
    if (!expectations.satisfied(key)) return;
    const selector = setSelector(service.spec.selector);
    const selected = informers.pods.list(namespace).filter((p) => selector.matches(p.metadata?.labels));
    const existing = informers.slices
      .list(namespace)
      .filter(
        (s) =>
          s.metadata?.labels?.[SERVICE_NAME] === name && s.metadata.labels[MANAGED_BY] === MANAGER && !isDeleting(s),
      );
    const trigger = deps.state.times.next(key, service, selected);
    const groups = desiredGroups(service, selected, (n) => informers.nodes.get(n));
    setZones(deps, key, service, groups);
    const plan = planSlices(existing, groups, deps.options.maxEndpointsPerSlice);
    try {
      await apply(deps, key, service, plan, trigger);
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      deps.recorder.event(
        service,
        'Warning',
        'FailedToUpdateEndpointSlices',
        `Error updating Endpoint Slices for Service ${namespace}/${name}: ${errorText(error)}`,
        { apiVersion: 'v1', kind: 'Service' },
      );
      throw error;
    }
  },
});
