/** A kind like those of the Gateway API: rules between fields, lists with keys, a status from several controllers. */
import type { JsonObject } from '../../../api/types.ts';
import { crdOf, groupOf, KEEP, obj, removeCrd, Scenario } from './step.ts';

const STRING = { type: 'string' };

/** Routes, listeners and certificates: rules between fields, lists with keys, statuses from several controllers. */
export function gateway(): Scenario {
  const s = new Scenario('apps', 'gateway');
  const ns = s.namespace('gateway');
  const listener = obj(
    {
      name: { type: 'string', minLength: 1, maxLength: 63, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' },
      port: { type: 'integer', format: 'int32', minimum: 1, maximum: 65535 },
      protocol: { type: 'string', minLength: 1, maxLength: 20 },
      hostname: { type: 'string', maxLength: 253 },
      tls: obj(
        {
          mode: { type: 'string', enum: ['Terminate', 'Passthrough'], default: 'Terminate' },
          refs: {
            type: 'array',
            maxItems: 8,
            'x-kubernetes-list-type': 'atomic',
            items: obj(
              { group: { type: 'string', default: '' }, kind: { type: 'string', default: 'Secret' }, name: STRING },
              { required: ['name'] },
            ),
          },
        },
        {
          'x-kubernetes-validations': [
            { rule: "self.mode == 'Terminate' ? size(self.refs) > 0 : true", message: 'refs are needed' },
          ],
        },
      ),
      from: obj({ from: { type: 'string', enum: ['All', 'Same'], default: 'Same' } }, { default: { from: 'Same' } }),
    },
    { required: ['name', 'port', 'protocol'] },
  );
  const spec = obj(
    {
      className: {
        type: 'string',
        maxLength: 253,
        'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'is immutable' }],
      },
      weight: { type: 'integer', format: 'int32', default: 1, minimum: 0 },
      timeout: { type: 'string', pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' },
      target: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
      labels: {
        type: 'object',
        additionalProperties: { type: 'string', maxLength: 20 },
        maxProperties: 2,
        'x-kubernetes-validations': [{ message: 'keys', rule: "self.all(key, key.matches('^[a-z]+$'))" }],
      },
      listeners: {
        type: 'array',
        minItems: 1,
        maxItems: 8,
        items: listener,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        'x-kubernetes-validations': [
          {
            rule: "self.all(l, l.protocol in ['HTTP', 'TCP'] ? !has(l.tls) : true)",
            message: 'tls must not be specified',
          },
          {
            rule: 'self.all(a, self.exists_one(b, a.port == b.port && a.protocol == b.protocol && (has(a.hostname) && has(b.hostname) ? a.hostname == b.hostname : !has(a.hostname) && !has(b.hostname))))',
            message: 'must be unique',
          },
        ],
      },
    },
    {
      required: ['className', 'listeners'],
      'x-kubernetes-validations': [
        {
          rule: "!has(self.timeout) || duration(self.timeout) <= duration('1h')",
          messageExpression: "'too long: ' + self.timeout",
          fieldPath: '.timeout',
          reason: 'FieldValueForbidden',
        },
      ],
    },
  );
  const crd = crdOf(
    'Gate',
    spec,
    {},
    {
      subresources: { status: {} },
      additionalPrinterColumns: [
        { name: 'Class', type: 'string', jsonPath: '.spec.className' },
        { name: 'Ready', type: 'string', jsonPath: ".status.conditions[?(@.type=='Ready')].status" },
        { name: 'Ports', type: 'string', jsonPath: '.spec.listeners[*].port' },
      ],
      schema: {
        openAPIV3Schema: obj(
          {
            spec,
            status: obj(
              {
                conditions: {
                  type: 'array',
                  maxItems: 8,
                  'x-kubernetes-list-type': 'map',
                  'x-kubernetes-list-map-keys': ['type'],
                  default: [
                    { type: 'Ready', status: 'Unknown', reason: 'Pending', lastTransitionTime: '1970-01-01T00:00:00Z' },
                  ],
                  items: obj(
                    {
                      type: STRING,
                      status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
                      reason: STRING,
                      lastTransitionTime: { type: 'string', format: 'date-time' },
                      observedGeneration: { type: 'integer', format: 'int64' },
                    },
                    { required: ['type', 'status'] },
                  ),
                },
              },
              { default: { conditions: [] } },
            ),
            extra: { type: 'object', ...KEEP },
          },
          { required: ['spec'] },
        ),
      },
    },
  );
  const path = s.crd(crd, ns);
  const gate = (name: string, more: JsonObject, rest: JsonObject = {}) => ({
    apiVersion: `${groupOf(crd)}/v1`,
    kind: 'Gate',
    metadata: { name },
    spec: { className: 'c', listeners: [{ name: 'a', port: 80, protocol: 'HTTP' }], ...more },
    ...rest,
  });
  const l = (name: string, port: number, protocol: string, more: JsonObject = {}) => ({
    name,
    port,
    protocol,
    ...more,
  });
  s.post(path, gate('a', {}));
  for (const [i, more] of (
    [
      { listeners: [] },
      { listeners: [l('a', 80, 'HTTP', { tls: { refs: [{ name: 'x' }] } })] },
      { listeners: [l('a', 443, 'HTTPS', { tls: {} })] },
      { listeners: [l('a', 443, 'HTTPS', { tls: { refs: [] } })] },
      { listeners: [l('a', 443, 'HTTPS', { tls: { mode: 'Passthrough' } }), l('b', 443, 'HTTPS', { hostname: 'h' })] },
      { listeners: [l('a', 80, 'HTTP'), l('b', 80, 'HTTP')] },
      { listeners: [l('a', 80, 'HTTP'), l('a', 81, 'HTTP')] },
      { listeners: [l('A_', 0, '')] },
      { timeout: '2h' },
      { timeout: '10x' },
      { timeout: '30m', target: '10%' },
      { target: true },
      { labels: { a: 'b', c: 'd', e: 'f' } },
      { labels: { A1: 'b' } },
      { labels: { a: 'x'.repeat(21) } },
      { className: null },
      { unknown: { a: 1 }, weight: null },
      { weight: 1.5 },
      { weight: 4294967296 },
      { listeners: {} },
    ] as JsonObject[]
  ).entries())
    for (const validation of i % 4 === 0 ? ['Strict', 'Warn', 'Ignore'] : ['Strict'])
      s.post(`${path}?dryRun=All&fieldValidation=${validation}`, gate(`g${i}`, more));
  const by = (m: string, force = false) => `?fieldManager=${m}${force ? '&force=true' : ''}`;
  s.patch('apply', `${path}/b${by('one')}`, gate('b', { listeners: [l('x', 1, 'TCP'), l('y', 2, 'TCP')] }));
  s.patch('apply', `${path}/b${by('two')}`, gate('b', { listeners: [l('y', 3, 'TCP'), l('z', 4, 'TCP')] }));
  s.patch('apply', `${path}/b${by('two', true)}`, gate('b', { listeners: [l('y', 3, 'TCP'), l('z', 4, 'TCP')] }));
  s.patch('apply', `${path}/b${by('one')}`, gate('b', { listeners: [l('x', 1, 'TCP')] }));
  s.patch('apply', `${path}/b${by('two')}`, gate('b', { className: 'd' }));
  const status = (conditions: JsonObject[]) => ({
    apiVersion: `${groupOf(crd)}/v1`,
    kind: 'Gate',
    metadata: { name: 'b' },
    status: { conditions },
  });
  s.patch('apply', `${path}/b/status${by('ctl')}`, status([{ type: 'Ready', status: 'True', observedGeneration: 2 }]));
  s.patch(
    'apply',
    `${path}/b/status${by('other')}`,
    status([
      { type: 'Ready', status: 'False' },
      { type: 'Programmed', status: 'True' },
    ]),
  );
  s.patch('merge', `${path}/b/status`, {
    spec: { weight: 9 },
    status: { conditions: [{ type: 'Ready', status: 'Maybe' }] },
  });
  s.patch('merge', `${path}/b/status`, { status: null });
  s.patch('merge', `${path}/b`, {
    status: { conditions: [] },
    extra: { k: [1, { n: null }] },
    metadata: { finalizers: ['gate.example.com/cleanup'] },
  });
  s.patch('strategic', `${path}/b`, { spec: { weight: 2 } });
  s.patch('json', `${path}/b`, [
    { op: 'add', path: '/spec/listeners/-', value: l('w', 9, 'TCP') },
    { op: 'copy', from: '/spec/weight', path: '/extra/w' },
  ]);
  s.get(`${path}/b`);
  s.table(path);
  s.del(`${path}/b`, { propagationPolicy: 'Foreground' });
  s.patch('merge', `${path}/b`, { metadata: { finalizers: ['gate.example.com/cleanup', 'new.example.com/x'] } });
  s.patch('merge', `${path}/b`, { metadata: { finalizers: null } });
  s.del(path);
  removeCrd(s, crd);
  return s;
}
