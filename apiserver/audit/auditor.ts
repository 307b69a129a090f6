/** Follows each request that the policy names and gives its events to the backends. */
import type { Socket } from 'node:net';
import { encodeJson } from '../../api/codec/json.ts';
import { internalError } from '../../api/status.ts';
import type { JsonObject } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { Decision } from '../authorization/types.ts';
import type { RequestAudit } from '../http/chain.ts';
import { readAll } from '../http/byte-source.ts';
import type { ApiRequest, AuditTap, Reply } from '../http/request.ts';
import { isLongRunning } from '../http/request-info.ts';
import {
  decodeBody,
  dropManagedFields,
  isObject,
  microTime,
  objectRefOf,
  sourceIPs,
  userAgentOf,
  userOf,
  type AuditEvent,
} from './event.ts';
import type { AuditDecision, AuditPolicy, Stage } from './policy.ts';

/** Where events go. */
export interface AuditBackend {
  /**
   * Takes an event and its JSON; never throws. The result, if any, is waited for before a request that was just
   * received goes on, and rejects when that request must not.
   */
  take(event: AuditEvent, json: string): Promise<void> | void;
  /** Sends what is left. */
  close(): Promise<void>;
}

export interface Auditor extends RequestAudit {
  /** Flushes and closes the backends. */
  close(): Promise<void>;
}

/** What is known of a request under way. */
interface AuditRecord extends AuditTap {
  readonly decision: AuditDecision;
  readonly user: UserInfo;
  readonly receivedAt: number;
  /** Taken early: a connection that is gone doesn't tell any more. */
  readonly sourceIPs: string[];
  sent?: Buffer;
  answered?: { readonly type: string; readonly bytes: Buffer };
  started: boolean;
}

/** Answers that may be a Status say so early, in every encoding; a wrong guess costs a decode. */
const maybeStatus = (bytes: Buffer) => bytes.subarray(0, 512).includes('Status');

export function createAuditor(options: {
  clock: Clock;
  policy: AuditPolicy;
  backends: readonly AuditBackend[];
}): Auditor {
  const { clock, policy, backends } = options;
  const records = new WeakMap<ApiRequest, AuditRecord>();
  const counts = { events: 0, rejected: 0, levels: new Map<string, number>() };

  /** Makes an event; the result, if any, is there when the backends have it. */
  function stored(
    request: ApiRequest,
    record: AuditRecord,
    stage: Stage,
    code: number,
    status?: JsonObject,
  ): Promise<unknown> | undefined {
    const { decision, user } = record;
    if (decision.omitStages.has(stage)) return undefined;
    const { level } = decision;
    counts.events++;
    const objectRef = objectRefOf(request);
    const event: AuditEvent = {
      level,
      auditID: request.auditId,
      stage,
      requestURI: request.rawQuery === '' ? request.path : `${request.path}?${request.rawQuery}`,
      verb: request.info.verb,
      user: userOf(user),
      impersonatedUser: request.user === user || stage === 'RequestReceived' ? undefined : userOf(request.user),
      sourceIPs: record.sourceIPs,
      userAgent: userAgentOf(request.header('user-agent') ?? ''),
      objectRef,
      requestReceivedTimestamp: microTime(record.receivedAt),
      stageTimestamp: microTime(clock.now()),
    };
    if (stage !== 'RequestReceived') {
      const { verb } = event;
      const wantsBody = level !== 'Metadata' || verb === 'create' || verb === 'update';
      const sent = record.sent && wantsBody ? decodeBody(record.sent, request.header('content-type') ?? '') : undefined;
      if (objectRef && isObject(sent) && verb !== 'patch' && isObject(sent['metadata'])) {
        for (const k of ['namespace', 'name', 'uid', 'resourceVersion'])
          if (objectRef[k] === undefined && typeof sent['metadata'][k] === 'string') objectRef[k] = sent['metadata'][k];
      }
      const whole = level === 'RequestResponse';
      const { answered } = record;
      const answer =
        answered && (whole || code >= 400 || maybeStatus(answered.bytes))
          ? decodeBody(answered.bytes, answered.type)
          : undefined;
      event.responseStatus = status ?? { metadata: {}, ...boundedStatus(answer), code };
      if (decision.omitManagedFields) {
        dropManagedFields(sent);
        dropManagedFields(answer);
      }
      if (level !== 'Metadata') event.requestObject = sent;
      if (whole) event.responseObject = answer;
      event.annotations = request.annotations;
    }
    const json = encodeJson(event);
    let pending: Promise<void>[] | undefined;
    for (const b of backends) {
      const taken = b.take(event, json);
      if (taken) (pending ??= []).push(taken);
    }
    if (!pending) return undefined;
    const all = Promise.all(pending);
    // Only a request that was just received is held up; the backends have said what went wrong.
    all.catch(() => {});
    return all;
  }

  const emit = (...args: Parameters<typeof stored>): void => void stored(...args);

  /** The request is over: the last event, once. */
  function complete(request: ApiRequest, code: number, status?: JsonObject): void {
    const record = records.get(request);
    if (!record) return;
    records.delete(request);
    if (!record.started && isLongRunning(request.info)) emit(request, record, 'ResponseStarted', code, status);
    emit(request, record, 'ResponseComplete', code, status);
  }

  function begin(request: ApiRequest, decision: AuditDecision): AuditRecord {
    const late = clock.monotonic() - request.receivedAt;
    const record: AuditRecord = {
      decision,
      user: request.user,
      receivedAt: clock.now() - late,
      sourceIPs: sourceIPs(request),
      started: false,
      body(bytes) {
        record.sent = bytes;
      },
      answer(type, body) {
        // A list that nobody asked to keep goes out in pieces.
        if (decision.level !== 'RequestResponse' && !Buffer.isBuffer(body)) return body;
        const bytes = Buffer.isBuffer(body) ? body : readAll(body);
        record.answered = { type, bytes };
        return bytes;
      },
    };
    return record;
  }

  return {
    received(request) {
      const decision = policy.decide(request.user, request.info);
      counts.levels.set(decision.level, (counts.levels.get(decision.level) ?? 0) + 1);
      if (decision.level === 'None') return undefined;
      const record = begin(request, decision);
      records.set(request, record);
      request.audited = record;
      const taken = stored(request, record, 'RequestReceived', 0);
      return taken?.then(
        () => {},
        () => {
          counts.rejected++;
          throw internalError('failed to store audit event');
        },
      );
    },
    unauthenticated(request, code) {
      const decision = policy.decide(request.user, request.info);
      if (decision.level === 'None') return;
      const status = { metadata: {}, status: 'Failure', reason: 'Unauthorized', message: 'Unauthorized', code };
      const anonymous: UserInfo = { name: '', groups: [] };
      const record = { ...begin(request, decision), user: anonymous };
      request.user = anonymous;
      emit(request, record, 'ResponseStarted', code, status);
    },
    authorized(request, decision: Decision) {
      if (!records.has(request)) return;
      request.annotate('authorization.k8s.io/decision', decision.decision === 'allow' ? 'allow' : 'forbid');
      request.annotate('authorization.k8s.io/reason', decision.reason ?? '');
    },
    answered(request, reply: Reply) {
      const record = records.get(request);
      if (!record) return;
      const { native } = reply;
      const code = () => reply.code || native.statusCode;
      if (native.writableEnded || native.destroyed) return complete(request, code());
      if (reply.sent && isLongRunning(request.info)) {
        record.started = true;
        emit(request, record, 'ResponseStarted', code());
      }
      reply.onClose(() => complete(request, code()));
    },
    upgraded(request, socket) {
      const record = records.get(request);
      if (!record) return;
      record.started = true;
      emit(request, record, 'ResponseStarted', 101);
      if (socket.destroyed) complete(request, 101);
      else (socket as Socket).once('close', () => complete(request, 101));
    },
    refused: complete,
    failed(request, text) {
      const record = records.get(request);
      if (!record) return;
      records.delete(request);
      const message = `APIServer panic'd: ${text}`;
      const status = { metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 };
      emit(request, record, 'Panic', 500, status);
    },
    metrics(registry) {
      const events = registry.counter('apiserver_audit_event_total', 'Audit events that were made.').handle([]);
      const rejected = registry
        .counter('apiserver_audit_requests_rejected_total', 'Requests refused for want of an audit event.')
        .handle([]);
      const levels = registry.gauge('apiserver_audit_level_total', 'Requests by the level of their audit.', ['level']);
      registry.onCollect(() => {
        events.value = counts.events;
        rejected.value = counts.rejected;
        for (const [level, count] of counts.levels) levels.set([level], count);
      });
    },
    async close() {
      await Promise.all(backends.map((b) => b.close()));
    },
  };
}

/** What of a Status goes into responseStatus; nothing of other objects. */
function boundedStatus(answer: unknown): JsonObject {
  const s = answer as JsonObject | undefined;
  if (!isObject(s) || s['kind'] !== 'Status') return {};
  const out: JsonObject = {};
  for (const k of ['status', 'message', 'reason', 'details']) if (s[k] !== undefined) out[k] = s[k];
  return out;
}
