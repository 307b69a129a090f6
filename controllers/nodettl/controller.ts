/** Tells kubelets by an annotation how long they may trust cached Secrets and ConfigMaps: longer in large clusters. */
import { isNotFound } from '../../api/status.ts';
import { nodes } from '../../client/resources.ts';
import { defineController } from '../framework.ts';
import { meta } from '../lib/meta.ts';

const ANNOTATION = 'node.alpha.kubernetes.io/ttl';

/** Cluster sizes up to which a number of seconds holds. */
const STEPS: readonly { size: number; seconds: number }[] = [
  { size: 100, seconds: 0 },
  { size: 500, seconds: 15 },
  { size: 1000, seconds: 30 },
  { size: 2000, seconds: 60 },
  { size: Infinity, seconds: 300 },
];

/** Seconds for a cluster of so many nodes. Pure. */
export function ttlFor(size: number): number {
  return STEPS.find((s) => size <= s.size)!.seconds;
}

export const nodeTTLController = defineController({
  name: 'ttl-controller',
  account: 'ttl-controller',
  inputs: { nodes },
  outputs: ['patch nodes'],
  triggers: {
    nodes: {
      keys: 'self',
      when: (now, before) => now.metadata?.annotations?.[ANNOTATION] !== before.metadata?.annotations?.[ANNOTATION],
    },
  },
  async reconcile(key, { informers, client }) {
    const node = informers.nodes.get(key);
    if (!node) return;
    const ttl = String(ttlFor(informers.nodes.size));
    if (meta(node).annotations?.[ANNOTATION] === ttl) return;
    await client
      .patch(nodes, key, 'strategic', { metadata: { annotations: { [ANNOTATION]: ttl } } })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  },
});
