/**
 * The Service default/kubernetes and the addresses behind it. Each server keeps a key with a time to live in the
 * store; the endpoints are the addresses of all keys, so that a server that died falls out by itself.
 */
import { isIPv6 } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeepReadonly, Endpoints, EndpointSlice, Service } from '../../api/types.ts';
import type { ObjectReader } from '../registry/definition.ts';
import type { Writer } from '../registry/writer.ts';
import { addressToNumber, numberToAddress } from '../resources/validation/formats.ts';
import type { Store } from '../storage/store.ts';

export interface KubernetesServiceOptions {
  clock: Clock;
  logger: Logger;
  store: Store;
  reader: ObjectReader;
  writer: Writer;
  /** The first service range: `10.96.0.0/16`; the Service has its first address. */
  serviceCidr: string;
  /** Where this server is reached by others; undefined publishes no address. */
  advertise: { address: string; port: number } | undefined;
}

const PREFIX = '/masterleases/';
const TTL_SECONDS = 15;
const INTERVAL_MS = 10_000;
const NAME = 'kubernetes';
const NAMESPACE = 'default';

/** The first address of a range. */
function firstAddress(cidr: string): string {
  const [base] = cidr.split('/');
  return numberToAddress(addressToNumber(base!) + 1n, isIPv6(base!));
}

/** Publishes this server until stopped; resolves when the Service and its endpoints are there. */
export async function startKubernetesService(o: KubernetesServiceOptions): Promise<{ stop(): Promise<void> }> {
  await ensureService(o);
  const { advertise } = o;
  if (!advertise) return { stop: async () => {} };
  const key = PREFIX + advertise.address;
  // The form that kube-apiserver reads beside us.
  const subsets = [{ addresses: [{ ip: advertise.address }] }];
  const value = Buffer.from(JSON.stringify({ kind: 'Endpoints', apiVersion: 'v1', metadata: {}, subsets }));
  let stopped = false;
  let timer: Timer | undefined;
  let running: Promise<void> = Promise.resolve();
  const renew = async () => {
    const held = await o.store.get(key);
    if (held) await o.store.update(key, value, held.revision, { ttlSeconds: TTL_SECONDS });
    else await o.store.create(key, value, { ttlSeconds: TTL_SECONDS });
    await reconcile(o, advertise.port);
  };
  // A loopback address is no endpoint: such a server runs without one.
  const tryRenew = () =>
    renew().catch((error: unknown) => o.logger.warn('could not renew the endpoint of this server', { error }));
  await tryRenew();
  const loop = () => {
    timer = o.clock.after(
      INTERVAL_MS,
      () => {
        running = tryRenew().then(() => {
          if (!stopped) loop();
        });
      },
      { background: true },
    );
  };
  loop();
  return {
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
      try {
        const held = await o.store.get(key);
        if (held) await o.store.delete(key, held.revision);
        await reconcile(o, advertise.port);
      } catch (error) {
        o.logger.debug('could not take the endpoint of this server away', { error });
      }
    },
  };
}

async function ensureService(o: KubernetesServiceOptions): Promise<void> {
  if (o.reader.get('services', NAMESPACE, NAME)) return;
  const address = firstAddress(o.serviceCidr);
  const service: Service = {
    metadata: { name: NAME, namespace: NAMESPACE, labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: {
      clusterIP: address,
      clusterIPs: [address],
      ipFamilies: [isIPv6(address) ? 'IPv6' : 'IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: o.advertise?.port ?? 6443 }],
      sessionAffinity: 'None',
      type: 'ClusterIP',
    },
  };
  await o.writer.createIfAbsent('services', NAMESPACE, service);
}

/** Brings Endpoints and EndpointSlice in line with the servers that are alive. */
async function reconcile(o: KubernetesServiceOptions, port: number): Promise<void> {
  const { items } = await o.store.list(PREFIX);
  const addresses = items.map((i) => i.key.slice(PREFIX.length)).sort();
  const subsets: Endpoints['subsets'] =
    addresses.length === 0
      ? []
      : [{ addresses: addresses.map((ip) => ({ ip })), ports: [{ name: 'https', port, protocol: 'TCP' }] }];
  await upsert<Endpoints>(
    o,
    'endpoints',
    {
      metadata: { name: NAME, namespace: NAMESPACE, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
      subsets,
    },
    (current) => (same(current.subsets ?? [], subsets) ? undefined : ({ ...current, subsets } as Endpoints)),
  );
  const slice: EndpointSlice = {
    metadata: { name: NAME, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': NAME } },
    addressType: addresses[0] !== undefined && isIPv6(addresses[0]) ? 'IPv6' : 'IPv4',
    endpoints: addresses.map((a) => ({ addresses: [a], conditions: { ready: true } })),
    ports: [{ name: 'https', port, protocol: 'TCP' }],
  };
  await upsert<EndpointSlice>(o, 'discovery.k8s.io/endpointslices', slice, (current) =>
    same(current.endpoints ?? [], slice.endpoints) && same(current.ports, slice.ports)
      ? undefined
      : ({ ...current, endpoints: slice.endpoints, ports: slice.ports } as EndpointSlice),
  );
}

async function upsert<T extends Endpoints | EndpointSlice>(
  o: KubernetesServiceOptions,
  resource: string,
  object: T,
  change: (current: DeepReadonly<T>) => T | undefined,
): Promise<void> {
  if (!o.reader.get(resource, NAMESPACE, NAME) && (await o.writer.createIfAbsent(resource, NAMESPACE, object))) return;
  await o.writer.update<T>(resource, NAMESPACE, NAME, change);
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
