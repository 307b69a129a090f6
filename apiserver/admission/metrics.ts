/** What /metrics tells of admission, under upstream's names. */
import type { HistogramHandle, MetricsRegistry } from '../../base/metrics.ts';
import type { Operation } from './types.ts';

const SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5];
const WEBHOOK_SECONDS = [...SECONDS, 10, 25];
const P = 'apiserver_admission_';

/** The two passes of admission. */
export type Step = 'admit' | 'validate';

/** Times of one plugin, or of all, for one operation and pass. */
export interface StepTimes {
  readonly passed: HistogramHandle;
  refused(seconds: number): void;
}

/** How a call of a webhook ended. `code` is that of its answer; 503 when there was none. */
export interface WebhookOutcome {
  readonly name: string;
  readonly type: 'admit' | 'validating';
  readonly operation: Operation;
  readonly seconds: number;
  readonly code: number;
  readonly rejected: boolean;
  /** Why the request was refused, when it was. */
  readonly error?: 'no_error' | 'calling_webhook_error' | 'apiserver_internal_error';
}

export interface AdmissionMetrics {
  plugin(name: string, operation: Operation, step: Step): StepTimes;
  step(operation: Operation, step: Step): StepTimes;
  webhook(outcome: WebhookOutcome): void;
  failedOpen(name: string, type: WebhookOutcome['type']): void;
}

/** Registers the families and gives what counts into them. */
export function admissionMetrics(registry: MetricsRegistry): AdmissionMetrics {
  const labels = ['operation', 'rejected', 'type'];
  const times = (what: string, help: string, more: string[], bounds: readonly number[]) =>
    registry.histogram(`${P}${what}_admission_duration_seconds`, help, [...more, ...labels], bounds);
  const counter = (what: string, help: string, names: string[]) => registry.counter(P + what, help, names);
  const plugins = times('controller', 'Time in a plugin in seconds.', ['name'], SECONDS);
  const steps = times('step', 'Time in a pass of all plugins in seconds.', [], SECONDS);
  const webhooks = times('webhook', 'Time of webhook calls in seconds.', ['name'], WEBHOOK_SECONDS);
  const calls = counter('webhook_request_total', 'Calls of webhooks.', ['code', 'name', ...labels]);
  const rejections = counter('webhook_rejection_count', 'Requests refused by webhooks or for want of their answer.', [
    'error_type',
    'name',
    'operation',
    'rejection_code',
    'type',
  ]);
  const failOpen = counter('webhook_fail_open_count', 'Failed calls of webhooks that were ignored.', ['name', 'type']);
  const timesOf = (h: typeof plugins, before: string[], operation: Operation, step: Step): StepTimes => ({
    passed: h.handle([...before, operation, 'false', step]),
    refused: (seconds) => h.observe([...before, operation, 'true', step], seconds),
  });
  return {
    plugin: (name, operation, step) => timesOf(plugins, [name], operation, step),
    step: (operation, step) => timesOf(steps, [], operation, step),
    webhook({ name, type, operation, seconds, code, rejected, error }) {
      const rest = [operation, String(rejected), type];
      webhooks.observe([name, ...rest], seconds);
      calls.add([String(code), name, ...rest]);
      if (rejected) rejections.add([error ?? 'no_error', name, operation, String(Math.min(code, 600)), type]);
    },
    failedOpen: (name, type) => failOpen.add([name, type]),
  };
}
