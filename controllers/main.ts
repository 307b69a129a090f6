/** The controller manager as a program: `node controllers/main.ts --kubeconfig FILE [kube-controller-manager's flags]`. */
import { electionFromFlags, runProgram } from '../client/program.ts';
import { FLAGS, parseFlags, type Flags } from './flags.ts';
import { readPem, start, type ManagerOptions } from './manager.ts';
import { answer } from './serving.ts';

type Chosen = Omit<ManagerOptions, 'client' | 'identity' | 'logger' | 'clock' | 'ids' | 'rand'>;

/** The manager's options as flags say them. @throws Error with one sentence when they can't be used. */
export function optionsFromFlags(flags: Flags): { kubeconfig: string | undefined; options: Chosen } {
  const options: Chosen = {
    controllers: flags.controllers,
    concurrency: flags.concurrency,
    leaderElect: flags['leader-elect'],
    leaderElection: electionFromFlags(flags),
    useServiceAccountCredentials: flags['use-service-account-credentials'],
    signing: {
      cert: readPem('cluster-signing-cert-file', flags['cluster-signing-cert-file']),
      key: readPem('cluster-signing-key-file', flags['cluster-signing-key-file']),
    },
    clusterSigningDurationMs: flags['cluster-signing-duration'],
    rootCA: readPem('root-ca-file', flags['root-ca-file']),
    serviceAccountPrivateKey: readPem('service-account-private-key-file', flags['service-account-private-key-file']),
    clusterName: flags['cluster-name'],
    clusterCIDRs: flags['cluster-cidr'],
    allocateNodeCIDRs: flags['allocate-node-cidrs'],
    nodeCIDRMaskSizeIPv4: flags['node-cidr-mask-size-ipv4'] ?? flags['node-cidr-mask-size'],
    nodeCIDRMaskSizeIPv6: flags['node-cidr-mask-size-ipv6'],
    serviceClusterIPRanges: flags['service-cluster-ip-range'],
    nodeMonitorPeriodMs: flags['node-monitor-period'],
    nodeMonitorGracePeriodMs: flags['node-monitor-grace-period'],
    nodeStartupGracePeriodMs: flags['node-startup-grace-period'],
    nodeEvictionRate: flags['node-eviction-rate'],
    secondaryNodeEvictionRate: flags['secondary-node-eviction-rate'],
    unhealthyZoneThreshold: flags['unhealthy-zone-threshold'],
    largeClusterSizeThreshold: flags['large-cluster-size-threshold'],
    terminatedPodGCThreshold: flags['terminated-pod-gc-threshold'],
    endpointUpdatesBatchPeriodMs: flags['endpointslice-updates-batch-period'] ?? flags['endpoint-updates-batch-period'],
    maxEndpointsPerSlice: flags['max-endpoints-per-slice'],
    mirroringMaxEndpointsPerSubset: flags['mirroring-max-endpoints-per-subset'],
    hpaSyncPeriodMs: flags['horizontal-pod-autoscaler-sync-period'],
    hpaDownscaleStabilizationMs: flags['horizontal-pod-autoscaler-downscale-stabilization'],
    hpaTolerance: flags['horizontal-pod-autoscaler-tolerance'],
    hpaCPUInitializationPeriodMs: flags['horizontal-pod-autoscaler-cpu-initialization-period'],
    hpaInitialReadinessDelayMs: flags['horizontal-pod-autoscaler-initial-readiness-delay'],
    pvClaimBinderSyncPeriodMs: flags['pvclaimbinder-sync-period'],
    resourceQuotaSyncPeriodMs: flags['resource-quota-sync-period'],
    legacyServiceAccountTokenCleanUpPeriodMs: flags['legacy-service-account-token-clean-up-period'],
    loadBalancerCIDRs: flags['load-balancer-cidrs'],
    localPathDirectory: flags['local-path-directory'],
  };
  return { kubeconfig: flags.kubeconfig, options };
}

if (import.meta.main)
  await runProgram(
    {
      name: 'kube-controller-manager',
      securePort: 10257,
      flags: FLAGS,
      parse: parseFlags,
      options: optionsFromFlags,
      async start(options, deps) {
        const manager = await start({ ...options, ...deps });
        return { stop: () => manager.stop(), answer: (path) => answer(path, manager) };
      },
    },
    process.argv.slice(2),
  );
