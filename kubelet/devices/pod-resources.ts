/** Tells agents on the node which devices are whose (podresources API v1). https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { DraManager } from '../dra/manager.ts';
import { CODE } from '../../base/grpc.ts';
import { loadService } from '../grpc.ts';
import { serve } from '../grpc-server.ts';
import { isSidecar } from '../pods/resources.ts';
import type { MemoryBlock } from '../memory/manager.ts';
import type { DeviceManager } from './manager.ts';

export interface PodResourcesOptions {
  /** ROOT/pod-resources */
  dir: string;
  devices: DeviceManager;
  dra: DraManager | undefined;
  /** Counts the questions. */
  asked?(kind: 'list' | 'get' | 'get_allocatable'): void;
  /** Pods that have not ended. */
  pods(): readonly DeepReadonly<Pod>[];
  /** CPUs that a container has for itself. */
  cpus(uid: string, container: string): number[];
  allocatableCpus(): number[];
  /** Memory that a container has from named NUMA nodes. */
  memory(uid: string, container: string): readonly MemoryBlock[];
  allocatableMemory(): readonly MemoryBlock[];
}

const topology = (nodes: readonly number[]) =>
  nodes.length ? { topology: { nodes: nodes.map((ID) => ({ ID })) } } : {};

const memoryMessage = (b: MemoryBlock) => ({ memory_type: b.type, size: b.size, ...topology(b.numaAffinity) });

export async function servePodResources(options: PodResourcesOptions): Promise<{ stop(): void }> {
  const { devices, dra } = options;
  const nodesOf = (resource: string, id: string) =>
    devices.devices().find((d) => d.resource === resource && d.ids[0] === id)?.nodes ?? [];

  function describe(pod: DeepReadonly<Pod>): object {
    const uid = pod.metadata!.uid!;
    const containers = [...(pod.spec!.initContainers ?? []).filter(isSidecar), ...pod.spec!.containers];
    return {
      name: pod.metadata!.name,
      namespace: pod.metadata!.namespace,
      containers: containers.map((c) => {
        const cdi = new Set(dra?.cdiDevices(pod, c.name));
        return {
          name: c.name,
          devices: devices.grants(uid, c.name).map((g) => ({
            resource_name: g.resource,
            device_ids: g.ids,
            ...topology([...new Set(g.ids.flatMap((id) => nodesOf(g.resource, id)))]),
          })),
          cpu_ids: options.cpus(uid, c.name),
          memory: options.memory(uid, c.name).map(memoryMessage),
          dynamic_resources: (dra?.claims(uid) ?? []).flatMap((claim) => {
            const resources = Object.entries(claim.drivers).flatMap(([driver, list]) =>
              (list ?? [])
                .filter((d) => d.cdi_device_ids.length === 0 || d.cdi_device_ids.some((id) => cdi.has(id)))
                .map((d) => ({
                  cdi_devices: d.cdi_device_ids.map((name) => ({ name })),
                  driver_name: driver,
                  pool_name: d.pool_name,
                  device_name: d.device_name,
                  ...(d.share_id ? { share_id: d.share_id } : {}),
                })),
            );
            return resources.length
              ? [{ claim_name: claim.name, claim_namespace: claim.namespace, claim_resources: resources }]
              : [];
          }),
        };
      }),
    };
  }

  mkdirSync(options.dir, { recursive: true, mode: 0o750 });
  return serve(join(options.dir, 'kubelet.sock'), [
    [
      loadService('kubelet-podresources-v1', 'v1.PodResourcesLister'),
      {
        List() {
          options.asked?.('list');
          return { pod_resources: options.pods().map(describe) };
        },
        GetAllocatableResources() {
          options.asked?.('get_allocatable');
          return {
            devices: devices
              .devices()
              .map((d) => ({ resource_name: d.resource, device_ids: d.ids, ...topology(d.nodes) })),
            cpu_ids: options.allocatableCpus(),
            memory: options.allocatableMemory().map(memoryMessage),
          };
        },
        Get(r: { pod_name: string; pod_namespace: string }) {
          options.asked?.('get');
          const pod = options
            .pods()
            .find((p) => p.metadata!.name === r.pod_name && p.metadata!.namespace === r.pod_namespace);
          if (!pod)
            throw Object.assign(new Error(`pod ${r.pod_name} in namespace ${r.pod_namespace} not found`), {
              code: CODE.notFound,
            });
          return { pod_resources: describe(pod) };
        },
      },
    ],
  ]);
}
