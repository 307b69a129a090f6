/** Upgraded connections: handed to whoever registered for the subresource; watches over WebSocket. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { StatusError, badRequest, internalError } from '../../api/status.ts';
import { lazyModule } from '../../base/lazy.ts';
import { withoutTokenProtocol } from '../authentication/headers.ts';
import { admitConnect } from './connect.ts';
import { optionsOf } from './list.ts';
import { negotiate } from './negotiate.ts';
import type { ApiRequest } from './request.ts';
import type { ResourceHandlerDeps } from './resource-handler.ts';
import { includeOf } from './respond.ts';
import { resolveTarget, type Target } from './target.ts';
import { serveWatch, type FrameSink } from './watch.ts';

const ws = lazyModule<typeof import('ws')>(import.meta.url, 'ws');

/** Gives the socket of an authorized upgrade to its handler; throws a StatusError before anything was written. */
export async function serveUpgrade(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const target = resolveTarget(deps.catalog, request);
  const { served } = target;
  const handler = deps.special.get(served.group, served.resource, request.info.subresource);
  if (handler?.type === 'raw' && handler.upgrade) {
    await admitConnect(deps, request, target);
    return handler.upgrade(request, socket, head);
  }
  if (request.info.verb === 'watch' && served.store && isWebSocket(request)) {
    return watchOverWebSocket(deps, request, target, socket, head);
  }
  throw badRequest('this resource can not be upgraded');
}

function isWebSocket(request: ApiRequest): boolean {
  return request.header('upgrade')?.toLowerCase() === 'websocket';
}

const BASE64 = 'base64.binary.k8s.io';
const KNOWN = ['', 'binary.k8s.io', BASE64];

/** Each event is one message; a text message unless the client chose a binary protocol. */
async function watchOverWebSocket(
  deps: ResourceHandlerDeps,
  request: ApiRequest,
  target: Target,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const view = negotiate(request, { transforms: true, protobuf: true, watch: true });
  const options = optionsOf(request, target.served);
  const { info } = request;
  const watched = {
    served: target.served,
    namespace: target.served.namespaced ? info.namespace : '',
    name: info.parts[1] ?? '',
    options,
    view,
    include: view.as === 'Table' ? includeOf(request) : ('Metadata' as const),
  };
  const open = webSocketSinkFor(request, socket, head, view.media === 'json');
  await serveWatch(deps.watch, watched, open);
}

/**
 * A sink for one-way streams (watches, logs) over a WebSocket: a write is a message. The protocol is chosen at once
 * (400 when the client names none that is known); the handshake is answered when the sink is opened.
 */
export function webSocketSinkFor(
  request: ApiRequest,
  socket: Duplex,
  head: Buffer,
  textual: boolean,
): () => Promise<FrameSink> {
  const offered = withoutTokenProtocol(request.header('sec-websocket-protocol') ?? '');
  const protocol = offered.find((p) => KNOWN.includes(p));
  if (offered.length > 0 && protocol === undefined) throw badRequest('none of the WebSocket subprotocols is known');
  const server = new (ws().WebSocketServer)({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: 64 * 1024,
    handleProtocols: () => protocol ?? false,
  });
  const text = textual && protocol !== 'binary.k8s.io';
  return () =>
    new Promise((resolve) => {
      server.handleUpgrade(request.native as IncomingMessage, socket, head, (opened) =>
        resolve(webSocketSink(opened, text, protocol === BASE64)),
      );
    });
}

function webSocketSink(ws: WebSocket, text: boolean, base64: boolean): FrameSink {
  ws.on('error', () => ws.terminate());
  return {
    get pending() {
      return ws.bufferedAmount;
    },
    write(frame) {
      if (base64) ws.send(frame.toString('base64'));
      else ws.send(frame, { binary: !text });
    },
    end: () => ws.close(1000),
    destroy: () => ws.terminate(),
    onClose: (fn) => void ws.once('close', fn),
  };
}

/** Answers a refused upgrade with a Status and ends the connection. */
export function refuseUpgrade(socket: Duplex, error: StatusError | undefined): void {
  const e = error ?? internalError('the request could not be completed');
  const body = JSON.stringify(e.status) + '\n';
  const lines = [
    `HTTP/1.1 ${e.code} ${e.reason || 'Error'}`,
    'Content-Type: application/json',
    'Cache-Control: no-cache, private',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    '',
  ];
  socket.end(lines.join('\r\n') + body);
}
