/** gRPC over Unix sockets between the kubelet and plugins; messages bear the names of the protocol. */
import * as grpc from '@grpc/grpc-js';
import { rmSync, readFileSync } from 'node:fs';
import protobuf from 'protobufjs/light.js';
import type { Clock } from '../base/clock.ts';

type Unary = (
  request: object,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  done: (error: grpc.ServiceError | null, answer: unknown) => void,
) => grpc.ClientUnaryCall;
type Streaming = (request: object) => grpc.ClientReadableStream<unknown>;

/** How messages look as plain objects: with all their fields, 64-bit numbers as doubles, enums by name. */
const PLAIN: protobuf.IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
};

type Message = Record<string, unknown>;

/**
 * A service ("csi.v1.Node") of descriptors in protobufjs' JSON form. Made without @grpc/proto-loader: what that keeps of
 * each message for reflection is several MiB.
 */
export const defineService = (descriptors: protobuf.INamespace, name: string): grpc.ServiceClientConstructor =>
  serviceOf(protobuf.Root.fromJSON(descriptors), name);

function serviceOf(root: protobuf.Root, name: string, as = name): grpc.ServiceClientConstructor {
  const service = root.lookupService(name);
  const codec = (type: protobuf.Type) => ({
    encode: (value: Message): Buffer => type.encode(type.fromObject(value)).finish() as Buffer,
    decode: (bytes: Buffer): Message => type.toObject(type.decode(bytes), PLAIN),
  });
  const definition: Record<string, grpc.MethodDefinition<Message, Message>> = {};
  for (const method of service.methodsArray) {
    method.resolve();
    const request = codec(method.resolvedRequestType!);
    const response = codec(method.resolvedResponseType!);
    definition[method.name] = {
      path: `/${as}/${method.name}`,
      requestStream: Boolean(method.requestStream),
      responseStream: Boolean(method.responseStream),
      requestSerialize: request.encode,
      requestDeserialize: request.decode,
      responseSerialize: response.encode,
      responseDeserialize: response.decode,
    };
  }
  return grpc.makeGenericClientConstructor(definition, as);
}

const roots = new Map<string, protobuf.Root>();

/** A service by its full name out of `api/facts/grpc-FACTS.json`; `as` is the name of another version with the same messages. */
export function loadService(facts: string, name: string, as?: string): grpc.ServiceClientConstructor {
  let root = roots.get(facts);
  if (!root) {
    const file = new URL(`../api/facts/grpc-${facts}.json`, import.meta.url);
    root = protobuf.Root.fromJSON(JSON.parse(readFileSync(file, 'utf8')) as protobuf.INamespace);
    roots.set(facts, root);
  }
  return serviceOf(root, name, as);
}

export interface Caller {
  /** One question, one answer; rejects with gRPC's error after `timeoutMs`. */
  call<R = object>(method: string, request: object, timeoutMs: number): Promise<R>;
  stream<R>(method: string, request: object): grpc.ClientReadableStream<R>;
  close(): void;
}

/** `socket` is a path or `unix://` address. No connection is made before the first call. */
export function connect(service: grpc.ServiceClientConstructor, socket: string, clock: Clock): Caller {
  const client = new service(socket.includes('://') ? socket : `unix://${socket}`, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': 16 << 20,
    // a plugin that comes up again is not waited for longer than this
    'grpc.max_reconnect_backoff_ms': 2000,
    // callers of the same socket must not share a connection that one of them closes
    'grpc.use_local_subchannel_pool': 1,
  }) as unknown as grpc.Client & Record<string, Unary & Streaming>;
  return {
    call: <R>(method: string, request: object, timeoutMs: number) =>
      new Promise<R>((resolve, reject) => {
        const deadline = clock.now() + timeoutMs;
        client[method]!(request, new grpc.Metadata(), { deadline }, (error, answer) =>
          error ? reject(error) : resolve(answer as R),
        );
      }),
    stream: <R>(method: string, request: object) =>
      (client[method] as unknown as Streaming)(request) as unknown as grpc.ClientReadableStream<R>,
    close: () => client.close(),
  };
}

/** Answers a call; what it rejects with goes to the caller: `code` (gRPC) and `message` are kept. */
export type Handler = (request: never) => Promise<object> | object;
/** Answers with many messages; what it returns is called when the caller has gone. */
export type StreamHandler = (request: never, send: (message: object) => void) => () => void;

export type Handlers = Record<string, Handler>;

const many =
  (handle: StreamHandler) =>
  (call: grpc.ServerWritableStream<never, object>): void => {
    const over = handle(call.request, (message) => void call.write(message));
    call.on('cancelled', () => {
      over();
      call.end();
    });
  };

const unary =
  (handle: Handler) =>
  (call: { request: never }, done: (error: Partial<grpc.ServiceError> | null, answer?: object) => void): void => {
    Promise.resolve()
      .then(() => handle(call.request))
      .then(
        (answer) => done(null, answer),
        (error: { code?: unknown; message: string }) =>
          done({
            code: typeof error.code === 'number' ? error.code : grpc.status.UNKNOWN,
            details: error.message,
          }),
      );
  };

/** Serves methods on a socket, in place of one that was left behind. */
export async function serve(
  socket: string,
  services: readonly (readonly [
    service: grpc.ServiceClientConstructor,
    handlers: Handlers,
    streams?: Record<string, StreamHandler>,
  ])[],
): Promise<{ stop(): void }> {
  rmSync(socket, { force: true });
  const server = new grpc.Server();
  for (const [service, handlers, streams = {}] of services)
    server.addService(service.service, {
      ...Object.fromEntries(Object.entries(handlers).map(([name, handle]) => [name, unary(handle)])),
      ...Object.fromEntries(Object.entries(streams).map(([name, handle]) => [name, many(handle)])),
    } as unknown as grpc.UntypedServiceImplementation);
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${socket}`, grpc.ServerCredentials.createInsecure(), (e) => (e ? reject(e) : resolve())),
  );
  return {
    stop() {
      server.forceShutdown();
      rmSync(socket, { force: true });
    },
  };
}
