/** What the manager's own HTTPS port answers: /healthz, /livez, /readyz, /metrics. */
import { metricsAnswer, notFoundAnswer, plainAnswer, type Answer } from '../base/serving.ts';
import type { ControllerManager } from './manager.ts';

export function answer(path: string, manager: ControllerManager): Answer {
  if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) return plainAnswer(200, 'ok');
  return path === '/metrics' ? metricsAnswer(manager.metrics()) : notFoundAnswer;
}
