import assert from 'node:assert/strict';
import {
  declaredType,
  namedResources,
  typeCheck,
  type OpenApiDocument,
} from '../../../controllers/admissionpolicystatus/typecheck.ts';

const document: OpenApiDocument = {
  components: {
    schemas: {
      'apps.v1.Deployment': {
        type: 'object',
        'x-kubernetes-group-version-kind': [{ group: 'apps', version: 'v1', kind: 'Deployment' }],
        properties: { spec: { default: {}, allOf: [{ $ref: '#/components/schemas/apps.v1.DeploymentSpec' }] } },
      },
      'apps.v1.DeploymentSpec': {
        type: 'object',
        properties: {
          replicas: { type: 'integer', format: 'int32' },
          self: { $ref: '#/components/schemas/apps.v1.DeploymentSpec' },
        },
      },
    },
  },
};
const kind = { group: 'apps', version: 'v1', kind: 'Deployment' };
const policy = (expression: string, messageExpression?: string, resources = ['deployments']) => ({
  spec: {
    matchConstraints: { resourceRules: [{ apiGroups: ['apps'], apiVersions: ['v1'], operations: ['*'], resources }] },
    validations: [{ expression, messageExpression }],
  },
});
const check = (expression: string, message?: string) =>
  typeCheck(policy(expression, message), [{ kind, type: declaredType(document, kind)! }]);

describe('type checking of admission policies', () => {
  it('has nothing to say about what fits', () => {
    assert.deepEqual(
      check('object.spec.replicas > 1 && oldObject.spec.self.replicas < 3 && request.userInfo.name == "x"'),
      [],
    );
  });

  it('names the place, the kind and the mistake', () => {
    const [first, second] = check("object.spec.replicas > '1'", "'got ' + object.spec.replicas");
    assert.equal(first?.fieldRef, 'spec.validations[0].expression');
    assert.match(first?.warning ?? '', /^apps\/v1, Kind=Deployment: ERROR: .*'_>_' applied to '\(int, string\)'/s);
    assert.equal(second?.fieldRef, 'spec.validations[0].messageExpression');
    assert.match(check('object.spec.nothing == 1')[0]?.warning ?? '', /undefined field 'nothing'/);
    assert.match(check('params.x == 1')[0]?.warning ?? '', /params/);
  });

  it('looks only at kinds that are named', () => {
    assert.deepEqual(namedResources(policy('true')), [{ group: 'apps', version: 'v1', resource: 'deployments' }]);
    assert.deepEqual(namedResources(policy('true', undefined, ['*'])), []);
    assert.deepEqual(namedResources(policy('true', undefined, ['deployments/scale'])), []);
  });
});
