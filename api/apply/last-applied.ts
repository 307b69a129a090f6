/** The annotation that kubectl's client-side apply keeps, and how server-side apply takes over from it. */
import { decodeJson, DecodeError } from '../codec/json.ts';
import { isObject } from '../patch/value.ts';
import type { DeepReadonly, JsonObject, KubeObject } from '../types.ts';
import { compare } from './compare.ts';
import { canonicalJson } from './path-element.ts';
import { difference, type FieldSet } from './set.ts';
import { FieldPathError, type Plan } from './shape.ts';
import { fieldSetOf } from './typed.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** All annotations of an object together. */
const MAX_ANNOTATIONS_BYTES = 256 * 1024;

export const hasLastApplied = (object: DeepReadonly<KubeObject>): boolean =>
  !!object.metadata?.annotations?.[LAST_APPLIED];

/** The object with the configuration noted in the annotation (left out where it would not fit). */
export function withLastApplied(object: KubeObject, config: JsonObject): KubeObject {
  const annotations: Record<string, string> = { ...object.metadata?.annotations };
  annotations[LAST_APPLIED] = `${canonicalJson(withoutAnnotation(config))}\n`;
  let size = 0;
  for (const [k, v] of Object.entries(annotations)) size += Buffer.byteLength(k) + Buffer.byteLength(v);
  if (size > MAX_ANNOTATIONS_BYTES) delete annotations[LAST_APPLIED];
  return { ...object, metadata: { ...object.metadata, annotations } };
}

function withoutAnnotation(config: JsonObject): JsonObject {
  const metadata = config['metadata'];
  if (!isObject(metadata) || !isObject(metadata['annotations'])) return config;
  const { [LAST_APPLIED]: _old, ...annotations } = metadata['annotations'];
  return { ...config, metadata: { ...metadata, annotations } };
}

/** Fields that kubectl applied on the client's side and that still are as it left them; undefined: can't be told. */
export function allowedConflicts(plan: Plan, live: DeepReadonly<KubeObject>, apiVersion: string): FieldSet | undefined {
  const text = live.metadata?.annotations?.[LAST_APPLIED];
  if (!text) return undefined;
  try {
    const { value } = decodeJson(text);
    if (!isObject(value) || value['apiVersion'] !== apiVersion) return undefined;
    const { changed, removed } = compare(plan, value, live as DeepReadonly<JsonObject>);
    return difference(difference(fieldSetOf(plan, value), changed), removed);
  } catch (e) {
    if (e instanceof DecodeError || e instanceof FieldPathError) return undefined;
    throw e;
  }
}
