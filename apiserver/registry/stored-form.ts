/** The form in which an object is kept and answered: what storage as protobuf would leave of it. */
import { builtinSchemas } from '../../api/schema/builtin.ts';
import { createVisitor } from '../../api/schema/visit.ts';
import type { JsonObject, KubeObject } from '../../api/types.ts';
import type { ResourceDefinition } from './definition.ts';

/** Upstream keeps these, and custom resources, as JSON: what was sent stays. */
const STORED_AS_JSON = new Set(['apiextensions.k8s.io', 'apiregistration.k8s.io']);

/** Protobuf doesn't tell an empty list from an absent one: where the field is always shown, it is null. */
const forgetEmptyLists = createVisitor((type) => {
  const names = type.fields
    .filter((f) => !f.presence && !f.omitEmpty && !f.omitZero && (f.node.form === 'list' || f.node.form === 'map'))
    .map((f) => f.name);
  if (names.length === 0) return undefined;
  return (object) => {
    for (const n of names) if (isEmpty(object[n])) object[n] = null;
  };
});

function isEmpty(v: JsonObject[string]): boolean {
  if (typeof v !== 'object' || v === null) return false;
  if (Array.isArray(v)) return v.length === 0;
  for (const _ in v) return false;
  return true;
}

/** Changes the object in place. */
export function intoStoredForm(definition: ResourceDefinition, object: KubeObject): void {
  if (STORED_AS_JSON.has(definition.group)) return;
  const type = builtinSchemas().lookup(definition.schema);
  if (type) forgetEmptyLists(object as unknown as JsonObject, type);
}

/** Fields of features that are off by default in v1.36: what clients send there is dropped. By type. */
const OFF: Readonly<Record<string, readonly string[]>> = {
  // ClusterTrustBundleProjection, PodCertificateRequest
  'io.k8s.api.core.v1.VolumeProjection': ['clusterTrustBundle', 'podCertificate'],
  // ContainerStopSignals
  'io.k8s.api.core.v1.ContainerStatus': ['stopSignal'],
  // MaxUnavailableStatefulSet
  'io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy': ['maxUnavailable'],
  // VolumeLimitScaling
  'io.k8s.api.storage.v1.CSIDriverSpec': ['preventPodSchedulingIfMissing'],
  // GenericWorkload
  'io.k8s.api.core.v1.PodSpec': ['schedulingGroup'],
  // DRAListTypeAttributes
  'io.k8s.api.resource.v1.DeviceAttribute': ['bools', 'ints', 'strings', 'versions'],
  // DRANodeAllocatableResources
  'io.k8s.api.core.v1.PodStatus': ['nodeAllocatableResourceClaimStatuses'],
  'io.k8s.api.resource.v1.Device': ['nodeAllocatableResourceMappings'],
};

const CONTAINERS = new Set(['io.k8s.api.core.v1.Container', 'io.k8s.api.core.v1.EphemeralContainer']);

/** ContainerStopSignals: hooks that say nothing else go as a whole. */
function dropStopSignal(container: JsonObject): void {
  const hooks = container['lifecycle'] as JsonObject | undefined;
  if (hooks?.['stopSignal'] === undefined) return;
  const { stopSignal: _, ...rest } = hooks;
  if (isEmpty(rest)) delete container['lifecycle'];
  else container['lifecycle'] = rest;
}

const dropFields = createVisitor((type) => {
  if (CONTAINERS.has(type.name)) return dropStopSignal;
  const names = OFF[type.name];
  return (
    names &&
    ((object) => {
      for (const n of names) delete object[n];
    })
  );
});

/** Drops what only features that are off know of; in place, before validation. */
export function dropDisabledFields(definition: ResourceDefinition, object: KubeObject): void {
  const type = builtinSchemas().lookup(definition.schema);
  if (type) dropFields(object as unknown as JsonObject, type);
}
