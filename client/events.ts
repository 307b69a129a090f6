/** Records Events about objects: repeats within a while are counted on one Event, never blocks the caller. */
import { formatTime, type Clock, type Ids } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { isNotFound } from '../api/status.ts';
import type { CoreEvent } from '../api/types.ts';
import type { Client } from './client.ts';
import { events } from './resources.ts';

/** What an Event may be about. */
export interface EventTarget {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
}

export interface EventRecorder {
  /** `kind`/`apiVersion` fill in what objects from lists lack; `fieldPath` names a part, as `spec.containers{web}`. */
  event(
    target: EventTarget,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    more?: { kind?: string; apiVersion?: string; fieldPath?: string; annotations?: Record<string, string> },
  ): void;
  /** Resolves when all that was recorded is sent or given up. */
  flush(): Promise<void>;
}

const REMEMBER_MS = 10 * 60_000;
const MAX_BACKLOG = 1000;

export function createEventRecorder(options: {
  client: Client;
  clock: Clock;
  ids: Ids;
  logger: Logger;
  component: string;
  host?: string;
}): EventRecorder {
  const { client, clock, ids, logger } = options;
  const seen = new Map<string, { event: CoreEvent; at: number }>();
  let backlog = 0;
  let tail: Promise<void> = Promise.resolve();

  async function send(key: string, fresh: CoreEvent): Promise<void> {
    const have = seen.get(key);
    const now = clock.now();
    if (have && now - have.at < REMEMBER_MS) {
      const count = (have.event.count ?? 1) + 1;
      try {
        const event = await client.patch(
          events,
          have.event.metadata!.name!,
          'strategic',
          { count, lastTimestamp: fresh.lastTimestamp, message: fresh.message },
          { namespace: fresh.metadata!.namespace },
        );
        seen.set(key, { event, at: now });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    seen.set(key, { event: await client.create(events, fresh), at: now });
    if (seen.size > 4096) for (const [k, v] of seen) if (now - v.at > REMEMBER_MS || seen.size > 4096) seen.delete(k);
  }

  return {
    event(target, type, reason, message, more = {}) {
      if (backlog >= MAX_BACKLOG) return;
      const m = target.metadata ?? {};
      const namespace = m.namespace ?? 'default';
      const time = formatTime(clock.now());
      const event: CoreEvent = {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: {
          name: `${m.name}.${ids.uuid().replaceAll('-', '').slice(0, 16)}`,
          namespace,
          annotations: more.annotations,
        },
        involvedObject: {
          kind: target.kind ?? more.kind,
          namespace: m.namespace,
          name: m.name,
          uid: m.uid,
          apiVersion: target.apiVersion ?? more.apiVersion,
          resourceVersion: m.resourceVersion,
          fieldPath: more.fieldPath,
        },
        reason,
        message,
        type,
        source: { component: options.component, host: options.host },
        firstTimestamp: time,
        lastTimestamp: time,
        count: 1,
        reportingComponent: options.component,
        reportingInstance: options.host ?? '',
      };
      const key = [m.uid, m.namespace, m.name, event.involvedObject.kind, more.fieldPath, type, reason, message].join(
        '\0',
      );
      backlog++;
      tail = tail
        .then(() => send(key, event))
        .catch((error: unknown) => logger.debug('event not recorded', { reason, error }))
        .finally(() => backlog--);
    },
    flush: () => tail,
  };
}
