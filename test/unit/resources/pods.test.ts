import assert from 'node:assert/strict';
import type { Pod } from '../../../api/types.ts';
import { evictPod } from '../../../apiserver/resources/pods/index.ts';
import { summarize } from '../../../apiserver/resources/pods/table.ts';
import { create, kind, NOW, update, type Any } from './harness.ts';

const pods = kind('pods');
const container = (more: object = {}) => ({ name: 'c', image: 'nginx', ...more });
const pod = (spec: object = {}, metadata: object = {}) =>
  create(pods, { metadata, spec: { containers: [container()], ...spec } });

describe('pods', () => {
  it('get the defaults of Kubernetes', () => {
    const { object, errors } = pod();
    // of pods alone: a template keeps what it says
    assert.equal(pod({ terminationGracePeriodSeconds: -5 }).object['spec'].terminationGracePeriodSeconds, 1);
    assert.deepEqual(errors, []);
    const { spec, status } = object;
    assert.equal(spec.restartPolicy, 'Always');
    assert.equal(spec.dnsPolicy, 'ClusterFirst');
    assert.equal(spec.terminationGracePeriodSeconds, 30);
    assert.equal(spec.enableServiceLinks, true);
    assert.deepEqual(spec.securityContext, {});
    assert.equal(spec.containers[0].imagePullPolicy, 'Always');
    assert.deepEqual([status.phase, status.qosClass], ['Pending', 'BestEffort']);
  });

  it('pull an image with a tag only when it is missing', () => {
    const policy = (image: string) =>
      pod({ containers: [container({ image })] }).object['spec'].containers[0].imagePullPolicy as string;
    assert.equal(policy('nginx:1.29'), 'IfNotPresent');
    assert.equal(policy('nginx:latest'), 'Always');
    assert.equal(policy('localhost:5000/nginx'), 'Always');
    assert.equal(policy('nginx@sha256:' + 'a'.repeat(64)), 'IfNotPresent');
  });

  it('request what they are limited to', () => {
    const { object } = pod({
      containers: [container({ resources: { limits: { cpu: '1', memory: '64Mi' }, requests: { cpu: '500m' } } })],
    });
    assert.deepEqual(object['spec'].containers[0].resources.requests, { cpu: '500m', memory: '64Mi' });
    assert.equal(object['status'].qosClass, 'Burstable');
  });

  const wrong: [name: string, spec: object, errors: string[]][] = [
    ['need containers', { containers: [] }, ['Required spec.containers']],
    ['need names that are labels', { containers: [container({ name: 'A' })] }, ['Invalid spec.containers[0].name']],
    ['name containers once', { containers: [container(), container()] }, ['Duplicate spec.containers[1].name']],
    ['know their restart policies', { restartPolicy: 'Sometimes' }, ['NotSupported spec.restartPolicy']],
    [
      'mount volumes that are there',
      { containers: [container({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })] },
      ['NotFound spec.containers[0].volumeMounts[0].name'],
    ],
    [
      'have one source for a volume',
      { volumes: [{ name: 'v', emptyDir: {}, hostPath: { path: '/' } }] },
      ['Forbidden spec.volumes[0].hostPath'],
    ],
    [
      'request no more than the limit',
      { containers: [container({ resources: { requests: { cpu: '2' }, limits: { cpu: '1' } } })] },
      ['Invalid spec.containers[0].resources.requests'],
    ],
    [
      'probe in one way',
      { containers: [container({ livenessProbe: {} })] },
      ['Required spec.containers[0].livenessProbe'],
    ],
    [
      'bind a host port once',
      {
        containers: [
          container({
            ports: [
              { containerPort: 1, hostPort: 8 },
              { containerPort: 2, hostPort: 8 },
            ],
          }),
        ],
      },
      ['Duplicate spec.containers[0].ports[1].hostPort'],
    ],
  ];
  for (const [name, spec, errors] of wrong) it(`must ${name}`, () => assert.deepEqual(pod(spec).errors, errors));

  it('change their images and deadlines, and little else', () => {
    const { object } = pod();
    assert.deepEqual(update(pods, object, (o) => (o['spec'].containers[0].image = 'nginx:2')).errors, []);
    assert.deepEqual(update(pods, object, (o) => (o['spec'].containers[0].command = ['x'])).errors, ['Forbidden spec']);
    assert.deepEqual(update(pods, object, (o) => (o['spec'].activeDeadlineSeconds = 5)).errors, []);
  });

  it('keep their status when the spec is written, and their spec when the status is', () => {
    const { object } = pod();
    const spec = update(pods, object, (o) => (o['status'] = { phase: 'Running' }));
    assert.equal(spec.object['status'].phase, 'Pending');
    const status = update(
      pods,
      object,
      (o) => {
        o['status'] = { ...o['status'], phase: 'Running' };
        o['spec'].nodeName = 'elsewhere';
      },
      'status',
    );
    assert.deepEqual([status.object['status'].phase, status.object['spec'].nodeName], ['Running', undefined]);
  });

  it('warn of what does not work as it looks', () => {
    const { warnings } = pod({
      containers: [
        container({
          env: [
            { name: 'A', value: '1' },
            { name: 'A', value: '2' },
          ],
        }),
      ],
      volumes: [
        {
          name: 'v',
          configMap: {
            name: 'm',
            items: [
              { key: 'a', path: 'p' },
              { key: 'b', path: 'p/q' },
            ],
          },
        },
      ],
      nodeSelector: { 'beta.kubernetes.io/os': 'linux' },
    });
    assert.equal(warnings.length, 3);
    assert.match(warnings.join('\n'), /hides previous definition of "A"/);
    assert.match(warnings.join('\n'), /overlapping paths: "p\/q" with "p"/);
  });

  describe('in a table', () => {
    const state = (status: Any, more: Any = {}) => {
      const { object } = pod(more['spec'] as object | undefined);
      const p = {
        ...object,
        ...more,
        spec: object['spec'],
        metadata: { ...object['metadata'], ...more['metadata'] },
        status,
      } as unknown as Pod;
      return summarize(p);
    };
    const waiting = (reason: string) => ({ name: 'c', ready: false, restartCount: 3, state: { waiting: { reason } } });
    it('show why a container waits', () =>
      assert.equal(
        state({ phase: 'Running', containerStatuses: [waiting('CrashLoopBackOff')] }).reason,
        'CrashLoopBackOff',
      ));
    it('show how far initialisation is', () => {
      const init = [{ name: 'i', ready: false, restartCount: 0, state: { running: {} } }];
      const spec = { initContainers: [{ name: 'i', image: 'i' }] };
      assert.equal(
        state(
          { phase: 'Pending', initContainerStatuses: init, containerStatuses: [waiting('PodInitializing')] },
          { spec },
        ).reason,
        'Init:0/1',
      );
    });
    it('show that they end', () =>
      assert.equal(
        state({ phase: 'Running' }, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }).reason,
        'Terminating',
      ));
    it('show that they are done', () => {
      const done = {
        name: 'c',
        ready: false,
        restartCount: 0,
        state: { terminated: { exitCode: 0, reason: 'Completed' } },
      };
      assert.equal(state({ phase: 'Succeeded', containerStatuses: [done] }).reason, 'Completed');
    });
  });
});

describe('evictions', () => {
  const running = (): Pod => ({
    ...(pod({}, { labels: { app: 'a' } }).object as Pod),
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  });
  const budget = (disruptionsAllowed: number): Any => ({
    metadata: { name: 'b', generation: 1 },
    spec: { selector: { matchLabels: { app: 'a' } } },
    status: { observedGeneration: 1, disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
  });
  const evict = async (b: Any | undefined) => {
    const deleted: string[] = [];
    let stored = b;
    const answer = evictPod(
      { metadata: { name: 'x' } },
      { namespace: 'default', name: 'x', dryRun: false },
      {
        clock: { now: () => NOW } as never,
        getPod: async () => running(),
        update: (async (_ns: string, _name: string, change: (p: Pod) => Pod) => change(running())) as never,
        deletePod: async (_ns, name) => deleted.push(name),
        listBudgets: async () => (stored ? [stored as never] : []),
        updateBudgetStatus: async (_ns, _name, change) => (stored = change(stored as never) as Any),
      },
    );
    return {
      answer: await answer.then(
        () => 'done',
        (e: Error) => e.message,
      ),
      deleted,
      stored,
    };
  };

  it('delete a pod without a budget', async () => assert.deepEqual((await evict(undefined)).deleted, ['x']));
  it('take a disruption from the budget', async () => {
    const { deleted, stored } = await evict(budget(1));
    assert.deepEqual(deleted, ['x']);
    assert.equal(stored!['status'].disruptionsAllowed, 0);
    assert.deepEqual(Object.keys(stored!['status'].disruptedPods), ['x']);
    assert.equal(stored!['status'].conditions[0].reason, 'InsufficientPods');
  });
  it('are refused when the budget is used up', async () => {
    const { answer, deleted } = await evict(budget(0));
    assert.match(answer, /disruption budget/);
    assert.deepEqual(deleted, []);
  });
});
