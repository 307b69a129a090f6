/** What the API is told of a node's CSI drivers: its CSINode, and the Node's annotation and topology labels. */
import { hasCode, isNotFound } from '../../api/status.ts';
import type { DeepReadonly, Node } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { csiNodes, nodes } from '../../client/resources.ts';
import type { Logger } from '../../base/log.ts';

const NODE_IDS = 'csi.volume.kubernetes.io/nodeid';
const ATTEMPTS = 10;

/** What a driver answers to NodeGetInfo. */
export interface DriverNodeInfo {
  node_id: string;
  max_volumes_per_node: number;
  accessible_topology?: { segments: Record<string, string> } | null;
}

type CsiNode = Awaited<ReturnType<Client['get']>> & {
  spec: { drivers: { name: string; nodeID: string; topologyKeys?: string[]; allocatable?: { count: number } }[] };
};

export interface CsiNodeWriter {
  /** Makes the CSINode when there is none. */
  ensure(): Promise<void>;
  set(driver: string, info: DriverNodeInfo): Promise<void>;
  remove(driver: string): Promise<void>;
}

export function createCsiNodeWriter(options: {
  client: Client;
  nodeName: string;
  logger: Logger;
  node(): DeepReadonly<Node> | undefined;
}): CsiNodeWriter {
  const { client, nodeName } = options;
  let last: Promise<unknown> = Promise.resolve();

  /** One write after the other, each on the newest object. */
  function change(
    edit: (drivers: CsiNode['spec']['drivers']) => CsiNode['spec']['drivers'] | undefined,
  ): Promise<void> {
    const next = last.then(async () => {
      for (let attempt = 0; ; attempt++) {
        try {
          const have = (await client.get(csiNodes, nodeName).catch((error: unknown) => {
            if (isNotFound(error)) return undefined;
            throw error;
          })) as CsiNode | undefined;
          const drivers = edit(have?.spec.drivers ?? []);
          if (have) {
            if (drivers) await client.update(csiNodes, { ...have, spec: { drivers } } as never);
          } else {
            const node = options.node() ?? (await client.get(nodes, nodeName));
            await client.create(csiNodes, {
              metadata: {
                name: nodeName,
                ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata!.uid! }],
              },
              spec: { drivers: drivers ?? [] },
            });
          }
          return;
        } catch (error) {
          if (!hasCode(error, 409) || attempt >= ATTEMPTS) throw error;
        }
      }
    });
    last = next.catch(() => {});
    return next;
  }

  /** Other drivers' entries in the annotation stay. */
  async function annotate(driver: string, id: string | undefined, labels: Record<string, string>): Promise<void> {
    const node = await client.get(nodes, nodeName);
    const ids = JSON.parse(node.metadata?.annotations?.[NODE_IDS] ?? '{}') as Record<string, string>;
    if (id === undefined) delete ids[driver];
    else ids[driver] = id;
    const text = Object.keys(ids).length ? JSON.stringify(ids) : null;
    for (const [k, v] of Object.entries(labels)) {
      const have = node.metadata?.labels?.[k];
      if (have !== undefined && have !== v)
        throw new Error(
          `detected topology value collision: driver reported ${k}:${v} but existing label is ${k}:${have}`,
        );
    }
    await client.patch(nodes, nodeName, 'merge', { metadata: { annotations: { [NODE_IDS]: text }, labels } });
  }

  return {
    ensure: () => change(() => undefined),
    async set(driver, info) {
      const segments = info.accessible_topology?.segments ?? {};
      await annotate(driver, info.node_id, segments);
      await change((drivers) => {
        const entry = {
          name: driver,
          nodeID: info.node_id,
          topologyKeys: Object.keys(segments).length ? Object.keys(segments).sort() : undefined,
          ...(info.max_volumes_per_node > 0 ? { allocatable: { count: info.max_volumes_per_node } } : {}),
        };
        const others = drivers.filter((d) => d.name !== driver);
        const have = drivers.find((d) => d.name === driver);
        return have && JSON.stringify(have) === JSON.stringify(entry) ? undefined : [...others, entry];
      });
    },
    async remove(driver) {
      await change((drivers) =>
        drivers.some((d) => d.name === driver) ? drivers.filter((d) => d.name !== driver) : undefined,
      );
      await annotate(driver, undefined, {});
    },
  };
}
