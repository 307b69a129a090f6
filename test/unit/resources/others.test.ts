import assert from 'node:assert/strict';
import { Field } from '../../../apiserver/resources/validation/field.ts';
import {
  canonicalIP,
  cidr,
  ip,
  numberToAddress,
  addressToNumber,
} from '../../../apiserver/resources/validation/formats.ts';
import { humanDuration } from '../../../apiserver/resources/table.ts';
import { toEventsV1, fromEventsV1 } from '../../../apiserver/resources/events/index.ts';
import { fromV1, toV1 } from '../../../apiserver/resources/autoscaling/v1.ts';
import { generateKey, createCsr } from '../../../base/pki.ts';
import { context, create, kind, update, type Any } from './harness.ts';

describe('rules as fields', () => {
  it('say where something is wrong, and only then build the path', () => {
    const f = new Field({ spec: { items: [{ name: 'a' }, { name: 'a' }], limits: { cpu: -1 } } }, []);
    f.get('spec')
      .get('items')
      .unique(
        (i) => i.name,
        (i) => i.get('name'),
      );
    f.get('spec').get('limits').key('cpu', -1).nonNegative();
    f.get('spec').get('items').at(0, { name: '' }).get('name').required();
    assert.deepEqual(
      f.errors.map((e) => `${e.type} ${e.field}`),
      [
        'FieldValueDuplicate spec.items[1].name',
        'FieldValueInvalid spec.limits[cpu]',
        'FieldValueRequired spec.items[0].name',
      ],
    );
  });
});

describe('addresses', () => {
  it('are written in one way', () => {
    assert.equal(numberToAddress(addressToNumber('2001:db8:0:0:1::'), true), '2001:db8:0:0:1::');
    assert.deepEqual(canonicalIP('10.0.0.1'), []);
    assert.equal(canonicalIP('2001:DB8::1').length, 1);
    assert.equal(ip('010.0.0.1').length, 1);
    assert.equal(ip('::ffff:1.2.3.4').length, 1);
    assert.deepEqual(cidr('10.0.0.0/8'), []);
    assert.equal(cidr('10.0.0.1/8').length, 1);
  });
});

describe('ages', () => {
  for (const [ms, text] of [
    [5_000, '5s'],
    [200_000, '3m20s'],
    [7_200_000, '120m'],
    [90_000_000, '25h'],
    [400 * 86_400_000, '400d'],
  ] as const) {
    it(`show ${ms} ms as ${text}`, () => assert.equal(humanDuration(ms), text));
  }
});

describe('autoscalers', () => {
  const d = kind('horizontalpodautoscalers', 'autoscaling');
  const spec = (more: object = {}) => ({
    spec: { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd' }, ...more },
  });
  it('scale on CPU when they say nothing', () => {
    const { object, errors } = create(d, spec());
    assert.deepEqual(errors, []);
    assert.equal(object['spec'].metrics[0].resource.target.averageUtilization, 80);
    assert.equal(create(d, spec({ maxReplicas: 0 })).errors[0], 'Invalid spec.maxReplicas');
  });
  it('are the same after a way through v1', () => {
    const metrics = [
      { type: 'Pods', pods: { metric: { name: 'rps' }, target: { type: 'AverageValue', averageValue: '1k' } } },
      { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
    ];
    const { object } = create(
      d,
      spec({ metrics, behavior: { scaleDown: { policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] } } }),
    );
    const v1 = toV1(object as never) as Any;
    assert.equal(v1['spec'].targetCPUUtilizationPercentage, 50);
    assert.match(v1['metadata'].annotations['autoscaling.alpha.kubernetes.io/metrics'], /"metricName":"rps"/);
    const back = JSON.parse(JSON.stringify(fromV1(v1 as never))) as Any;
    assert.deepEqual(back['spec'], object['spec']);
  });
});

describe('events', () => {
  it('are one thing in two versions', () => {
    const core = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'e' },
      involvedObject: { kind: 'Pod', name: 'p' },
      message: 'm',
      reason: 'r',
      reportingComponent: 'c',
      reportingInstance: 'i',
    };
    const other = toEventsV1(core as never) as Any;
    assert.deepEqual([other['note'], other['regarding'].name, other['reportingController']], ['m', 'p', 'c']);
    const { message, involvedObject } = fromEventsV1(other as never);
    assert.deepEqual([message, involvedObject.name], ['m', 'p']);
  });
});

describe('certificate signing requests', () => {
  const d = kind('certificatesigningrequests', 'certificates.k8s.io');
  const request = Buffer.from(createCsr({ subject: { commonName: 'u' } }, generateKey())).toString('base64');
  const make = (more: object = {}) =>
    create(d, { spec: { request, signerName: 'example.com/s', usages: ['client auth'], username: 'forged', ...more } });
  it('say who asks, whatever the client says', () => {
    const { object, errors } = make();
    assert.deepEqual([errors, object['spec'].username], [[], 'admin']);
  });
  it('hold a request that is signed', () =>
    assert.deepEqual(make({ request: Buffer.from('nonsense').toString('base64') }).errors, ['Invalid spec.request']));
  it('are approved at their own endpoint only', () => {
    const { object } = make();
    const approve = (o: Any) => (o['status'] = { conditions: [{ type: 'Approved', status: 'True', reason: 'x' }] });
    assert.deepEqual(update(d, object, approve, 'status').errors, ['Forbidden status.conditions']);
    const approved = update(d, object, approve, 'approval');
    assert.deepEqual(approved.errors, []);
    assert.equal(approved.object['status'].conditions[0].lastUpdateTime, '2026-01-01T00:00:00Z');
    const both = (o: Any) => o['status'].conditions.push({ type: 'Denied', status: 'True' });
    assert.deepEqual(update(d, approved.object, both, 'approval').errors, ['Invalid status.conditions']);
  });
});

describe('admission policies', () => {
  const d = kind('validatingadmissionpolicies', 'admissionregistration.k8s.io');
  const rule = { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['deployments'] };
  const policy = (more: object) => create(d, { spec: { matchConstraints: { resourceRules: [rule] }, ...more } });
  it('take expressions about what is written', () => {
    const variables = [{ name: 'r', expression: 'object.spec.replicas' }];
    assert.deepEqual(
      policy({ variables, validations: [{ expression: 'variables.r <= 5', messageExpression: "'at most 5'" }] }).errors,
      [],
    );
  });
  it('refuse expressions that are none, or name what is not there', () => {
    for (const expression of ['object.', 'nobody.x', 'variables.r > 1', '1']) {
      assert.deepEqual(
        policy({ validations: [{ expression }] }).errors,
        ['Invalid spec.validations[0].expression'],
        expression,
      );
    }
  });
});

describe('roles', () => {
  it('are bound to subjects of known kinds', () => {
    const d = kind('rolebindings', 'rbac.authorization.k8s.io');
    const roleRef = { kind: 'Role', name: 'r' };
    const { object, errors } = create(d, { roleRef, subjects: [{ kind: 'User', name: 'u' }] });
    assert.deepEqual([errors, object['roleRef'].apiGroup], [[], 'rbac.authorization.k8s.io']);
    assert.deepEqual(create(d, { roleRef, subjects: [{ kind: 'Robot', name: 'u' }] }).errors, [
      'NotSupported subjects[0].kind',
    ]);
    assert.deepEqual(update(d, object, (o) => (o['roleRef'].name = 's')).errors, ['Invalid roleRef']);
  });
});

describe('resource claims', () => {
  const d = kind('resourceclaims', 'resource.k8s.io');
  const claim = (request: object, ctx = context()) =>
    create(
      d,
      { spec: { devices: { requests: [{ name: 'r', exactly: { deviceClassName: 'gpu', ...request } }] } } },
      ctx,
    );
  it('ask for one device', () => {
    const { object, errors } = claim({});
    assert.deepEqual(errors, []);
    assert.deepEqual(object['spec'].devices.requests[0].exactly, {
      deviceClassName: 'gpu',
      allocationMode: 'ExactCount',
      count: 1,
    });
  });
  it('get the access of administrators in their namespaces only', () => {
    assert.deepEqual(claim({ adminAccess: true }).errors, ['Forbidden spec.devices.requests[0].adminAccess']);
    const labels = { 'resource.kubernetes.io/admin-access': 'true' };
    const reader = { get: () => ({ metadata: { labels } }) as never, list: () => [] };
    assert.deepEqual(claim({ adminAccess: true }, context({ reader })).errors, []);
  });
  it('stay as they are', () =>
    assert.deepEqual(update(d, claim({}).object, (o) => (o['spec'].devices.requests[0].exactly.count = 2)).errors, [
      'Invalid spec',
    ]));
});
