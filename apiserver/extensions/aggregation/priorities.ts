/** Priorities of the built-in groups, as kube-apiserver registers them. */
import { CUSTOM_PRIORITY, type Priority } from '../../discovery/overlay.ts';

/** Group priority, then the priority of each version. */
const BUILT_IN: Readonly<Record<string, readonly [number, Readonly<Record<string, number>>]>> = {
  '': [18_000, { v1: 1 }],
  apps: [17_800, { v1: 15 }],
  'events.k8s.io': [17_750, { v1: 15 }],
  'authentication.k8s.io': [17_700, { v1: 15 }],
  'authorization.k8s.io': [17_600, { v1: 15 }],
  autoscaling: [17_500, { v1: 15, v2: 30 }],
  batch: [17_400, { v1: 15 }],
  'certificates.k8s.io': [17_300, { v1: 15 }],
  'networking.k8s.io': [17_200, { v1: 15 }],
  policy: [17_100, { v1: 15 }],
  'rbac.authorization.k8s.io': [17_000, { v1: 15 }],
  'storage.k8s.io': [16_800, { v1: 15 }],
  'apiextensions.k8s.io': [16_700, { v1: 15 }],
  'admissionregistration.k8s.io': [16_700, { v1: 15 }],
  'scheduling.k8s.io': [16_600, { v1: 15 }],
  'coordination.k8s.io': [16_500, { v1: 15 }],
  'node.k8s.io': [16_300, { v1: 15 }],
  'discovery.k8s.io': [16_200, { v1: 15 }],
  'resource.k8s.io': [16_200, { v1: 21 }],
  'flowcontrol.apiserver.k8s.io': [16_100, { v1: 21 }],
};

/** Registered by the aggregator itself: it has no APIService, and comes first. */
export const OWN_GROUP = 'apiregistration.k8s.io';

/** Groups that aren't built in come after those that are. */
export function builtinPriority(group: string, version: string): Priority {
  const known = BUILT_IN[group];
  return known ? { group: known[0], version: known[1][version] ?? 1 } : CUSTOM_PRIORITY;
}
