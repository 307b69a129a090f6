/** How fast an autoscaler may go where its metrics point. Pure but for the history it is handed. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type Autoscaler = Json<k8s.V2HorizontalPodAutoscaler>;
export type AutoscalerView = DeepReadonly<Autoscaler>;
type Rules = DeepReadonly<Json<k8s.V2HPAScalingRules>>;

/** What was recommended and done lately; times in milliseconds. */
export interface History {
  recommendations: { at: number; replicas: number }[];
  ups: { at: number; change: number }[];
  downs: { at: number; change: number }[];
}

export const newHistory = (): History => ({ recommendations: [], ups: [], downs: [] });

const UP: Rules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ],
};
const DOWN: Rules = { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] };

export interface Decision {
  replicas: number;
  /** For the AbleToScale and ScalingLimited conditions. */
  stabilized?: { reason: string; message: string };
  limited?: { reason: string; message: string };
}

function limit(
  current: number,
  rules: Rules,
  events: readonly { at: number; change: number }[],
  now: number,
  up: boolean,
): number {
  if (rules.selectPolicy === 'Disabled') return current;
  const results = (rules.policies ?? []).map((p) => {
    const done = events.filter((e) => e.at > now - p.periodSeconds * 1000).reduce((n, e) => n + e.change, 0);
    const start = up ? current - done : current + done;
    if (p.type === 'Pods') return up ? start + p.value : start - p.value;
    return up ? Math.ceil(start * (1 + p.value / 100)) : Math.trunc(start * (1 - p.value / 100));
  });
  if (results.length === 0) return current;
  const widest = rules.selectPolicy !== 'Min';
  // The other direction's events within the period can't push the limit past where we are.
  return up
    ? Math.max(widest ? Math.max(...results) : Math.min(...results), current)
    : Math.min(widest ? Math.min(...results) : Math.max(...results), current);
}

/** What becomes of a recommendation: stabilised, then bound by the policies and by min and max. */
export function decide(
  hpa: AutoscalerView,
  current: number,
  recommended: number,
  history: History,
  now: number,
  downWindowMs: number,
): Decision {
  const upRules = { ...UP, ...hpa.spec?.behavior?.scaleUp };
  const downRules = { ...DOWN, stabilizationWindowSeconds: downWindowMs / 1000, ...hpa.spec?.behavior?.scaleDown };
  const upWindow = (upRules.stabilizationWindowSeconds ?? 0) * 1000;
  const downWindow = (downRules.stabilizationWindowSeconds ?? downWindowMs / 1000) * 1000;
  const longest = Math.max(upWindow, downWindow);
  history.recommendations = history.recommendations.filter((r) => r.at > now - longest);
  let lowest = recommended;
  let highest = recommended;
  for (const r of history.recommendations) {
    if (r.at > now - upWindow) lowest = Math.min(lowest, r.replicas);
    if (r.at > now - downWindow) highest = Math.max(highest, r.replicas);
  }
  history.recommendations.push({ at: now, replicas: recommended });
  const stable = Math.min(Math.max(current, lowest), highest);
  const out: Decision = { replicas: stable };
  if (stable !== recommended)
    out.stabilized =
      stable > recommended
        ? {
            reason: 'ScaleDownStabilized',
            message: 'recent recommendations were higher than current one, applying the highest recent recommendation',
          }
        : {
            reason: 'ScaleUpStabilized',
            message: 'recent recommendations were lower than current one, applying the lowest recent recommendation',
          };
  const min = hpa.spec?.minReplicas ?? 1;
  const max = hpa.spec?.maxReplicas ?? 1;
  if (stable > current) {
    const most = limit(current, upRules, history.ups, now, true);
    out.replicas = Math.min(stable, most, max);
    if (out.replicas < stable)
      out.limited =
        most < max
          ? {
              reason: 'ScaleUpLimit',
              message: 'the desired replica count is increasing faster than the maximum scale rate',
            }
          : { reason: 'TooManyReplicas', message: 'the desired replica count is more than the maximum replica count' };
  } else if (stable < current) {
    const least = limit(current, downRules, history.downs, now, false);
    out.replicas = Math.max(stable, least, min);
    if (out.replicas > stable)
      out.limited =
        least > min
          ? {
              reason: 'ScaleDownLimit',
              message: 'the desired replica count is decreasing faster than the maximum scale rate',
            }
          : { reason: 'TooFewReplicas', message: 'the desired replica count is less than the minimum replica count' };
  } else if (stable > max) out.replicas = max;
  else if (stable < min) out.replicas = min;
  return out;
}

/** Remembers a change of size for the policies. */
export function noteChange(history: History, before: number, after: number, now: number): void {
  const keep = 1_800_000;
  history.ups = history.ups.filter((e) => e.at > now - keep);
  history.downs = history.downs.filter((e) => e.at > now - keep);
  if (after > before) history.ups.push({ at: now, change: after - before });
  else if (after < before) history.downs.push({ at: now, change: before - after });
}
