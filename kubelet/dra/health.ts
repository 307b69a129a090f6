/**
 * How a DRA driver's devices are: drivers that know it tell it in a stream (KEP-4680, DRAResourceHealth v1alpha1); what
 * was not confirmed in time is unknown.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { CODE } from '../../base/grpc.ts';
import { defineService, connect, type Caller } from '../grpc.ts';

export interface DeviceHealth {
  health: 'Healthy' | 'Unhealthy' | 'Unknown';
  message?: string;
}

/** Watches one driver. */
export interface HealthWatch {
  of(pool: string, device: string): DeviceHealth;
  stop(): void;
}

const field = (type: string, id: number) => ({ type, id });
/** What drivers serve. */
export const DRA_HEALTH = defineService(
  {
    nested: {
      v1alpha1: {
        nested: {
          DRAResourceHealth: {
            methods: {
              NodeWatchResources: {
                requestType: 'NodeWatchResourcesRequest',
                responseType: 'NodeWatchResourcesResponse',
                responseStream: true,
              },
            },
          },
          NodeWatchResourcesRequest: { fields: {} },
          HealthStatus: { values: { UNKNOWN: 0, HEALTHY: 1, UNHEALTHY: 2 } },
          DeviceIdentifier: { fields: { pool_name: field('string', 1), device_name: field('string', 2) } },
          DeviceHealth: {
            fields: {
              device: field('DeviceIdentifier', 1),
              health: field('HealthStatus', 2),
              last_updated_time: field('int64', 3),
              health_check_timeout_seconds: field('int64', 4),
              message: field('string', 5),
            },
          },
          NodeWatchResourcesResponse: { fields: { devices: { rule: 'repeated', ...field('DeviceHealth', 1) } } },
        },
      },
    },
  },
  'v1alpha1.DRAResourceHealth',
);

interface Said {
  device: { pool_name: string; device_name: string } | null;
  health: 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY';
  last_updated_time: number;
  health_check_timeout_seconds: number;
  message: string;
}

const NAMES = { HEALTHY: 'Healthy', UNHEALTHY: 'Unhealthy', UNKNOWN: 'Unknown' } as const;
const TIMEOUT_SECONDS = 30;
const RETRY_MS = 5000;
/** Messages are cut to what the API takes. */
const MESSAGE_LENGTH = 512;

export function watchHealth(endpoint: string, clock: Clock, changed: () => void): HealthWatch {
  const known = new Map<string, Said>();
  const caller: Caller = connect(DRA_HEALTH, endpoint, clock);
  let stopped = false;
  let retry: Timer | undefined;
  let expiry: Timer | undefined;
  const key = (pool: string, device: string) => JSON.stringify([pool, device]);
  const deadline = (s: Said) =>
    1000 *
    (s.last_updated_time + (s.health_check_timeout_seconds > 0 ? s.health_check_timeout_seconds : TIMEOUT_SECONDS));

  function look(): void {
    expiry?.cancel();
    const next = Math.min(...[...known.values()].map(deadline).filter((t) => t >= clock.now()));
    if (Number.isFinite(next))
      expiry = clock.after(next - clock.now() + 1, () => (look(), changed()), { background: true });
  }
  let stream: { cancel(): void } | undefined;
  function open(): void {
    stream = caller.stream<{ devices: Said[] }>(
      'NodeWatchResources',
      {},
      {
        message({ devices }) {
          for (const d of devices) if (d.device) known.set(key(d.device.pool_name, d.device.device_name), d);
          look();
          changed();
        },
        end(error) {
          if (stopped) return;
          if (known.size > 0) {
            known.clear();
            changed();
          }
          // the driver does not tell
          if (error.code === CODE.unimplemented) return;
          retry?.cancel();
          retry = clock.after(RETRY_MS, open, { background: true });
        },
      },
    );
  }
  open();

  return {
    of(pool, device) {
      const s = known.get(key(pool, device));
      if (!s || deadline(s) < clock.now()) return { health: 'Unknown' };
      return { health: NAMES[s.health], ...(s.message ? { message: s.message.slice(0, MESSAGE_LENGTH) } : {}) };
    },
    stop() {
      stopped = true;
      retry?.cancel();
      expiry?.cancel();
      stream?.cancel();
      caller.close();
    },
  };
}
