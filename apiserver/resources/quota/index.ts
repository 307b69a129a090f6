/** Resource quotas and limit ranges. */
import type * as k8s from '@kubernetes/client-node';
import type { Quantity } from '../../../api/quantity.ts';
import type { Json } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { roundResources } from '../pods/defaults.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { qualifiedName } from '../validation/names.ts';
import {
  containerResourceName,
  isOvercommitAllowed,
  isStandardQuotaResource,
  quantityOf,
  resourceName,
  resourceQuantity,
} from '../validation/values.ts';

type ResourceQuota = Json<k8s.V1ResourceQuota>;
type LimitRange = Json<k8s.V1LimitRange>;
type Item = Json<k8s.V1LimitRangeItem>;
type List = Record<string, string>;

function amounts(f: Field<List>): void {
  f.eachKey((q, name) => {
    resourceName(q, name);
    if (!name.includes('/') && !isStandardQuotaResource(name)) q.invalid('must be a standard resource for quota', name);
    resourceQuantity(q as Field<string>, name);
  });
}

const COMPUTE = ['cpu', 'memory', 'limits.cpu', 'limits.memory', 'requests.cpu', 'requests.memory'];
/** What each scope can be about. */
const SCOPES: Record<string, readonly string[]> = {
  Terminating: ['pods', ...COMPUTE],
  NotTerminating: ['pods', ...COMPUTE],
  NotBestEffort: ['pods', ...COMPUTE],
  PriorityClass: ['pods', ...COMPUTE],
  CrossNamespacePodAffinity: ['pods', ...COMPUTE],
  BestEffort: ['pods'],
  VolumeAttributesClass: ['persistentvolumeclaims', 'requests.storage'],
};
const PAIRS = [
  ['BestEffort', 'NotBestEffort'],
  ['Terminating', 'NotTerminating'],
] as const;
const EXISTS_ONLY = ['BestEffort', 'NotBestEffort', 'Terminating', 'NotTerminating', 'CrossNamespacePodAffinity'];

function scopesFit(f: Field<unknown>, scope: string, hard: List | undefined): void {
  for (const k of Object.keys(hard ?? {})) {
    if (isStandardQuotaResource(k) && SCOPES[scope] && !SCOPES[scope].includes(k))
      f.invalid('unsupported scope applied to resource');
  }
}
function conflicts(f: Field<unknown>, scopes: readonly string[]): void {
  for (const [a, b] of PAIRS) if (scopes.includes(a) && scopes.includes(b)) f.invalid('conflicting scopes');
}

function quotaSpec(f: Field<ResourceQuota>): void {
  const spec = f.get('spec');
  const hard = spec.value?.hard as List | undefined;
  amounts(spec.get('hard') as Field<List>);
  const scopes = spec.get('scopes');
  for (const s of scopes.value ?? []) {
    if (!SCOPES[s]) scopes.invalid('unsupported scope');
    scopesFit(scopes, s, hard);
  }
  conflicts(scopes, scopes.value ?? []);
  const list = spec.get('scopeSelector');
  // Complaints name the list, not the entry.
  const entries = list.named('matchExpressions', list.value?.matchExpressions);
  for (const e of entries.value ?? []) {
    const one = entries.named('', e);
    if (!SCOPES[e.scopeName]) one.get('scopeName').invalid('unsupported scope');
    scopesFit(entries, e.scopeName, hard);
    if (EXISTS_ONLY.includes(e.scopeName) && e.operator !== 'Exists')
      one.get('operator').invalid(`must be 'Exists' when scope is any of ${EXISTS_ONLY.join(', ')}`);
    if (e.operator === 'In' || e.operator === 'NotIn')
      one.get('values').required("must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
    else if (e.operator === 'Exists' || e.operator === 'DoesNotExist') {
      one
        .get('values')
        .check(!e.values?.length, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
    } else one.get('operator').invalid('not a valid selector operator');
  }
  conflicts(
    entries,
    (entries.value ?? []).map((e) => e.scopeName),
  );
}

function quotaCells(
  q: { readonly hard?: Readonly<Record<string, string>>; readonly used?: Readonly<Record<string, string>> } | undefined,
): [string, string] {
  const requests: string[] = [];
  const limits: string[] = [];
  for (const r of Object.keys(q?.hard ?? {}).sort()) {
    const text = `${r}: ${q?.used?.[r] ?? '0'}/${q?.hard?.[r]}`;
    (r.startsWith('limits.') ? limits : requests).push(text);
  }
  return [requests.join(', '), limits.join(', ')];
}

const withoutGeneration = specAndStatus<ResourceQuota>();
export const resourceQuotas = define<ResourceQuota>('', 'resourcequotas', 'ResourceQuota', 'Namespaced', {
  returnDeletedObject: true,
  strategy: {
    resetFields: [['status']],
    defaults(q) {
      roundResources(q.spec?.hard as List);
      roundResources(q.status?.hard as List);
      roundResources(q.status?.used as List);
    },
    prepareForCreate: (q) => void (q.status = {}),
    prepareForUpdate(q, old, ctx) {
      withoutGeneration.prepareForUpdate?.(q, old, ctx);
      if (old.metadata?.generation === undefined) delete q.metadata?.generation;
    },
    ...rules<ResourceQuota>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      always: quotaSpec,
      update(f, old) {
        const set = (l: readonly string[] | undefined) => [...new Set(l ?? [])].sort().join();
        if (set(f.value?.spec?.scopes) !== set(old.spec?.scopes))
          f.get('spec').get('scopes').invalid('field is immutable');
      },
    }),
  },
  subresources: {
    status: statusEndpoint<ResourceQuota>(
      statusRules((f) => {
        amounts(f.get('status').get('hard') as Field<List>);
        amounts(f.get('status').get('used') as Field<List>);
      }),
    ),
  },
  table: { cells: (q, now) => [nameOf(q), ...quotaCells(q.status), age(q, now)] },
});

const LIMIT_TYPES = ['Pod', 'Container', 'PersistentVolumeClaim'];
const LISTS = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const;

function limitItem(f: Field<Item>): void {
  const item = f.value!;
  const type = f.get('type');
  const bad = qualifiedName(item.type ?? '');
  for (const m of bad) type.invalid(m);
  if (bad.length === 0 && !item.type.includes('/') && !LIMIT_TYPES.includes(item.type))
    type.invalid('must be a standard limit type or fully qualified');
  const isPod = item.type === 'Pod';
  const named = isPod || item.type === 'Container' ? containerResourceName : resourceName;
  const names = new Set<string>();
  for (const list of LISTS) {
    if (isPod && (list === 'default' || list === 'defaultRequest')) {
      f.get(list).absent("may not be specified when `type` is 'Pod'");
      continue;
    }
    (f.get(list) as Field<List>).eachKey((q, name) => {
      named(q, name);
      names.add(name);
    });
  }
  if (
    item.type === 'PersistentVolumeClaim' &&
    item.min?.['storage'] === undefined &&
    item.max?.['storage'] === undefined
  ) {
    f.named('limits').missing('either minimum or maximum storage value is required, but neither was provided');
  }
  for (const name of names) compare(f, name);
}

function compare(f: Field<Item>, name: string): void {
  const item = f.value!;
  const amount = (list: (typeof LISTS)[number]) => quantityOf(item[list] as List | undefined, name);
  const min = amount('min');
  const max = amount('max');
  const limit = item.type === 'Pod' ? undefined : amount('default');
  const request = item.type === 'Pod' ? undefined : amount('defaultRequest');
  const ratio = amount('maxLimitRequestRatio');
  const above = (a: Quantity | undefined, b: Quantity | undefined) =>
    a !== undefined && b !== undefined && a.compare(b) > 0;
  const complain = (list: (typeof LISTS)[number], detail: string) =>
    f.get(list).key(name, item[list]?.[name]).invalid(detail);
  if (above(min, max)) complain('min', `min value ${String(min)} is greater than max value ${String(max)}`);
  if (above(min, request))
    complain('defaultRequest', `min value ${String(min)} is greater than default request value ${String(request)}`);
  if (above(request, max))
    complain('defaultRequest', `default request value ${String(request)} is greater than max value ${String(max)}`);
  if (above(request, limit))
    complain(
      'defaultRequest',
      `default request value ${String(request)} is greater than default limit value ${String(limit)}`,
    );
  if (above(min, limit)) complain('default', `min value ${String(min)} is greater than default value ${String(limit)}`);
  if (above(limit, max)) complain('default', `default value ${String(limit)} is greater than max value ${String(max)}`);
  if (ratio && ratio.asNumber() < 1) complain('maxLimitRequestRatio', `ratio ${String(ratio)} is less than 1`);
  if (ratio && min && max && ratio.asNumber() > max.asNumber() / min.asNumber()) {
    complain(
      'maxLimitRequestRatio',
      `ratio ${String(ratio)} is greater than max/min = ${max.asNumber() / min.asNumber()}`,
    );
  }
  if (!isOvercommitAllowed(name) && limit && request && !limit.equals(request)) {
    complain(
      'defaultRequest',
      `default value ${String(limit)} must equal to defaultRequest value ${String(request)} in ${name}`,
    );
  }
}

/** Containers get from each list what the one before it says. */
function limitDefaults(r: LimitRange): void {
  for (const item of r.spec?.limits ?? []) {
    for (const list of LISTS) roundResources(item[list] as List | undefined);
    if (item.type !== 'Container') continue;
    const limit: List = { ...(item.max as List), ...(item.default as List) };
    const request: List = { ...(item.min as List), ...limit, ...(item.defaultRequest as List) };
    if (Object.keys(limit).length > 0) item.default = limit;
    if (Object.keys(request).length > 0) item.defaultRequest = request;
  }
}

export const limitRanges = define<LimitRange>('', 'limitranges', 'LimitRange', 'Namespaced', {
  allowCreateOnUpdate: true,
  strategy: {
    defaults: limitDefaults,
    prepareForCreate(r, ctx) {
      if (!r.metadata?.name) (r.metadata ??= {}).name = ctx.ids.uuid();
    },
    ...rules<LimitRange>({
      scope: 'Namespaced',
      always(f) {
        const limits = f.get('spec').get('limits');
        limits.unique(
          (i) => i.type,
          (i) => i.get('type'),
        );
        limits.each(limitItem);
      },
    }),
  },
  table: { cells: (r) => [nameOf(r), r.metadata?.creationTimestamp ?? ''] },
});
