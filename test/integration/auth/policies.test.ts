import assert from 'node:assert/strict';
import type * as k8s from '@kubernetes/client-node';
import type { ConfigMap, Json } from '../../../api/types.ts';
import { configMaps, namespaces, secrets, type ResourceRef } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const ref = <T extends object>(resource: string, kind: string): ResourceRef<T> => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  resource,
  kind,
  namespaced: false,
});
type Policy = Json<k8s.V1ValidatingAdmissionPolicy>;
type Binding = Json<k8s.V1ValidatingAdmissionPolicyBinding>;
const policies = ref<Policy>('validatingadmissionpolicies', 'ValidatingAdmissionPolicy');
const bindings = ref<Binding>('validatingadmissionpolicybindings', 'ValidatingAdmissionPolicyBinding');
const mutatingPolicies = ref<object>('mutatingadmissionpolicies', 'MutatingAdmissionPolicy');
const mutatingBindings = ref<object>('mutatingadmissionpolicybindings', 'MutatingAdmissionPolicyBinding');

const rejected = (code: number, message: RegExp) => (error: unknown) => {
  const e = error as { code: number; message: string };
  assert.equal(e.code, code, e.message);
  assert.match(e.message, message);
  return true;
};
const onConfigMaps = {
  resourceRules: [
    { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] },
  ],
};

describe('admission policies', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.client.create(namespaces, { metadata: { name: 'ruled', labels: { rules: 'on' } } });
  });
  after(() => server.stop());
  afterEach(async () => {
    for (const r of [bindings, policies, mutatingBindings, mutatingPolicies]) await server.client.deleteCollection(r);
  });

  async function install(
    spec: Omit<NonNullable<Policy['spec']>, 'matchConstraints'>,
    binding: Partial<Binding['spec']> = {},
  ): Promise<void> {
    await server.client.create(policies, {
      metadata: { name: 'p' },
      spec: { matchConstraints: onConfigMaps, ...spec },
    });
    await server.client.create(bindings, {
      metadata: { name: 'b' },
      spec: {
        policyName: 'p',
        validationActions: ['Deny'],
        matchResources: { namespaceSelector: { matchLabels: { rules: 'on' } } },
        ...binding,
      },
    });
  }
  const create = (name: string, data?: Record<string, string>, namespace = 'ruled') =>
    server.client.create<ConfigMap>(configMaps, { metadata: { name, namespace }, data }, { dryRun: true });

  it('refuse with message, reason and code, where they are bound', async () => {
    await install({
      variables: [{ name: 'd', expression: 'has(object.data) ? object.data : {}' }],
      validations: [
        { expression: '!("a" in variables.d)', message: 'no a', reason: 'Forbidden' },
        {
          expression: 'variables.d.all(k, variables.d[k].size() < 3)',
          messageExpression: '"too long in " + object.metadata.name',
        },
      ],
    });
    await create('fine', { b: 'x' });
    await assert.rejects(
      create('x', { a: '' }),
      rejected(
        403,
        /^configmaps "x" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no a$/,
      ),
    );
    await assert.rejects(create('y', { b: 'xxx' }), rejected(422, /denied request: too long in y$/));
    await create('elsewhere', { a: '' }, 'default');
  });

  it('ask for parameters', async () => {
    await install(
      {
        paramKind: { apiVersion: 'v1', kind: 'Secret' },
        validations: [{ expression: 'params.metadata.labels.limit == "none" || !has(object.data)' }],
      },
      { paramRef: { name: 'limits', namespace: 'default', parameterNotFoundAction: 'Deny' } },
    );
    await assert.rejects(create('x'), rejected(422, /no params found/));
    const secret = await server.client.create(secrets, {
      metadata: { name: 'limits', namespace: 'default', labels: { limit: 'some' } },
    });
    await create('x');
    await assert.rejects(create('x', { a: 'b' }), rejected(422, /failed expression: params/));
    await server.client.update(secrets, { ...secret, metadata: { ...secret.metadata, labels: { limit: 'none' } } });
    await create('x', { a: 'b' });
  });

  it('know what else the user, and others, may do', async () => {
    const check = 'group("").resource("nodes").check("delete").allowed()';
    await install({ validations: [{ expression: `authorizer.${check}`, message: 'not you' }] });
    await create('x');
    await server.client.patch(policies, 'p', 'merge', {
      spec: { validations: [{ expression: `authorizer.serviceAccount("default", "x").${check}`, message: 'not it' }] },
    });
    await assert.rejects(create('x'), rejected(422, /denied request: not it$/));
    await server.client.patch(policies, 'p', 'merge', {
      spec: { validations: [{ expression: 'authorizer.requestResource.check("create").allowed()' }] },
    });
    await create('x');
  });

  it('fail closed or open on errors, and skip what their conditions leave out', async () => {
    await install({ validations: [{ expression: 'object.nothing.here == 1' }] });
    await assert.rejects(create('x'), rejected(422, /resulted in error: no such key: nothing/));
    await server.client.patch(policies, 'p', 'merge', { spec: { failurePolicy: 'Ignore' } });
    await create('x');
    await server.client.patch(policies, 'p', 'merge', {
      spec: { failurePolicy: 'Fail', matchConditions: [{ name: 'only-y', expression: 'object.metadata.name == "y"' }] },
    });
    await create('x');
    await assert.rejects(create('y'), rejected(422, /resulted in error/));
  });

  it('change objects by apply and by JSON patch', async () => {
    await server.client.create(mutatingPolicies, {
      metadata: { name: 'm' },
      spec: {
        matchConstraints: onConfigMaps,
        reinvocationPolicy: 'Never',
        failurePolicy: 'Fail',
        mutations: [
          {
            patchType: 'ApplyConfiguration',
            applyConfiguration: { expression: 'Object{metadata: Object.metadata{labels: {"added": "yes"}}}' },
          },
          {
            patchType: 'JSONPatch',
            jsonPatch: {
              expression: '[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b"), value: "c"}]',
            },
          },
        ],
      },
    });
    await server.client.create(mutatingBindings, { metadata: { name: 'm' }, spec: { policyName: 'm' } });
    const made = await server.client.create(
      configMaps,
      { metadata: { name: 'x', namespace: 'ruled', labels: { own: '1' } } },
      { dryRun: true },
    );
    assert.deepEqual(made.metadata!.labels, { own: '1', added: 'yes', 'a/b': 'c' });
  });
});
