/** The fields of a KubeSchedulerConfiguration and their types: what a configuration file may hold, and nothing else. */
import { parseDuration } from '../api/time.ts';

/** The extension points that a profile can speak of. */
export const POINTS = [
  'preEnqueue',
  'queueSort',
  'preFilter',
  'filter',
  'postFilter',
  'preScore',
  'score',
  'reserve',
  'permit',
  'preBind',
  'bind',
  'postBind',
] as const;

/** `any` isn't looked into; a list has one shape for all its items. */
export type Shape = 'string' | 'int' | 'number' | 'bool' | 'duration' | 'any' | readonly [Shape] | Fields;
export interface Fields {
  readonly [name: string]: Shape;
}

const TYPE: Fields = { apiVersion: 'string', kind: 'string' };
const PLUGIN: Fields = { name: 'string', weight: 'int' };
const PLUGIN_SET: Fields = { enabled: [PLUGIN], disabled: [PLUGIN] };
const RESOURCES: Shape = [{ name: 'string', weight: 'int' }];
const POINT_OF_SHAPE: Shape = [{ utilization: 'int', score: 'int' }];

/** By the plugin's name; others' arguments are theirs alone. */
const ARGS: Readonly<Record<string, Fields>> = {
  DefaultPreemption: { minCandidateNodesPercentage: 'int', minCandidateNodesAbsolute: 'int' },
  DynamicResources: { filterTimeout: 'duration', bindingTimeout: 'duration' },
  InterPodAffinity: { hardPodAffinityWeight: 'int', ignorePreferredTermsOfExistingPods: 'bool' },
  NodeAffinity: { addedAffinity: 'any' },
  NodeResourcesBalancedAllocation: { resources: RESOURCES },
  NodeResourcesFit: {
    ignoredResources: ['string'],
    ignoredResourceGroups: ['string'],
    scoringStrategy: {
      type: 'string',
      resources: RESOURCES,
      requestedToCapacityRatio: { shape: POINT_OF_SHAPE },
    },
  },
  PodTopologySpread: {
    defaultingType: 'string',
    defaultConstraints: [
      {
        maxSkew: 'int',
        topologyKey: 'string',
        whenUnsatisfiable: 'string',
        labelSelector: 'any',
        minDomains: 'int',
        nodeAffinityPolicy: 'string',
        nodeTaintsPolicy: 'string',
        matchLabelKeys: ['string'],
      },
    ],
  },
  VolumeBinding: { bindTimeoutSeconds: 'int', shape: POINT_OF_SHAPE },
};

export const CONFIGURATION: Fields = {
  ...TYPE,
  parallelism: 'int',
  percentageOfNodesToScore: 'int',
  podInitialBackoffSeconds: 'int',
  podMaxBackoffSeconds: 'int',
  enableProfiling: 'bool',
  enableContentionProfiling: 'bool',
  delayCacheUntilActive: 'bool',
  clientConnection: {
    kubeconfig: 'string',
    acceptContentTypes: 'string',
    contentType: 'string',
    qps: 'number',
    burst: 'int',
  },
  leaderElection: {
    leaderElect: 'bool',
    leaseDuration: 'duration',
    renewDeadline: 'duration',
    retryPeriod: 'duration',
    resourceLock: 'string',
    resourceName: 'string',
    resourceNamespace: 'string',
  },
  profiles: [
    {
      schedulerName: 'string',
      percentageOfNodesToScore: 'int',
      plugins: Object.fromEntries([...POINTS, 'multiPoint'].map((p) => [p, PLUGIN_SET])),
      pluginConfig: [{ name: 'string', args: 'any' }],
    },
  ],
  extenders: [
    {
      urlPrefix: 'string',
      filterVerb: 'string',
      preemptVerb: 'string',
      prioritizeVerb: 'string',
      bindVerb: 'string',
      weight: 'int',
      enableHTTPS: 'bool',
      httpTimeout: 'duration',
      nodeCacheCapable: 'bool',
      ignorable: 'bool',
      managedResources: [{ name: 'string', ignoredByScheduler: 'bool' }],
      tlsConfig: {
        insecure: 'bool',
        serverName: 'string',
        certFile: 'string',
        keyFile: 'string',
        caFile: 'string',
        certData: 'string',
        keyData: 'string',
        caData: 'string',
      },
    },
  ],
};

const isInt = (v: unknown) => (typeof v === 'number' && Number.isInteger(v)) || typeof v === 'bigint';
const SCALARS: Readonly<Record<Extract<Shape, string>, (v: unknown) => boolean>> = {
  any: () => true,
  string: (v) => typeof v === 'string',
  int: isInt,
  number: (v) => typeof v === 'number' || typeof v === 'bigint',
  bool: (v) => typeof v === 'boolean',
  duration: (v) => typeof v === 'string' && parseDuration(v) !== undefined,
};

/** What doesn't fit the shape: unknown fields first, since a slip of the pen is the usual cause. */
export function misfits(value: unknown, shape: Shape, path = ''): { unknown: string[]; wrong: string[] } {
  const unknown: string[] = [];
  const wrong: string[] = [];
  const look = (v: unknown, s: Shape, at: string): void => {
    if (v === null || v === undefined) return;
    if (typeof s === 'string') {
      if (!SCALARS[s](v)) wrong.push(`${at}: must be ${s === 'int' ? 'an' : 'a'} ${s}`);
    } else if (Array.isArray(s)) {
      if (!Array.isArray(v)) wrong.push(`${at}: must be a list`);
      else for (const [i, item] of v.entries()) look(item, (s as readonly [Shape])[0], `${at}[${i}]`);
    } else if (typeof v !== 'object' || Array.isArray(v)) wrong.push(`${at || 'the configuration'}: must be an object`);
    else
      for (const [name, item] of Object.entries(v)) {
        const below = at === '' ? name : `${at}.${name}`;
        const known = Object.hasOwn(s, name) ? (s as Fields)[name] : undefined;
        if (known === undefined) unknown.push(below);
        else look(item, known, below);
      }
  };
  look(value, shape, path);
  return { unknown, wrong };
}

/** The shape of a plugin's arguments, which may name their own type. */
export const argsShape = (plugin: string): Fields | undefined =>
  Object.hasOwn(ARGS, plugin) ? { ...TYPE, ...ARGS[plugin] } : undefined;
