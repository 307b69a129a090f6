/** Network policies. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, LabelSelector } from '../../../api/types.ts';
import { define, withGeneration } from '../define.ts';
import { rules } from '../rules.ts';
import { age, nameOf, NONE, selectorCell } from '../table.ts';
import { Field } from '../validation/field.ts';
import { addressToNumber, canonicalCIDR, cidr, isPort, portNumberOrName } from '../validation/formats.ts';
import { type IntOrString, labelSelector } from '../validation/values.ts';

type Policy = Json<k8s.V1NetworkPolicy>;
type Spec = NonNullable<Policy['spec']>;
type Port = Json<k8s.V1NetworkPolicyPort>;
type Peer = Json<k8s.V1NetworkPolicyPeer>;
interface Lax {
  selectors: boolean;
  /** Ranges that were stored before; they may stay as they are. */
  ranges: ReadonlySet<string>;
}

function port(f: Field<Port>): void {
  f.get('protocol').oneOf(['TCP', 'UDP', 'SCTP']);
  const number = f.get('port') as Field<unknown> as Field<IntOrString>;
  const end = f.get('endPort');
  if (number.isSet) portNumberOrName(number);
  if (!end.isSet) return;
  if (!number.isSet) end.invalid('may not be specified when `port` is not specified');
  else if (typeof number.value === 'string') end.invalid('may not be specified when `port` is non-numeric');
  else {
    end.check(end.value! >= number.value!, 'must be greater than or equal to `port`');
    end.check(isPort(end.value!), 'must be between 1 and 65535, inclusive');
  }
}

const parts = (range: string) => {
  const [address = '', length = '0'] = range.split('/');
  const six = address.includes(':');
  return {
    six,
    length: Number(length),
    prefix: (n: number) => addressToNumber(address) >> BigInt((six ? 128 : 32) - n),
  };
};
/** Whether `inner` is a strict part of `outer`. */
function within(inner: string, outer: string): boolean {
  const [a, b] = [parts(inner), parts(outer)];
  return a.six === b.six && a.length > b.length && a.prefix(b.length) === b.prefix(b.length);
}
/** A range that can be read at all, however it is written. */
const readable = (range: string) => !cidr(range).some((m) => m.startsWith('must be a valid'));

function ipBlock(f: Field<Json<k8s.V1IPBlock>>, lax: Lax): void {
  const whole = f.get('cidr');
  if (!whole.need()) return;
  const check = (r: Field<string>) => (lax.ranges.has(r.value!) ? r : r.formatAll(cidr));
  check(whole);
  if (!readable(whole.value!)) return;
  f.get('except').each((e) => {
    check(e);
    if (readable(e.value!)) e.check(within(e.value!, whole.value!), 'must be a strict subset of `cidr`');
  });
}

function peer(f: Field<Peer>, lax: Lax): void {
  const p = f.value!;
  for (const k of ['podSelector', 'namespaceSelector'] as const) {
    labelSelector(f.get(k) as Field<LabelSelector>, { allowInvalidValues: lax.selectors });
  }
  f.get('ipBlock').with((b) => ipBlock(b, lax));
  if (!p.podSelector && !p.namespaceSelector && !p.ipBlock) f.missing('must specify a peer');
  if (p.ipBlock && (p.podSelector || p.namespaceSelector)) f.forbidden('may not specify both ipBlock and another peer');
}

const TYPES = ['Ingress', 'Egress'];

function policySpec(f: Field<Spec>, lax: Lax): void {
  labelSelector(f.get('podSelector') as Field<LabelSelector>, { allowInvalidValues: lax.selectors });
  f.get('ingress').each((r) => {
    r.get('ports').each(port);
    r.get('from').each((p) => peer(p, lax));
  });
  f.get('egress').each((r) => {
    r.get('ports').each(port);
    r.get('to').each((p) => peer(p, lax));
  });
  const types = f.get('policyTypes');
  if ((types.value?.length ?? 0) > TYPES.length) types.invalid('may not specify more than two policyTypes');
  else types.each((t) => t.oneOf(TYPES));
}

const blocks = (s: DeepReadonly<Spec> | undefined) =>
  [...(s?.ingress ?? []).flatMap((r) => r.from ?? []), ...(s?.egress ?? []).flatMap((r) => r.to ?? [])].flatMap((p) =>
    p.ipBlock ? [p.ipBlock] : [],
  );

function laxity(old: DeepReadonly<Policy> | undefined): Lax {
  const probe = new Field(old?.spec?.podSelector as LabelSelector | undefined, []);
  labelSelector(probe);
  return {
    selectors: probe.errors.length > 0,
    ranges: new Set(blocks(old?.spec).flatMap((b) => [b.cidr, ...(b.except ?? [])])),
  };
}

function rangeWarnings(path: string, range: string): string[] {
  if (cidr(range).length > 0) return [`${path}: non-standard CIDR value ${JSON.stringify(range)} is ambiguous`];
  return canonicalCIDR(range).map(
    (m) => `${path}: IPv6 CIDR value ${JSON.stringify(range)} ${m.replace('must', 'should')}`,
  );
}

export const networkPolicies = define<Policy>('networking.k8s.io', 'networkpolicies', 'NetworkPolicy', 'Namespaced', {
  strategy: {
    defaults(p) {
      const s = p.spec;
      if (!s) return;
      for (const r of [...(s.ingress ?? []), ...(s.egress ?? [])])
        for (const one of r.ports ?? []) one.protocol ??= 'TCP';
      if (!s.policyTypes?.length) s.policyTypes = s.egress?.length ? ['Ingress', 'Egress'] : ['Ingress'];
    },
    ...withGeneration<Policy>(),
    ...rules<Policy>({
      scope: 'Namespaced',
      anyGenerateName: 'update',
      always: (f, _ctx, old) => policySpec(f.get('spec'), laxity(old)),
    }),
    warnings(p) {
      const warn = (
        list: readonly { from?: Peer[]; to?: Peer[] }[] | undefined,
        direction: 'ingress' | 'egress',
        side: 'from' | 'to',
      ) =>
        (list ?? []).flatMap((r, i) =>
          (r[side] ?? []).flatMap(({ ipBlock: b }, j) => {
            const at = `spec.${direction}[${i}].${side}[${j}].ipBlock`;
            return b
              ? [
                  ...rangeWarnings(`${at}.cidr`, b.cidr),
                  ...(b.except ?? []).flatMap((e, k) => rangeWarnings(`${at}.except[${k}]`, e)),
                ]
              : [];
          }),
        );
      return [...warn(p.spec?.ingress as never, 'ingress', 'from'), ...warn(p.spec?.egress as never, 'egress', 'to')];
    },
  },
  table: {
    cells: (p, now) => [
      nameOf(p),
      p.spec ? selectorCell(p.spec.podSelector as LabelSelector | undefined) : NONE,
      age(p, now),
    ],
  },
});
