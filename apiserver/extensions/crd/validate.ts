/**
 * Validation of CustomResourceDefinitions. Paths are those of upstream's internal form: what all versions have in
 * common stands at `spec.validation`, `spec.subresources` and so on.
 */
import { Path, invalid, notSupported, required, type FieldError } from '../../../api/field-errors.ts';
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import { isDNS1035Label, isDNS1123Subdomain } from '../../../api/validation/names.ts';
import type { StrategyContext } from '../../registry/definition.ts';
import { Field } from '../../resources/validation/field.ts';
import { objectMeta, objectMetaUpdate } from '../../resources/validation/meta.ts';
import { sameValue, type Value } from '../schema/equal.ts';
import { eachSchema, type SchemaProps } from '../schema/props.ts';
import { approvalErrors } from './approval.ts';
import { validateConversion } from './conversion-rules.ts';
import { demandsAfter, EVERYTHING, schemasOf, type Demands } from './demands.ts';
import type { Crd, CrdNames, CrdSpec, CrdVersion } from './types.ts';
import { columnErrors, deprecationErrors, schemaErrors, selectableErrors, subresourceErrors } from './version-rules.ts';

const META = { anyFinalizer: true };
const SPEC = Path.root('spec');
const STATUS = Path.root('status');

/** What is wrong with a new definition. */
export function validateDefinition(crd: Crd, _ctx: StrategyContext): FieldError[] {
  const errors: FieldError[] = [];
  const wanted = `${crd.spec?.names?.plural ?? ''}.${crd.spec?.group ?? ''}`;
  const name = (n: string) => [
    ...isDNS1123Subdomain(n),
    ...(n === wanted ? [] : ['must be spec.names.plural+"."+spec.group']),
  ];
  objectMeta(new Field<KubeObject>(crd, errors), { namespaced: false }, name, META);
  errors.push(
    ...specErrors(crd.spec, EVERYTHING),
    ...statusErrors(crd),
    ...storedVersionErrors(crd),
    ...approvalErrors(crd, undefined),
  );
  if (crd.spec.preserveUnknownFields) errors.push(preserveForbidden());
  return errors;
}

/** What is wrong with a changed definition; demands that came later don't hold for what broke them before. */
export function validateDefinitionUpdate(crd: Crd, old: DeepReadonly<Crd>, _ctx: StrategyContext): FieldError[] {
  const errors: FieldError[] = [];
  objectMetaUpdate(new Field<KubeObject>(crd, errors), old, META);
  const demands = demandsAfter(old as Crd);
  errors.push(...specErrors(crd.spec, demands));
  const same = (a: unknown, b: unknown, path: Path) => {
    if (a !== b) errors.push(invalid(path, a, 'field is immutable'));
  };
  if (demands.immutableNames) {
    same(crd.spec.scope, old.spec.scope, SPEC.child('scope'));
    same(crd.spec.names.kind, old.spec.names.kind, SPEC.child('names', 'kind'));
  }
  same(crd.spec.group, old.spec.group, SPEC.child('group'));
  same(crd.spec.names.plural, old.spec.names.plural, SPEC.child('names', 'plural'));
  errors.push(...statusErrors(crd), ...storedVersionErrors(crd), ...approvalErrors(crd, old));
  if (crd.spec.preserveUnknownFields && !old.spec.preserveUnknownFields) errors.push(preserveForbidden());
  return errors;
}

/** What is wrong with a definition's status. */
export function validateDefinitionStatus(crd: Crd, old: DeepReadonly<Crd>): FieldError[] {
  const errors: FieldError[] = [];
  objectMetaUpdate(new Field<KubeObject>(crd, errors), old, META);
  return [...errors, ...statusErrors(crd)];
}

const preserveForbidden = () =>
  invalid(
    SPEC.child('preserveUnknownFields'),
    true,
    'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
  );

/** A part of all versions that is the same in each of them belongs to the whole. */
function shared<T>(
  versions: readonly CrdVersion[],
  part: (v: CrdVersion) => T | undefined,
): { value: T | undefined; all: boolean } {
  const first = versions[0] && part(versions[0]);
  const all = versions.every((v) => sameValue((part(v) ?? null) as Value, (first ?? null) as Value));
  return { value: all ? first : undefined, all };
}

function specErrors(spec: CrdSpec, asked: Demands): FieldError[] {
  const errors: FieldError[] = [];
  const group = spec.group ?? '';
  if (group === '') errors.push(required(SPEC.child('group')));
  else {
    const wrong = isDNS1123Subdomain(group);
    if (wrong.length > 0) errors.push(invalid(SPEC.child('group'), group, wrong.join(',')));
    else if (!group.includes('.'))
      errors.push(invalid(SPEC.child('group'), group, 'should be a domain with at least one dot'));
  }
  errors.push(...oneOf(SPEC.child('scope'), spec.scope, ['Cluster', 'Namespaced']));
  const versions = spec.versions ?? [];
  const preserve = spec.preserveUnknownFields === true;
  const schemas = schemasOf(spec);
  const has = (what: (s: SchemaProps) => boolean) => schemas.some((root) => [...eachSchema(root)].some(what));
  const defaults = has((s) => s.default !== undefined && s.default !== null);
  const extended = has(
    (s) =>
      s['x-kubernetes-embedded-resource'] === true ||
      s['x-kubernetes-preserve-unknown-fields'] !== undefined ||
      s['x-kubernetes-int-or-string'] === true ||
      s['x-kubernetes-list-type'] !== undefined ||
      (s['x-kubernetes-validations']?.length ?? 0) > 0,
  );
  if (asked.schema || !preserve)
    versions.forEach((v, i) => {
      if (!v.schema?.openAPIV3Schema && (asked.schema || v.served))
        errors.push(
          required(
            SPEC.child('versions').index(i).child('schema', 'openAPIV3Schema'),
            asked.schema ? '' : 'because otherwise all fields are pruned',
          ),
        );
    });
  if (defaults && preserve)
    errors.push(
      invalid(SPEC.child('preserveUnknownFields'), true, 'must be false in order to use defaults in the schema'),
    );
  const demands = { ...asked, structural: asked.structural || !preserve || defaults || extended };

  const names = versions.map((v) => v.name);
  const schema = shared(versions, (v) => v.schema);
  const subresources = shared(versions, (v) => v.subresources);
  const columns = shared(versions, (v) => v.additionalPrinterColumns);
  const selectable = shared(versions, (v) => v.selectableFields);
  versions.forEach((v, i) => {
    const at = SPEC.child('versions').index(i);
    const wrong = isDNS1035Label(v.name ?? '');
    if (wrong.length > 0) errors.push(invalid(at.child('name'), v.name ?? '', wrong.join(',')));
    for (const why of deprecationErrors(v))
      errors.push(invalid(at.child('deprecationWarning'), v.deprecationWarning, why));
    if (!schema.all)
      errors.push(
        ...schemaErrors(v.schema?.openAPIV3Schema, v.subresources?.status !== undefined, demands, at.child('schema')),
      );
    if (!subresources.all) errors.push(...subresourceErrors(v.subresources, at.child('subresources')));
    if (!columns.all)
      (v.additionalPrinterColumns ?? []).forEach((c, n) =>
        errors.push(...columnErrors(c, at.child('additionalPrinterColumns').index(n))),
      );
    if (!selectable.all) errors.push(...selectableErrors(v, at.child('selectableFields'), demands, v.name));
  });
  const first = isDNS1035Label(names[0] || 'v1');
  if (first.length > 0) errors.push(invalid(SPEC.child('version'), names[0], first.join(',')));
  if (new Set(names).size !== names.length)
    errors.push(invalid(SPEC.child('versions'), names, 'must contain unique version names'));
  if (versions.filter((v) => v.storage).length !== 1)
    errors.push(invalid(SPEC.child('versions'), names, 'must have exactly one version marked as storage version'));
  const { names: n } = spec;
  for (const k of ['plural', 'singular', 'kind', 'listKind'] as const)
    if (!n?.[k]) errors.push(required(SPEC.child('names', k)));
  errors.push(...nameErrors(n, SPEC.child('names')));
  if (schema.all)
    errors.push(
      ...schemaErrors(
        schema.value?.openAPIV3Schema,
        versions.some((v) => v.subresources?.status !== undefined),
        demands,
        SPEC.child('validation'),
      ),
    );
  if (subresources.all) errors.push(...subresourceErrors(subresources.value, SPEC.child('subresources')));
  if (columns.all)
    (columns.value ?? []).forEach((c, i) =>
      errors.push(...columnErrors(c, SPEC.child('additionalPrinterColumns').index(i))),
    );
  if (selectable.all && versions[0])
    errors.push(...selectableErrors(versions[0], SPEC.child('selectableFields'), demands, versions[0].name));
  return [...errors, ...validateConversion(spec.conversion, preserve, demands, SPEC.child('conversion'))];
}

const oneOf = (path: Path, value: string | undefined, known: readonly string[]): FieldError[] =>
  !value ? [required(path)] : known.includes(value) ? [] : [notSupported(path, value, known)];

function nameErrors(n: CrdNames | undefined, path: Path): FieldError[] {
  const errors: FieldError[] = [];
  if (!n) return errors;
  const check = (value: string | undefined, at: Path, mixed = false) => {
    const wrong = value ? isDNS1035Label(mixed ? value.toLowerCase() : value) : [];
    if (wrong.length > 0)
      errors.push(
        invalid(at, value, `${mixed ? 'may have mixed case, but should otherwise match: ' : ''}${wrong.join(',')}`),
      );
  };
  check(n.plural, path.child('plural'));
  check(n.singular, path.child('singular'));
  check(n.kind, path.child('kind'), true);
  check(n.listKind, path.child('listKind'), true);
  n.shortNames?.forEach((s, i) => check(s === '' ? ' ' : s, path.child('shortNames').index(i)));
  if (n.kind && n.kind === n.listKind)
    errors.push(invalid(path.child('listKind'), n.listKind, 'kind and listKind may not be the same'));
  n.categories?.forEach((c, i) => check(c === '' ? ' ' : c, path.child('categories').index(i)));
  return errors;
}

const statusErrors = (crd: Crd): FieldError[] => nameErrors(crd.status?.acceptedNames, STATUS.child('acceptedNames'));

function storedVersionErrors(crd: Crd): FieldError[] {
  const stored = crd.status?.storedVersions ?? [];
  const path = STATUS.child('storedVersions');
  if (stored.length === 0) return [invalid(path, stored, 'must have at least one stored version')];
  const errors: FieldError[] = [];
  const left = new Set(stored);
  // A version of the same name a second time finds nothing left.
  for (const v of crd.spec.versions)
    if (!left.delete(v.name) && v.storage)
      errors.push(invalid(path, stored, `must have the storage version ${v.name}`));
  stored.forEach((s, i) => {
    if (!crd.spec.versions.some((v) => v.name === s))
      errors.push(
        invalid(
          path.index(i),
          s,
          `missing from spec.versions; ${s} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${s} and removes ${s} from status.storedVersions`,
        ),
      );
  });
  return errors;
}
