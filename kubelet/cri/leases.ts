/**
 * containerd's leases hold what is being made: layers of a pull, a container's snapshot. One whose process was killed would hold
 * them until it expires, a day later.
 */
import { stat } from 'node:fs/promises';
import type { Clock } from '../../base/clock.ts';
import { CODE, type RpcError } from '../../base/grpc.ts';
import { connect, defineService, openChannel } from '../grpc.ts';

const string = (id: number) => ({ type: 'string', id });
const DESCRIPTORS = {
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: {
            Empty: { fields: {} },
            Timestamp: { fields: { seconds: { type: 'int64', id: 1 }, nanos: { type: 'int32', id: 2 } } },
          },
        },
      },
    },
    containerd: {
      nested: {
        services: {
          nested: {
            leases: {
              nested: {
                v1: {
                  nested: {
                    Lease: {
                      fields: {
                        id: string(1),
                        created_at: { type: 'google.protobuf.Timestamp', id: 2 },
                        labels: { keyType: 'string', type: 'string', id: 3 },
                      },
                    },
                    ListRequest: { fields: { filters: { rule: 'repeated', type: 'string', id: 1 } } },
                    ListResponse: { fields: { leases: { rule: 'repeated', type: 'Lease', id: 1 } } },
                    DeleteRequest: { fields: { id: string(1), sync: { type: 'bool', id: 2 } } },
                    Leases: {
                      methods: {
                        List: { requestType: 'ListRequest', responseType: 'ListResponse' },
                        Delete: { requestType: 'DeleteRequest', responseType: 'google.protobuf.Empty' },
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

interface Lease {
  id: string;
  created_at?: { seconds: number; nanos: number } | null;
  labels: Record<string, string>;
}

/** Which of them a runtime that began at `startedMs` (since the epoch) can't have made. Those without an expiry are somebody's own. */
export const staleLeases = (leases: readonly Lease[], startedMs: number): string[] =>
  leases
    .filter((l) => l.labels['containerd.io/gc.expire'] !== undefined && l.created_at)
    .filter((l) => l.created_at!.seconds * 1000 + l.created_at!.nanos / 1e6 < startedMs)
    .map((l) => l.id);

export interface Leases {
  /** Ends those of earlier processes; resolves with their ids. */
  dropStale(): Promise<string[]>;
  close(): void;
}

const TIMEOUT_MS = 30_000;

export function createLeases(options: { address: string; clock: Clock }): Leases {
  const client = connect(
    defineService(DESCRIPTORS, 'containerd.services.leases.v1.Leases'),
    openChannel(options.address, options.clock, { 'containerd-namespace': 'k8s.io' }),
    options.clock,
  );
  return {
    async dropStale() {
      // containerd makes its socket anew whenever it starts
      const { mtimeMs } = await stat(options.address.replace(/^unix:(\/\/)?/, ''));
      const { leases } = await client.call<{ leases: Lease[] }>('List', { filters: [] }, TIMEOUT_MS);
      const stale = staleLeases(leases, mtimeMs);
      for (const id of stale)
        await client.call('Delete', { id }, TIMEOUT_MS).catch((error: RpcError) => {
          if (error.code !== CODE.notFound) throw error;
        });
      return stale;
    },
    close: () => client.close(),
  };
}
