/**
 * Who asks: the API server speaks for its users with the front proxy's certificate; others show a certificate or a token
 * of their own. https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
 */
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Client } from '../client/client.ts';
import { createDelegatedAuth, type User } from '../client/delegated-auth.ts';
import { createInformer } from '../client/informer.ts';
import { configMaps } from '../client/resources.ts';

export interface AccessOptions {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
}

export interface Access {
  /** PEM of the authorities that client certificates may be of. */
  readonly authorities: readonly string[];
  onChange(listener: () => void): void;
  /** Resolves when the authorities are known. */
  synced(): Promise<void>;
  /** Undefined: nobody that is known. */
  user(req: IncomingMessage): Promise<User | undefined>;
  /** Undefined when allowed, else why not. */
  refusal(user: User, what: AccessTo): Promise<string | undefined>;
  close(): void;
}
export interface AccessTo {
  verb: string;
  group: string;
  version: string;
  resource: string;
  namespace?: string;
  name?: string;
}

const TTL_MS = 10_000;

interface FrontProxy {
  readonly ca: string;
  readonly names: readonly string[];
  readonly user: readonly string[];
  readonly uid: readonly string[];
  readonly groups: readonly string[];
  readonly extra: readonly string[];
}

export function createAccess(options: AccessOptions): Access {
  const { client, clock } = options;
  const auth = createDelegatedAuth({
    client,
    clock,
    x509: true,
    tokens: true,
    anonymous: true,
    tokenTtlMs: TTL_MS,
    allowedTtlMs: TTL_MS,
    deniedTtlMs: TTL_MS,
  });
  let proxy: FrontProxy | undefined;
  let authorities: string[] = [];
  let changed = (): void => {};
  const published = createInformer(configMaps, {
    ...options,
    namespace: 'kube-system',
    fieldSelector: 'metadata.name=extension-apiserver-authentication',
  });
  const take = (map: { readonly data?: Readonly<Record<string, string>> }) => {
    const data = map.data ?? {};
    const list = (key: string): string[] => JSON.parse(data[key] ?? '[]') as string[];
    const ca = data['requestheader-client-ca-file'];
    proxy =
      ca === undefined
        ? undefined
        : {
            ca,
            names: list('requestheader-allowed-names'),
            user: list('requestheader-username-headers'),
            uid: list('requestheader-uid-headers'),
            groups: list('requestheader-group-headers'),
            extra: list('requestheader-extra-headers-prefix'),
          };
    authorities = [data['client-ca-file'], ca].filter((x) => x !== undefined);
    changed();
  };
  published.on({ added: take, updated: take });
  published.start();

  /** The user that the front proxy names; undefined when the request isn't its. */
  function spokenFor(req: IncomingMessage): User | undefined {
    const socket = req.socket as TLSSocket;
    if (!proxy || !socket.authorized) return undefined;
    const peer = socket.getPeerCertificate();
    if (!peer?.raw || !isIssuedBy(new X509Certificate(peer.raw), proxy.ca)) return undefined;
    const name = String(peer.subject?.CN ?? '');
    if (proxy.names.length > 0 && !proxy.names.includes(name)) return undefined;
    const header = (names: readonly string[]) => {
      for (const n of names) {
        const v = req.headersDistinct[n.toLowerCase()];
        if (v?.length) return v;
      }
      return undefined;
    };
    const user = header(proxy.user)?.[0];
    if (!user) return undefined;
    const extra: Record<string, string[]> = {};
    for (const prefix of proxy.extra)
      for (const [key, values] of Object.entries(req.headersDistinct))
        if (key.startsWith(prefix.toLowerCase()) && values)
          extra[decodeURIComponent(key.slice(prefix.length))] = values;
    return { name: user, uid: header(proxy.uid)?.[0], groups: header(proxy.groups) ?? [], extra };
  }

  return {
    get authorities() {
      return authorities;
    },
    onChange: (listener) => (changed = listener),
    synced: () => published.synced(),
    async user(req) {
      const spoken = spokenFor(req);
      if (spoken) return spoken;
      const socket = req.socket as TLSSocket;
      const raw = socket.authorized ? socket.getPeerCertificate()?.raw : undefined;
      // The front proxy's certificates say who carries a request, not who asks.
      if (raw && proxy && isIssuedBy(new X509Certificate(raw), proxy.ca)) return undefined;
      return auth.authenticate(req);
    },
    async refusal(user, what) {
      if (user.groups.includes('system:masters')) return undefined;
      return auth.authorize(user, { resource: what });
    },
    close: () => published.stop(),
  };
}

function isIssuedBy(cert: X509Certificate, authorities: string): boolean {
  for (const pem of authorities.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []) {
    const ca = new X509Certificate(pem);
    if (cert.checkIssued(ca) && cert.verify(ca.publicKey)) return true;
  }
  return false;
}
