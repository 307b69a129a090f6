/** One node with the pods on it, summed up as the plugins need it; changed in place as pods come and go. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, Node } from '../../api/types.ts';
import type { HostPort, PodInfo } from './pod-info.ts';
import { readAmounts, Resources } from './resources.ts';

export type Taint = DeepReadonly<Json<k8s.V1Taint>>;
const NO_TAINTS: readonly Taint[] = [];
const NO_LABELS: Readonly<Record<string, string>> = {};

/** An image, by whatever name: its size in bytes and how many nodes have it (shared by them all). */
export interface ImageState {
  size: number;
  readonly nodes: Set<string>;
}

export class NodeInfo {
  readonly name: string;
  /** Undefined for a node that only pods speak of: it has been deleted, or hasn't been seen yet. */
  node: DeepReadonly<Node> | undefined;
  labels: Readonly<Record<string, string>> = NO_LABELS;
  taints: readonly Taint[] = NO_TAINTS;
  unschedulable = false;
  allocatable = new Resources();
  requested = new Resources();
  nonZeroMilliCPU = 0;
  nonZeroMemory = 0;
  pods: PodInfo[] = [];
  images: ReadonlyMap<string, ImageState> = new Map();
  /** Host ports in use, `protocol/port` to the addresses. */
  readonly ports = new Map<string, string[]>();
  /** How many pods use each claim, by namespace/name. */
  readonly claims = new Map<string, number>();
  /** Grows with every change. */
  generation = 0;
  /** Answers about the pods here that were worked out before; emptied when they change. */
  private readonly memos = new Map<string, number>();

  constructor(name: string) {
    this.name = name;
  }

  setNode(node: DeepReadonly<Node>): void {
    this.node = node;
    this.labels = node.metadata?.labels ?? NO_LABELS;
    this.taints = node.spec?.taints ?? NO_TAINTS;
    this.unschedulable = node.spec?.unschedulable === true;
    this.allocatable = readAmounts(node.status?.allocatable);
    this.generation++;
  }
  /** The node is gone; its pods may still be there. */
  removeNode(): void {
    this.node = undefined;
    this.labels = NO_LABELS;
    this.generation++;
  }

  addPod(pod: PodInfo): void {
    this.pods.push(pod);
    this.account(pod, 1);
    for (const p of pod.ports) this.usePort(p);
  }
  /** False when the pod isn't here. */
  removePod(pod: PodInfo): boolean {
    const gone = take(this.pods, pod.uid);
    if (!gone) return false;
    this.account(gone, -1);
    for (const p of gone.ports) this.freePort(p);
    return true;
  }
  private account(pod: PodInfo, sign: 1 | -1): void {
    this.requested.add(pod.requests, sign);
    this.nonZeroMilliCPU += sign * pod.nonZeroMilliCPU;
    this.nonZeroMemory += sign * pod.nonZeroMemory;
    for (const c of pod.claims) {
      const key = `${pod.namespace}/${c}`;
      const n = (this.claims.get(key) ?? 0) + sign;
      if (n > 0) this.claims.set(key, n);
      else this.claims.delete(key);
    }
    this.generation++;
    if (this.memos.size > 0) this.memos.clear();
  }

  private usePort(p: HostPort): void {
    const key = `${p.protocol}/${p.port}`;
    const ips = this.ports.get(key);
    if (ips) ips.push(p.ip);
    else this.ports.set(key, [p.ip]);
  }
  private freePort(p: HostPort): void {
    const key = `${p.protocol}/${p.port}`;
    const ips = this.ports.get(key);
    const i = ips?.indexOf(p.ip) ?? -1;
    if (i < 0) return;
    ips!.splice(i, 1);
    if (ips!.length === 0) this.ports.delete(key);
  }
  /** Is the port taken? The wildcard address clashes with every address. */
  portTaken(p: HostPort): boolean {
    if (this.ports.size === 0) return false;
    const ips = this.ports.get(`${p.protocol}/${p.port}`);
    if (!ips) return false;
    if (p.ip === '0.0.0.0') return true;
    for (const ip of ips) if (ip === '0.0.0.0' || ip === p.ip) return true;
    return false;
  }

  /**
   * A number worked out from the pods here, remembered until they change. `key` must say all that it depends on.
   * What changes the answer without changing the pods (labels of namespaces) must be a part of the key.
   */
  memo(key: string, count: (node: NodeInfo) => number): number {
    let n = this.memos.get(key);
    if (n === undefined) {
      n = count(this);
      if (this.memos.size >= 256) this.memos.clear();
      this.memos.set(key, n);
    }
    return n;
  }

  /** A copy to try things on; shares what isn't changed in place. */
  clone(): NodeInfo {
    const c = new NodeInfo(this.name);
    c.node = this.node;
    c.labels = this.labels;
    c.taints = this.taints;
    c.unschedulable = this.unschedulable;
    c.allocatable = this.allocatable;
    c.requested = this.requested.clone();
    c.nonZeroMilliCPU = this.nonZeroMilliCPU;
    c.nonZeroMemory = this.nonZeroMemory;
    c.pods = [...this.pods];
    c.images = this.images;
    for (const [k, v] of this.ports) c.ports.set(k, [...v]);
    for (const [k, v] of this.claims) c.claims.set(k, v);
    c.generation = this.generation;
    return c;
  }
}

function take(list: PodInfo[], uid: string): PodInfo | undefined {
  const i = list.findIndex((p) => p.uid === uid);
  if (i < 0) return undefined;
  const found = list[i]!;
  // Order doesn't matter.
  const last = list.pop()!;
  if (i < list.length) list[i] = last;
  return found;
}
