/** gRPC between the kubelet, the runtime and plugins; messages are plain objects that bear the names of the protocol. */
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { Channel, CODE, type RpcError } from '../base/grpc.ts';
import { createMessages, find, type Descriptors, type Message } from './messages.ts';

/** Bytes of a message that are taken at most. */
export const MAX_MESSAGE = 16 << 20;

/** The methods of a service by their names. */
export interface GrpcService {
  readonly methods: ReadonlyMap<
    string,
    { readonly path: string; readonly request: Message; readonly response: Message }
  >;
}

const messages = createMessages();

/** A service ("csi.v1.Node") of descriptors; `as` is the name of another version with the same messages. */
export function defineService(descriptors: Descriptors, name: string, as = name): GrpcService {
  const service = find({ own: descriptors, outer: undefined }, name);
  const methods = Object.entries(service.own.methods ?? {}).map(
    ([method, { requestType, responseType }]) =>
      [
        method,
        {
          path: `/${as}/${method}`,
          request: messages(find(service, requestType)),
          response: messages(find(service, responseType)),
        },
      ] as const,
  );
  return { methods: new Map(methods) };
}

const roots = new Map<string, Descriptors>();

/** A service by its full name out of `api/facts/grpc-FACTS.json`; `as` is as above. */
export function loadService(facts: string, name: string, as?: string): GrpcService {
  let root = roots.get(facts);
  if (!root) {
    const file = new URL(`../api/facts/grpc-${facts}.json`, import.meta.url);
    root = JSON.parse(readFileSync(file, 'utf8')) as Descriptors;
    roots.set(facts, root);
  }
  return defineService(root, name, as);
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
