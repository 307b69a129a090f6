/** What write requests say beside their object: options, names, patches. */
import { goText } from '../../api/go-text.ts';
import { encodeJson } from '../../api/codec/json.ts';
import { jsonPatchComplaints } from '../../api/patch/json-patch.ts';
import {
  forbiddenField,
  invalid,
  invalidObject,
  notSupported,
  required,
  tooLong,
  type FieldError,
} from '../../api/field-errors.ts';
import { StatusError, badRequest, unsupportedMediaType } from '../../api/status.ts';
import type { JsonObject, JsonValue, KubeObject } from '../../api/types.ts';
import type { ServedResource } from '../registry/catalog.ts';
import type { WriteRequest } from '../registry/operation.ts';
import { wrapIntegers } from '../../api/schema/wrap.ts';
import { PATCH_MEDIA, type PatchKind } from '../registry/patch-forms.ts';
import { decodeBody, decodeTyped, type ExpectedKind } from './body.ts';
import type { Scrutiny } from '../registry/decode.ts';
import type { ApiRequest } from './request.ts';

/** What a write request carries, from the query and the headers. */
export function writeRequest(
  request: ApiRequest,
  served: ServedResource,
  subresource: string,
  kind: string,
): WriteRequest {
  const { query, info } = request;
  const dryRun = dryRunOf(query, kind);
  const validation = query.get('fieldValidation');
  const manager = query.get('fieldManager') ?? '';
  // Who deletes owns no fields, and sends none that could be checked.
  const errors = kind === 'DeleteOptions' ? [] : fieldErrors(validation, manager);
  if (kind === 'PatchOptions') {
    const apply = (request.header('content-type') ?? '').startsWith('application/apply-patch');
    if (apply && manager === '') errors.push(required('fieldManager', 'is required for apply patch'));
    if (!apply && query.has('force')) errors.push(forbiddenField('force', 'may not be specified for non-apply patch'));
  }
  if (errors.length > 0) throw invalidObject({ group: 'meta.k8s.io', kind }, '', errors);
  const options: KubeObject & Record<string, unknown> = { kind, apiVersion: 'meta.k8s.io/v1' };
  if (dryRun) options.dryRun = ['All'];
  if (manager !== '') options.fieldManager = manager;
  if (validation) options.fieldValidation = validation;
  return {
    verb: info.verb,
    served,
    subresource,
    namespace: served.namespaced ? info.namespace : '',
    name: info.name,
    user: request.user,
    dryRun,
    fieldManager: manager !== '' ? manager : managerOfAgent(request.header('user-agent') ?? ''),
    options,
    warn: (text) => request.warn(text),
    annotate: (key, value) => request.annotate(key, value),
  };
}

function fieldErrors(validation: string | null, manager: string): FieldError[] {
  const errors: FieldError[] = [];
  if (validation && !['Ignore', 'Warn', 'Strict'].includes(validation))
    errors.push(notSupported('fieldValidation', validation, ['', 'Ignore', 'Strict', 'Warn']));
  if (Buffer.byteLength(manager) > 128) errors.push(tooLong('fieldManager', 128));
  else if (/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(manager))
    errors.push(invalid('fieldManager', manager, 'should only contain printable characters'));
  return errors;
}

function dryRunOf(query: URLSearchParams, kind: string): boolean {
  const values = query.getAll('dryRun');
  if (values.length === 0) return false;
  const wrong = values.filter((v) => v !== 'All');
  if (wrong.length > 0)
    throw invalidObject({ group: 'meta.k8s.io', kind }, '', [notSupported('dryRun', values, ['All'])]);
  return true;
}

/** The first part of a User-Agent, at most 128 bytes. */
function managerOfAgent(agent: string): string {
  return agent.split('/', 1)[0]!.slice(0, 128);
}

/** The name in the body is the one in the URL; patches needn't say it. */
export function checkNames(request: ApiRequest, served: ServedResource, object: KubeObject): void {
  const meta = (object.metadata ??= {});
  if (!meta.name)
    throw badRequest(
      `the name of the object (${request.info.name} based on URL) was undeterminable: name must be provided`,
    );
  if (meta.name && meta.name !== request.info.name)
    throw badRequest(`the name of the object (${meta.name}) does not match the name on the URL (${request.info.name})`);
  meta.name = request.info.name;
  if (served.namespaced) {
    if (meta.namespace && meta.namespace !== request.info.namespace)
      throw badRequest(
        `the namespace of the object (${meta.namespace}) does not match the namespace on the request (${request.info.namespace})`,
      );
    meta.namespace = request.info.namespace;
  }
}

/** A patch as errors show it: strategic ones as Go prints the decoded map, others as they were sent. */
export function showPatch(kind: PatchKind, patch: JsonValue): string {
  return kind === 'strategic' ? goText(patch) : encodeJson(patch);
}

/** Types what a patch made; what doesn't fit is the patch's fault (422). */
export function typedPatch(
  value: JsonValue,
  expected: ExpectedKind,
  scrutiny: Scrutiny,
  refuse: (why: string) => StatusError,
  form?: PatchKind,
): KubeObject {
  const decode = (v: JsonValue) => decodeTyped(v, expected, scrutiny, form === 'apply');
  try {
    return decode(value);
  } catch (error) {
    if (!(error instanceof StatusError) || error.reason !== 'BadRequest') throw error;
    // Upstream reads what these make without looking at the size of numbers.
    const wraps = (form === 'apply' || form === 'strategic') && expected.type?.native;
    const wrapped = wraps ? wrapIntegers(value, expected.type!) : value;
    if (wrapped !== value) return typedPatch(wrapped, expected, scrutiny, refuse);
    throw refuse(error.message);
  }
}

/** A patch may not make another kind of the object. */
export function checkedKind(
  value: JsonValue,
  served: ServedResource,
  shown: () => string,
  form?: PatchKind,
): JsonValue {
  const o = value as JsonObject | null;
  // Custom resources' own rules say so.
  if (served.custom) return value;
  // A strategic patch makes an object of the kind, whatever it says of kinds.
  if (form === 'strategic' && typeof o === 'object' && o !== null && !Array.isArray(o))
    return { ...o, apiVersion: served.apiVersion, kind: served.kind };
  if (typeof o === 'object' && o !== null && (o.kind !== served.kind || o.apiVersion !== served.apiVersion))
    throw invalidPatch(
      shown,
      `${encodeJson(o.kind)} in version ${encodeJson(o.apiVersion)} is not ${served.kind} in version ${encodeJson(served.apiVersion)}`,
    );
  return value;
}

/** The 422 for a patch whose outcome can't be: `shown` is the patch as the error cites it. */
export function invalidPatch(shown: () => string, why: string): StatusError {
  const error = invalidObject({ group: '', kind: '' }, '', [invalid('patch', shown(), why)]);
  delete error.status.details!.kind;
  return error;
}

/** Reads a PATCH body; throws 415 for media types that aren't patches. */
export async function readPatch(request: ApiRequest, served: ServedResource) {
  const type = (request.header('content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase();
  const kind = PATCH_MEDIA[type];
  // Strategic merge patches are for built-in kinds only.
  if (!kind || (kind === 'strategic' && served.custom)) {
    const taken = Object.keys(PATCH_MEDIA).filter((m) => PATCH_MEDIA[m] !== 'strategic');
    const error = unsupportedMediaType(
      served.custom
        ? `the body of the request was in an unknown format - accepted media types include: ${taken.join(', ')}`
        : '415: Unsupported Media Type',
    );
    if (!served.custom) error.status.details = {};
    throw error;
  }
  const forced = request.query.get('force');
  const body = await request.body();
  const force = forced !== null && forced !== '0' && forced.toLowerCase() !== 'false';
  const decode = await decodeBody(request, body, kind === 'apply' ? 'yaml' : 'json');
  try {
    const { value, duplicates, notes = [] } = decode();
    const patch = () => value as JsonValue;
    // Fields that stand twice in a JSON patch are none of the object's.
    if (kind !== 'json') return { kind, patch, duplicates, notes, force };
    return { kind, patch, duplicates: [], complaints: () => jsonPatchComplaints(patch(), duplicates), notes, force };
  } catch (error) {
    if (kind === 'apply') throw error;
    const patch = (): JsonValue => {
      throw error;
    };
    return { kind, patch, duplicates: [], notes: [], force };
  }
}
