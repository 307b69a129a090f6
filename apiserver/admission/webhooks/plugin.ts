/** MutatingAdmissionWebhook and ValidatingAdmissionWebhook (admission.k8s.io/v1). */
import { decodeJson } from '../../../api/codec/json.ts';
import { deepCopy, deepEqual } from '../../../api/meta.ts';
import { applyJsonPatch } from '../../../api/patch/json-patch.ts';
import { StatusError, badRequest, internalError } from '../../../api/status.ts';
import {
  apiVersionOf,
  type DeepReadonly,
  type JsonValue,
  type KubeObject,
  type Namespace,
  type Status,
} from '../../../api/types.ts';
import type { Clock, Ids } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { Authorizer } from '../../authorization/types.ts';
import type { CacheLookup } from '../../authorization/follow.ts';
import { userInfoJson } from '../../authentication/reviews.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { Equivalence, RequestView } from '../equivalence.ts';
import { deny } from '../plugin.ts';
import { bindingsFor, conditionsHold, EvaluationError } from '../policies/expressions.ts';
import type { AdmissionMetrics, WebhookOutcome } from '../metrics.ts';
import type { AdmissionAttributes, AdmissionPlugin } from '../types.ts';
import { createWebhookClient, WebhookCallError, type AdmissionResponse, type ServiceResolver } from './client.ts';
import { followHooks, hookMatches, isExempt, type Hook } from './hook.ts';

export interface WebhookOptions {
  clock: Clock;
  ids: Ids;
  logger: Logger;
  reader: ObjectReader;
  caches: CacheLookup;
  resolve: ServiceResolver;
  equivalence: Equivalence;
  /** For matchConditions. */
  authorizer: Authorizer;
  metrics: AdmissionMetrics;
}

/** The code that is counted where no webhook answered. */
const UNREACHED = 503;

/** What the mutating plugin remembers of a request between two passes of the chain. */
interface Progress {
  /** Hooks that were called, with the object as it was after the last of them. */
  readonly called: Set<string>;
  lastOutput: DeepReadonly<KubeObject> | undefined;
  changed: boolean;
  passes: number;
  /** Hooks that must see the object again. */
  readonly again: Set<string>;
}

/** The object as a webhook sees it: with its kind, and with the namespace of the request. */
function wire(o: DeepReadonly<KubeObject> | undefined, a: AdmissionAttributes): object | null {
  if (!o) return null;
  const needsNamespace = a.namespace !== '' && a.resource.resource !== 'namespaces' && a.operation !== 'CONNECT';
  return {
    ...o,
    apiVersion: o.apiVersion ?? apiVersionOf(a.kind),
    kind: o.kind ?? a.kind.kind,
    ...(needsNamespace ? { metadata: { ...o.metadata, namespace: o.metadata?.namespace ?? a.namespace } } : {}),
  };
}

/** The 4xx that a refusing webhook asked for. */
export function refusal(hook: string, status: Status | undefined): StatusError {
  const head = `admission webhook ${JSON.stringify(hook)} denied the request`;
  const message = status?.message
    ? `${head}: ${status.message}`
    : status?.reason
      ? `${head}: ${status.reason}`
      : `${head} without explanation`;
  const code = Math.max(400, status?.code ?? 400);
  return StatusError.from({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    ...status,
    status: 'Failure',
    message,
    code,
  });
}

/** Both plugins; hand them to the chain as `extra`. */
export function createWebhookPlugins(o: WebhookOptions): { plugins: AdmissionPlugin[]; close(): void } {
  const client = createWebhookClient({ clock: o.clock, resolve: o.resolve });
  const mutating = followHooks(o.caches, 'mutatingwebhookconfigurations');
  const validating = followHooks(o.caches, 'validatingwebhookconfigurations');
  const inProgress = new WeakMap<AdmissionAttributes, Progress>();
  const namespaceOf = (name: string) => o.reader.get<Namespace>('namespaces', '', name);

  /** The review of `a`, which stands for the request `sent`. */
  function reviewOf(a: AdmissionAttributes, sent: AdmissionAttributes): object {
    const kindOf = ({ kind: k }: AdmissionAttributes) => ({ group: k.group, version: k.version, kind: k.kind });
    const resourceOf = ({ resource: r }: AdmissionAttributes) => ({
      group: r.group,
      version: r.version,
      resource: r.resource,
    });
    const sub = a.subresource === '' ? {} : { subResource: a.subresource, requestSubResource: a.subresource };
    return {
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        uid: o.ids.uuid(),
        kind: kindOf(a),
        resource: resourceOf(a),
        ...sub,
        requestKind: kindOf(sent),
        requestResource: resourceOf(sent),
        ...(a.name === '' ? {} : { name: a.name }),
        ...(a.namespace === '' ? {} : { namespace: a.namespace }),
        operation: a.operation,
        userInfo: userInfoJson(a.user),
        object: wire(a.object, a),
        oldObject: wire(a.oldObject, a),
        dryRun: a.dryRun,
        options: Object.keys(a.options).length ? a.options : null,
      },
    };
  }

  /** The request as the hook wants to see it; undefined when it doesn't. */
  async function viewFor(hook: Hook, sent: AdmissionAttributes): Promise<RequestView | undefined> {
    const wanted = hookMatches(hook, sent, namespaceOf, o.equivalence);
    if (!wanted) return undefined;
    const view = await o.equivalence.view(sent, wanted);
    if (hook.conditions.length === 0) return view;
    const a = view.attributes;
    try {
      const namespace = a.namespace === '' ? undefined : namespaceOf(a.namespace);
      return conditionsHold(hook.conditions, bindingsFor(a, { authorizer: o.authorizer, namespace }))
        ? view
        : undefined;
    } catch (error) {
      if (!(error instanceof EvaluationError)) throw error;
      if (hook.failOpen) return undefined;
      throw deny(a, `admission webhook ${JSON.stringify(hook.name)} can't be matched: ${error.message}`);
    }
  }

  /** The answer; undefined when the hook failed and may. Throws what the client shall see. */
  async function ask(
    hook: Hook,
    a: AdmissionAttributes,
    sent: AdmissionAttributes,
    type: WebhookOutcome['type'],
  ): Promise<AdmissionResponse | undefined> {
    if (a.dryRun && !hook.dryRunSafe)
      throw badRequest(`admission webhook ${JSON.stringify(hook.name)} does not support dry run`);
    let response: AdmissionResponse;
    const { name } = hook;
    const began = o.clock.monotonic();
    const ended = (code: number, error?: WebhookOutcome['error']) =>
      o.metrics.webhook({
        name,
        type,
        operation: a.operation,
        seconds: (o.clock.monotonic() - began) / 1000,
        code,
        rejected: error !== undefined,
        error,
      });
    try {
      response = await client.call(hook, reviewOf(a, sent));
    } catch (error) {
      if (!(error instanceof WebhookCallError)) throw error;
      ended(UNREACHED, hook.failOpen ? undefined : 'calling_webhook_error');
      if (hook.failOpen) o.metrics.failedOpen(name, type);
      else throw internalError(`failed calling webhook ${JSON.stringify(hook.name)}: ${error.message}`);
      o.logger.warn('a webhook failed and is ignored', { webhook: hook.name, error: error.message });
      a.annotate(`failed-open.webhook.admission.k8s.io/${hook.name}`, hook.configuration);
      return undefined;
    }
    for (const text of response.warnings ?? []) a.warn(text);
    for (const [k, v] of Object.entries(response.auditAnnotations ?? {})) a.annotate(`${hook.name}/${k}`, v);
    if (!response.allowed) {
      const refused = refusal(hook.name, response.status);
      ended(refused.code, 'no_error');
      throw refused;
    }
    ended(200);
    return response;
  }

  /** Applies the patch of an answer; true when it changed the object. */
  function patched(hook: Hook, a: AdmissionAttributes, response: AdmissionResponse): boolean {
    if (!response.patch || !a.object) return false;
    let next: JsonValue;
    try {
      const patch = decodeJson(Buffer.from(response.patch, 'base64')).value;
      if (Array.isArray(patch) && patch.length === 0) return false;
      next = applyJsonPatch(wire(a.object, a) as JsonValue, patch);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw internalError(`the patch of webhook ${JSON.stringify(hook.name)} can't be applied: ${why}`);
    }
    if (deepEqual(next, wire(a.object, a))) return false;
    // Parts may be shared with the patch and the old object; what follows changes the object in place.
    a.object = deepCopy(next as unknown as KubeObject);
    return true;
  }

  async function runMutating(a: AdmissionAttributes): Promise<void> {
    const hooks = mutating.hooks();
    if (hooks.length === 0 || isExempt(a)) return;
    let progress = inProgress.get(a);
    if (!progress) {
      progress = { called: new Set(), lastOutput: undefined, changed: false, passes: 0, again: new Set() };
      inProgress.set(a, progress);
    }
    const again = progress.passes++ > 0;
    if (again && !deepEqual(progress.lastOutput, a.object)) {
      for (const id of progress.called) progress.again.add(id);
    }
    for (const hook of hooks) {
      if (again && !(hook.reinvoke && progress.again.has(hook.id)) && progress.called.has(hook.id)) continue;
      const view = await viewFor(hook, a);
      if (!view) continue;
      if (again && progress.called.has(hook.id)) progress.again.delete(hook.id);
      const response = await ask(hook, view.attributes, a, 'admit');
      if (response && patched(hook, view.attributes, response)) {
        await view.takeOver();
        progress.changed = true;
        for (const id of progress.called) if (id !== hook.id) progress.again.add(id);
      }
      progress.called.add(hook.id);
    }
    progress.lastOutput = a.object && deepCopy<KubeObject>(a.object);
  }

  async function runValidating(a: AdmissionAttributes): Promise<void> {
    const hooks = validating.hooks();
    if (hooks.length === 0 || isExempt(a)) return;
    const views = await Promise.all(hooks.map(async (hook) => ({ hook, view: await viewFor(hook, a) })));
    const wanted = views.filter((v) => v.view !== undefined);
    const results = await Promise.allSettled(
      wanted.map(({ hook, view }) => ask(hook, view!.attributes, a, 'validating')),
    );
    for (const r of results) if (r.status === 'rejected') throw r.reason;
  }

  const handles = () => true;
  return {
    plugins: [
      {
        name: 'MutatingAdmissionWebhook',
        handles,
        admit: runMutating,
        wantsReinvocation(a) {
          const progress = inProgress.get(a);
          return progress?.passes === 1 && progress.changed;
        },
      },
      { name: 'ValidatingAdmissionWebhook', handles, validate: runValidating },
    ],
    close() {
      client.close();
      mutating.close();
      validating.close();
    },
  };
}
