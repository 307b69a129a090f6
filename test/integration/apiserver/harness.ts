/** A real API server in this process: memory store, free port, a PKI of its own. For everybody's integration tests. */
import type { App } from '../../../apiserver/app.ts';
import { start, type RunningServer, type StartOptions } from '../../../apiserver/start.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { createSecurity, type SecurityOptions } from '../../../apiserver/security.ts';
import { createAuthority, issue, type Identity } from '../../../base/pki.ts';
import { createClient, type Client, type ClientOptions } from '../../../client/client.ts';

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly app: App;
  /** The server alone, to stop it while clients still listen. */
  readonly running: RunningServer;
  /** PEM of the authority that signed the server's and the clients' certificates. */
  readonly ca: string;
  readonly authority: Identity;
  /** As a member of system:masters. */
  readonly client: Client;
  /** A certificate for any user. */
  identity(name: string, ...groups: string[]): Identity;
  /** A client with such a certificate, or with other options (a token). */
  clientAs(user: { name: string; groups?: string[] } | Partial<ClientOptions>): Client;
  stop(): Promise<void>;
}

export interface TestServerOptions extends Partial<StartOptions> {
  securityOptions?: Partial<SecurityOptions>;
}

let shared: { authority: Identity; serving: Identity; admin: Identity } | undefined;
const DAY = 86_400_000;

function validity() {
  const now = Date.now();
  return { notBefore: now - DAY, notAfter: now + 10 * DAY };
}

function pki() {
  if (shared) return shared;
  const authority = createAuthority({ commonName: 'test-ca', ...validity() });
  const serving = issue(authority, {
    subject: { commonName: 'kube-apiserver' },
    altNames: { dns: ['localhost', 'kubernetes', 'kubernetes.default.svc'], ip: ['127.0.0.1', '10.96.0.1'] },
    extendedUsages: ['server auth'],
    ...validity(),
  });
  const admin = issueUser(authority, 'admin', ['system:masters']);
  return (shared = { authority, serving, admin });
}

/** What signs the certificates of all test servers and their clients. */
export const testAuthority = (): Identity => pki().authority;

function issueUser(authority: Identity, name: string, groups: readonly string[]): Identity {
  return issue(authority, {
    subject: { commonName: name, organizations: [...groups] },
    extendedUsages: ['client auth'],
    ...validity(),
  });
}

/** Starts a server; up in well under a second. Call `stop` when the test is done. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { authority, serving, admin } = pki();
  const { securityOptions, ...rest } = options;
  const server = await start({
    tls: { cert: serving.cert, key: serving.key, clientCa: [authority.cert] },
    bindAddress: '127.0.0.1',
    securePort: 0,
    hooks: bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'], clientCa: authority.cert }),
    security: createSecurity({
      clientCa: authority.cert,
      serviceAccounts: { issuers: ['https://kubernetes.default.svc.cluster.local'], keys: [], signingKey: serving.key },
      authorizationModes: ['Node', 'RBAC'],
      ...securityOptions,
    }),
    ...rest,
  });
  const url = `https://127.0.0.1:${server.port}`;
  const clients: Client[] = [];
  const make = (o: Partial<ClientOptions>): Client => {
    const c = createClient({ server: url, ca: authority.cert, userAgent: 'test/1.0', ...o } as ClientOptions);
    clients.push(c);
    return c;
  };
  return {
    url,
    port: server.port,
    app: server.app,
    running: server,
    ca: authority.cert,
    authority,
    client: make({ cert: admin.cert, key: admin.key }),
    identity: (name, ...groups) => issueUser(authority, name, groups),
    clientAs(user) {
      if (!('name' in user)) return make(user);
      const id = issueUser(authority, user.name, user.groups ?? []);
      return make({ cert: id.cert, key: id.key });
    },
    async stop() {
      await server.stop();
      for (const c of clients) c.close();
    },
  };
}
