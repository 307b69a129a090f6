/** AuthenticationConfiguration of apiserver.config.k8s.io (KEP-3331): read, checked, its expressions compiled. */
import type { Program } from '../../api/cel/index.ts';
import { duplicate, invalid, notSupported, Path, required, tooMany, type FieldError } from '../../api/field-errors.ts';
import { isDNS1123Subdomain } from '../../api/validation/names.ts';
import { readBundle } from '../../base/pki.ts';
import { readConfig, refuse, type ConfigKind, type Shape } from '../startup/config-file.ts';
import { createClaimsCompiler, readsClaim, type ClaimsCompiler } from './claims-cel.ts';

interface ClaimOrExpression {
  claim?: string;
  expression?: string;
}
type Prefixed = ClaimOrExpression & { prefix?: string };

/** One issuer of tokens, as the file has it. */
export interface JwtAuthenticatorConfig {
  issuer: {
    url?: string;
    discoveryURL?: string;
    certificateAuthority?: string;
    audiences?: string[];
    audienceMatchPolicy?: string;
    egressSelectorType?: string;
  };
  claimValidationRules?: { claim?: string; requiredValue?: string; expression?: string; message?: string }[];
  claimMappings: {
    username?: Prefixed;
    groups?: Prefixed;
    uid?: ClaimOrExpression;
    extra?: { key?: string; valueExpression?: string }[];
  };
  userValidationRules?: { expression?: string; message?: string }[];
}

export interface AnonymousConfig {
  enabled: boolean;
  /** Paths that may be asked for anonymously; all when absent. */
  conditions?: readonly { path: string }[];
}

export interface AuthenticationConfiguration {
  jwt?: JwtAuthenticatorConfig[];
  anonymous?: AnonymousConfig;
}

/** Where a value comes from: a claim with a prefix, or an expression. */
export type Mapping = { readonly claim: string; readonly prefix: string } | { readonly program: Program };
interface Rule {
  readonly program: Program;
  readonly message: string;
}

/** One issuer, ready to work with. */
export interface JwtIssuer {
  readonly url: string;
  readonly discoveryUrl: string;
  readonly ca: string | undefined;
  readonly audiences: readonly string[];
  readonly username: Mapping;
  readonly groups: Mapping | undefined;
  readonly uid: Mapping | undefined;
  readonly extra: readonly { readonly key: string; readonly program: Program }[];
  readonly requiredClaims: readonly { readonly claim: string; readonly value: string }[];
  readonly claimRules: readonly Rule[];
  readonly userRules: readonly Rule[];
}

const object = (fields: Record<string, Shape>): Shape => ({ fields });
const list = (of: Shape): Shape => ({ list: of });
const CLAIM = { claim: 'string', expression: 'string' } as const;
const KIND: ConfigKind = {
  kind: 'AuthenticationConfiguration',
  apiVersions: ['v1', 'v1beta1', 'v1alpha1'].map((v) => `apiserver.config.k8s.io/${v}`),
  fields: {
    jwt: list(
      object({
        issuer: object({
          url: 'string',
          discoveryURL: 'string',
          certificateAuthority: 'string',
          audiences: list('string'),
          audienceMatchPolicy: 'string',
          egressSelectorType: 'string',
        }),
        claimValidationRules: list(
          object({ claim: 'string', requiredValue: 'string', expression: 'string', message: 'string' }),
        ),
        claimMappings: object({
          username: object({ ...CLAIM, prefix: 'string' }),
          groups: object({ ...CLAIM, prefix: 'string' }),
          uid: object(CLAIM),
          extra: list(object({ key: 'string', valueExpression: 'string' })),
        }),
        userValidationRules: list(object({ expression: 'string', message: 'string' })),
      }),
    ),
    anonymous: object({ enabled: 'bool', conditions: list(object({ path: 'string' })) }),
  },
};

/** Reads the text of --authentication-config. Throws a ConfigError. */
export function readAuthenticationConfig(text: string): AuthenticationConfiguration {
  const config = readConfig(text, KIND) as { jwt?: Partial<JwtAuthenticatorConfig>[]; anonymous?: AnonymousConfig };
  return {
    ...config,
    jwt: config.jwt?.map((j) => ({ ...j, issuer: j.issuer ?? {}, claimMappings: j.claimMappings ?? {} })),
    anonymous: config.anonymous && { ...config.anonymous, enabled: config.anonymous.enabled ?? false },
  };
}

/** Checks a configuration and compiles it. Throws a ConfigError that names everything that is wrong. */
export function compileAuthentication(
  config: AuthenticationConfiguration,
  ownIssuers: readonly string[],
): { issuers: JwtIssuer[]; anonymous: AnonymousConfig | undefined } {
  const errors: FieldError[] = [];
  const root = Path.root('jwt');
  const jwt = config.jwt ?? [];
  if (jwt.length > 64) refuse([tooMany(root, jwt.length, 64)]);
  const compiler = createClaimsCompiler();
  const urls = new Set<string>();
  const discoveries = new Set<string>();
  const issuers = jwt.map((j, i) => {
    const path = root.index(i);
    const made = compileIssuer(j, path, ownIssuers, compiler, errors);
    const { url = '', discoveryURL = '' } = j.issuer;
    if (urls.has(url)) errors.push(duplicate(path.child('issuer', 'url'), url));
    if (discoveryURL !== '' && discoveries.has(discoveryURL))
      errors.push(duplicate(path.child('issuer', 'discoveryURL'), discoveryURL));
    urls.add(url);
    discoveries.add(discoveryURL);
    return made;
  });
  const { anonymous } = config;
  if (anonymous && !anonymous.enabled && anonymous.conditions?.length) {
    errors.push(
      invalid(
        'anonymous.conditions',
        anonymous.conditions,
        'enabled should be set to true when conditions are defined',
      ),
    );
  }
  refuse(errors);
  return { issuers, anonymous };
}

function checkUrl(text: string, path: Path, disallowed: readonly string[], errors: FieldError[]): void {
  const bad = (why: string) => errors.push(invalid(path, text, why));
  if (disallowed.includes(text))
    bad(`URL must not overlap with disallowed issuers: [${[...disallowed].sort().join(' ')}]`);
  if (!URL.canParse(text)) return void bad('must be a URL');
  const url = new URL(text);
  if (url.protocol !== 'https:') bad('URL scheme must be https');
  if (url.username !== '' || url.password !== '') bad('URL must not contain a username or password');
  if (url.search !== '') bad('URL must not contain a query');
  if (url.hash !== '') bad('URL must not contain a fragment');
}

const withoutSlash = (text: string) => text.replace(/\/+$/, '');

function checkIssuer(
  issuer: JwtAuthenticatorConfig['issuer'],
  path: Path,
  ownIssuers: readonly string[],
  errors: FieldError[],
): void {
  const { url = '', discoveryURL = '', audiences = [], audienceMatchPolicy = '' } = issuer;
  if (url === '') errors.push(required(path.child('url')));
  else checkUrl(url, path.child('url'), ownIssuers, errors);
  if (discoveryURL !== '') {
    if (url !== '' && withoutSlash(url) === withoutSlash(discoveryURL))
      errors.push(invalid(path.child('discoveryURL'), discoveryURL, 'discoveryURL must be different from URL'));
    checkUrl(discoveryURL, path.child('discoveryURL'), [], errors);
  }
  const at = path.child('audiences');
  if (audiences.length === 0) errors.push(required(at, `at least one ${String(at)} is required`));
  audiences.forEach((a, i) => {
    if (a === '') errors.push(required(at.index(i)));
    if (audiences.indexOf(a) < i) errors.push(duplicate(at.index(i), a));
  });
  const policy = path.child('audienceMatchPolicy');
  if (audiences.length > 1 && audienceMatchPolicy !== 'MatchAny')
    errors.push(invalid(policy, audienceMatchPolicy, 'audienceMatchPolicy must be MatchAny for multiple audiences'));
  if (audiences.length === 1 && audienceMatchPolicy !== '' && audienceMatchPolicy !== 'MatchAny')
    errors.push(
      invalid(policy, audienceMatchPolicy, 'audienceMatchPolicy must be empty or MatchAny for single audience'),
    );
  if (issuer.certificateAuthority) {
    let certs = 0;
    try {
      certs = readBundle(issuer.certificateAuthority).length;
    } catch {
      // the same as none
    }
    if (certs === 0) errors.push(invalid(path.child('certificateAuthority'), '<omitted>', 'it holds no certificate'));
  }
  if (issuer.egressSelectorType)
    errors.push(notSupported(path.child('egressSelectorType'), issuer.egressSelectorType, []));
}

function checkExtraKey(key: string, path: Path, errors: FieldError[]): void {
  const [domain, ...rest] = key.split('/');
  if (key === '') errors.push(required(path));
  else if (rest.length === 0 || rest.join('/') === '' || domain === '')
    errors.push(invalid(path, key, 'must be a domain-prefixed path (such as "acme.io/foo")'));
  else {
    for (const why of isDNS1123Subdomain(domain!)) errors.push(invalid(path, domain, why));
    if (!/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(rest.join('/')))
      errors.push(invalid(path, rest.join('/'), 'Invalid path'));
  }
  if (key !== key.toLowerCase()) errors.push(invalid(path, key, 'must be lowercase'));
  if (rest.length > 0 && /(^|\.)(kubernetes|k8s)\.io$/.test(domain!))
    errors.push(invalid(path, key, 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use'));
}

function compileIssuer(
  j: JwtAuthenticatorConfig,
  path: Path,
  ownIssuers: readonly string[],
  compiler: ClaimsCompiler,
  errors: FieldError[],
): JwtIssuer {
  checkIssuer(j.issuer, path.child('issuer'), ownIssuers, errors);
  /** Sources in which the use of an e-mail address may be guarded. */
  const guards: string[] = [];
  const before = errors.length;

  const claimRules: Rule[] = [];
  const requiredClaims: { claim: string; value: string }[] = [];
  const seen = new Set<string>();
  (j.claimValidationRules ?? []).forEach((rule, i) => {
    const at = path.child('claimValidationRules').index(i);
    const { claim = '', expression = '', message = '', requiredValue = '' } = rule;
    if (claim !== '' && expression !== '')
      return void errors.push(invalid(at, claim, "claim and expression can't both be set"));
    if (claim === '' && expression === '') return void errors.push(required(at, 'claim or expression is required'));
    const part = claim === '' ? 'expression' : 'claim';
    const text = claim === '' ? expression : claim;
    if (claim !== '' && message !== '')
      errors.push(invalid(at.child('message'), message, 'may not be specified when claim is set'));
    if (claim === '' && requiredValue !== '')
      errors.push(invalid(at.child('requiredValue'), requiredValue, 'may not be specified when expression is set'));
    if (seen.has(`${part} ${text}`)) return void errors.push(duplicate(at.child(part), text));
    seen.add(`${part} ${text}`);
    if (claim !== '') return void requiredClaims.push({ claim, value: requiredValue });
    const program = compiler.compile('claims', expression, at.child('expression'), errors, 'bool');
    if (!program) return;
    guards.push(expression);
    claimRules.push({ program, message: message || `failed expression: ${expression}` });
  });

  const mappings = path.child('claimMappings');
  const prefixed = (m: Prefixed | undefined, at: Path, needed: boolean): Mapping | undefined => {
    const { claim = '', expression = '', prefix } = m ?? {};
    if (claim !== '' && expression !== '') errors.push(invalid(at, '', "claim and expression can't both be set"));
    else if (expression !== '') {
      if (prefix !== undefined)
        errors.push(invalid(at.child('prefix'), prefix, 'may not be specified when expression is set'));
      const program = compiler.compile('claims', expression, at.child('expression'), errors);
      return program && { program };
    } else if (claim !== '') {
      if (prefix === undefined)
        errors.push(
          required(
            at.child('prefix'),
            'prefix is required when claim is set. It can be set to an empty string to disable prefixing',
          ),
        );
      return { claim, prefix: prefix ?? '' };
    } else if (needed) errors.push(required(at, 'claim or expression is required'));
    return undefined;
  };
  const { username: name, uid: id } = j.claimMappings;
  const username = prefixed(name, mappings.child('username'), true);
  const groups = prefixed(j.claimMappings.groups, mappings.child('groups'), false);
  let uid: Mapping | undefined;
  if (id?.claim && id.expression)
    errors.push(invalid(mappings.child('uid'), '', "claim and expression can't both be set"));
  else if (id?.claim) uid = { claim: id.claim, prefix: '' };
  else if (id?.expression) {
    const program = compiler.compile('claims', id.expression, mappings.child('uid', 'expression'), errors);
    uid = program && { program };
  }

  const extra: { key: string; program: Program }[] = [];
  const keys = new Set<string>();
  (j.claimMappings.extra ?? []).forEach(({ key = '', valueExpression = '' }, i) => {
    const at = mappings.child('extra').index(i);
    checkExtraKey(key, at.child('key'), errors);
    if (keys.has(key)) return void errors.push(duplicate(at.child('key'), key));
    keys.add(key);
    if (valueExpression === '') return void errors.push(required(at.child('valueExpression')));
    const program = compiler.compile('claims', valueExpression, at.child('valueExpression'), errors);
    if (!program) return;
    guards.push(valueExpression);
    extra.push({ key, program });
  });
  const source = name?.expression ?? '';
  if (source !== '' && errors.length === before && readsClaim(source, 'email')) {
    if (![source, ...guards].some((g) => readsClaim(g, 'email_verified')))
      errors.push(
        invalid(
          mappings.child('username', 'expression'),
          source,
          'claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression',
        ),
      );
  }

  const userRules: Rule[] = [];
  const rules = new Set<string>();
  (j.userValidationRules ?? []).forEach(({ expression = '', message = '' }, i) => {
    const at = path.child('userValidationRules').index(i).child('expression');
    if (expression === '') return void errors.push(required(at));
    if (rules.has(expression)) return void errors.push(duplicate(at, expression));
    rules.add(expression);
    const program = compiler.compile('user', expression, at, errors, 'bool');
    if (program) userRules.push({ program, message: message || `failed expression: ${expression}` });
  });

  const url = j.issuer.url ?? '';
  return {
    url,
    discoveryUrl: j.issuer.discoveryURL || `${withoutSlash(url)}/.well-known/openid-configuration`,
    ca: j.issuer.certificateAuthority || undefined,
    audiences: j.issuer.audiences ?? [],
    // Without one there was an error, and what is returned here goes nowhere.
    username: username ?? { claim: '', prefix: '' },
    groups,
    uid,
    extra,
    requiredClaims,
    claimRules,
    userRules,
  };
}
