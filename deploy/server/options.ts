/** A server's settings, its ports, and addresses that follow from its ranges. */
import type { Replacements } from '../replace.ts';

/** What `k8ts server` needs to know; everything has a default except the address. */
export interface ServerOptions {
  dataDir: string;
  /** The address other machines reach this server at. */
  address: string;
  port: number;
  store: 'lmdb' | 'etcd';
  /** One range, or one of each address family with a comma between; so the next. */
  podCidr: string;
  serviceCidr: string;
  /** How pods of different nodes reach each other. */
  network: 'auto' | 'routes' | 'vxlan';
  /** Ranges of addresses for Services of type LoadBalancer, with commas between; '' for none. */
  loadBalancerCidrs: string;
  /** Runs the Ingress controller as pods. */
  ingress: boolean;
  dnsAddress: string;
  clusterDomain: string;
  /** Name of the cluster in kubeconfigs. */
  clusterName: string;
  /** Where built images and packages are kept between clusters. */
  cacheDir: string;
  /** Programs that run in place of ours. */
  replace?: Replacements;
}

/** Ports of the server that aren't the API's own. */
export const REGISTRY_PORT = 5000;
export const ETCD_PORT = 2379;
export const DASHBOARD_PORT = 8443;
export const INSIGHT_PORT = 4443;

/** The n-th address of an IPv4 range (the first of several ranges). */
export function addressAt(cidr: string, n: number): string {
  const [base = '', bits = '32'] = cidr.split(',')[0]!.split('/');
  const parts = base.split('.').map(Number);
  const start = parts.reduce((sum, p) => sum * 256 + p, 0);
  const size = 2 ** (32 - Number(bits));
  const network = Math.floor(start / size) * size + n;
  return [24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join('.');
}
