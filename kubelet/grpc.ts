/** gRPC between the kubelet, the runtime and plugins; messages are plain objects that bear the names of the protocol. */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs/light.js';
import type { Clock } from '../base/clock.ts';
import { Channel, CODE, type RpcError } from '../base/grpc.ts';

/** How messages look as plain objects: with all their fields, 64-bit numbers as doubles, enums by name. */
const PLAIN: protobuf.IConversionOptions = {
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
};
/** Bytes of a message that are taken at most. */
export const MAX_MESSAGE = 16 << 20;

interface Codec {
  encode(value: object): Buffer;
  decode(bytes: Buffer): object;
}

/** The methods of a service by their names. */
export interface GrpcService {
  readonly methods: ReadonlyMap<string, { readonly path: string; readonly request: Codec; readonly response: Codec }>;
}

/** A service ("csi.v1.Node") of descriptors in protobufjs' JSON form. */
export const defineService = (descriptors: protobuf.INamespace, name: string): GrpcService =>
  serviceOf(protobuf.Root.fromJSON(descriptors), name);

function serviceOf(root: protobuf.Root, name: string, as = name): GrpcService {
  const codec = (type: protobuf.Type): Codec => ({
    encode: (value) => type.encode(type.fromObject(value as Record<string, unknown>)).finish() as Buffer,
    decode: (bytes) => type.toObject(type.decode(bytes), PLAIN),
  });
  const methods = root.lookupService(name).methodsArray.map((method) => {
    method.resolve();
    const path = `/${as}/${method.name}`;
    const response = codec(method.resolvedResponseType!);
    return [method.name, { path, request: codec(method.resolvedRequestType!), response }] as const;
  });
  return { methods: new Map(methods) };
}

const roots = new Map<string, protobuf.Root>();

/** A service by its full name out of `api/facts/grpc-FACTS.json`; `as` is the name of another version with the same messages. */
export function loadService(facts: string, name: string, as?: string): GrpcService {
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
  /** One question, many answers, until it is cancelled or `end` says that it is over. */
  stream<R>(
    method: string,
    request: object,
    handlers: { message(answer: R): void; end(error: RpcError): void },
  ): { cancel(): void };
  close(): void;
}

/** An address as flags and plugins give it: a path, `unix://PATH` or `http://HOST:PORT`. No connection is made yet. */
export const openChannel = (address: string, clock: Clock, metadata?: Readonly<Record<string, string>>): Channel =>
  new Channel(/^(unix|https?):/.test(address) ? address : `unix://${address}`, {
    clock,
    metadata,
    maxMessage: MAX_MESSAGE,
  });

/** Calls a service at an address, or over a channel that others use too. No connection is made before the first call. */
export function connect(service: GrpcService, to: string | Channel, clock: Clock): Caller {
  const channel = typeof to === 'string' ? openChannel(to, clock) : to;
  const find = (name: string) => {
    const method = service.methods.get(name);
    if (!method) throw Object.assign(new Error(`there is no method ${name}`), { code: CODE.unimplemented });
    return method;
  };
  return {
    async call<R>(name: string, request: object, timeoutMs: number) {
      const method = find(name);
      return method.response.decode(await channel.call(method.path, method.request.encode(request), timeoutMs)) as R;
    },
    stream<R>(name: string, request: object, handlers: { message(answer: R): void; end(error: RpcError): void }) {
      const method = find(name);
      const stream = channel.stream(method.path, {
        message: (bytes) => handlers.message(method.response.decode(bytes) as R),
        end: (error) => handlers.end(error),
      });
      stream.send(method.request.encode(request));
      stream.finish();
      return stream;
    },
    close: () => channel.close(),
  };
}
