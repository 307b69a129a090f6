import assert from 'node:assert/strict';
import type { Plugin } from '../../../scheduler/core/framework.ts';
import { imageLocality } from '../../../scheduler/plugins/image-locality.ts';
import { nodeAffinity } from '../../../scheduler/plugins/node-affinity.ts';
import { nodeDeclaredFeatures } from '../../../scheduler/plugins/node-declared-features.ts';
import { nodeName } from '../../../scheduler/plugins/node-name.ts';
import { nodePorts } from '../../../scheduler/plugins/node-ports.ts';
import { balancedAllocation } from '../../../scheduler/plugins/node-resources-balanced-allocation.ts';
import { nodeResourcesFit } from '../../../scheduler/plugins/node-resources-fit.ts';
import { nodeUnschedulable } from '../../../scheduler/plugins/node-unschedulable.ts';
import { taintToleration } from '../../../scheduler/plugins/taint-toleration.ts';
import { pod, scores, verdicts, world, type NodeShape, type PodShape } from './world.ts';

interface FilterCase {
  name: string;
  plugin: Plugin;
  pod: PodShape;
  node?: NodeShape;
  /** Pods that are on the node already. */
  on?: PodShape[];
  reason: string;
}

const port = (hostPort: number, hostIP?: string, protocol?: string): PodShape => ({
  container: { ports: [{ containerPort: 1, hostPort, hostIP, protocol }] },
});
const TAKEN = "node(s) didn't have free ports for the requested pod ports";
const UNTOLERATED = 'node(s) had untolerated taint(s)';
const MISMATCH = "node(s) didn't match Pod's node affinity/selector";
const taint = { key: 'k', value: '5', effect: 'NoSchedule' };
const affinity = (operator: string, values: string[], key = 'size'): PodShape => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
      },
    },
  },
});

const restartAll: PodShape = {
  container: { restartPolicyRules: [{ action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [1] } }] },
};

const CASES: FilterCase[] = [
  {
    name: 'without a feature that the pod needs',
    plugin: nodeDeclaredFeatures(),
    pod: restartAll,
    reason: "node(s) didn't match Pod's required features",
  },
  {
    name: 'with the feature that the pod needs',
    plugin: nodeDeclaredFeatures(),
    pod: restartAll,
    node: { declaredFeatures: ['RestartAllContainersOnContainerExits'] },
    reason: '',
  },
  {
    name: 'cordoned',
    plugin: nodeUnschedulable(),
    pod: {},
    node: { unschedulable: true },
    reason: 'node(s) were unschedulable',
  },
  {
    name: 'cordoned but tolerated',
    plugin: nodeUnschedulable(),
    pod: { tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }] },
    node: { unschedulable: true },
    reason: '',
  },
  {
    name: 'another name',
    plugin: nodeName(),
    pod: { nodeName: 'b' },
    reason: "node(s) didn't match the requested node name",
  },
  { name: 'its name', plugin: nodeName(), pod: { nodeName: 'a' }, reason: '' },

  { name: 'a taint', plugin: taintToleration(), pod: {}, node: { taints: [taint] }, reason: UNTOLERATED },
  {
    name: 'a soft taint',
    plugin: taintToleration(),
    pod: {},
    node: { taints: [{ ...taint, effect: 'PreferNoSchedule' }] },
    reason: '',
  },
  {
    name: 'a taint tolerated by value',
    plugin: taintToleration(),
    pod: { tolerations: [{ key: 'k', value: '5' }] },
    node: { taints: [taint] },
    reason: '',
  },
  {
    name: 'a taint of another value',
    plugin: taintToleration(),
    pod: { tolerations: [{ key: 'k', value: '6' }] },
    node: { taints: [taint] },
    reason: UNTOLERATED,
  },
  {
    name: 'a taint of another effect',
    plugin: taintToleration(),
    pod: { tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoExecute' }] },
    node: { taints: [taint] },
    reason: UNTOLERATED,
  },
  {
    name: 'any taint tolerated',
    plugin: taintToleration(),
    pod: { tolerations: [{ operator: 'Exists' }] },
    node: { taints: [taint] },
    reason: '',
  },
  {
    name: 'a taint that is great enough',
    plugin: taintToleration(),
    pod: { tolerations: [{ key: 'k', operator: 'Gt', value: '4' }] },
    node: { taints: [taint] },
    reason: '',
  },
  {
    name: 'a taint that is not small enough',
    plugin: taintToleration(),
    pod: { tolerations: [{ key: 'k', operator: 'Lt', value: '5' }] },
    node: { taints: [taint] },
    reason: UNTOLERATED,
  },

  { name: 'a selector that matches', plugin: nodeAffinity(), pod: { nodeSelector: { size: '3' } }, reason: '' },
  { name: 'a selector that does not', plugin: nodeAffinity(), pod: { nodeSelector: { size: '4' } }, reason: MISMATCH },
  { name: 'In', plugin: nodeAffinity(), pod: affinity('In', ['2', '3']), reason: '' },
  { name: 'NotIn without the label', plugin: nodeAffinity(), pod: affinity('NotIn', ['x'], 'none'), reason: '' },
  { name: 'Gt', plugin: nodeAffinity(), pod: affinity('Gt', ['2']), reason: '' },
  { name: 'Gt of the same', plugin: nodeAffinity(), pod: affinity('Gt', ['3']), reason: MISMATCH },
  { name: 'Lt of no number', plugin: nodeAffinity(), pod: affinity('Lt', ['x']), reason: MISMATCH },
  { name: 'Exists', plugin: nodeAffinity(), pod: affinity('Exists', []), reason: '' },
  { name: 'DoesNotExist', plugin: nodeAffinity(), pod: affinity('DoesNotExist', []), reason: MISMATCH },
  {
    name: 'what the profile adds',
    plugin: nodeAffinity({
      addedAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'none', operator: 'Exists' }] }],
        },
      },
    }),
    pod: {},
    reason: "node(s) didn't match scheduler-enforced node affinity",
  },

  { name: 'a port in use', plugin: nodePorts(), pod: port(80), on: [port(80)], reason: TAKEN },
  {
    name: 'a port of another protocol',
    plugin: nodePorts(),
    pod: port(80),
    on: [port(80, undefined, 'UDP')],
    reason: '',
  },
  {
    name: 'a port at another address',
    plugin: nodePorts(),
    pod: port(80, '1.2.3.4'),
    on: [port(80, '1.2.3.5')],
    reason: '',
  },
  {
    name: 'a port at all addresses',
    plugin: nodePorts(),
    pod: port(80, '1.2.3.4'),
    on: [port(80, '0.0.0.0')],
    reason: TAKEN,
  },
  { name: 'all addresses of a port', plugin: nodePorts(), pod: port(80), on: [port(80, '1.2.3.4')], reason: TAKEN },

  {
    name: 'just room enough',
    plugin: nodeResourcesFit(),
    pod: { requests: { cpu: '3' } },
    on: [{ requests: { cpu: '1' } }],
    reason: '',
  },
  {
    name: 'too little of several things',
    plugin: nodeResourcesFit(),
    pod: { requests: { cpu: '4', memory: '9Gi' } },
    on: [{ requests: { cpu: '1' } }],
    reason: 'Insufficient cpu, Insufficient memory',
  },
  {
    name: 'nothing asked for on a full node',
    plugin: nodeResourcesFit(),
    pod: {},
    on: [{ requests: { cpu: '4' } }],
    reason: '',
  },
  {
    name: 'too many pods',
    plugin: nodeResourcesFit(),
    pod: {},
    node: { allocatable: { pods: '1' } },
    on: [{}],
    reason: 'Too many pods',
  },
  {
    name: 'an extended resource that is used up',
    plugin: nodeResourcesFit(),
    pod: { requests: { 'x.com/gpu': '1' } },
    node: { allocatable: { 'x.com/gpu': '1' } },
    on: [{ requests: { 'x.com/gpu': '1' } }],
    reason: 'Insufficient x.com/gpu',
  },
  {
    name: 'an extended resource that is ignored',
    plugin: nodeResourcesFit({ ignoredResourceGroups: ['x.com'] }),
    pod: { requests: { 'x.com/gpu': '1' } },
    reason: '',
  },
  {
    name: 'too little local storage',
    plugin: nodeResourcesFit(),
    pod: { requests: { 'ephemeral-storage': '1Gi' } },
    reason: 'Insufficient ephemeral-storage',
  },
];

describe('plugins that look at one node', () => {
  for (const t of CASES) {
    it(`${t.plugin.name}: ${t.name}`, () => {
      const cache = world({ a: { labels: { size: '3' }, ...t.node } }, { a: (t.on ?? []).map(pod) });
      assert.deepEqual(verdicts(t.plugin, pod(t.pod), cache), { a: t.reason });
    });
  }

  it('knows what removing other pods could never mend', () => {
    const cache = world({ a: {} }, { a: [pod({ requests: { cpu: '2' } })] });
    const code = (cpu: string) => {
      const p = pod({ requests: { cpu } });
      return nodeResourcesFit().preFilter!(p, { pod: p, snapshot: cache, data: new Map() })!.filter!.filter(
        cache.nodes[0]!,
      )!.code;
    };
    assert.equal(code('3'), 'Unschedulable');
    assert.equal(code('5'), 'UnschedulableAndUnresolvable');
  });

  it('looks only at the nodes that an affinity names', () => {
    const field = (values: string[]) => ({ matchFields: [{ key: 'metadata.name', operator: 'In', values }] });
    const p = pod({
      affinity: {
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [field(['b'])] } },
      },
    });
    assert.deepEqual(verdicts(nodeAffinity(), p, world({ a: {}, b: {} })), { a: 'not looked at', b: '' });
  });

  it('scores by room left, by fullness, by a shape', () => {
    const cache = world({ a: {}, b: {} }, { a: [pod({ requests: { cpu: '2', memory: '4Gi' } })] });
    const p = pod({ requests: { cpu: '1', memory: '2Gi' } });
    assert.deepEqual(scores(nodeResourcesFit(), p, cache), { a: 25, b: 75 });
    assert.deepEqual(scores(nodeResourcesFit({ scoringStrategy: { type: 'MostAllocated' } }), p, cache), {
      a: 75,
      b: 25,
    });
    const shape = [
      { utilization: 0, score: 0 },
      { utilization: 50, score: 10 },
      { utilization: 100, score: 0 },
    ];
    const ratio = nodeResourcesFit({
      scoringStrategy: { type: 'RequestedToCapacityRatio', requestedToCapacityRatio: { shape } },
    });
    assert.deepEqual(scores(ratio, p, cache), { a: 50, b: 50 });
    const weighted = nodeResourcesFit({
      scoringStrategy: {
        resources: [
          { name: 'cpu', weight: 3 },
          { name: 'memory', weight: 1 },
        ],
      },
    });
    assert.deepEqual(scores(weighted, pod({ requests: { cpu: '2', memory: '8Gi' } }), cache), { a: 0, b: 37 });
  });

  it('prefers nodes that a pod brings into balance', () => {
    const cache = world({ a: {}, b: {} }, { a: [pod({ requests: { memory: '4Gi' } })] });
    const s = scores(balancedAllocation(), pod({ requests: { cpu: '2' } }), cache)!;
    assert.deepEqual(s, { a: 87, b: 62 });
    assert.equal(scores(balancedAllocation(), pod(), cache), undefined);
  });

  it('prefers nodes with the image, the more the larger and the wider spread it is', () => {
    const images = [{ names: ['registry.example.com/app:latest'], sizeBytes: 600 * 2 ** 20 }];
    const cache = world({ a: { images }, b: {} });
    const p = pod({ container: { image: 'registry.example.com/app' } });
    assert.deepEqual(scores(imageLocality(), p, cache), { a: 28, b: 0 });
    assert.equal(scores(imageLocality(), pod(), cache), undefined);
  });

  it('prefers nodes with fewer soft taints and with the wanted labels', () => {
    const soft = { key: 'k', effect: 'PreferNoSchedule' };
    const cache = world({ a: { taints: [soft] }, b: { labels: { disk: 'ssd' } } });
    assert.deepEqual(scores(taintToleration(), pod(), cache), { a: 0, b: 100 });
    const preference = { matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] };
    const p = pod({
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 5, preference }] } },
    });
    assert.deepEqual(scores(nodeAffinity(), p, cache), { a: 0, b: 100 });
  });
});
