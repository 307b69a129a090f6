/** Read-only views of images through containerd's own snapshot service: CRI can't mount images before containerd 2. */
import type { Clock } from '../../base/clock.ts';
import { CODE, type RpcError } from '../../base/grpc.ts';
import { connect, defineService, openChannel } from '../grpc.ts';

/** What mount(8) is told. */
export interface ImageMount {
  type: string;
  source: string;
  options: string[];
}

const string = (id: number) => ({ type: 'string', id });
const strings = (id: number) => ({ rule: 'repeated', type: 'string', id });
const DESCRIPTORS = {
  nested: {
    google: { nested: { protobuf: { nested: { Empty: { fields: {} } } } } },
    containerd: {
      nested: {
        types: {
          nested: { Mount: { fields: { type: string(1), source: string(2), target: string(3), options: strings(4) } } },
        },
        services: {
          nested: {
            snapshots: {
              nested: {
                v1: {
                  nested: {
                    ViewSnapshotRequest: {
                      fields: {
                        snapshotter: string(1),
                        key: string(2),
                        parent: string(3),
                        labels: { keyType: 'string', type: 'string', id: 4 },
                      },
                    },
                    MountsRequest: { fields: { snapshotter: string(1), key: string(2) } },
                    MountsAnswer: { fields: { mounts: { rule: 'repeated', type: 'containerd.types.Mount', id: 1 } } },
                    RemoveSnapshotRequest: { fields: { snapshotter: string(1), key: string(2) } },
                    Snapshots: {
                      methods: {
                        View: { requestType: 'ViewSnapshotRequest', responseType: 'MountsAnswer' },
                        Mounts: { requestType: 'MountsRequest', responseType: 'MountsAnswer' },
                        Remove: { requestType: 'RemoveSnapshotRequest', responseType: 'google.protobuf.Empty' },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

export interface Snapshots {
  /** A view of the image whose layers make up `chainId`; the same key gives the same view again. */
  view(key: string, chainId: string): Promise<ImageMount[]>;
  remove(key: string): Promise<void>;
  close(): void;
}

const TIMEOUT_MS = 120_000;

export function createSnapshots(options: { address: string; clock: Clock; snapshotter?: string }): Snapshots {
  const client = connect(
    defineService(DESCRIPTORS, 'containerd.services.snapshots.v1.Snapshots'),
    openChannel(options.address, options.clock, { 'containerd-namespace': 'k8s.io' }),
    options.clock,
  );
  const snapshotter = options.snapshotter ?? 'overlayfs';
  const call = <R>(method: string, request: object) => client.call<R>(method, request, TIMEOUT_MS);

  return {
    async view(key, parent) {
      try {
        // the label keeps containerd's garbage collector away
        return (
          await call<{ mounts: ImageMount[] }>('View', {
            snapshotter,
            key,
            parent,
            labels: { 'containerd.io/gc.root': 'k8ts' },
          })
        ).mounts;
      } catch (error) {
        if ((error as RpcError).code !== CODE.alreadyExists) throw error;
        return (await call<{ mounts: ImageMount[] }>('Mounts', { snapshotter, key })).mounts;
      }
    },
    async remove(key) {
      await call('Remove', { snapshotter, key }).catch((error: RpcError) => {
        if (error.code !== CODE.notFound) throw error;
      });
    },
    close: () => client.close(),
  };
}
