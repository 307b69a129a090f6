/** /metrics: what the kubelet says of itself and of its pods' volumes. */
import type { Clock } from '../../base/clock.ts';
import type { PodManager } from '../pods/manager.ts';
import type { TerminationCounts } from '../status/terminations.ts';
import { Metrics } from './stats.ts';
import { VOLUME_METRICS, type VolumeStatsReader } from './volume-stats.ts';

/** The metrics as text; `counts` are requests by path. */
export async function kubeletMetrics(from: {
  clock: Clock;
  manager: PodManager;
  volumes: VolumeStatsReader;
  counts: ReadonlyMap<string, number>;
  nodeName: string;
  terminations: TerminationCounts;
}): Promise<string> {
  const { clock, manager, volumes, counts, nodeName, terminations } = from;
  const out = new Metrics(clock.now());
  const workers = manager.workers();
  out.add(
    'kubelet_running_pods',
    'gauge',
    'Number of pods that have a running pod sandbox',
    {},
    workers.filter((w) => w.state.sandboxes[0]?.state === 'SANDBOX_READY').length,
  );
  const states = new Map<string, number>();
  for (const w of workers) for (const c of w.state.containers) states.set(c.state, (states.get(c.state) ?? 0) + 1);
  for (const [state, n] of states)
    out.add(
      'kubelet_running_containers',
      'gauge',
      'Number of containers currently running',
      { container_state: state.replace('CONTAINER_', '').toLowerCase() },
      n,
    );
  for (const { labels, count } of terminations.all())
    out.add(
      'kubelet_terminated_containers_total',
      'counter',
      'Cumulative number of ended containers.',
      { ...labels },
      count,
    );
  out.add('kubelet_node_name', 'gauge', "The node's name. The count is always 1.", { node: nodeName }, 1);
  for (const w of workers)
    for (const v of await volumes.of(w))
      for (const [name, help, field] of v.pvcRef ? VOLUME_METRICS : [])
        if (v[field] !== undefined)
          out.add(
            name,
            'gauge',
            help,
            { namespace: v.pvcRef!.namespace, persistentvolumeclaim: v.pvcRef!.name },
            v[field] as number,
          );
  for (const [path, n] of counts)
    out.add(
      'kubelet_http_requests_total',
      'counter',
      'Number of the http requests received since the server started',
      { path },
      n,
    );
  return out.text();
}
