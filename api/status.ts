/**
 * Every error that leaves the API server is a Kubernetes Status, made here and nowhere else.
 * Reasons and codes: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#http-status-codes
 */
import type { Status } from './types.ts';

/** One cause inside a Status' details. */
export interface StatusCause {
  reason?: string;
  message?: string;
  field?: string;
}

/** What a Status' details may hold. */
export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** A failure with the Status that a client shall see. */
export class StatusError extends Error {
  readonly status: Status;
  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = 'StatusError';
    const status: Status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code };
    if (reason) status.reason = reason;
    if (details) status.details = details;
    this.status = status;
  }
  get code(): number {
    return this.status.code ?? 500;
  }
  get reason(): string {
    return this.status.reason ?? '';
  }
  /** Takes a Status that came over the wire. */
  static from(status: Status): StatusError {
    const e = new StatusError(status.code ?? 500, status.reason ?? '', status.message ?? 'unknown');
    Object.assign(e.status, status);
    return e;
  }
}

const MEMBERS = ['kind', 'apiVersion', 'metadata', 'status', 'message', 'reason', 'details', 'code'] as const;

/** The same Status with its members in the order in which Kubernetes writes them. */
export function inOrder(status: Status): Status {
  const out: Record<string, unknown> = {};
  for (const m of MEMBERS) if (status[m] !== undefined) out[m] = status[m];
  return out as Status;
}

/** True for a Status with one of these HTTP codes. */
export const hasCode = (error: unknown, ...codes: number[]): boolean =>
  error instanceof StatusError && codes.includes(error.code);
const hasReason = (error: unknown, reason: string): boolean => error instanceof StatusError && error.reason === reason;
/** True where no such object (or path) is. */
export const isNotFound = (error: unknown): boolean => hasCode(error, 404);
/** True where an object of the name to be created is there already (409). */
export const isAlreadyExists = (error: unknown): boolean => hasReason(error, 'AlreadyExists');
/** True where the object changed in the meantime, or a precondition doesn't hold (409). */
export const isConflict = (error: unknown): boolean => hasReason(error, 'Conflict');

/** Names the thing an error is about: `pods "x"` or `deployments.apps "x"`. */
export interface ResourceName {
  group: string;
  resource: string;
}
const qualified = (r: ResourceName) => (r.group === '' ? r.resource : `${r.resource}.${r.group}`);
const details = (r: ResourceName, name: string, more?: StatusDetails): StatusDetails => ({
  ...(name === '' ? {} : { name }),
  ...(r.group === '' ? {} : { group: r.group }),
  ...(r.resource === '' ? {} : { kind: r.resource }),
  ...more,
});

export const badRequest = (message: string) => new StatusError(400, 'BadRequest', message);
export const unauthorized = (message = 'Unauthorized') => new StatusError(401, 'Unauthorized', message);
export const forbidden = (r: ResourceName, name: string, why: string) =>
  new StatusError(
    403,
    'Forbidden',
    name === ''
      ? `${qualified(r)} is forbidden: ${why}`
      : `${qualified(r)} ${JSON.stringify(name)} is forbidden: ${why}`,
    details(r, name),
  );
export const notFound = (r: ResourceName, name: string) =>
  new StatusError(404, 'NotFound', `${qualified(r)} ${JSON.stringify(name)} not found`, details(r, name));
/** No such path. */
export const pathNotFound = () =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource', {});
export const methodNotAllowed = (r: ResourceName, action: string) =>
  new StatusError(
    405,
    'MethodNotAllowed',
    `${action} is not supported on resources of kind ${JSON.stringify(qualified(r))}`,
    details(r, ''),
  );
export const notAcceptable = (message: string) => new StatusError(406, 'NotAcceptable', message, {});
export const alreadyExists = (r: ResourceName, name: string) =>
  new StatusError(409, 'AlreadyExists', `${qualified(r)} ${JSON.stringify(name)} already exists`, details(r, name));
export const conflict = (r: ResourceName, name: string, why: string, causes?: StatusCause[]) =>
  new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(r)} ${JSON.stringify(name)}: ${why}`,
    details(r, name, causes ? { causes } : undefined),
  );
/** The history asked for is compacted or the watch window passed. */
export const resourceExpired = (message: string) => new StatusError(410, 'Expired', message);
export const gone = (message: string) => new StatusError(410, 'Gone', message);
export const requestEntityTooLarge = (message: string) => new StatusError(413, 'RequestEntityTooLarge', message);
export const unsupportedMediaType = (message: string) => new StatusError(415, 'UnsupportedMediaType', message);
export const tooManyRequests = (message: string, retryAfterSeconds = 1) =>
  new StatusError(429, 'TooManyRequests', message, { retryAfterSeconds });
export const internalError = (message: string) =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });
export const serviceUnavailable = (message: string) => new StatusError(503, 'ServiceUnavailable', message);
export const timeout = (message: string, retryAfterSeconds?: number) =>
  new StatusError(504, 'Timeout', `Timeout: ${message}`, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
