/** Writes the Endpoints objects of Services that select pods: the older form of EndpointSlices. */
import { isNotFound } from '../../api/status.ts';
import { formatTime } from '../../base/clock.ts';
import type { Endpoints } from '../../api/types.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { endpoints, pods, services } from '../../client/resources.ts';
import { HEADLESS, servicesOf } from '../endpointslice/controller.ts';
import { endpointRelevant, isHeadless } from '../endpointslice/desired.ts';
import { TRIGGER_TIME, TriggerTimes } from '../endpointslice/trigger.ts';
import { defineController, type Deps } from '../framework.ts';
import { body, keyFor, meta, semanticEqual } from '../lib/meta.ts';
import { errorText, isNamespaceTerminating } from '../lib/podcontrol.ts';
import { setSelector } from '../lib/selectors.ts';
import { concurrency } from '../options.ts';
import { canonical, subsetsOf, truncate } from './subsets.ts';

const MANAGED_BY = 'endpoints.kubernetes.io/managed-by';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

const inputs = { services, pods, endpoints };
type D = Deps<typeof inputs, TriggerTimes>;

export const endpointsController = defineController({
  name: 'endpoints-controller',
  account: 'endpoint-controller',
  inputs,
  outputs: ['create,delete,update endpoints'],
  workers: concurrency('endpoint'),
  state: () => new TriggerTimes(),
  triggers: {
    services: 'self',
    pods: {
      keys: (pod, deps: D) => servicesOf(pod, deps.informers.services),
      when: endpointRelevant,
      delayMs: (deps) => deps.options.endpointUpdatesBatchPeriodMs,
    },
    // Ours only: those of Services that select pods, and leftovers of Services that are gone.
    endpoints(e, deps: D) {
      const { name, namespace, labels } = meta(e);
      const service = deps.informers.services.get(name, namespace);
      return service?.spec?.selector || (!service && labels?.[MANAGED_BY] === 'endpoint-controller')
        ? [keyFor(namespace, name)]
        : [];
    },
  },
  async reconcile(key, deps: D) {
    const { informers, client, expectations, recorder } = deps;
    const { name, namespace } = splitKey(key);
    const service = informers.services.get(name, namespace);
    const have = informers.endpoints.get(name, namespace);
    if (!service) {
      deps.state.forget(key);
      expectations.forget(key);
      if (!have) return;
      return client
        .delete(endpoints, name, { namespace, preconditions: { uid: meta(have).uid } })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    }
    if (service.spec?.type === 'ExternalName' || !service.spec?.selector) return;
    if (!expectations.satisfied(key)) return;
    const selector = setSelector(service.spec.selector);
    const selected = informers.pods.list(namespace).filter((p) => selector.matches(p.metadata?.labels));
    const trigger = deps.state.next(key, service, selected);
    const { subsets, truncated } = truncate(subsetsOf(service, selected));
    const labels: Record<string, string> = { ...service.metadata?.labels, [MANAGED_BY]: 'endpoint-controller' };
    if (isHeadless(service)) labels[HEADLESS] = '';
    else delete labels[HEADLESS];
    const old = have && body<Endpoints>(have);
    const overCapacity = old?.metadata?.annotations?.[OVER_CAPACITY] === 'truncated';
    if (
      old &&
      overCapacity === truncated &&
      semanticEqual(canonical(old.subsets ?? []), subsets) &&
      semanticEqual(old.metadata?.labels, labels, 'labels')
    )
      return;
    const { [OVER_CAPACITY]: _over, [TRIGGER_TIME]: _trigger, ...kept } = old?.metadata?.annotations ?? {};
    const annotations: Record<string, string> = { ...kept };
    if (trigger !== undefined) annotations[TRIGGER_TIME] = formatTime(trigger);
    if (truncated) annotations[OVER_CAPACITY] = 'truncated';
    const next: Endpoints = {
      ...old,
      metadata: { ...(old?.metadata ?? { name, namespace }), labels, annotations },
      subsets,
    };
    try {
      const written = await (old ? client.update(endpoints, next) : client.create(endpoints, next));
      expectations.wrote(key, informers.endpoints as unknown as Informer<object>, written);
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      const [reason, text] = old
        ? ['FailedToUpdateEndpoint', `Failed to update endpoint ${namespace}/${name}: ${errorText(error)}`]
        : ['FailedToCreateEndpoint', `Failed to create endpoint for service ${namespace}/${name}: ${errorText(error)}`];
      recorder.event(next, 'Warning', reason!, text!, { apiVersion: 'v1', kind: 'Endpoints' });
      throw error;
    }
  },
});
