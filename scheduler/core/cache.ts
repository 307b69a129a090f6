/**
 * All nodes and the pods on them, those included that are only assumed to be there because their binding is under way.
 * Plain calls in, a Snapshot out; nothing is copied, since nothing changes while a cycle runs.
 */
import type { DeepReadonly, Node, Pod } from '../../api/types.ts';
import type { Snapshot } from './framework.ts';
import { NodeInfo, type ImageState } from './node-info.ts';
import { PodInfo, sameLabels } from './pod-info.ts';
import { podRequests } from './resources.ts';
import { TermIndex } from './term-index.ts';

const NO_IMAGES: ReadonlyMap<string, ImageState> = new Map();

/** The zone of a node: region and zone label together. */
function zoneOf(node: NodeInfo): string {
  const l = node.labels;
  return `${l['topology.kubernetes.io/region'] ?? ''}\0${l['topology.kubernetes.io/zone'] ?? ''}`;
}

export class Cache implements Snapshot {
  private readonly all = new Map<string, NodeInfo>();
  private readonly pods = new Map<string, { info: PodInfo; assumed: boolean }>();
  private readonly images = new Map<string, ImageState>();
  private readonly namespaces = new Map<string, Readonly<Record<string, string>>>();
  private ordered: NodeInfo[] | undefined;
  readonly terms = new TermIndex();
  namespacesGeneration = 0;

  get nodes(): readonly NodeInfo[] {
    return (this.ordered ??= this.order());
  }
  get(name: string): NodeInfo | undefined {
    const n = this.all.get(name);
    return n?.node ? n : undefined;
  }
  get podCount(): number {
    return this.pods.size;
  }

  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined {
    return this.namespaces.get(namespace);
  }
  setNamespace(name: string, labels: Readonly<Record<string, string>> | undefined): void {
    const have = this.namespaces.get(name);
    if (labels === undefined) this.namespaces.delete(name);
    else this.namespaces.set(name, labels);
    if (!sameLabels(have, labels) || (have === undefined) !== (labels === undefined)) this.namespacesGeneration++;
  }

  /** Zones take turns, so that a search over the first part of the list already sees them all. */
  private order(): NodeInfo[] {
    const zones = new Map<string, NodeInfo[]>();
    let total = 0;
    for (const n of this.all.values()) {
      if (!n.node) continue;
      const zone = zoneOf(n);
      const list = zones.get(zone);
      if (list) list.push(n);
      else zones.set(zone, [n]);
      total++;
    }
    const lists = [...zones.values()];
    if (lists.length === 1) return lists[0]!;
    const out: NodeInfo[] = [];
    for (let i = 0; out.length < total; i++) for (const l of lists) if (i < l.length) out.push(l[i]!);
    return out;
  }

  setNode(node: DeepReadonly<Node>): NodeInfo {
    const name = node.metadata!.name!;
    let info = this.all.get(name);
    if (!info) this.all.set(name, (info = new NodeInfo(name)));
    const known = info.node !== undefined;
    const zone = zoneOf(info);
    if (!known || !sameImages(info.node, node)) this.setImages(info, node);
    const relabelled = !sameLabels(info.labels, node.metadata!.labels);
    if (relabelled) this.countTerms(info, -1);
    info.setNode(node);
    if (relabelled) this.countTerms(info, 1);
    if (!known || zone !== zoneOf(info)) this.ordered = undefined;
    return info;
  }
  removeNode(name: string): void {
    const info = this.all.get(name);
    if (!info?.node) return;
    this.dropImages(info);
    this.countTerms(info, -1);
    info.removeNode();
    // Its pods' own deletions come later.
    if (info.pods.length === 0) this.all.delete(name);
    this.ordered = undefined;
  }
  private dropImages(info: NodeInfo): void {
    for (const [name, state] of info.images) {
      state.nodes.delete(info.name);
      if (state.nodes.size === 0) this.images.delete(name);
    }
    info.images = NO_IMAGES;
  }
  private setImages(info: NodeInfo, node: DeepReadonly<Node>): void {
    this.dropImages(info);
    const list = node.status?.images;
    if (!list?.length) return;
    const mine = new Map<string, ImageState>();
    for (const image of list) {
      for (const name of image.names ?? []) {
        let state = this.images.get(name);
        if (!state) this.images.set(name, (state = { size: image.sizeBytes ?? 0, nodes: new Set() }));
        state.nodes.add(info.name);
        mine.set(name, state);
      }
    }
    info.images = mine;
  }

  private place(info: PodInfo): void {
    let node = this.all.get(info.nodeName);
    if (!node) this.all.set(info.nodeName, (node = new NodeInfo(info.nodeName)));
    node.addPod(info);
    this.terms.count(info, node.labels, 1);
  }
  private displace(info: PodInfo): void {
    const node = this.all.get(info.nodeName);
    if (!node) return;
    if (node.removePod(info)) this.terms.count(info, node.labels, -1);
    if (!node.node && node.pods.length === 0) this.all.delete(node.name);
  }
  /** Counts the terms of all pods of a node in or out, around a change of its labels. */
  private countTerms(node: NodeInfo, by: 1 | -1): void {
    for (const pod of node.pods) this.terms.count(pod, node.labels, by);
  }

  isAssumed(uid: string): boolean {
    return this.pods.get(uid)?.assumed === true;
  }
  has(uid: string): boolean {
    return this.pods.has(uid);
  }
  infoOf(uid: string): PodInfo | undefined {
    return this.pods.get(uid)?.info;
  }

  /** Counts the pod on the node from now on, ahead of the API. */
  assume(info: PodInfo, nodeName: string): void {
    info.nodeName = nodeName;
    this.pods.set(info.uid, { info, assumed: true });
    this.place(info);
  }
  /** Takes an assumption back. False when the API has confirmed or removed the pod meanwhile. */
  forget(info: PodInfo): boolean {
    const have = this.pods.get(info.uid);
    if (!have?.assumed) return false;
    this.pods.delete(info.uid);
    this.displace(have.info);
    have.info.nodeName = '';
    return true;
  }

  /**
   * A pod that has a node, as the API shows it, new or changed. Tells what it was before and what it is now; they are
   * the same object when nothing changed that other pods' chances depend on.
   */
  setPod(pod: DeepReadonly<Pod>): { before: PodInfo | undefined; after: PodInfo; confirmed: boolean } {
    const uid = pod.metadata!.uid ?? '';
    const have = this.pods.get(uid);
    const confirmed = have?.assumed === true;
    if (have) {
      const { info } = have;
      have.assumed = false;
      if (info.nodeName === pod.spec!.nodeName && sameLabels(info.labels, pod.metadata!.labels)) {
        const now = podRequests(pod);
        const same =
          now.requests.equals(info.requests) &&
          now.nonZeroMilliCPU === info.nonZeroMilliCPU &&
          now.nonZeroMemory === info.nonZeroMemory &&
          info.isTerminating === (pod.metadata!.deletionTimestamp !== undefined);
        if (same) {
          info.pod = pod;
          return { before: info, after: info, confirmed };
        }
      }
      this.displace(info);
    }
    const after = new PodInfo(pod);
    this.pods.set(uid, { info: after, assumed: false });
    this.place(after);
    return { before: have?.info, after, confirmed };
  }
  removePod(uid: string): PodInfo | undefined {
    const have = this.pods.get(uid);
    if (!have) return undefined;
    this.pods.delete(uid);
    this.displace(have.info);
    return have.info;
  }
}

function sameImages(a: DeepReadonly<Node> | undefined, b: DeepReadonly<Node>): boolean {
  const x = a?.status?.images ?? [];
  const y = b.status?.images ?? [];
  if (x.length !== y.length) return false;
  for (let i = 0; i < x.length; i++) {
    const m = x[i]!.names ?? [];
    const n = y[i]!.names ?? [];
    if (x[i]!.sizeBytes !== y[i]!.sizeBytes || m.length !== n.length) return false;
    for (let j = 0; j < m.length; j++) if (m[j] !== n[j]) return false;
  }
  return true;
}
