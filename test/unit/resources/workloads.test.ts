import assert from 'node:assert/strict';
import { isTimeZone, scheduleError } from '../../../apiserver/resources/batch/schedule.ts';
import { create, kind, update, type Any } from './harness.ts';

const labels = { app: 'a' };
const template = (more: object = {}) => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image: 'i:1' }], ...more },
});
const spec = (more: object = {}) => ({ spec: { selector: { matchLabels: labels }, template: template(), ...more } });

describe('deployments', () => {
  const d = kind('deployments', 'apps');
  it('get the defaults of Kubernetes', () => {
    const { object, errors } = create(d, spec());
    assert.deepEqual(errors, []);
    const { replicas, strategy, revisionHistoryLimit, progressDeadlineSeconds } = object['spec'] as Any;
    assert.deepEqual(
      { replicas, strategy, revisionHistoryLimit, progressDeadlineSeconds },
      {
        replicas: 1,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } },
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
      },
    );
    assert.equal(object['metadata'].generation, 1);
  });
  it('count changes of the spec, not of the rest', () => {
    const { object } = create(d, spec());
    assert.equal(update(d, object, (o) => (o['spec'].replicas = 3)).object['metadata'].generation, 2);
    assert.equal(update(d, object, (o) => (o['metadata'].labels = { x: 'y' })).object['metadata'].generation, 1);
  });
  it('select their own pods, always the same', () => {
    assert.deepEqual(create(d, spec({ selector: { matchLabels: { app: 'b' } } })).errors, [
      'Invalid spec.template.metadata.labels',
    ]);
    const { object } = create(d, spec());
    assert.ok(
      update(d, object, (o) => (o['spec'].selector.matchLabels = { app: 'b' })).errors.includes(
        'Invalid spec.selector',
      ),
    );
  });
  it('keep pods running', () =>
    assert.deepEqual(create(d, spec({ template: template({ restartPolicy: 'Never' }) })).errors, [
      'NotSupported spec.template.spec.restartPolicy',
    ]));
});

describe('stateful sets', () => {
  const d = kind('statefulsets', 'apps');
  it('change few things once they are there', () => {
    const { object } = create(d, { spec: { ...spec().spec, serviceName: 's' } });
    assert.deepEqual(update(d, object, (o) => (o['spec'].replicas = 2)).errors, []);
    assert.deepEqual(update(d, object, (o) => (o['spec'].serviceName = 't')).errors, ['Forbidden spec']);
  });
});

describe('daemon sets', () => {
  const d = kind('daemonsets', 'apps');
  it('count their templates in an annotation', () => {
    const key = 'deprecated.daemonset.template.generation';
    const { object } = create(d, spec());
    assert.equal(object['metadata'].annotations[key], '1');
    assert.equal(
      update(d, object, (o) => (o['spec'].template.spec.hostNetwork = true)).object['metadata'].annotations[key],
      '2',
    );
  });
});

describe('jobs', () => {
  const d = kind('jobs', 'batch');
  const job = (more: object = {}) => create(d, { spec: { template: template({ restartPolicy: 'Never' }), ...more } });
  it('make their own selector', () => {
    const { object, errors } = job();
    assert.deepEqual(errors, []);
    const uid = object['metadata'].uid as string;
    assert.deepEqual(object['spec'].selector.matchLabels, { 'batch.kubernetes.io/controller-uid': uid });
    assert.equal(object['spec'].template.metadata.labels['batch.kubernetes.io/job-name'], 'x');
    assert.deepEqual([object['spec'].completions, object['spec'].parallelism, object['spec'].backoffLimit], [1, 1, 6]);
  });
  it('end at some time', () => {
    const { errors } = create(d, { spec: { template: template() } });
    assert.deepEqual(errors, ['Required spec.template.spec.restartPolicy']);
  });
  it('need a number of completions when they are indexed', () =>
    assert.ok(job({ completionMode: 'Indexed', parallelism: 1 }).errors.length > 0));
});

describe('schedules of cron jobs', () => {
  for (const s of ['*/5 * * * *', '0 0 1 JAN *', '@hourly', '@every 1h30m', '0 9-17/2 * * MON-FRI'])
    it(`take ${s}`, () => assert.equal(scheduleError(s), undefined));
  for (const s of ['', '* * * *', '60 * * * *', '5-1 * * * *', '@sometimes', '* * 32 * *', '*/0 * * * *'])
    it(`refuse ${JSON.stringify(s)}`, () => assert.ok(scheduleError(s)));
  it('know time zones', () => {
    assert.ok(isTimeZone('Europe/Berlin'));
    assert.ok(!isTimeZone('Europe/Nowhere'));
  });
});
