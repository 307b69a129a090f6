/** A node's settings and the places that go with them. */
import type { Replacements } from '../replace.ts';

/** What `k8ts agent` needs to know. */
export interface AgentOptions {
  server: string;
  token: string;
  nodeName: string;
  /** The address other nodes reach this one at. */
  nodeAddress: string;
  /** Everything the agent makes lies here, apart from the folders pods know (/var/lib/kubelet, /var/log/pods). */
  dataDir: string;
  /** Parent of the pods' cgroups; '' for the machine's root. */
  cgroupRoot: string;
  /** Programs that run in place of ours. */
  replace?: Replacements;
}

/** What a server tells its nodes; kept in the ConfigMap kube-system/k8ts-node-config. */
export interface NodeSettings {
  clusterDns: string;
  clusterDomain: string;
  podCidr: string;
  serviceCidr: string;
  /** Absent in settings that an older server gave. */
  loadBalancerCidrs?: string;
  network?: string;
  /** URL of the registry to ask first, '' for none. */
  registry: string;
  sandboxImage: string;
}

export const NODE_CONFIG_MAP = 'k8ts-node-config';
/** Below /run, so that a reboot forgets it. */
export const CONTAINERD_SOCKET = '/run/k8ts/containerd/containerd.sock';
/** Where volumes of the default StorageClass lie: with what else belongs to a node's pods. */
export const LOCAL_PATH_DIRECTORY = '/var/lib/kubelet/local-path';
