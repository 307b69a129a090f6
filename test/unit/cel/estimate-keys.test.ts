import assert from 'node:assert/strict';
import { createCelEnv, declTypeOf } from '../../../api/cel/index.ts';

describe('cost estimates of loops over a declared map', () => {
  const estimate = (rule: string) => {
    const self = declTypeOf(
      { type: 'object', additionalProperties: { type: 'string', maxLength: 63 }, maxProperties: 8 },
      'self',
    );
    return createCelEnv({ variables: { self }, checked: true }).compile(rule).estimate().max;
  };
  it('take keys for short, since no schema can bound them, and values for as long as declared', () => {
    const keys = estimate('self.all(key, key.matches("^[a-z]+$"))');
    const values = estimate('self.all(key, self[key].matches("^[a-z]+$"))');
    assert.ok(keys < 1000, `keys cost ${keys}`);
    assert.ok(values > keys && Number.isFinite(values), `values cost ${values}, keys ${keys}`);
  });
});
