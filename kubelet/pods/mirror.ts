/** Mirror pods: what the API shows of static pods. */
import type { Logger } from '../../base/log.ts';
import { hasCode } from '../../api/status.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { pods } from '../../client/resources.ts';
import { CONFIG_HASH, CONFIG_MIRROR } from './identity.ts';

/** Makes the mirror of a static pod, or one anew when the manifest changed. Quiet about failures: the next look tries again. */
export async function ensureMirror(
  client: Client,
  pod: DeepReadonly<Pod>,
  mirror: DeepReadonly<Pod> | undefined,
  nodeUid: string | undefined,
  logger: Logger,
): Promise<void> {
  const m = pod.metadata!;
  const hash = m.annotations?.[CONFIG_HASH] ?? '';
  try {
    if (mirror) {
      if (mirror.metadata?.annotations?.[CONFIG_MIRROR] === hash && !mirror.metadata.deletionTimestamp) return;
      await deleteMirror(client, mirror);
      return; // its deletion will be seen, then the new one is made
    }
    const { uid: _uid, ...metadata } = m;
    await client.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...(metadata as NonNullable<Pod['metadata']>),
        annotations: { ...m.annotations, [CONFIG_MIRROR]: hash },
        ...(nodeUid
          ? {
              ownerReferences: [
                { apiVersion: 'v1', kind: 'Node', name: pod.spec!.nodeName!, uid: nodeUid, controller: true },
              ],
            }
          : {}),
      },
      spec: pod.spec as Pod['spec'],
    });
  } catch (error) {
    if (hasCode(error, 409)) return;
    logger.warn('mirror pod not made', { pod: `${m.namespace}/${m.name}`, error: (error as Error).message });
  }
}

/** Resolves also when it is gone, or another has its name. */
export async function deleteMirror(client: Client, mirror: DeepReadonly<Pod>): Promise<void> {
  const { name, namespace, uid } = mirror.metadata!;
  try {
    await client.delete(pods, name!, { namespace, gracePeriodSeconds: 0, preconditions: { uid } });
  } catch (error) {
    if (!hasCode(error, 404, 409)) throw error;
  }
}
