/**
 * Kubernetes' channels over WebSockets: the first byte (or digit, for base64) of a message names the channel.
 * https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/apimachinery/pkg/util/remotecommand
 */
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { lazyModule } from '../lazy.ts';

const library = lazyModule<typeof import('ws')>(import.meta.url, 'ws');

/** Remote command protocols in order of preference; the last ones have no name of their own on the wire. */
export const COMMAND_PROTOCOLS = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
] as const;
/** Port-forward: channels by port, or SPDY frames in messages. */
export const FORWARD_PROTOCOLS = [
  'SPDY/3.1+portforward.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'portforward.k8s.io',
] as const;

const MAX_MESSAGE = 4 * 1024 * 1024;
const HIGH_WATER = 1024 * 1024;

/** The protocols that a request offers. */
function offeredProtocols(req: IncomingMessage): string[] {
  return (req.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean);
}

/** The first of ours that is offered; "" when none is offered at all; undefined when none fits. */
export function chooseProtocol(req: IncomingMessage, ours: readonly string[]): string | undefined {
  const offered = offeredProtocols(req);
  if (offered.length === 0) return '';
  return ours.find((p) => offered.includes(p)) ?? undefined;
}

/** Ends the handshake on the server's side. */
export function acceptWebSocket(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
): Promise<WebSocket> {
  const server = new (library().WebSocketServer)({
    noServer: true,
    maxPayload: MAX_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: () => (protocol === '' ? false : protocol),
  });
  return new Promise((resolve) => server.handleUpgrade(req, socket, head, (ws) => resolve(ws)));
}

export interface Channels {
  /** A message of a channel; returns a promise to be waited for before more is read. Nothing is read before this. */
  onMessage(handler: (channel: number, data: Buffer) => Promise<void> | undefined | void): void;
  /** Only in v5: the other side will send no more on a channel. */
  onClose(handler: (channel: number) => void): void;
  /** Resolves when the data is on its way and more may follow. */
  send(channel: number, data: Buffer): Promise<void>;
  /** The connection is over. */
  readonly closed: Promise<void>;
  close(code?: number): void;
  readonly halfClose: boolean;
}

/** In v5 a message on this channel names a channel that is closed. */
const CLOSE_CHANNEL = 255;

/** Channels over an accepted WebSocket. `pingMs` keeps the connection alive through proxies. */
export function createChannels(ws: WebSocket, protocol: string): Channels {
  const base64 = protocol.includes('base64');
  const halfClose = protocol.startsWith('v5.');
  let onMessage: (channel: number, data: Buffer) => Promise<void> | undefined | void = () => {};
  let onClose: (channel: number) => void = () => {};
  let waiting = 0;
  // nothing is lost before somebody listens
  ws.pause();
  ws.on('message', (raw: Buffer | ArrayBuffer | Buffer[]) => {
    const data = Buffer.isBuffer(raw) ? raw : Array.isArray(raw) ? Buffer.concat(raw) : Buffer.from(raw);
    if (data.length === 0) return;
    const channel = base64 ? data[0]! - 48 : data[0]!;
    if (halfClose && channel === CLOSE_CHANNEL) {
      if (data.length > 1) onClose(data[1]!);
      return;
    }
    const body = base64 ? Buffer.from(data.toString('latin1', 1), 'base64') : data.subarray(1);
    const busy = onMessage(channel, body);
    if (busy) {
      waiting++;
      ws.pause();
      void busy
        .catch(() => {})
        .finally(() => {
          if (--waiting === 0 && ws.readyState === ws.OPEN) ws.resume();
        });
    }
  });
  const closed = new Promise<void>((resolve) => {
    ws.on('close', () => resolve());
    ws.on('error', () => resolve());
  });
  return {
    onMessage(h) {
      onMessage = h;
      ws.resume();
    },
    onClose: (h) => (onClose = h),
    send(channel, data) {
      if (ws.readyState !== ws.OPEN) return Promise.reject(new Error('the WebSocket is closed'));
      return new Promise((resolve, reject) => {
        const done = (e?: Error) => (e ? reject(e) : resolve());
        const full = ws.bufferedAmount > HIGH_WATER;
        if (base64)
          ws.send(
            String.fromCharCode(48 + channel) + data.toString('base64'),
            { binary: false },
            full ? done : undefined,
          );
        else ws.send(Buffer.concat([Buffer.from([channel]), data]), { binary: true }, full ? done : undefined);
        if (!full) resolve();
      });
    },
    closed,
    close: (code = 1000) => ws.close(code),
    halfClose,
  };
}

/** A WebSocket's binary messages as one byte stream: the tunnel for SPDY. */
export function webSocketStream(ws: WebSocket): Duplex {
  const stream = new Duplex({
    read() {
      if (ws.readyState === ws.OPEN) ws.resume();
    },
    write(chunk: Buffer, _encoding, done) {
      if (ws.readyState !== ws.OPEN) return done(new Error('the WebSocket is closed'));
      ws.send(chunk, { binary: true }, (e) => done(e ?? null));
    },
    final(done) {
      ws.close(1000);
      done();
    },
    destroy(error, done) {
      ws.close();
      done(error);
    },
  });
  ws.on('message', (raw: Buffer) => {
    if (!stream.push(raw)) ws.pause();
  });
  ws.on('close', () => stream.push(null));
  ws.on('error', () => stream.destroy());
  return stream;
}
