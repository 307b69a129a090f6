/** ResourceQuota: refuses what would exceed a namespace's quotas and books what is let through. */
import { addTo, amounts, type Amounts } from '../../../api/pod-resources.ts';
import { Quantity } from '../../../api/quantity.ts';
import {
  hasDeadline,
  inQuotaScope,
  quotaEvaluator,
  scopesOf,
  type QuotaEvaluator,
  type ResourceQuota,
  type ScopeRequirement,
} from '../../../api/quota.ts';
import type { DeepReadonly, KubeObject, Pod } from '../../../api/types.ts';
import { deny, type LimitedResource, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

type MutableQuota = KubeObject & { status?: { hard?: Record<string, string>; used?: Record<string, string> } };

/** Which writes change what an object counts for. */
function concerns(a: AdmissionAttributes): boolean {
  const { group, resource } = a.resource;
  if (a.namespace === '' || !a.object || (group === '' && resource === 'namespaces')) return false;
  if (a.subresource !== '')
    return group === '' && resource === 'pods' && a.subresource === 'resize' && a.operation === 'UPDATE';
  if (a.operation === 'CREATE') return true;
  if (a.operation !== 'UPDATE' || !a.oldObject) return false;
  if (group === '' && (resource === 'services' || resource === 'persistentvolumeclaims')) return true;
  if (group === 'resource.k8s.io' && resource === 'resourceclaims') return true;
  // A pod that gets a deadline moves from one quota's scope to another's.
  return (
    group === '' &&
    resource === 'pods' &&
    hasDeadline(a.object as Pod) !== hasDeadline(a.oldObject as DeepReadonly<Pod>)
  );
}

const show = (list: ReadonlyMap<string, Quantity>) =>
  [...list]
    .sort(([x], [y]) => (x < y ? -1 : 1))
    .map(([name, q]) => `${name}=${q.toString()}`)
    .join(',');
const only = (list: Amounts, names: ReadonlySet<string>) => new Map([...list].filter(([n]) => names.has(n)));

/** The quota's new use with `delta` added; throws the 403 when that is too much. */
function charge(a: AdmissionAttributes, quota: ResourceQuota, delta: Amounts): Amounts {
  const hard = amounts(quota.status?.hard);
  const used = amounts(quota.status?.used);
  const requested = new Map([...delta].filter(([n]) => hard.has(n)));
  const next = new Map(used);
  addTo(next, requested);
  const exceeded = new Set(
    [...requested].filter(([n, d]) => d.sign > 0 && next.get(n)!.compare(hard.get(n)!) > 0).map(([n]) => n),
  );
  if (exceeded.size) {
    const text = [only(requested, exceeded), only(used, exceeded), only(hard, exceeded)].map(show);
    throw deny(
      a,
      `exceeded quota: ${quota.metadata?.name}, requested: ${text[0]}, used: ${text[1]}, limited: ${text[2]}`,
    );
  }
  return next;
}

/** The quotas that the object falls under; throws when it must say more, or when a quota was never counted. */
function quotasFor(a: AdmissionAttributes, all: readonly ResourceQuota[], evaluator: QuotaEvaluator): ResourceQuota[] {
  return all.filter((quota) => {
    const names = Object.keys(quota.status?.hard ?? {}).filter((n) => evaluator.tracks(n));
    if (names.length === 0 || !inQuotaScope(quota, evaluator, a.object!)) return false;
    const missing = evaluator.constraint?.(names, a.object!);
    if (missing !== undefined) throw deny(a, `failed quota: ${quota.metadata?.name}: ${missing}`);
    const unknown = names.filter((n) => quota.status?.used?.[n] === undefined);
    if (unknown.length)
      throw deny(a, `status unknown for quota: ${quota.metadata?.name}, resources: ${unknown.sort().join(',')}`);
    return true;
  });
}

/** Refuses the use of what is limited by default and covered by no quota of the namespace. */
function requireCover(
  a: AdmissionAttributes,
  limited: readonly LimitedResource[],
  evaluator: QuotaEvaluator,
  added: Amounts,
  all: readonly ResourceQuota[],
  matched: readonly ResourceQuota[],
): void {
  const { group, resource } = a.resource;
  const names = new Set(
    limited
      .filter((l) => (l.apiGroup ?? '') === group && l.resource === resource)
      .flatMap((l) => [...added.keys()].filter((n) => l.matchContains?.some((part) => n.includes(part)))),
  );
  for (const q of matched) for (const n of Object.keys(q.status?.hard ?? {})) if (evaluator.tracks(n)) names.delete(n);
  if (names.size > 0) throw deny(a, `insufficient quota to consume: ${[...names].sort().join(',')}`);
  const applies = (r: ScopeRequirement) => evaluator.matchesScope?.(r, a.object!) ?? false;
  const covered = new Set(
    all
      .flatMap(scopesOf)
      .filter(applies)
      .map((r) => r.scopeName),
  );
  const bare = limited.flatMap((l) => l.matchScopes ?? []).filter((r) => applies(r) && !covered.has(r.scopeName));
  if (bare.length === 0) return;
  const texts = bare.map((r) => `{${r.scopeName} ${r.operator} [${(r.values ?? []).join(' ')}]}`);
  throw deny(a, `insufficient quota to match these scopes: [${texts.join(' ')}]`);
}

export const resourceQuota: PluginFactory = ({ reader, writer, clock, settings }) => {
  const limited = settings.limitedResources ?? [];
  /** Writes of one namespace's quotas follow each other, so that they seldom collide. */
  const queues = new Map<string, Promise<void>>();

  async function inTurn(namespace: string, work: () => Promise<void>): Promise<void> {
    const before = queues.get(namespace);
    const own = (before ?? Promise.resolve()).then(work);
    const settled = own.catch(() => undefined);
    queues.set(namespace, settled);
    try {
      await own;
    } finally {
      if (queues.get(namespace) === settled) queues.delete(namespace);
    }
  }

  return {
    name: 'ResourceQuota',
    handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
    async validate(a) {
      if (!concerns(a)) return;
      const all = reader.list('resourcequotas', a.namespace) as ResourceQuota[];
      if (all.length === 0 && limited.length === 0) return;
      const evaluator = quotaEvaluator(a.resource.group, a.resource.resource);
      const quotas = quotasFor(a, all, evaluator);
      if (quotas.length === 0 && limited.length === 0) return;
      const now = clock.now();
      const use = evaluator.usage(a.object!, now);
      if (limited.length > 0) {
        const before = a.operation === 'UPDATE' ? evaluator.usage(a.oldObject!, now) : new Map<string, Quantity>();
        const added = new Map([...use].filter(([n, q]) => q.compare(before.get(n) ?? Quantity.zero) > 0));
        if (added.size > 0) requireCover(a, limited, evaluator, added, all, quotas);
      }
      const deltaFor = (quota: ResourceQuota): Amounts => {
        const delta = new Map(use);
        // What the old object was booked for in this very quota is given back.
        if (a.operation === 'UPDATE' && inQuotaScope(quota, evaluator, a.oldObject!)) {
          for (const [n, q] of evaluator.usage(a.oldObject!, now)) delta.set(n, (delta.get(n) ?? Quantity.zero).sub(q));
        }
        for (const [n, q] of delta) if (q.isZero) delta.delete(n);
        return delta;
      };
      // Looked at with what the cache knows first, so that a refusal by one quota books nothing in another.
      const due = quotas
        .map((quota) => ({ quota, delta: deltaFor(quota) }))
        .filter(({ quota, delta }) => Object.keys(quota.status?.hard ?? {}).some((n) => delta.has(n)));
      for (const { quota, delta } of due) if (a.dryRun) charge(a, quota, delta);
      if (a.dryRun || due.length === 0) return;
      await inTurn(a.namespace, async () => {
        for (const { quota, delta } of due) {
          await writer.update<MutableQuota>(
            'resourcequotas',
            a.namespace,
            quota.metadata!.name!,
            (current) => {
              const next = charge(a, current as ResourceQuota, delta);
              return {
                ...(current as MutableQuota),
                status: {
                  ...(current as MutableQuota).status,
                  used: Object.fromEntries([...next].map(([n, q]) => [n, q.toString()])),
                },
              };
            },
            'status',
          );
        }
      });
    },
  };
};
