/** API services: which server answers for a group and version. */
import type * as k8s from '@kubernetes/client-node';
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { formatTime } from '../../../base/clock.ts';
import { define, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { isPort } from '../validation/formats.ts';
import { dns1035Label, dns1123Subdomain, pathSegment } from '../validation/names.ts';

type APIService = Json<k8s.V1APIService>;
type Spec = NonNullable<APIService['spec']>;

function service(f: Field<Spec>): void {
  const s = f.value;
  if (!s?.group && s?.version !== 'v1')
    f.get('group').missing('only v1 may have an empty group and it better be legacy kube');
  f.get('group').format(dns1123Subdomain);
  f.get('version').formatAll(dns1035Label);
  const within = (k: 'groupPriorityMinimum' | 'versionPriority', max: number) => {
    const n = s?.[k] ?? 0;
    f.get(k).check(n > 0 && n <= max, `must be positive and less than ${max}`);
  };
  within('groupPriorityMinimum', 20_000);
  within('versionPriority', 1000);
  const insecure = f.get('insecureSkipTLSVerify');
  const bundle = f.get('caBundle');
  if (!s?.service) {
    bundle.check(bundle.isEmpty, 'local APIServices may not have a caBundle');
    insecure.check(!insecure.value, 'local APIServices may not have insecureSkipTLSVerify');
    return;
  }
  const reference = f.get('service');
  reference.get('namespace').required();
  reference.get('name').required();
  reference.get('port').check(isPort(s.service.port ?? 0), 'port is not valid: must be between 1 and 65535, inclusive');
  insecure.check(!insecure.value || bundle.isEmpty, 'may not be true if caBundle is present');
}

/** The name says what the spec says. */
function ownName(f: Field<APIService>): void {
  const wanted = `${f.value?.spec?.version ?? ''}.${f.value?.spec?.group ?? ''}`;
  for (const k of ['name', 'generateName'] as const) {
    const text = f.value?.metadata?.[k];
    if (text && pathSegment(text).length === 0 && text !== wanted)
      f.get('metadata')
        .get(k)
        .invalid(`must be \`spec.version+"."+spec.group\`: ${JSON.stringify(wanted)}`);
  }
}

const available = (a: DeepReadonly<APIService>) => a.status?.conditions?.find((c) => c.type === 'Available');

export const apiServices = define<APIService>('apiregistration.k8s.io', 'apiservices', 'APIService', 'Cluster', {
  allowUnconditionalUpdate: false,
  strategy: {
    resetFields: [['status']],
    defaults(a) {
      if (a.spec?.service) a.spec.service.port ??= 443;
    },
    prepareForCreate(a, ctx) {
      a.status = {};
      if (a.spec?.service) return;
      a.status.conditions = [
        {
          type: 'Available',
          status: 'True',
          reason: 'Local',
          message: 'Local APIServices are always available',
          lastTransitionTime: formatTime(ctx.clock.now()),
        },
      ];
    },
    prepareForUpdate: (a, old) => void (a.status = (deepCopy(old.status) ?? {}) as APIService['status']),
    ...rules<APIService>({
      scope: 'Cluster',
      anyFinalizer: true,
      name: pathSegment,
      always(f) {
        ownName(f);
        service(f.get('spec') as Field<Spec>);
      },
    }),
  },
  subresources: {
    status: statusEndpoint<APIService>({
      ...statusRules((f) =>
        f
          .get('status')
          .get('conditions')
          .each((c) => void c.get('status').oneOf(['True', 'False', 'Unknown'])),
      ),
      resetFields: [['spec'], ['metadata']],
      prepareForUpdate(a, old) {
        const { labels, annotations, finalizers, ownerReferences } = old.metadata ?? {};
        Object.assign((a.metadata ??= {}), { labels, annotations, finalizers, ownerReferences });
      },
    }),
  },
  table: {
    cells(a, now) {
      const s = a.spec?.service;
      const c = available(a);
      const state = c?.status === 'True' ? 'True' : `${c?.status ?? 'Unknown'}${c?.reason ? ` (${c.reason})` : ''}`;
      return [nameOf(a), s ? `${s.namespace}/${s.name}` : 'Local', state, age(a, now)];
    },
  },
});
