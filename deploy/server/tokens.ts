/** Bootstrap tokens: what a new machine needs to join. They live as Secrets in kube-system. */
import { formatTime, type Clock, type Ids } from '../../base/clock.ts';
import type { Secret } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { secrets } from '../../client/resources.ts';

/** Group that tokens put their bearer into; bound to the roles a joining node needs. */
export const NODE_GROUP = 'system:bootstrappers:k8ts:default-node-token';

/** Six and sixteen lower-case letters and digits. */
function newToken(ids: Ids): { id: string; secret: string } {
  return { id: ids.suffix(6), secret: ids.suffix(16) };
}

const b64 = (s: string) => Buffer.from(s).toString('base64');

/** Stores a token; `ttlMs` undefined means that it never expires. Resolves with `id.secret`. */
export async function createToken(
  client: Client,
  deps: { clock: Clock; ids: Ids },
  options: { ttlMs?: number; description: string },
): Promise<string> {
  const { id, secret } = newToken(deps.ids);
  const data: Record<string, string> = {
    'token-id': b64(id),
    'token-secret': b64(secret),
    'usage-bootstrap-authentication': b64('true'),
    'usage-bootstrap-signing': b64('true'),
    'auth-extra-groups': b64(NODE_GROUP),
    description: b64(options.description),
  };
  if (options.ttlMs !== undefined) data['expiration'] = b64(formatTime(deps.clock.now() + options.ttlMs));
  const object: Secret = {
    metadata: { name: `bootstrap-token-${id}`, namespace: 'kube-system' },
    type: 'bootstrap.kubernetes.io/token',
    data,
  };
  await client.create(secrets, object);
  return `${id}.${secret}`;
}
