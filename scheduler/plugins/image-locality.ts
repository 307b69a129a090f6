/** ImageLocality: prefers nodes that have the pod's images, large ones and widely spread ones most. */
import type { Plugin } from '../core/framework.ts';

const MB = 1024 * 1024;
const MIN = 23 * MB;
const MAX_PER_CONTAINER = 1000 * MB;

/** Images without a tag (or digest) are listed as :latest. */
const normalized = (name: string) => (name.lastIndexOf(':') <= name.lastIndexOf('/') ? `${name}:latest` : name);

export const imageLocality = (): Plugin => ({
  name: 'ImageLocality',
  preScore(pod, cycle, nodes) {
    const spec = pod.pod.spec!;
    const images: string[] = [];
    for (const c of spec.initContainers ?? []) images.push(normalized(c.image ?? ''));
    for (const c of spec.containers) images.push(normalized(c.image ?? ''));
    const max = MAX_PER_CONTAINER * images.length;
    for (const v of spec.volumes ?? []) if (v.image?.reference) images.push(normalized(v.image.reference));
    if (!nodes.some((n) => n.images.size > 0 && images.some((i) => n.images.has(i)))) return undefined;
    const total = cycle.snapshot.nodes.length;
    return {
      score(node) {
        let sum = 0;
        for (const i of images) {
          const state = node.images.get(i);
          if (state) sum += Math.floor(state.size * (state.nodes.size / total));
        }
        sum = Math.min(Math.max(sum, MIN), max);
        return Math.floor((100 * (sum - MIN)) / (max - MIN));
      },
    };
  },
});
