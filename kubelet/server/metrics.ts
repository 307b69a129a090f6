/** /metrics and /metrics/probes: what is worked out when somebody asks. */
import { MetricsRegistry } from '../../base/metrics.ts';
import type { PodDeps } from '../pods/deps.ts';
import { isStatic } from '../pods/identity.ts';
import type { PodManager } from '../pods/manager.ts';
import { pluginOf } from '../volumes/plugin-names.ts';
import { VOLUME_METRICS, type VolumeStatsReader } from './volume-stats.ts';

export interface FigureSources {
  manager: PodManager;
  deps: PodDeps;
  volumes: VolumeStatsReader;
  nodeName: string;
}

const LIFECYCLE = { syncing: 'sync', terminating: 'terminating', terminated: 'terminated', finished: 'terminated' };

const count = <K>(map: Map<K, number>, key: K) => map.set(key, (map.get(key) ?? 0) + 1);

/** Adds what is known of the node's pods to the registry; the answer brings it up to date before the text is asked for. */
export function createPodFigures(registry: MetricsRegistry, from: FigureSources): () => Promise<void> {
  const { manager, deps, volumes } = from;
  const runningPods = registry.gauge('kubelet_running_pods', 'Pods that have a running sandbox.');
  const runningContainers = registry.gauge('kubelet_running_containers', 'Containers, by state.', ['container_state']);
  const desired = registry.gauge('kubelet_desired_pods', 'Pods that the node was given.', ['static']);
  const active = registry.gauge('kubelet_active_pods', 'Pods that are to run.', ['static']);
  const mirrors = registry.gauge('kubelet_mirror_pods', 'Mirrors of static pods in the API.');
  const working = registry.gauge(
    'kubelet_working_pods',
    'Pods that are worked on, by how far they are and their source.',
    ['config', 'lifecycle', 'static'],
  );
  const pendingResizes = registry.gauge('kubelet_pod_pending_resizes', 'Pods whose resize waits, by why.', ['reason']);
  const resizing = registry.gauge('kubelet_pod_in_progress_resizes', 'Pods that are being resized.');
  const ephemeral = registry.gauge('kubelet_managed_ephemeral_containers', 'Ephemeral containers of pods.');
  const terminated = registry.counter('kubelet_terminated_containers_total', 'Containers that ended.', [
    'container_type',
    'exit_code',
    'reason',
  ]);
  const totalVolumes = registry.gauge('volume_manager_total_volumes', 'Volumes wanted and volumes mounted.', [
    'plugin_name',
    'state',
  ]);
  const volumeStats = VOLUME_METRICS.map(([name, help, field]) => ({
    gauge: registry.gauge(name, help, ['namespace', 'persistentvolumeclaim']),
    field,
  }));
  registry.gauge('kubelet_node_name', 'Always 1; the label is what counts.', ['node']).set([from.nodeName], 1);
  if (deps.cgroups) registry.gauge('kubelet_cgroup_version', 'cgroup v1 or v2.').set([], deps.cgroups.version);

  return async () => {
    const workers = manager.workers();
    runningPods.set([], workers.filter((w) => w.state.sandboxes[0]?.state === 'SANDBOX_READY').length);
    runningContainers.clear();
    for (const w of workers)
      for (const c of w.state.containers) runningContainers.add([c.state.replace('CONTAINER_', '').toLowerCase()]);
    for (const fixed of ['', 'true']) {
      desired.set([fixed], 0);
      active.set([fixed], 0);
    }
    for (const config of ['desired', 'orphan', 'runtime_only'])
      for (const lifecycle of ['sync', 'terminating', 'terminated'])
        for (const fixed of config === 'runtime_only' ? ['unknown'] : ['', 'true'])
          working.set([config, lifecycle, fixed], 0);
    let containers = 0;
    const volumeCounts = new Map<string, number>();
    for (const w of workers) {
      const fixed = isStatic(w.pod) ? 'true' : '';
      // of what was found in the runtime alone no more is known than how to end it
      const config = w.pod.spec!.containers.length === 0 ? 'runtime_only' : w.isGone ? 'orphan' : 'desired';
      working.add([config, LIFECYCLE[w.phase], config === 'runtime_only' ? 'unknown' : fixed]);
      if (config === 'desired') {
        desired.add([fixed]);
        if (w.phase === 'syncing') active.add([fixed]);
        containers += w.pod.spec!.ephemeralContainers?.length ?? 0;
      }
      for (const v of w.phase === 'syncing' || w.phase === 'terminating' ? (w.pod.spec!.volumes ?? []) : []) {
        const mounted = w.volumes?.get(v.name);
        const plugin = mounted?.plugin ?? pluginOf(v);
        if (w.phase === 'syncing') count(volumeCounts, `${plugin}\n desired_state_of_world`);
        if (mounted) count(volumeCounts, `${plugin}\n actual_state_of_world`);
      }
    }
    pendingResizes.clear();
    resizing.set([], 0);
    for (const w of workers)
      for (const { type, reason } of w.phase === 'syncing' ? (deps.status.get(w.uid)?.conditions ?? []) : [])
        if (type === 'PodResizePending') pendingResizes.add([(reason ?? '').toLowerCase()]);
        else if (type === 'PodResizeInProgress') resizing.add([]);
    totalVolumes.clear();
    for (const [key, n] of volumeCounts) totalVolumes.set(key.split('\n '), n);
    mirrors.set([], manager.mirrors());
    ephemeral.set([], containers);
    for (const { labels, count: n } of deps.status.terminations.all())
      terminated.handle([labels.container_type, labels.exit_code, labels.reason]).value = n;
    for (const { gauge } of volumeStats) gauge.clear();
    for (const w of workers)
      for (const v of await volumes.of(w)) {
        if (!v.pvcRef) continue;
        for (const { gauge, field } of volumeStats) {
          const value = v[field];
          if (value !== undefined) gauge.set([v.pvcRef.namespace, v.pvcRef.name], value as number);
        }
      }
  };
}

const RESULTS = { success: 'successful', failure: 'failed', unknown: 'unknown' } as const;

/** How the probes of running containers have ended, as text. */
export function probeFigures(deps: PodDeps): string {
  const registry = new MetricsRegistry();
  const total = registry.counter('prober_probe_total', 'Probes of containers, by kind and result.', [
    'container',
    'namespace',
    'pod',
    'pod_uid',
    'probe_type',
    'result',
  ]);
  for (const { pod, container, kind, counts } of deps.probes.outcomes()) {
    const { namespace = '', name = '', uid = '' } = pod.metadata!;
    const type = `${kind[0]!.toUpperCase()}${kind.slice(1)}`;
    for (const [result, label] of Object.entries(RESULTS)) {
      const n = counts[result as keyof typeof RESULTS];
      if (n > 0) total.add([container, namespace, name, uid, type, label], n);
    }
  }
  return registry.text();
}
