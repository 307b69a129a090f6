/** Serving gRPC on a Unix socket: what the kubelet offers to plugins and agents of its node. */
import { rmSync } from 'node:fs';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import { lazyModule } from '../base/lazy.ts';
import { CODE, framed, MessageReader } from '../base/grpc.ts';
import { MAX_MESSAGE, type GrpcService } from './grpc.ts';

/** Answers a call; what it rejects with goes to the caller: `code` (gRPC) and `message` are kept. */
export type Handler = (request: never) => Promise<object> | object;
/** Answers with many messages; what it returns is called when the caller has gone. */
export type StreamHandler = (request: never, send: (message: object) => void) => () => void;

export type Handlers = Record<string, Handler>;

/** Four MiB that only nodes with plugins need. */
const http2 = lazyModule<typeof import('node:http2')>(import.meta.url, 'node:http2');

type Served = (stream: ServerHttp2Stream, request: Buffer) => void;

const HEADERS = { ':status': 200, 'content-type': 'application/grpc' };

function fail(stream: ServerHttp2Stream, code: number, message: string): void {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond({ ...HEADERS, 'grpc-status': String(code), 'grpc-message': encodeURI(message) }, { endStream: true });
}

/** Begins an answer that ends well unless the caller goes before. */
function begin(stream: ServerHttp2Stream): void {
  stream.respond(HEADERS, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
}

function serveMethods(service: GrpcService, handlers: Handlers, streams: Record<string, StreamHandler>) {
  const served = new Map<string, Served>();
  for (const [name, method] of service.methods) {
    const handle = handlers[name];
    const handleMany = streams[name];
    if (handle)
      served.set(method.path, (stream, request) => {
        Promise.resolve()
          .then(() => handle(method.request.decode(request) as never))
          .then((answer) => {
            if (stream.destroyed) return;
            const bytes = framed(method.response.encode(answer));
            begin(stream);
            stream.end(bytes);
          })
          .catch((error: { code?: unknown; message: string }) =>
            fail(stream, typeof error.code === 'number' ? error.code : CODE.unknown, error.message),
          );
      });
    else if (handleMany)
      served.set(method.path, (stream, request) => {
        let question: never;
        try {
          question = method.request.decode(request) as never;
        } catch (error) {
          return fail(stream, CODE.internal, (error as Error).message);
        }
        begin(stream);
        const over = handleMany(
          question,
          (message) => void (stream.destroyed || stream.write(framed(method.response.encode(message)))),
        );
        stream.once('close', over);
      });
  }
  return served;
}

/** Serves methods on a socket, in place of one that was left behind. */
export async function serve(
  socket: string,
  services: readonly (readonly [service: GrpcService, handlers: Handlers, streams?: Record<string, StreamHandler>])[],
): Promise<{ stop(): void }> {
  const methods = new Map(services.flatMap(([s, handlers, streams = {}]) => [...serveMethods(s, handlers, streams)]));
  const sessions = new Set<ServerHttp2Session>();
  let speaking: Http2Server | undefined;
  const speaker = (): Http2Server => {
    const server = http2().createServer();
    server.on('session', (session) => {
      sessions.add(session);
      session.on('error', () => {});
      session.once('close', () => sessions.delete(session));
    });
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => {});
      const path = String(headers[':path']);
      const method = methods.get(path);
      if (!method) return fail(stream, CODE.unimplemented, `unknown method ${path}`);
      let asked = false;
      const reader = new MessageReader((bytes) => {
        if (asked) return;
        asked = true;
        method(stream, bytes);
      }, MAX_MESSAGE);
      stream.on('data', (chunk: Buffer) => {
        if (!reader.take(chunk)) fail(stream, CODE.resourceExhausted, `a message is longer than ${MAX_MESSAGE} bytes`);
      });
    });
    return server;
  };
  const listener = net.createServer((connection) => (speaking ??= speaker()).emit('connection', connection));
  rmSync(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen({ path: socket }, resolve);
  });
  return {
    stop() {
      listener.close();
      for (const session of sessions) session.destroy();
      rmSync(socket, { force: true });
    },
  };
}
