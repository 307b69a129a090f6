/** Plays scheduler and kubelet for the controllers' tests: binds pods, makes them Running and Ready, ends what shall end. */
import { formatMicroTime, formatTime, systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import type { Client } from '../../../client/client.ts';
import { createInformer, type Informer } from '../../../client/informer.ts';
import { leases, nodes, pods } from '../../../client/resources.ts';

export interface HollowNodes {
  readonly pods: Informer<Pod>;
  /** Renews one node's lease and status now, and from now on if it had fallen silent. */
  beat(node: string): Promise<void>;
  /** The node gives no more signs of life. */
  silence(node: string): void;
  stop(): Promise<void>;
}

/** How often nodes say that they live: well within the time after which the node controller takes them for lost. */
const BEAT_MS = 5_000;
/** What failed is tried again after this long. */
const RETRY_MS = 100;

type View = DeepReadonly<Pod>;
type Fate = 'run' | 'succeed' | 'fail' | 'stay pending';

/** What a container's image asks for: `x:fail`, `x:succeed`, `x:pending`; all others run for ever. */
function fate(pod: View): Fate {
  const image = pod.spec?.containers[0]?.image ?? '';
  if (image.endsWith(':pending')) return 'stay pending';
  if (image.endsWith(':fail')) return 'fail';
  return image.endsWith(':succeed') ? 'succeed' : 'run';
}

function pinnedTo(pod: View): string | undefined {
  return pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
    ?.matchFields?.[0]?.values?.[0];
}

/** Nodes that live on until they are silenced or stopped; each says so every `beatMs`. */
export async function startHollowNodes(
  client: Client,
  names: readonly string[],
  beatMs = BEAT_MS,
): Promise<HollowNodes> {
  const informer = createInformer(pods, { client, clock: systemClock, rand: systemRand, logger: silentLogger });
  const busy = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  const silent = new Set<string>();
  let next = 0;
  let address = 1;

  async function beat(name: string): Promise<void> {
    const time = formatTime(Date.now());
    const conditions = [
      {
        type: 'Ready',
        status: 'True',
        reason: 'KubeletReady',
        message: 'hollow',
        lastHeartbeatTime: time,
        lastTransitionTime: time,
      },
    ];
    await client.patch(
      nodes,
      name,
      'merge',
      { status: { conditions, addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] } },
      { subresource: 'status' },
    );
    const renewTime = formatMicroTime(Date.now());
    await client
      .create(leases, {
        metadata: { name, namespace: 'kube-node-lease' },
        spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime },
      })
      .catch(() => client.patch(leases, name, 'merge', { spec: { renewTime } }, { namespace: 'kube-node-lease' }));
  }

  async function play(pod: View): Promise<void> {
    const { name = '', namespace = '', uid = '', deletionTimestamp } = pod.metadata ?? {};
    const setStatus = (status: Pod['status']) =>
      client.patch(pods, name, 'merge', { metadata: { uid }, status }, { namespace, subresource: 'status' });
    const time = formatTime(Date.now());
    if (deletionTimestamp) {
      await client.delete(pods, name, { namespace, gracePeriodSeconds: 0, preconditions: { uid } });
      return;
    }
    if (!pod.spec?.nodeName) {
      const node = pinnedTo(pod) ?? names[next++ % names.length]!;
      await client.request({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace}/pods/${name}/binding`,
        body: {
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { name, namespace },
          target: { kind: 'Node', name: node },
        },
      });
      return;
    }
    const phase = pod.status?.phase ?? 'Pending';
    const will = fate(pod);
    const containers = (
      ready: boolean,
      state: NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number]['state'],
    ) =>
      pod.spec!.containers.map((c) => ({
        name: c.name,
        image: c.image ?? '',
        imageID: 'hollow',
        ready,
        restartCount: 0,
        state,
      }));
    if (phase === 'Pending' && will !== 'stay pending') {
      const ip = `10.1.${address >> 8}.${address++ & 255}`;
      await setStatus({
        phase: 'Running',
        startTime: time,
        podIP: ip,
        podIPs: [{ ip }],
        hostIP: '10.0.0.1',
        conditions: ['Initialized', 'ContainersReady', 'Ready', 'PodScheduled'].map((type) => ({
          type,
          status: 'True',
          lastTransitionTime: time,
        })),
        containerStatuses: containers(true, { running: { startedAt: time } }),
      });
    } else if (phase === 'Running' && (will === 'succeed' || will === 'fail')) {
      await setStatus({
        phase: will === 'fail' ? 'Failed' : 'Succeeded',
        conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: time }],
        containerStatuses: containers(false, {
          terminated: { exitCode: will === 'fail' ? 1 : 0, startedAt: time, finishedAt: time },
        }),
      });
    }
  }

  async function follow(pod: View): Promise<void> {
    const { name = '', namespace, uid } = pod.metadata ?? {};
    let done: string | undefined;
    for (let now: View | undefined = pod; now?.metadata?.uid === uid; now = informer.get(name, namespace)) {
      const version = now?.metadata?.resourceVersion;
      if (stopping.signal.aborted || version === done) return;
      try {
        await play(now!);
        done = version;
      } catch {
        // A busy server may refuse or be late, and nothing else may ever happen to the pod.
        await systemClock.sleep(RETRY_MS, stopping.signal).catch(() => {});
      }
    }
  }

  function handle(pod: View): void {
    const uid = pod.metadata?.uid ?? '';
    if (stopping.signal.aborted || busy.has(uid)) return;
    busy.set(
      uid,
      follow(pod).finally(() => busy.delete(uid)),
    );
  }

  /** As a kubelet puts right what the node controller made of its pods while the node was taken for lost. */
  async function restore(node: string): Promise<void> {
    const lost = (p: View) =>
      p.spec?.nodeName === node &&
      p.status?.phase === 'Running' &&
      !p.metadata?.deletionTimestamp &&
      fate(p) === 'run' &&
      p.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'False');
    for (const { metadata: m } of informer.list().filter(lost))
      await client.patch(
        pods,
        m!.name!,
        'strategic',
        { metadata: { uid: m!.uid }, status: { conditions: [{ type: 'Ready', status: 'True' }] } },
        { namespace: m!.namespace, subresource: 'status' },
      );
  }

  /** Each node by itself: one that can't be told of must not keep the others from being heard. */
  async function live(name: string): Promise<void> {
    while (!stopping.signal.aborted) {
      if (!silent.has(name))
        await beat(name)
          .then(() => restore(name))
          .catch(() => {});
      await systemClock.sleep(beatMs, stopping.signal).catch(() => {});
    }
  }

  for (const name of names) {
    await client.create(nodes, { metadata: { name, labels: { 'kubernetes.io/hostname': name } } });
    await beat(name);
  }
  informer.on({ added: handle, updated: handle });
  informer.start();
  await informer.synced();
  const lives = names.map(live);
  return {
    pods: informer,
    beat(name) {
      silent.delete(name);
      return beat(name);
    },
    silence: (name) => void silent.add(name),
    async stop() {
      stopping.abort(new Error('stopped'));
      informer.stop();
      await Promise.all([...busy.values(), ...lives]);
    },
  };
}
