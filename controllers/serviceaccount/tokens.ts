/** Fills Secrets of type kubernetes.io/service-account-token with a token, and removes those of accounts that are gone. */
import { createHash, createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { isConflict, isNotFound } from '../../api/status.ts';
import type { Secret } from '../../api/types.ts';
import { splitKey } from '../../client/informer.ts';
import { secrets, serviceAccounts } from '../../client/resources.ts';
import { select } from '../factory.ts';
import { defineController } from '../framework.ts';
import { body, keyFor, meta } from '../lib/meta.ts';
import { concurrency } from '../options.ts';

const TYPE = 'kubernetes.io/service-account-token';
const NAME = 'kubernetes.io/service-account.name';
const UID = 'kubernetes.io/service-account.uid';
const ISSUER = 'kubernetes/serviceaccount';

/** The id by which verifiers find the public key. */
export function keyId(key: KeyObject): string {
  const spki = createPublicKey(key.export({ type: 'pkcs8', format: 'pem' })).export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64url');
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token without end for an account, bound to a Secret. */
function legacyToken(
  key: KeyObject,
  account: { namespace: string; name: string; uid: string },
  secret: string,
): string {
  const rsa = key.asymmetricKeyType === 'rsa';
  const header = { alg: rsa ? 'RS256' : 'ES256', kid: keyId(key) };
  const claims = {
    iss: ISSUER,
    'kubernetes.io/serviceaccount/namespace': account.namespace,
    'kubernetes.io/serviceaccount/secret.name': secret,
    'kubernetes.io/serviceaccount/service-account.name': account.name,
    'kubernetes.io/serviceaccount/service-account.uid': account.uid,
    sub: `system:serviceaccount:${account.namespace}:${account.name}`,
  };
  const text = `${encode(header)}.${encode(claims)}`;
  const signature = sign('sha256', Buffer.from(text), rsa ? key : { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

export const serviceAccountTokenController = defineController({
  name: 'serviceaccount-token-controller',
  account: 'tokens-controller',
  rootCredentials: true,
  inputs: { accounts: serviceAccounts, secrets: select(secrets, { fieldSelector: `type=${TYPE}` }) },
  outputs: ['update,delete secrets'],
  workers: concurrency('serviceaccount-token'),
  enabled: (options) => options.serviceAccountPrivateKey !== undefined,
  state: ({ options }) => createPrivateKey(options.serviceAccountPrivateKey!),
  triggers: {
    secrets: 'self',
    accounts: (account, { informers }) => {
      const { namespace, name } = meta(account);
      return informers.secrets
        .list(namespace)
        .filter((s) => s.metadata?.annotations?.[NAME] === name)
        .map((s) => keyFor(namespace, meta(s).name));
    },
  },
  async reconcile(key, { informers, client, options, state }) {
    const { name, namespace } = splitKey(key);
    const secret = informers.secrets.get(name, namespace);
    const accountName = secret?.metadata?.annotations?.[NAME];
    if (!secret || !accountName) return;
    const wantedUid = secret.metadata?.annotations?.[UID];
    let account = informers.accounts.get(accountName, namespace);
    if (!account || (wantedUid && wantedUid !== meta(account).uid)) {
      // The cache may be behind: the account may just have been made.
      account = await client.get(serviceAccounts, accountName, namespace).catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
      if (!account || (wantedUid && wantedUid !== meta(account).uid)) {
        await client
          .delete(secrets, name, { namespace, preconditions: { uid: meta(secret).uid } })
          .catch((error: unknown) => {
            if (!isNotFound(error) && !isConflict(error)) throw error;
          });
        return;
      }
    }
    const ca = options.rootCA === undefined ? undefined : Buffer.from(options.rootCA).toString('base64');
    const data = { ...secret.data };
    const complete = data['token'] && data['namespace'] && (ca === undefined || data['ca.crt'] === ca) && wantedUid;
    if (complete) return;
    const { uid } = meta(account);
    const token =
      data['token'] ??
      Buffer.from(legacyToken(state, { namespace: namespace!, name: accountName, uid }, name)).toString('base64');
    const have = body<Secret>(secret);
    await client.update(secrets, {
      ...have,
      metadata: { ...have.metadata, annotations: { ...have.metadata?.annotations, [NAME]: accountName, [UID]: uid } },
      data: {
        ...data,
        token,
        namespace: Buffer.from(namespace!).toString('base64'),
        ...(ca === undefined ? {} : { 'ca.crt': ca }),
      },
    });
  },
});
