/** From a request's body to decoded values, whatever its media type. */
import { DecodeError, decodeJson, type Decoded } from '../../api/codec/json.ts';
import { decodeYaml } from '../../api/codec/yaml.ts';
import { badRequest } from '../../api/status.ts';
import type { JsonObject, JsonValue, KubeObject } from '../../api/types.ts';
import { typed, type FieldValidation, type Scrutiny } from '../registry/decode.ts';
import type { ObjectType } from '../../api/schema/model.ts';
import { bodyMedia, type Media } from './negotiate.ts';
import { decodeProtobuf } from './protobuf.ts';
import type { ApiRequest } from './request.ts';
import { convertYaml } from './yaml-thread.ts';

/** Decodes bytes of one media type; DecodeErrors become 400. */
function decodeBytes(body: Buffer, media: Exclude<Media, 'cbor' | 'protobuf'>): Decoded {
  try {
    return media === 'yaml' ? decodeYaml(body.toString('utf8')) : decodeJson(body);
  } catch (error) {
    if (error instanceof DecodeError) throw badRequest(error.message);
    throw error;
  }
}

/** Longer YAML that isn't plain JSON is decoded elsewhere. */
const LONG_YAML = 16 * 1024;

/** Decodes a body once for all: the result makes a fresh value each time it is called, or fails in the same way. */
export async function decodeBody(
  request: ApiRequest,
  body: Buffer,
  media: Exclude<Media, 'cbor' | 'protobuf'>,
): Promise<() => Decoded> {
  if (media !== 'yaml' || body.length <= LONG_YAML) return () => decodeBytes(body, media);
  const text = body.toString('utf8');
  if (/^\s*[{[]/.test(text)) {
    try {
      decodeJson(text);
      return () => decodeBytes(body, 'json');
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }
  return convertYaml(text, request.signal);
}

export interface ExpectedKind {
  readonly group: string;
  readonly version: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly type: ObjectType | undefined;
  /** A custom resource: another kind of the same version is the strategy's to refuse; no protobuf. */
  readonly custom?: boolean;
  /** Other apiVersions that mean the same. */
  readonly aliases?: readonly string[];
}

/** Reads the body as one object of the expected kind. The result decodes it afresh each time; 400 when it can't. */
export async function readObject(
  request: ApiRequest,
  expected: ExpectedKind,
  validation: FieldValidation,
): Promise<() => KubeObject> {
  const media = bodyMedia(request, !expected.custom);
  const body = await request.body();
  const decoded = media === 'protobuf' ? undefined : await decodeBody(request, body, media);
  return () => {
    if (!decoded) {
      const object = decodeProtobuf(body, expected);
      checkKind(object as JsonObject, expected);
      return expected.type ? typed(object as JsonValue, expected.type, expected, NO_SCRUTINY) : object;
    }
    const { value: sent, duplicates } = decoded();
    const value = sent ?? {};
    if (typeof value !== 'object' || Array.isArray(value))
      throw badRequest("couldn't get version/kind; json parse error: the body is not an object");
    checkKind(value, expected);
    return decodeTyped(value, expected, { validation, duplicates, warn: (t) => request.warn(t) });
  };
}

const NO_SCRUTINY: Scrutiny = { validation: 'Ignore', duplicates: [], warn() {} };

function hasNoOwners(value: JsonValue): boolean {
  const metadata = (value as { metadata?: { managedFields?: unknown } | null } | null)?.metadata;
  return Array.isArray(metadata?.managedFields) && metadata.managedFields.length === 0;
}

/** Types a decoded value; DecodeErrors become 400 with upstream's words around them. */
export function decodeTyped(
  value: JsonValue,
  expected: ExpectedKind,
  scrutiny: Scrutiny,
  keepNulls = false,
): KubeObject {
  try {
    const object = typed(value, expected.type, expected, scrutiny, keepNulls);
    // An empty list is left out where it says nothing; here it resets what is known of owners.
    if (expected.type?.native && hasNoOwners(value)) (object.metadata ??= {}).managedFields = [];
    return object;
  } catch (error) {
    if (error instanceof DecodeError)
      throw badRequest(
        `${expected.kind} in version ${JSON.stringify(expected.version)} cannot be handled as a ${expected.kind}: ${error.message}`,
      );
    throw error;
  }
}

/** A body may leave out kind and apiVersion; what it says must fit the endpoint. */
function checkKind(value: JsonObject, expected: ExpectedKind): void {
  const { kind, apiVersion } = value;
  if (kind !== undefined && typeof kind !== 'string')
    throw badRequest(
      "couldn't get version/kind; json parse error: cannot unmarshal kind into Go struct field .kind of type string",
    );
  if (apiVersion !== undefined && typeof apiVersion !== 'string')
    throw badRequest(
      "couldn't get version/kind; json parse error: cannot unmarshal apiVersion into Go struct field .apiVersion of type string",
    );
  if (expected.custom && (!kind || !apiVersion))
    throw badRequest(
      `the object provided is unrecognized (must be of type ${expected.kind}): Object '${kind ? 'apiVersion' : 'Kind'}' is missing`,
    );
  if (!kind) value.kind = expected.kind;
  if (!apiVersion) value.apiVersion = expected.apiVersion;
  if (value.kind === expected.kind && expected.aliases?.includes(value.apiVersion as string))
    value.apiVersion = expected.apiVersion;
  if ((value.kind === expected.kind || expected.custom) && value.apiVersion === expected.apiVersion) return;
  const slash = (value.apiVersion as string).indexOf('/');
  const [group, version] =
    slash < 0
      ? ['', value.apiVersion as string]
      : [(value.apiVersion as string).slice(0, slash), (value.apiVersion as string).slice(slash + 1)];
  throw badRequest(
    `${value.kind as string} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}: no kind ${JSON.stringify(value.kind)} is registered for version ${JSON.stringify(group === '' ? version : `${group}/${version}`)}`,
  );
}

/** `fieldValidation` of a request: Warn when it isn't said. */
export function fieldValidationOf(request: ApiRequest): FieldValidation {
  const v = request.query.get('fieldValidation');
  return v === 'Strict' || v === 'Ignore' ? v : 'Warn';
}
