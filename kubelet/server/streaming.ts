/** exec, attach, port-forward and run: from the client's protocol to the runtime's streaming server. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from '../../base/log.ts';
import { bridgeChannels, dialCommand } from '../../base/streams/remote-command.ts';
import { createSpdyConnection, type SpdyStream } from '../../base/streams/spdy.ts';
import { join, requestUpgrade, responseHead, upgradeKind, UpgradeRefused } from '../../base/streams/upgrade.ts';
import {
  acceptWebSocket,
  chooseProtocol,
  COMMAND_PROTOCOLS,
  createChannels,
  FORWARD_PROTOCOLS,
  webSocketStream,
  type Channels,
} from '../../base/streams/websocket.ts';
import { errorText } from '../cri/client.ts';
import type { Runtime } from '../cri/types.ts';
import type { PodManager } from '../pods/manager.ts';
import type { PodWorker } from '../pods/worker.ts';
import { HttpError, sendText } from './http.ts';

export interface Streaming {
  /** `rest` is the path behind /exec/: NAMESPACE/POD[/UID]/CONTAINER. */
  command(
    kind: 'exec' | 'attach',
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    rest: string[],
    query: URLSearchParams,
  ): Promise<void>;
  portForward(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    rest: string[],
    query: URLSearchParams,
  ): Promise<void>;
  run(res: ServerResponse, rest: string[], query: URLSearchParams): Promise<void>;
}

const flag = (q: URLSearchParams, ...names: string[]): boolean =>
  names.some((n) => q.get(n) === 'true' || q.get(n) === '1');

export function createStreaming(options: { runtime: Runtime; manager: PodManager; logger: Logger }): Streaming {
  const { runtime, manager, logger } = options;

  function findPod(rest: string[], parts: 2 | 3): { worker: PodWorker; container: string } {
    const [namespace, name] = rest;
    const worker = manager.byName(namespace ?? '', name ?? '');
    if (!worker || (rest.length > parts && worker.uid !== rest[2])) throw new HttpError(404, 'pod does not exist');
    return { worker, container: rest.at(-1)! };
  }
  function running(rest: string[]): { id: string } {
    const { worker, container } = findPod(rest, 3);
    const c = worker.state.containers.find((x) => x.name === container);
    if (!c) throw new HttpError(404, `container not found (${JSON.stringify(container)})`);
    if (c.state !== 'CONTAINER_RUNNING') throw new HttpError(500, `container ${container} is not running`);
    return { id: c.id };
  }

  /** Hands the client's own upgrade to the runtime's streaming server and joins the two. */
  async function passThrough(req: IncomingMessage, socket: Duplex, head: Buffer, url: string): Promise<void> {
    const headers: Record<string, string | string[]> = { Connection: 'Upgrade', Upgrade: 'SPDY/3.1' };
    for (const [k, v] of Object.entries(req.headers))
      if (/^x-stream-protocol-version$/i.test(k) && v !== undefined)
        headers['X-Stream-Protocol-Version'] = typeof v === 'string' ? v.split(',').map((s) => s.trim()) : v;
    let up;
    try {
      up = await requestUpgrade({ url, headers });
    } catch (error) {
      if (error instanceof UpgradeRefused) throw new HttpError(error.statusCode, error.message);
      throw error;
    }
    const answer: Record<string, string | string[] | undefined> = { Connection: 'Upgrade', Upgrade: 'SPDY/3.1' };
    if (up.headers['x-stream-protocol-version'])
      answer['X-Stream-Protocol-Version'] = up.headers['x-stream-protocol-version'];
    socket.write(responseHead(101, answer));
    if (up.head.length) socket.write(up.head);
    if (head.length) up.socket.write(head);
    await join(socket, up.socket);
  }

  async function streamUrl<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw new HttpError(500, errorText(error));
    }
  }

  /** Port-forward over channels: two for each port, data and error, each beginning with the port's number. */
  async function forwardChannels(channels: Channels, sandboxId: string, ports: number[]): Promise<void> {
    const url = await runtime.portForward(sandboxId, ports);
    const up = await requestUpgrade({
      url,
      headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': 'portforward.k8s.io' },
    });
    if (up.head.length) up.socket.unshift(up.head);
    const connection = createSpdyConnection(up.socket, { role: 'client' });
    const targets: SpdyStream[] = [];
    const copies = ports.map(async (port, i) => {
      const number = Buffer.alloc(2);
      number.writeUInt16LE(port);
      await channels.send(2 * i, number);
      await channels.send(2 * i + 1, number);
      const headers = { port: String(port), requestid: String(i) };
      const error = connection.open({ ...headers, streamtype: 'error' });
      error.end();
      const data = connection.open({ ...headers, streamtype: 'data' });
      targets[i] = data;
      const copy = async (s: SpdyStream, channel: number) => {
        try {
          for await (const chunk of s as AsyncIterable<Buffer>) await channels.send(channel, chunk);
        } catch {
          // the connection ended
        }
      };
      await Promise.all([copy(data, 2 * i), copy(error, 2 * i + 1)]);
    });
    channels.onMessage((channel, data) => {
      const target = targets[channel >> 1];
      if (channel & 1 || !target || target.writableEnded || target.write(Buffer.from(data))) return undefined;
      return new Promise((resolve) => {
        target.once('drain', resolve);
        target.once('close', resolve);
      });
    });
    void channels.closed.then(() => connection.destroy());
    await Promise.all(copies);
    channels.close();
    connection.close();
  }

  return {
    async command(kind, req, socket, head, rest, query) {
      const { id } = running(rest);
      const tty = flag(query, 'tty');
      const streams = {
        tty,
        stdin: flag(query, 'stdin', 'input'),
        stdout: flag(query, 'stdout', 'output'),
        stderr: flag(query, 'stderr', 'error'),
      };
      if (!streams.stdin && !streams.stdout && !streams.stderr)
        throw new HttpError(400, 'you must specify at least 1 of stdin, stdout, stderr');
      if (tty) streams.stderr = false;
      const how = upgradeKind(req);
      if (!how) throw new HttpError(400, 'unable to upgrade: missing upgrade headers in request');
      const url = await streamUrl(() =>
        kind === 'exec'
          ? runtime.exec({ container_id: id, cmd: query.getAll('command'), ...streams })
          : runtime.attach({ container_id: id, ...streams }),
      );
      if (how === 'spdy') return passThrough(req, socket, head, url);
      const protocol = chooseProtocol(req, COMMAND_PROTOCOLS);
      if (protocol === undefined) throw new HttpError(403, 'unable to negotiate a WebSocket protocol');
      let command;
      try {
        command = await dialCommand({ url }, streams);
      } catch (error) {
        throw error instanceof UpgradeRefused ? new HttpError(error.statusCode, error.message) : error;
      }
      const ws = await acceptWebSocket(req, socket, head, protocol);
      await bridgeChannels(createChannels(ws, protocol), protocol, command);
    },

    async portForward(req, socket, head, rest, query) {
      const { worker } = findPod(rest, 2);
      const sandbox = worker.state.sandboxes.find((s) => s.state === 'SANDBOX_READY');
      if (!sandbox) throw new HttpError(500, 'the pod has no running sandbox');
      const how = upgradeKind(req);
      if (how === 'spdy')
        return passThrough(req, socket, head, await streamUrl(() => runtime.portForward(sandbox.id, [])));
      if (how !== 'websocket') throw new HttpError(400, 'unable to upgrade: missing upgrade headers in request');
      const protocol = chooseProtocol(req, FORWARD_PROTOCOLS);
      if (protocol === undefined) throw new HttpError(403, 'unable to negotiate a WebSocket protocol');
      if (protocol.startsWith('SPDY/3.1+')) {
        const url = await streamUrl(() => runtime.portForward(sandbox.id, []));
        const up = await requestUpgrade({
          url,
          headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', 'X-Stream-Protocol-Version': 'portforward.k8s.io' },
        });
        const ws = await acceptWebSocket(req, socket, head, protocol);
        const tunnel = webSocketStream(ws);
        if (up.head.length) tunnel.write(up.head);
        return join(tunnel, up.socket);
      }
      const ports = query
        .getAll('port')
        .concat(query.getAll('ports'))
        .flatMap((p) => p.split(','))
        .map(Number);
      if (ports.length === 0 || ports.some((p) => !Number.isInteger(p) || p < 1 || p > 65535))
        throw new HttpError(400, 'query parameter "port" is required');
      const ws = await acceptWebSocket(req, socket, head, protocol);
      await forwardChannels(createChannels(ws, protocol), sandbox.id, ports);
    },

    async run(res, rest, query) {
      const { id } = running(rest);
      try {
        const r = await runtime.execSync(id, (query.get('cmd') ?? '').split(' '), 0);
        sendText(res, r.exit_code === 0 ? 200 : 500, Buffer.concat([r.stdout, r.stderr]).toString('utf8'));
      } catch (error) {
        logger.debug('run failed', { error });
        throw new HttpError(500, errorText(error));
      }
    },
  };
}
