import assert from 'node:assert/strict';
import type { Job, Pod } from '../../../api/types.ts';
import { formatInZone } from '../../../controllers/cronjob/controller.ts';
import { isTimeZone, mostRecent, parseSchedule } from '../../../controllers/cronjob/schedule.ts';
import { IndexSet } from '../../../controllers/job/indexes.ts';
import { pendingIndexes, podsToRemove, wantedActive } from '../../../controllers/job/manage.ts';
import {
  backoffLeft,
  failsIndex,
  failureVerdict,
  finishedAt,
  indexAnnotations,
  successMessage,
} from '../../../controllers/job/policies.ts';
import { verdict } from '../../../controllers/job/verdict.ts';
import { expiresAt } from '../../../controllers/ttlafterfinished/controller.ts';

describe('job: sets of indexes', () => {
  it('reads and writes the status form', () => {
    for (const text of ['', '0', '0,1', '0-2', '1,3-5,7', '0,2,4']) assert.equal(IndexSet.parse(text).toString(), text);
    assert.equal(IndexSet.of([5, 3, 4, 0]).toString(), '0,3-5');
    assert.equal(IndexSet.parse('0-9', 4).toString(), '0-3');
    assert.equal(IndexSet.parse('x,2').toString(), '2');
  });

  it('adds, counts and finds', () => {
    const s = IndexSet.parse('1,3-5').with([2, 9]);
    assert.equal(s.toString(), '1-5,9');
    assert.equal(s.total, 6);
    assert.deepEqual(
      [0, 1, 5, 6, 9].map((i) => s.has(i)),
      [false, true, true, false, true],
    );
    assert.equal(s.overlap(IndexSet.parse('4-9')), 3);
    assert.equal(s.without(IndexSet.parse('2-4')).toString(), '1,5,9');
  });
});

const job = (spec: Partial<NonNullable<Job['spec']>>, status: Job['status'] = {}): Job => ({
  metadata: { name: 'j', namespace: 'ns', uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' },
  spec: { template: { spec: { containers: [], restartPolicy: 'Never' } }, ...spec },
  status,
});
const pod = (name: string, more: Partial<Pod> & { index?: number } = {}): Pod => {
  const { index, ...rest } = more;
  return {
    metadata: {
      name,
      namespace: 'ns',
      uid: name,
      creationTimestamp: '2026-01-01T00:00:00Z',
      annotations: index === undefined ? {} : { 'batch.kubernetes.io/job-completion-index': String(index) },
    },
    ...rest,
  };
};
const exited = (name: string, code: number, index?: number): Pod =>
  pod(name, {
    index,
    status: {
      phase: 'Failed',
      containerStatuses: [
        { name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: code } } },
      ],
    },
  });

describe('job: policies', () => {
  const policy = (action: string) =>
    job({
      podFailurePolicy: {
        rules: [
          { action, onExitCodes: { operator: 'In', values: [42] } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
    });

  it('matches exit codes in the order of the rules', () => {
    const v = failureVerdict(policy('FailJob'), exited('p', 42));
    assert.equal(v.jobMessage, 'Container c for pod ns/p failed with exit code 42 matching FailJob rule at index 0');
    assert.equal(failureVerdict(policy('FailJob'), exited('p', 1)).jobMessage, undefined);
    assert.deepEqual(failureVerdict(policy('Ignore'), exited('p', 42)), { action: 'Ignore', counts: false });
  });

  it('ignores disruptions', () => {
    const p = exited('p', 1);
    p.status!.conditions = [{ type: 'DisruptionTarget', status: 'True' }];
    assert.equal(failureVerdict(policy('FailJob'), p).counts, false);
  });

  it('fails an index when its own limit is reached', () => {
    const j = job({ backoffLimitPerIndex: 1, completions: 2, completionMode: 'Indexed' });
    const first = exited('p', 1, 0);
    first.metadata!.annotations = { ...first.metadata!.annotations, ...indexAnnotations(j, undefined) };
    assert.equal(failsIndex(j, first), false);
    const second = exited('q', 1, 0);
    second.metadata!.annotations = { ...second.metadata!.annotations, ...indexAnnotations(j, first) };
    assert.equal(failsIndex(j, second), true);
  });

  it('succeeds early by the success policy', () => {
    const j = job({ completions: 5, successPolicy: { rules: [{ succeededIndexes: '0,2' }, { succeededCount: 3 }] } });
    assert.equal(successMessage(j, IndexSet.parse('0,2')), 'Matched rules at index 0');
    assert.equal(successMessage(j, IndexSet.parse('1,3,4')), 'Matched rules at index 1');
    assert.equal(successMessage(j, IndexSet.parse('0,1')), undefined);
  });

  it('doubles the back-off up to ten minutes', () => {
    assert.equal(backoffLeft(0, 0, 0), 0);
    assert.equal(backoffLeft(1, 1000, 1000), 10_000);
    assert.equal(backoffLeft(3, 0, 15_000), 25_000);
    assert.equal(backoffLeft(30, 0, 0), 600_000);
  });

  it('counts the back-off from the end of the last container, sidecars included', () => {
    const ended = (name: string, minute: number) => ({
      name,
      state: { terminated: { exitCode: 1, finishedAt: `2030-01-01T00:0${minute}:00Z` } },
    });
    const spec = { containers: [], initContainers: [{ name: 'first' }, { name: 'side', restartPolicy: 'Always' }] };
    const pod = (side: object) =>
      ({
        metadata: { creationTimestamp: '2029-12-31T00:00:00Z' },
        spec,
        status: { containerStatuses: [ended('c', 3)], initContainerStatuses: [ended('first', 9), side] },
      }) as unknown as Pod;
    assert.equal(finishedAt(pod(ended('side', 5))), Date.parse('2030-01-01T00:05:00Z'));
    assert.equal(finishedAt(pod({ name: 'side', state: { running: {} } })), Date.parse('2029-12-31T00:00:00Z'));
  });
});

describe('job: plans', () => {
  const none = { failed: 0, succeededIndexes: IndexSet.empty, failedIndexes: IndexSet.empty };

  it('wants as many pods as are left to do', () => {
    assert.equal(wantedActive(job({ parallelism: 3, completions: 5 }), 4, 1), 1);
    assert.equal(wantedActive(job({ parallelism: 3, completions: 5 }), 0, 0), 3);
    assert.equal(wantedActive(job({ parallelism: 2 }), 1, 2), 2);
    assert.equal(wantedActive(job({ parallelism: 2 }), 0, 0), 2);
  });

  it('begins with the lowest free indexes', () => {
    const j = job({ completions: 6, completionMode: 'Indexed' });
    const t = {
      job: j,
      active: [pod('a', { index: 1 })],
      pods: [],
      succeededIndexes: IndexSet.parse('0'),
      failedIndexes: IndexSet.parse('2'),
    };
    assert.deepEqual(pendingIndexes(t, 2), [3, 4]);
  });

  it('gives up doubles of an index', () => {
    const j = job({ completions: 2, completionMode: 'Indexed' });
    const got = podsToRemove(j, [pod('a', { index: 0 }), pod('b', { index: 0 }), pod('c', { index: 1 })], 0, 0);
    assert.equal(got.length, 1);
    assert.match(got[0]!.metadata!.name!, /^[ab]$/);
  });

  it('ends at the back-off limit and at the deadline', () => {
    assert.equal(
      verdict(job({ backoffLimit: 1 }), [], { ...none, failed: 2 }, undefined, 0)?.reason,
      'BackoffLimitExceeded',
    );
    assert.equal(verdict(job({ backoffLimit: 2 }), [], { ...none, failed: 2 }, undefined, 0), undefined);
    const late = Date.parse('2026-01-01T00:01:00Z');
    assert.equal(
      verdict(job({ activeDeadlineSeconds: 30 }), [], none, '2026-01-01T00:00:00Z', late)?.reason,
      'DeadlineExceeded',
    );
    assert.equal(
      verdict(job({ activeDeadlineSeconds: 30, suspend: true }), [], none, '2026-01-01T00:00:00Z', late),
      undefined,
    );
  });

  it('expires after its TTL', () => {
    const done = { conditions: [{ type: 'Complete', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }] };
    assert.equal(expiresAt(job({ ttlSecondsAfterFinished: 5 }, done)), Date.parse('2026-01-01T00:00:05Z'));
    assert.equal(expiresAt(job({ ttlSecondsAfterFinished: 5 })), undefined);
    assert.equal(expiresAt(job({}, done)), undefined);
  });
});

describe('cronjob: schedules', () => {
  const next = (text: string, after: string, zone?: string) => {
    const t = parseSchedule(text, zone).next(Date.parse(after));
    return t === undefined ? undefined : new Date(t).toISOString().replace('.000Z', 'Z');
  };

  it("fires at the fields' times", () => {
    assert.equal(next('*/15 * * * *', '2026-01-01T00:01:00Z'), '2026-01-01T00:15:00Z');
    assert.equal(next('0 0 * * *', '2026-01-31T23:59:00Z'), '2026-02-01T00:00:00Z');
    assert.equal(next('30 9 * * MON-FRI', '2026-01-02T10:00:00Z'), '2026-01-05T09:30:00Z');
    assert.equal(next('0 0 29 2 *', '2026-03-01T00:00:00Z'), '2028-02-29T00:00:00Z');
    assert.equal(next('0 0 30 2 *', '2026-03-01T00:00:00Z'), undefined);
    assert.equal(next('@hourly', '2026-01-01T00:00:00Z'), '2026-01-01T01:00:00Z');
    assert.equal(next('@every 90s', '2026-01-01T00:00:00Z'), '2026-01-01T00:01:30Z');
  });

  it('takes either day field when both are given', () => {
    assert.equal(next('0 0 13 * FRI', '2026-01-01T00:00:00Z'), '2026-01-02T00:00:00Z');
    assert.equal(next('0 0 13 * FRI', '2026-01-10T00:00:00Z'), '2026-01-13T00:00:00Z');
  });

  it('follows a time zone through its changes', () => {
    assert.equal(next('0 9 * * *', '2026-06-01T00:00:00Z', 'America/New_York'), '2026-06-01T13:00:00Z');
    assert.equal(next('0 9 * * *', '2026-12-01T00:00:00Z', 'America/New_York'), '2026-12-01T14:00:00Z');
    assert.equal(
      next('30 2 * * *', '2026-03-08T05:00:00Z', 'America/New_York'),
      '2026-03-09T06:30:00Z',
      'an hour that is skipped',
    );
    assert.equal(
      next('0 0 * * *', '2026-11-01T05:00:00Z', 'America/New_York'),
      '2026-11-02T05:00:00Z',
      'a day of 25 hours',
    );
    assert.equal(next('TZ=Asia/Kolkata 0 0 * * *', '2026-01-01T00:00:00Z'), '2026-01-01T18:30:00Z');
  });

  it('says what is wrong with a schedule', () => {
    for (const bad of [
      '',
      '* * * *',
      '60 * * * *',
      '* * * * 8',
      '5-1 * * * *',
      '*/0 * * * *',
      '@sometimes',
      'a * * * *',
    ])
      assert.throws(() => parseSchedule(bad), bad);
    assert.equal(isTimeZone('Mars/Olympus'), false);
    assert.equal(isTimeZone('Europe/Vienna'), true);
  });

  it('finds the latest time that was missed', () => {
    const s = parseSchedule('*/10 * * * *');
    const at = (t: string) => Date.parse(`2026-01-01T${t}:00Z`);
    assert.equal(mostRecent(s, at('00:00'), at('00:05')).due, undefined);
    assert.equal(mostRecent(s, at('00:00'), at('00:12')).due, at('00:10'));
    assert.deepEqual(mostRecent(s, at('00:00'), at('00:55')), {
      due: at('00:50'),
      tooMany: false,
      earliest: at('00:00'),
    });
    assert.equal(mostRecent(s, at('00:00'), at('20:01')).tooMany, true);
    assert.equal(mostRecent(s, at('00:00'), at('20:01')).due, at('20:00'));
  });

  it("writes times with the zone's offset", () => {
    assert.equal(formatInZone(Date.parse('2026-01-01T00:00:00Z'), 'Asia/Kolkata'), '2026-01-01T05:30:00+05:30');
    assert.equal(formatInZone(Date.parse('2026-01-01T00:00:00Z'), 'America/New_York'), '2025-12-31T19:00:00-05:00');
    assert.equal(formatInZone(Date.parse('2026-01-01T00:00:00Z'), undefined), '2026-01-01T00:00:00Z');
  });
});
