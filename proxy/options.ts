/** The proxy's command line; flags bear kube-proxy's names where it has them. */
import { parseArgs } from 'node:util';
import { parseDuration } from '../api/time.ts';
import type { ConntrackLimits } from './limits.ts';
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
  conntrack: ConntrackLimits;
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
      'conntrack-max-per-core': { type: 'string', default: '32768' },
      'conntrack-min': { type: 'string', default: '131072' },
      'conntrack-tcp-timeout-established': { type: 'string', default: '24h' },
      'conntrack-tcp-timeout-close-wait': { type: 'string', default: '1h' },
      'conntrack-udp-timeout': { type: 'string', default: '0s' },
      'conntrack-udp-timeout-stream': { type: 'string', default: '0s' },
      'conntrack-tcp-be-liberal': { type: 'string', default: 'false' },
      'healthz-bind-address': { type: 'string', default: '0.0.0.0:10256' },
      'metrics-bind-address': { type: 'string', default: '127.0.0.1:10249' },
      v: { type: 'string', default: '0' },
    },
  });
  if (!values.kubeconfig) throw new Error('--kubeconfig is required');
  if (!isMode(values.network)) throw new Error(`--network: "${values.network}" is none of ${MODES.join(', ')}`);
  type DurationFlag = Extract<keyof typeof values, `conntrack-${string}-timeout${string}`>;
  const milliseconds = (name: DurationFlag): number => {
    const nanos = parseDuration(values[name]);
    if (nanos === undefined) throw new Error(`--${name}: "${values[name]}" is no duration such as 1h`);
    return Number(nanos / 1_000_000n);
  };
  const count = (name: 'conntrack-max-per-core' | 'conntrack-min'): number => {
    if (!/^[0-9]+$/.test(values[name])) throw new Error(`--${name}: "${values[name]}" is no whole number`);
    return Number(values[name]);
  };
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
    conntrack: {
      maxPerCore: count('conntrack-max-per-core'),
      min: count('conntrack-min'),
      tcpEstablishedMs: milliseconds('conntrack-tcp-timeout-established'),
      tcpCloseWaitMs: milliseconds('conntrack-tcp-timeout-close-wait'),
      udpMs: milliseconds('conntrack-udp-timeout'),
      udpStreamMs: milliseconds('conntrack-udp-timeout-stream'),
      tcpBeLiberal: values['conntrack-tcp-be-liberal'] === 'true',
    },
    healthzBindAddress: values['healthz-bind-address'],
    metricsBindAddress: values['metrics-bind-address'],
    verbose: Number(values.v) >= 4,
  };
}
