/** How the controller that hands out directories of nodes and the kubelets that own them find each other. */
import { createHash } from 'node:crypto';

/** `provisioner` of StorageClasses whose volumes are directories of a node. */
export const LOCAL_PATH_PROVISIONER = 'k8ts.io/local-path';
/** Label of such a volume: the node that has its data. */
export const LOCAL_PATH_NODE = 'k8ts.io/local-path-node';

/** The label's value for a node; names that are too long for a label are shortened by a hash. */
export const localPathNode = (node: string): string =>
  node.length <= 63 ? node : createHash('sha256').update(node).digest('hex').slice(0, 63);

/** The directory of a volume below the one that all lie in. */
export const localPathFolder = (uid: string, namespace: string, name: string): string =>
  `pvc-${uid}_${namespace}_${name}`;
