/**
 * Conversion by webhook. A converter is asked for whole batches ahead (`prepare`), and then knows the answers.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion
 */
import { createHash } from 'node:crypto';
import https from 'node:https';
import { isIP } from 'node:net';
import { decodeJson, encodeJson } from '../../../api/codec/json.ts';
import { internalError, StatusError } from '../../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import type { Clock, Ids } from '../../../base/clock.ts';
import { exchange } from '../../../base/exchange.ts';
import { isLabelValue, isQualifiedName } from '../../../api/validation/names.ts';
import type { Crd, WebhookClientConfig } from '../crd/types.ts';
import type { VersionConverter } from './conversion.ts';

export interface WebhookDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  /** Where a Service is reached. May throw a StatusError. */
  resolve(namespace: string, name: string, port: number): { host: string; port: number };
}

interface ConversionReview {
  kind?: string;
  apiVersion?: string;
  response?: {
    uid?: string;
    convertedObjects?: (KubeObject | null)[];
    result?: { status?: string; message?: string };
  };
}

const TIMEOUT_MS = 30_000;
const MAX_ANSWER = 64 * 1024 * 1024;
/** Objects sent in one request. */
const BATCH = 500;
/** Answers that are remembered at least. */
const KEPT = 5000;
const REVIEW_VERSIONS = ['v1', 'v1beta1'];

/** Throws StatusErrors (500) that name the webhook's failure. */
export function createWebhookConverter(crd: Crd, deps: WebhookDeps): VersionConverter {
  return new WebhookConverter(crd, deps);
}

class WebhookConverter implements VersionConverter {
  readonly #deps: WebhookDeps;
  readonly #client: WebhookClientConfig;
  readonly #version: string;
  readonly #agent: https.Agent;
  /** Answers by what was asked, the oldest first. */
  readonly #known = new Map<string, KubeObject>();
  #kept = KEPT;

  constructor(crd: Crd, deps: WebhookDeps) {
    const { clientConfig = {}, conversionReviewVersions = [] } = crd.spec.conversion?.webhook ?? {};
    this.#deps = deps;
    this.#client = clientConfig;
    this.#version = conversionReviewVersions.find((v) => REVIEW_VERSIONS.includes(v)) ?? 'v1';
    const { service, caBundle } = clientConfig;
    this.#agent = new https.Agent({
      keepAlive: true,
      maxSockets: 64,
      ca: caBundle ? Buffer.from(caBundle, 'base64') : undefined,
      ...(service ? { servername: `${service.name}.${service.namespace}.svc` } : {}),
    });
  }

  convert(object: DeepReadonly<KubeObject>, apiVersion: string): KubeObject {
    const known = this.#known.get(keyOf(object, apiVersion));
    if (!known) throw internalError('a conversion was not prepared');
    return withMetadata(object, known);
  }

  async prepare(objects: readonly DeepReadonly<KubeObject>[], apiVersion: string): Promise<void> {
    const missing = new Map<string, DeepReadonly<KubeObject>>();
    for (const o of objects) {
      const key = keyOf(o, apiVersion);
      const known = this.#known.get(key);
      if (!known) missing.set(key, o);
      else {
        // What is in use stays longest.
        this.#known.delete(key);
        this.#known.set(key, known);
      }
    }
    this.#kept = Math.max(this.#kept, objects.length * 2);
    const all = [...missing];
    for (let i = 0; i < all.length; i += BATCH) {
      const batch = all.slice(i, i + BATCH);
      const converted = await this.#ask(
        batch.map(([, o]) => o),
        apiVersion,
      );
      batch.forEach(([key], n) => this.#known.set(key, converted[n]!));
    }
    for (const key of this.#known.keys()) {
      if (this.#known.size <= this.#kept) break;
      this.#known.delete(key);
    }
  }

  async #ask(objects: readonly DeepReadonly<KubeObject>[], apiVersion: string): Promise<KubeObject[]> {
    const first = objects[0]!;
    const fail = (why: string) =>
      internalError(`conversion webhook for ${first.apiVersion}, Kind=${first.kind} failed: ${why}`);
    const uid = this.#deps.ids.uuid();
    const review = {
      kind: 'ConversionReview',
      apiVersion: `apiextensions.k8s.io/${this.#version}`,
      request: { uid, desiredAPIVersion: apiVersion, objects },
    };
    let answer: ConversionReview;
    try {
      answer = decodeJson(await this.#post(Buffer.from(encodeJson(review)))).value as ConversionReview;
    } catch (error) {
      throw fail(error instanceof StatusError ? error.message : `Post failed: ${(error as Error).message}`);
    }
    const { response } = answer;
    if (!response) throw fail('no response provided');
    if (response.uid !== uid)
      throw fail(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? '')}`);
    if (response.result?.status !== 'Success')
      throw fail(
        response.result?.message ||
          `response.result.status was ${JSON.stringify(response.result?.status ?? '')}, not "Success"`,
      );
    const converted = response.convertedObjects ?? [];
    if (converted.length !== objects.length)
      throw fail(`returned ${converted.length} objects, expected ${objects.length}`);
    return objects.map((o, i) => {
      const made = converted[i];
      const wrong = checkConverted(o, made, apiVersion);
      if (wrong !== undefined) throw fail(`returned invalid converted object at index ${i}: ${wrong}`);
      return made!;
    });
  }

  async #post(body: Buffer): Promise<string> {
    const { url, service } = this.#client;
    const at = service
      ? new URL(`https://${service.name}.${service.namespace}.svc:${service.port ?? 443}${service.path ?? ''}`)
      : new URL(url ?? '');
    at.searchParams.set('timeout', `${TIMEOUT_MS / 1000}s`);
    const answer = await exchange({
      url: at,
      at: service && this.#deps.resolve(service.namespace, service.name, service.port ?? 443),
      agent: this.#agent,
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body,
      servername: service || isIP(at.hostname.replace(/^\[|\]$/g, '')) ? undefined : at.hostname,
      limit: { clock: this.#deps.clock, ms: TIMEOUT_MS, message: 'context deadline exceeded' },
      maxAnswer: MAX_ANSWER,
    });
    if (answer.code !== 200) throw new Error(`the server answered ${answer.code}`);
    return answer.body.toString('utf8');
  }
}

/** What is asked: the whole object but for its revision, and the version it is wanted in. */
function keyOf(object: DeepReadonly<KubeObject>, apiVersion: string): string {
  return `${apiVersion} ${createHash('sha1')
    .update(encodeJson({ ...object, metadata: { ...object.metadata, resourceVersion: '' } }))
    .digest('base64')}`;
}

function checkConverted(
  o: DeepReadonly<KubeObject>,
  made: KubeObject | null | undefined,
  apiVersion: string,
): string | undefined {
  if (typeof made !== 'object' || made === null) return 'it is no object';
  if (made.apiVersion !== apiVersion)
    return `invalid groupVersion (expected ${apiVersion}, received ${made.apiVersion ?? ''})`;
  if (made.kind !== o.kind) return `invalid kind (expected ${o.kind}, received ${made.kind ?? ''})`;
  const meta = made.metadata;
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return 'missing metadata in converted object';
  for (const k of ['name', 'namespace', 'uid'] as const)
    if ((meta[k] ?? '') !== (o.metadata?.[k] ?? ''))
      return `must have the same ${k === 'uid' ? 'UID' : k}: ${o.metadata?.[k] ?? ''} != ${meta[k] ?? ''}`;
  for (const k of ['labels', 'annotations'] as const)
    for (const [key, v] of Object.entries(meta[k] ?? {})) {
      if (typeof v !== 'string') return `metadata.${k}[${key}] must be a string, but isn't in converted object`;
      const before = o.metadata?.[k]?.[key];
      const wrong =
        before === v
          ? []
          : [...isQualifiedName(k === 'labels' ? key : key.toLowerCase()), ...(k === 'labels' ? isLabelValue(v) : [])];
      if (wrong.length > 0) return `metadata.${k}: Invalid value: ${JSON.stringify(key)}: ${wrong.join(', ')}`;
    }
  return undefined;
}

/** Of the metadata a webhook may change labels and annotations only. */
function withMetadata(o: DeepReadonly<KubeObject>, made: KubeObject): KubeObject {
  const { labels, annotations } = made.metadata!;
  const metadata = { ...(o.metadata as NonNullable<KubeObject['metadata']>) };
  if (labels) metadata.labels = labels;
  else delete metadata.labels;
  if (annotations) metadata.annotations = annotations;
  else delete metadata.annotations;
  return { ...made, metadata };
}
