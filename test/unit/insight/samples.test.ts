import assert from 'node:assert/strict';
import { kubeletOf } from '../../../insight/metrics/scraper.ts';
import { parseReport, usageOf, type Reading } from '../../../insight/metrics/samples.ts';

const reading = (at: number, cpuSeconds: number, startedAt?: number): Reading => ({
  at,
  cpuSeconds,
  memoryBytes: 1,
  startedAt,
});
const usage = (last: Reading | undefined, before?: Reading) => {
  const u = usageOf(last, before);
  return u && [u.cpuNanos, u.windowMs];
};

describe('what kubelets report', () => {
  it('is read from the text form, with times and escapes', () => {
    const report = parseReport(
      [
        '# HELP node_cpu_usage_seconds_total x',
        'node_cpu_usage_seconds_total 12.5 5000',
        'node_memory_working_set_bytes 1e+09 5000',
        'container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 1.5 4000',
        'container_memory_working_set_bytes{container="c",namespace="ns",pod="p"} 10 4000',
        'container_start_time_seconds{container="c",namespace="ns",pod="p"} 1.5',
        'container_cpu_usage_seconds_total{container="half",namespace="ns",pod="p"} 1',
        'pod_cpu_usage_seconds_total{namespace="ns",pod="p"} 1.5 4000',
        'nonsense',
      ].join('\n'),
      9000,
    );
    assert.deepEqual(report.node, { at: 5000, cpuSeconds: 12.5, memoryBytes: 1e9, startedAt: undefined });
    assert.deepEqual([...report.pods.keys()], ['ns/p']);
    assert.deepEqual(
      [...report.pods.get('ns/p')!],
      [['c', { at: 4000, cpuSeconds: 1.5, memoryBytes: 10, startedAt: 1500 }]],
    );
  });

  it('becomes a rate between two readings', () => {
    assert.deepEqual(usage(reading(15_000, 3), reading(0, 0)), [200_000_000, 15_000]);
    assert.equal(usage(reading(15_000, 3)), undefined);
    assert.equal(usage(undefined, reading(0, 0)), undefined);
    assert.equal(usage(reading(15_000, 3), reading(15_000, 3)), undefined);
  });

  it('counts a container from its start when it was started after the last reading, or again', () => {
    assert.deepEqual(usage(reading(40_000, 2, 20_000), reading(15_000, 9, 1000)), [100_000_000, 20_000]);
    assert.deepEqual(usage(reading(40_000, 2, 20_000)), [100_000_000, 20_000]);
    assert.equal(usage(reading(25_000, 2, 20_000)), undefined, 'too young to tell');
  });

  it('is asked of the address that a node names', () => {
    const node = (addresses: { type: string; address: string }[], Port?: number) => ({
      status: { addresses, ...(Port ? { daemonEndpoints: { kubeletEndpoint: { Port } } } : {}) },
    });
    assert.equal(
      kubeletOf(
        node([
          { type: 'Hostname', address: 'n' },
          { type: 'InternalIP', address: '10.0.0.1' },
        ]),
      ),
      'https://10.0.0.1:10250',
    );
    assert.equal(kubeletOf(node([{ type: 'InternalIP', address: 'fd00::1' }], 10_260)), 'https://[fd00::1]:10260');
    assert.equal(kubeletOf(node([])), undefined);
  });
});
