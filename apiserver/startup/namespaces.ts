/** The namespaces that every cluster has. */
import type { Writer } from '../registry/writer.ts';
import type { ObjectReader } from '../registry/definition.ts';

const SYSTEM_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease', 'default'];

/** Creates those that are missing. */
export async function ensureSystemNamespaces(reader: ObjectReader, writer: Writer): Promise<void> {
  for (const name of SYSTEM_NAMESPACES) {
    if (reader.get('namespaces', '', name)) continue;
    await writer.createIfAbsent('namespaces', '', { metadata: { name } });
  }
}
