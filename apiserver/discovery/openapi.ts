/** /openapi/v2 and /openapi/v3 over HTTP. */
import { type Document, type OpenApi, V2_PROTOBUF, V2_PROTOBUF_TYPE } from '../../api/openapi/index.ts';
import { gzipIfWanted } from '../http/compress.ts';
import type { PathRoutes } from '../http/paths.ts';
import type { ApiRequest, Reply } from '../http/request.ts';

const JSON_TYPES = new Set(['application/json', 'application/*', '*/*']);
const YEAR = 365 * 24 * 3600;

export function openApiRoutes(paths: PathRoutes, openapi: OpenApi): void {
  paths.exact('/openapi/v2', (request, reply) => {
    const form = preferred(request, [V2_PROTOBUF, V2_PROTOBUF_TYPE]);
    if (form === undefined) refuse(reply);
    else if (form === 'protobuf') serve(request, reply, openapi.v2Protobuf(), V2_PROTOBUF_TYPE);
    else serve(request, reply, openapi.v2(), 'application/json');
  });
  paths.exact('/openapi/v3', (request, reply) => serve(request, reply, openapi.v3Index(), 'text/plain; charset=utf-8'));
  paths.prefix('/openapi/v3/', (request, reply) => {
    const path = request.path.slice('/openapi/v3/'.length);
    const document = openapi.v3(path);
    if (document === undefined) return reply.send(404, '', Buffer.alloc(0));
    if (preferred(request, []) === undefined) return refuse(reply);
    const hash = request.query.get('hash');
    if (hash) {
      if (hash !== document.hash) {
        reply.header('location', `/openapi/v3/${path}?hash=${document.hash}`);
        reply.send(301, '', Buffer.alloc(0));
        return;
      }
      // The hash in the URL makes the answer good for ever.
      reply.header('cache-control', `public, immutable, max-age=${YEAR}`);
    }
    serve(request, reply, document, 'application/json');
  });
}

/** What the client prefers of JSON and the protobuf types that there are; undefined when it takes neither. */
function preferred(request: ApiRequest, protobuf: readonly string[]): 'json' | 'protobuf' | undefined {
  const accept = request.header('accept');
  if (accept === undefined || accept.trim() === '') return 'json';
  for (const part of accept.split(',')) {
    const type = part.split(';')[0]!.trim();
    if (protobuf.includes(type)) return 'protobuf';
    if (JSON_TYPES.has(type)) return 'json';
  }
  return undefined;
}

/** Upstream says no more than the code here. */
function refuse(reply: Reply): void {
  reply.header('vary', 'Accept');
  reply.send(406, '', Buffer.alloc(0));
}

function serve(request: ApiRequest, reply: Reply, document: Document, type: string): void {
  const tag = `"${document.hash}"`;
  reply.header('etag', tag);
  reply.header('vary', 'Accept-Encoding, Accept');
  const known = request.header('if-none-match');
  if (known !== undefined && known.split(',').some((t) => t.trim() === tag || t.trim() === '*')) {
    reply.send(304, '', Buffer.alloc(0));
    return;
  }
  gzipIfWanted(request, reply, 200, type, document.bytes);
}
