import assert from 'node:assert/strict';
import { parseConfig } from '../../../scheduler/config.ts';

const read = (body: string) =>
  parseConfig(`apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n${body}`);
const args = (plugin: string, text: string) => `profiles: [{pluginConfig: [{name: ${plugin}, args: {${text}}}]}]`;
const AT = 'profiles[0].pluginConfig[0].args';

const REFUSED: Record<string, string> = {
  'podMaxBackoff: 1': 'strict decoding error: unknown field "podMaxBackoff"',
  'profiles: [{plugin: {}}]': 'strict decoding error: unknown field "profiles[0].plugin"',
  [args('DefaultPreemption', 'minNodes: 1')]: `strict decoding error: unknown field "${AT}.minNodes"`,
  [args('DefaultPreemption', 'kind: NodeAffinityArgs')]:
    `${AT}: args for plugin DefaultPreemption were not of type DefaultPreemptionArgs, got "NodeAffinityArgs"`,
  'percentageOfNodesToScore: ten': 'percentageOfNodesToScore: must be an int',
  'leaderElection: {leaseDuration: long}': 'leaderElection.leaseDuration: must be a duration',
  'profiles: {}': 'profiles: must be a list',
  'parallelism: 0': 'parallelism: Invalid value: 0: should be an integer value greater than zero',
  'podInitialBackoffSeconds: 20':
    'podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds',
  'podInitialBackoffSeconds: -1': 'podInitialBackoffSeconds: Invalid value: -1: must be greater than 0',
  'percentageOfNodesToScore: 101': 'percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]',
  'profiles: [{}, {schedulerName: x}]': 'profiles[0].schedulerName: Required value',
  'profiles: [{plugins: {filter: {enabled: [{name: EBSLimits}]}}}]':
    'profiles[0].plugins.filter.enabled[0]: Invalid value: "EBSLimits": was invalid in version "kubescheduler.config.k8s.io/v1" (KubeSchedulerConfiguration is version "kubescheduler.config.k8s.io/v1")',
  'profiles: [{pluginConfig: [{name: A}, {name: A}]}]': 'profiles[0].pluginConfig[1]: Duplicate value: "A"',
  'leaderElection: {resourceLock: endpoints}':
    'leaderElection.resourceLock: Invalid value: "endpoints": resourceLock value must be "leases"',
  'extenders: [{urlPrefix: "http://x", prioritizeVerb: p}]':
    'extenders[0].weight: Invalid value: 0: must have a positive weight applied to it',
  'extenders: [{urlPrefix: a, bindVerb: b}, {urlPrefix: b, bindVerb: b}]':
    'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
  'extenders: [{urlPrefix: a, managedResources: [{name: cpu}]}]':
    'extenders[0].managedResources[0].name: Invalid value: "cpu": is an invalid extended resource name',
  [args('DefaultPreemption', 'minCandidateNodesPercentage: 101')]:
    `${AT}.minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]`,
  [args('InterPodAffinity', 'hardPodAffinityWeight: -1')]:
    `${AT}.hardPodAffinityWeight: Invalid value: -1: not in valid range [0, 100]`,
  [args('NodeResourcesBalancedAllocation', 'resources: [{name: cpu, weight: 2}]')]:
    `${AT}.resources[0].weight: Invalid value: 2: must be 1`,
  [args('NodeResourcesFit', 'scoringStrategy: {type: Best}')]:
    `${AT}.scoringStrategy.type: Unsupported value: "Best": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"`,
  [args('NodeResourcesFit', 'scoringStrategy: {type: RequestedToCapacityRatio}')]:
    `${AT}.scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio`,
  [args(
    'PodTopologySpread',
    'defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]',
  )]: `${AT}.defaultingType: Invalid value: "System": when .defaultConstraints are not empty`,
  [args('VolumeBinding', 'bindTimeoutSeconds: -1')]:
    `${AT}.bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value`,
  'parallelism: 0\npercentageOfNodesToScore: -1':
    '[parallelism: Invalid value: 0: should be an integer value greater than zero, percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]]',
};

describe('KubeSchedulerConfiguration', () => {
  for (const [body, message] of Object.entries(REFUSED))
    it(`refuses ${body.replaceAll('\n', ' ')}`, () => assert.throws(() => read(body), { message }));

  it('takes what the original takes', () => {
    const config = read(`
parallelism: 16
enableProfiling: true
clientConnection: {kubeconfig: /etc/k, qps: 50, burst: 100}
leaderElection: {leaderElect: true, leaseDuration: 15s, renewDeadline: 10s, retryPeriod: 2s, resourceLock: leases}
podInitialBackoffSeconds: 1
profiles:
- schedulerName: a
  plugins: {score: {disabled: [{name: ImageLocality}], enabled: [{name: NodeAffinity, weight: 7}]}}
  pluginConfig:
  - {name: Own, args: {whatever: 1}}
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy:
        type: RequestedToCapacityRatio
        requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}
- schedulerName: b
extenders: [{urlPrefix: "http://x", filterVerb: f, weight: 1, httpTimeout: 5s, managedResources: [{name: example.com/x}]}]
`);
    assert.deepEqual(
      config.profiles!.map((p) => p.schedulerName),
      ['a', 'b'],
    );
  });
});
