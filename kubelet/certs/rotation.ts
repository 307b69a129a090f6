/** Certificates of a node, replaced in time. */
import type { Clock, Rand, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Handle, MetricsRegistry } from '../../base/metrics.ts';
import type { Client } from '../../client/client.ts';
import { requestCertificate, type SignedPair } from './csr.ts';
import { loadCertificate, rotationTime, storeCertificate, type StoredCertificate } from './store.ts';
import type { Subject } from './pem.ts';

export interface Rotation {
  /** When the certificate in use ends, in milliseconds since the epoch; undefined without one. */
  expires(): number | undefined;
  stop(): void;
}

/** Shows how long the certificate in use will last; nothing while there is none. */
export function showExpiry(registry: MetricsRegistry, clock: Clock, side: 'client' | 'server', of: Rotation): void {
  const ttl = registry.gauge(
    `kubelet_certificate_manager_${side}_ttl_seconds`,
    `Seconds until the ${side} certificate ends.`,
  );
  registry.onCollect(() => {
    const at = of.expires();
    if (at !== undefined) ttl.set([], Math.trunc((at - clock.now()) / 1000));
  });
}

/** Asks for the next certificate in time; `first` asks at once when there is none. */
export function rotate(options: {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  dir: string;
  name: string;
  signer: 'kubernetes.io/kube-apiserver-client-kubelet' | 'kubernetes.io/kubelet-serving';
  subject(): Subject;
  changed(pair: SignedPair): void;
  /** Counts what could not be renewed. */
  failures?: Handle;
}): Rotation {
  const { clock, logger } = options;
  const stopping = new AbortController();
  let timer: Timer | undefined;
  const MAX_TIMER = 2 ** 31 - 1;
  let have: StoredCertificate | undefined = loadCertificate(options.dir, options.name);

  function schedule(): void {
    const at = have ? rotationTime(have, options.rand.next()) : 0;
    const wait = Math.max(at - clock.now(), 0);
    timer = clock.after(Math.min(wait, MAX_TIMER), () => (wait > MAX_TIMER ? schedule() : void renew()), {
      background: true,
    });
  }
  async function renew(): Promise<void> {
    try {
      const pair = await requestCertificate({
        ...options,
        subject: options.subject(),
        patienceMs: 15 * 60_000,
        signal: stopping.signal,
      });
      have = storeCertificate(options.dir, options.name, pair, clock.now());
      options.changed(pair);
      logger.info('certificate renewed', { name: options.name });
      schedule();
    } catch (error) {
      if (stopping.signal.aborted) return;
      if (options.failures) options.failures.value++;
      logger.warn('certificate not renewed', { name: options.name, error: (error as Error).message });
      timer = clock.after(30_000, () => void renew(), { background: true });
    }
  }
  schedule();
  return {
    expires: () => have?.notAfter,
    stop() {
      stopping.abort(new Error('stopped'));
      timer?.cancel();
    },
  };
}
