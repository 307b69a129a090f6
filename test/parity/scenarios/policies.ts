/** ValidatingAdmissionPolicy and MutatingAdmissionPolicy at work. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { refusedPolicies } from './policies-refused.ts';
import { core, rules } from './shapes.ts';
import { RUN, Scenario } from './step.ts';

const API = '/apis/admissionregistration.k8s.io/v1';
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
    refusedPolicies(),
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
