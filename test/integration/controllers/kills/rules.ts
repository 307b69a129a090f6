/** What must hold after every single write that the history tells of. Pure. */
import type { Pod } from '../../../../api/types.ts';
import type { HistoryEvent } from './history.ts';

/** Bounds on the pods of one app, from one revision up to another (both belong to it). */
export interface Rule {
  readonly app: string;
  readonly from: number;
  readonly to: number;
  /** A sentence about what is wrong, after an event. `pods` are those of the app. */
  check(pods: readonly Pod[], event: HistoryEvent<Pod>): string | undefined;
}

export const appOf = (pod: Pod) => pod.metadata?.labels?.['app'];
/** Counts for its owner: neither ended nor being ended. */
export const isActive = (pod: Pod) =>
  !pod.metadata?.deletionTimestamp && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed';
export const isReady = (pod: Pod) =>
  isActive(pod) && pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;

/** Replays the events and answers all breaches of the rules. */
export function breaches(events: readonly HistoryEvent<Pod>[], rules: readonly Rule[]): string[] {
  const out: string[] = [];
  const apps = new Map<string, Map<string, Pod>>();
  for (const event of events) {
    const app = appOf(event.object);
    if (app === undefined) continue;
    let pods = apps.get(app);
    if (!pods) apps.set(app, (pods = new Map()));
    const { uid, name } = event.object.metadata!;
    if (event.type === 'DELETED') pods.delete(uid!);
    else pods.set(uid!, event.object);
    for (const rule of rules) {
      if (rule.app !== app || event.revision < rule.from || event.revision > rule.to) continue;
      const wrong = rule.check([...pods.values()], event);
      if (wrong) out.push(`${app} at ${event.revision} (${event.type} ${name}): ${wrong}`);
    }
  }
  return out;
}

/** Never more active pods than `most`, never fewer ready ones than `least`. */
export function between(least: number, most: number): Rule['check'] {
  return (pods) => {
    const active = pods.filter(isActive).length;
    if (active > most) return `${active} pods, at most ${most} may be`;
    const ready = pods.filter(isReady).length;
    return ready < least ? `${ready} ready pods, at least ${least} must be` : undefined;
  };
}

/** Nothing is made, ended or removed. */
export const quiet: Rule['check'] = (_pods, event) =>
  event.type === 'MODIFIED' && isActive(event.object) ? undefined : 'a pod of a workload that had come to rest';

const ordinalOf = (pod: Pod) => Number(/-(\d+)$/.exec(pod.metadata!.name!)![1]);

/** Ordinals below `replicas` only; when `ordered`, a pod is made only when all lower ones are ready. */
export function ordinals(replicas: number, ordered: boolean): Rule['check'] {
  return (pods, { type, object }) => {
    const n = ordinalOf(object);
    if (type === 'ADDED' && n >= replicas) return `ordinal ${n} of ${replicas}`;
    if (!ordered || type !== 'ADDED') return undefined;
    const ready = new Set(pods.filter(isReady).map(ordinalOf));
    for (let i = 0; i < n; i++) if (!ready.has(i)) return `ordinal ${n} was made before ${i} was ready`;
    return undefined;
  };
}

const nodeOf = (pod: Pod) =>
  pod.spec?.nodeName ??
  pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
    ?.matchFields?.[0]?.values?.[0] ??
  '';

/** On no node more active pods than one, and one more on `surge` nodes; ready ones on all nodes but `unavailable`. */
export function onePerNode(nodes: number, surge: number, unavailable: number): Rule['check'] {
  return (pods) => {
    const counts = new Map<string, number>();
    for (const p of pods.filter(isActive)) counts.set(nodeOf(p), (counts.get(nodeOf(p)) ?? 0) + 1);
    let doubled = 0;
    for (const [node, n] of counts) {
      if (n > (surge ? 2 : 1)) return `${n} pods on ${node}`;
      if (n === 2) doubled++;
    }
    if (doubled > surge) return `two pods on ${doubled} nodes`;
    const ready = new Set(pods.filter(isReady).map(nodeOf)).size;
    return ready < nodes - unavailable ? `ready on ${ready} of ${nodes} nodes` : undefined;
  };
}

const indexOf = (pod: Pod) => pod.metadata?.annotations?.['batch.kubernetes.io/job-completion-index'];

/** Of one Job: never more pods at work than may be, never work for what is done, no index twice. Kept pods are counted. */
export function jobPods(completions: number, parallelism: number): Rule['check'] {
  return (pods) => {
    const active = pods.filter(isActive);
    if (active.length > parallelism) return `${active.length} active pods, parallelism ${parallelism}`;
    const useful = pods.filter((p) => isActive(p) || p.status?.phase === 'Succeeded');
    if (useful.length > completions) return `${useful.length} active or succeeded pods for ${completions} completions`;
    const indexes = useful.map(indexOf).filter((i) => i !== undefined);
    return new Set(indexes).size === indexes.length ? undefined : `an index twice: ${indexes.join(' ')}`;
  };
}
