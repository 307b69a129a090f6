/** Node selectors and node affinity, compiled once per pod and matched against many nodes. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, Pod } from '../../api/types.ts';

type Term = DeepReadonly<Json<k8s.V1NodeSelectorTerm>>;
type Requirement = DeepReadonly<Json<k8s.V1NodeSelectorRequirement>>;
type Labels = Readonly<Record<string, string>>;

/** What a term looks at: a node's labels and its name. */
export interface Selectable {
  readonly name: string;
  readonly labels: Labels;
}
export type NodeMatcher = (node: Selectable) => boolean;

const INTEGER = /^[+-]?[0-9]+$/;

function requirement(r: Requirement): (value: string | undefined) => boolean {
  const values = r.values ?? [];
  switch (r.operator) {
    case 'In': {
      if (values.length === 1) {
        const only = values[0];
        return (v) => v === only;
      }
      const set = new Set(values);
      return (v) => v !== undefined && set.has(v);
    }
    case 'NotIn': {
      const set = new Set(values);
      return (v) => v === undefined || !set.has(v);
    }
    case 'Exists':
      return (v) => v !== undefined;
    case 'DoesNotExist':
      return (v) => v === undefined;
    case 'Gt':
    case 'Lt': {
      const text = values[0];
      if (text === undefined || !INTEGER.test(text)) return () => false;
      const bound = BigInt(text);
      const more = r.operator === 'Gt';
      return (v) => v !== undefined && INTEGER.test(v) && (more ? BigInt(v) > bound : BigInt(v) < bound);
    }
    default:
      return () => false;
  }
}

/** One term: all of its requirements must hold. A term without any matches no node. */
export function compileTerm(term: Term): NodeMatcher {
  const labels = (term.matchExpressions ?? []).map((r) => ({ key: r.key, test: requirement(r) }));
  const fields = (term.matchFields ?? []).map((r) => ({ key: r.key, test: requirement(r) }));
  if (labels.length === 0 && fields.length === 0) return () => false;
  return (node) => {
    for (const { key, test } of labels) if (!test(node.labels[key])) return false;
    for (const { key, test } of fields) if (!test(key === 'metadata.name' ? node.name : undefined)) return false;
    return true;
  };
}

/** A node selector: one of its terms must hold. */
export function compileNodeSelector(selector: DeepReadonly<Json<k8s.V1NodeSelector>>): NodeMatcher {
  const terms = selector.nodeSelectorTerms.map(compileTerm);
  return (node) => {
    for (const t of terms) if (t(node)) return true;
    return false;
  };
}

/** spec.nodeSelector and the required node affinity of a pod together; undefined when it has neither. */
export function requiredNodeAffinity(pod: DeepReadonly<Pod>): NodeMatcher | undefined {
  const spec = pod.spec!;
  const wanted = spec.nodeSelector ? Object.entries(spec.nodeSelector) : [];
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const affinity = required && compileNodeSelector(required);
  if (wanted.length === 0) return affinity;
  return (node) => {
    for (const [k, v] of wanted) if (node.labels[k] !== v) return false;
    return affinity === undefined || affinity(node);
  };
}

/** The names of nodes that a required affinity by metadata.name leaves, when every term has one; undefined otherwise. */
export function namesRequired(pod: DeepReadonly<Pod>): ReadonlySet<string> | undefined {
  const terms =
    pod.spec!.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  if (terms.length === 0) return undefined;
  const all = new Set<string>();
  for (const t of terms) {
    let names: Set<string> | undefined;
    for (const f of t.matchFields ?? []) {
      if (f.key !== 'metadata.name' || f.operator !== 'In') continue;
      const have = names;
      const values: readonly string[] = f.values ?? [];
      names = have ? new Set(values.filter((v) => have.has(v))) : new Set(values);
    }
    if (!names) return undefined;
    for (const n of names) all.add(n);
  }
  return all;
}
