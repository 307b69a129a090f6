/** Namespaces. */
import { deepCopy } from '../../../api/meta.ts';
import type { Namespace } from '../../../api/types.ts';
import { define, statusEndpoint } from '../define.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { kubeFinalizer } from '../validation/meta.ts';
import { dns1123Label, qualifiedName } from '../validation/names.ts';

const KUBERNETES = 'kubernetes';

/** The label by which selectors can name one namespace. */
function nameLabel(ns: Namespace): void {
  const name = ns.metadata?.name;
  if (name) (ns.metadata!.labels ??= {})['kubernetes.io/metadata.name'] = name;
}

const finalizers = (f: Field<Namespace>) => f.get('spec').get('finalizers');

export const namespaces = define<Namespace>('', 'namespaces', 'Namespace', 'Cluster', {
  returnDeletedObject: true,
  strategy: {
    resetFields: [['status']],
    defaults(ns) {
      nameLabel(ns);
      (ns.status ??= {}).phase ||= 'Active';
    },
    prepareForCreate(ns) {
      ns.status = { phase: 'Active' };
      const spec = (ns.spec ??= {});
      if (!spec.finalizers?.includes(KUBERNETES)) spec.finalizers = [...(spec.finalizers ?? []), KUBERNETES];
      nameLabel(ns);
    },
    prepareForUpdate(ns, old) {
      (ns.spec ??= {}).finalizers = deepCopy(old.spec?.finalizers) as string[] | undefined;
      ns.status = deepCopy(old.status) as Namespace['status'];
      nameLabel(ns);
    },
    ...rules<Namespace>({
      scope: 'Cluster',
      name: dns1123Label,
      create: (f) =>
        finalizers(f).value?.forEach((v) => finalizers(f).named('', v).formatAll(qualifiedName, kubeFinalizer)),
    }),
  },
  subresources: {
    status: statusEndpoint<Namespace>({
      ...statusRules((f) => {
        const want = f.value?.metadata?.deletionTimestamp ? 'Terminating' : 'Active';
        const phase = f.value?.status?.phase;
        if (phase === want) return;
        f.get('status')
          .named('Phase', phase)
          .invalid(`may only be '${want}' if \`deletionTimestamp\` is ${want === 'Active' ? '' : 'not '}empty`);
      }),
    }),
    finalize: {
      type: 'update',
      strategy: {
        resetFields: [['status']],
        prepareForUpdate: (ns, old) => void (ns.status = deepCopy(old.status) as Namespace['status']),
        ...statusRules<Namespace>((f) => finalizers(f).each((v) => v.formatAll(qualifiedName, kubeFinalizer))),
      },
    },
  },
  selectableFields: (ns) => ({ 'status.phase': ns.status?.phase ?? '', name: ns.metadata?.name ?? '' }),
  moreFinalizers: (ns) => ns.spec?.finalizers ?? [],
  onDeleting: (ns) => void ((ns.status ??= {}).phase = 'Terminating'),
  table: { cells: (ns, now) => [nameOf(ns), ns.status?.phase ?? '', age(ns, now)] },
});
