/** Pods and pod templates. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { Json, KubeObject, Pod, PodTemplateSpec } from '../../../api/types.ts';
import { define, special } from '../define.ts';
import { containerCells, labelsCell, nameOf } from '../table.ts';
import { validating, type Field } from '../validation/field.ts';
import { objectMeta, objectMetaUpdate } from '../validation/meta.ts';
import { dns1123Subdomain } from '../validation/names.ts';
import { podSpecDefaults } from './defaults.ts';
import {
  ephemeralContainersStrategy,
  podGracePeriod,
  podStatusStrategy,
  podStrategy,
  resizeStrategy,
} from './strategy.ts';
import { podTable } from './table.ts';
import { podTemplate } from './template.ts';
import { podWarnings } from './warnings.ts';

export { bindPod } from './binding.ts';
export { evictPod } from './eviction.ts';

const connect = ['create', 'get'];

export const pods = define<Pod>('', 'pods', 'Pod', 'Namespaced', {
  strategy: podStrategy,
  subresources: {
    status: { type: 'update', strategy: podStatusStrategy },
    ephemeralcontainers: { type: 'update', strategy: ephemeralContainersStrategy },
    resize: { type: 'update', strategy: resizeStrategy },
    attach: special(...connect),
    binding: special('create'),
    eviction: special('create'),
    exec: special(...connect),
    log: special('get'),
    portforward: special(...connect),
    proxy: special('create', 'delete', 'get', 'patch', 'update'),
  },
  table: podTable,
  returnDeletedObject: true,
  selectableFields: (pod) => ({
    'spec.nodeName': pod.spec?.nodeName ?? '',
    'spec.restartPolicy': pod.spec?.restartPolicy ?? '',
    'spec.schedulerName': pod.spec?.schedulerName ?? '',
    'spec.serviceAccountName': pod.spec?.serviceAccountName ?? '',
    'spec.hostNetwork': String(pod.spec?.hostNetwork ?? false),
    'status.phase': pod.status?.phase ?? '',
    'status.podIP': pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '',
    // Known by name only, as upstream has it.
    'status.podIPs': '',
    'status.nominatedNodeName': pod.status?.nominatedNodeName ?? '',
  }),
  indexedFields: ['spec.nodeName'],
  gracePeriodSeconds: podGracePeriod,
});

type PodTemplate = Json<k8s.V1PodTemplate>;
const template = (f: Field<PodTemplate>) => podTemplate(f.get('template') as Field<PodTemplateSpec>);

export const podTemplates = define<PodTemplate>('', 'podtemplates', 'PodTemplate', 'Namespaced', {
  returnDeletedObject: true,
  strategy: {
    defaults: (t) => podSpecDefaults(((t.template ??= {}).spec ??= { containers: [] })),
    prepareForCreate: (t) => void ((t.metadata ??= {}).generation = 1),
    validate: (t) =>
      validating(t, (f) => objectMeta(f as Field<KubeObject>, { namespaced: true }, dns1123Subdomain), template),
    validateUpdate: (t, old) => validating(t, (f) => objectMetaUpdate(f as Field<KubeObject>, old), template),
    prepareForUpdate(t, old) {
      const before = old.metadata?.generation ?? 0;
      (t.metadata ??= {}).generation = semanticEqual(t.template, old.template) ? before : before + 1;
    },
    warnings: (t) =>
      podWarnings(t.template?.spec, t.template?.metadata as { annotations?: Record<string, string> }, 'template'),
  },
  table: {
    cells: (t) => [nameOf(t), ...containerCells(t.template?.spec), labelsCell(t.template?.metadata?.labels)],
  },
});
