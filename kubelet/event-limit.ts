/** Bounds how many events the kubelet writes: eventRecordQPS and eventBurst. */
import type { Clock } from '../base/clock.ts';
import type { Client } from '../client/client.ts';
import { createThrottle } from './images/throttle.ts';

/** What stands for 0. */
const DEFAULT_QPS = 5;
const DEFAULT_BURST = 10;

/** The client, whose creations and patches wait until there may be one more. For an event recorder alone. */
export function limitWrites(client: Client, clock: Clock, perSecond: number, burst: number): Client {
  const rate = perSecond || DEFAULT_QPS;
  const may = createThrottle(clock, rate, burst || DEFAULT_BURST);
  const turn = async () => {
    while (!may()) await clock.sleep(1000 / rate);
  };
  const limited: Pick<Client, 'create' | 'patch'> = {
    create: async (...args) => (await turn(), client.create(...args)),
    patch: async (...args) => (await turn(), client.patch(...args)),
  };
  return Object.assign(Object.create(client) as Client, limited);
}
