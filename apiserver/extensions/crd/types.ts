/** CustomResourceDefinition as this server works with it. */
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import type { SchemaProps } from '../schema/props.ts';

export interface CrdNames {
  plural: string;
  singular?: string;
  shortNames?: string[];
  kind: string;
  listKind?: string;
  categories?: string[];
}
export interface CrdColumn {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority?: number;
  jsonPath: string;
}
export interface CrdScale {
  specReplicasPath: string;
  statusReplicasPath: string;
  labelSelectorPath?: string;
}
export interface CrdSubresources {
  status?: object;
  scale?: CrdScale;
}
export interface CrdVersion {
  name: string;
  served: boolean;
  storage: boolean;
  deprecated?: boolean;
  deprecationWarning?: string;
  schema?: { openAPIV3Schema?: SchemaProps };
  subresources?: CrdSubresources;
  additionalPrinterColumns?: CrdColumn[];
  selectableFields?: { jsonPath: string }[];
}
export interface WebhookClientConfig {
  url?: string;
  service?: { namespace: string; name: string; path?: string; port?: number };
  caBundle?: string;
}
export interface CrdConversion {
  strategy: string;
  webhook?: { clientConfig?: WebhookClientConfig; conversionReviewVersions: string[] };
}
export interface CrdCondition {
  type: string;
  status: string;
  lastTransitionTime?: string;
  reason?: string;
  message?: string;
}
export interface CrdSpec {
  group: string;
  names: CrdNames;
  scope: string;
  versions: CrdVersion[];
  conversion?: CrdConversion;
  preserveUnknownFields?: boolean;
}
export interface CrdStatus {
  conditions?: CrdCondition[] | null;
  acceptedNames?: CrdNames;
  storedVersions?: string[] | null;
}
export interface Crd extends KubeObject {
  spec: CrdSpec;
  status?: CrdStatus;
}

/** The key of CustomResourceDefinitions in readers and writers. */
export const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
/** Held by definitions whose instances are still to be deleted. */
export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';

export const conditionOf = (
  crd: DeepReadonly<{ status?: CrdStatus }>,
  type: string,
): DeepReadonly<CrdCondition> | undefined => crd.status?.conditions?.find((c) => c.type === type);
export const isTrue = (crd: DeepReadonly<{ status?: CrdStatus }>, type: string): boolean =>
  conditionOf(crd, type)?.status === 'True';

/** Puts a condition in place of the one of its type; the transition time changes with its status only. */
export function withCondition(
  conditions: readonly CrdCondition[] | null | undefined,
  c: CrdCondition,
  now: string,
): CrdCondition[] {
  const out = [...(conditions ?? [])];
  const at = out.findIndex((o) => o.type === c.type);
  if (at < 0) return [...out, { ...c, lastTransitionTime: now }];
  const old = out[at]!;
  out[at] = { ...c, lastTransitionTime: old.status === c.status ? (old.lastTransitionTime ?? now) : now };
  return out;
}
