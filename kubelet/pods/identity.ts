/** How the kubelet finds its pods and containers again in the runtime: labels, annotations, paths. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';

export const POD_NAME = 'io.kubernetes.pod.name';
export const POD_NAMESPACE = 'io.kubernetes.pod.namespace';
export const POD_UID = 'io.kubernetes.pod.uid';
export const CONTAINER_NAME = 'io.kubernetes.container.name';
export const CONTAINER_HASH = 'io.kubernetes.container.hash';
export const RESTART_COUNT = 'io.kubernetes.container.restartCount';
export const TERMINATION_PATH = 'io.kubernetes.container.terminationMessagePath';
export const TERMINATION_POLICY = 'io.kubernetes.container.terminationMessagePolicy';
export const POD_GRACE = 'io.kubernetes.pod.terminationGracePeriod';
export const PRE_STOP = 'io.kubernetes.container.preStopHandler';
/** Where the file for the termination message lies on the node. */
export const TERMINATION_FILE = 'k8ts.io/termination-file';

export const CONFIG_SOURCE = 'kubernetes.io/config.source';
export const CONFIG_HASH = 'kubernetes.io/config.hash';
export const CONFIG_MIRROR = 'kubernetes.io/config.mirror';

/** What may not change without a new container. */
export function containerHash(c: DeepReadonly<Container>): string {
  return createHash('sha256')
    .update(JSON.stringify([c.name, c.image]))
    .digest('hex')
    .slice(0, 8);
}

export const isStatic = (pod: DeepReadonly<Pod>): boolean => {
  const source = pod.metadata?.annotations?.[CONFIG_SOURCE];
  return source !== undefined && source !== 'api';
};
export const isMirror = (pod: DeepReadonly<Pod>): boolean => pod.metadata?.annotations?.[CONFIG_MIRROR] !== undefined;

/** Folders of a pod on this node. */
export interface PodPaths {
  /** ROOT/pods/UID */
  root: string;
  volumes: string;
  hosts: string;
  /** The folder of its log files. */
  logs: string;
  container(name: string): string;
  subPaths: string;
}

export function podPaths(rootDir: string, logsDir: string, pod: DeepReadonly<Pod>): PodPaths {
  const m = pod.metadata!;
  const root = join(rootDir, 'pods', m.uid!);
  return {
    root,
    volumes: join(root, 'volumes'),
    hosts: join(root, 'etc-hosts'),
    logs: join(logsDir, `${m.namespace}_${m.name}_${m.uid}`),
    container: (name) => join(root, 'containers', name),
    subPaths: join(root, 'volume-subpaths'),
  };
}

/** The name in /var/log/containers for a container's log. */
export function legacyLogName(pod: DeepReadonly<Pod>, container: string, id: string): string {
  return `${pod.metadata!.name}_${pod.metadata!.namespace}_${container}-${id}.log`;
}
