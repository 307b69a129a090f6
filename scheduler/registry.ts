/** The plugins there are, and those that run unless a profile says otherwise. */
import type { Clock, Ids, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ApiCalls } from './api-calls.ts';
import type { PluginRef } from './config.ts';
import type { Plugin, Snapshot } from './core/framework.ts';
import type { Nominations } from './core/cycle.ts';
import type { PodInfo } from './core/pod-info.ts';
import type { Victims } from './core/victims.ts';
import type { Recorder } from './events.ts';
import type { Listers } from './listers.ts';
import { defaultBinder } from './plugins/default-binder.ts';
import { defaultPreemption } from './plugins/default-preemption.ts';
import { dynamicResources } from './plugins/dynamic-resources.ts';
import { imageLocality } from './plugins/image-locality.ts';
import { interPodAffinity } from './plugins/inter-pod-affinity.ts';
import { nodeAffinity } from './plugins/node-affinity.ts';
import { nodeDeclaredFeatures } from './plugins/node-declared-features.ts';
import { nodeName } from './plugins/node-name.ts';
import { nodePorts } from './plugins/node-ports.ts';
import { balancedAllocation } from './plugins/node-resources-balanced-allocation.ts';
import { nodeResourcesFit } from './plugins/node-resources-fit.ts';
import { nodeUnschedulable } from './plugins/node-unschedulable.ts';
import { podTopologySpread } from './plugins/pod-topology-spread.ts';
import { prioritySort } from './plugins/priority-sort.ts';
import { schedulingGates } from './plugins/scheduling-gates.ts';
import { nodeVolumeLimits } from './plugins/node-volume-limits.ts';
import { taintToleration } from './plugins/taint-toleration.ts';
import { volumeBinding } from './plugins/volume-binding.ts';
import { volumeRestrictions } from './plugins/volume-restrictions.ts';
import { volumeZone } from './plugins/volume-zone.ts';

/** What plugins are given beside their arguments. */
export interface PluginDeps {
  readonly clock: Clock;
  readonly rand: Rand;
  readonly ids: Ids;
  readonly logger: Logger;
  readonly snapshot: Snapshot;
  readonly listers: Listers;
  readonly api: ApiCalls;
  readonly nominations: Nominations;
  readonly recorder: Recorder;
  /** The node that a waiting pod was promised. */
  nominatedNode(uid: string): string | undefined;
  /** Takes promises back from pods, here and in the API. */
  clearNominations(pods: readonly PodInfo[]): Promise<void>;
  /** Has these pods tried again at once. */
  activate(uids: readonly string[]): void;
  /** Counts a preemption, by the number of its victims. */
  preempted(victims: number): void;
  /** What extenders leave of the candidates. */
  extendPreemption(pod: PodInfo, candidates: Victims[]): Promise<Victims[]>;
}

export const DEFAULT_PLUGINS: readonly PluginRef[] = [
  { name: 'SchedulingGates' },
  { name: 'PrioritySort' },
  { name: 'NodeUnschedulable' },
  { name: 'NodeName' },
  { name: 'TaintToleration', weight: 3 },
  { name: 'NodeAffinity', weight: 2 },
  { name: 'NodePorts' },
  { name: 'NodeResourcesFit', weight: 1 },
  { name: 'VolumeRestrictions' },
  { name: 'NodeVolumeLimits' },
  { name: 'VolumeBinding' },
  { name: 'VolumeZone' },
  { name: 'PodTopologySpread', weight: 2 },
  { name: 'InterPodAffinity', weight: 2 },
  { name: 'DynamicResources', weight: 2 },
  { name: 'DefaultPreemption' },
  { name: 'NodeResourcesBalancedAllocation', weight: 1 },
  { name: 'ImageLocality', weight: 1 },
  { name: 'DefaultBinder' },
  { name: 'NodeDeclaredFeatures' },
];

type Factory = (args: Record<string, unknown>, deps: PluginDeps) => Plugin;

export const REGISTRY: Readonly<Record<string, Factory>> = {
  SchedulingGates: schedulingGates,
  PrioritySort: prioritySort,
  NodeUnschedulable: nodeUnschedulable,
  NodeName: nodeName,
  NodeDeclaredFeatures: nodeDeclaredFeatures,
  TaintToleration: taintToleration,
  NodeAffinity: nodeAffinity,
  NodePorts: nodePorts,
  NodeResourcesFit: (args, deps) => nodeResourcesFit(args, deps.listers.deviceClasses),
  VolumeRestrictions: (_args, deps) => volumeRestrictions(deps.listers),
  NodeVolumeLimits: (_args, deps) => nodeVolumeLimits(deps.listers),
  VolumeBinding: volumeBinding,
  VolumeZone: (_args, deps) => volumeZone(deps.listers),
  PodTopologySpread: (args, deps) => podTopologySpread(args, deps.listers),
  InterPodAffinity: (args, deps) => interPodAffinity(args, deps.snapshot),
  DynamicResources: dynamicResources,
  DefaultPreemption: defaultPreemption,
  NodeResourcesBalancedAllocation: balancedAllocation,
  ImageLocality: imageLocality,
  DefaultBinder: (_args, deps) => defaultBinder((pod, node) => deps.api.bind(pod, node)),
};
