/** exec and attach: five streams over SPDY or WebSocket, whichever side and whichever version. */
import type { Duplex } from 'node:stream';
import { createSpdyConnection, type SpdyConnection, type SpdyStream } from './spdy.ts';
import { requestUpgrade, type UpgradeRequest } from './upgrade.ts';
import type { Channels } from './websocket.ts';

/** Channel numbers over WebSocket. */
export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

export interface CommandStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

const SPDY_COMMAND_PROTOCOLS = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
];

/** A command under way, seen from the side that asked for it. */
export interface RemoteCommand {
  stdin?: SpdyStream;
  stdout?: SpdyStream;
  stderr?: SpdyStream;
  resize?: SpdyStream;
  /** The Status in JSON, or an older protocol's text; empty for success. */
  readonly result: Promise<Buffer>;
  readonly connection: SpdyConnection;
}

async function readAll(stream: Duplex, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const c of stream as AsyncIterable<Buffer>) {
      size += c.length;
      if (size <= limit) chunks.push(c);
    }
  } catch (error) {
    // a server may drop the connection as soon as it has told the outcome
    if (size === 0) throw error;
  }
  return Buffer.concat(chunks);
}

/** Starts a command at a streaming URL over SPDY. */
export async function dialCommand(
  request: Omit<UpgradeRequest, 'headers'>,
  streams: CommandStreams,
): Promise<RemoteCommand> {
  const up = await requestUpgrade({
    ...request,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'SPDY/3.1',
      'X-Stream-Protocol-Version': SPDY_COMMAND_PROTOCOLS.slice(1),
    },
  });
  if (up.head.length) up.socket.unshift(up.head);
  const connection = createSpdyConnection(up.socket, { role: 'client' });
  const error = connection.open({ streamtype: 'error' });
  error.end();
  const out: RemoteCommand = { connection, result: readAll(error, 64 * 1024) };
  out.result.catch(() => {});
  if (streams.stdin) out.stdin = connection.open({ streamtype: 'stdin' });
  if (streams.stdout) {
    out.stdout = connection.open({ streamtype: 'stdout' });
    out.stdout.end();
  }
  if (streams.stderr && !streams.tty) {
    out.stderr = connection.open({ streamtype: 'stderr' });
    out.stderr.end();
  }
  if (streams.tty) out.resize = connection.open({ streamtype: 'resize' });
  for (const s of [error, out.stdin, out.stdout, out.stderr, out.resize]) s?.on('error', () => {});
  return out;
}

const BROKEN = Buffer.from(
  JSON.stringify({
    metadata: {},
    status: 'Failure',
    reason: 'InternalError',
    message: 'the connection to the container broke',
    code: 500,
  }),
);
const SUCCESS = Buffer.from(JSON.stringify({ metadata: {}, status: 'Success' }));

/** Joins a client on WebSocket channels to a command; resolves when both are done. */
export async function bridgeChannels(channels: Channels, protocol: string, command: RemoteCommand): Promise<void> {
  const structured = protocol.startsWith('v5.') || protocol.startsWith('v4.');
  channels.onClose((channel) => {
    if (channel === CHANNEL.stdin) command.stdin?.end();
  });
  channels.onMessage((channel, data) => {
    const target = channel === CHANNEL.stdin ? command.stdin : channel === CHANNEL.resize ? command.resize : undefined;
    if (!target || target.writableEnded || data.length === 0) return undefined;
    if (target.write(Buffer.from(data))) return undefined;
    return new Promise((resolve) => {
      target.once('drain', resolve);
      target.once('close', resolve);
    });
  });
  void channels.closed.then(() => command.connection.destroy());
  const copy = async (from: SpdyStream | undefined, channel: number) => {
    if (!from) return;
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) await channels.send(channel, chunk);
    } catch {
      // the other side went away: its status tells
    }
  };
  // an empty message tells older clients at once that the streams are there
  if (!channels.halfClose)
    for (const [s, n] of [
      [command.stdout, CHANNEL.stdout],
      [command.stderr, CHANNEL.stderr],
    ] as const)
      if (s) await channels.send(n, Buffer.alloc(0)).catch(() => {});
  await Promise.all([copy(command.stdout, CHANNEL.stdout), copy(command.stderr, CHANNEL.stderr)]);
  const result = await command.result.catch(() => BROKEN);
  const status = result.length > 0 ? result : structured ? SUCCESS : result;
  const shown = structured ? status : plainStatus(status);
  if (shown.length > 0) await channels.send(CHANNEL.error, shown).catch(() => {});
  channels.close();
  command.connection.close();
}

/** Before v4 the error channel carries text, and nothing on success. */
function plainStatus(status: Buffer): Buffer {
  try {
    const s = JSON.parse(status.toString('utf8')) as { status?: string; message?: string };
    return s.status === 'Success' ? Buffer.alloc(0) : Buffer.from(s.message ?? '');
  } catch {
    return status;
  }
}
