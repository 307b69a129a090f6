/**
 * What a plugin is. The extension points are Kubernetes' own; because a cycle runs on one thread, what upstream keeps in
 * a shared cycle state is here an object that PreFilter (PreScore) hands back and that is then asked node by node.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
 */
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';
import type { TermIndex } from './term-index.ts';

/**
 * Why a pod was turned away. `UnschedulableAndUnresolvable`: removing other pods would not help. `Pending`: something was
 * set in motion that the pod must wait for. `Error`: something went wrong that has nothing to do with the pod.
 */
export type FailureCode = 'Unschedulable' | 'UnschedulableAndUnresolvable' | 'Pending' | 'Error';

export interface Failure {
  readonly code: FailureCode;
  readonly plugin: string;
  readonly reasons: readonly string[];
}

/** Names the plugin's failure; plugins make those that never vary once. */
export const failure = (plugin: string, code: FailureCode, ...reasons: string[]): Failure => ({
  plugin,
  code,
  reasons,
});

/** The nodes and what is on them, as a cycle sees them. Only the cache changes them, and never during a cycle. */
export interface Snapshot {
  /** Zones take turns in it. */
  readonly nodes: readonly NodeInfo[];
  get(name: string): NodeInfo | undefined;
  /** The (anti-)affinity terms of all placed pods. */
  readonly terms: TermIndex;
  /** Labels of a namespace. */
  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined;
  /** Changes whenever labels of any namespace do. */
  readonly namespacesGeneration: number;
}

/** Asked for each node; keeps what it worked out about the pod. */
export interface NodeFilter {
  filter(node: NodeInfo): Failure | undefined;
  /** Tells it that a pod was put on (taken off) a node for a trial; only those that count pods across nodes need it. */
  addPod?(pod: PodInfo, node: NodeInfo): void;
  removePod?(pod: PodInfo, node: NodeInfo): void;
  /** A copy that a trial may change; needed with addPod. */
  clone?(): NodeFilter;
}

export interface PreFilterResult {
  /** The pod fits nowhere. */
  failure?: Failure;
  /** Absent when the plugin has nothing against any node. */
  filter?: NodeFilter;
  /** Only these nodes come into question. */
  nodes?: ReadonlySet<string>;
}

/** Gives each node 0 to 100 (any number when `normalize` brings them into that range). */
export interface NodeScorer {
  score(node: NodeInfo): number;
  normalize?(scores: number[], nodes: readonly NodeInfo[]): void;
}

/** Lives as long as one attempt to place one pod, binding included. */
export interface Cycle {
  readonly pod: PodInfo;
  readonly snapshot: Snapshot;
  /** Plugins keep here what their later points need, under their own name. */
  readonly data: Map<string, unknown>;
}

export interface PostFilterResult {
  /** The node the pod is expected to fit on before long; '' clears an earlier nomination, absent leaves it. */
  nominatedNodeName?: string;
  message?: string;
  /** Nobody else is to try. */
  final?: boolean;
}

/** The pod that waits, as the queue sort sees it. */
export interface Queued {
  readonly info: PodInfo;
  /** When it came into the queue, in milliseconds. */
  readonly timestamp: number;
}

/** What happened to an object, as bits. */
export const Action = {
  Add: 1,
  Delete: 2,
  UpdateNodeAllocatable: 4,
  UpdateNodeLabel: 8,
  UpdateNodeTaint: 16,
  UpdateNodeCondition: 32,
  UpdateNodeAnnotation: 64,
  UpdatePodLabel: 128,
  UpdatePodScaleDown: 256,
  UpdatePodTolerations: 512,
  UpdatePodSchedulingGates: 1024,
  Update: 2048,
  UpdateNodeDeclaredFeature: 4096,
  All: 8191,
} as const;

/** `Pod` is a pod that has a node; `WaitingPod` is the very pod that waits. */
export type EventResource =
  | 'Pod'
  | 'WaitingPod'
  | 'Node'
  | 'PersistentVolume'
  | 'PersistentVolumeClaim'
  | 'StorageClass'
  | 'CSINode'
  | 'CSIDriver'
  | 'CSIStorageCapacity'
  | 'VolumeAttachment'
  | 'ResourceClaim'
  | 'ResourceSlice'
  | 'DeviceClass'
  | '*';

export interface ClusterEvent {
  readonly resource: EventResource;
  readonly action: number;
  /** For metrics. */
  readonly label: string;
}

/**
 * An event that may make pods schedulable that this plugin turned away. `hint` says whether it may help this pod; without
 * it every such event does. `before` and `after` are API objects, for `Pod` they are PodInfos.
 */
export interface Registration {
  readonly resource: EventResource;
  readonly actions: number;
  hint?(pod: PodInfo, before: unknown, after: unknown): boolean;
}

export interface Plugin {
  readonly name: string;
  /** Absent: any event may help. */
  readonly events?: readonly Registration[];
  preEnqueue?(pod: PodInfo): Failure | undefined;
  /** Does `a` come before `b`? */
  less?(a: Queued, b: Queued): boolean;
  /** PreFilter and Filter. */
  preFilter?(pod: PodInfo, cycle: Cycle): PreFilterResult | undefined;
  postFilter?(cycle: Cycle, trial: Trial): Promise<PostFilterResult | undefined> | PostFilterResult | undefined;
  /** PreScore and Score; undefined when all nodes are alike to it. */
  preScore?(pod: PodInfo, cycle: Cycle, nodes: readonly NodeInfo[]): NodeScorer | undefined;
  reserve?(cycle: Cycle, node: NodeInfo): Failure | undefined;
  unreserve?(cycle: Cycle, nodeName: string): void;
  /** A number of milliseconds makes the pod wait for the plugin's consent at most so long. */
  permit?(cycle: Cycle, nodeName: string): Failure | number | undefined;
  /** Undefined when there is nothing to do: then binding need not wait. */
  preBind?(cycle: Cycle, nodeName: string): Promise<Failure | undefined> | undefined;
  /** True when it has bound the pod. */
  bind?(cycle: Cycle, nodeName: string): Promise<boolean>;
  postBind?(cycle: Cycle, nodeName: string): void;
}

/** What PostFilter plugins may use to try things out. */
export interface Trial {
  /** Failures by node; nodes without an entry stand under `absent`. */
  readonly failures: ReadonlyMap<string, Failure>;
  readonly absent: Failure | undefined;
  /** A fresh set of the pod's filters; undefined when PreFilter never got so far. */
  filters(): FilterSet | undefined;
}

/** The filters of one pod, to be asked and changed together. */
export interface FilterSet {
  filter(node: NodeInfo): Failure | undefined;
  addPod(pod: PodInfo, node: NodeInfo): void;
  removePod(pod: PodInfo, node: NodeInfo): void;
  clone(): FilterSet;
}

const MAX_SCORE = 100;

/** Scales scores so that the greatest becomes 100; `reverse` turns them round. All-zero scores stay (or all become 100). */
export function normalizeTo100(scores: number[], reverse: boolean): void {
  let max = 0;
  for (const s of scores) if (s > max) max = s;
  if (max === 0) {
    if (reverse) scores.fill(MAX_SCORE);
    return;
  }
  for (let i = 0; i < scores.length; i++) {
    const s = Math.floor((MAX_SCORE * scores[i]!) / max);
    scores[i] = reverse ? MAX_SCORE - s : s;
  }
}
