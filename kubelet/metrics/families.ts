/** What the kubelet counts while it works, under the names that dashboards and upstream's tests know. */
import type { Clock } from '../../base/clock.ts';
import { DEFAULT_SECONDS, exponential, type MetricsRegistry } from '../../base/metrics.ts';
import { createPartMetrics } from './parts.ts';
import { createPodStarts, type PodStarts } from './pod-starts.ts';

const POD_START = [
  0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600,
];
const PULL = [1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600];
const STORAGE = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600];
const STATUS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60];

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Least sizes of images with the labels that stand for them, largest first. */
const IMAGE_SIZES: readonly (readonly [number, string])[] = [
  [100 * GIB, 'GT100GB'],
  [60 * GIB, '60GB-100GB'],
  [40 * GIB, '40GB-60GB'],
  [30 * GIB, '30GB-40GB'],
  [20 * GIB, '20GB-30GB'],
  [10 * GIB, '10GB-20GB'],
  [5 * GIB, '5GB-10GB'],
  [GIB, '1GB-5GB'],
  [500 * MIB, '500MB-1GB'],
  [100 * MIB, '100MB-500MB'],
  [10 * MIB, '10MB-100MB'],
];

/** The label for an image of so many bytes. */
export const imageSizeLabel = (bytes: number): string => IMAGE_SIZES.find(([least]) => bytes >= least)?.[1] ?? '0-10MB';

/** Reasons that are told apart; what others name is endless, as an extended resource is. */
const REJECTIONS: ReadonlySet<string> = new Set([
  'AppArmor',
  'Evicted',
  'InitContainerRestartPolicyForbidden',
  'NodeShutdown',
  'OutOfcpu',
  'OutOfephemeral-storage',
  'OutOfmemory',
  'OutOfpods',
  'PodFeatureUnsupported',
  'PodLevelResourcesNotSupported',
  'PodOSNotSupported',
  'PodOSSelectorNodeLabelDoesNotMatch',
  'SupplementalGroupsPolicyNotSupported',
  'SysctlForbidden',
  'TopologyAffinityError',
  'UnexpectedAdmissionError',
  'VolumeAttachmentLimitExceeded',
]);

const rejectionLabel = (reason: string): string =>
  REJECTIONS.has(reason) ? reason : reason.startsWith('OutOf') ? 'OutOfExtendedResources' : 'Other';

/** Adds the families to the registry. */
export function createKubeletMetrics(registry: MetricsRegistry, clock: Clock) {
  const operations = registry.counter('kubelet_runtime_operations_total', 'Calls of the container runtime, by kind.', [
    'operation_type',
  ]);
  const operationErrors = registry.counter(
    'kubelet_runtime_operations_errors_total',
    'Calls of the container runtime that failed, by kind.',
    ['operation_type'],
  );
  const operationSeconds = registry.histogram(
    'kubelet_runtime_operations_duration_seconds',
    'Seconds that calls of the container runtime took, by kind.',
    ['operation_type'],
    exponential(0.005, 2.5, 14),
  );
  const sandboxSeconds = registry.histogram(
    'kubelet_run_podsandbox_duration_seconds',
    'Seconds to start a pod sandbox, by runtime handler.',
    ['runtime_handler'],
    DEFAULT_SECONDS,
  );
  const sandboxErrors = registry.counter('kubelet_run_podsandbox_errors_total', 'Pod sandboxes that did not start.', [
    'runtime_handler',
  ]);
  const workerSeconds = registry.histogram(
    'kubelet_pod_worker_duration_seconds',
    'Seconds of one step for one pod, by what it was for.',
    ['operation_type'],
    DEFAULT_SECONDS,
  );
  const workerStartSeconds = registry.histogram(
    'kubelet_pod_worker_start_duration_seconds',
    'Seconds from seeing a pod to its first step.',
    [],
    DEFAULT_SECONDS,
  );
  const starts: PodStarts = createPodStarts({
    clock,
    running: registry.histogram(
      'kubelet_pod_start_duration_seconds',
      'Seconds from seeing a pod for the first time until it ran.',
      [],
      POD_START,
    ),
    total: registry.histogram(
      'kubelet_pod_start_total_duration_seconds',
      'Seconds from the creation of a pod until all its containers were seen to run.',
      [],
      POD_START,
    ),
    sli: registry.histogram(
      'kubelet_pod_start_sli_duration_seconds',
      'The same for pods without lasting volumes, without pulls of images and init containers.',
      [],
      POD_START,
    ),
    firstSli: registry.gauge(
      'kubelet_first_network_pod_start_sli_duration_seconds',
      'The same of the first pod with a network of its own.',
    ),
    containers: registry.histogram(
      'kubelet_containers_per_pod_count',
      'Containers that pods have.',
      [],
      exponential(1, 2, 5),
    ),
  });
  const startedPods = registry.counter('kubelet_started_pods_total', 'Pod sandboxes that were to be started.');
  const startedPodErrors = registry.counter('kubelet_started_pods_errors_total', 'Pod sandboxes that did not start.');
  const startedRemapped = registry.counter(
    'kubelet_started_user_namespaced_pods_total',
    'Pod sandboxes with users of their own that were to be started.',
  );
  const remappedErrors = registry.counter(
    'kubelet_started_user_namespaced_pods_errors_total',
    'Pod sandboxes with users of their own that did not start.',
  );
  for (const c of [startedPods, startedPodErrors, startedRemapped, remappedErrors]) c.handle([]);
  const statusSeconds = registry.histogram(
    'kubelet_pod_status_sync_duration_seconds',
    "Seconds until the API server took a pod's status.",
    [],
    STATUS,
  );
  const relistSeconds = registry.histogram(
    'kubelet_pleg_relist_duration_seconds',
    'Seconds of one look at all that the runtime has.',
    [],
    DEFAULT_SECONDS,
  );
  const relistInterval = registry.histogram(
    'kubelet_pleg_relist_interval_seconds',
    'Seconds between two looks at all that the runtime has; changes in between come as events.',
    [],
    [...DEFAULT_SECONDS, 15, 30, 60],
  );
  const lastSeen = registry.gauge(
    'kubelet_pleg_last_seen_seconds',
    'When the last look ended, in seconds since the epoch.',
  );
  const cgroupSeconds = registry.histogram(
    'kubelet_cgroup_manager_duration_seconds',
    'Seconds of work on the cgroups of pods, by kind.',
    ['operation_type'],
    DEFAULT_SECONDS,
  );
  const storageSeconds = registry.histogram(
    'storage_operation_duration_seconds',
    'Seconds of work on volumes, by plugin, kind and outcome.',
    ['migrated', 'operation_name', 'status', 'volume_plugin'],
    STORAGE,
  );
  const storageErrors = registry.counter('storage_operation_errors_total', 'Work on volumes that failed.', [
    'operation_name',
    'volume_plugin',
  ]);
  const pullSeconds = registry.histogram(
    'kubelet_image_pull_duration_seconds',
    'Seconds to pull an image, by its size.',
    ['image_size_in_bytes'],
    PULL,
  );
  const rejections = registry.counter('kubelet_admission_rejections_total', 'Pods that were not admitted, by reason.', [
    'reason',
  ]);
  const shutdownStart = registry.gauge(
    'kubelet_graceful_shutdown_start_time_seconds',
    'When the node began to shut down, in seconds since the epoch.',
  );
  const shutdownEnd = registry.gauge(
    'kubelet_graceful_shutdown_end_time_seconds',
    'When its pods had ended, in seconds since the epoch.',
  );
  const imageVolumes = {
    requested: registry.counter('kubelet_image_volume_requested_total', 'Image volumes that were to be mounted.'),
    succeeded: registry.counter('kubelet_image_volume_mounted_succeed_total', 'Image volumes that were mounted.'),
    failed: registry.counter('kubelet_image_volume_mounted_errors_total', 'Image volumes that were not mounted.'),
  };
  let relistBegan: number | undefined;
  const secondsSince = (began: number) => (clock.monotonic() - began) / 1000;

  const podResources = ['total', 'list', 'get', 'get_allocatable'].map((name) =>
    registry.counter(
      `kubelet_pod_resources_endpoint_requests_${name}`,
      'Questions to the podresources endpoint, all or of one kind.',
      ['server_api_version'],
    ),
  );

  return {
    starts,
    parts: createPartMetrics(registry, clock),
    /** The podresources endpoint was asked. */
    podResources(kind: 'list' | 'get' | 'get_allocatable'): void {
      podResources[0]!.add(['v1']);
      podResources[{ list: 1, get: 2, get_allocatable: 3 }[kind]]!.add(['v1']);
    },
    evictions: registry.counter('kubelet_evictions', 'Pods evicted, by the signal that asked for it.', [
      'eviction_signal',
    ]),
    preemptions: registry.counter('kubelet_preemptions', 'Pods that made way for critical ones, by what was short.', [
      'preemption_signal',
    ]),
    startedContainers: registry.counter(
      'kubelet_started_containers_total',
      'Containers that were to be started, by type.',
      ['container_type'],
    ),
    startedContainerErrors: registry.counter(
      'kubelet_started_containers_errors_total',
      'Containers that did not start, by type and reason.',
      ['code', 'container_type'],
    ),
    imagesCollected: registry.counter('kubelet_image_garbage_collected_total', 'Images removed, by reason.', [
      'reason',
    ]),
    orphans: registry.counter(
      'kubelet_orphaned_runtime_pods_total',
      'Pods that ran and that no source of pods knew when the kubelet began.',
    ),
    renewErrors: {
      client: registry
        .counter(
          'kubelet_certificate_manager_client_expiration_renew_errors',
          'Failures to renew the client certificate.',
        )
        .handle([]),
      server: registry
        .counter('kubelet_server_expiration_renew_errors', 'Failures to renew the serving certificate.')
        .handle([]),
    },
    /** A call of the runtime ended. */
    operation(kind: string, began: number, failed: boolean): void {
      operations.add([kind]);
      operationSeconds.observe([kind], secondsSince(began));
      if (failed) operationErrors.add([kind]);
    },
    /** A sandbox was started, or was not. */
    sandbox(handler: string, began: number, failed: boolean, remapped: boolean): void {
      sandboxSeconds.observe([handler], secondsSince(began));
      startedPods.add([]);
      if (remapped) startedRemapped.add([]);
      if (!failed) return;
      sandboxErrors.add([handler]);
      startedPodErrors.add([]);
      if (remapped) remappedErrors.add([]);
    },
    workerStep: (kind: string, began: number) => workerSeconds.observe([kind], secondsSince(began)),
    workerStarted: (seen: number) => workerStartSeconds.observe([], secondsSince(seen)),
    statusTaken: (since: number) => statusSeconds.observe([], secondsSince(since)),
    relisting(began: number): void {
      if (relistBegan !== undefined) relistInterval.observe([], (began - relistBegan) / 1000);
      relistBegan = began;
    },
    relisted(began: number): void {
      relistSeconds.observe([], secondsSince(began));
      lastSeen.set([], clock.now() / 1000);
    },
    cgroup: (kind: 'create' | 'update' | 'destroy', began: number) =>
      cgroupSeconds.observe([kind], secondsSince(began)),
    storage(plugin: string, operation: string, began: number, failed: boolean): void {
      storageSeconds.observe(['false', operation, failed ? 'fail-unknown' : 'success', plugin], secondsSince(began));
      if (failed) storageErrors.add([operation, plugin]);
      if (plugin !== 'kubernetes.io/image' || operation !== 'volume_mount') return;
      imageVolumes.requested.add([]);
      imageVolumes[failed ? 'failed' : 'succeeded'].add([]);
    },
    pulled: (bytes: number, began: number) => pullSeconds.observe([imageSizeLabel(bytes)], secondsSince(began)),
    shuttingDown: () => shutdownStart.set([], clock.now() / 1000),
    shutDown: () => shutdownEnd.set([], clock.now() / 1000),
    rejected: (reason: string) => rejections.add([rejectionLabel(reason)]),
  };
}
export type KubeletMetrics = ReturnType<typeof createKubeletMetrics>;
