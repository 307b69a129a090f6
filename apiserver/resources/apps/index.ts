export { daemonSets } from './daemonsets.ts';
export { deployments, replicaSets } from './deployments.ts';
export { replicationControllers } from './replicationcontrollers.ts';
export { controllerRevisions, statefulSets } from './statefulsets.ts';
