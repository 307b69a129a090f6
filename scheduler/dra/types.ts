/** The kinds of resource.k8s.io as the allocator reads them. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type Claim = DeepReadonly<Json<k8s.ResourceV1ResourceClaim>>;
export type Slice = DeepReadonly<Json<k8s.V1ResourceSlice>>;
export type Class = DeepReadonly<Json<k8s.V1DeviceClass>>;
export type Device = DeepReadonly<Json<k8s.V1Device>>;
export type Allocation = Json<k8s.V1AllocationResult>;
export type AllocatedDevice = Json<k8s.V1DeviceRequestAllocationResult>;
export type Toleration = DeepReadonly<Json<k8s.V1DeviceToleration>>;
export type Selector = DeepReadonly<Json<k8s.V1DeviceSelector>>;
export type DeviceRequest = DeepReadonly<Json<k8s.V1DeviceRequest>>;

/** A claim has room for so many pods, an allocation for so many devices. */
export const MAX_RESERVED = 256;
export const MAX_RESULTS = 32;

/** Tells devices apart across drivers and pools. */
export const deviceKey = (driver: string, pool: string, device: string): string => `${driver}\0${pool}\0${device}`;

/** The claim, a class or a pool is in a state in which nothing can be allocated; the attempt must end. */
export class AllocationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AllocationError';
  }
}
