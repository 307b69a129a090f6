import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import type { OutgoingHttpHeaders } from 'node:http';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { jwtKey, signJwt } from '../../../apiserver/authentication/jwt.ts';
import { createAuthority, generateKey, issue, keyToPem } from '../../../base/pki.ts';
import { namespaces, pods, secrets, serviceAccounts } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

const DAY = 86_400_000;
const proxyCa = createAuthority({ commonName: 'proxy-ca', notBefore: Date.now() - DAY, notAfter: Date.now() + DAY });
const proxyCert = (commonName: string) =>
  issue(proxyCa, {
    subject: { commonName },
    extendedUsages: ['client auth'],
    notBefore: Date.now() - DAY,
    notAfter: Date.now() + DAY,
  });

interface Answer {
  code: number;
  body: { status?: Record<string, unknown>; reason?: string; message?: string; [k: string]: unknown };
}

describe('authentication', () => {
  let server: TestServer;
  /** One request on a connection of its own. */
  function call(
    method: string,
    path: string,
    o: { headers?: OutgoingHttpHeaders; body?: unknown; cert?: { cert: string; key: string }; token?: string } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        ...o.headers,
        ...(o.token ? { authorization: `Bearer ${o.token}` } : {}),
      };
      const req = httpsRequest(
        `${server.url}${path}`,
        { method, ca: server.ca, agent: false, headers, ...o.cert },
        (res) => {
          const chunks: Buffer[] = [];
          res.on('data', (c: Buffer) => chunks.push(c));
          res.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            resolve({
              code: res.statusCode!,
              body: (text.startsWith('{') ? JSON.parse(text) : { text }) as Answer['body'],
            });
          });
        },
      );
      req.on('error', reject);
      req.end(o.body === undefined ? undefined : JSON.stringify(o.body));
    });
  }
  const whoAmI = async (o: Parameters<typeof call>[2]) => {
    const { code, body } = await call('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { ...o, body: {} });
    return {
      code,
      user: body.status?.['userInfo'] as {
        username: string;
        uid?: string;
        groups: string[];
        extra?: Record<string, string[]>;
      },
    };
  };

  before(async () => {
    server = await startTestServer({
      hooks: bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }),
      securityOptions: {
        bootstrapTokens: true,
        tokenFile: 'static-token,jo,7,"devs,ops"\n',
        requestHeader: {
          clientCa: proxyCa.cert,
          usernameHeaders: ['X-Remote-User'],
          groupHeaders: ['X-Remote-Group'],
          extraHeaderPrefixes: ['X-Remote-Extra-'],
          allowedNames: ['front'],
        },
      },
    });
    await server.client.create(serviceAccounts, { metadata: { name: 'robot', namespace: 'default' } });
  });
  after(() => server.stop());

  it('takes name and groups from a client certificate', async () => {
    const { user } = await whoAmI({ cert: server.identity('jane', 'a,b', 'c') });
    assert.equal(user.username, 'jane');
    assert.deepEqual(user.groups, ['a,b', 'c', 'system:authenticated']);
    assert.match(user.extra!['authentication.kubernetes.io/credential-id']![0]!, /^X509SHA256=[0-9a-f]{64}$/);
  });

  it('trusts no certificate that a client signed for another', async () => {
    const validity = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY };
    const own = issue(server.authority, { subject: { commonName: 'x' }, ...validity });
    const forged = issue(own, { subject: { commonName: 'admin', organizations: ['system:masters'] }, ...validity });
    assert.equal((await whoAmI({ cert: { cert: forged.cert + own.cert, key: forged.key } })).code, 401);
  });

  it('refuses certificates of strangers, of servers and of the past', async () => {
    const stranger = createAuthority({ commonName: 'x', notBefore: Date.now() - DAY, notAfter: Date.now() + DAY });
    const valid = {
      subject: { commonName: 'admin', organizations: ['system:masters'] },
      notBefore: Date.now() - DAY,
      notAfter: Date.now() + DAY,
    };
    for (const cert of [
      issue(stranger, { ...valid, extendedUsages: ['client auth'] }),
      issue(server.authority, { ...valid, extendedUsages: ['server auth'] }),
      issue(server.authority, { ...valid, extendedUsages: ['client auth'], notAfter: Date.now() - 1000 }),
    ]) {
      assert.equal((await whoAmI({ cert })).code, 401);
    }
  });

  it('lets strangers in as anonymous, but not those with a wrong token', async () => {
    assert.equal((await call('GET', '/version')).code, 200);
    const refused = await call('GET', '/api/v1/pods');
    assert.equal(refused.code, 403);
    assert.match(
      refused.body.message!,
      /User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope/,
    );
    assert.equal((await call('GET', '/version', { token: 'wrong' })).code, 401);
    assert.equal((await call('GET', '/version', { headers: { authorization: 'Basic eDp5' } })).code, 200);
  });

  it('knows static tokens', async () => {
    const { user } = await whoAmI({ token: 'static-token' });
    assert.deepEqual(user, { username: 'jo', uid: '7', groups: ['devs', 'ops', 'system:authenticated'] });
  });

  it('believes a front proxy, and only the one it knows', async () => {
    const headers = { 'X-Remote-User': 'far', 'X-Remote-Group': ['g1', 'g,2'], 'X-Remote-Extra-Some%2Fkey': 'v' };
    const { user } = await whoAmI({ cert: proxyCert('front'), headers });
    assert.deepEqual(user, {
      username: 'far',
      groups: ['g1', 'g,2', 'system:authenticated'],
      extra: { 'some/key': ['v'] },
    });
    assert.equal((await whoAmI({ cert: proxyCert('other'), headers })).code, 401);
    const client = await whoAmI({ cert: server.identity('jane'), headers });
    assert.equal(client.user.username, 'jane', 'an ordinary client can not speak for others');
  });

  it('issues tokens that die with what they are bound to', async () => {
    const pod = await server.client.create(pods, {
      metadata: { name: 'p', namespace: 'default' },
      spec: { serviceAccountName: 'robot', containers: [{ name: 'c', image: 'i' }] },
    });
    const request = (spec: object) =>
      call('POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', {
        cert: server.identity('admin', 'system:masters'),
        body: { spec },
      });
    const ref = { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: pod.metadata!.uid };
    assert.equal((await request({ boundObjectRef: { ...ref, uid: 'other' } })).code, 409);
    assert.equal((await request({ expirationSeconds: 10 })).code, 422);
    const bound = (await request({ boundObjectRef: ref, expirationSeconds: 3607 })).body.status!['token'] as string;
    const free = (await request({})).body.status!['token'] as string;
    const claims = JSON.parse(Buffer.from(bound.split('.')[1]!, 'base64url').toString()) as {
      exp: number;
      iat: number;
      'kubernetes.io': { warnafter: number };
    };
    assert.equal(claims.exp - claims.iat, 365 * 24 * 3600, 'tokens of kubelets live on and warn');
    assert.equal(claims['kubernetes.io'].warnafter - claims.iat, 3607);
    const { user } = await whoAmI({ token: bound });
    assert.equal(user.username, 'system:serviceaccount:default:robot');
    assert.deepEqual(user.groups, ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated']);
    assert.deepEqual(user.extra!['authentication.kubernetes.io/pod-name'], ['p']);
    const viaProtocol = await whoAmI({
      headers: {
        'sec-websocket-protocol': `base64url.bearer.authorization.k8s.io.${Buffer.from(bound).toString('base64url')}, v5.channel.k8s.io`,
      },
    });
    assert.equal(viaProtocol.user.username, 'system:serviceaccount:default:robot');
    const foreign = (await request({ audiences: ['elsewhere'] })).body.status!['token'] as string;
    assert.equal((await whoAmI({ token: foreign })).code, 401);
    const [head, body, signature] = bound.split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'system:serviceaccount:kube-system:admin' })).toString(
      'base64url',
    );
    assert.equal((await whoAmI({ token: `${head}.${forged}.${signature}` })).code, 401);
    assert.equal(
      (await whoAmI({ token: `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.` })).code,
      401,
    );

    const review = await call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      cert: server.identity('admin', 'system:masters'),
      body: { spec: { token: foreign, audiences: ['x', 'elsewhere'] } },
    });
    assert.equal(review.body.status!['authenticated'], true);
    assert.deepEqual(review.body.status!['audiences'], ['elsewhere']);

    await server.client.delete(pods, 'p', { namespace: 'default', gracePeriodSeconds: 0 });
    assert.equal((await whoAmI({ token: bound })).code, 401);
    assert.equal((await whoAmI({ token: free })).code, 201);
    await server.client.delete(serviceAccounts, 'robot', { namespace: 'default' });
    await server.client.create(serviceAccounts, { metadata: { name: 'robot', namespace: 'default' } });
    assert.equal((await whoAmI({ token: free })).code, 401, 'a new account of the same name is another one');
  });

  it('lets nodes in with bootstrap tokens until they expire', async () => {
    const b64 = (s: string) => Buffer.from(s).toString('base64');
    const make = (id: string, expiration: string) =>
      server.client.create(secrets, {
        metadata: { name: `bootstrap-token-${id}`, namespace: 'kube-system' },
        type: 'bootstrap.kubernetes.io/token',
        data: {
          'token-id': b64(id),
          'token-secret': b64('0123456789abcdef'),
          'usage-bootstrap-authentication': b64('true'),
          'auth-extra-groups': b64('system:bootstrappers:k8ts:workers'),
          expiration: b64(expiration),
        },
      });
    await make('abcdef', new Date(Date.now() + 60_000).toISOString());
    await make('abcdeg', new Date(Date.now() - 60_000).toISOString());
    const { user } = await whoAmI({ token: 'abcdef.0123456789abcdef' });
    assert.equal(user.username, 'system:bootstrap:abcdef');
    assert.deepEqual(user.groups, [
      'system:bootstrappers',
      'system:bootstrappers:k8ts:workers',
      'system:authenticated',
    ]);
    assert.equal((await whoAmI({ token: 'abcdef.0123456789abcdee' })).code, 401);
    assert.equal((await whoAmI({ token: 'abcdeg.0123456789abcdef' })).code, 401);
  });

  it('lets those impersonate who may, each part asked for', async () => {
    const admin = server.identity('admin', 'system:masters');
    const headers = {
      'Impersonate-User': 'eve',
      'Impersonate-Group': ['g1', 'g2'],
      'Impersonate-Extra-Scopes': ['s1', 's2'],
      'Impersonate-Uid': 'u',
    };
    const { user } = await whoAmI({ cert: admin, headers });
    assert.deepEqual(user, {
      username: 'eve',
      uid: 'u',
      groups: ['g1', 'g2', 'system:authenticated'],
      extra: { scopes: ['s1', 's2'] },
    });
    const account = await whoAmI({ cert: admin, headers: { 'Impersonate-User': 'system:serviceaccount:default:x' } });
    assert.deepEqual(account.user.groups, [
      'system:serviceaccounts',
      'system:serviceaccounts:default',
      'system:authenticated',
    ]);
    assert.equal((await whoAmI({ cert: admin, headers: { 'Impersonate-Group': 'g' } })).code, 400);
    assert.equal((await whoAmI({ cert: server.identity('bob'), headers: { 'Impersonate-User': 'eve' } })).code, 403);
  });

  it('publishes how tokens are verified', async () => {
    const cert = server.identity('admin', 'system:masters');
    const configuration = await call('GET', '/.well-known/openid-configuration', { cert });
    assert.equal(configuration.body['issuer'], 'https://kubernetes.default.svc.cluster.local');
    const keys = (await call('GET', '/openid/v1/jwks', { cert })).body['keys'] as { kid: string }[];
    const token = (
      await call('POST', '/api/v1/namespaces/default/serviceaccounts/robot/token', { cert, body: { spec: {} } })
    ).body.status!['token'] as string;
    const header = JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { kid: string };
    assert.ok(keys.some((k) => k.kid === header.kid));
  });

  it('keeps the namespaces of the system', async () => {
    await assert.rejects(server.client.delete(namespaces, 'kube-system'), { code: 403 });
  });
});

describe('legacy service account tokens', () => {
  const key = generateKey('ecdsa-p256');
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      securityOptions: {
        serviceAccounts: { issuers: ['https://issuer.example'], keys: [], signingKey: keyToPem(key) },
        authorizationModes: ['AlwaysAllow'],
      },
    });
  });
  after(() => server.stop());

  it('work while their Secret holds them, and leave a note of their use', async () => {
    const account = await server.client.create(serviceAccounts, { metadata: { name: 'old', namespace: 'default' } });
    const claim = (name: string) => `kubernetes.io/serviceaccount/${name}`;
    const token = signJwt(
      {
        iss: 'kubernetes/serviceaccount',
        sub: 'system:serviceaccount:default:old',
        [claim('namespace')]: 'default',
        [claim('secret.name')]: 'old-token',
        [claim('service-account.name')]: 'old',
        [claim('service-account.uid')]: account.metadata!.uid,
      },
      jwtKey(key),
    );
    const client = server.clientAs({ token });
    await assert.rejects(client.get(serviceAccounts, 'old', 'default'), { code: 401 });
    await server.client.create(secrets, {
      metadata: {
        name: 'old-token',
        namespace: 'default',
        annotations: { 'kubernetes.io/service-account.name': 'old' },
      },
      type: 'kubernetes.io/service-account-token',
      data: { token: Buffer.from(token).toString('base64') },
    });
    await client.get(serviceAccounts, 'old', 'default');
    const abort = new AbortController();
    for await (const event of server.client.watch(secrets, {
      namespace: 'default',
      sendInitialEvents: true,
      resourceVersionMatch: 'NotOlderThan',
      allowWatchBookmarks: true,
      signal: abort.signal,
    })) {
      if (
        event.object.metadata?.labels?.['kubernetes.io/legacy-token-last-used'] ===
        new Date().toISOString().slice(0, 10)
      )
        break;
    }
    await server.client.delete(secrets, 'old-token', { namespace: 'default' });
    await assert.rejects(client.get(serviceAccounts, 'old', 'default'), { code: 401 });
  });
});
