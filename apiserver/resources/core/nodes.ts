/** Nodes. */
import type * as k8s from '@kubernetes/client-node';
import { internalField } from '../../../api/field-errors.ts';
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly, Json, Node } from '../../../api/types.ts';
import { roundResources } from '../pods/defaults.ts';
import { TAINT_EFFECTS } from '../pods/scheduling.ts';
import { define, special, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf, NONE, UNKNOWN } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { cidr, configMapKey, dualStack } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../validation/names.ts';
import { resourceQuantity } from '../validation/values.ts';

type Old = DeepReadonly<Node>;

/** Keys and effects, each pair once. */
export function taints(f: Field<Json<k8s.V1Taint>[]>): void {
  const seen = new Set<string>();
  f.each((t) => {
    t.get('key').formatAll(qualifiedName);
    t.get('value').format(labelValue);
    t.get('effect').enumerated(TAINT_EFFECTS);
    const id = `${t.value?.effect}/${t.value?.key}`;
    if (seen.has(id)) t.duplicate();
    seen.add(id);
  });
}

/** Complaints name the amount's list and key joined by a dot. */
function amounts(f: Field<Node>): void {
  for (const list of ['capacity', 'allocatable'] as const) {
    for (const [k, v] of Object.entries(f.value?.status?.[list] ?? {})) {
      resourceQuantity(
        f
          .get('status')
          .named(list)
          .named(k, v as string) as Field<string>,
        k,
      );
    }
  }
}

const FEATURE = /^[A-Z][a-zA-Z0-9]*(\/[a-zA-Z][a-zA-Z0-9]*)*$/;
function declaredFeatures(f: Field<Node>): void {
  const list = f
    .get('status')
    .named('declaredFeatures', (f.value?.status as { declaredFeatures?: string[] } | undefined)?.declaredFeatures);
  list.each((v, i) => {
    v.check(v.value!.length <= 253 && FEATURE.test(v.value!), 'must be UpperCamelCase segments separated by slashes');
    const before = list.value?.[i - 1];
    if (before === v.value) v.duplicate();
    else if (before !== undefined && before > v.value!) v.invalid('list must be sorted alphabetically');
  });
}

function always(f: Field<Node>): void {
  taints(f.get('metadata').named('taints', f.value?.spec?.taints) as Field<Json<k8s.V1Taint>[]>);
  amounts(f);
  declaredFeatures(f);
}

function addresses(f: Field<Node>): void {
  f.get('status')
    .get('addresses')
    .unique((a) => `${a.type}/${a.address}`);
}

type ConfigMapSource = Json<k8s.V1ConfigMapNodeConfigSource>;
function configSource(f: Field<Json<k8s.V1NodeConfigSource>>, inStatus: boolean): void {
  const map = f.get('configMap') as Field<ConfigMapSource>;
  if (!map.isSet) return void f.invalid('exactly one reference subfield must be non-nil');
  for (const k of ['uid', 'resourceVersion'] as const) {
    if (inStatus) map.get(k).required();
    else map.get(k).absent(`${k} must not be set in spec`);
  }
  map.get('namespace').requiredFormat(dns1123Label);
  map.get('name').requiredFormat(dns1123Subdomain);
  map.get('kubeletConfigKey').requiredFormat(configMapKey);
}

function update(f: Field<Node>, old: Old): void {
  addresses(f);
  const spec = f.get('spec');
  const before = old.spec ?? {};
  const once = 'node updates may not change podCIDR except from "" to valid';
  if (before.podCIDRs?.length && JSON.stringify(before.podCIDRs) !== JSON.stringify(spec.value?.podCIDRs))
    spec.get('podCIDRs').forbidden(once);
  if (before.providerID && before.providerID !== spec.value?.providerID) {
    spec.get('providerID').forbidden('node updates may not change providerID except from "" to valid');
  }
  spec.get('configSource').with((s) => configSource(s, false));
  const config = f.get('status').get('config');
  for (const k of ['assigned', 'active', 'lastKnownGood'] as const) config.get(k).with((s) => configSource(s, true));
  if ((spec.value?.externalID ?? '') !== (before.externalID ?? ''))
    spec.get('externalID').forbidden('may not be updated');
}

function podCIDRs(f: Field<Node>): void {
  const list = f.get('spec').get('podCIDRs');
  list.each((c) => c.formatAll(cidr));
  const n = list.value?.length ?? 0;
  if (n > 1 && list.value!.some((c) => cidr(c).length > 0))
    list.add(internalField(list.path, 'invalid CIDRs can not be compared by family'));
  if (n > 1 && !(n === 2 && dualStack(list.value ?? [])))
    list.invalid('may specify no more than one CIDR for each IP family');
}

/** The single range and the list say the same; the single one wins. */
function defaults(node: Node): void {
  const spec = node.spec;
  if (spec?.podCIDR) {
    if (spec.podCIDRs?.[0] !== spec.podCIDR) spec.podCIDRs = [spec.podCIDR];
  } else if (spec?.podCIDRs?.[0]) spec.podCIDR = spec.podCIDRs[0];
  const status = node.status;
  if (!status) return;
  roundResources(status.capacity as Record<string, string>);
  roundResources(status.allocatable as Record<string, string>);
  if (status.capacity && !status.allocatable) status.allocatable = { ...status.capacity };
}

const ROLE = 'node-role.kubernetes.io/';
function roles(node: Old): string {
  const found = new Set<string>();
  for (const [k, v] of Object.entries(node.metadata?.labels ?? {})) {
    if (k.startsWith(ROLE) && k.length > ROLE.length) found.add(k.slice(ROLE.length));
    else if (k === 'kubernetes.io/role' && v) found.add(v);
  }
  return [...found].sort().join(',') || NONE;
}
const address = (node: Old, type: string) => node.status?.addresses?.find((a) => a.type === type)?.address ?? NONE;

export const nodes = define<Node>('', 'nodes', 'Node', 'Cluster', {
  strategy: {
    resetFields: [['status']],
    defaults,
    prepareForCreate(node) {
      if (node.spec) delete node.spec.configSource;
      if (node.status) delete node.status.config;
    },
    prepareForUpdate(node, old) {
      node.status = deepCopy(old.status) as Node['status'];
      if (!old.spec?.configSource && node.spec) delete node.spec.configSource;
    },
    ...rules<Node>({ scope: 'Cluster', always: (f) => (always(f), podCIDRs(f)), update }),
    warnings: (node) => [
      ...(node.spec?.configSource ? ['spec.configSource: the feature is removed'] : []),
      ...(node.spec?.externalID ? ['spec.externalID: this field is deprecated, and is unused by Kubernetes'] : []),
    ],
  },
  subresources: {
    status: statusEndpoint<Node>({
      prepareForUpdate(node, old) {
        if (!old.status?.config && node.status) delete node.status.config;
      },
      ...statusRules<Node>((f, old) => (always(f), update(f, old))),
    }),
    proxy: special('create', 'delete', 'get', 'patch', 'update'),
  },
  selectableFields: (node) => ({ 'spec.unschedulable': String(node.spec?.unschedulable ?? false) }),
  table: {
    cells(node, now) {
      const ready = node.status?.conditions?.find((c) => c.type === 'Ready');
      const status = !ready ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
      const info = node.status?.nodeInfo;
      const kernel = (info?.kernelVersion || UNKNOWN) + (info?.architecture ? ` (${info.architecture})` : '');
      return [
        nameOf(node),
        node.spec?.unschedulable ? `${status},SchedulingDisabled` : status,
        roles(node),
        age(node, now),
        info?.kubeletVersion ?? '',
        address(node, 'InternalIP'),
        address(node, 'ExternalIP'),
        info?.osImage || UNKNOWN,
        kernel,
        info?.containerRuntimeVersion || UNKNOWN,
      ];
    },
  },
});
