/** A pod as the scheduler sees it: what its plugins ask for, worked out once from the API object. */
import type * as k8s from '@kubernetes/client-node';
import { compileLabelSelector, labelMatcher, nothing, SelectorError, type LabelMatcher } from '../../api/selectors.ts';
import type { DeepReadonly, Json, Pod } from '../../api/types.ts';
import { podRequests, type Resources } from './resources.ts';

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** A term of pod (anti-)affinity in a form that can be matched. */
export interface AffinityTerm {
  readonly topologyKey: string;
  readonly weight: number;
  /** Namespaces by name; empty together with `namespaceSelector` of nothing never happens: the pod's own is filled in. */
  readonly namespaces: ReadonlySet<string>;
  readonly namespaceSelector: LabelMatcher;
  readonly selector: LabelMatcher;
  /** Tells terms apart that select the same pods the same way. */
  readonly key: string;
}

type Labels = Readonly<Record<string, string>>;
const NO_LABELS: Labels = {};
const NO_TERMS: readonly AffinityTerm[] = [];
const NO_PORTS: readonly HostPort[] = [];

/** Labels of a namespace, as far as they are known. */
export type NamespaceLabels = (namespace: string) => Labels | undefined;

/** Does a term of another pod's (or this pod's) affinity speak of `pod`? */
export function termMatches(term: AffinityTerm, pod: PodInfo, namespaceLabels: NamespaceLabels): boolean {
  if (!term.namespaces.has(pod.namespace)) {
    const s = term.namespaceSelector;
    if (s.isNothing || !s.matches(namespaceLabels(pod.namespace))) return false;
  }
  return term.selector.matches(pod.labels);
}

type V1Term = DeepReadonly<Json<k8s.V1PodAffinityTerm>>;

function compileAffinityTerm(pod: DeepReadonly<Pod>, t: V1Term, weight: number): AffinityTerm {
  let selector: LabelMatcher;
  let namespaceSelector: LabelMatcher;
  try {
    selector = withPodLabels(compileLabelSelector(t.labelSelector), pod, t.matchLabelKeys, t.mismatchLabelKeys);
    namespaceSelector = compileLabelSelector(t.namespaceSelector);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    selector = namespaceSelector = nothing();
  }
  const named = t.namespaces ?? [];
  // No namespaces and no selector of them mean the pod's own.
  const namespaces = new Set(named.length === 0 && !t.namespaceSelector ? [pod.metadata!.namespace!] : named);
  const key = [
    t.topologyKey,
    [...namespaces].sort().join(','),
    namespaceSelector.isNothing ? '-' : namespaceSelector.toString(),
    selector.isNothing ? '-' : selector.toString(),
  ].join('|');
  return { topologyKey: t.topologyKey, weight, namespaces, namespaceSelector, selector, key };
}

/** The API server merges these keys into the selector; older objects may lack that. */
function withPodLabels(
  selector: LabelMatcher,
  pod: DeepReadonly<Pod>,
  match: readonly string[] | undefined,
  mismatch: readonly string[] | undefined,
): LabelMatcher {
  if (selector.isNothing || (!match?.length && !mismatch?.length)) return selector;
  const labels = pod.metadata?.labels ?? NO_LABELS;
  const more = [...selector.requirements];
  const add = (keys: readonly string[] | undefined, operator: 'in' | 'notin') => {
    for (const key of keys ?? []) {
      const value = labels[key];
      if (value === undefined) continue;
      if (more.some((r) => r.key === key && r.operator === operator && r.values.includes(value))) continue;
      more.push({ key, operator, values: [value] });
    }
  };
  add(match, 'in');
  add(mismatch, 'notin');
  return labelMatcher(more);
}

export class PodInfo {
  /** The newest API object; replaced when an update changes nothing that scheduling looks at. */
  pod: DeepReadonly<Pod>;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** namespace/name */
  readonly key: string;
  readonly labels: Labels;
  readonly priority: number;
  readonly schedulerName: string;
  /** Where it runs, or is assumed to. */
  nodeName: string;
  requests: Resources;
  nonZeroMilliCPU: number;
  nonZeroMemory: number;
  readonly ports: readonly HostPort[];
  readonly requiredAffinity: readonly AffinityTerm[];
  readonly requiredAntiAffinity: readonly AffinityTerm[];
  readonly preferredAffinity: readonly AffinityTerm[];
  readonly preferredAntiAffinity: readonly AffinityTerm[];
  /** Names of the claims that its volumes use, ephemeral ones included. */
  readonly claims: readonly string[];

  constructor(pod: DeepReadonly<Pod>) {
    const meta = pod.metadata!;
    const spec = pod.spec!;
    this.pod = pod;
    this.uid = meta.uid ?? '';
    this.namespace = meta.namespace ?? 'default';
    this.name = meta.name ?? '';
    this.key = `${this.namespace}/${this.name}`;
    this.labels = meta.labels ?? NO_LABELS;
    this.priority = spec.priority ?? 0;
    this.schedulerName = spec.schedulerName ?? 'default-scheduler';
    this.nodeName = spec.nodeName ?? '';
    const r = podRequests(pod);
    this.requests = r.requests;
    this.nonZeroMilliCPU = r.nonZeroMilliCPU;
    this.nonZeroMemory = r.nonZeroMemory;
    this.ports = hostPorts(pod);
    const affinity = spec.affinity?.podAffinity;
    const anti = spec.affinity?.podAntiAffinity;
    const required = (a: typeof affinity) =>
      a?.requiredDuringSchedulingIgnoredDuringExecution?.map((t) => compileAffinityTerm(pod, t, 0)) ?? NO_TERMS;
    const preferred = (a: typeof affinity) =>
      a?.preferredDuringSchedulingIgnoredDuringExecution?.map((t) =>
        compileAffinityTerm(pod, t.podAffinityTerm, t.weight),
      ) ?? NO_TERMS;
    this.requiredAffinity = affinity ? required(affinity) : NO_TERMS;
    this.preferredAffinity = affinity ? preferred(affinity) : NO_TERMS;
    this.requiredAntiAffinity = anti ? required(anti) : NO_TERMS;
    this.preferredAntiAffinity = anti ? preferred(anti) : NO_TERMS;
    this.claims = claimNames(pod);
  }

  get hasAffinity(): boolean {
    return (
      this.requiredAffinity.length > 0 ||
      this.preferredAffinity.length > 0 ||
      this.requiredAntiAffinity.length > 0 ||
      this.preferredAntiAffinity.length > 0
    );
  }
  get isTerminating(): boolean {
    return this.pod.metadata!.deletionTimestamp !== undefined;
  }
}

const NO_CLAIMS: readonly string[] = [];
function claimNames(pod: DeepReadonly<Pod>): readonly string[] {
  let out: string[] | undefined;
  for (const v of pod.spec!.volumes ?? []) {
    if (v.persistentVolumeClaim) (out ??= []).push(v.persistentVolumeClaim.claimName);
    else if (v.ephemeral) (out ??= []).push(`${pod.metadata!.name}-${v.name}`);
  }
  return out ?? NO_CLAIMS;
}

function hostPorts(pod: DeepReadonly<Pod>): readonly HostPort[] {
  let out: HostPort[] | undefined;
  const read = (ports: NonNullable<DeepReadonly<Pod>['spec']>['containers'][number]['ports']) => {
    if (!ports) return;
    for (const p of ports)
      if (p.hostPort !== undefined && p.hostPort > 0)
        (out ??= []).push({ ip: p.hostIP || '0.0.0.0', protocol: p.protocol || 'TCP', port: p.hostPort });
  };
  for (const c of pod.spec!.containers) read(c.ports);
  for (const c of pod.spec!.initContainers ?? []) if (c.restartPolicy === 'Always') read(c.ports);
  return out ?? NO_PORTS;
}

/** Do two sets of labels say the same? */
export function sameLabels(a: Labels | undefined, b: Labels | undefined): boolean {
  if (a === b) return true;
  const x = a ?? NO_LABELS;
  const y = b ?? NO_LABELS;
  let n = 0;
  for (const k in x) {
    if (x[k] !== y[k]) return false;
    n++;
  }
  for (const _ in y) n--;
  return n === 0;
}
