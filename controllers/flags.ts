/** kube-controller-manager's command line: flag names and their kinds as data. */
import { parseFlagTable, type FlagTable, type FlagValues } from '../base/flags.ts';
import { COMPONENT_FLAGS, IGNORED_COMPONENT_FLAGS } from '../client/program.ts';

/** Flags that mean something here. */
export const FLAGS = {
  ...COMPONENT_FLAGS,
  controllers: 'list',
  'use-service-account-credentials': 'bool',
  'cluster-signing-cert-file': 'string',
  'cluster-signing-key-file': 'string',
  'cluster-signing-duration': 'duration',
  'root-ca-file': 'string',
  'service-account-private-key-file': 'string',
  'cluster-name': 'string',
  'cluster-cidr': 'list',
  'allocate-node-cidrs': 'bool',
  'node-cidr-mask-size': 'int',
  'node-cidr-mask-size-ipv4': 'int',
  'node-cidr-mask-size-ipv6': 'int',
  'service-cluster-ip-range': 'list',
  'node-monitor-period': 'duration',
  'node-monitor-grace-period': 'duration',
  'node-startup-grace-period': 'duration',
  'node-eviction-rate': 'float',
  'secondary-node-eviction-rate': 'float',
  'unhealthy-zone-threshold': 'float',
  'large-cluster-size-threshold': 'int',
  'terminated-pod-gc-threshold': 'int',
  'endpoint-updates-batch-period': 'duration',
  'endpointslice-updates-batch-period': 'duration',
  'max-endpoints-per-slice': 'int',
  'mirroring-max-endpoints-per-subset': 'int',
  'horizontal-pod-autoscaler-sync-period': 'duration',
  'horizontal-pod-autoscaler-downscale-stabilization': 'duration',
  'horizontal-pod-autoscaler-tolerance': 'float',
  'horizontal-pod-autoscaler-cpu-initialization-period': 'duration',
  'horizontal-pod-autoscaler-initial-readiness-delay': 'duration',
  'pvclaimbinder-sync-period': 'duration',
  'resource-quota-sync-period': 'duration',
  'legacy-service-account-token-clean-up-period': 'duration',
  'load-balancer-cidrs': 'list',
  'local-path-directory': 'string',
} as const satisfies FlagTable;

/** Flags that are taken so that a command line made for the original works, and have no effect. */
const IGNORED: FlagTable = {
  ...IGNORED_COMPONENT_FLAGS,
  'allow-untagged-cloud': 'bool',
  'attach-detach-reconcile-sync-period': 'duration',
  'cidr-allocator-type': 'string',
  'cloud-config': 'string',
  'cloud-provider': 'string',
  'configure-cloud-routes': 'bool',
  'controller-start-interval': 'duration',
  'disable-attach-detach-reconcile-sync': 'bool',
  'enable-dynamic-provisioning': 'bool',
  'enable-garbage-collector': 'bool',
  'enable-hostpath-provisioner': 'bool',
  'external-cloud-volume-plugin': 'string',
  'flex-volume-plugin-dir': 'string',
  'min-resync-period': 'duration',
  'namespace-sync-period': 'duration',
  'node-sync-period': 'duration',
  'route-reconciliation-period': 'duration',
};

const CONCURRENT = /^concurrent-(.+)-syncs$/;

export type Flags = FlagValues<typeof FLAGS> & { concurrency: Record<string, number> };

/** Reads a command line. @throws Error with one sentence about the first thing that is wrong. */
export function parseFlags(argv: readonly string[]): { flags: Flags; help: boolean } {
  const concurrency: Record<string, number> = {};
  const { values, help } = parseFlagTable(argv, {
    flags: FLAGS,
    ignored: IGNORED,
    others: {
      kind: (name) => (CONCURRENT.test(name) ? 'int' : undefined),
      take: (name, value) => (concurrency[CONCURRENT.exec(name)![1]!] = value as number),
    },
  });
  return { flags: { ...values, concurrency }, help };
}
