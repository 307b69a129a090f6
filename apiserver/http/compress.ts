/** Sends answers, gzipped when they are large and the client accepts it. */
import { gzip } from 'node:zlib';
import { readAll, type ByteSource } from './byte-source.ts';
import type { ApiRequest, Reply } from './request.ts';

/** Answers shorter than this go out as they are (upstream's threshold). */
const GZIP_THRESHOLD = 128 * 1024;

/** Adds the request's warnings as headers. */
export function addWarnings({ warnings }: ApiRequest, reply: Reply): void {
  if (warnings) reply.header('warning', warnings.map(warningHeader));
}

/** Sends a body, gzipped when it is long and the client takes it; adds the request's warnings. */
export function gzipIfWanted(
  request: ApiRequest,
  reply: Reply,
  code: number,
  type: string,
  body: Buffer | ByteSource,
): void {
  if (request.audited) body = request.audited.answer(type, body);
  addWarnings(request, reply);
  if (body.length < GZIP_THRESHOLD || !acceptsGzip(request.header('accept-encoding'))) {
    if (Buffer.isBuffer(body)) reply.send(code, type, body);
    else reply.sendSource(code, type, body);
    return;
  }
  const whole = Buffer.isBuffer(body) ? body : readAll(body);
  gzip(whole, { level: 1 }, (error, packed) => {
    if (error) {
      reply.send(code, type, whole);
      return;
    }
    reply.header('content-encoding', 'gzip');
    reply.header('vary', 'Accept-Encoding');
    reply.send(code, type, packed);
  });
}

function acceptsGzip(header: string | undefined): boolean {
  return header !== undefined && header.split(',').some((p) => p.trim() === 'gzip');
}

/** RFC 7234's form with code 299 and no agent. */
function warningHeader(text: string): string {
  // Header values are latin1 on the wire; the quoted text carries UTF-8 bytes.
  // oxlint-disable-next-line no-control-regex
  const clean = text.replace(/[\u0000-\u001f\u007f]/g, '').replace(/[\\"]/g, '\\$&');
  return `299 - "${Buffer.from(clean, 'utf8').toString('latin1')}"`;
}
