/** Follows each request that the policy names and gives its events to the backends. */
import type { Socket } from 'node:net';
import { encodeJson } from '../../api/codec/json.ts';
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
  /** Takes an event and its JSON; never throws, never waits. */
  take(event: AuditEvent, json: string): void;
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

  function emit(request: ApiRequest, record: AuditRecord, stage: Stage, code: number, status?: JsonObject): void {
    const { decision, user } = record;
    if (decision.omitStages.has(stage)) return;
    const { level } = decision;
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
    for (const b of backends) b.take(event, json);
  }

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
      if (decision.level === 'None') return;
      const record = begin(request, decision);
      records.set(request, record);
      request.audited = record;
      emit(request, record, 'RequestReceived', 0);
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
