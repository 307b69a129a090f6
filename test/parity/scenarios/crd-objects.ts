/** Custom resources at work: versions, features, ratcheting, names in conflict. */
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { crdOf, groupOf, KEEP, obj, removeCrd, rule, RUN, Scenario } from './step.ts';

export function versions(): Scenario {
  const s = new Scenario('crd', 'versions');
  const ns = s.namespace('sc-versions');
  const schema = (more: JsonObject) => ({
    openAPIV3Schema: obj({ spec: obj({ a: { type: 'string' }, ...more }), status: { type: 'object', ...KEEP } }),
  });
  const crd = crdOf('Xver', obj({}), {
    versions: [
      { name: 'v1alpha1', served: false, storage: false, schema: schema({}) },
      {
        name: 'v1beta1',
        served: true,
        storage: false,
        deprecated: true,
        schema: schema({ d: { type: 'string', default: 'beta' } }),
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
        },
      },
      {
        name: 'v1',
        served: true,
        storage: false,
        deprecated: true,
        deprecationWarning: 'go on',
        schema: schema({ b: { type: 'string' } }),
        additionalPrinterColumns: [
          { name: 'A', type: 'string', jsonPath: '.spec.a' },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        selectableFields: [{ jsonPath: '.spec.b' }],
      },
      {
        name: 'v2',
        served: true,
        storage: true,
        schema: schema({ b: { type: 'string' }, c: { type: 'string', default: 'two' } }),
        subresources: { status: {} },
        selectableFields: [{ jsonPath: '.spec.a' }],
      },
    ],
  });
  s.crd(crd, ns);
  const group = groupOf(crd);
  const at = (v: string, rest = '') => `/apis/${group}/${v}/namespaces/${ns}/xvers${rest}`;
  const make = (v: string, name: string, spec: JsonObject, more: JsonObject = {}) => ({
    apiVersion: `${group}/${v}`,
    kind: 'Xver',
    metadata: { name },
    spec,
    ...more,
  });
  s.get(`/apis/${group}`);
  for (const v of ['v1alpha1', 'v1beta1', 'v1', 'v2', 'v3']) {
    s.get(`/apis/${group}/${v}`);
    s.post(at(v), make(v, `n-${v}`, { a: '1', b: '2', c: '3', d: '4' }, { status: { x: 1 } }));
    s.post(`${at(v)}?fieldValidation=Strict&dryRun=All`, make(v, `s-${v}`, { a: '1', b: '2', c: '3', d: '4' }));
  }
  for (const v of ['v1beta1', 'v1', 'v2']) {
    s.get(at(v));
    s.table(at(v));
    for (const other of ['v1beta1', 'v1', 'v2']) s.get(at(v, `/n-${other}`));
    s.get(`${at(v)}?fieldSelector=spec.a%3D1`);
    s.get(`${at(v)}?fieldSelector=spec.b%3D2`);
    s.patch('apply', `${at(v, `/ap`)}?fieldManager=m-${v}`, make(v, 'ap', { a: v }));
    s.patch('apply', `${at(v, `/ap`)}?fieldManager=m-${v}&force=true`, make(v, 'ap', { a: v, b: v }));
    s.patch('apply', `${at(v, `/ap`)}?fieldManager=one&force=true`, make(v, 'ap', { a: v, c: v }));
    s.patch('merge', `${at(v, '/ap')}?fieldManager=mp`, { spec: { a: `${v}2` }, status: { y: v } });
    s.patch('merge', at(v, '/ap/status'), { spec: { a: `${v}3` }, status: { y: v } });
    s.get(at(v, '/ap/scale'));
    s.patch('merge', at(v, '/ap/scale'), { spec: { replicas: 3 } });
    s.get(at(v, '/ap'));
    s.get(`/openapi/v3/apis/${group}/${v}`, { retry: true, expect: 200, view: 'openapi3' });
  }
  s.get(`${at('v1')}?watch=1&timeoutSeconds=1&resourceVersion=0`, { watch: { timeoutMs: 2500, sort: true } });
  s.post(at('v1'), make('v2', 'wrong', {}));
  s.post(at('v1'), { ...make('v1', 'wrong', {}), kind: 'Other' });
  s.del(at('v1', '/n-v2'));
  s.del(at('v2'));
  removeCrd(s, crd);
  return s;
}

export function features(): Scenario {
  const s = new Scenario('crd', 'features2');
  const ns = s.namespace('sc-features');
  const crd = crdOf(
    'Xfeature',
    obj({
      replicas: { type: 'integer', default: 1, minimum: 0 },
      color: { type: 'string', enum: ['red', 'blue'] },
      when: { type: 'string', format: 'date-time' },
      flag: { type: 'boolean' },
      size: { type: 'integer' },
      ratio: { type: 'number' },
      list: { type: 'array', items: { type: 'string' } },
      set: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
      ports: {
        type: 'array',
        items: obj(
          { port: { type: 'integer' }, protocol: { type: 'string', default: 'TCP' }, name: { type: 'string' } },
          { required: ['port'] },
        ),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port', 'protocol'],
      },
      whole: obj({ a: { type: 'string' }, b: { type: 'string' } }, { 'x-kubernetes-map-type': 'atomic' }),
      free: { type: 'object', ...KEEP },
      quantity: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
      embedded: { type: 'object', 'x-kubernetes-embedded-resource': true, ...KEEP },
      nested: obj({ deep: obj({ d: { type: 'string', default: 'x' } }, { default: {} }) }),
      nullable: { type: 'string', nullable: true },
      map: { type: 'object', additionalProperties: obj({ v: { type: 'integer', default: 5 } }) },
    }),
    { names: { plural: 'xfeatures', kind: 'Xfeature', shortNames: ['xf'], categories: ['all'], singular: 'xfeature' } },
    {
      subresources: {
        status: {},
        scale: {
          specReplicasPath: '.spec.replicas',
          statusReplicasPath: '.status.replicas',
          labelSelectorPath: '.status.selector',
        },
      },
      additionalPrinterColumns: [
        { name: 'Color', type: 'string', jsonPath: '.spec.color', description: 'd', priority: 1 },
        { name: 'When', type: 'date', jsonPath: '.spec.when' },
        { name: 'Flag', type: 'boolean', jsonPath: '.spec.flag' },
        { name: 'Size', type: 'integer', jsonPath: '.spec.size', format: 'int32' },
        { name: 'Ratio', type: 'number', jsonPath: '.spec.ratio' },
        { name: 'List', type: 'string', jsonPath: '.spec.list' },
        { name: 'First', type: 'string', jsonPath: '.spec.list[0]' },
        { name: 'All', type: 'string', jsonPath: '.spec.list[*]' },
        { name: 'Ports', type: 'string', jsonPath: '.spec.ports[*].port' },
        { name: 'Tcp', type: 'integer', jsonPath: '.spec.ports[?(@.protocol=="TCP")].port' },
        { name: 'Free', type: 'string', jsonPath: '.spec.free' },
        { name: 'WrongDate', type: 'date', jsonPath: '.spec.color' },
        { name: 'WrongInt', type: 'integer', jsonPath: '.spec.color' },
        { name: 'WrongBool', type: 'boolean', jsonPath: '.spec.size' },
        { name: 'StrInt', type: 'string', jsonPath: '.spec.size' },
        { name: 'Label', type: 'string', jsonPath: '.metadata.labels.app\\.kubernetes\\.io/name' },
        { name: 'Cond', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
      ],
      selectableFields: [{ jsonPath: '.spec.color' }, { jsonPath: '.spec.flag' }, { jsonPath: '.spec.size' }],
    },
  );
  const path = s.crd(crd, ns);
  const apiVersion = `${groupOf(crd)}/v1`;
  const make = (name: string, spec: JsonValue, more: JsonObject = {}) => ({
    apiVersion,
    kind: 'Xfeature',
    metadata: { name },
    spec,
    ...more,
  });
  const specs: JsonValue[] = [
    {},
    null,
    { replicas: 3, color: 'red', when: '2020-01-01T00:00:00Z', flag: true, size: 5, ratio: 1.5, list: ['a', 'b'] },
    { flag: false, size: 0, ratio: 2, list: [], ports: [{ port: 80 }, { port: 80, protocol: 'UDP' }] },
    { ports: [{ port: 80 }, { port: 80, protocol: 'TCP' }] },
    { ports: [{ protocol: 'TCP' }] },
    { set: ['a', 'b', 'a'] },
    { color: 'green' },
    { when: 'x' },
    { free: { a: { b: 1 }, c: [1, 'x', null] }, map: { a: {}, b: { v: 1 } }, nested: {} },
    { quantity: '10Gi' },
    { quantity: 10 },
    { quantity: 1.5 },
    { quantity: true },
    { embedded: {} },
    { embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'Bad_Name' } } },
    { embedded: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', unknown: 1, labels: { a: 'b' } }, spec: 1 } },
    { nullable: null, color: null },
    { list: [null] },
    { list: 'x' },
    { size: 9007199254740994 },
    { size: 1.0 },
    { size: 1.5 },
    { replicas: -1 },
    { unknown: 1, nested: { unknown: { x: 1 } }, ports: [{ port: 1, u: 1 }] },
    { whole: { a: '1', c: '2' } },
  ];
  for (const [i, spec] of specs.entries()) {
    s.post(path, make(`o${i}`, spec, { status: { conditions: [{ type: 'Ready', status: 'True' }] } }));
    s.patch('apply', `${path}/a${i}?fieldManager=m`, make(`a${i}`, spec));
    s.patch('merge', `${path}/o2?dryRun=All`, { spec });
    s.put(`${path}/o${i}?dryRun=All`, make(`o${i}`, spec));
  }
  s.table(path);
  s.table(`${path}/o2`);
  s.get(path, { headers: { Accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' } });
  for (const f of [
    'spec.color=red',
    'spec.flag=true',
    'spec.flag=false',
    'spec.flag=',
    'spec.size=5',
    'spec.size!=5',
    'spec.x=1',
    'metadata.namespace=x',
  ])
    s.get(`${path}?fieldSelector=${encodeURIComponent(f)}`);
  for (const sub of ['/o2/status', '/o2/scale', '/o0/scale', '/none/scale', '/o2/foo', '/o2/log']) s.get(path + sub);
  const status = (v: JsonValue) => s.patch('merge', `${path}/o2/status`, { status: v, spec: { size: 99 } });
  status({ replicas: 4, selector: 'a=b', conditions: [{ type: 'Ready', status: 'False' }] });
  s.get(`${path}/o2/scale`);
  status({ replicas: 'x', selector: 5 });
  s.get(`${path}/o2/scale`);
  status(null);
  s.get(`${path}/o2/scale`);
  const scale = (replicas: JsonValue, more: JsonObject = {}) => ({
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name: 'o2' },
    spec: { replicas },
    ...more,
  });
  for (const body of [
    scale(2),
    scale(-1),
    scale('x'),
    { ...scale(2), kind: 'Foo' },
    { ...scale(2), metadata: { name: 'zz' } },
    { ...scale(0), spec: {} },
    { ...scale(3), metadata: { name: 'o2', resourceVersion: '1' } },
  ]) {
    s.put(`${path}/o2/scale`, body);
    s.patch('apply', `${path}/o2/scale?fieldManager=sc&force=true`, body);
  }
  s.patch('merge', `${path}/o2/scale`, { spec: { replicas: 6 }, status: { replicas: 9 } });
  s.patch('json', `${path}/o2/scale`, [{ op: 'test', path: '/spec/replicas', value: 6 }]);
  s.patch('strategic', `${path}/o2/scale`, { spec: { replicas: 6 } });
  s.get(`${path}/o2`);
  // apply: lists of each type
  const apply = (who: string, spec: JsonObject, q = '') =>
    s.patch('apply', `${path}/ssa?fieldManager=${who}${q}`, make('ssa', spec));
  apply('one', { ports: [{ port: 1, name: 'x' }], set: ['a', 'b'], list: ['a'], whole: { a: '1' }, free: { x: 1 } });
  apply('two', { ports: [{ port: 1, name: 'y' }], set: ['c'], list: ['b'], whole: { b: '1' }, free: { y: 1 } });
  apply('two', { ports: [{ port: 2, name: 'y' }], set: ['c', 'a'] });
  apply('two', { ports: [{ port: 1, name: 'y' }], set: ['c'], list: ['b'], whole: { b: '1' } }, '&force=true');
  apply('one', { set: ['b'] });
  apply('one', {});
  apply('two', { ports: [{ port: 1 }, { port: 1 }] });
  apply('two', { set: ['a', 'a'] });
  apply('three', { map: { k: { v: 1 } }, nested: { deep: { d: 'y' } }, embedded: { apiVersion: 'v1', kind: 'X' } });
  apply('four', { map: { k: { v: 2 } } });
  s.patch('merge', `${path}/ssa?fieldManager=up`, { spec: { map: { k: { v: 3 }, l: { v: 4 } }, set: ['z'] } });
  s.patch('json', `${path}/ssa?fieldManager=up`, [{ op: 'remove', path: '/spec/map/k' }]);
  s.patch('json', `${path}/ssa`, [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }]);
  apply('five', { color: 'red' });
  s.get(`${path}/ssa`);
  s.post(
    path,
    make(
      'own',
      {},
      {
        metadata: {
          name: 'own',
          finalizers: ['x/y'],
          ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u' }],
        },
      },
    ),
  );
  s.del(`${path}/own`);
  s.patch('merge', `${path}/own`, { metadata: { finalizers: ['x/y', 'z/z'] } });
  s.patch('merge', `${path}/own`, { metadata: { finalizers: null } });
  s.get(`${path}/own`);
  for (const bad of [
    { name: 'x', labels: { 'a b': 'c' } },
    { name: 'x', annotations: { 'a b': 'c' } },
    { name: 'x', finalizers: ['bad finalizer'] },
    { name: 'x', ownerReferences: [{ apiVersion: '', kind: '', name: '', uid: '' }] },
    { name: 'x', labels: 'a' },
    { name: 'x', annotations: { a: 1 } },
    { name: 'x', generateName: 1 },
    { name: 'x', creationTimestamp: 'yesterday' },
    { name: 'x', namespace: 'other' },
    { name: 'x', deletionGracePeriodSeconds: 5, deletionTimestamp: '2020-01-01T00:00:00Z', uid: 'zz', generation: 9 },
    { name: 'x', resourceVersion: '5' },
    {
      name: 'x',
      managedFields: [{ manager: 'a', operation: 'Apply', apiVersion, fieldsType: 'FieldsV1', fieldsV1: {} }],
    },
    {
      name: 'x',
      managedFields: [{ manager: 'a', operation: 'Foo', apiVersion, fieldsType: 'FieldsV2', fieldsV1: {} }],
    },
  ])
    s.post(`${path}?dryRun=All`, make('x', {}, { metadata: bad as unknown as JsonObject }));
  s.del(path);
  removeCrd(s, crd);
  return s;
}

/** Objects that a stricter schema no longer allows may stay as they are. */
export function ratchet(): Scenario {
  const s = new Scenario('crd', 'ratchet');
  const ns = s.namespace('sc-ratchet');
  const loose = obj({
    s: { type: 'string' },
    n: { type: 'integer' },
    l: {
      type: 'array',
      items: obj({ k: { type: 'string' }, v: { type: 'string' } }, { required: ['k'] }),
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['k'],
    },
    m: { type: 'object', additionalProperties: { type: 'string' } },
    at: { type: 'array', items: { type: 'string' } },
    o: obj({ a: { type: 'string' }, b: { type: 'string' } }),
    r: { type: 'string' },
    f: { type: 'string' },
  });
  const crd = crdOf('Xratchet', loose);
  const path = s.crd(crd, ns);
  const all = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const name = (crd['metadata'] as { name: string }).name;
  const make = (spec: JsonObject) => ({
    apiVersion: `${groupOf(crd)}/v1`,
    kind: 'Xratchet',
    metadata: { name: 'a' },
    spec,
  });
  const old = {
    s: 'LONG VALUE',
    n: 50,
    l: [
      { k: 'a', v: 'BAD' },
      { k: 'b', v: 'BAD' },
    ],
    m: { x: 'BAD', y: 'BAD' },
    at: ['BAD', 'B'],
    o: { a: 'BAD', b: 'x' },
    r: 'BAD',
    f: 'BAD',
  };
  s.post(path, make(old));
  const strict = obj(
    {
      s: { type: 'string', maxLength: 3 },
      n: { type: 'integer', maximum: 10 },
      l: {
        type: 'array',
        maxItems: 1,
        items: obj({ k: { type: 'string' }, v: { type: 'string', pattern: '^[a-z]+$' } }, { required: ['k'] }),
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
      },
      m: { type: 'object', maxProperties: 1, additionalProperties: { type: 'string', pattern: '^[a-z]+$' } },
      at: { type: 'array', items: { type: 'string', pattern: '^[a-z]+$' } },
      o: obj({ a: { type: 'string', enum: ['x'] }, b: { type: 'string' } }, { required: ['c'] }),
      r: rule({ rule: 'self == "ok"', message: 'not ok' }),
      f: { type: 'string', format: 'date' },
      q: { type: 'string' },
    },
    {
      required: ['q'],
      'x-kubernetes-validations': [{ rule: 'self.n < 20' }, { rule: 'self.s == oldSelf.s', message: 'kept' }],
    },
  );
  s.patch('json', `${all}/${name}`, [
    { op: 'replace', path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec', value: strict },
  ]);
  s.post(`${path}?dryRun=All`, { ...make({ q: '1', n: 30 }), metadata: { name: 'b' } }, { retry: true, expect: 422 });
  const change = (patch: JsonObject) => s.patch('merge', `${path}/a?dryRun=All`, patch);
  for (const patch of [
    { metadata: { labels: { a: 'b' } } },
    { spec: { q: 'x' } },
    { spec: { q: 'x', s: 'LONG VALUE 2' } },
    { spec: { q: 'x', n: 60 } },
    { spec: { q: 'x', n: 5 } },
    { spec: { q: 'x', n: 15 } },
    { spec: { q: 'x', l: [{ k: 'a', v: 'BAD' }] } },
    { spec: { q: 'x', l: [{ k: 'a', v: 'WORSE' }] } },
    {
      spec: {
        q: 'x',
        l: [
          { k: 'b', v: 'BAD' },
          { k: 'a', v: 'BAD' },
        ],
      },
    },
    {
      spec: {
        q: 'x',
        l: [
          { k: 'a', v: 'BAD' },
          { k: 'c', v: 'BAD' },
        ],
      },
    },
    { spec: { q: 'x', m: { z: 'BAD' } } },
    { spec: { q: 'x', m: { x: null } } },
    { spec: { q: 'x', at: ['BAD'] } },
    { spec: { q: 'x', at: ['B', 'BAD'] } },
    { spec: { q: 'x', o: { b: 'y' } } },
    { spec: { q: 'x', o: { a: 'y' } } },
    { spec: { q: 'x', r: 'BADDER' } },
    { spec: { q: 'x', f: 'x' } },
    { spec: null },
    { status: { a: 1 } },
  ] as JsonObject[])
    change(patch);
  s.get(`${path}/a`);
  removeCrd(s, crd);
  return s;
}

export function names(): Scenario {
  const s = new Scenario('crd', 'names');
  const all = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const group = `names.${RUN}.example.com`;
  const make = (plural: string, kind: string, more: JsonObject = {}): JsonObject => {
    const base = crdOf(kind, obj({}), { group, names: { plural, kind, ...more } });
    return { ...base, metadata: { name: `${plural}.${group}` } };
  };
  const wait = (plural: string, type = 'NamesAccepted', status = 'False') =>
    s.get(`${all}/${plural}.${group}`, { until: { [`.status.conditions[?type=${type}].status`]: status } });
  s.post(all, make('ones', 'One', { singular: 'one', shortNames: ['on'], listKind: 'OneList' }));
  wait('ones', 'Established', 'True');
  const rivals: [string, string, JsonObject][] = [
    ['twos', 'One', {}],
    ['threes', 'Three', { singular: 'one' }],
    ['fours', 'Four', { shortNames: ['on', 'fo'] }],
    ['fives', 'Five', { listKind: 'OneList' }],
    ['sixes', 'Six', { shortNames: ['ones'] }],
    ['sevens', 'Seven', { singular: 'on' }],
    ['eights', 'OneList', {}],
  ];
  for (const [plural, kind, more] of rivals) {
    s.post(all, make(plural, kind, more));
    wait(plural);
    s.get(`/apis/${group}/v1/namespaces/default/${plural}`);
  }
  s.get(`/apis/${group}/v1`);
  s.del(`${all}/ones.${group}`);
  wait('twos', 'NamesAccepted', 'True');
  s.get(`${all}/ones.${group}`, { retry: true, expect: 404 });
  for (const [plural] of rivals) s.del(`${all}/${plural}.${group}`);
  return s;
}
