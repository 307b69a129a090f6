/** Finds where a webhook's Service is reached from the API server. */
import type { EndpointSlice, Service } from '../../../api/types.ts';
import type { Rand } from '../../../base/clock.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import { WebhookCallError, type ServiceResolver } from './client.ts';

/**
 * With `endpoints` (--enable-aggregator-routing) a ready endpoint is chosen, which needs no service proxy beside the
 * API server; else the cluster IP.
 */
export function createServiceResolver(o: { reader: ObjectReader; rand: Rand; endpoints: boolean }): ServiceResolver {
  return (namespace, name, port) => {
    const service = o.reader.get<Service>('services', namespace, name);
    if (!service) throw new WebhookCallError(`service ${JSON.stringify(name)} not found`);
    const { spec } = service;
    if (spec?.type === 'ExternalName') return { host: spec.externalName ?? '', port };
    const servicePort = spec?.ports?.find((p) => p.port === port);
    if (!servicePort) throw new WebhookCallError(`no service port ${port} found for service ${JSON.stringify(name)}`);
    const clusterIP = spec?.clusterIP;
    if (!o.endpoints && clusterIP && clusterIP !== 'None') return { host: clusterIP, port };
    const candidates: { host: string; port: number }[] = [];
    for (const slice of o.reader.list<EndpointSlice>('discovery.k8s.io/endpointslices', namespace)) {
      if (slice.metadata?.labels?.['kubernetes.io/service-name'] !== name) continue;
      const target = slice.ports?.find((p) => (p.name ?? '') === (servicePort.name ?? ''))?.port;
      if (target === undefined) continue;
      for (const e of slice.endpoints ?? []) {
        if (e.conditions?.ready !== false && e.addresses[0]) candidates.push({ host: e.addresses[0], port: target });
      }
    }
    const chosen = candidates[Math.floor(o.rand.next() * candidates.length)];
    if (!chosen) throw new WebhookCallError(`no endpoints available for service ${JSON.stringify(name)}`);
    return chosen;
  };
}
