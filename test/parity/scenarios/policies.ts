/** ValidatingAdmissionPolicy and MutatingAdmissionPolicy at work, and refused. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { core } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

const API = '/apis/admissionregistration.k8s.io/v1';
const rules = (resources: string[], more: JsonObject = {}) => ({
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources, ...more }],
});
const configMap = (name: string, data: JsonObject = {}, metadata: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
});

/** One validating policy, bound to a namespace; then configmaps are written. */
function validating(
  name: string,
  spec: JsonObject,
  binding: JsonObject = {},
  extra?: (s: Scenario, ns: string) => void,
): Scenario {
  const s = new Scenario('auth', `vap-${name}`);
  const ns = s.namespace(`sc-vap-${name}`, { vap: name });
  const full = `${name}-${RUN}`;
  extra?.(s, ns);
  s.post(`${API}/validatingadmissionpolicies`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: full },
    spec: { matchConstraints: rules(['configmaps', 'pods', 'pods/status']), ...spec },
  });
  const canary = `canary-${full}`;
  // a second rule under the same policy's name would hide what is tried, so a policy of its own tells when all is in force
  s.post(`${API}/validatingadmissionpolicies`, {
    metadata: { name: canary },
    spec: { matchConstraints: rules(['secrets']), validations: [{ expression: 'false' }] },
  });
  for (const policyName of [full, canary])
    s.post(`${API}/validatingadmissionpolicybindings`, {
      metadata: { name: policyName },
      spec: {
        policyName,
        validationActions: ['Deny'],
        matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } } },
        ...(policyName === full ? binding : {}),
      },
    });
  s.post(`${core(ns, 'secrets')}?dryRun=All`, { metadata: { name: 'x' } }, { retry: true, expect: 422 });
  const maps = core(ns, 'configmaps');
  s.post(`${maps}?dryRun=All`, configMap('settle'), { sleep: 1200 });
  for (const [i, data] of [{}, { a: 'short' }, { a: 'x'.repeat(20) }, { forbidden: 'x' }, { n: '5' }].entries())
    s.post(maps, configMap(`m${i}`, data, { labels: { i: String(i), odd: String(i % 2) } }));
  s.patch('merge', `${maps}/m1`, { data: { a: 'changed' } });
  s.patch('merge', `${maps}/m1`, { metadata: { labels: { x: 'y' } } });
  s.del(`${maps}/m1`);
  s.post(core(ns, 'pods'), { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } });
  s.patch('merge', `${core(ns, 'pods')}/p/status`, { status: { phase: 'Running' } });
  s.get(`${API}/validatingadmissionpolicies/${full}`, { until: { '.status.observedGeneration': 1 } });
  s.table(`${API}/validatingadmissionpolicies/${full}`);
  for (const n of [full, canary]) {
    s.del(`${API}/validatingadmissionpolicybindings/${n}`);
    s.del(`${API}/validatingadmissionpolicies/${n}`);
  }
  return s;
}

function mutating(name: string, mutations: JsonValue[], spec: JsonObject = {}, binding: JsonObject = {}): Scenario {
  const s = new Scenario('auth', `map-${name}`);
  const ns = s.namespace(`sc-map-${name}`);
  const full = `${name}-${RUN}`;
  s.post(`${API}/mutatingadmissionpolicies`, {
    metadata: { name: full },
    spec: { reinvocationPolicy: 'Never', matchConstraints: rules(['configmaps', 'pods']), mutations, ...spec },
  });
  const canary = `canary-${full}`;
  s.post(`${API}/mutatingadmissionpolicies`, {
    metadata: { name: canary },
    spec: {
      reinvocationPolicy: 'Never',
      matchConstraints: rules(['secrets']),
      mutations: [
        { patchType: 'JSONPatch', jsonPatch: { expression: '[JSONPatch{op: "test", path: "/kind", value: "x"}]' } },
      ],
    },
  });
  for (const policyName of [full, canary])
    s.post(`${API}/mutatingadmissionpolicybindings`, {
      metadata: { name: policyName },
      spec: {
        policyName,
        matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } } },
        ...(policyName === full ? binding : {}),
      },
    });
  s.post(`${core(ns, 'secrets')}?dryRun=All`, { metadata: { name: 'x' } }, { sleep: 2500 });
  const maps = core(ns, 'configmaps');
  s.post(maps, configMap('a', { k: 'v' }));
  s.post(maps, configMap('b', { k: 'v' }, { labels: { x: 'y' }, annotations: { m: 'n' } }));
  s.patch('merge', `${maps}/a`, { data: { z: '1' } });
  s.patch('apply', `${maps}/ap?fieldManager=m`, configMap('ap', { k: 'v' }));
  s.post(core(ns, 'pods'), {
    metadata: { name: 'p', labels: { a: 'b' } },
    spec: {
      containers: [{ name: 'c', image: 'i', env: [{ name: 'A', value: 'B' }] }],
      tolerations: [{ key: 'x', operator: 'Exists' }],
    },
  });
  for (const n of [full, canary]) {
    s.del(`${API}/mutatingadmissionpolicybindings/${n}`);
    s.del(`${API}/mutatingadmissionpolicies/${n}`);
  }
  return s;
}

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

function refused(): Scenario {
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

export function policyScenarios(): Scenario[] {
  const v = (...validations: JsonValue[]) => ({ validations });
  const params = (action = 'Deny', ref: JsonObject = {}): JsonObject => ({
    paramRef: { name: `limits-${RUN}`, parameterNotFoundAction: action, ...ref },
  });
  const withParams = { paramKind: { apiVersion: 'v1', kind: 'ConfigMap' } };
  const rule = {
    expression: '!has(object.data) || !has(object.data.a) || object.data.a.size() <= int(params.data.max)',
    messageExpression: '"at most " + params.data.max',
  };
  const makeParams = (s: Scenario, ns: string) => {
    s.post(core(ns, 'configmaps'), configMap(`limits-${RUN}`, { max: '10' }, { labels: { limits: 'y' } }));
    s.post(core(ns, 'configmaps'), configMap(`other-${RUN}`, { max: '3' }, { labels: { limits: 'y' } }));
  };
  return [
    refused(),
    validating(
      'reasons',
      v(
        { expression: '!has(object.data) || !has(object.data.forbidden)', reason: 'Unauthorized' },
        { expression: '!has(object.data) || !has(object.data.n)', reason: 'RequestEntityTooLarge', message: 'big' },
        { expression: '!has(object.data) || !has(object.data.a) || object.data.a.size() < 10', reason: 'Forbidden' },
      ),
    ),
    validating('variables', {
      variables: [
        { name: 'd', expression: 'has(object.data) ? object.data : {}' },
        { name: 'long', expression: 'variables.d.exists(k, variables.d[k].size() > 10)' },
      ],
      validations: [
        {
          expression: '!variables.long',
          messageExpression: '"long: " + string(variables.d.size())',
          reason: 'Invalid',
        },
      ],
    }),
    validating('error-fail', v({ expression: 'object.data.a == "short"' })),
    validating('error-ignore', { failurePolicy: 'Ignore', ...v({ expression: 'object.data.a == "short"' }) }),
    validating(
      'warn',
      v(
        { expression: 'false', message: 'first' },
        { expression: 'object.metadata.name != "m1"', messageExpression: '"second"' },
      ),
      { validationActions: ['Warn', 'Audit'] },
    ),
    validating('denyaudit', v({ expression: 'false' }), { validationActions: ['Deny', 'Audit'] }),
    validating('conditions', {
      matchConditions: [{ name: 'odd', expression: 'object.metadata.labels.odd == "1"' }],
      ...v({ expression: 'false' }),
    }),
    validating('annotations', {
      auditAnnotations: [{ key: 'k', valueExpression: 'object.data.a' }],
      ...v({ expression: 'true' }),
    }),
    validating('selector', {
      matchConstraints: { ...rules(['configmaps']), objectSelector: { matchLabels: { odd: '0' } } },
      ...v({ expression: 'false' }),
    }),
    validating('exclude', {
      matchConstraints: {
        ...rules(['*']),
        excludeResourceRules: [
          {
            apiGroups: [''],
            apiVersions: ['*'],
            operations: ['*'],
            resources: ['configmaps'],
            resourceNames: ['m1', 'm2'],
          },
        ],
      },
      ...v({ expression: 'object.kind != "ConfigMap"' }),
    }),
    validating('subresource', {
      matchConstraints: rules(['pods/status']),
      ...v({ expression: 'object.status.phase != "Running"' }),
    }),
    validating('delete', {
      matchConstraints: rules(['configmaps'], { operations: ['DELETE'] }),
      ...v({ expression: 'oldObject.metadata.name != "m1"' }),
    }),
    validating(
      'authorizer',
      v(
        { expression: 'authorizer.requestResource.check("delete").allowed()' },
        {
          expression:
            '!authorizer.serviceAccount("default", "default").group("").resource("pods").check("get").allowed()',
        },
      ),
    ),
    validating('namespace', v({ expression: 'namespaceObject.metadata.labels["vap"] == "other"' })),
    validating(
      'user',
      v({ expression: 'request.userInfo.groups.exists(g, g == "system:masters") && request.kind.kind == "ConfigMap"' }),
    ),
    validating('types', v({ expression: 'object.data.nope == 5' }, { expression: 'object.spec.nope == 1' })),
    validating('params', { ...withParams, ...v(rule) }, params(), makeParams),
    validating('params-missing', { ...withParams, ...v(rule) }, params('Deny'), undefined),
    validating('params-allow', { ...withParams, ...v(rule) }, params('Allow'), undefined),
    validating(
      'params-selector',
      { ...withParams, ...v(rule) },
      { paramRef: { selector: { matchLabels: { limits: 'y' } }, parameterNotFoundAction: 'Deny' } },
      makeParams,
    ),
    validating(
      'params-kind',
      { paramKind: { apiVersion: 'none.example.com/v1', kind: 'None' }, ...v(rule) },
      params('Allow'),
    ),
    validating('params-unbound', { ...withParams, ...v(rule) }),
    mutating('apply', [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression:
            'Object{metadata: Object.metadata{labels: {"added": "y"}, annotations: {"n": string(size(object.metadata.name))}}}',
        },
      },
    ]),
    mutating('json', [
      {
        patchType: 'JSONPatch',
        jsonPatch: {
          expression:
            'object.kind == "ConfigMap" ? [JSONPatch{op: "add", path: "/data/" + jsonpatch.escapeKey("added.x"), value: "y"}, JSONPatch{op: "copy", from: "/data", path: "/binaryData"}] : [JSONPatch{op: "add", path: "/spec/containers/0/env/-", value: Object.spec.containers.env{name: "X", value: "Y"}}]',
        },
      },
    ]),
    mutating(
      'both',
      [
        {
          patchType: 'JSONPatch',
          jsonPatch: { expression: '[JSONPatch{op: "add", path: "/metadata/annotations", value: {"a": "b"}}]' },
        },
        {
          patchType: 'ApplyConfiguration',
          applyConfiguration: { expression: 'Object{metadata: Object.metadata{annotations: {"c": "d"}}}' },
        },
      ],
      {
        variables: [{ name: 'x', expression: '"y"' }],
        matchConditions: [{ name: 'm', expression: 'object.metadata.name != "b"' }],
      },
    ),
    mutating('error', [
      { patchType: 'JSONPatch', jsonPatch: { expression: '[JSONPatch{op: "remove", path: "/nothing/there"}]' } },
    ]),
    mutating(
      'ignore',
      [
        {
          patchType: 'JSONPatch',
          jsonPatch: { expression: '[JSONPatch{op: "add", path: "/data/x", value: object.data.nope}]' },
        },
      ],
      { failurePolicy: 'Ignore' },
    ),
    mutating('pods', [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression:
            'object.kind == "Pod" ? Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: "i", image: "x"}], containers: [Object.spec.containers{name: "c", env: [Object.spec.containers.env{name: "N", value: "1"}]}], nodeSelector: {"a": "b"}}} : Object{}',
        },
      },
    ]),
    mutating('atomic', [
      {
        patchType: 'ApplyConfiguration',
        applyConfiguration: {
          expression: 'Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: "t"}]}}',
        },
      },
    ]),
    mutating('invalid', [
      {
        patchType: 'JSONPatch',
        jsonPatch: { expression: '[JSONPatch{op: "add", path: "/metadata/labels", value: {"bad key!": "x"}}]' },
      },
    ]),
  ];
}
