/** What selects a pod without its own say: the services that match it and the workload that owns it. */
import {
  compileLabelSelector,
  labelMatcher,
  SelectorError,
  type LabelMatcher,
  type LabelRequirement,
} from '../../api/selectors.ts';
import { controllerOf } from '../../api/meta.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { Listers, Selector } from '../listers.ts';

type Labels = Readonly<Record<string, string>>;

function selects(selector: Labels, labels: Labels): boolean {
  for (const k in selector) if (labels[k] !== selector[k]) return false;
  return true;
}

/** All of their selectors together; undefined when there are none. */
export function defaultSelector(pod: PodInfo, listers: Listers): LabelMatcher | undefined {
  const labels: Record<string, string> = {};
  for (const s of listers.services.list(pod.namespace)) {
    const selector = s.spec?.selector;
    if (selector && selects(selector, pod.labels)) Object.assign(labels, selector);
  }
  const more: LabelRequirement[] = [];
  const owner = controllerOf(pod.pod);
  if (owner) {
    const which = `${owner.apiVersion}/${owner.kind}`;
    if (which === 'v1/ReplicationController')
      Object.assign(labels, listers.replicationControllers.get(owner.name, pod.namespace)?.spec?.selector);
    else if (which === 'apps/v1/ReplicaSet')
      more.push(...requirements(listers.replicaSets.get(owner.name, pod.namespace)?.spec?.selector));
    else if (which === 'apps/v1/StatefulSet')
      more.push(...requirements(listers.statefulSets.get(owner.name, pod.namespace)?.spec?.selector));
  }
  for (const k in labels) more.push({ key: k, operator: '=', values: [labels[k]!] });
  return more.length === 0 ? undefined : labelMatcher(more);
}

function requirements(selector: Selector | undefined): readonly LabelRequirement[] {
  if (!selector) return [];
  try {
    return compileLabelSelector(selector).requirements;
  } catch (error) {
    if (error instanceof SelectorError) return [];
    throw error;
  }
}
