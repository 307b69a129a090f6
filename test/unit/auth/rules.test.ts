import assert from 'node:assert/strict';
import { bearerToken, headerValues, prefixedHeaders } from '../../../apiserver/authentication/headers.ts';
import { hasImpersonationHeaders, wantedUser } from '../../../apiserver/authentication/impersonation.ts';
import { jwtKey, parseJwt, signJwt, verifyJwt } from '../../../apiserver/authentication/jwt.ts';
import { createTokenFileAuthenticator } from '../../../apiserver/authentication/token-file.ts';
import {
  compactRules,
  describeRule,
  missingRules,
  pathMatches,
  ruleCoversResource,
} from '../../../apiserver/authorization/rules.ts';
import { selectsExactly, parseFieldRequirements } from '../../../apiserver/authorization/selectors.ts';
import { mergeTolerations } from '../../../apiserver/admission/plugins/runtime-class.ts';
import { generateKey } from '../../../base/pki.ts';

describe('RBAC rules', () => {
  it('match paths and their prefixes', () => {
    assert.ok(
      pathMatches('*', '/x') && pathMatches('/a', '/a') && pathMatches('/a/*', '/a/b/c') && pathMatches('/a*', '/a'),
    );
    assert.ok(!pathMatches('/a', '/a/b') && !pathMatches('/a/*', '/a') && !pathMatches('/a/*', '/b'));
  });
  it('match subresources by name, by their own name under any resource, and by *', () => {
    const covers = (resources: string[], resource: string, sub: string) =>
      ruleCoversResource({ verbs: ['*'], apiGroups: [''], resources }, 'get', '', resource, sub);
    assert.ok(covers(['pods/log'], 'pods', 'log') && covers(['*/scale'], 'x', 'scale') && covers(['*'], 'pods', 'log'));
    assert.ok(
      !covers(['pods'], 'pods', 'log') && !covers(['pods/log'], 'pods', '') && !covers(['*/scale'], 'pods', ''),
    );
  });
  it('cover what they grant and no more', () => {
    const owned = [
      { apiGroups: [''], resources: ['pods', '*/scale'], verbs: ['get', 'list'] },
      { apiGroups: ['apps'], resources: ['*'], resourceNames: ['a'], verbs: ['*'] },
      { nonResourceURLs: ['/healthz/*'], verbs: ['get'] },
    ];
    const missing = (rule: Parameters<typeof missingRules>[1][number]) => missingRules(owned, [rule]).map(describeRule);
    assert.deepEqual(
      missing({ apiGroups: [''], resources: ['pods', 'x/scale'], resourceNames: ['n'], verbs: ['get'] }),
      [],
    );
    assert.deepEqual(
      missing({ apiGroups: ['apps'], resources: ['deployments'], resourceNames: ['a'], verbs: ['patch'] }),
      [],
    );
    assert.deepEqual(missing({ apiGroups: ['apps'], resources: ['deployments'], verbs: ['get'] }), [
      '{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}',
    ]);
    assert.deepEqual(missing({ nonResourceURLs: ['/healthz/x', '/metrics'], verbs: ['get'] }), [
      '{NonResourceURLs:["/metrics"], Verbs:["get"]}',
    ]);
    assert.deepEqual(missing({ apiGroups: ['*'], resources: ['pods'], verbs: ['get'] }), [
      '{APIGroups:["*"], Resources:["pods"], Verbs:["get"]}',
    ]);
  });
  it('compact to one rule a target', () => {
    const rule = (verb: string) => ({ apiGroups: [''], resources: ['pods'], verbs: [verb] });
    assert.deepEqual(compactRules([rule('get'), rule('list'), rule('get')]), [
      { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
    ]);
  });
});

describe('field selectors for authorization', () => {
  it('read terms with escapes', () => {
    assert.deepEqual(parseFieldRequirements('a=b\\,c,d!=e,f=='), [
      { field: 'a', operator: '=', value: 'b,c' },
      { field: 'd', operator: '!=', value: 'e' },
      { field: 'f', operator: '=', value: '' },
    ]);
    assert.equal(parseFieldRequirements('nonsense'), undefined);
    assert.ok(selectsExactly('spec.nodeName=n1,x=y', 'spec.nodeName', 'n1'));
    assert.ok(!selectsExactly('spec.nodeName!=n1', 'spec.nodeName', 'n1') && !selectsExactly(undefined, 'a', 'b'));
  });
});

describe('headers of authentication', () => {
  const rawHeaders = ['X-Group', 'a, b', 'x-group', 'c', 'X-Extra-Some%2FKey', 'v'];
  const headers = { 'x-group': 'a, b, c', 'x-extra-some%2fkey': 'v' };
  it('keep repeated values apart', () => {
    assert.deepEqual(headerValues({ headers, rawHeaders }, 'x-group'), ['a, b', 'c']);
    assert.deepEqual([...prefixedHeaders({ headers, rawHeaders }, 'x-extra-')], [['some/key', ['v']]]);
  });
  it('find the token in either place', () => {
    assert.equal(bearerToken({ headers: { authorization: 'bearer t' } }), 't');
    assert.equal(bearerToken({ headers: { authorization: 'Basic t' } }), undefined);
    const protocol = `base64url.bearer.authorization.k8s.io.${Buffer.from('tok').toString('base64url')}`;
    assert.equal(bearerToken({ headers: { 'sec-websocket-protocol': `v4.channel.k8s.io, ${protocol}` } }), 'tok');
    assert.throws(() => bearerToken({ headers: { 'sec-websocket-protocol': protocol } }), { code: 400 });
  });
  it('see impersonation in any of its headers', () => {
    assert.ok(!hasImpersonationHeaders({ accept: 'x' }));
    assert.ok(hasImpersonationHeaders({ 'impersonate-extra-a': 'x' }));
    assert.throws(() => wantedUser({ headers: { 'impersonate-uid': 'x' } }), { code: 400 });
    assert.equal(wantedUser({ headers: { accept: 'x' } }), undefined);
  });
});

describe('tokens', () => {
  for (const algorithm of ['rsa-2048', 'ecdsa-p256'] as const) {
    it(`are signed and verified with ${algorithm}`, () => {
      const key = jwtKey(generateKey(algorithm));
      const other = jwtKey(generateKey(algorithm));
      const token = parseJwt(signJwt({ sub: 'x' }, key))!;
      assert.equal(token.header.kid, key.id);
      assert.ok(verifyJwt(token, [other, key]));
      assert.ok(!verifyJwt(token, [other]));
      assert.ok(!verifyJwt({ ...token, header: { ...token.header, alg: 'none' } }, [key]));
      assert.ok(!verifyJwt({ ...token, input: `${token.input}x` }, [key]));
    });
  }
  it('in a file name the line that is wrong', () => {
    assert.throws(() => createTokenFileAuthenticator('t,u,1\nonly-a-token\n'), /line 2/);
  });
});

describe('tolerations', () => {
  it('merge without those that others cover', () => {
    const all = { operator: 'Exists' };
    const one = { key: 'a', operator: 'Equal', value: 'b', effect: 'NoSchedule' };
    assert.deepEqual(mergeTolerations([one], [all]), [all]);
    assert.deepEqual(mergeTolerations([one], [{ ...one, value: 'c' }]).length, 2);
    assert.deepEqual(mergeTolerations([one], [one]), [one]);
  });
});
