/** What the controllers may be told, with kube-controller-manager's defaults. */

export interface ControllerOptions {
  /** Name patterns as --controllers takes them: `*`, `name`, `-name`. */
  controllers: readonly string[];
  /** How many keys are worked on at once, by the name in `--concurrent-<name>-syncs`. */
  concurrency: Readonly<Record<string, number>>;
  clusterName: string;
  /** One or two ranges for pods; needed by node IPAM. */
  clusterCIDRs: readonly string[];
  allocateNodeCIDRs: boolean;
  /** Prefix lengths of a node's ranges. */
  nodeCIDRMaskSizeIPv4: number;
  nodeCIDRMaskSizeIPv6: number;
  serviceClusterIPRanges: readonly string[];
  /** PEM of the signing CA, by signer; see `certificates/`. */
  signing: { readonly cert?: string; readonly key?: string };
  clusterSigningDurationMs: number;
  /** PEM that `kube-root-ca.crt` holds. */
  rootCA?: string;
  /** PEM of the key that signs legacy service account tokens. */
  serviceAccountPrivateKey?: string;
  nodeMonitorPeriodMs: number;
  nodeMonitorGracePeriodMs: number;
  nodeStartupGracePeriodMs: number;
  /** Nodes a second that may be tainted NoExecute in a healthy and in an unhealthy zone. */
  nodeEvictionRate: number;
  secondaryNodeEvictionRate: number;
  unhealthyZoneThreshold: number;
  largeClusterSizeThreshold: number;
  terminatedPodGCThreshold: number;
  /** Waits for more changes before endpoints are written. */
  endpointUpdatesBatchPeriodMs: number;
  maxEndpointsPerSlice: number;
  mirroringMaxEndpointsPerSubset: number;
  hpaSyncPeriodMs: number;
  hpaDownscaleStabilizationMs: number;
  hpaTolerance: number;
  hpaCPUInitializationPeriodMs: number;
  hpaInitialReadinessDelayMs: number;
  pvClaimBinderSyncPeriodMs: number;
  resourceQuotaSyncPeriodMs: number;
  legacyServiceAccountTokenCleanUpPeriodMs: number;
  /** Addresses handed to Services of type LoadBalancer; the service-lb controller runs only with some. */
  loadBalancerCIDRs: readonly string[];
  /** A directory on the nodes for volumes of the local-path provisioner; off when absent. */
  localPathDirectory?: string;
}

export const defaultControllerOptions: ControllerOptions = {
  controllers: ['*'],
  concurrency: {},
  clusterName: 'kubernetes',
  clusterCIDRs: [],
  allocateNodeCIDRs: false,
  nodeCIDRMaskSizeIPv4: 24,
  nodeCIDRMaskSizeIPv6: 64,
  serviceClusterIPRanges: [],
  signing: {},
  clusterSigningDurationMs: 8760 * 3600_000,
  nodeMonitorPeriodMs: 5_000,
  nodeMonitorGracePeriodMs: 50_000,
  nodeStartupGracePeriodMs: 60_000,
  nodeEvictionRate: 0.1,
  secondaryNodeEvictionRate: 0.01,
  unhealthyZoneThreshold: 0.55,
  largeClusterSizeThreshold: 50,
  terminatedPodGCThreshold: 12_500,
  endpointUpdatesBatchPeriodMs: 0,
  maxEndpointsPerSlice: 100,
  mirroringMaxEndpointsPerSubset: 1000,
  hpaSyncPeriodMs: 15_000,
  hpaDownscaleStabilizationMs: 300_000,
  hpaTolerance: 0.1,
  hpaCPUInitializationPeriodMs: 300_000,
  hpaInitialReadinessDelayMs: 30_000,
  pvClaimBinderSyncPeriodMs: 15_000,
  resourceQuotaSyncPeriodMs: 300_000,
  legacyServiceAccountTokenCleanUpPeriodMs: 365 * 24 * 3600_000,
  loadBalancerCIDRs: [],
};

/** The value of `--concurrent-<name>-syncs`. */
export function concurrency(name: string, fallback = 5): (options: ControllerOptions) => number {
  return (options) => options.concurrency[name] ?? fallback;
}
