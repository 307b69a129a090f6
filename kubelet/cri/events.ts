/**
 * Changes as they happen, from containerd's own event service: CRI's GetContainerEvents is not there before containerd 1.7.
 * https://github.com/containerd/containerd/tree/main/api/services/events
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { connect, defineService } from '../grpc.ts';
import type { RuntimeEvent } from './types.ts';

/** The few messages that are needed; every event read here has the container's id in field 1. */
const DESCRIPTORS = {
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: { Any: { fields: { type_url: { type: 'string', id: 1 }, value: { type: 'bytes', id: 2 } } } },
        },
      },
    },
    containerd: {
      nested: {
        services: {
          nested: {
            events: {
              nested: {
                v1: {
                  nested: {
                    SubscribeRequest: { fields: { filters: { rule: 'repeated', type: 'string', id: 1 } } },
                    Envelope: {
                      fields: {
                        namespace: { type: 'string', id: 2 },
                        topic: { type: 'string', id: 3 },
                        event: { type: 'google.protobuf.Any', id: 4 },
                      },
                    },
                    Events: {
                      methods: {
                        Subscribe: { requestType: 'SubscribeRequest', responseType: 'Envelope', responseStream: true },
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

const TOPICS: Record<string, RuntimeEvent['type']> = {
  '/tasks/exit': 'exited',
  '/tasks/oom': 'oom',
};

interface Envelope {
  namespace: string;
  topic: string;
  event?: { type_url: string; value: Buffer };
}

/** The strings in fields 1 and 2 of a protobuf message that begins with them. */
export function firstStrings(message: Buffer): { first: string; second: string } {
  const out = { first: '', second: '' };
  let at = 0;
  while (at < message.length) {
    const tag = message[at]!;
    const field = tag >> 3;
    if ((tag & 7) !== 2 || field > 2) break;
    let length = 0;
    let shift = 0;
    at++;
    for (; at < message.length; shift += 7) {
      const byte = message[at++]!;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    const text = message.toString('utf8', at, at + length);
    if (field === 1) out.first = text;
    else out.second = text;
    at += length;
  }
  return out;
}

/** Subscribes and subscribes again after a break, until the signal is aborted. */
export function watchContainerdEvents(options: {
  address: string;
  clock: Clock;
  logger: Logger;
  signal: AbortSignal;
  event(event: RuntimeEvent): void;
  lost(): void;
}): void {
  const { clock, logger, signal } = options;
  const client = connect(defineService(DESCRIPTORS, 'containerd.services.events.v1.Events'), options.address, clock);
  const filters = Object.keys(TOPICS).map((topic) => `namespace==k8s.io,topic=="${topic}"`);

  function subscribe(): void {
    if (signal.aborted) return;
    const cancel = () => stream.cancel();
    const stream = client.stream<Envelope>(
      'Subscribe',
      { filters },
      {
        message(envelope) {
          const type = TOPICS[envelope.topic];
          if (!type || !envelope.event) return;
          const { first, second } = firstStrings(envelope.event.value);
          // an exec inside a container exits too: its id differs from the container's
          if (type === 'exited' && second !== '' && second !== first) return;
          options.event({ type, id: first });
        },
        end(error) {
          signal.removeEventListener('abort', cancel);
          if (signal.aborted) return;
          logger.debug('runtime events ended', { error });
          options.lost();
          clock.after(1000, subscribe, { background: true });
        },
      },
    );
    signal.addEventListener('abort', cancel, { once: true });
  }
  subscribe();
  signal.addEventListener('abort', () => client.close(), { once: true });
}
