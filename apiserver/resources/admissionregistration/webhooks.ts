/** Webhook configurations, validating and mutating. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Json, KubeObject, LabelSelector } from '../../../api/types.ts';
import { define } from '../define.ts';
import { rules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import { Field, type Format } from '../validation/field.ts';
import { isPort } from '../validation/formats.ts';
import { dns1035Label, dns1123Subdomain } from '../validation/names.ts';
import { labelSelector } from '../validation/values.ts';
import { FAILURE_POLICIES, matchConditions, matchPolicy, rule } from './rules.ts';

type Hook = Json<k8s.V1MutatingWebhook>;
type Configuration = Omit<Json<k8s.V1MutatingWebhookConfiguration>, 'webhooks'> & { webhooks?: Hook[] } & KubeObject;
type ClientConfig = Json<k8s.AdmissionregistrationV1WebhookClientConfig>;

const VERSIONS = ['v1', 'v1beta1'];
const SIDE_EFFECTS = ['None', 'NoneOnDryRun', 'Some', 'Unknown'];
const NO_SIDE_EFFECTS = ['None', 'NoneOnDryRun'];

/** A domain of at least three parts. */
const fullName: Format = (v) => {
  const bad = dns1123Subdomain(v);
  if (bad.length > 0) return [bad.join(',')];
  return v.split('.').length < 3 ? ['should be a domain with at least three segments separated by dots'] : [];
};

function webhookUrl(f: Field<string>): void {
  const form = '; desired format: https://host[/path]';
  const text = f.value ?? '';
  const m = /^(?:([a-zA-Z][-+.a-zA-Z0-9]*):)?(?:\/\/([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?$/.exec(text);
  // eslint-disable-next-line no-control-regex
  if (!m || /[\u0000-\u001f\u007f]|%(?![0-9a-fA-F]{2})/.test(text) || text.startsWith(':'))
    return void f.missing(`url must be a valid URL${form}`);
  const [, scheme, authority = '', , query, fragment] = m;
  f.check(scheme?.toLowerCase() === 'https', `'https' is the only allowed URL scheme${form}`);
  const [user, host] = authority.includes('@')
    ? [authority.slice(0, authority.lastIndexOf('@')), authority.slice(authority.lastIndexOf('@') + 1)]
    : [undefined, authority];
  f.check(host !== '', `host must be specified${form}`);
  f.check(user === undefined, 'user information is not permitted in the URL');
  f.check(!fragment || fragment === '#', 'fragments are not permitted in the URL');
  f.check(!query || query === '?', 'query parameters are not permitted in the URL');
}

interface Service {
  name: string;
  namespace: string;
  path?: string;
  port?: number;
}
function webhookService(f: Field<Service>): void {
  f.get('name').required();
  f.get('namespace').required();
  f.get('port').check(isPort(f.value?.port ?? 0), 'port is not valid: must be between 1 and 65535, inclusive');
  const path = f.get('path');
  const text = path.value ?? '';
  if (text === '' || text === '/') return;
  if (text === '//') return void path.invalid('segment[0] may not be empty');
  path.check(text.startsWith('/'), "must start with a '/'");
  text
    .slice(1)
    .replace(/\/$/, '')
    .split('/')
    .forEach((step, i) => {
      if (step === '') path.invalid(`segment[${i}] may not be empty`);
      else for (const m of dns1123Subdomain(step)) path.invalid(`segment[${i}]: ${m}`);
    });
}

/** Either a URL or a Service. */
export function clientConfig(f: Field<ClientConfig>): void {
  const { url, service } = f.value ?? {};
  if ((url === undefined) === (service === undefined)) f.missing('exactly one of url or service is required');
  else if (url !== undefined) webhookUrl(f.get('url'));
  else webhookService(f.get('service') as Field<Service>);
}

/** What an update may leave as it was stored. */
interface Lax {
  conditions: boolean;
  sideEffects: boolean;
  versions: boolean;
  names: boolean;
  selectors: boolean;
}
const STRICT: Lax = { conditions: false, sideEffects: false, versions: false, names: false, selectors: false };

function reviewVersions(f: Field<string[]>, lax: Lax): void {
  if (!f.need(`must specify one of ${VERSIONS.join(', ')}`)) return;
  const seen = new Set<string>();
  f.each((v) => {
    if (seen.has(v.value!)) return void v.invalid('duplicate version');
    seen.add(v.value!);
    v.formatAll(dns1035Label);
  });
  f.check(lax.versions || VERSIONS.some((v) => seen.has(v)), `must include at least one of ${VERSIONS.join(', ')}`);
}

function hook(f: Field<Hook>, lax: Lax): void {
  f.get('name').requiredFormat(fullName);
  f.get('rules').each(rule);
  f.get('failurePolicy').oneOf(FAILURE_POLICIES);
  matchPolicy(f.get('matchPolicy'));
  const effects = f.get('sideEffects');
  const allowed = lax.sideEffects ? SIDE_EFFECTS : NO_SIDE_EFFECTS;
  if (effects.isSet) effects.oneOf(allowed);
  else effects.missing(`must specify one of ${allowed.join(', ')}`);
  const seconds = f.get('timeoutSeconds');
  if (seconds.isSet)
    seconds.check(seconds.value! >= 1 && seconds.value! <= 30, 'the timeout value must be between 1 and 30 seconds');
  for (const k of ['namespaceSelector', 'objectSelector'] as const)
    labelSelector(f.get(k) as Field<LabelSelector>, { allowInvalidValues: lax.selectors });
  f.get('reinvocationPolicy').oneOf(['IfNeeded', 'Never']);
  clientConfig(f.get('clientConfig'));
  if (!lax.conditions) matchConditions(f.get('matchConditions'), { params: false });
  reviewVersions(f.get('admissionReviewVersions'), lax);
}

const badSelectors = (h: DeepReadonly<Hook>) => {
  const f = new Field<Hook>(h as Hook, []);
  labelSelector(f.get('namespaceSelector') as Field<LabelSelector>);
  labelSelector(f.get('objectSelector') as Field<LabelSelector>);
  return f.errors.length > 0;
};

function laxity(now: Configuration, old: DeepReadonly<Configuration> | undefined): Lax {
  if (!old) return STRICT;
  const before = old.webhooks ?? [];
  return {
    conditions:
      before.length === (now.webhooks ?? []).length &&
      before.every((h, i) => semanticEqual(h.matchConditions, now.webhooks?.[i]?.matchConditions)),
    sideEffects: before.some((h) => !NO_SIDE_EFFECTS.includes(h.sideEffects)),
    versions: before.some(
      (h) => h.admissionReviewVersions?.length && !h.admissionReviewVersions.some((v) => VERSIONS.includes(v)),
    ),
    names: new Set(before.map((h) => h.name)).size !== before.length,
    selectors: before.some(badSelectors),
  };
}

function configuration(resource: string, kind: string, mutating: boolean) {
  return define<Configuration>('admissionregistration.k8s.io', resource, kind, 'Cluster', {
    allowUnconditionalUpdate: false,
    strategy: {
      defaults(c) {
        for (const h of c.webhooks ?? []) {
          h.failurePolicy ??= 'Fail';
          h.matchPolicy ??= 'Equivalent';
          h.namespaceSelector ??= {};
          h.objectSelector ??= {};
          h.timeoutSeconds ??= 10;
          if (mutating) h.reinvocationPolicy ??= 'Never';
          for (const r of h.rules ?? []) r.scope ??= '*';
          if (h.clientConfig?.service) h.clientConfig.service.port ??= 443;
        }
      },
      prepareForCreate: (c) => void ((c.metadata ??= {}).generation = 1),
      prepareForUpdate(c, old) {
        const generation = (old.metadata?.generation as number | undefined) ?? 0;
        (c.metadata ??= {}).generation = semanticEqual(c.webhooks, old.webhooks) ? generation : generation + 1;
      },
      ...rules<Configuration>({
        scope: 'Cluster',
        anyFinalizer: true,
        always(f, _ctx, old) {
          const lax = laxity(f.value!, old);
          const hooks = f.get('webhooks');
          hooks.each((h) => hook(h, lax));
          if (lax.names) return;
          hooks.unique(
            (h) => h.name || undefined,
            (h) => h.get('name'),
          );
        },
      }),
    },
    table: { cells: (c, now) => [nameOf(c), c.webhooks?.length ?? 0, age(c, now)] },
  });
}

export const mutatingWebhookConfigurations = configuration(
  'mutatingwebhookconfigurations',
  'MutatingWebhookConfiguration',
  true,
);
export const validatingWebhookConfigurations = configuration(
  'validatingwebhookconfigurations',
  'ValidatingWebhookConfiguration',
  false,
);
