/**
 * The one ordered chain that every request and every upgrade passes, in Kubernetes' order:
 * request info, authentication, audit, impersonation, fair queuing, authorization, routing.
 */
import { parseDuration } from '../../api/time.ts';
import {
  badRequest,
  hasCode,
  internalError,
  StatusError,
  timeout,
  tooManyRequests,
  unauthorized,
} from '../../api/status.ts';
import type { Clock, Ids } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import type { Authenticated, Authenticator, Credentials, UserInfo } from '../authentication/types.ts';
import { bearerToken } from '../authentication/headers.ts';
import { hasImpersonationHeaders } from '../authentication/impersonation.ts';
import { forbiddenRequest } from '../authorization/errors.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from '../authorization/types.ts';
import { sendError, statusOf } from './errors.ts';
import { ANONYMOUS, type ApiRequest, type Reply } from './request.ts';
import { isLongRunning, parseRequestInfo, type RequestInfo } from './request-info.ts';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { ValueTransformError } from '../storage/transform.ts';

/** Follows requests for the audit log. */
export interface RequestAudit {
  /** The user is known. The request goes on when the result, if any, is there; it rejects with a StatusError. */
  received(request: ApiRequest): Promise<void> | undefined;
  /** The credentials were refused; `received` isn't called then. */
  unauthenticated(request: ApiRequest, code: number): void;
  authorized(request: ApiRequest, decision: Decision): void;
  /** The handler is done; the answer may still be on its way. */
  answered(request: ApiRequest, reply: Reply): void;
  /** An upgrade got its connection. */
  upgraded(request: ApiRequest, socket: Duplex): void;
  /** An upgrade was refused. */
  refused(request: ApiRequest, code: number): void;
  /** Something broke that shouldn't. */
  failed(request: ApiRequest, text: string): void;
  /** Shows counts of events. */
  metrics?(registry: MetricsRegistry): void;
}

/** Seams that other parts fill in; each may be absent. */
export interface ChainSeams {
  audit?: RequestAudit;
  /** Returns the user to act as; throws 403. */
  impersonate?(request: ApiRequest): Promise<UserInfo | undefined>;
  /** Counts and times each answered request. */
  metrics?: {
    observe(request: ApiRequest, code: number, bytes: number, seconds: number): void;
    inFlight?(mutating: boolean, delta: number): void;
    /** A watch or stream is under way; the result is called when it is over. */
    longRunning?(request: ApiRequest): () => void;
    /** `result` is success, failure or error. */
    authenticated?(result: string, user: string, seconds: number): void;
    /** `result` is allowed, denied, no-opinion or error. */
    authorized?(result: string, seconds: number): void;
  };
}

export interface ChainOptions extends ChainSeams {
  clock: Clock;
  ids: Ids;
  logger: Logger;
  authenticator: Authenticator;
  authorizer: Authorizer;
  /** Follows what a request does. */
  tracer?: {
    request(request: ApiRequest, work: () => Promise<void>, code: (error: unknown) => number): Promise<void>;
  };
  /** Fair queuing, instead of the two limits that follow. */
  fairness?: {
    /** Seats for the request, at once or in its turn; undefined when it needs none. Throws or rejects with 429. */
    enter(request: ApiRequest, reply: Reply): { done(): void } | Promise<{ done(): void }> | undefined;
  };
  /** Requests that read, at once; defaults to 400. 0 is no limit. */
  maxRequestsInFlight?: number;
  /** Requests that write, at once; defaults to 200. 0 is no limit. */
  maxMutatingRequestsInFlight?: number;
  /** True until the start-up hooks are done: until then anybody may ask for the server's health. */
  starting?(): boolean;
  /** Seconds for ordinary requests; defaults to 60. */
  requestTimeoutSeconds?: number;
  /** Names of headers that name a user on behalf of a front proxy; a connection that sends one isn't remembered. */
  proxyUserHeaders?: readonly string[];
  /** What answers once everything is allowed. */
  route(request: ApiRequest, reply: Reply): Promise<void> | void;
}

export interface Chain {
  handle(request: ApiRequest, reply: Reply): Promise<void>;
  /** Runs the chain up to authorization: for upgrades. Throws a StatusError. */
  admitUpgrade(request: ApiRequest): Promise<void>;
  /** Plain requests that are being worked on. */
  readonly inFlight: number;
}

/** How long a request may take in ms: what it asks for itself, if that is shorter. */
function timeoutOf(request: ApiRequest, longest: number): number {
  const asked = request.rawQuery.includes('timeout=') ? request.query.get('timeout') : null;
  if (!asked) return longest;
  const nanos = parseDuration(asked);
  if (nanos === undefined)
    throw badRequest(`invalid timeout specified in the request URL - time: invalid duration ${JSON.stringify(asked)}`);
  const ms = Number(nanos / 1_000_000n);
  return ms > 0 ? Math.min(ms, longest) : longest;
}

/** A connection's identity is looked at again after this long: certificates run out, authorities change. */
const IDENTITY_MS = 60_000;

const HEALTH_PATHS = new Set(['/healthz', '/livez', '/readyz']);
const READ_VERBS = new Set(['get', 'list', 'watch']);

export function createChain(options: ChainOptions): Chain {
  const { clock, logger } = options;
  const limits = { read: options.maxRequestsInFlight ?? 400, write: options.maxMutatingRequestsInFlight ?? 200 };
  const running = { read: 0, write: 0, all: 0 };
  const { fairness, tracer } = options;
  const timeoutMs = (options.requestTimeoutSeconds ?? 60) * 1000;
  const proxyHeaders = (options.proxyUserHeaders ?? ['x-remote-user']).map((h) => h.toLowerCase());
  const identities = new WeakMap<object, { readonly found: Authenticated; readonly until: number }>();

  async function authenticate(request: ApiRequest): Promise<void> {
    const { headers } = request;
    const socket = request.socket;
    const plain =
      headers['authorization'] === undefined &&
      headers['sec-websocket-protocol'] === undefined &&
      !proxyHeaders.some((h) => headers[h] !== undefined);
    if (plain) {
      const known = identities.get(socket);
      if (known && known.until > request.receivedAt) {
        request.user = known.found.user;
        return;
      }
    }
    if (/^\s*bearer {2}/i.test(request.header('authorization') ?? ''))
      request.warn('the provided Authorization header contains extra space before the bearer token, and is ignored');
    const found = await options.authenticator.authenticate(credentialsOf(request, socket));
    if (!found) {
      if (headers['authorization'] !== undefined) throw unauthorized();
      request.user = ANONYMOUS;
      return;
    }
    request.user = found.user;
    if (plain && found.reusable !== false) identities.set(socket, { found, until: request.receivedAt + IDENTITY_MS });
  }

  async function authorize(request: ApiRequest): Promise<void> {
    // The roles that let everybody do so later may not be there yet.
    if (HEALTH_PATHS.has(request.path) && options.starting?.()) return;
    const attributes = attributesOf(request.info, request);
    const start = clock.monotonic();
    const made = options.authorizer.authorize(attributes);
    const decision = made instanceof Promise ? await made : made;
    options.metrics?.authorized?.(resultOf(decision), (clock.monotonic() - start) / 1000);
    options.audit?.authorized(request, decision);
    if (decision.decision === 'allow') return;
    if (decision.error !== undefined) throw internalError(decision.error);
    throw forbiddenRequest(attributes, decision.reason);
  }

  async function serve(request: ApiRequest, reply: Reply): Promise<void> {
    await authorize(request);
    await options.route(request, reply);
  }

  async function before(request: ApiRequest): Promise<void> {
    const start = clock.monotonic();
    const told = (result: string) =>
      options.metrics?.authenticated?.(result, request.user.name, (clock.monotonic() - start) / 1000);
    try {
      await authenticate(request);
      told('success');
    } catch (error) {
      told(error instanceof StatusError ? 'failure' : 'error');
      if (hasCode(error, 401)) options.audit?.unauthenticated(request, 401);
      throw error;
    }
    const noted = options.audit?.received(request);
    if (noted) await noted;
    if (options.impersonate && hasImpersonationHeaders(request.headers)) {
      const as = await options.impersonate(request);
      if (as) request.user = as;
    }
  }

  function prepare(request: ApiRequest): void {
    request.info = parseRequestInfo(request.method, request.path, request.query);
    request.auditId = request.header('audit-id') ?? options.ids.uuid();
  }

  return {
    get inFlight() {
      return running.all;
    },
    async admitUpgrade(request) {
      prepare(request);
      try {
        await before(request);
        await authorize(request);
      } catch (error) {
        options.audit?.refused(request, error instanceof StatusError ? error.code : 500);
        throw error;
      }
    },
    async handle(request, reply) {
      let slot: 'read' | 'write' | undefined;
      let release: (() => void) | undefined;
      let seats: { done(): void } | undefined;
      running.all++;
      try {
        prepare(request);
        reply.header('audit-id', request.auditId);
        const long = isLongRunning(request.info);
        if (long && options.metrics?.longRunning) reply.onClose(options.metrics.longRunning(request));
        if (!long) {
          const timer = clock.after(
            timeoutOf(request, timeoutMs),
            () => {
              request.abort(new Error('the request took too long'));
              sendError(request, reply, timeout('request did not complete within the allotted timeout'));
            },
            { background: true },
          );
          release = () => timer.cancel();
        }
        await before(request);
        if (fairness) {
          const entered = fairness.enter(request, reply);
          seats = entered instanceof Promise ? await entered : entered;
        }
        if (!long) {
          slot = READ_VERBS.has(request.info.verb) ? 'read' : 'write';
          if (
            !fairness &&
            limits[slot] > 0 &&
            running[slot] >= limits[slot] &&
            !request.user.groups.includes('system:masters')
          ) {
            slot = undefined;
            throw tooManyRequests('the server has received too many requests and has asked us to try again later');
          }
          running[slot]++;
          options.metrics?.inFlight?.(slot === 'write', 1);
        }
        if (tracer) {
          const code = (error: unknown) => reply.code || (error instanceof StatusError ? error.code : 500);
          await tracer.request(request, () => serve(request, reply), code);
        } else {
          await authorize(request);
          await options.route(request, reply);
        }
      } catch (error) {
        const status = statusOf(error, logger, request);
        if (options.audit && status.code === 500 && isUnexpected(error)) options.audit.failed(request, String(error));
        sendError(request, reply, status);
      } finally {
        running.all--;
        if (slot) {
          running[slot]--;
          options.metrics?.inFlight?.(slot === 'write', -1);
        }
        release?.();
        seats?.done();
        if (options.metrics)
          options.metrics.observe(request, reply.code, reply.bytes, (clock.monotonic() - request.receivedAt) / 1000);
        options.audit?.answered(request, reply);
      }
    },
  };
}

const isUnexpected = (error: unknown) => !(error instanceof StatusError || error instanceof ValueTransformError);

function resultOf(d: Decision): string {
  if (d.decision === 'allow') return 'allowed';
  if (d.decision === 'deny') return 'denied';
  return d.error === undefined ? 'no-opinion' : 'error';
}

/** What authentication may look at. */
function credentialsOf(request: ApiRequest, socket: TLSSocket): Credentials {
  const { headers } = request;
  const peer = socket.getPeerCertificate?.() as { raw?: Buffer } | undefined;
  return {
    clientCertificate: peer?.raw,
    bearerToken: bearerToken(request),
    header: (name) => request.header(name.toLowerCase()),
    headers,
    rawHeaders: request.native.rawHeaders,
    path: request.path,
  };
}

/** What authorization is asked. */
export function attributesOf(info: RequestInfo, request: ApiRequest): AuthorizationAttributes {
  const query = request.rawQuery === '' ? undefined : request.query;
  return {
    user: request.user,
    verb: info.verb,
    resourceRequest: info.isResourceRequest,
    path: info.path,
    namespace: info.namespace,
    apiGroup: info.apiGroup,
    apiVersion: info.apiVersion,
    resource: info.resource,
    subresource: info.subresource,
    name: info.name,
    labelSelector: query?.get('labelSelector') ?? undefined,
    fieldSelector: query?.get('fieldSelector') ?? undefined,
  };
}
