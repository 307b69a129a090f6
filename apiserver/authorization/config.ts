/** AuthorizationConfiguration of apiserver.config.k8s.io (KEP-3221): read, checked, its conditions compiled. */
import { isAbsolute } from 'node:path';
import { duplicate, invalid, notSupported, Path, required, tooMany, type FieldError } from '../../api/field-errors.ts';
import { isDNS1123Subdomain } from '../../api/validation/names.ts';
import { readWebhookKubeconfig, type WebhookAddress } from '../authentication/remote.ts';
import type { AbacPolicy } from './abac.ts';
import { ConfigError, readConfig, refuse, type ConfigKind, type Shape } from '../startup/config-file.ts';
import { createConditionCompiler, type MatchConditions } from './match-conditions.ts';

export type AuthorizerType = 'AlwaysAllow' | 'AlwaysDeny' | 'Node' | 'RBAC' | 'Webhook';
const TYPES: readonly AuthorizerType[] = ['AlwaysAllow', 'AlwaysDeny', 'Node', 'RBAC', 'Webhook'];

/** How a webhook is asked. */
export interface AuthorizationWebhook {
  readonly address: WebhookAddress;
  readonly version: 'v1' | 'v1beta1';
  readonly timeoutMs: number;
  /** How long answers are good, in milliseconds; 0 for not at all. */
  readonly authorizedTtlMs: number;
  readonly unauthorizedTtlMs: number;
  /** What counts when it can't be asked. */
  readonly onFailure: 'noOpinion' | 'deny';
  readonly conditions?: MatchConditions;
}

/** One authorizer of the chain. */
export type AuthorizerEntry =
  | { readonly type: Exclude<AuthorizerType, 'Webhook'>; readonly name: string }
  /** By the flags only; a configuration file can't name it. */
  | { readonly type: 'ABAC'; readonly name: string; readonly policies: readonly AbacPolicy[] }
  | { readonly type: 'Webhook'; readonly name: string; readonly webhook: AuthorizationWebhook };

interface WebhookFields {
  authorizedTTL?: number;
  cacheAuthorizedRequests?: boolean;
  unauthorizedTTL?: number;
  cacheUnauthorizedRequests?: boolean;
  timeout?: number;
  subjectAccessReviewVersion?: string;
  matchConditionSubjectAccessReviewVersion?: string;
  failurePolicy?: string;
  connectionInfo?: { type?: string; kubeConfigFile?: string };
  matchConditions?: { expression?: string }[];
}

const object = (fields: Record<string, Shape>): Shape => ({ fields });
const KIND: ConfigKind = {
  kind: 'AuthorizationConfiguration',
  apiVersions: ['v1', 'v1beta1', 'v1alpha1'].map((v) => `apiserver.config.k8s.io/${v}`),
  fields: {
    authorizers: {
      list: object({
        type: 'string',
        name: 'string',
        webhook: object({
          authorizedTTL: 'duration',
          cacheAuthorizedRequests: 'bool',
          unauthorizedTTL: 'duration',
          cacheUnauthorizedRequests: 'bool',
          timeout: 'duration',
          subjectAccessReviewVersion: 'string',
          matchConditionSubjectAccessReviewVersion: 'string',
          failurePolicy: 'string',
          connectionInfo: object({ type: 'string', kubeConfigFile: 'string' }),
          matchConditions: { list: object({ expression: 'string' }) },
        }),
      }),
    },
  },
};

/** Reads the text of --authorization-config. Throws a ConfigError that names everything that is wrong. */
export function readAuthorizationConfig(text: string, readFile: (path: string) => Buffer): AuthorizerEntry[] {
  const config = readConfig(text, KIND) as {
    authorizers?: { type?: string; name?: string; webhook?: WebhookFields }[];
  };
  const errors: FieldError[] = [];
  const root = Path.root('authorizers');
  if (!config.authorizers?.length) errors.push(required(root, 'at least one authorization mode must be defined'));
  const types = new Set<string>();
  const names = new Set<string>();
  const out: AuthorizerEntry[] = [];
  (config.authorizers ?? []).forEach((a, i) => {
    const path = root.index(i);
    const { type: text = '', name = '' } = a;
    const type = TYPES.find((t) => t === text);
    if (text === '') return void errors.push(required(path.child('type')));
    if (!type) return void errors.push(notSupported(path.child('type'), text, TYPES));
    if (types.has(type) && type !== 'Webhook') return void errors.push(duplicate(path.child('type'), type));
    types.add(type);
    if (name === '') errors.push(required(path.child('name')));
    else if (names.has(name)) errors.push(duplicate(path.child('name'), name));
    else {
      const why = isDNS1123Subdomain(name);
      if (why.length > 0)
        errors.push(invalid(path.child('name'), name, `authorizer name is invalid: ${why.join(', ')}`));
    }
    names.add(name);
    if (type !== 'Webhook') {
      if (a.webhook) errors.push(invalid(path.child('webhook'), 'non-null', 'may only be specified when type=Webhook'));
      out.push({ type, name });
    } else if (!a.webhook) errors.push(required(path.child('webhook'), 'required when type=Webhook'));
    else {
      const webhook = readWebhook(a.webhook, path, readFile, errors);
      if (webhook) out.push({ type, name, webhook });
    }
  });
  refuse(errors);
  return out;
}

function readWebhook(
  w: WebhookFields,
  path: Path,
  readFile: (path: string) => Buffer,
  errors: FieldError[],
): AuthorizationWebhook | undefined {
  const before = errors.length;
  const seconds = (ms: number) => `${ms / 1000}s`;
  const { timeout = 0, authorizedTTL = 300_000, unauthorizedTTL = 30_000, failurePolicy = '' } = w;
  if (timeout === 0) errors.push(required(path.child('timeout')));
  else if (timeout > 30_000 || timeout < 0)
    errors.push(invalid(path.child('timeout'), seconds(timeout), 'must be > 0s and <= 30s'));
  if (authorizedTTL < 0) errors.push(invalid(path.child('authorizedTTL'), seconds(authorizedTTL), 'must be > 0s'));
  if (unauthorizedTTL < 0)
    errors.push(invalid(path.child('unauthorizedTTL'), seconds(unauthorizedTTL), 'must be > 0s'));
  const version = w.subjectAccessReviewVersion ?? '';
  const at = path.child('subjectAccessReviewVersion');
  if (version === '') errors.push(required(at));
  else if (version !== 'v1' && version !== 'v1beta1') errors.push(notSupported(at, version, ['v1', 'v1beta1']));
  const matchVersion = w.matchConditionSubjectAccessReviewVersion ?? '';
  const matchAt = path.child('matchConditionSubjectAccessReviewVersion');
  if (matchVersion === '') {
    if (w.matchConditions?.length) errors.push(required(matchAt, 'required if match conditions are specified'));
  } else if (matchVersion !== 'v1') errors.push(notSupported(matchAt, matchVersion, ['v1']));
  if (failurePolicy === '') errors.push(required(path.child('failurePolicy')));
  else if (failurePolicy !== 'NoOpinion' && failurePolicy !== 'Deny')
    errors.push(notSupported(path.child('failurePolicy'), failurePolicy, ['NoOpinion', 'Deny']));

  let address: WebhookAddress | undefined;
  const connection = w.connectionInfo ?? {};
  const where = path.child('connectionInfo');
  const file = connection.kubeConfigFile ?? '';
  if (!connection.type) errors.push(required(where.child('type')));
  else if (connection.type !== 'KubeConfigFile')
    errors.push(notSupported(where.child('type'), connection.type, ['KubeConfigFile']));
  else if (file === '') errors.push(required(where.child('kubeConfigFile')));
  else if (!isAbsolute(file)) errors.push(invalid(where.child('kubeConfigFile'), file, 'must be an absolute path'));
  else {
    try {
      address = readWebhookKubeconfig(file, readFile);
    } catch (error) {
      errors.push(invalid(where.child('kubeConfigFile'), file, `error loading file: ${(error as Error).message}`));
    }
  }
  const conditions = readConditions(w.matchConditions ?? [], path.child('matchConditions'), errors);
  if (errors.length > before || !address) return undefined;
  return {
    address,
    version: version as 'v1' | 'v1beta1',
    timeoutMs: timeout,
    // As with its defaults, a time of 0 is no time that was chosen.
    authorizedTtlMs: w.cacheAuthorizedRequests === false ? 0 : authorizedTTL || 300_000,
    unauthorizedTtlMs: w.cacheUnauthorizedRequests === false ? 0 : unauthorizedTTL || 30_000,
    onFailure: failurePolicy === 'Deny' ? 'deny' : 'noOpinion',
    ...(conditions ? { conditions } : {}),
  };
}

function readConditions(
  list: readonly { expression?: string }[],
  path: Path,
  errors: FieldError[],
): MatchConditions | undefined {
  if (list.length > 64) {
    errors.push(tooMany(path, list.length, 64));
    return undefined;
  }
  const compiler = createConditionCompiler();
  const seen = new Set<string>();
  list.forEach(({ expression = '' }, i) => {
    const at = path.index(i).child('expression');
    if (expression.trim() === '') return void errors.push(required(at));
    if (seen.has(expression)) return void errors.push(duplicate(at, expression));
    seen.add(expression);
    compiler.add(expression, at, errors);
  });
  return compiler.conditions();
}

/** What a file may say on reload, given what the server was started with. Throws a ConfigError. */
export function checkReload(started: readonly AuthorizerEntry[], next: readonly AuthorizerEntry[]): void {
  const types = (list: readonly AuthorizerEntry[]) => new Set(list.map((e) => e.type).filter((t) => t !== 'Webhook'));
  const [had, has] = [types(started), types(next)];
  for (const t of had) if (!has.has(t)) throw new ConfigError(`authorizer type ${t} can not be left out while running`);
  for (const t of has)
    if (!had.has(t) && (t === 'Node' || t === 'RBAC'))
      throw new ConfigError(`authorizer type ${t} is not allowed if it was not enabled at initial server startup`);
}
