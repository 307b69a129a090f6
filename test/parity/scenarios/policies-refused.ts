/** ValidatingAdmissionPolicy, MutatingAdmissionPolicy and webhook configurations that are refused, and what type checks say. */
import type { JsonObject } from '../../../api/types.ts';
import { rules } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

const API = '/apis/admissionregistration.k8s.io/v1';

const EXPRESSIONS = [
  'object.metadata.name == "m1"',
  'object.metadata.name == 1',
  'object.foo == 1',
  'object.data.a',
  'true',
  '',
  '1 +',
  'foo',
  'variables.x == 1',
  'params.data.x == "y"',
  'request.userInfo.username == "x" && request.operation == "CREATE" && request.dryRun == false',
  'request.foo == 1',
  'namespaceObject.metadata.name == "x"',
  'namespaceObject.spec.foo == "x"',
  'oldObject == null',
  'authorizer.group("apps").resource("deployments").subresource("scale").namespace("x").name("y").check("update").allowed()',
  'authorizer.requestResource.check("get").reason() == ""',
  'authorizer.path("/healthz").check("get").allowed()',
  'authorizer.serviceAccount("ns","sa").group("").resource("pods").check("get").errored()',
  'object.data.all(k, object.data[k].matches("^[a-z]+$"))',
  'quantity("1") < quantity("2")',
  'ip("1.2.3.4").family() == 4',
  'has(object.data.a) ? object.data.a.size() > 3 : true',
  'dyn(object).x.y == 1',
  'object.?data.?a.orValue("x") == "x"',
  '[1,2].all(x, [1,2].all(y, [1,2].all(z, [1,2].all(w, [1,2].all(v, x+y+z+w+v > 0)))))',
];

export function refusedPolicies(): Scenario {
  const s = new Scenario('auth', 'policies-refused');
  const at = `${API}/validatingadmissionpolicies?dryRun=All`;
  const make = (spec: JsonObject) => ({
    metadata: { name: `x-${RUN}` },
    spec: { matchConstraints: rules(['pods']), ...spec },
  });
  for (const expression of EXPRESSIONS) {
    s.post(at, make({ validations: [{ expression }] }));
    s.post(at, make({ paramKind: { apiVersion: 'v1', kind: 'ConfigMap' }, validations: [{ expression }] }));
    s.post(at, make({ validations: [{ expression: 'true', messageExpression: expression }] }));
    s.post(at, make({ auditAnnotations: [{ key: 'k', valueExpression: expression }] }));
    s.post(at, make({ matchConditions: [{ name: 'm', expression }], validations: [{ expression: 'true' }] }));
    s.post(at, make({ variables: [{ name: 'x', expression }], validations: [{ expression: 'variables.x == 1' }] }));
  }
  for (const spec of [
    {},
    { validations: [] },
    { validations: [{ expression: 'true', message: '' }] },
    { validations: [{ expression: 'true', message: 'a\nb' }] },
    { validations: [{ expression: 'true', message: '  ' }] },
    { validations: [{ expression: 'true', reason: 'Foo' }] },
    { validations: [{ expression: 'true', reason: 'RequestEntityTooLarge' }] },
    { validations: [{ expression: 'a\nb' }] },
    { failurePolicy: 'Foo', validations: [{ expression: 'true' }] },
    { paramKind: {}, validations: [{ expression: 'true' }] },
    { paramKind: { apiVersion: 'a/b/c', kind: 'bad kind' }, validations: [{ expression: 'true' }] },
    {
      variables: [
        { name: 'a b', expression: '1' },
        { name: '', expression: '' },
        { name: 'x', expression: '1' },
        { name: 'x', expression: '1' },
      ],
      validations: [{ expression: 'true' }],
    },
    {
      variables: [
        { name: 'a', expression: 'variables.b' },
        { name: 'b', expression: '1' },
      ],
      validations: [{ expression: 'true' }],
    },
    {
      auditAnnotations: [
        { key: '', valueExpression: '' },
        { key: 'a b', valueExpression: '"x"' },
        { key: 'k', valueExpression: '"x"' },
        { key: 'k', valueExpression: '"x"' },
      ],
    },
    {
      matchConditions: [
        { name: '', expression: '' },
        { name: 'a b', expression: 'true' },
        { name: 'c', expression: '1' },
        { name: 'c', expression: 'true' },
      ],
      validations: [{ expression: 'true' }],
    },
    { matchConstraints: null, validations: [{ expression: 'true' }] },
    { matchConstraints: {}, validations: [{ expression: 'true' }] },
    { matchConstraints: rules([], {}), validations: [{ expression: 'true' }] },
    { matchConstraints: rules(['*', 'pods'], {}), validations: [{ expression: 'true' }] },
    { matchConstraints: rules(['*/*', 'pods/status']), validations: [{ expression: 'true' }] },
    { matchConstraints: rules(['pods'], { operations: ['FOO', '*'] }), validations: [{ expression: 'true' }] },
    { matchConstraints: rules(['pods'], { operations: ['CONNECT'] }), validations: [{ expression: 'true' }] },
    {
      matchConstraints: rules(['pods'], { apiGroups: ['*', 'a'], apiVersions: ['*', 'v1'], scope: 'Foo' }),
      validations: [{ expression: 'true' }],
    },
    { matchConstraints: rules(['pods'], { resourceNames: ['', 'a', 'a'] }), validations: [{ expression: 'true' }] },
    { matchConstraints: { ...rules(['pods']), matchPolicy: 'Foo' }, validations: [{ expression: 'true' }] },
    {
      matchConstraints: {
        ...rules(['pods']),
        namespaceSelector: { matchLabels: { 'a b': 'c' } },
        objectSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] },
      },
      validations: [{ expression: 'true' }],
    },
    { matchConstraints: { ...rules(['pods']), excludeResourceRules: [{}] }, validations: [{ expression: 'true' }] },
  ] as JsonObject[])
    s.post(at, make(spec));
  const bindings = `${API}/validatingadmissionpolicybindings?dryRun=All`;
  const mbindings = `${API}/mutatingadmissionpolicybindings?dryRun=All`;
  for (const spec of [
    {},
    { policyName: '' },
    { policyName: 'Bad_Name', validationActions: ['Deny'] },
    { policyName: 'a' },
    { policyName: 'a', validationActions: [] },
    { policyName: 'a', validationActions: ['Deny', 'Warn'] },
    { policyName: 'a', validationActions: ['Deny', 'Deny'] },
    { policyName: 'a', validationActions: ['Foo', 'Audit'] },
    { policyName: 'a', validationActions: ['Deny'], paramRef: {} },
    { policyName: 'a', validationActions: ['Deny'], paramRef: { name: 'x' } },
    {
      policyName: 'a',
      validationActions: ['Deny'],
      paramRef: { name: 'x', selector: {}, parameterNotFoundAction: 'Deny' },
    },
    { policyName: 'a', validationActions: ['Deny'], paramRef: { selector: {}, parameterNotFoundAction: 'Foo' } },
    {
      policyName: 'a',
      validationActions: ['Deny'],
      paramRef: { name: 'Bad/Name', namespace: 'Bad_NS', parameterNotFoundAction: 'Allow' },
    },
    {
      policyName: 'a',
      validationActions: ['Deny'],
      matchResources: { matchPolicy: 'Foo', resourceRules: [{ operations: [] }] },
    },
    { policyName: 'a', validationActions: ['Deny'], matchResources: {} },
  ] as JsonObject[]) {
    s.post(bindings, { metadata: { name: `x-${RUN}` }, spec });
    const { validationActions: _, ...rest } = spec;
    s.post(mbindings, { metadata: { name: `x-${RUN}` }, spec: rest });
  }
  const mat = `${API}/mutatingadmissionpolicies?dryRun=All`;
  const mmake = (spec: JsonObject) => ({
    metadata: { name: `x-${RUN}` },
    spec: { reinvocationPolicy: 'Never', matchConstraints: rules(['pods']), ...spec },
  });
  for (const expression of [
    'Object{}',
    'Object{metadata: Object.metadata{labels: {"a": "b"}}}',
    'Object{metadata: Object.metadata{labels: {"a": 1}}}',
    'Object{metadata: Object.foo{}}',
    'Object{spec: Object.spec{containers: [Object.spec.containers{name: "c"}]}}',
    'Object{foo: 1}',
    'object',
    '{}',
    '1',
    '',
    'Object{',
    'variables.x',
    '[JSONPatch{op: "add", path: "/a", value: 1}]',
    '[JSONPatch{op: "foo", path: "/a", value: 1}]',
    '[JSONPatch{op: 1, path: "/a"}]',
    '[JSONPatch{foo: 1}]',
    'JSONPatch{op: "add", path: "/a"}',
    '[]',
    '[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b"), value: "x"}]',
    '[JSONPatch{op: "add", path: "/spec/c", value: Object.spec.containers{name: "x"}}]',
    'has(object.x) ? [JSONPatch{op: "remove", path: "/a"}] : []',
  ]) {
    s.post(mat, mmake({ mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }] }));
    s.post(mat, mmake({ mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression } }] }));
  }
  for (const spec of [
    {},
    { mutations: [] },
    { mutations: [{}] },
    { mutations: [{ patchType: 'Foo' }] },
    { mutations: [{ patchType: 'JSONPatch' }] },
    { mutations: [{ patchType: 'ApplyConfiguration', jsonPatch: { expression: '[]' } }] },
    {
      mutations: [
        { patchType: 'JSONPatch', jsonPatch: { expression: '[]' }, applyConfiguration: { expression: 'Object{}' } },
      ],
    },
    { reinvocationPolicy: 'Foo', mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[]' } }] },
    { reinvocationPolicy: '', mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[]' } }] },
    {
      matchConstraints: rules(['pods'], { operations: ['DELETE'] }),
      mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[]' } }],
    },
    {
      matchConstraints: rules(['pods'], { operations: ['CONNECT'] }),
      mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[]' } }],
    },
    {
      paramKind: { apiVersion: 'v1', kind: 'X' },
      variables: [{ name: 'v', expression: 'params.x' }],
      matchConditions: [{ name: 'm', expression: 'params.y' }],
      mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: 'variables.v' } }],
    },
  ] as JsonObject[])
    s.post(mat, mmake(spec));
  const hooks = (kind: string, webhook: JsonObject) =>
    s.post(`${API}/${kind}?dryRun=All`, {
      metadata: { name: `x-${RUN}` },
      webhooks: [
        {
          name: 'a.b.c',
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          clientConfig: { url: 'https://a' },
          ...webhook,
        },
      ],
    });
  for (const webhook of [
    {},
    { name: 'a' },
    { name: '' },
    { sideEffects: 'Some' },
    { sideEffects: null },
    { admissionReviewVersions: [] },
    { admissionReviewVersions: ['v9'] },
    { admissionReviewVersions: ['v1', 'v1', 'Bad'] },
    { clientConfig: {} },
    { clientConfig: { url: 'http://a' } },
    { clientConfig: { url: 'https://u:p@a/b?c#d' } },
    { clientConfig: { url: 'https://a', service: { name: 'a', namespace: 'b' } } },
    { clientConfig: { service: { name: '', namespace: '', path: '//x', port: 70000 } } },
    { clientConfig: { url: 'https://a', caBundle: 'YQ==' } },
    { timeoutSeconds: 0 },
    { timeoutSeconds: 31 },
    { failurePolicy: 'Foo', matchPolicy: 'Foo', reinvocationPolicy: 'Foo' },
    { rules: [{}] },
    {
      rules: [
        {
          apiGroups: ['a', '*'],
          apiVersions: ['*'],
          operations: ['*', 'CREATE'],
          resources: ['pods', '*/status', '*/*'],
          scope: 'Foo',
        },
      ],
    },
    {
      matchConditions: [
        { name: 'a', expression: 'object.x' },
        { name: 'a', expression: 'variables.x' },
        { name: '', expression: '' },
      ],
    },
    { matchConditions: Array.from({ length: 65 }, (_, i) => ({ name: `m${i}`, expression: 'true' })) },
    {
      namespaceSelector: { matchLabels: { 'a b': 'c' } },
      objectSelector: { matchExpressions: [{ key: 'a', operator: 'Foo' }] },
    },
  ] as JsonObject[]) {
    hooks('validatingwebhookconfigurations', webhook);
    hooks('mutatingwebhookconfigurations', webhook);
  }
  return s;
}
