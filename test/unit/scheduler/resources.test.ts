import assert from 'node:assert/strict';
import type { Container } from '../../../api/types.ts';
import { amountOf, DEFAULT_MEMORY, DEFAULT_MILLI_CPU } from '../../../scheduler/core/resources.ts';
import { pod, type PodShape } from './world.ts';

const c = (name: string, cpu: string | undefined, more: Partial<Container> = {}): Container => ({
  name,
  image: 'i',
  resources: { requests: cpu === undefined ? {} : { cpu, memory: '1Mi' } },
  ...more,
});

describe('what a pod asks for', () => {
  it('reads quantities as plain numbers, rounded up', () => {
    assert.equal(amountOf('cpu', '1'), 1000);
    assert.equal(amountOf('cpu', '0.1'), 100);
    assert.equal(amountOf('cpu', '1u'), 1);
    assert.equal(amountOf('memory', '1Gi'), 2 ** 30);
    assert.equal(amountOf('memory', '1500m'), 2);
    assert.equal(amountOf('example.com/x', '2'), 2);
  });

  const cases: { name: string; shape: PodShape; milliCPU: number; nonZero?: number }[] = [
    { name: 'sums containers', shape: { containers: [c('a', '1'), c('b', '500m')] }, milliCPU: 1500 },
    {
      name: 'takes the largest init container when it is larger',
      shape: { containers: [c('a', '1')], initContainers: [c('i', '3'), c('j', '2')] },
      milliCPU: 3000,
    },
    {
      name: 'adds sidecars to the containers and to the init containers after them',
      shape: {
        containers: [c('a', '1')],
        initContainers: [
          c('s', '1', { restartPolicy: 'Always' }),
          c('i', '2'),
          c('t', '1', { restartPolicy: 'Always' }),
        ],
      },
      milliCPU: 3000,
    },
    {
      name: 'lets pod-level requests stand for all containers',
      shape: { containers: [c('a', '1'), c('b', undefined)], resources: { requests: { cpu: '5' } } },
      milliCPU: 5000,
    },
    { name: 'adds the overhead', shape: { containers: [c('a', '1')], overhead: { cpu: '250m' } }, milliCPU: 1250 },
    {
      name: 'gives containers without requests a default for scoring only',
      shape: { containers: [c('a', undefined), c('b', '1')] },
      milliCPU: 1000,
      nonZero: 1000 + DEFAULT_MILLI_CPU,
    },
  ];
  for (const t of cases) {
    it(t.name, () => {
      const info = pod(t.shape);
      assert.equal(info.requests.milliCPU, t.milliCPU);
      assert.equal(info.nonZeroMilliCPU, t.nonZero ?? t.milliCPU);
    });
  }

  it('counts memory by default where no request is made', () => {
    assert.equal(pod().nonZeroMemory, DEFAULT_MEMORY);
    assert.equal(pod().requests.memory, 0);
  });

  it('keeps what the kubelet has granted while a resize is under way', () => {
    const shape: PodShape = { nodeName: 'a', containers: [c('a', '1')] };
    const status = {
      containerStatuses: [{ name: 'a', allocatedResources: { cpu: '2' } }],
    } as unknown as PodShape['status'];
    assert.equal(pod({ ...shape, status }).requests.milliCPU, 2000);
    const larger: PodShape = { nodeName: 'a', containers: [c('a', '4')] };
    assert.equal(pod({ ...larger, status }).requests.milliCPU, 4000);
    const whole: PodShape = { nodeName: 'a', containers: [c('a', undefined)], resources: { requests: { cpu: '4' } } };
    const said = { allocatedResources: { cpu: '3' }, resources: { requests: { cpu: '5' } } } as PodShape['status'];
    assert.equal(pod({ ...whole, status: said }).requests.milliCPU, 5000, 'what is in force counts until it shrinks');
    const conditions = [{ type: 'PodResizePending', status: 'True', reason: 'Infeasible' }];
    const never: PodShape = { ...whole, resources: { requests: { cpu: '9' } } };
    assert.equal(pod({ ...never, status: { ...said, conditions } }).requests.milliCPU, 5000);
    assert.equal(pod({ ...larger, status: { ...status, conditions } }).requests.milliCPU, 2000);
  });
});
