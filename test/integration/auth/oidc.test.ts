import assert from 'node:assert/strict';
import { request } from 'node:https';
import {
  loopbackCa,
  signingKey,
  signToken,
  startConfigured,
  startLoopback,
  type ConfiguredServer,
  type Loopback,
  type SigningKey,
} from './loopback.ts';

interface User {
  username: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

describe('tokens of identity providers', () => {
  let issuer: Loopback;
  let keys: SigningKey[];
  let api: ConfiguredServer;
  const claims = (more: object = {}) => ({
    iss: issuer.url,
    aud: 'cluster',
    sub: 'jo',
    exp: Math.floor(Date.now() / 1000) + 600,
    ...more,
  });
  const token = (more: object = {}, key = keys[0]!) => signToken(claims(more), key);

  function call(path: string, bearer?: string, body?: object): Promise<{ code: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      };
      const options = { method: body ? 'POST' : 'GET', ca: api.server.ca, agent: false, headers } as const;
      const req = request(`${api.server.url}${path}`, options, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (c: string) => (text += c));
        res.on('end', () => resolve({ code: res.statusCode!, text }));
      });
      req.on('error', reject);
      req.end(body && JSON.stringify(body));
    });
  }
  async function who(bearer: string): Promise<User | number> {
    const { code, text } = await call('/apis/authentication.k8s.io/v1/selfsubjectreviews', bearer, {});
    return code === 201 ? (JSON.parse(text) as { status: { userInfo: User } }).status.userInfo : code;
  }
  const jwt = (more: object) => ({
    issuer: { url: issuer.url, audiences: ['cluster'], certificateAuthority: loopbackCa.cert },
    ...more,
  });
  const file = (parts: object) =>
    JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration', ...parts });
  const full = () =>
    file({
      jwt: [
        jwt({
          claimMappings: {
            username: { expression: '"oidc:" + claims.sub' },
            groups: { expression: 'claims.?roles.orValue([]).map(r, "r-" + r)' },
            uid: { claim: 'oid' },
            extra: [{ key: 'example.com/tenant', valueExpression: 'claims.?tenant.orValue("")' }],
          },
          claimValidationRules: [
            { claim: 'hd', requiredValue: 'example.com' },
            { expression: 'claims.exp - claims.iat <= 86400', message: 'too long a life' },
          ],
          userValidationRules: [{ expression: '!user.username.endsWith(":root")', message: 'no roots here' }],
        }),
      ],
      anonymous: { enabled: true, conditions: [{ path: '/livez' }] },
    });
  const good = () => ({ oid: '7', hd: 'example.com', iat: Math.floor(Date.now() / 1000) });

  before(async () => {
    keys = [signingKey('RS256', 'first')];
    issuer = await startLoopback((c) => {
      if (c.path === '/.well-known/openid-configuration')
        return { body: { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` } };
      return c.path === '/keys' ? { body: { keys: keys.map((k) => k.jwk) } } : { code: 404, body: {} };
    });
    api = await startConfigured(['--authentication-config=@authn'], () => ({ authn: full() }));
  });
  after(async () => {
    await api.stop();
    await issuer.stop();
  });

  it('are mapped to users by claims and expressions', async () => {
    const user = await who(token({ ...good(), roles: ['dev', 'ops'], tenant: 'blue', jti: 'j1' }));
    assert.deepEqual(user, {
      username: 'oidc:jo',
      uid: '7',
      groups: ['r-dev', 'r-ops', 'system:authenticated'],
      extra: { 'example.com/tenant': ['blue'], 'authentication.kubernetes.io/credential-id': ['JTI=j1'] },
    });
  });

  it('are refused when anything about them is wrong, and nothing is told', async () => {
    const now = Math.floor(Date.now() / 1000);
    const forged = `${token(good()).split('.').slice(0, 2).join('.')}.${token({ ...good(), sub: 'x' }).split('.')[2]}`;
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token(good()).split('.')[1]}.`;
    const bad: Record<string, string> = {
      audience: token({ ...good(), aud: ['other'] }),
      expired: token({ ...good(), exp: now - 1 }),
      endless: token({ ...good(), exp: undefined }),
      early: token({ ...good(), nbf: now + 3600 }),
      issuer: token({ ...good(), iss: 'https://elsewhere' }),
      forged,
      none,
      stranger: token(good(), signingKey('RS256', 'first')),
      claim: token({ ...good(), hd: 'evil.com' }),
      life: token({ ...good(), iat: now - 90_000 }),
      user: token({ ...good(), sub: 'x:root' }),
      uid: token({ ...good(), oid: undefined }),
    };
    for (const [what, t] of Object.entries(bad)) {
      const { code, text } = await call('/api/v1/pods', t);
      assert.equal(code, 401, what);
      assert.equal((JSON.parse(text) as { message: string }).message, 'Unauthorized', what);
    }
  });

  it('say to TokenReview what is wrong without showing claims', async () => {
    const review = async (t: string, audiences?: string[]) => {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token: t, audiences } };
      const made = await api.server.client.request<{ status: Record<string, unknown> }>({
        method: 'POST',
        path: '/apis/authentication.k8s.io/v1/tokenreviews',
        body,
      });
      return made.status;
    };
    const ok = await review(token(good()));
    assert.deepEqual([ok['authenticated'], ok['audiences']], [true, ['https://kubernetes.default.svc.cluster.local']]);
    assert.notEqual((await review(token(good()), ['elsewhere']))['authenticated'], true);
    const long = await review(token({ ...good(), iat: 1, sub: 'secret-name' }));
    assert.match(String(long['error']), /too long a life/);
    const broken = await review(token({ ...good(), iat: 'secret-name' }));
    assert.match(String(broken['error']), /has no value for this token/);
    assert.doesNotMatch(JSON.stringify([long, broken]), /secret-name/);
  });

  it('may be signed with each algorithm, and with keys that came later', async () => {
    for (const alg of ['RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512']) {
      keys = [signingKey(alg, `k-${alg}`)];
      assert.equal(((await who(token(good()))) as User).username, 'oidc:jo', alg);
    }
    const before = issuer.calls.length;
    for (let i = 0; i < 5; i++) await who(token({ ...good(), sub: `u${i}` }));
    assert.equal(issuer.calls.length, before, 'known keys are not fetched again');
    // a signature of the right key under the wrong algorithm
    const es = keys[0]!;
    assert.equal(await who(token(good(), { ...es, alg: 'ES256' })), 401);
  });

  it('leave anonymous requests the paths that are named, on one connection too', async () => {
    assert.deepEqual(
      [(await call('/livez')).code, (await call('/readyz')).code, (await call('/api/v1/pods')).code],
      [200, 401, 401],
    );
    const { Agent } = await import('node:https');
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: api.server.ca });
    const get = (path: string) =>
      new Promise<number>((resolve, reject) =>
        request(`${api.server.url}${path}`, { agent }, (res) => res.resume().on('end', () => resolve(res.statusCode!)))
          .on('error', reject)
          .end(),
      );
    assert.deepEqual([await get('/livez'), await get('/version'), await get('/livez')], [200, 401, 200]);
    agent.destroy();
  });

  it('follow the file, and keep the old state when it is wrong', async () => {
    const t = token(good());
    api.write('authn', file({ jwt: [jwt({ claimMappings: { username: { claim: 'nope' } } })] }));
    api.reload();
    assert.equal(((await who(t)) as User).username, 'oidc:jo');
    api.write('authn', file({ jwt: [jwt({ claimMappings: { username: { claim: 'sub', prefix: 'new:' } } })] }));
    api.reload();
    assert.equal(((await who(t)) as User).username, 'new:jo');
    assert.equal((await call('/readyz')).code, 200, 'anonymous is what the flag says again');
    api.write('authn', file({}));
    api.reload();
    assert.equal(await who(t), 401);
  });

  it('work by flags alone', async () => {
    keys = [signingKey('RS256', 'flags')];
    const flags = [
      `--oidc-issuer-url=${issuer.url}`,
      '--oidc-client-id=cluster',
      '--oidc-ca-file=@ca',
      '--oidc-groups-claim=roles',
      '--oidc-groups-prefix=g:',
      '--oidc-required-claim=hd=a,b=c',
    ];
    const other = api;
    api = await startConfigured(flags, () => ({ ca: loopbackCa.cert }));
    try {
      const user = (await who(token({ hd: 'a,b=c', roles: 'dev' }))) as User;
      assert.deepEqual([user.username, user.groups], [`${issuer.url}#jo`, ['g:dev', 'system:authenticated']]);
      assert.equal(await who(token({ hd: 'a' })), 401);
      keys.push(signingKey('ES256', 'es'));
      assert.equal(await who(token({ hd: 'a,b=c' }, keys[1]!)), 401, 'RS256 is the only algorithm by default');
    } finally {
      await api.stop();
      api = other;
    }
  });

  it('wait for nobody: an issuer that is down refuses its own tokens only', async () => {
    const gone = await startLoopback(() => ({ body: {} }));
    const url = gone.url;
    await gone.stop();
    const other = api;
    const down = { issuer: { url, audiences: ['cluster'] }, claimMappings: { username: { claim: 'sub', prefix: '' } } };
    api = await startConfigured(['--authentication-config=@authn'], () => ({ authn: file({ jwt: [down] }) }));
    try {
      assert.equal(await who(signToken({ ...claims(), iss: url }, keys[0]!)), 401);
      assert.equal((await call('/readyz')).code, 200);
    } finally {
      await api.stop();
      api = other;
    }
  });
});
