/** Services. */
import { isIP } from 'node:net';
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Service } from '../../../api/types.ts';
import type { ResourceDefinition } from '../../registry/definition.ts';
import { define, special, statusEndpoint } from '../define.ts';
import { addressWarnings } from '../pods/warnings.ts';
import { rules, statusRules } from '../rules.ts';
import { age, labelsCell, nameOf, NONE } from '../table.ts';
import { dns1123Label } from '../validation/names.ts';
import { allocateService, releaseService } from './allocation.ts';
import { portsOf, type ServiceAllocator } from './allocator.ts';
import {
  isExternal,
  loadBalancerStatus,
  needsHealthCheck,
  service,
  serviceUpdate,
  type ServiceSpec,
} from './validation.ts';

export { createServiceAllocator, type ServiceAllocator } from './allocator.ts';

type Old = DeepReadonly<Service>;
type OldSpec = DeepReadonly<ServiceSpec>;
const INTERNAL = ['ClusterIP', 'NodePort', 'LoadBalancer'];

function defaults(svc: Service): void {
  const s = (svc.spec ??= {});
  s.sessionAffinity ||= 'None';
  if (s.sessionAffinity === 'None') delete s.sessionAffinityConfig;
  else if (s.sessionAffinity === 'ClientIP' && s.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined) {
    s.sessionAffinityConfig = { clientIP: { timeoutSeconds: 10800 } };
  }
  s.type ||= 'ClusterIP';
  for (const p of s.ports ?? []) {
    p.protocol ||= 'TCP';
    if (!p.targetPort) p.targetPort = p.port as never;
  }
  if (isExternal(s)) s.externalTrafficPolicy ||= 'Cluster';
  if (INTERNAL.includes(s.type)) s.internalTrafficPolicy ??= 'Cluster';
  if (s.type === 'ExternalName') delete s.internalTrafficPolicy;
  if (s.type !== 'LoadBalancer') return;
  s.allocateLoadBalancerNodePorts ??= true;
  for (const i of svc.status?.loadBalancer?.ingress ?? []) if (i.ip) i.ipMode ??= 'VIP';
}

const needsNodePort = (s: OldSpec) => s.type === 'NodePort' || s.type === 'LoadBalancer';

/** Fields that the old type had and the new one can't have go, unless the client changed them. */
function dropTypeDependent(svc: Service, old: Old): void {
  const s = svc.spec!;
  const before = old.spec!;
  const same = (k: keyof ServiceSpec) => semanticEqual(s[k], before[k]);
  if (before.type !== 'ExternalName' && s.type === 'ExternalName') {
    if (same('clusterIP') && same('clusterIPs')) {
      delete s.clusterIP;
      delete s.clusterIPs;
    }
    if (same('ipFamilies')) delete s.ipFamilies;
    if (same('ipFamilyPolicy')) delete s.ipFamilyPolicy;
  }
  const had = portsOf({ ports: before.ports });
  if (needsNodePort(before) && !needsNodePort(s) && portsOf({ ports: s.ports }).every((p) => had.includes(p))) {
    for (const p of s.ports ?? []) delete p.nodePort;
  }
  if (needsHealthCheck(before) && !needsHealthCheck(s) && same('healthCheckNodePort')) delete s.healthCheckNodePort;
  if (before.type === 'LoadBalancer' && s.type !== 'LoadBalancer') {
    for (const k of ['allocateLoadBalancerNodePorts', 'loadBalancerClass'] as const) if (same(k)) delete s[k];
  }
  if (isExternal(before) && !isExternal(s) && same('externalTrafficPolicy')) delete s.externalTrafficPolicy;
  if (s.type !== 'LoadBalancer') svc.status = { ...svc.status, loadBalancer: {} };
}

function warnings(svc: Service): string[] {
  const s = svc.spec ?? {};
  const out: string[] = [];
  const hints = 'service.kubernetes.io/topology-aware-hints';
  if (svc.metadata?.annotations?.[hints] !== undefined) {
    out.push(`annotation ${hints} is deprecated, please use service.kubernetes.io/topology-mode instead`);
  }
  const headless = s.type === 'ClusterIP' && s.clusterIP === 'None';
  if (s.clusterIP && !headless)
    s.clusterIPs?.forEach((a, i) => out.push(...addressWarnings(`spec.clusterIPs[${i}]`, a)));
  if (headless) {
    if (s.loadBalancerIP) out.push('spec.loadBalancerIP is ignored for headless services');
    if (s.externalIPs?.length) out.push('spec.externalIPs is ignored for headless services');
    if (s.sessionAffinity !== 'None') out.push('spec.SessionAffinity is ignored for headless services');
  }
  s.externalIPs?.forEach((a, i) => out.push(...addressWarnings(`spec.externalIPs[${i}]`, a)));
  if (s.externalIPs?.length && !headless && s.type !== 'ExternalName') {
    out.push('spec.externalIPs is deprecated and may no longer be implemented in some clusters');
  }
  if (s.loadBalancerIP && isIP(s.loadBalancerIP)) out.push(...addressWarnings('spec.loadBalancerIP', s.loadBalancerIP));
  if (s.type === 'ExternalName' && s.externalIPs?.length)
    out.push('spec.externalIPs is ignored when spec.type is "ExternalName"');
  if (s.type !== 'ExternalName' && s.externalName)
    out.push('spec.externalName is ignored when spec.type is not "ExternalName"');
  if (s.trafficDistribution === 'PreferClose')
    out.push('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"');
  return out;
}

function externalIP(svc: Old): string {
  const s = svc.spec;
  const own = s?.externalIPs ?? [];
  switch (s?.type) {
    case 'ClusterIP':
    case 'NodePort':
      return own.join(',') || NONE;
    case 'LoadBalancer': {
      const ingress = (svc.status?.loadBalancer?.ingress ?? [])
        .map((i) => i.ip || i.hostname || '')
        .filter((x) => x !== '');
      return [...[...new Set(ingress)].sort(), ...own].join(',') || '<pending>';
    }
    case 'ExternalName':
      return s.externalName ?? '';
    default:
      return '<unknown>';
  }
}

/** Services get their addresses and ports from `allocator`, asked for when the first one is needed. */
export function services(allocator: () => ServiceAllocator): ResourceDefinition<Service> {
  return define<Service>('', 'services', 'Service', 'Namespaced', {
    allowCreateOnUpdate: true,
    returnDeletedObject: true,
    strategy: {
      resetFields: [['status']],
      defaults,
      prepareForCreate: (svc) => void (svc.status = { loadBalancer: {} }),
      prepareForUpdate(svc, old) {
        svc.status = deepCopy(old.status) as Service['status'];
        dropTypeDependent(svc, old);
      },
      ...rules<Service>({
        scope: 'Namespaced',
        anyGenerateName: 'update',
        name: dns1123Label,
        always: (f, _ctx, old) => service(f, old),
        update: serviceUpdate,
      }),
      warnings,
    },
    subresources: {
      status: statusEndpoint<Service>({
        ...statusRules<Service>(loadBalancerStatus),
        warnings: (svc) =>
          (svc.status?.loadBalancer?.ingress ?? []).flatMap((x, i) =>
            x.ip ? addressWarnings(`status.loadBalancer.ingress[${i}]`, x.ip) : [],
          ),
      }),
      proxy: special('create', 'delete', 'get', 'patch', 'update'),
    },
    selectableFields: (svc) => ({ 'spec.clusterIP': svc.spec?.clusterIP ?? '', 'spec.type': svc.spec?.type ?? '' }),
    allocate: (svc, old, ctx) => allocateService(allocator(), svc, old, ctx.dryRun),
    release: (svc) => releaseService(allocator(), svc),
    table: {
      cells: (svc, now) => [
        nameOf(svc),
        svc.spec?.type ?? '',
        svc.spec?.clusterIPs?.[0] ?? NONE,
        externalIP(svc),
        (svc.spec?.ports ?? []).map((p) => `${p.port}${p.nodePort ? `:${p.nodePort}` : ''}/${p.protocol}`).join(',') ||
          NONE,
        age(svc, now),
        labelsCell(svc.spec?.selector),
      ],
    },
  });
}
