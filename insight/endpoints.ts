/**
 * The way to insight: it runs on every server, so the EndpointSlices of its Service name the servers that the API server
 * shows in default/kubernetes. One that died or was removed falls out there, and so it does here.
 */
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { isNotFound } from '../api/status.ts';
import type { EndpointSlice } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import { createInformer } from '../client/informer.ts';
import { endpointSlices } from '../client/resources.ts';

export interface EndpointsOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  /** The Service to make the slices of. */
  service: { namespace: string; name: string };
  /** Where insight listens, on each server. */
  port: number;
}

const MANAGER = 'k8ts-insight';
const BY = 'endpointslice.kubernetes.io/managed-by';
const SERVICE = 'kubernetes.io/service-name';
const RETRY_MS = 5_000;
const FAMILIES = ['IPv4', 'IPv6'] as const;

/** Keeps the slices as they should be until it is stopped. Several servers may do the same at the same time. */
export function publishEndpoints(options: EndpointsOptions): { stop(): void } {
  const { client, clock, logger, service, port } = options;
  const servers = createInformer(endpointSlices, {
    ...options,
    namespace: 'default',
    labelSelector: `${SERVICE}=kubernetes`,
  });
  const own = createInformer(endpointSlices, {
    ...options,
    namespace: service.namespace,
    labelSelector: `${SERVICE}=${service.name},${BY}=k8ts`,
  });
  const nameOf = (family: string) => (family === 'IPv4' ? service.name : `${service.name}-ipv6`);
  let stopped = false;
  let wanted = false;
  let running = false;

  const slice = (family: 'IPv4' | 'IPv6', addresses: readonly string[]): EndpointSlice => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: nameOf(family), namespace: service.namespace, labels: { [SERVICE]: service.name, [BY]: 'k8ts' } },
    addressType: family,
    endpoints: addresses.map((a) => ({ addresses: [a], conditions: { ready: true } })),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  });

  async function write(): Promise<void> {
    const { namespace } = service;
    const kept = new Set<string>();
    for (const family of FAMILIES) {
      const shown = servers.list().filter((s) => s.addressType === family);
      const addresses = shown.flatMap((s) => s.endpoints ?? []).flatMap((e) => e.addresses);
      if (addresses.length === 0) continue;
      const is = slice(family, [...new Set(addresses)].sort());
      kept.add(is.metadata!.name!);
      const have = own.get(is.metadata!.name!, namespace);
      const same = (a: EndpointSlice, b: typeof have) =>
        JSON.stringify([a.ports?.[0]?.port, a.endpoints?.map((e) => e.addresses)]) ===
        JSON.stringify([b?.ports?.[0]?.port, b?.endpoints?.map((e) => e.addresses)]);
      if (same(is, have)) continue;
      await client.patch(endpointSlices, is.metadata!.name!, 'apply', is, {
        namespace,
        fieldManager: MANAGER,
        force: true,
      });
    }
    // No server at all can't be: nothing is known yet.
    if (kept.size === 0) return;
    for (const s of own.list()) {
      if (kept.has(s.metadata!.name!)) continue;
      await client.delete(endpointSlices, s.metadata!.name!, { namespace }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }

  function look(): void {
    wanted = true;
    if (running || stopped || !servers.hasSynced || !own.hasSynced) return;
    running = true;
    void (async () => {
      while (wanted && !stopped) {
        wanted = false;
        try {
          await write();
        } catch (error) {
          logger.warn('could not write the endpoints', { error: (error as Error).message });
          wanted = true;
          await clock.sleep(RETRY_MS);
        }
      }
      running = false;
    })();
  }

  for (const i of [servers, own]) {
    i.on({ added: look, updated: look, deleted: look });
    i.start();
    void i.synced().then(look);
  }
  return {
    stop() {
      stopped = true;
      servers.stop();
      own.stop();
    },
  };
}
