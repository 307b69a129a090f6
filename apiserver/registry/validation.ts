/** Runs a kind's validation, and counts where it breaks down. */
import type { FieldError } from '../../api/field-errors.ts';
import { StatusError } from '../../api/status.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import type { RegistryDeps } from './operation.ts';

/** What validation finds. A fault in its code goes on as it is, and is counted. */
export function findings(
  deps: Pick<RegistryDeps, 'validationBroke'>,
  run: () => FieldError[] | undefined,
): FieldError[] {
  try {
    return run() ?? [];
  } catch (error) {
    if (!(error instanceof StatusError)) deps.validationBroke?.();
    throw error;
  }
}

/** What monitors watch for faults of validation; the result is to be called at each. */
export function validationMetrics(registry: MetricsRegistry): () => void {
  // Every kind is validated once, by one engine: there is no second opinion that could differ.
  registry
    .counter('apiserver_validation_declarative_validation_mismatch_total', 'Validations with two different results.')
    .handle([]);
  const broken = registry
    .counter('apiserver_validation_declarative_validation_panic_total', 'Validations that broke down.')
    .handle([]);
  return () => void broken.value++;
}
