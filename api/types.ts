/**
 * What an API object is in k8ts: the plain JSON value. Types come from @kubernetes/client-node's models,
 * mapped to their wire form, so that no type is written twice.
 */
import type * as k8s from '@kubernetes/client-node';

type WireKey<K> = K extends '_continue'
  ? 'continue'
  : K extends '_default'
    ? 'default'
    : K extends '_enum'
      ? 'enum'
      : K extends '$ref' | '$schema'
        ? K
        : K extends `x_kubernetes_${infer Rest}`
          ? `x-kubernetes-${Dashed<Rest>}`
          : K extends `_${infer Rest}`
            ? Rest
            : K;
type Dashed<S extends string> = S extends `${infer A}_${infer B}` ? `${A}-${Dashed<B>}` : S;

/** The JSON wire form of a client-node model: dates are RFC 3339 strings, keys have their wire names. */
export type Json<T> = T extends Date
  ? string
  : T extends readonly (infer E)[]
    ? Json<E>[]
    : T extends (...args: never[]) => unknown
      ? never
      : T extends object
        ? { [K in keyof T as WireKey<K>]: Json<T[K]> }
        : T;

/** Deeply read-only: the type of everything that comes from a cache or an informer. */
export type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** Any JSON value. int64 values outside the safe range of a double are bigint (see api/codec). */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}

export type ObjectMeta = Json<k8s.V1ObjectMeta>;
export type OwnerReference = Json<k8s.V1OwnerReference>;
export type LabelSelector = Json<k8s.V1LabelSelector>;
export type ManagedFieldsEntry = Json<k8s.V1ManagedFieldsEntry>;

/** The least that every API object has. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
}

export interface ListMeta {
  resourceVersion?: string;
  continue?: string;
  remainingItemCount?: number;
  selfLink?: string;
}

export interface KubeList<T = KubeObject> {
  apiVersion?: string;
  kind?: string;
  metadata?: ListMeta;
  items: T[];
}

/** A watch event as it stands on the wire. */
export interface WatchEvent<T = KubeObject> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T;
}

export interface GroupVersionKind {
  group: string;
  version: string;
  kind: string;
}
export interface GroupVersionResource {
  group: string;
  version: string;
  resource: string;
}

/** "v1" or "group/version". */
export function apiVersionOf(gv: { group: string; version: string }): string {
  return gv.group === '' ? gv.version : `${gv.group}/${gv.version}`;
}

/** Splits "v1" or "group/version". */
export function parseApiVersion(apiVersion: string): { group: string; version: string } {
  const i = apiVersion.indexOf('/');
  return i < 0
    ? { group: '', version: apiVersion }
    : { group: apiVersion.slice(0, i), version: apiVersion.slice(i + 1) };
}

// The kinds that more than one component speaks of; take others as Json<k8s.V1Xyz> where they are used.
export type Pod = Json<k8s.V1Pod>;
export type PodSpec = Json<k8s.V1PodSpec>;
export type PodStatus = Json<k8s.V1PodStatus>;
export type PodTemplateSpec = Json<k8s.V1PodTemplateSpec>;
export type Container = Json<k8s.V1Container>;
export type ContainerStatus = Json<k8s.V1ContainerStatus>;
export type Node = Json<k8s.V1Node>;
export type Namespace = Json<k8s.V1Namespace>;
export type Service = Json<k8s.V1Service>;
export type Endpoints = Json<k8s.V1Endpoints>;
export type EndpointSlice = Json<k8s.V1EndpointSlice>;
export type ConfigMap = Json<k8s.V1ConfigMap>;
export type Secret = Json<k8s.V1Secret>;
export type ServiceAccount = Json<k8s.V1ServiceAccount>;
export type Deployment = Json<k8s.V1Deployment>;
export type ReplicaSet = Json<k8s.V1ReplicaSet>;
export type DaemonSet = Json<k8s.V1DaemonSet>;
export type StatefulSet = Json<k8s.V1StatefulSet>;
export type Job = Json<k8s.V1Job>;
export type CronJob = Json<k8s.V1CronJob>;
export type Lease = Json<k8s.V1Lease>;
export type CoreEvent = Json<k8s.CoreV1Event>;
export type PersistentVolume = Json<k8s.V1PersistentVolume>;
export type PersistentVolumeClaim = Json<k8s.V1PersistentVolumeClaim>;
export type Status = Json<k8s.V1Status>;
