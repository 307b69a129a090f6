/** Flow schemas and priority levels of the API server's fair queuing. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Json, KubeObject } from '../../../api/types.ts';
import { loadBootstrapFacts } from '../../bootstrap/facts.ts';
import { define, specAndStatus, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf, NONE } from '../table.ts';
import type { Field, Format } from '../validation/field.ts';
import { dns1123Label, dns1123Subdomain } from '../validation/names.ts';

const GROUP = 'flowcontrol.apiserver.k8s.io';
type Schema = Json<k8s.V1FlowSchema>;
type SchemaRule = Json<k8s.V1PolicyRulesWithSubjects>;
type Subject = Json<k8s.FlowcontrolV1Subject>;
type Level = Json<k8s.V1PriorityLevelConfiguration>;

/** Objects whose spec nobody may change. */
const mandatory = (() => {
  let found: Record<'flowschemas' | 'prioritylevelconfigurations', Map<string, unknown>> | undefined;
  const named = (list: readonly KubeObject[]) =>
    new Map(
      list
        .filter((o) => ['exempt', 'catch-all'].includes(nameOf(o)))
        .map((o) => [nameOf(o), (o as { spec?: unknown }).spec]),
    );
  return () => {
    if (found) return found;
    const facts = loadBootstrapFacts();
    return (found = {
      flowschemas: named(facts.flowschemas),
      prioritylevelconfigurations: named(facts.prioritylevelconfigurations),
    });
  };
})();

const VERBS = ['get', 'list', 'create', 'update', 'delete', 'deletecollection', 'patch', 'watch', 'proxy'];

function wildcardAlone(f: Field<string[]>): boolean {
  const wild = f.value?.includes('*') ?? false;
  if (wild && f.value!.length > 1) f.invalid("if '*' is present, must not specify others");
  return wild;
}
function verbs(f: Field<string[]>): void {
  if (!f.need('verbs must contain at least one value') || wildcardAlone(f)) return;
  if (!f.value!.every((v) => VERBS.includes(v))) f.notSupported(VERBS);
}

const urlPath: Format = (v) => {
  if (v === '') return ['must not be empty'];
  if (v === '/') return [];
  if (!v.startsWith('/')) return ['must start with slash'];
  if (v.includes(' ')) return ['must not contain white-space'];
  if (v.includes('//')) return ['must not contain double slash'];
  const stars = v.split('*').length - 1;
  return stars > 1 || (stars === 1 && !v.endsWith('/*')) ? ['wildcard can only do suffix matching'] : [];
};

const MEMBERS = { ServiceAccount: 'serviceAccount', User: 'user', Group: 'group' } as const;

function subject(f: Field<Subject>): void {
  const kind = f.value?.kind as keyof typeof MEMBERS;
  const own = MEMBERS[kind];
  if (!own) return void f.get('kind').notSupported(Object.keys(MEMBERS), kind ?? '');
  for (const [k, member] of Object.entries(MEMBERS)) {
    if (member !== own && f.value?.[member])
      f.get(member).forbidden(`${member} is forbidden when subject kind is not '${k}'`);
  }
  if (!f.value?.[own]) return void f.get(own).missing(`${own} is required when subject kind is '${kind}'`);
  const name = f.get(own).get('name').required();
  if (own !== 'serviceAccount') return;
  if (name.value !== '*') name.format(dns1123Subdomain);
  f.get(own).get('namespace').requiredFormat(dns1123Label);
}

function schemaRule(f: Field<SchemaRule>): void {
  const { resourceRules, nonResourceRules } = f.value!;
  f.get('subjects').required('subjects must contain at least one value').each(subject);
  if (!resourceRules?.length && !nonResourceRules?.length)
    f.missing('at least one of resourceRules and nonResourceRules has to be non-empty');
  f.get('resourceRules').each((r) => {
    verbs(r.get('verbs'));
    for (const k of ['apiGroups', 'resources'] as const)
      if (r.get(k).need('resource rules must supply at least one')) wildcardAlone(r.get(k));
    const namespaces = r.get('namespaces');
    if (namespaces.isEmpty && !r.value?.clusterScope)
      namespaces.missing('resource rules that are not cluster scoped must supply at least one namespace');
    else if (!wildcardAlone(namespaces)) namespaces.each((n) => n.formatAll(dns1123Label));
  });
  f.get('nonResourceRules').each((r) => {
    verbs(r.get('verbs'));
    const urls = r.get('nonResourceURLs');
    if (urls.need('nonResourceURLs must contain at least one value') && !wildcardAlone(urls))
      urls.each((u) => u.formatAll(urlPath));
  });
}

/** Conditions of both kinds: one of each type. */
function conditions(f: Field<{ type?: string }[]>): void {
  f.unique(
    (c) => c.type,
    (c) => c.get('type'),
  );
  f.each((c) => c.get('type').required());
}

const MAX_PRECEDENCE = 10_000;

function flowSchema(f: Field<Schema>): void {
  const s = f.get('spec');
  const name = nameOf(f.value!);
  const precedence = s.get('matchingPrecedence');
  const n = precedence.value ?? 0;
  precedence
    .check(n > 0, 'must be a positive value')
    .check(n <= MAX_PRECEDENCE, `must not be greater than ${MAX_PRECEDENCE}`);
  precedence.check(n !== 1 || name === 'exempt', "only the schema named 'exempt' may have matchingPrecedence 1");
  const method = s.get('distinguisherMethod').get('type');
  if (s.get('distinguisherMethod').isSet && !['ByNamespace', 'ByUser'].includes(method.value ?? ''))
    method.notSupported(['ByNamespace', 'ByUser']);
  const level = s.get('priorityLevelConfiguration').get('name');
  if (level.need('must reference a priority level')) level.format(dns1123Subdomain);
  s.get('rules').each(schemaRule);
  const fixed = mandatory().flowschemas.get(name);
  if (fixed && !semanticEqual(s.value, fixed)) s.invalid(`spec of '${name}' must equal the fixed value`);
  conditions(f.get('status').get('conditions') as never);
}

export const flowSchemas = define<Schema>(GROUP, 'flowschemas', 'FlowSchema', 'Cluster', {
  strategy: {
    defaults(s) {
      if (s.spec) s.spec.matchingPrecedence ||= 1000;
    },
    ...specAndStatus<Schema>(),
    ...rules<Schema>({ scope: 'Cluster', always: flowSchema }),
  },
  subresources: {
    status: statusEndpoint<Schema>({
      ...statusRules((f) => conditions(f.get('status').get('conditions') as never)),
      resetFields: [['metadata'], ['spec']],
    }),
  },
  table: {
    cells(s, now) {
      const dangling = s.status?.conditions?.find((c) => c.type === 'Dangling')?.status ?? '?';
      const { priorityLevelConfiguration: level, matchingPrecedence, distinguisherMethod } = s.spec ?? {};
      return [
        nameOf(s),
        level?.name ?? '',
        matchingPrecedence ?? 0,
        distinguisherMethod?.type ?? NONE,
        age(s, now),
        dangling,
      ];
    },
  },
});

const MAX_QUEUES = 10_000_000;
const MAX_HASH_BITS = 60;

function queuing(f: Field<Json<k8s.V1QueuingConfiguration>>): void {
  const { queues = 0, handSize = 0 } = f.value!;
  f.get('queueLengthLimit').check((f.value!.queueLengthLimit ?? 0) > 0, 'must be positive');
  f.get('queues')
    .check(queues > 0, 'must be positive')
    .check(queues <= MAX_QUEUES, `must not be greater than ${MAX_QUEUES}`);
  const hand = f.get('handSize');
  const bits = Math.ceil(Math.log2(queues) * handSize);
  if (handSize <= 0) hand.invalid('must be positive');
  else if (handSize > queues) hand.invalid(`should not be greater than queues (${queues})`);
  else if (bits > MAX_HASH_BITS)
    hand.invalid(
      `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than ${MAX_HASH_BITS}`,
    );
}

function shares(
  f: Field<{ nominalConcurrencyShares?: number; lendablePercent?: number; borrowingLimitPercent?: number }>,
): void {
  f.get('nominalConcurrencyShares').check(
    (f.value?.nominalConcurrencyShares ?? 0) >= 0,
    'must be a non-negative integer',
  );
  f.get('lendablePercent').range(0, 100);
  f.get('borrowingLimitPercent').check(
    (f.value?.borrowingLimitPercent ?? 0) >= 0,
    'if specified, must be a non-negative integer',
  );
}

function level(f: Field<Level>): void {
  const name = nameOf(f.value!);
  f.get('metadata')
    .get('annotations')
    .check(
      f.value?.metadata?.annotations?.['flowcontrol.k8s.io/preserve-zero-concurrency-shares'] === undefined,
      'annotation is forbidden',
    );
  const s = f.get('spec');
  const type = s.get('type');
  type.check((name === 'exempt') === (type.value === 'Exempt'), "must be 'Exempt' if and only if `name` is 'exempt'");
  type.enumerated(['Exempt', 'Limited']);
  if (type.value === 'Exempt') {
    if (s.get('limited').isSet) s.get('limited').forbidden('must be nil if the type is not Limited');
    s.get('exempt').with(shares as never);
  }
  if (type.value === 'Limited') {
    if (s.get('exempt').isSet) s.get('exempt').forbidden('must be nil if the type is Limited');
    const limited = s.get('limited');
    if (!limited.isSet) limited.missing('must not be empty when type is Limited');
    else {
      shares(limited as never);
      const response = limited.get('limitResponse');
      response.get('type').enumerated(['Queue', 'Reject']);
      const queue = response.get('queuing');
      if (response.value?.type === 'Reject' && queue.isSet)
        queue.forbidden('must be nil if limited.limitResponse.type is not Limited');
      if (response.value?.type === 'Queue') {
        if (queue.isSet) queuing(queue);
        else queue.missing('must not be empty if limited.limitResponse.type is Limited');
      }
    }
  }
  fixedLevel(s, name);
  conditions(f.get('status').get('conditions') as never);
}
function fixedLevel(s: Field<DeepReadonly<NonNullable<Level['spec']>>>, name: string): void {
  const fixed = mandatory().prioritylevelconfigurations.get(name) as Level['spec'];
  if (!fixed) return;
  // What is exempt may change its shares.
  const now = name === 'exempt' ? { ...s.value, exempt: fixed.exempt } : s.value;
  if (!semanticEqual(now, fixed)) s.invalid(`spec of '${name}' must equal the fixed value`);
}

export const priorityLevelConfigurations = define<Level>(
  GROUP,
  'prioritylevelconfigurations',
  'PriorityLevelConfiguration',
  'Cluster',
  {
    strategy: {
      defaults(l) {
        const { exempt, limited } = l.spec ?? {};
        if (exempt) {
          exempt.nominalConcurrencyShares ??= 0;
          exempt.lendablePercent ??= 0;
        }
        if (limited) {
          limited.nominalConcurrencyShares ??= 30;
          limited.lendablePercent ??= 0;
          const q = limited.limitResponse?.queuing;
          if (!q) return;
          q.handSize ||= 8;
          q.queues ||= 64;
          q.queueLengthLimit ||= 50;
        }
      },
      ...specAndStatus<Level>(),
      ...rules<Level>({ scope: 'Cluster', always: level }),
    },
    subresources: {
      status: statusEndpoint<Level>({
        ...statusRules((f) => conditions(f.get('status').get('conditions') as never)),
        resetFields: [['metadata'], ['spec']],
      }),
    },
    table: {
      cells(l, now) {
        const { type, limited } = l.spec ?? {};
        const q = limited?.limitResponse?.queuing;
        return [
          nameOf(l),
          type ?? '',
          limited?.nominalConcurrencyShares ?? NONE,
          q?.queues ?? NONE,
          q?.handSize ?? NONE,
          q?.queueLengthLimit ?? NONE,
          age(l, now),
        ];
      },
    },
  },
);
