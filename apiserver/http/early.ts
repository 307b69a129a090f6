/** Answers given while a long body is still on its way: the rest of it isn't waited for. */
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';

/** What is left of a body up to this length is read, for the sake of the connection. */
const WORTH_READING = 256 * 1024;
/** A connection that is closed while data arrives loses its last answer, so it is kept open for a moment. */
const LINGER_MS = 2000;

/** More of the body is to come than is worth reading. */
export function isUnwanted(request: IncomingMessage | Http2ServerRequest): boolean {
  if (request.complete) return false;
  const { headers } = request;
  const length = headers['content-length'];
  if (length !== undefined) return Number(length) > WORTH_READING;
  return 'stream' in request ? !request.stream.endAfterHeaders : headers['transfer-encoding'] !== undefined;
}

/** Sends a whole answer, then ends the connection (HTTP/1.1) or the stream (HTTP/2) whatever is still being sent. */
export function sendEarly(
  native: ServerResponse | Http2ServerResponse,
  clock: Clock,
  code: number,
  headers: Record<string, string | string[]>,
  body: Buffer,
): void {
  if ('stream' in native) {
    const { stream } = native;
    native.once('finish', () => stream?.close(constants.NGHTTP2_NO_ERROR));
    native.writeHead(code, headers);
    native.end(body);
    return;
  }
  native.writeHead(code, { ...headers, connection: 'close' });
  // The answer is complete by its length; the end of the connection follows when the client has had time to read.
  native.write(body);
  native.req.resume();
  const timer = clock.after(LINGER_MS, () => native.end(), { background: true });
  const over = () => {
    timer.cancel();
    native.end();
  };
  native.req.once('end', over);
  native.once('close', over);
}
