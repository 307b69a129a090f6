import assert from 'node:assert/strict';
import { badRequest } from '../../../api/status.ts';
import { findings, validationMetrics } from '../../../apiserver/registry/validation.ts';
import { MetricsRegistry } from '../../../base/metrics.ts';

describe('the faults of validation', () => {
  const registry = new MetricsRegistry();
  const deps = { validationBroke: validationMetrics(registry) };
  const faults = () => /^apiserver_validation_declarative_validation_panic_total (\d+)$/m.exec(registry.text())?.[1];

  it('are counted and go on', () => {
    const fault = new TypeError('x is not a function');
    const run = () => {
      throw fault;
    };
    assert.throws(() => findings(deps, run), fault);
    assert.equal(faults(), '1');
  });

  it('are told apart from what validation says on purpose', () => {
    const finding = { type: 'FieldValueRequired', field: 'spec', message: 'Required value' } as const;
    assert.deepEqual(
      findings(deps, () => [finding]),
      [finding],
    );
    assert.deepEqual(
      findings(deps, () => undefined),
      [],
    );
    assert.throws(() =>
      findings(deps, () => {
        throw badRequest('no');
      }),
    );
    assert.equal(faults(), '1');
  });
});
