/** Asks a webhook what is allowed: SubjectAccessReview of authorization.k8s.io. */
import { parseLabelRequirements } from '../../api/selector-parser.ts';
import type { JsonObject } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { createRemote, postReview } from '../authentication/remote.ts';
import { TtlCache } from '../authentication/ttl-cache.ts';
import type { AuthorizationWebhook } from './config.ts';
import { parseFieldRequirements } from './selectors.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from './types.ts';

const MAX_CACHED = 8192;
/** Questions longer than this are not kept: their size is up to the client. */
const MAX_CACHED_LENGTH = 10_000;

const OPERATORS: Partial<Record<string, string>> = {
  in: 'In',
  '=': 'In',
  '==': 'In',
  notin: 'NotIn',
  '!=': 'NotIn',
  exists: 'Exists',
  '!': 'DoesNotExist',
};

/** The requirements that the API can express; leaving one out asks for more, never for less. */
function labelRequirements(text: string): JsonObject[] {
  try {
    return parseLabelRequirements(text).flatMap((r) => {
      const operator = OPERATORS[r.operator];
      if (operator === undefined) return [];
      return [{ key: r.key, operator, ...(r.values.length > 0 ? { values: [...r.values] } : {}) }];
    });
  } catch {
    return [];
  }
}
const fieldRequirements = (text: string): JsonObject[] =>
  (parseFieldRequirements(text) ?? []).map((r) => ({
    key: r.field,
    operator: r.operator === '=' ? 'In' : 'NotIn',
    values: [r.value],
  }));

/** The spec of the review for these attributes; empty parts are left out. */
function reviewSpec(a: AuthorizationAttributes, version: 'v1' | 'v1beta1'): JsonObject {
  const some = (fields: Readonly<Record<string, string | undefined>>): JsonObject =>
    Object.fromEntries(Object.entries(fields).filter((e): e is [string, string] => !!e[1]));
  const { user } = a;
  const extra = Object.entries(user.extra ?? {});
  const spec: JsonObject = {};
  if (a.resourceRequest) {
    const resource = some({
      namespace: a.namespace,
      verb: a.verb,
      group: a.apiGroup,
      version: a.apiVersion,
      resource: a.resource,
      subresource: a.subresource,
      name: a.name,
    });
    const fields = a.fieldSelector ? fieldRequirements(a.fieldSelector) : [];
    const labels = a.labelSelector ? labelRequirements(a.labelSelector) : [];
    if (fields.length > 0) resource['fieldSelector'] = { requirements: fields };
    if (labels.length > 0) resource['labelSelector'] = { requirements: labels };
    spec['resourceAttributes'] = resource;
  } else spec['nonResourceAttributes'] = some({ path: a.path, verb: a.verb });
  if (user.name !== '') spec['user'] = user.name;
  if (user.groups.length > 0) spec[version === 'v1' ? 'groups' : 'group'] = [...user.groups];
  if (extra.length > 0) spec['extra'] = Object.fromEntries(extra.map(([k, v]) => [k, [...v]]));
  if (user.uid) spec['uid'] = user.uid;
  return spec;
}

interface Status {
  readonly allowed: boolean;
  readonly denied: boolean;
  readonly reason: string;
}

function decide({ allowed, denied, reason }: Status): Decision {
  const why = reason === '' ? {} : { reason };
  if (denied && allowed)
    return { decision: 'deny', ...why, error: 'webhook subject access review returned both allow and deny response' };
  return { decision: denied ? 'deny' : allowed ? 'allow' : 'noOpinion', ...why };
}

export function createWebhookAuthorizer(o: {
  clock: Clock;
  logger: Logger;
  name: string;
  webhook: AuthorizationWebhook;
}): Authorizer & { close(): void } {
  const { clock, name, webhook } = o;
  const remote = createRemote({ clock, target: webhook.address, timeoutMs: webhook.timeoutMs });
  const cache = new TtlCache<Decision>(clock, MAX_CACHED);
  const failed = (error: unknown, why: string): Decision => {
    o.logger.error('the authorization webhook failed', { authorizer: name, error });
    return { decision: webhook.onFailure, error: why };
  };

  async function ask(spec: JsonObject, key: string): Promise<Decision> {
    let answer: JsonObject;
    try {
      answer = await postReview(
        remote,
        webhook.address.url,
        {
          kind: 'SubjectAccessReview',
          apiVersion: `authorization.k8s.io/${webhook.version}`,
          metadata: { creationTimestamp: null },
          spec,
          status: { allowed: false },
        },
        clock,
      );
    } catch (error) {
      return failed(error, `the authorization webhook ${JSON.stringify(name)} can not be asked`);
    }
    const status = (answer['status'] ?? {}) as JsonObject;
    const { reason } = status;
    const allowed = status['allowed'] === true;
    const decision = decide({
      allowed,
      denied: status['denied'] === true,
      reason: typeof reason === 'string' ? reason : '',
    });
    if (key.length < MAX_CACHED_LENGTH)
      cache.set(key, decision, allowed ? webhook.authorizedTtlMs : webhook.unauthorizedTtlMs);
    return decision;
  }

  return {
    authorize(a) {
      const spec = reviewSpec(a, webhook.version);
      if (webhook.conditions) {
        try {
          const seen = webhook.version === 'v1' ? spec : reviewSpec(a, 'v1');
          if (!webhook.conditions.hold(seen)) return { decision: 'noOpinion' };
        } catch (error) {
          return failed(error, `a match condition of the authorization webhook ${JSON.stringify(name)} has no value`);
        }
      }
      const key = JSON.stringify(spec);
      return cache.get(key) ?? ask(spec, key);
    },
    close: () => remote.close(),
  };
}
