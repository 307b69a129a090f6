/** Which pods were promised which node. */
import type { Nominations } from '../core/cycle.ts';
import type { PodInfo } from '../core/pod-info.ts';

const NONE: readonly PodInfo[] = [];

export class Nominator implements Nominations {
  private readonly byNode = new Map<string, PodInfo[]>();
  private readonly byPod = new Map<string, string>();

  on(nodeName: string): readonly PodInfo[] {
    return this.byNode.get(nodeName) ?? NONE;
  }
  nodeOf(uid: string): string | undefined {
    return this.byPod.get(uid);
  }
  /** An empty name takes the promise back. */
  set(info: PodInfo, nodeName: string): void {
    this.delete(info.uid);
    if (nodeName === '') return;
    this.byPod.set(info.uid, nodeName);
    const list = this.byNode.get(nodeName);
    if (list) list.push(info);
    else this.byNode.set(nodeName, [info]);
  }
  delete(uid: string): void {
    const nodeName = this.byPod.get(uid);
    if (nodeName === undefined) return;
    this.byPod.delete(uid);
    const list = this.byNode.get(nodeName)!.filter((p) => p.uid !== uid);
    if (list.length > 0) this.byNode.set(nodeName, list);
    else this.byNode.delete(nodeName);
  }
  /** Keeps the promise to a pod whose object was renewed. */
  update(info: PodInfo): void {
    const nodeName = this.byPod.get(info.uid);
    if (nodeName !== undefined) this.set(info, nodeName);
  }
  get size(): number {
    return this.byPod.size;
  }
}
