/** The controller manager as a program: `node controllers/main.ts --kubeconfig FILE [kube-controller-manager's flags]`. */
import { pathToFileURL } from 'node:url';
import { systemClock, systemIds, systemRand } from '../base/clock.ts';
import { createLogger } from '../base/log.ts';
import { serveHttps } from '../base/serving.ts';
import { loadKubeconfig } from '../client/kubeconfig.ts';
import { FLAGS, parseFlags, type Flags } from './flags.ts';
import { readPem, start, type ManagerOptions } from './manager.ts';
import { answer } from './serving.ts';

/** The manager's options as flags say them. @throws Error with one sentence when they can't be used. */
export function optionsFromFlags(flags: Flags): Omit<ManagerOptions, 'logger' | 'clock' | 'ids' | 'rand'> {
  const text = (name: keyof typeof FLAGS) => flags[name] as string | undefined;
  const number = (name: keyof typeof FLAGS) => flags[name] as number | undefined;
  const list = (name: keyof typeof FLAGS) => flags[name] as string[] | undefined;
  const bool = (name: keyof typeof FLAGS) => flags[name] as boolean | undefined;
  const kubeconfig = text('kubeconfig');
  if (!kubeconfig) throw new Error('--kubeconfig is required');
  const connection = loadKubeconfig(kubeconfig);
  const master = text('master');
  if (master) connection.server = master;
  return {
    connection,
    controllers: list('controllers'),
    concurrency: flags.concurrency,
    leaderElect: bool('leader-elect'),
    leaderElection: {
      leaseDurationMs: number('leader-elect-lease-duration'),
      renewDeadlineMs: number('leader-elect-renew-deadline'),
      retryPeriodMs: number('leader-elect-retry-period'),
      name: text('leader-elect-resource-name'),
      namespace: text('leader-elect-resource-namespace'),
    },
    useServiceAccountCredentials: bool('use-service-account-credentials'),
    signing: {
      cert: readPem('cluster-signing-cert-file', text('cluster-signing-cert-file')),
      key: readPem('cluster-signing-key-file', text('cluster-signing-key-file')),
    },
    clusterSigningDurationMs: number('cluster-signing-duration'),
    rootCA: readPem('root-ca-file', text('root-ca-file')),
    serviceAccountPrivateKey: readPem('service-account-private-key-file', text('service-account-private-key-file')),
    clusterName: text('cluster-name'),
    clusterCIDRs: list('cluster-cidr'),
    allocateNodeCIDRs: bool('allocate-node-cidrs'),
    nodeCIDRMaskSizeIPv4: number('node-cidr-mask-size-ipv4') ?? number('node-cidr-mask-size'),
    nodeCIDRMaskSizeIPv6: number('node-cidr-mask-size-ipv6'),
    serviceClusterIPRanges: list('service-cluster-ip-range'),
    nodeMonitorPeriodMs: number('node-monitor-period'),
    nodeMonitorGracePeriodMs: number('node-monitor-grace-period'),
    nodeStartupGracePeriodMs: number('node-startup-grace-period'),
    nodeEvictionRate: number('node-eviction-rate'),
    secondaryNodeEvictionRate: number('secondary-node-eviction-rate'),
    unhealthyZoneThreshold: number('unhealthy-zone-threshold'),
    largeClusterSizeThreshold: number('large-cluster-size-threshold'),
    terminatedPodGCThreshold: number('terminated-pod-gc-threshold'),
    endpointUpdatesBatchPeriodMs:
      number('endpointslice-updates-batch-period') ?? number('endpoint-updates-batch-period'),
    maxEndpointsPerSlice: number('max-endpoints-per-slice'),
    mirroringMaxEndpointsPerSubset: number('mirroring-max-endpoints-per-subset'),
    hpaSyncPeriodMs: number('horizontal-pod-autoscaler-sync-period'),
    hpaDownscaleStabilizationMs: number('horizontal-pod-autoscaler-downscale-stabilization'),
    hpaTolerance: number('horizontal-pod-autoscaler-tolerance'),
    hpaCPUInitializationPeriodMs: number('horizontal-pod-autoscaler-cpu-initialization-period'),
    hpaInitialReadinessDelayMs: number('horizontal-pod-autoscaler-initial-readiness-delay'),
    pvClaimBinderSyncPeriodMs: number('pvclaimbinder-sync-period'),
    resourceQuotaSyncPeriodMs: number('resource-quota-sync-period'),
    legacyServiceAccountTokenCleanUpPeriodMs: number('legacy-service-account-token-clean-up-period'),
    loadBalancerCIDRs: list('load-balancer-cidrs'),
    localPathDirectory: text('local-path-directory'),
  };
}

async function main(argv: readonly string[]): Promise<void> {
  const clock = systemClock;
  let flags: Flags;
  let options: ReturnType<typeof optionsFromFlags>;
  try {
    flags = parseFlags(argv);
    if (flags.help) {
      process.stdout.write(
        `usage: main.ts --kubeconfig FILE [flags]\n${Object.entries(FLAGS)
          .map(([k, v]) => `  --${k} ${v}\n`)
          .join('')}`,
      );
      return;
    }
    options = optionsFromFlags(flags);
  } catch (error) {
    process.stderr.write(`kube-controller-manager: ${(error as Error).message}\n`);
    process.exitCode = 1;
    return;
  }
  const logger = createLogger({
    clock,
    component: 'kube-controller-manager',
    level: Number(flags.v ?? 0) >= 4 ? 'debug' : 'info',
  });
  let ending = false;
  const manager = await start({
    ...options,
    clock,
    ids: systemIds,
    rand: systemRand,
    logger,
    onLost() {
      if (ending) return;
      logger.error('leader election lost');
      process.exit(1);
    },
  });
  const port = (flags['secure-port'] as number | undefined) ?? 10257;
  const health =
    port === 0
      ? undefined
      : await serveHttps({
          address: (flags['bind-address'] as string | undefined) ?? '0.0.0.0',
          port,
          certFile: flags['tls-cert-file'] as string | undefined,
          keyFile: flags['tls-private-key-file'] as string | undefined,
          clock,
          answer: (path) => answer(path, manager),
        });
  const end = (): void => {
    if (ending) return;
    ending = true;
    void Promise.all([manager.stop(), health?.stop()]).then(() => process.exit(0));
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`kube-controller-manager: ${(error as Error).message}\n`);
    // Half started (the port is taken, say) is not started.
    process.exit(1);
  });
}
