/** The rules of one version of a custom resource, as a strategy of the generic registry. */
import { invalid, type FieldError } from '../../../api/field-errors.ts';
import { goText, goType } from '../../../api/go-text.ts';
import { forbidden } from '../../../api/status.ts';
import type { DeepReadonly, JsonObject, KubeObject } from '../../../api/types.ts';
import { isDNS1123Subdomain, isQualifiedName } from '../../../api/validation/names.ts';
import type { Strategy, SubresourceDefinition } from '../../registry/definition.ts';
import { Field } from '../../resources/validation/field.ts';
import { objectMeta, objectMetaUpdate } from '../../resources/validation/meta.ts';
import type { CrdScale } from '../crd/types.ts';
import { sameValue, type Value } from '../schema/equal.ts';
import type { SchemaProps } from '../schema/props.ts';
import { compileRules } from '../schema/rules.ts';
import { SchemaValidator } from '../schema/validator.ts';
import { validateEmbedded, validateLists } from '../schema/walk.ts';

export interface VersionRules {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly resource: string;
  readonly namespaced: boolean;
  readonly schema: SchemaProps;
  /** The status subresource is on: the main endpoint leaves the status alone. */
  readonly status: boolean;
  readonly scale: CrdScale | undefined;
  /** The definition is being deleted: nothing new is taken. */
  terminating(): boolean;
}

export interface CustomStrategies {
  readonly main: Strategy;
  readonly status: Strategy;
}

const META = { anyFinalizer: true };
const STANDARD = ['kubernetes', 'orphan', 'foregroundDeletion'];
const UNCHECKED =
  'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';
/** Complaints after which rules are not even tried. */
const BLOCKING = new Set([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);

const asValue = (o: unknown) => o as Value;
const fieldsOf = (o: unknown) => o as { [key: string]: Value | undefined };

/** For objects, their status and their scale. */
export function customStrategies(v: VersionRules): CustomStrategies {
  const validator = new SchemaValidator(v.schema);
  const statusSchema = v.schema.properties?.['status'];
  const statusValidator = v.status && statusSchema ? new SchemaValidator(statusSchema) : undefined;
  const rules = compileRules(v.schema, true);
  const apiVersion = `${v.group}/${v.version}`;

  const typeMeta = (o: KubeObject): FieldError[] => {
    const errors: FieldError[] = [];
    if (o.kind !== v.kind) errors.push(invalid('kind', o.kind, `must be ${v.kind}`));
    if (o.apiVersion !== apiVersion) errors.push(invalid('apiVersion', o.apiVersion, `must be ${apiVersion}`));
    return errors;
  };
  const withRules = (
    errors: FieldError[],
    object: KubeObject,
    old: DeepReadonly<KubeObject> | undefined,
    warn?: (text: string) => void,
  ): FieldError[] => {
    if (!rules) return errors;
    if (errors.some((e) => BLOCKING.has(e.type)))
      return [...errors, { type: 'FieldValueInvalid', field: '<nil>', message: `Invalid value: null: ${UNCHECKED}` }];
    // What breaks a rule and has not changed stays as it is, but is told.
    const passed = warn && ((e: FieldError) => warn(`${e.field === '' ? '<nil>' : e.field}: ${e.message}`));
    return [...errors, ...rules.validate(asValue(object), old && asValue(old), '', passed)];
  };
  const lists = (object: KubeObject, old: DeepReadonly<KubeObject>): FieldError[] => {
    const found = validateLists(asValue(object), v.schema);
    return found.length > 0 && validateLists(asValue(old), v.schema).length > 0 ? [] : found;
  };

  const main: Strategy = {
    resetFields: v.status ? [['status']] : undefined,
    prepareForCreate(object) {
      if (v.terminating())
        throw forbidden(
          v,
          object.metadata?.name ?? '',
          'create not allowed while custom resource definition is terminating',
        );
      if (v.status) delete fieldsOf(object)['status'];
      (object.metadata ??= {}).generation = 1;
    },
    validate(object) {
      const wrongKind = typeMeta(object);
      if (wrongKind.length > 0) return wrongKind;
      const errors: FieldError[] = [];
      objectMeta(new Field<KubeObject>(object, errors), { namespaced: v.namespaced }, isDNS1123Subdomain, META);
      errors.push(...validator.validate(asValue(object)), ...scaleErrors(object, v.scale, true));
      errors.push(...validateEmbedded(asValue(object), v.schema), ...validateLists(asValue(object), v.schema));
      return withRules(errors, object, undefined);
    },
    prepareForUpdate(object, old) {
      const mine = fieldsOf(object);
      if (v.status) {
        const status = fieldsOf(old)['status'];
        if (status === undefined) delete mine['status'];
        else mine['status'] = status;
      }
      const before = old.metadata?.generation ?? 0;
      (object.metadata ??= {}).generation = sameBesidesMetadata(object, old) ? before : before + 1;
    },
    validateUpdate(object, old, ctx) {
      const wrongKind = typeMeta(object);
      if (wrongKind.length > 0) return wrongKind;
      const errors: FieldError[] = [];
      objectMetaUpdate(new Field<KubeObject>(object, errors), old, META);
      errors.push(...validator.validateUpdate(asValue(object), asValue(old)), ...scaleErrors(object, v.scale, true));
      errors.push(...validateEmbedded(asValue(object), v.schema), ...lists(object, old));
      return withRules(errors, object, old, ctx.warn);
    },
    warnings(object, old) {
      return (object.metadata?.finalizers ?? [])
        .filter((f) => !old?.metadata?.finalizers?.includes(f))
        .flatMap(finalizerWarnings);
    },
  };

  const status: Strategy = {
    resetFields: [['metadata'], ['spec']],
    prepareForUpdate(object, old) {
      const mine = fieldsOf(object);
      const { status: sent } = mine;
      const { managedFields, resourceVersion } = object.metadata ?? {};
      for (const k of Object.keys(mine)) delete mine[k];
      Object.assign(mine, old);
      const metadata = { ...old.metadata, resourceVersion } as NonNullable<KubeObject['metadata']>;
      if (managedFields) metadata.managedFields = managedFields;
      else delete metadata.managedFields;
      object.metadata = metadata;
      if (sent === undefined) delete mine['status'];
      else mine['status'] = sent;
    },
    validateUpdate(object, old, ctx) {
      const wrongKind = typeMeta(object);
      if (wrongKind.length > 0) return wrongKind;
      const errors: FieldError[] = [];
      objectMetaUpdate(new Field<KubeObject>(object, errors), old, META);
      const sent = fieldsOf(object)['status'];
      if (sent !== undefined && statusValidator)
        errors.push(...statusValidator.validateUpdate(sent, fieldsOf(old)['status'], 'status'));
      errors.push(...scaleErrors(object, v.scale, false), ...lists(object, old));
      return withRules(errors, object, old, ctx.warn);
    },
  };
  return { main, status };
}

function sameBesidesMetadata(a: KubeObject, b: DeepReadonly<KubeObject>): boolean {
  const bare = (o: object) => ({ ...o, metadata: null });
  return sameValue(asValue(bare(a)), asValue(bare(b)));
}

function finalizerWarnings(name: string): string[] {
  const out = isQualifiedName(name).map((m) => `metadata.finalizers: ${JSON.stringify(name)}: ${m}`);
  if (!name.includes('/') && !STANDARD.includes(name))
    out.push(
      `metadata.finalizers: ${JSON.stringify(name)}: prefer a domain-qualified finalizer name${name.includes('.') ? ' including a path (/)' : ''} to avoid accidental conflicts with other finalizer writers`,
    );
  return out;
}

/** The names of a simple path: `.spec.replicas`. */
export const pathNames = (path: string): string[] => path.replace(/^\./, '').split('.');

/** What a simple path leads to; `undefined` when it leads nowhere, an Error when something in the way is no object. */
function valueAt(object: unknown, path: string): Value | undefined | Error {
  let v = object as Value | undefined;
  const names = pathNames(path);
  for (const [i, name] of names.entries()) {
    if (v === undefined || v === null) return undefined;
    if (typeof v !== 'object' || Array.isArray(v))
      return new Error(unfit(names.slice(0, i + 1), v, 'map[string]interface{}'));
    v = (v as { [k: string]: Value | undefined })[name];
  }
  return v;
}

const unfit = (names: readonly string[], v: Value, wanted: string) =>
  `.${names.join('.')} accessor error: ${goText(v)} is of the type ${goType(v)}, expected ${wanted}`;

const MAX_INT32 = 2_147_483_647;

function scaleErrors(object: KubeObject, scale: CrdScale | undefined, spec: boolean): FieldError[] {
  if (!scale) return [];
  const errors: FieldError[] = [];
  const count = (path: string) => {
    const v = valueAt(object, path);
    if (v === undefined) return;
    if (v instanceof Error) errors.push(invalid(path, 0, v.message));
    else if (typeof v !== 'number' || !Number.isInteger(v))
      errors.push(invalid(path, 0, unfit(pathNames(path), v, 'int64')));
    else if (v < 0) errors.push(invalid(path, v, 'should be a non-negative integer'));
    else if (v > MAX_INT32) errors.push(invalid(path, v, `should be less than or equal to ${MAX_INT32}`));
  };
  if (spec) count(scale.specReplicasPath);
  count(scale.statusReplicasPath);
  if (scale.labelSelectorPath) {
    const v = valueAt(object, scale.labelSelectorPath);
    if (v instanceof Error) errors.push(invalid(scale.labelSelectorPath, '', v.message));
    else if (v !== undefined && typeof v !== 'string')
      errors.push(invalid(scale.labelSelectorPath, '', unfit(pathNames(scale.labelSelectorPath), v, 'string')));
  }
  return errors;
}

/** The subresources of a version, as the generic registry has them. */
export function customSubresources(
  strategies: CustomStrategies,
  status: boolean,
  scale: CrdScale | undefined,
  replicasAt: Readonly<Record<string, readonly string[]>>,
): Record<string, SubresourceDefinition> {
  const out: Record<string, SubresourceDefinition> = {};
  if (status) out['status'] = { type: 'update', strategy: strategies.status };
  if (scale) {
    const { labelSelectorPath } = scale;
    out['scale'] = {
      type: 'scale',
      specReplicas: pathNames(scale.specReplicasPath),
      replicasAt,
      statusReplicas: pathNames(scale.statusReplicasPath),
      selector(object) {
        const v = labelSelectorPath ? valueAt(object as unknown as JsonObject, labelSelectorPath) : undefined;
        return typeof v === 'string' ? v : '';
      },
    };
  }
  return out;
}
