/** The kind CustomResourceDefinition: defaults, preparation, validation. */
import { deepCopy } from '../../../api/meta.ts';
import type { DeepReadonly } from '../../../api/types.ts';
import { formatTime } from '../../../base/clock.ts';
import type { ResourceDefinition, Strategy } from '../../registry/definition.ts';
import { bumpGeneration, define } from '../../resources/define.ts';
import { isKnownFormat } from '../schema/formats.ts';
import { eachSchema } from '../schema/props.ts';
import { fromV1beta1 } from './stored-v1beta1.ts';
import { CLEANUP_FINALIZER, withCondition, type Crd, type CrdSpec } from './types.ts';
import { validateDefinition, validateDefinitionStatus, validateDefinitionUpdate } from './validate.ts';

/** Upstream's table shows when a definition was made, in full. */
const table = { cells: (o: DeepReadonly<Crd>) => [o.metadata?.name ?? '', o.metadata?.creationTimestamp ?? ''] };

function addStoredVersion(crd: Crd): void {
  const storage = crd.spec.versions?.find((v) => v.storage)?.name;
  const stored = ((crd.status ??= {}).storedVersions ??= []);
  if (storage !== undefined && !stored.includes(storage)) stored.push(storage);
}

const noStatus = () => ({ conditions: null, acceptedNames: { plural: '', kind: '' }, storedVersions: null });

const strategy: Strategy<Crd> = {
  resetFields: [['status']],
  defaults(crd) {
    const spec = crd.spec as CrdSpec | undefined;
    if (!spec) return;
    const names = spec.names;
    if (names) {
      if (!names.singular && names.kind) names.singular = names.kind.toLowerCase();
      if (!names.listKind && names.kind) names.listKind = `${names.kind}List`;
    }
    // Something is stored in the storage version, whoever empties the list.
    const storage = spec.versions?.find((v) => v.storage)?.name;
    if (storage !== undefined && crd.status && !crd.status.storedVersions?.length)
      crd.status.storedVersions = [storage];
    spec.conversion ??= { strategy: 'None' };
    const service = spec.conversion.webhook?.clientConfig?.service;
    if (service) service.port ??= 443;
  },
  prepareForCreate(crd) {
    crd.status = noStatus();
    (crd.metadata ??= {}).generation = 1;
    addStoredVersion(crd);
  },
  validate: (crd, ctx) => validateDefinition(crd, ctx),
  prepareForUpdate(crd, old) {
    crd.status = deepCopy(old.status) as Crd['status'];
    bumpGeneration(crd, old);
    addStoredVersion(crd);
  },
  validateUpdate: (crd, old, ctx) => validateDefinitionUpdate(crd, old, ctx),
  warnings(crd, old) {
    const before = new Set(old ? unknownFormats(old as Crd) : []);
    return unknownFormats(crd)
      .filter((f) => !before.has(f))
      .map((f) => `unrecognized format ${JSON.stringify(f)}`);
  },
};
const status: Strategy<Crd> = {
  resetFields: [['spec']],
  prepareForUpdate(crd, old) {
    crd.spec = deepCopy(old.spec) as CrdSpec;
  },
  validateUpdate: validateDefinitionStatus,
};

export const customResourceDefinitions: ResourceDefinition<Crd> = define<Crd>(
  'apiextensions.k8s.io',
  'customresourcedefinitions',
  'CustomResourceDefinition',
  'Cluster',
  {
    announcedStorage: 'v1beta1',
    strategy,
    subresources: { status: { type: 'update', strategy: status } },
    allowUnconditionalUpdate: false,
    storedVersions: { 'apiextensions.k8s.io/v1beta1': fromV1beta1 },
    table,
    // Never gone at once: instances are cleaned up first.
    moreFinalizers: () => [],
    uncollected: true,
    onDeleting(crd) {
      const meta = (crd.metadata ??= {});
      if (!meta.finalizers?.includes(CLEANUP_FINALIZER))
        meta.finalizers = [...(meta.finalizers ?? []), CLEANUP_FINALIZER];
      (crd.status ??= {}).conditions = withCondition(
        crd.status.conditions,
        {
          type: 'Terminating',
          status: 'True',
          reason: 'InstanceDeletionPending',
          message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
        },
        meta.deletionTimestamp ?? formatTime(0),
      );
    },
  },
);

function unknownFormats(crd: Crd): string[] {
  const out: string[] = [];
  for (const v of crd.spec.versions ?? [])
    for (const s of eachSchema(v.schema?.openAPIV3Schema))
      if (s.format && !isKnownFormat(s.format, s.type ?? '')) out.push(s.format);
  return out;
}
