/** ObjectMeta, on create and update. */
import type { DeepReadonly, KubeObject, ObjectMeta } from '../../../api/types.ts';
import type { Field, Format } from './field.ts';
import { dns1123Label, qualifiedName } from './names.ts';
import { annotations, labels, type Labels } from './values.ts';

const STANDARD_FINALIZERS = ['kubernetes', 'orphan', 'foregroundDeletion'];
/** Finalizers without a domain are the system's own. */
export const kubeFinalizer: Format = (v) =>
  v.includes('/') || STANDARD_FINALIZERS.includes(v)
    ? []
    : ['name is neither a standard finalizer name nor is it fully qualified'];

/** A name that is to be completed may end in a dash. */
const masked = (prefix: string) => (prefix.length > 1 && prefix.endsWith('-') ? `${prefix.slice(0, -2)}a` : prefix);

interface MetaOptions {
  /** Finalizers without a domain are refused unless known; kinds of apiextensions and apiregistration take any. */
  anyFinalizer?: boolean;
  /** What names are generated from isn't looked at, nor the form of finalizers on update. */
  anyGenerateName?: boolean;
}

/** What every object's metadata must hold when it is created. */
export function objectMeta(
  object: Field<KubeObject>,
  ctx: { namespaced: boolean },
  name: Format,
  options: MetaOptions = {},
): void {
  const meta = object.get('metadata');
  generatedName(meta, name, options);
  const own = meta.get('name');
  if (own.need('name or generateName is required')) own.format(name);
  const ns = meta.get('namespace');
  if (ctx.namespaced) ns.requiredFormat(dns1123Label);
  else ns.absent('not allowed on this type');
  common(meta, options);
  finalizers(meta);
  meta.get('generation').nonNegative();
}

/** Said on update too, where it has no effect. */
function generatedName(meta: Field<ObjectMeta>, name: Format, options: MetaOptions): void {
  if (options.anyGenerateName || !meta.value?.generateName) return;
  for (const m of name(masked(meta.value.generateName))) meta.get('generateName').invalid(m);
}

function finalizers(meta: Field<ObjectMeta>): void {
  const f = meta.get('finalizers');
  const values = f.value ?? [];
  for (const v of values) for (const m of qualifiedName(v)) f.invalid(m, v);
  if (values.includes('orphan') && values.includes('foregroundDeletion')) {
    f.invalid('finalizer orphan and foregroundDeletion cannot be both set');
  }
}

function common(meta: Field<ObjectMeta>, options: MetaOptions): void {
  labels(meta.get('labels') as Field<Labels>);
  annotations(meta.get('annotations') as Field<Labels>);
  ownerReferences(meta);
  meta.get('managedFields').each((e) => {
    e.get('operation').check(
      e.value?.operation === 'Apply' || e.value?.operation === 'Update',
      'must be `Apply` or `Update`',
    );
    if (e.value?.fieldsType) e.get('fieldsType').check(e.value.fieldsType === 'FieldsV1', 'must be `FieldsV1`');
    e.get('manager').maxLength(128);
    e.get('subresource').maxLength(256);
  });
  if (!options.anyFinalizer) meta.get('finalizers').each((f) => f.formatAll(kubeFinalizer));
}

function ownerReferences(meta: Field<ObjectMeta>): void {
  const f = meta.get('ownerReferences');
  let controller = '';
  for (const ref of f.value ?? []) {
    const one = f.named('', ref);
    const version = (ref.apiVersion ?? '').split('/').pop() ?? '';
    if (version === '') one.get('apiVersion').invalid('version must not be empty');
    for (const k of ['kind', 'name', 'uid'] as const) if (!ref[k]) one.get(k).invalid('must not be empty');
    if (ref.apiVersion === 'v1' && ref.kind === 'Event')
      f.invalid('/v1, Kind=Event is disallowed from being an owner', ref);
    if (ref.controller) {
      const id = `${ref.kind}/${ref.name}`;
      if (controller)
        f.invalid(
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${id}`,
        );
      else controller = id;
    }
  }
}

/** What may not change in metadata. */
export function objectMetaUpdate(
  object: Field<KubeObject>,
  old: DeepReadonly<KubeObject>,
  options: MetaOptions & { name?: Format } = {},
): void {
  const meta = object.get('metadata');
  if (options.name && !options.anyGenerateName) {
    generatedName(meta, options.name, options);
    finalizers(meta);
  }
  const before = (old.metadata ?? {}) as ObjectMeta;
  if (before.deletionTimestamp) {
    const extra = (meta.value?.finalizers ?? []).filter((x) => !before.finalizers?.includes(x));
    if (extra.length > 0) {
      meta
        .get('finalizers')
        .forbidden(
          `no new finalizers can be added if the object is being deleted, found new finalizers ${extra.join(', ')}`,
        );
    }
  }
  meta.get('resourceVersion').check(!!meta.value?.resourceVersion, 'must be specified for an update');
  meta.get('generation').check((meta.value?.generation ?? 0) >= (before.generation ?? 0), 'must not be decremented');
  for (const k of [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const) {
    meta.get(k).immutable(before[k]);
  }
  common(meta, options);
}
