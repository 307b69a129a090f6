/** Every built-in resource that lives in storage. */
import type { ResourceDefinition } from '../registry/definition.ts';
import * as admissionregistration from './admissionregistration/index.ts';
import { apiServices } from './apiservices/index.ts';
import * as apps from './apps/index.ts';
import { horizontalPodAutoscalers } from './autoscaling/index.ts';
import { cronJobs, jobs } from './batch/index.ts';
import { certificateSigningRequests } from './certificates/index.ts';
import { customResourceDefinitions } from '../extensions/crd/definition.ts';
import { configMaps, secrets, serviceAccounts } from './config/index.ts';
import { namespaces } from './core/namespaces.ts';
import { nodes } from './core/nodes.ts';
import * as dra from './dra/index.ts';
import { endpoints, endpointSlices } from './endpoints/index.ts';
import { events } from './events/index.ts';
import * as flowcontrol from './flowcontrol/index.ts';
import * as networking from './networking/index.ts';
import { pods, podTemplates } from './pods/index.ts';
import { podDisruptionBudgets } from './policy/index.ts';
import { limitRanges, resourceQuotas } from './quota/index.ts';
import * as rbac from './rbac/index.ts';
import { leases, priorityClasses, runtimeClasses } from './scheduling/index.ts';
import { services, type ServiceAllocator } from './services/index.ts';
import * as storage from './storage/index.ts';

const written = [
  namespaces,
  nodes,
  configMaps,
  secrets,
  serviceAccounts,
  pods,
  podTemplates,
  endpoints,
  endpointSlices,
  events,
  resourceQuotas,
  limitRanges,
  ...Object.values(apps),
  jobs,
  cronJobs,
  ...Object.values(storage),
  horizontalPodAutoscalers,
  ...Object.values(networking),
  podDisruptionBudgets,
  ...Object.values(rbac),
  leases,
  priorityClasses,
  runtimeClasses,
  customResourceDefinitions,
  certificateSigningRequests,
  ...Object.values(flowcontrol),
  ...Object.values(admissionregistration),
  ...Object.values(dra),
  apiServices,
] as ResourceDefinition[];

export interface ResourceOptions {
  /** Hands out cluster IPs and node ports; asked for when the first service needs some. */
  readonly services?: () => ServiceAllocator;
}

/** All definitions, each resource once (versions that share storage are `otherVersions` of one definition). */
export function allResources(options: ResourceOptions = {}): ResourceDefinition[] {
  const allocator =
    options.services ??
    (() => {
      throw new Error('no service allocator');
    });
  return [...written, services(allocator) as ResourceDefinition];
}
