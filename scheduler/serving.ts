/** What the scheduler's own HTTPS port answers: /healthz, /livez, /readyz, /metrics, /explain/NAMESPACE/POD. */
import { metricsAnswer, notFoundAnswer, plainAnswer, type Answer } from '../base/serving.ts';
import type { Scheduler } from './scheduler.ts';

export function answer(path: string, scheduler: Scheduler): Answer {
  if (/^\/(healthz|livez)(\/|$)/.test(path)) return plainAnswer(200, 'ok');
  if (/^\/readyz(\/|$)/.test(path))
    return scheduler.isReady ? plainAnswer(200, 'ok') : plainAnswer(500, 'informers not synced');
  if (path === '/metrics') return metricsAnswer(scheduler.metrics());
  const explain = /^\/explain\/([^/]+)\/([^/]+)$/.exec(path);
  if (explain) {
    const found = scheduler.explain(decodeURIComponent(explain[1]!), decodeURIComponent(explain[2]!));
    return found
      ? { code: 200, type: 'application/json', body: JSON.stringify(found) }
      : plainAnswer(404, 'no such pod, or it is placed by another scheduler\n');
  }
  return notFoundAnswer;
}
