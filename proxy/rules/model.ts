/** What the service proxy knows of the cluster, boiled down to what rules depend on. */

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** One backend of one service port. */
export interface Backend {
  ip: string;
  port: number;
  ready: boolean;
  serving: boolean;
  terminating: boolean;
  /** The node it runs on; undefined for endpoints outside the cluster. */
  node: string | undefined;
  zoneHints: readonly string[];
  nodeHints: readonly string[];
}

/** One port of one Service in one address family. */
export interface ServicePort {
  /** `namespace/name:port`, unique with the protocol. */
  id: string;
  namespace: string;
  name: string;
  portName: string;
  protocol: Protocol;
  port: number;
  clusterIP: string;
  externalIPs: readonly string[];
  loadBalancerIPs: readonly string[];
  /** CIDRs that may use the load balancer's addresses; empty for everybody. */
  sourceRanges: readonly string[];
  nodePort: number;
  healthCheckNodePort: number;
  /** Seconds that a client keeps its backend; 0 for no affinity. */
  affinitySeconds: number;
  internalLocal: boolean;
  externalLocal: boolean;
  backends: readonly Backend[];
}

/** The node the rules are for. */
export interface NodeView {
  name: string;
  zone: string;
  /** Addresses of pods of the whole cluster; '' when unknown. */
  clusterCidr: string;
  family: 4 | 6;
  masqueradeAll: boolean;
  /** CIDRs of the node addresses that answer NodePorts; empty for all but loopback. */
  nodePortAddresses: readonly string[];
}
