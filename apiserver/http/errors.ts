/** Errors on their way out: always a Status, never the inside of the server. */
import { inOrder, internalError, requestEntityTooLarge, serviceUnavailable, StatusError } from '../../api/status.ts';
import { DecodeError } from '../../api/codec/errors.ts';
import type { JsonObject } from '../../api/types.ts';
import type { Logger } from '../../base/log.ts';
import { CompactedError, FutureRevisionError, RequestTooLargeError, StoreUnavailableError } from '../storage/store.ts';
import { ValueTransformError } from '../storage/transform.ts';
import { gzipIfWanted } from './compress.ts';
import { negotiateError } from './negotiate.ts';
import { contentType, encodeObject } from './render.ts';
import type { ApiRequest, Reply } from './request.ts';

/** The StatusError that a failure is to the client. */
export function statusOf(error: unknown, logger: Logger, request: ApiRequest): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof RequestTooLargeError) return requestEntityTooLarge('the object is too large for the store');
  if (error instanceof StoreUnavailableError) return serviceUnavailable('the store is not available');
  if (error instanceof CompactedError)
    return new StatusError(410, 'Expired', 'The resourceVersion for the provided list is too old.');
  if (error instanceof FutureRevisionError)
    return new StatusError(504, 'Timeout', 'Timeout: Too large resource version');
  if (error instanceof ValueTransformError) return internalError(error.message);
  if (error instanceof DecodeError) return new StatusError(400, 'BadRequest', error.message);
  logger.error('request failed', { method: request.method, path: request.path, error });
  return internalError('the request could not be completed');
}

/** Sends an error in a form that the client can read. */
export function sendError(request: ApiRequest, reply: Reply, error: StatusError): void {
  if (reply.sent) {
    reply.native.destroy();
    return;
  }
  const retry = error.status.details?.retryAfterSeconds;
  if (retry !== undefined && retry > 0) reply.header('retry-after', String(retry));
  // Refused before anything is known about what is asked for; a later 406 has no details.
  if ((error.code === 406 && error.status.details) || (error.code === 415 && request.method === 'PATCH'))
    request.warnings = undefined;
  const view = negotiateError(request);
  const status = inOrder(error.status) as unknown as JsonObject;
  let body: Buffer;
  let type: string;
  try {
    body = encodeObject(status, view);
    type = contentType(view);
  } catch {
    body = encodeObject(status, { ...view, media: 'json' });
    type = 'application/json';
  }
  gzipIfWanted(request, reply, error.code, type, body);
}
