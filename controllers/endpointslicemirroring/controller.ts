/** Copies Endpoints that people write by hand (for Services without selector) into EndpointSlices. */
import { isIP } from 'node:net';
import { isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Endpoints, EndpointSlice } from '../../api/types.ts';
import { splitKey, type Informer } from '../../client/informer.ts';
import { endpoints, endpointSlices, services } from '../../client/resources.ts';
import { MANAGED_BY, SERVICE_NAME } from '../endpointslice/controller.ts';
import {
  groupKey,
  planSlices,
  type Endpoint,
  type EndpointPort,
  type Group,
  type SliceView,
} from '../endpointslice/pack.ts';
import { TRIGGER_TIME } from '../endpointslice/trigger.ts';
import { defineController, type Deps } from '../framework.ts';
import { body, controllerRef, isDeleting, keyFor, meta, semanticEqual } from '../lib/meta.ts';
import { generateNamePrefix, isNamespaceTerminating } from '../lib/podcontrol.ts';
import { concurrency } from '../options.ts';

const MANAGER = 'endpointslicemirroring-controller.k8s.io';
const SKIP = 'endpointslice.kubernetes.io/skip-mirror';
const LEADER = 'control-plane.alpha.kubernetes.io/leader';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

const inputs = { endpoints, services, slices: endpointSlices };
type D = Deps<typeof inputs, undefined>;
type EndpointsView = DeepReadonly<Endpoints>;

/** What an Endpoints object says, as groups of slices; `skipped` counts addresses that don't fit, `invalid` those that are none. Pure. */
export function mirrored(e: EndpointsView, max: number): { groups: Group[]; invalid: number; skipped: number } {
  const groups = new Map<string, Group>();
  let invalid = 0;
  let skipped = 0;
  for (const subset of e.subsets ?? []) {
    const ports: EndpointPort[] = (subset.ports ?? []).map((p) => {
      const port: EndpointPort = { name: p.name ?? '', port: p.port, protocol: p.protocol ?? 'TCP' };
      if (p.appProtocol !== undefined) port.appProtocol = p.appProtocol;
      return port;
    });
    let taken = 0;
    const add = (a: NonNullable<typeof subset.addresses>[number], ready: boolean) => {
      if (taken >= max) return void skipped++;
      const family = isIP(a.ip);
      if (family === 0) return void invalid++;
      taken++;
      const addressType = family === 6 ? 'IPv6' : 'IPv4';
      const key = groupKey({ addressType, ports });
      let group = groups.get(key);
      if (!group) groups.set(key, (group = { addressType, ports, endpoints: [] }));
      const endpoint: Endpoint = { addresses: [a.ip], conditions: { ready } };
      if (a.targetRef) endpoint.targetRef = { ...a.targetRef };
      if (a.nodeName !== undefined) endpoint.nodeName = a.nodeName;
      if (a.hostname) endpoint.hostname = a.hostname;
      group.endpoints.push(endpoint);
    };
    for (const a of subset.addresses ?? []) add(a, true);
    for (const a of subset.notReadyAddresses ?? []) add(a, false);
  }
  return { groups: [...groups.values()], invalid, skipped };
}

function isMirrored(e: EndpointsView): boolean {
  const m = e.metadata;
  return m?.labels?.[SKIP] !== 'true' && m?.annotations?.[LEADER] === undefined;
}

export const endpointSliceMirroringController = defineController({
  name: 'endpointslice-mirroring-controller',
  account: 'endpointslicemirroring-controller',
  inputs,
  outputs: ['create,delete,update endpointslices.discovery.k8s.io'],
  workers: concurrency('mirroring-service-endpoint'),
  triggers: {
    endpoints: 'self',
    services: { keys: 'self', when: (now, before) => !now.spec?.selector !== !before.spec?.selector },
    slices(slice) {
      const { namespace, labels } = meta(slice);
      return labels?.[MANAGED_BY] === MANAGER && labels[SERVICE_NAME] ? [keyFor(namespace, labels[SERVICE_NAME])] : [];
    },
  },
  async reconcile(key, deps: D) {
    const { informers, client, expectations, recorder, options } = deps;
    const { name, namespace } = splitKey(key);
    if (!expectations.satisfied(key)) return;
    const e = informers.endpoints.get(name, namespace);
    const service = informers.services.get(name, namespace);
    const existing = informers.slices
      .list(namespace)
      .filter(
        (s) =>
          s.metadata?.labels?.[SERVICE_NAME] === name && s.metadata.labels[MANAGED_BY] === MANAGER && !isDeleting(s),
      );
    const wanted = e && isMirrored(e) && service && !service.spec?.selector && !isDeleting(e);
    if (!wanted && existing.length === 0) return expectations.forget(key);
    const found = wanted ? mirrored(e, options.mirroringMaxEndpointsPerSubset) : { groups: [], invalid: 0, skipped: 0 };
    const who = { apiVersion: 'v1', kind: 'Endpoints' };
    if (found.invalid > 0)
      recorder.event(
        e!,
        'Warning',
        'InvalidIPAddress',
        `Skipped ${found.invalid} invalid IP addresses when mirroring to EndpointSlices`,
        who,
      );
    if (found.skipped > 0)
      recorder.event(
        e!,
        'Warning',
        'TooManyAddressesToMirror',
        `A max of ${options.mirroringMaxEndpointsPerSubset} addresses can be mirrored to EndpointSlices per Endpoints subset. ${found.skipped} addresses were skipped`,
        who,
      );
    const plan = planSlices(existing, found.groups, options.mirroringMaxEndpointsPerSubset);
    const informer = informers.slices as unknown as Informer<object>;
    const labels = { ...e?.metadata?.labels, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER };
    const { [TRIGGER_TIME]: _t, [LAST_APPLIED]: _l, ...annotations } = { ...e?.metadata?.annotations };
    const update = async (slice: SliceView, now: Pick<EndpointSlice, 'ports' | 'endpoints'> = {}) => {
      const have = body<EndpointSlice>(slice);
      const written = await client.update(endpointSlices, {
        ...have,
        ...now,
        metadata: { ...have.metadata, labels, annotations },
      });
      expectations.wrote(key, informer, written);
    };
    try {
      for (const c of plan.create) {
        const metadata = {
          generateName: generateNamePrefix(name),
          namespace,
          labels,
          annotations,
          ownerReferences: [controllerRef(e!, 'v1', 'Endpoints')],
        };
        expectations.wrote(key, informer, await client.create(endpointSlices, { metadata, ...c }));
      }
      for (const { slice, ports, endpoints } of plan.update) await update(slice, { ports, endpoints });
      for (const s of plan.keep)
        if (
          !semanticEqual(s.metadata?.labels, labels, 'labels') ||
          !semanticEqual(s.metadata?.annotations, annotations, 'annotations')
        )
          await update(s);
      for (const s of plan.remove) {
        await client.delete(endpointSlices, meta(s).name, { namespace }).catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
        expectations.deleted(key, informer, s);
      }
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  },
});
