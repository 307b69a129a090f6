/** What is demanded of a CustomResourceDefinition: all of a new one, of a changed one what the old one fulfilled. */
import { Path } from '../../../api/field-errors.ts';
import type { Value } from '../schema/equal.ts';
import { eachSchema, type SchemaProps } from '../schema/props.ts';
import { hasUnknown } from './defaults.ts';
import { isAtomic, listKeyErrors, type SchemaDemands } from './schema-rules.ts';
import { readsAsStructural, validateStructural } from './structural.ts';
import { isTrue, type Crd, type CrdSpec } from './types.ts';

const SPEC = Path.root('spec');

/** How strict a definition is looked at. */
export interface Demands extends SchemaDemands {
  readonly recognizedReviewVersion: boolean;
  readonly immutableNames: boolean;
  readonly schema: boolean;
  readonly structural: boolean;
  readonly prunedDefaults: boolean;
  readonly allowInvalidCaBundle: boolean;
  readonly oldSelectable: ReadonlyMap<string, Value>;
}

/** What a new definition must fulfil. */
export const EVERYTHING: Demands = {
  validTypes: true,
  atomicSets: true,
  listKeys: true,
  recognizedReviewVersion: true,
  immutableNames: false,
  schema: true,
  structural: true,
  prunedDefaults: true,
  allowInvalidCaBundle: true,
  oldSelectable: new Map(),
};

/** The schemas of the versions that have one. */
export const schemasOf = (spec: CrdSpec): SchemaProps[] =>
  (spec.versions ?? []).flatMap((v) => v.schema?.openAPIV3Schema ?? []);

/** What was let pass once is let pass again. */
export function demandsAfter(old: Crd): Demands {
  const schemas = schemasOf(old.spec);
  const every = (good: (s: SchemaProps) => boolean) => schemas.every((root) => [...eachSchema(root)].every(good));
  const versions = old.spec.conversion?.webhook?.conversionReviewVersions ?? [];
  const types = new Set(['', 'string', 'number', 'integer', 'boolean', 'array', 'object']);
  const set = (s: SchemaProps) =>
    s['x-kubernetes-list-type'] !== 'set' || s.items === undefined || Array.isArray(s.items) || isAtomic(s.items);
  return {
    validTypes: every((s) => types.has(s.type ?? '')),
    atomicSets: every(set),
    listKeys: every((s) => listKeyErrors(s, SPEC).length === 0),
    recognizedReviewVersion: versions.length === 0 || versions.some((v) => v === 'v1' || v === 'v1beta1'),
    immutableNames: isTrue(old, 'Established'),
    schema: schemas.length === old.spec.versions.length,
    structural: schemas.every((s) => readsAsStructural(s) && validateStructural(s, SPEC).length === 0),
    prunedDefaults: every((s) => s.default === undefined || s.default === null || !hasUnknown(s, s.default)),
    allowInvalidCaBundle: !isTrue(old, 'Established'),
    oldSelectable: new Map(old.spec.versions.map((v) => [v.name, (v.selectableFields ?? []) as unknown as Value])),
  };
}
