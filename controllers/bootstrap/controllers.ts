/** Bootstrap tokens: signs kube-public/cluster-info with them, and deletes those that have expired. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { isNotFound } from '../../api/status.ts';
import type { ConfigMap, DeepReadonly, Secret } from '../../api/types.ts';
import { configMaps, secrets } from '../../client/resources.ts';
import { select } from '../factory.ts';
import { defineController } from '../framework.ts';
import { body, keyFor, meta } from '../lib/meta.ts';
import { splitKey } from '../../client/informer.ts';

const TYPE = 'bootstrap.kubernetes.io/token';
const PREFIX = 'jws-kubeconfig-';
const tokenSecrets = select(secrets, { namespace: 'kube-system', fieldSelector: `type=${TYPE}` });

interface Token {
  id: string;
  secret: string;
  signs: boolean;
  /** Milliseconds since the epoch; undefined without end, NaN when it can't be read. */
  expires: number | undefined;
}

/** What a token Secret says; undefined when it is not well formed. Pure. */
export function readToken(s: DeepReadonly<Secret>): Token | undefined {
  const read = (k: string) => (s.data?.[k] === undefined ? undefined : Buffer.from(s.data[k], 'base64').toString());
  const id = read('token-id');
  const secret = read('token-secret');
  if (s.type !== TYPE || !id || !secret || meta(s).name !== `bootstrap-token-${id}`) return undefined;
  const expiration = read('expiration');
  return {
    id,
    secret,
    signs: read('usage-bootstrap-signing') === 'true',
    expires: expiration === undefined ? undefined : Date.parse(expiration),
  };
}

/** A detached JWS over the text: header and signature, without the text itself. Pure. */
export function detachedSignature(text: string, id: string, secret: string): string {
  const encode = (v: string) => Buffer.from(v).toString('base64url');
  const header = encode(JSON.stringify({ alg: 'HS256', kid: id }));
  const signature = createHmac('sha256', secret)
    .update(`${header}.${encode(text)}`)
    .digest('base64url');
  return `${header}..${signature}`;
}

const same = (a: string, b: string) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

export const bootstrapSignerController = defineController({
  name: 'bootstrap-signer-controller',
  account: 'bootstrap-signer',
  offByDefault: true,
  inputs: {
    tokens: tokenSecrets,
    info: select(configMaps, { namespace: 'kube-public', fieldSelector: 'metadata.name=cluster-info' }),
  },
  outputs: ['update configmaps'],
  workers: () => 1,
  triggers: { tokens: () => ['sign'], info: () => ['sign'] },
  async reconcile(_key, { informers, client, clock }) {
    const info = informers.info.get('cluster-info', 'kube-public');
    const kubeconfig = info?.data?.['kubeconfig'];
    if (!info || kubeconfig === undefined) return;
    const now = clock.now();
    const data: Record<string, string> = {};
    for (const [k, v] of Object.entries(info.data ?? {})) if (!k.startsWith(PREFIX)) data[k] = v;
    for (const s of informers.tokens.list()) {
      const token = readToken(s);
      if (!token?.signs || (token.expires !== undefined && !(token.expires > now))) continue;
      data[PREFIX + token.id] = detachedSignature(kubeconfig, token.id, token.secret);
    }
    const old = info.data ?? {};
    if (
      Object.keys(old).length === Object.keys(data).length &&
      Object.entries(data).every(([k, v]) => old[k] !== undefined && same(old[k], v))
    )
      return;
    await client.update(configMaps, { ...body<ConfigMap>(info), data });
  },
});

export const tokenCleanerController = defineController({
  name: 'token-cleaner-controller',
  account: 'token-cleaner',
  offByDefault: true,
  inputs: { tokens: tokenSecrets },
  outputs: ['delete secrets'],
  workers: () => 1,
  triggers: { tokens: (s) => [keyFor(meta(s).namespace, meta(s).name)] },
  async reconcile(key, { informers, client, clock }) {
    const { name, namespace } = splitKey(key);
    const secret = informers.tokens.get(name, namespace);
    const expires = secret && readToken(secret)?.expires;
    if (!secret || expires === undefined) return;
    const left = expires - clock.now();
    if (left > 0) return { requeueAfterMs: left };
    await client
      .delete(secrets, name, { namespace, preconditions: { uid: meta(secret).uid } })
      .catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  },
});
