/** What an attempt that found no node has learnt. */
import type { Failure } from './framework.ts';

export interface Diagnosis {
  readonly totalNodes: number;
  /** The first plugin against each node that was looked at. */
  readonly failures: Map<string, Failure>;
  /** Stands for all nodes that have no entry. */
  absent?: Failure;
  /** A plugin turned the pod away before any node was looked at. */
  preFilterMessage: string;
  postFilterMessage: string;
  /** Who must hear of a change before it is worth trying again. */
  readonly plugins: Set<string>;
  readonly pendingPlugins: Set<string>;
}

export const newDiagnosis = (totalNodes: number): Diagnosis => ({
  totalNodes,
  failures: new Map(),
  preFilterMessage: '',
  postFilterMessage: '',
  plugins: new Set(),
  pendingPlugins: new Set(),
});

/** Notes which plugin turned the pod away; errors are nobody's fault. */
export function blame(d: Diagnosis, f: Failure): void {
  if (f.code === 'Error') return;
  (f.code === 'Pending' ? d.pendingPlugins : d.plugins).add(f.plugin);
}

/** One sentence for the event and the condition: how many nodes fell for which reason. */
export function describe(d: Diagnosis): string {
  let text = `0/${d.totalNodes} nodes are available:`;
  if (d.preFilterMessage !== '') text += ` ${d.preFilterMessage}.`;
  else {
    const counts = new Map<string, number>();
    const count = (reason: string, n: number) => counts.set(reason, (counts.get(reason) ?? 0) + n);
    for (const f of d.failures.values()) for (const r of f.reasons) count(r, 1);
    const rest = d.totalNodes - d.failures.size;
    if (rest > 0) for (const r of d.absent?.reasons ?? []) count(r, rest);
    const lines = [...counts].map(([reason, n]) => `${n} ${reason}`).sort();
    if (lines.length > 0) text += ` ${lines.join(', ')}.`;
  }
  if (d.postFilterMessage !== '') text += ` ${d.postFilterMessage}`;
  return text;
}
