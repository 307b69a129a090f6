import assert from 'node:assert/strict';
import { FlagError, Flags, parseFlags } from '../../../apiserver/flags.ts';
import { accessFromFlags } from '../../../apiserver/startup/access-options.ts';

const HOOK = JSON.stringify({
  clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1/x' } }],
  users: [],
  contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
  'current-context': 'x',
});

/** What these flags come to; `@` stands for a file with the given content, `/hook` is a kubeconfig. */
function read(flags: readonly string[], content: unknown = {}) {
  const files: Record<string, string> = {
    '@': typeof content === 'string' ? content : JSON.stringify(content),
    '/hook': HOOK,
    '/empty': '{}',
  };
  return accessFromFlags(new Flags(parseFlags(flags)), (path) => {
    if (files[path] === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return Buffer.from(files[path]);
  });
}
const refuses = (flags: readonly string[], content: unknown, message: RegExp) =>
  assert.throws(
    () => read(flags, content),
    (error: unknown) => {
      assert.ok(error instanceof FlagError, String(error));
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n\s+at /);
      return true;
    },
  );

const CONFIG = 'apiserver.config.k8s.io/v1';
const authn = (parts: object) => ({ apiVersion: CONFIG, kind: 'AuthenticationConfiguration', ...parts });
const authz = (authorizers: unknown) => ({ apiVersion: CONFIG, kind: 'AuthorizationConfiguration', authorizers });
const issuer = { url: 'https://issuer', audiences: ['a'] };
const username = { claim: 'sub', prefix: '' };
const entry = { issuer, claimMappings: { username } };
const jwt = (more: object) => authn({ jwt: [{ ...entry, ...more }] });
const expression = (text: string) => jwt({ claimMappings: { username: { expression: text } } });

describe('flags for access', () => {
  const combinations: [string[], RegExp][] = [
    [['--oidc-issuer-url=https://x'], /^--oidc-issuer-url and --oidc-client-id must be specified together$/],
    [['--oidc-client-id=x'], /must be specified together$/],
    [
      ['--oidc-issuer-url=http://x', '--oidc-client-id=x'],
      /^the --oidc-\* flags can't be used: .*scheme must be https/,
    ],
    [['--oidc-issuer-url=https://x', '--oidc-client-id=x', '--oidc-signing-algs=HS256'], /HS256 is unknown/],
    [['--oidc-issuer-url=https://x', '--oidc-client-id=x', '--oidc-required-claim=a'], /no key=value pair$/],
    [
      ['--oidc-issuer-url=https://x', '--oidc-client-id=x', '--oidc-ca-file=/gone'],
      /--oidc-ca-file: \/gone can't be read/,
    ],
    [['--authentication-config=/gone'], /^--authentication-config: \/gone can't be read \(ENOENT\)$/],
    [['--authentication-config=@', '--oidc-client-id=x'], /^--authentication-config and --oidc-\* flags are mutually/],
    [['--authentication-token-webhook-config-file=/empty'], /the kubeconfig has no current context$/],
    [['--authentication-token-webhook-version=v2'], /"v2" is unknown; known are v1, v1beta1$/],
    [['--authorization-mode=Webhook'], /^--authorization-mode with Webhook needs --authorization-webhook-config-file$/],
    [['--authorization-webhook-config-file=/hook'], /needs --authorization-mode with Webhook$/],
    [['--authorization-mode=RBAC,RBAC'], /"RBAC" is given more than once$/],
    [['--authorization-mode=ABAC'], /--authorization-policy-file/],
    [['--authorization-config=@', '--authorization-mode=RBAC'], /^--authorization-config can not be specified when/],
    [['--authorization-config=@', '--authorization-webhook-version=v1'], /^--authorization-config can not be/],
    [['--enable-admission-plugins=EventRateLimit'], /EventRateLimit needs limits/],
  ];
  for (const [flags, message] of combinations)
    it(`refuse ${flags.join(' ')}`, () => refuses(flags, authn({}), message));

  it('have the defaults of kube-apiserver', () => {
    const { security } = read(['--authorization-mode=Webhook,RBAC', '--authorization-webhook-config-file=/hook']);
    const [first, second] = security.authorizers;
    assert.ok(first?.type === 'Webhook');
    const { version, authorizedTtlMs, unauthorizedTtlMs, timeoutMs, onFailure } = first.webhook;
    assert.deepEqual(
      [version, authorizedTtlMs, unauthorizedTtlMs, timeoutMs, onFailure, second?.type],
      ['v1beta1', 300_000, 30_000, 30_000, 'noOpinion', 'RBAC'],
    );
    assert.deepEqual(read([]).security.authorizers, [{ type: 'AlwaysAllow', name: 'alwaysallow' }]);
    const mapping = (flags: string[]) =>
      read(['--oidc-issuer-url=https://x', '--oidc-client-id=c', ...flags]).security.configuration!.jwt![0]!
        .claimMappings.username;
    assert.deepEqual(mapping([]), { claim: 'sub', prefix: 'https://x#' });
    assert.deepEqual(mapping(['--oidc-username-claim=email']), { claim: 'email', prefix: '' });
    assert.deepEqual(mapping(['--oidc-username-prefix=-']), { claim: 'sub', prefix: '' });
  });
});

describe('--authentication-config', () => {
  const cases: [string, unknown, RegExp][] = [
    ['text', 'a: [', /neither YAML nor JSON/],
    ['another kind', authz([]), /expected kind AuthenticationConfiguration/],
    ['an unknown field', authn({ jwt: [{ isuer: {} }] }), /unknown field "jwt\[0\]\.isuer"$/],
    ['a wrong type', authn({ jwt: {} }), /jwt must be a list$/],
    [
      'a repeated field',
      'apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nkind: x',
      /twice$/,
    ],
    ['no issuer', authn({ jwt: [{}] }), /jwt\[0\]\.issuer\.url: Required value.*username: Required value/],
    ['http', jwt({ issuer: { ...issuer, url: 'http://x' } }), /URL scheme must be https/],
    ['a password', jwt({ issuer: { ...issuer, url: 'https://u:p@x' } }), /must not contain a username/],
    ['its own issuer', jwt({ issuer: { ...issuer, url: 'https://me' } }), /must not overlap with disallowed issuers/],
    ['no audience', jwt({ issuer: { url: 'https://x' } }), /audiences: Required value/],
    [
      'many audiences',
      jwt({ issuer: { ...issuer, audiences: ['a', 'b'] } }),
      /must be MatchAny for multiple audiences/,
    ],
    [
      'the same discovery',
      jwt({ issuer: { ...issuer, discoveryURL: 'https://issuer/' } }),
      /must be different from URL/,
    ],
    [
      'no certificate',
      jwt({ issuer: { ...issuer, certificateAuthority: 'x' } }),
      /certificateAuthority: .*"<omitted>"/,
    ],
    ['two of an issuer', authn({ jwt: [entry, entry] }), /jwt\[1\]\.issuer\.url: Duplicate value/],
    ['no prefix', jwt({ claimMappings: { username: { claim: 'sub' } } }), /prefix is required when claim is set/],
    ['bad CEL', expression('claims.('), /username\.expression: .*compilation failed/],
    ['unknown names', expression('user.username'), /compilation failed/],
    ['an unguarded address', expression('claims.email'), /claims\.email_verified must be used/],
    ['a rule without a truth', jwt({ claimValidationRules: [{ expression: '"x"' }] }), /must evaluate to bool/],
    ['both ways', jwt({ claimValidationRules: [{ expression: 'true', claim: 'x' }] }), /can't both be set/],
    [
      'a reserved key',
      jwt({ claimMappings: { username, extra: [{ key: 'a.k8s.io/x', valueExpression: '"x"' }] } }),
      /are reserved for Kubernetes use/,
    ],
    [
      'a key without domain',
      jwt({ claimMappings: { username, extra: [{ key: 'x', valueExpression: '"x"' }] } }),
      /must be a domain-prefixed path/,
    ],
    [
      'conditions for nobody',
      authn({ anonymous: { enabled: false, conditions: [{ path: '/' }] } }),
      /enabled should be/,
    ],
  ];
  for (const [what, content, message] of cases)
    it(`refuses ${what}`, () =>
      refuses(['--authentication-config=@', '--service-account-issuer=https://me'], content, message));

  it('takes an address that is looked at', () => {
    const guarded = 'claims.?email_verified.orValue(true) == true ? claims.email : claims.sub';
    for (const text of [guarded, 'claims.email_verified ? claims.email : "x"'])
      assert.ok(read(['--authentication-config=@'], expression(text)).security.configuration);
    const rule = { claimValidationRules: [{ expression: 'claims.email_verified == true' }] };
    const config = jwt({ claimMappings: { username: { expression: 'claims.email' } }, ...rule });
    assert.ok(read(['--authentication-config=@'], config).security.configuration);
  });
  it('goes with --anonymous-auth unless it says the same', () => {
    const flags = ['--authentication-config=@', '--anonymous-auth=false'];
    assert.equal(read(flags, authn({})).security.anonymous, false);
    refuses(flags, authn({ anonymous: { enabled: true } }), /--anonymous-auth can not be given/);
  });
});

describe('--authorization-config', () => {
  const hook = (more: object) =>
    authz([
      {
        type: 'Webhook',
        name: 'w',
        webhook: {
          timeout: '3s',
          subjectAccessReviewVersion: 'v1',
          failurePolicy: 'Deny',
          connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: '/hook' },
          ...more,
        },
      },
    ]);
  const conditions = (...texts: string[]) =>
    hook({
      matchConditionSubjectAccessReviewVersion: 'v1',
      matchConditions: texts.map((t) => ({ expression: t })),
    });
  const cases: [string, unknown, RegExp][] = [
    ['nothing', authz([]), /at least one authorization mode must be defined/],
    ['an unknown type', authz([{ type: 'Nope', name: 'x' }]), /Unsupported value: "Nope"/],
    ['no name', authz([{ type: 'RBAC' }]), /authorizers\[0\]\.name: Required value/],
    ['a bad name', authz([{ type: 'RBAC', name: 'A_b' }]), /authorizer name is invalid/],
    [
      'RBAC twice',
      authz([
        { type: 'RBAC', name: 'a' },
        { type: 'RBAC', name: 'b' },
      ]),
      /Duplicate value: "RBAC"/,
    ],
    [
      'a name twice',
      authz([
        { type: 'RBAC', name: 'a' },
        { type: 'Node', name: 'a' },
      ]),
      /Duplicate value: "a"/,
    ],
    ['no webhook', authz([{ type: 'Webhook', name: 'w' }]), /required when type=Webhook/],
    [
      'a webhook for RBAC',
      authz([{ type: 'RBAC', name: 'a', webhook: {} }]),
      /may only be specified when type=Webhook/,
    ],
    ['no timeout', hook({ timeout: null }), /timeout: Required value/],
    ['a long timeout', hook({ timeout: '31s' }), /must be > 0s and <= 30s/],
    ['negative times', hook({ authorizedTTL: '-1s' }), /authorizedTTL: Invalid value: "-1s"/],
    ['no policy', hook({ failurePolicy: '' }), /failurePolicy: Required value/],
    ['another version', hook({ subjectAccessReviewVersion: 'v2' }), /Unsupported value: "v2"/],
    ['a relative path', hook({ connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: 'x' } }), /absolute path/],
    ['no file', hook({ connectionInfo: { type: 'KubeConfigFile', kubeConfigFile: '/no' } }), /error loading file/],
    ['conditions of no version', hook({ matchConditions: [{ expression: 'true' }] }), /required if match conditions/],
    ['a condition twice', conditions('true', 'true'), /Duplicate value/],
    ['no truth', conditions('request.user'), /must evaluate to bool but got string/],
    ['unknown fields', conditions('request.nope == ""'), /compilation failed/],
  ];
  for (const [what, content, message] of cases)
    it(`refuses ${what}`, () => refuses(['--authorization-config=@'], content, message));

  it('caches as it is told', () => {
    const ttl = (more: object) => {
      const [entry] = read(['--authorization-config=@'], hook(more)).security.authorizers;
      assert.ok(entry?.type === 'Webhook');
      return [entry.webhook.authorizedTtlMs, entry.webhook.unauthorizedTtlMs];
    };
    assert.deepEqual(ttl({}), [300_000, 30_000]);
    assert.deepEqual(ttl({ authorizedTTL: '1m', cacheUnauthorizedRequests: false }), [60_000, 0]);
  });
});

describe('--admission-control-config-file', () => {
  const file = (plugins: object[]) => ({ apiVersion: CONFIG, kind: 'AdmissionConfiguration', plugins });
  const podSecurity = (more: object) =>
    file([
      {
        name: 'PodSecurity',
        configuration: {
          apiVersion: 'pod-security.admission.config.k8s.io/v1',
          kind: 'PodSecurityConfiguration',
          ...more,
        },
      },
    ]);
  const limits = (list: object[]) =>
    file([
      {
        name: 'EventRateLimit',
        configuration: {
          apiVersion: 'eventratelimit.admission.k8s.io/v1alpha1',
          kind: 'Configuration',
          limits: list,
        },
      },
    ]);
  const cases: [string, unknown, RegExp][] = [
    ['plugins that take none', file([{ name: 'Nope', configuration: {} }]), /plugin "Nope" can not be configured/],
    ['a plugin twice', file([{ name: 'PodSecurity' }, { name: 'PodSecurity' }]), /configured twice/],
    ['a level', podSecurity({ defaults: { enforce: 'strict' } }), /defaults\.enforce: .*"strict"/],
    ['a version', podSecurity({ defaults: { 'warn-version': '1.2' } }), /defaults\.warn-version/],
    ['an exemption twice', podSecurity({ exemptions: { namespaces: ['a', 'a'] } }), /Duplicate value: "a"/],
    ['a misspelt exemption', podSecurity({ exemptions: { users: ['a'] } }), /unknown field "exemptions\.users"/],
    ['no limits', limits([]), /must not be empty/],
    ['a limit of nothing', limits([{ type: 'User', qps: 0, burst: 1 }]), /limits\[0\]\.qps: .*must be positive/],
    ['a missing file', file([{ name: 'PodSecurity', path: '/gone' }]), /can't be read \(ENOENT\)/],
  ];
  for (const [what, content, message] of cases)
    it(`refuses ${what}`, () => refuses(['--admission-control-config-file=@'], content, message));
});
