/** Read-only views of images through containerd's own snapshot service: CRI can't mount images before containerd 2. */
import * as grpc from '@grpc/grpc-js';
import { defineService } from '../grpc.ts';

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

type Method = (
  request: object,
  metadata: grpc.Metadata,
  done: (error: grpc.ServiceError | null, answer: unknown) => void,
) => void;

export function createSnapshots(options: { address: string; snapshotter?: string }): Snapshots {
  const client = new (defineService(DESCRIPTORS, 'containerd.services.snapshots.v1.Snapshots'))(
    options.address,
    grpc.credentials.createInsecure(),
  ) as unknown as grpc.Client & Record<string, Method>;
  const snapshotter = options.snapshotter ?? 'overlayfs';
  const metadata = new grpc.Metadata();
  metadata.set('containerd-namespace', 'k8s.io');
  const call = <R>(method: string, request: object): Promise<R> =>
    new Promise((resolve, reject) =>
      client[method]!(request, metadata, (error, answer) => (error ? reject(error) : resolve(answer as R))),
    );

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
        if ((error as grpc.ServiceError).code !== grpc.status.ALREADY_EXISTS) throw error;
        return (await call<{ mounts: ImageMount[] }>('Mounts', { snapshotter, key })).mounts;
      }
    },
    async remove(key) {
      await call('Remove', { snapshotter, key }).catch((error: grpc.ServiceError) => {
        if (error.code !== grpc.status.NOT_FOUND) throw error;
      });
    },
    close: () => client.close(),
  };
}
