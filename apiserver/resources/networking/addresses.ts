/** The addresses that services hold, and the ranges they come from. */
import { isIPv6 } from 'node:net';
import type * as k8s from '@kubernetes/client-node';
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { define, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf, NONE } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { canonicalCIDR, canonicalIP } from '../validation/formats.ts';
import { dns1123Subdomain, pathSegment } from '../validation/names.ts';

const GROUP = 'networking.k8s.io';
type Address = Json<k8s.V1IPAddress>;

export const ipAddresses = define<Address>(GROUP, 'ipaddresses', 'IPAddress', 'Cluster', {
  strategy: rules<Address>({
    scope: 'Cluster',
    name: canonicalIP,
    always(f) {
      const ref = f.get('spec').get('parentRef');
      if (!ref.isSet) return void ref.missing();
      ref.get('group').format(dns1123Subdomain);
      ref.get('resource').requiredFormat(pathSegment);
      ref.get('name').requiredFormat(pathSegment);
      ref.get('namespace').format(pathSegment);
    },
    update: (f, old) => void f.get('spec').get('parentRef').immutable(old.spec?.parentRef),
  }),
  table: {
    cells(a, now) {
      const p = a.spec?.parentRef;
      const resource = p && (p.group ? `${p.resource}.${p.group}` : (p.resource ?? '')).toLowerCase();
      return [nameOf(a), p ? [resource, p.namespace, p.name].filter(Boolean).join('/') : NONE, age(a, now)];
    },
  },
});

type Range = Json<k8s.V1ServiceCIDR>;

function ranges(f: Field<Range>): void {
  const list = f.get('spec').get('cidrs');
  if (!list.need('at least one CIDR required')) return;
  const values = list.value!;
  if (values.length > 2) return void list.invalid('may only hold up to 2 values');
  list.each((c) => c.formatAll(canonicalCIDR));
  const [a, b] = values.map((c) => isIPv6(c.split('/')[0] ?? ''));
  if (values.length === 2 && a === b && values.every((c) => canonicalCIDR(c).length === 0)) {
    list.invalid('may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64');
  }
}

function rangesUpdate(f: Field<Range>, old: DeepReadonly<Range>): void {
  const list = f.get('spec').get('cidrs');
  const before = old.spec?.cidrs ?? [];
  const grown = before.length === 1 && list.value?.length === 2;
  if (!grown && before.length !== (list.value?.length ?? 0)) return void list.invalid('field is immutable');
  list.each((c, i) => before[i] !== undefined && c.immutable(before[i]));
  if (grown) ranges(f);
}

export const serviceCIDRs = define<Range>(GROUP, 'servicecidrs', 'ServiceCIDR', 'Cluster', {
  strategy: {
    resetFields: [['status']],
    prepareForCreate: (r) => void (r.status = {}),
    prepareForUpdate: (r, old) => void (r.status = (deepCopy(old.status) ?? {}) as Range['status']),
    ...rules<Range>({ scope: 'Cluster', anyGenerateName: 'update', create: ranges, update: rangesUpdate }),
  },
  subresources: {
    status: statusEndpoint<Range>({
      ...statusRules<Range>(),
      resetFields: [['metadata'], ['spec']],
    }),
  },
  table: { cells: (r, now) => [nameOf(r), (r.spec?.cidrs ?? []).join(','), age(r, now)] },
});
