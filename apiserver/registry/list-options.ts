/** The query of list, watch and deletecollection: selectors, versions, pages; and what combinations are refused. */
import { invalidObject, forbiddenField, notSupported, type FieldError } from '../../api/field-errors.ts';
import { badRequest } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Entry, Scope } from '../storage/cache.ts';
import { parseFieldSelector, parseLabelSelector, type FieldTerm, type LabelSelection } from './selection.ts';
import type { ServedResource } from './catalog.ts';
import type { ResourceDefinition } from './definition.ts';

export interface ListOptions {
  /** Undefined selects all. */
  readonly labels: LabelSelection | undefined;
  readonly fields: readonly FieldTerm[];
  readonly watch: boolean;
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  readonly limit: number;
  readonly continueToken: string;
  readonly timeoutSeconds: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
}

/** Go's strconv.ParseBool as the API's query decoding uses it: absent is false, empty is true. */
function bool(query: URLSearchParams, name: string): boolean | undefined {
  const v = query.get(name);
  if (v === null) return undefined;
  return !(v === '0' || v.toLowerCase() === 'false');
}

function integer(query: URLSearchParams, name: string): number | undefined {
  const v = query.get(name);
  if (v === null || v === '') return undefined;
  if (!/^[+-]?[0-9]{1,19}$/.test(v)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(v)}: invalid syntax`);
  return Number(v);
}

/** Decodes and checks the options of a request for `served`; throws 400 or 422. */
export function parseListOptions(query: URLSearchParams, served: ServedResource, asWatch: boolean): ListOptions {
  const labelText = query.get('labelSelector') ?? '';
  const fieldText = query.get('fieldSelector') ?? '';
  const options: ListOptions = {
    labels: labelText === '' ? undefined : parseLabelSelector(labelText),
    fields: fieldText === '' ? [] : parseFieldSelector(fieldText),
    watch: asWatch || (bool(query, 'watch') ?? false),
    resourceVersion: query.get('resourceVersion') ?? '',
    resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
    limit: integer(query, 'limit') ?? 0,
    continueToken: query.get('continue') ?? '',
    timeoutSeconds: integer(query, 'timeoutSeconds'),
    allowWatchBookmarks: bool(query, 'allowWatchBookmarks') ?? false,
    sendInitialEvents: bool(query, 'sendInitialEvents'),
  };
  checkCombination(options);
  if (options.fields.length > 0) checkFields(options.fields, served);
  return options;
}

function checkCombination(o: ListOptions): void {
  const errors: FieldError[] = [];
  const match = o.resourceVersionMatch;
  if (o.sendInitialEvents !== undefined) {
    if (!o.watch) errors.push(forbiddenField('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
    else if (match !== 'NotOlderThan')
      errors.push(
        forbiddenField(
          'resourceVersionMatch',
          'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
        ),
      );
  }
  if (o.watch) {
    if (match !== '' && o.sendInitialEvents === undefined)
      errors.push(
        forbiddenField(
          'resourceVersionMatch',
          'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
        ),
      );
    if (match !== '' && match !== 'NotOlderThan')
      errors.push(notSupported('resourceVersionMatch', match, ['NotOlderThan']));
    // A watch from the start asks for initial events by itself, which pages have no place in.
    const fromStart = o.resourceVersion === '' || o.resourceVersion === '0';
    if (o.continueToken !== '' && (match !== '' || (fromStart && o.sendInitialEvents === undefined)))
      errors.push(
        forbiddenField('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'),
      );
  } else if (match !== '') {
    if (o.resourceVersion === '')
      errors.push(
        forbiddenField('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
      );
    if (o.continueToken !== '')
      errors.push(
        forbiddenField('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'),
      );
    if (match !== 'Exact' && match !== 'NotOlderThan')
      errors.push(notSupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
    else if (match === 'Exact' && o.resourceVersion === '0')
      errors.push(
        forbiddenField('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
      );
  }
  if (errors.length > 0) throw invalidObject({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', errors);
}

const fieldNames = new WeakMap<object, ReadonlySet<string>>();

/** The names that a kind's field selectors may use. */
function selectableFieldNames(served: ServedResource): ReadonlySet<string> {
  const d = served.definition;
  let names = fieldNames.get(d);
  if (!names) {
    const own = d.selectableFields?.({ metadata: {}, spec: {}, status: {} } as never) ?? {};
    fieldNames.set(d, (names = new Set([...commonFields(d), ...Object.keys(own)])));
  }
  return names;
}

function checkFields(terms: readonly FieldTerm[], served: ServedResource): void {
  const names = selectableFieldNames(served);
  for (const t of terms)
    if (!names.has(t.field) || served.definition.selectsBy?.(t.field, served.apiVersion) === false) {
      const text = `${t.field}${t.equal ? '=' : '!='}${t.value}`;
      throw badRequest(
        `Unable to find ${JSON.stringify(`${served.group === '' ? '' : `${served.group}/`}${served.version}, Resource=${served.resource}`)} that match label selector "", field selector ${JSON.stringify(text)}: field label not supported: ${t.field}`,
      );
    }
}

/** Kinds that have no namespaces and say so; the others take the field, and match nothing by it. */
const NAME_ONLY = new Set([
  '/namespaces',
  '/nodes',
  'certificates.k8s.io/certificatesigningrequests',
  'resource.k8s.io/resourceslices',
]);
const commonFields = (d: ResourceDefinition) =>
  NAME_ONLY.has(`${d.group}/${d.resource}`) ? ['metadata.name'] : ['metadata.name', 'metadata.namespace'];

const isName = (t: FieldTerm) => t.field === 'metadata.name' || t.field === 'metadata.namespace';

/** Fields are looked at in the version that is asked for: custom resources must be converted before they can match. */
export const selectsConverted = (o: ListOptions, served: ServedResource): boolean =>
  served.custom === true && o.fields.some((t) => !isName(t));

/** What of a selection the cache's indexes answer. */
export function scopeOf(o: ListOptions, served: ServedResource, namespace: string, name: string): Scope {
  const scope: { -readonly [K in keyof Scope]: Scope[K] } = {};
  if (namespace !== '') scope.namespace = namespace;
  if (name !== '') scope.name = name;
  for (const t of o.fields) {
    if (!t.equal || t.value === '') continue;
    if (t.field === 'metadata.name') scope.name ??= t.value;
    else if (t.field === 'metadata.namespace') scope.namespace ??= t.value;
    else if (!served.custom) scope.field ??= { key: t.field, value: t.value };
  }
  const label = o.labels?.single;
  if (label) scope.label = label;
  return scope;
}

/** The selectable fields of converted entries, by the definition (one per version and schema) that names them. */
const convertedFields = new WeakMap<object, WeakMap<Entry, Readonly<Record<string, string>>>>();

function fieldsOf(served: ServedResource, e: Entry): Readonly<Record<string, string>> {
  const { definition, convert } = served;
  if (!served.custom || !convert) return e.fields;
  let known = convertedFields.get(definition);
  if (!known) convertedFields.set(definition, (known = new WeakMap()));
  let fields = known.get(e);
  if (!fields) {
    const object = convert.fromStorage(e.object()) as DeepReadonly<KubeObject>;
    known.set(e, (fields = definition.selectableFields?.(object) ?? {}));
  }
  return fields;
}

/** Whether an entry is selected; undefined when everything is. */
export function matcherOf(o: ListOptions, served: ServedResource): ((e: Entry) => boolean) | undefined {
  const { labels, fields } = o;
  if (!labels && fields.length === 0) return undefined;
  return (e) => {
    for (const t of fields) {
      const value =
        t.field === 'metadata.name'
          ? e.name
          : t.field === 'metadata.namespace'
            ? e.namespace
            : (fieldsOf(served, e)[t.field] ?? '');
      if ((value === t.value) !== t.equal) return false;
    }
    return !labels || labels.matches(e.labels);
  };
}
