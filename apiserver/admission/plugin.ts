/** What admission plugins share. */
import { StatusError, forbidden } from '../../api/status.ts';
import type { ScopeRequirement } from '../../api/quota.ts';
import type { KubeObject } from '../../api/types.ts';
import type { ObjectFinder } from '../authentication/objects.ts';
import type { AdmissionAttributes, AdmissionDeps, AdmissionPlugin } from './types.ts';

/** What a plugin is made with. */
export interface PluginDeps extends AdmissionDeps {
  /** Single objects, with a consistent read when the cache hasn't got them. */
  readonly objects: ObjectFinder;
  readonly settings: AdmissionSettings;
}

/** What flags say to single plugins. */
export interface AdmissionSettings {
  /** --default-not-ready-toleration-seconds; defaults to 300. */
  readonly notReadySeconds?: number;
  /** --default-unreachable-toleration-seconds; defaults to 300. */
  readonly unreachableSeconds?: number;
  /** What the file of --admission-control-config-file says to PodSecurity, ResourceQuota and EventRateLimit. */
  readonly podSecurity?: PodSecuritySettings;
  readonly limitedResources?: readonly LimitedResource[];
  readonly eventLimits?: readonly EventLimit[];
}

/** PodSecurityConfiguration: what holds where no label says otherwise, and who is not judged. */
export interface PodSecuritySettings {
  /** Values of the labels (`enforce`, `enforce-version`, ...) that a namespace has by default. */
  readonly defaults: Readonly<Partial<Record<string, string>>>;
  readonly exemptUsers: ReadonlySet<string>;
  readonly exemptNamespaces: ReadonlySet<string>;
  readonly exemptRuntimeClasses: ReadonlySet<string>;
}

/** ResourceQuotaConfiguration: what may only be used where a quota covers it. */
export interface LimitedResource {
  readonly apiGroup?: string;
  readonly resource: string;
  /** Parts of the names of what is counted. */
  readonly matchContains?: readonly string[];
  readonly matchScopes?: readonly ScopeRequirement[];
}

/** A token bucket for events; `qps` refills it each second. */
export interface EventLimit {
  readonly type: 'Server' | 'Namespace' | 'User' | 'SourceAndObject';
  readonly qps: number;
  readonly burst: number;
  readonly cacheSize?: number;
}
export type PluginFactory = (deps: PluginDeps) => AdmissionPlugin;

/** The name that messages use: the object's own, or the prefix of a name to be generated. */
export function nameOf(a: AdmissionAttributes): string {
  if (a.name !== '') return a.name;
  const meta = (a.object as KubeObject | undefined)?.metadata;
  return meta?.name || meta?.generateName || 'Unknown';
}

/** The 403 of a plugin. */
export function deny(a: AdmissionAttributes, why: string): StatusError {
  return forbidden(a.resource, nameOf(a), why);
}

/** True when the write is on this resource; `subresource` defaults to the object itself. */
export function isOn(a: AdmissionAttributes, group: string, resource: string, subresource = ''): boolean {
  return a.resource.resource === resource && a.resource.group === group && a.subresource === subresource;
}
