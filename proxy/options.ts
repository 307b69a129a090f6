/** The proxy's command line; flags bear kube-proxy's names where it has them. */
import { parseArgs } from 'node:util';
import type { NetworkMode } from './network/routes.ts';

export interface ProxyOptions {
  kubeconfig: string;
  nodeName: string;
  /** Ranges of all pods; one per address family. Both families are served when one of them is IPv6. */
  clusterCidrs: string[];
  /** Ranges of load balancer addresses that this cluster gives out; nodes answer for them on their network. */
  loadBalancerCidrs: string[];
  /** Routes to pods only: for a machine that is no node (a control plane). */
  routesOnly: boolean;
  network: NetworkMode;
  /** Where to write the CNI configuration; '' for not at all. */
  cniConfDir: string;
  cniDataDir: string;
  masqueradeAll: boolean;
  nodePortAddresses: string[];
  healthzBindAddress: string;
  /** Where /metrics and /proxyMode are; '' for nowhere. */
  metricsBindAddress: string;
  verbose: boolean;
}

const MODES = ['auto', 'routes', 'vxlan'] as const;
const isMode = (text: string): text is NetworkMode => (MODES as readonly string[]).includes(text);

/** Throws with one sentence for an unknown flag or a missing value. */
export function parseFlags(argv: readonly string[], hostname: string): ProxyOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      kubeconfig: { type: 'string' },
      'hostname-override': { type: 'string' },
      'cluster-cidr': { type: 'string', default: '' },
      'load-balancer-cidrs': { type: 'string', default: '' },
      'routes-only': { type: 'string', default: 'false' },
      network: { type: 'string', default: 'auto' },
      'cni-conf-dir': { type: 'string', default: '' },
      'cni-data-dir': { type: 'string', default: '/var/lib/cni/networks' },
      'masquerade-all': { type: 'string', default: 'false' },
      'nodeport-addresses': { type: 'string', default: '' },
      'healthz-bind-address': { type: 'string', default: '0.0.0.0:10256' },
      'metrics-bind-address': { type: 'string', default: '127.0.0.1:10249' },
      v: { type: 'string', default: '0' },
    },
  });
  if (!values.kubeconfig) throw new Error('--kubeconfig is required');
  if (!isMode(values.network)) throw new Error(`--network: "${values.network}" is none of ${MODES.join(', ')}`);
  return {
    kubeconfig: values.kubeconfig,
    nodeName: (values['hostname-override'] ?? hostname).toLowerCase(),
    clusterCidrs: values['cluster-cidr'].split(',').filter(Boolean),
    loadBalancerCidrs: values['load-balancer-cidrs'].split(',').filter(Boolean),
    routesOnly: values['routes-only'] === 'true',
    network: values.network,
    cniConfDir: values['cni-conf-dir'],
    cniDataDir: values['cni-data-dir'],
    masqueradeAll: values['masquerade-all'] === 'true',
    nodePortAddresses: values['nodeport-addresses'].split(',').filter(Boolean),
    healthzBindAddress: values['healthz-bind-address'],
    metricsBindAddress: values['metrics-bind-address'],
    verbose: Number(values.v) >= 4,
  };
}
