/** Says since when uses of legacy service account tokens would have been seen: controllers wait for it (KEP-2799). */
import type { Clock } from '../../base/clock.ts';
import { isAlreadyExists } from '../../api/status.ts';
import type { ConfigMap } from '../../api/types.ts';
import type { ObjectReader } from '../registry/definition.ts';
import type { Writer } from '../registry/writer.ts';

const NAME = 'kube-apiserver-legacy-service-account-token-tracking';

/** Creates the ConfigMap with today's date unless it is there. */
export async function ensureLegacyTokenTracking(reader: ObjectReader, writer: Writer, clock: Clock): Promise<void> {
  if (reader.get('configmaps', 'kube-system', NAME)) return;
  const map: ConfigMap = {
    metadata: { name: NAME, namespace: 'kube-system' },
    data: { since: new Date(clock.now()).toISOString().slice(0, 10) },
  };
  try {
    await writer.create('configmaps', 'kube-system', map);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}
