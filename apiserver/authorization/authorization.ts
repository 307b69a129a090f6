/** Puts the authorizers that --authorization-mode names into one. */
import type { UserInfo } from '../authentication/types.ts';
import type { Clock } from '../../base/clock.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { Handle, MetricsRegistry } from '../../base/metrics.ts';
import { createAbac } from './abac.ts';
import { checkReload, type AuthorizerEntry } from './config.ts';
import type { CacheLookup } from './follow.ts';
import { createNodeAuthorizer, nodeOf } from './node.ts';
import { createRbac, type Rbac } from './rbac.ts';
import type { PolicyRule } from './rules.ts';
import type { Authorizer, Decision } from './types.ts';
import { createWebhookAuthorizer } from './webhook.ts';

export type AuthorizationMode = AuthorizerEntry['type'];
const MODES: readonly AuthorizationMode[] = ['AlwaysAllow', 'AlwaysDeny', 'ABAC', 'Node', 'RBAC', 'Webhook'];

/** Reads the value of --authorization-mode; throws an Error that names what is wrong. */
export function parseAuthorizationModes(value: string): AuthorizationMode[] {
  const out: AuthorizationMode[] = [];
  for (const part of value
    .split(',')
    .map((p) => p.trim())
    .filter(Boolean)) {
    const mode = MODES.find((m) => m === part);
    if (!mode) throw new Error(`authorization-mode "${part}" is unknown; known are ${MODES.join(', ')}`);
    if (out.includes(mode)) throw new Error(`authorization-mode "${part}" is given more than once`);
    out.push(mode);
  }
  if (out.length === 0) throw new Error('at least one authorization-mode is needed');
  return out;
}

/** What SelfSubjectRulesReview shows; `incomplete` when an authorizer can't list what it allows. */
export interface UserRules {
  readonly rules: readonly PolicyRule[];
  readonly incomplete: boolean;
  readonly errors: readonly string[];
}

export interface Authorization extends Authorizer {
  rulesFor(user: UserInfo, namespace: string): UserRules;
  /** There whatever the modes are: writes of roles are checked against it. */
  readonly rbac: Rbac;
  /** Replaces the chain after its file changed. Throws a ConfigError for what can't change while running. */
  setChain(chain: readonly AuthorizerEntry[]): void;
  close(): void;
}

export interface AuthorizationOptions {
  clock: Clock;
  logger?: Logger;
  /** Asked in this order after system:masters. */
  chain: readonly AuthorizerEntry[];
  /** The caches must exist when this is called. */
  caches: CacheLookup;
  metrics?: MetricsRegistry;
  /** The rules of the cluster role system:node. */
  nodeRules: readonly PolicyRule[];
  /** Paths that everybody may use, before anybody is asked; a last `*` stands for anything. Defaults to none. */
  alwaysAllowPaths?: readonly string[];
}

const ALLOW: Decision = { decision: 'allow' };
const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** Tells whether a path is among these; slashes at their start don't count. */
function pathSet(paths: readonly string[]): (path: string) => boolean {
  const plain = paths.map((p) => p.replace(/^\/+/, ''));
  const exact = new Set(plain.filter((p) => !p.endsWith('*')));
  const prefixes = plain.filter((p) => p.endsWith('*')).map((p) => p.slice(0, -1));
  return (path) => {
    const p = path.replace(/^\/+/, '');
    return exact.has(p) || prefixes.some((x) => p.startsWith(x));
  };
}

/** Asks one authorizer after the other until one decides; members of system:masters are allowed everything first. */
export function createAuthorization(options: AuthorizationOptions): Authorization {
  const { clock, logger = silentLogger } = options;
  const rbac = createRbac(options.caches);
  let node: ReturnType<typeof createNodeAuthorizer> | undefined;
  let webhooks: { close(): void }[] = [];
  const open = pathSet(options.alwaysAllowPaths ?? []);
  let chain = options.chain;
  let authorizers = made();

  function made(): Authorizer[] {
    webhooks = [];
    return chain.map((entry): Authorizer => {
      switch (entry.type) {
        case 'AlwaysAllow':
          return { authorize: () => ALLOW };
        case 'AlwaysDeny':
          return { authorize: () => ({ decision: 'noOpinion', reason: 'Everything is forbidden.' }) };
        case 'ABAC':
          return createAbac(entry.policies);
        case 'Node':
          return (node ??= createNodeAuthorizer(options.caches, options.nodeRules));
        case 'RBAC':
          return rbac;
        case 'Webhook': {
          const webhook = createWebhookAuthorizer({ clock, logger, name: entry.name, webhook: entry.webhook });
          webhooks.push(webhook);
          return webhook;
        }
      }
    });
  }

  const decisions = options.metrics?.counter(
    'apiserver_authorization_decisions_total',
    'Requests that an authorizer allowed or denied.',
    ['decision', 'name', 'type'],
  );
  const counts = new WeakMap<AuthorizerEntry, Partial<Record<Decision['decision'], Handle>>>();

  /** Counts what the authorizer of an entry has decided. */
  function decided(entry: AuthorizerEntry | undefined, d: Decision): Decision {
    if (!decisions || !entry) return d;
    let mine = counts.get(entry);
    if (!mine) counts.set(entry, (mine = {}));
    const said = d.decision === 'allow' ? 'allowed' : 'denied';
    (mine[d.decision] ??= decisions.handle([said, entry.name, entry.type])).value++;
    return d;
  }

  return {
    rbac,
    authorize(a) {
      if (a.user.groups.includes('system:masters')) return ALLOW;
      if (!a.resourceRequest && open(a.path)) return ALLOW;
      // The chain may be replaced while a webhook is asked.
      const list = authorizers;
      const asked = chain;
      let reasons = '';
      for (let i = 0; i < list.length; i++) {
        const d = list[i]!.authorize(a);
        if (d instanceof Promise || d.error !== undefined) return rest(d, i, reasons);
        if (d.decision !== 'noOpinion') return decided(asked[i], d);
        if (d.reason) reasons = reasons === '' ? d.reason : `${reasons}\n${d.reason}`;
      }
      return reasons === '' ? { decision: 'noOpinion' } : { decision: 'noOpinion', reason: reasons };

      async function rest(first: Promise<Decision> | Decision, index: number, before: string): Promise<Decision> {
        const texts = before === '' ? [] : [before];
        const errors: string[] = [];
        let d = await first;
        for (let i = index; ;) {
          if (d.decision !== 'noOpinion') return decided(asked[i], d);
          if (d.reason) texts.push(d.reason);
          if (d.error !== undefined) errors.push(d.error);
          if (++i >= list.length) break;
          d = await list[i]!.authorize(a);
        }
        const error = errors.length > 0 ? { error: errors.join(', ') } : {};
        return { decision: 'noOpinion', reason: texts.join('\n'), ...error };
      }
    },
    rulesFor(user, namespace) {
      const rules: PolicyRule[] = [];
      const errors: string[] = [];
      let incomplete = false;
      for (const entry of chain) {
        const { type } = entry;
        if (type === 'ABAC') rules.push(...createAbac(entry.policies).rulesFor(user, namespace));
        if (type === 'AlwaysAllow') rules.push(...EVERYTHING);
        if (type === 'RBAC') {
          const r = rbac.rulesFor(user, namespace);
          rules.push(...r.rules);
          errors.push(...r.errors);
        }
        if (type === 'Node' && nodeOf(user) !== undefined) {
          incomplete = true;
          errors.push('node authorizer does not support user rule resolution');
        }
        if (type === 'Webhook') {
          incomplete = true;
          errors.push('webhook authorizer does not support user rule resolution');
        }
      }
      return { rules, incomplete, errors };
    },
    setChain(next) {
      checkReload(options.chain, next);
      const old = webhooks;
      chain = next;
      authorizers = made();
      for (const w of old) w.close();
    },
    close() {
      rbac.close();
      node?.close();
      for (const w of webhooks) w.close();
    },
  };
}
