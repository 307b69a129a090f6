/** Gives every node its range(s) of pod addresses. */
import { nodes } from '../../client/resources.ts';
import { defineController, type Deps } from '../framework.ts';
import { isDeleting, meta } from '../lib/meta.ts';
import type { NodeView } from '../lib/nodes.ts';
import type { ControllerOptions } from '../options.ts';
import { CidrPool, formatCidr, parseCidr } from './cidrs.ts';

const inputs = { nodes };
interface State {
  pools: CidrPool[];
  /** Ranges by node, to free them when it goes. */
  held: Map<string, readonly string[]>;
}
type D = Deps<typeof inputs, State>;

function makePools(options: ControllerOptions): CidrPool[] {
  const services = options.serviceClusterIPRanges.map(parseCidr);
  return options.clusterCIDRs.map((text) => {
    const range = parseCidr(text);
    const pool = new CidrPool(range, range.family === 4 ? options.nodeCIDRMaskSizeIPv4 : options.nodeCIDRMaskSizeIPv6);
    for (const s of services) pool.occupy(s);
    return pool;
  });
}

function rangesOf(node: NodeView): readonly string[] {
  return node.spec?.podCIDRs?.length ? node.spec.podCIDRs : node.spec?.podCIDR ? [node.spec.podCIDR] : [];
}

function occupy(state: State, node: NodeView): boolean {
  const ranges = rangesOf(node);
  if (ranges.length === 0) return false;
  if (!state.held.has(meta(node).name)) {
    for (const r of ranges) for (const pool of state.pools) pool.occupy(parseCidr(r));
    state.held.set(meta(node).name, ranges);
  }
  return true;
}

function release(state: State, name: string): void {
  for (const r of state.held.get(name) ?? []) for (const pool of state.pools) pool.release(parseCidr(r));
  state.held.delete(name);
}

export const nodeIpamController = defineController({
  name: 'node-ipam-controller',
  account: 'node-controller',
  component: 'cidrAllocator',
  inputs,
  outputs: ['patch nodes'],
  enabled: (options) => options.allocateNodeCIDRs && options.clusterCIDRs.length > 0,
  // One at a time: two must not be given the same range.
  workers: () => 1,
  state: ({ options }): State => ({ pools: makePools(options), held: new Map() }),
  triggers: { nodes: { keys: 'self', when: (now) => rangesOf(now).length === 0 } },
  setup(deps: D) {
    // What is in use first, before the first node without ranges is looked at.
    for (const node of deps.informers.nodes.list()) occupy(deps.state, node);
  },
  async reconcile(key, deps: D) {
    const { informers, state, client, recorder } = deps;
    const node = informers.nodes.get(key);
    if (!node) return release(state, key);
    if (isDeleting(node) || occupy(state, node) || state.held.has(key)) return;
    const ranges = state.pools.map((p) => p.allocate());
    const texts = ranges.filter((r) => r !== undefined).map(formatCidr);
    state.held.set(key, texts);
    if (texts.length < ranges.length) {
      release(state, key);
      recorder.event(
        { apiVersion: 'v1', kind: 'Node', metadata: { name: key, uid: meta(node).uid } },
        'Normal',
        'CIDRNotAvailable',
        `Node ${key} status is now: CIDRNotAvailable`,
      );
      throw new Error(`no pod range is left for node ${key}`);
    }
    try {
      await client.patch(nodes, key, 'strategic', {
        metadata: { uid: meta(node).uid },
        spec: { podCIDR: texts[0], podCIDRs: texts },
      });
    } catch (error) {
      release(state, key);
      throw error;
    }
  },
});
