/** Plays scheduler and kubelet for the controllers' tests: binds pods, makes them Running and Ready, ends what shall end. */
import { formatMicroTime, formatTime, systemClock, systemRand } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { DeepReadonly, Pod } from '../../../api/types.ts';
import type { Client } from '../../../client/client.ts';
import { createInformer, type Informer } from '../../../client/informer.ts';
import { leases, nodes, pods } from '../../../client/resources.ts';

export interface HollowNodes {
  readonly pods: Informer<Pod>;
  /** Renews one node's lease and status now. */
  beat(node: string): Promise<void>;
  stop(): Promise<void>;
}

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

export async function startHollowNodes(client: Client, names: readonly string[]): Promise<HollowNodes> {
  const informer = createInformer(pods, { client, clock: systemClock, rand: systemRand, logger: silentLogger });
  const busy = new Map<string, Promise<void>>();
  let stopped = false;
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

  function handle(pod: View): void {
    const uid = pod.metadata?.uid ?? '';
    if (stopped || busy.has(uid)) return;
    const work = play(pod)
      .catch(() => {})
      .finally(() => {
        busy.delete(uid);
        const now = informer.get(pod.metadata!.name!, pod.metadata!.namespace);
        if (now && now.metadata?.resourceVersion !== pod.metadata?.resourceVersion) handle(now);
      });
    busy.set(uid, work);
  }

  for (const name of names) {
    await client.create(nodes, { metadata: { name, labels: { 'kubernetes.io/hostname': name } } });
    await beat(name);
  }
  informer.on({ added: handle, updated: handle });
  informer.start();
  await informer.synced();
  return {
    pods: informer,
    beat,
    async stop() {
      stopped = true;
      informer.stop();
      await Promise.all(busy.values());
    },
  };
}
