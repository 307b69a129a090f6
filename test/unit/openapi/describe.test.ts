import assert from 'node:assert/strict';
import { describe as describeSchemas, wordsOf } from '../../../api/openapi/describe.ts';

describe('descriptions of schemas', () => {
  it('say in words what names say', () => {
    assert.equal(wordsOf('terminationGracePeriodSeconds'), 'termination grace period seconds');
    assert.equal(wordsOf('podIPs'), 'pod IPs');
    assert.equal(wordsOf('clusterIP'), 'cluster IP');
  });
  it('stand on schemas and properties, unless there is one', () => {
    const given = {
      'io.k8s.api.apps.v1.DeploymentSpec': {
        properties: { paused: { type: 'boolean' }, own: { description: 'Mine.' } },
      },
    };
    const copy = structuredClone(given);
    assert.deepEqual(describeSchemas(given), {
      'io.k8s.api.apps.v1.DeploymentSpec': {
        description: 'A DeploymentSpec of apps/v1.',
        properties: {
          paused: { description: 'Paused of a DeploymentSpec.', type: 'boolean' },
          own: { description: 'Mine.' },
        },
      },
    });
    assert.deepEqual(given, copy);
  });
});
