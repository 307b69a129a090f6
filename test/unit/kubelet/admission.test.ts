import assert from 'node:assert/strict';
import type { Node } from '../../../api/types.ts';
import { admit, matchesNode } from '../../../kubelet/pods/admission.ts';
import { cpuShares, oomScoreAdjust, podAmounts, qosClass } from '../../../kubelet/pods/resources.ts';
import { podLimits } from '../../../kubelet/cgroups/manager.ts';
import { formatBytes, formatMilli, milliCpu, parseQuantity } from '../../../kubelet/quantity.ts';
import { pod } from './pods.ts';

const node: Node = {
  metadata: { name: 'n', labels: { zone: 'a', size: '3' } },
  status: { allocatable: { cpu: '2', memory: '1Gi', pods: '3' } },
};
const asks = (requests: Record<string, string>, limits?: Record<string, string>) =>
  pod({ containers: [{ name: 'c', image: 'x', resources: { requests, ...(limits ? { limits } : {}) } }] });
const options = { allowedUnsafeSysctls: ['kernel.msg*'], isStatic: false };

describe('kubelet admission', () => {
  it('takes what fits and refuses what does not', () => {
    assert.equal(admit(asks({ cpu: '1' }), [asks({ cpu: '1' })], node, options), undefined);
    assert.deepEqual(admit(asks({ cpu: '1500m' }), [asks({ cpu: '1' })], node, options), {
      reason: 'OutOfcpu',
      message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    });
    assert.equal(admit(asks({ memory: '2Gi' }), [], node, options)!.reason, 'OutOfmemory');
    const strict = pod({ securityContext: { supplementalGroupsPolicy: 'Strict' } });
    assert.equal(admit(strict, [], node, options)!.reason, 'SupplementalGroupsPolicyNotSupported');
    const able = { ...node, status: { ...node.status, features: { supplementalGroupsPolicy: true } } };
    assert.equal(admit(strict, [], able, options), undefined);
    assert.equal(admit(pod(), [pod(), pod(), pod()], node, options)!.reason, 'OutOfpods');
  });

  it('refuses another node, taken host ports and forbidden sysctls', () => {
    assert.equal(admit(pod({ nodeSelector: { zone: 'b' } }), [], node, options)!.reason, 'NodeAffinity');
    const ports = (hostPort: number) =>
      pod({ containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 80, hostPort }] }] });
    assert.equal(admit(ports(80), [ports(80)], node, options)!.reason, 'NodePorts');
    assert.equal(admit(ports(81), [ports(80)], node, options), undefined);
    const sysctl = (name: string) => pod({ securityContext: { sysctls: [{ name, value: '1' }] } });
    assert.equal(admit(sysctl('net.core.somaxconn'), [], node, options)!.reason, 'SysctlForbidden');
    assert.equal(admit(sysctl('kernel.msgmax'), [], node, options), undefined);
    assert.equal(admit(sysctl('net.ipv4.ip_unprivileged_port_start'), [], node, options), undefined);
  });

  it('matches required node affinity', () => {
    const affinity = (operator: string, key: string, values?: string[]) =>
      pod({
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
            },
          },
        },
      });
    assert.equal(matchesNode(affinity('In', 'zone', ['a', 'b']), node), true);
    assert.equal(matchesNode(affinity('NotIn', 'zone', ['a']), node), false);
    assert.equal(matchesNode(affinity('Gt', 'size', ['2']), node), true);
    assert.equal(matchesNode(affinity('DoesNotExist', 'other'), node), true);
  });

  it('adds up containers, init containers and sidecars', () => {
    const p = pod({
      initContainers: [
        { name: 's', image: 'x', restartPolicy: 'Always', resources: { requests: { cpu: '100m' } } },
        { name: 'i', image: 'x', resources: { requests: { cpu: '1' } } },
      ],
      containers: [{ name: 'c', image: 'x', resources: { requests: { cpu: '200m' } } }],
      overhead: { cpu: '10m' },
    });
    assert.equal(podAmounts(p, 'requests')['cpu'], 1110);
  });

  it('classes and cgroup numbers follow requests and limits', () => {
    const guaranteed = asks({ cpu: '1', memory: '64Mi' }, { cpu: '1', memory: '64Mi' });
    assert.equal(qosClass(guaranteed), 'Guaranteed');
    assert.equal(qosClass(asks({ cpu: '1' })), 'Burstable');
    assert.equal(qosClass(pod()), 'BestEffort');
    assert.deepEqual(podLimits(guaranteed, 100_000, true, -1), {
      cpuShares: 1024,
      cpuPeriod: 100_000,
      cpuQuota: 100_000,
      memory: 64 << 20,
    });
    assert.equal(cpuShares(0), 2);
    assert.equal(oomScoreAdjust(pod(), pod().spec!.containers[0]!, 1 << 30), 1000);
    assert.equal(
      oomScoreAdjust(asks({ memory: '512Mi' }), asks({ memory: '512Mi' }).spec!.containers[0]!, 1 << 30),
      500,
    );
  });

  it('reads and writes quantities', () => {
    assert.deepEqual(['1.5Gi', '100m', '2e3', '.5', 'x'].map(parseQuantity), [1.5 * 2 ** 30, 0.1, 2000, 0.5, NaN]);
    assert.equal(milliCpu('0.1001'), 101);
    assert.deepEqual(
      [formatMilli(1500), formatMilli(2000), formatBytes(1536 * 1024), formatBytes(1000)],
      ['1500m', '2', '1536Ki', '1k'],
    );
  });
});
