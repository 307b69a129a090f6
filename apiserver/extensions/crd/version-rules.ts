/** Rules for the parts of one version of a CustomResourceDefinition. */
import {
  Path,
  duplicate,
  forbiddenField,
  invalid,
  required,
  tooMany,
  type FieldError,
} from '../../../api/field-errors.ts';
import { sameValue, type Value } from '../schema/equal.ts';
import { fieldPathNames, schemaAtFieldPath } from '../schema/field-path.ts';
import type { SchemaProps } from '../schema/props.ts';
import { validateDefaults } from './defaults.ts';
import type { Demands } from './demands.ts';
import { RuleChecker } from './rule-checker.ts';
import { validateSchema } from './schema-rules.ts';
import { readsAsStructural, validateStructural } from './structural.ts';
import type { CrdColumn, CrdSubresources, CrdVersion } from './types.ts';

const MAX_SELECTABLE = 8;

/** Why the version's deprecation warning is wrong. */
export function deprecationErrors(v: CrdVersion): string[] {
  const text = v.deprecationWarning;
  if (text === undefined) return [];
  if (!v.deprecated) return ['can only be set for deprecated versions'];
  const out: string[] = [];
  if (Buffer.byteLength(text) > 256) out.push('must be <= 256 characters long');
  if (text === '') out.push('must not be an empty string');
  const bad = text.search(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u);
  if (bad >= 0) out.push(`must only contain printable UTF-8 characters; non-printable character found at index ${bad}`);
  return out;
}

/** Fields that may stand at the root when the status is a resource of its own. */
const AT_ROOT = new Set([
  'description',
  'type',
  'format',
  'title',
  'maximum',
  'exclusiveMaximum',
  'minimum',
  'exclusiveMinimum',
  'maxLength',
  'minLength',
  'pattern',
  'maxItems',
  'minItems',
  'uniqueItems',
  'multipleOf',
  'required',
  'items',
  'properties',
  'externalDocs',
  'example',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-validations',
]);

/** The schema as a whole, with its defaults and rules; `status`: the status is a resource of its own. */
export function schemaErrors(
  schema: SchemaProps | undefined,
  status: boolean,
  demands: Demands,
  path: Path,
): FieldError[] {
  if (!schema) return [];
  const errors: FieldError[] = [];
  const at = path.child('openAPIV3Schema');
  if (status) {
    if (schema.type && schema.type !== 'object')
      errors.push(
        invalid(
          at.child('type'),
          schema.type,
          'only "object" is allowed as the type at the root of the schema if the status subresource is enabled',
        ),
      );
    else if (Object.entries(schema).some(([k, v]) => v !== undefined && v !== false && !AT_ROOT.has(k)))
      errors.push(
        invalid(
          at,
          '',
          `only ${[...AT_ROOT].join(', ')} fields are allowed at the root of the schema if the status subresource is enabled`,
        ),
      );
  }
  if (schema.nullable)
    errors.push(forbiddenField(path.child('openAPIV3Schema.nullable'), 'nullable cannot be true at the root'));
  let rules: RuleChecker | undefined;
  let unreadable: FieldError[] = [];
  if (demands.structural) {
    if (!readsAsStructural(schema))
      unreadable = [invalid(at, '', "OpenAPIV3Schema 'items' must be a schema, but is an array")];
    else {
      const found = validateStructural(schema, at);
      const wrong = found.length > 0 ? found : validateDefaults(schema, at, demands.prunedDefaults);
      if (wrong.length > 0) errors.push(...wrong);
      else rules = new RuleChecker();
    }
  }
  errors.push(...validateSchema(schema, at, demands, rules));
  if (errors.length === 0) errors.push(...unreadable);
  if (rules) errors.push(...rules.total(at));
  return errors;
}

function simplePath(path: string, at: Path): FieldError[] {
  if (path === '') return [invalid(at, path, 'must not be empty')];
  return path.startsWith('.') ? [] : [invalid(at, path, 'must be a simple json path starting with .')];
}

/** The paths of the scale subresource. */
export function subresourceErrors(s: CrdSubresources | undefined, path: Path): FieldError[] {
  const scale = s?.scale;
  if (!scale) return [];
  const errors: FieldError[] = [];
  const check = (name: string, value: string | undefined, under: readonly string[], needed: boolean) => {
    const at = path.child(`scale.${name}`);
    if (!value) {
      if (needed) errors.push(required(at));
      return;
    }
    const wrong = simplePath(value, at);
    if (wrong.length > 0) errors.push(...wrong);
    else if (!under.some((u) => value.startsWith(`${u}.`)))
      errors.push(
        invalid(
          at,
          value,
          `should be a json path under ${under.length > 1 ? `either ${under.join(' or ')}` : under[0]}`,
        ),
      );
  };
  check('specReplicasPath', scale.specReplicasPath, ['.spec'], true);
  check('statusReplicasPath', scale.statusReplicasPath, ['.status'], true);
  check('labelSelectorPath', scale.labelSelectorPath, ['.spec', '.status'], false);
  return errors;
}

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

/** One additional column of tables. */
export function columnErrors(c: CrdColumn, path: Path): FieldError[] {
  const errors: FieldError[] = [];
  if (!c.name) errors.push(required(path.child('name')));
  const types = `must be one of ${COLUMN_TYPES.join(',')}`;
  if (!c.type) errors.push(required(path.child('type'), types));
  else if (!COLUMN_TYPES.includes(c.type)) errors.push(invalid(path.child('type'), c.type, types));
  if (c.format && !COLUMN_FORMATS.includes(c.format))
    errors.push(invalid(path.child('format'), c.format, `must be one of ${COLUMN_FORMATS.join(',')}`));
  if (!c.jsonPath) errors.push(required(path.child('JSONPath')));
  else errors.push(...simplePath(c.jsonPath, path.child('JSONPath')));
  return errors;
}

/** Fields that selectors may name; a list that stood in the old definition may be longer than is allowed now. */
export function selectableErrors(v: CrdVersion, path: Path, demands: Demands, version: string): FieldError[] {
  const fields = v.selectableFields ?? [];
  if (fields.length === 0) return [];
  const schema = v.schema?.openAPIV3Schema;
  if (!schema) return [invalid(path, '', 'may only be set when validations.schema is included')];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  fields.forEach((f, i) => {
    const at = path.index(i).child('jsonPath');
    if (!f.jsonPath) return errors.push(required(at));
    const names = fieldPathNames(f.jsonPath);
    const found = f.jsonPath.includes('[') ? undefined : schemaAtFieldPath(schema, f.jsonPath);
    if (!names || (!found && names[0] !== 'metadata'))
      return errors.push(invalid(at, f.jsonPath, 'is an invalid path'));
    if (names[0] === 'metadata') errors.push(invalid(at, f.jsonPath, 'must not point to fields in metadata'));
    if (!found || !['string', 'boolean', 'integer'].includes(found.type ?? ''))
      errors.push(
        invalid(
          at,
          f.jsonPath,
          'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
        ),
      );
    const key = names.join('\n');
    if (seen.has(key)) errors.push(duplicate(at, f.jsonPath));
    seen.add(key);
    return undefined;
  });
  const unchanged = sameValue(demands.oldSelectable.get(version), fields as unknown as Value);
  if (seen.size > MAX_SELECTABLE && !unchanged) errors.push(tooMany(path, seen.size, MAX_SELECTABLE));
  return errors;
}
