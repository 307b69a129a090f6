import assert from 'node:assert/strict';
import http, { type IncomingMessage } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { Duplex, duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { createInflate } from 'node:zlib';
import { WebSocket } from 'ws';
import { bridgeChannels, CHANNEL, dialCommand } from '../../../base/streams/remote-command.ts';
import {
  controlFrame,
  createHeaderWriter,
  dataHeader,
  decodeHeaders,
  encodeHeaders,
  FRAME,
  readHead,
  spdyDictionary,
} from '../../../base/streams/spdy-frames.ts';
import { createSpdyConnection, type SpdyStream } from '../../../base/streams/spdy.ts';
import { join, refuseUpgrade, requestUpgrade, responseHead, UpgradeRefused } from '../../../base/streams/upgrade.ts';
import { acceptWebSocket, chooseProtocol, COMMAND_PROTOCOLS, createChannels } from '../../../base/streams/websocket.ts';

describe('SPDY frames', () => {
  it('packs headers so that zlib with the dictionary reads each block at once', async () => {
    const pack = createHeaderWriter();
    const inflate = createInflate({ dictionary: spdyDictionary() });
    const out: Buffer[] = [];
    inflate.on('data', (d: Buffer) => out.push(d));
    const blocks: Record<string, string>[] = [
      { streamtype: 'error' },
      { streamtype: 'stdin', port: '80' },
      { x: 'y'.repeat(70_000) },
    ];
    for (const headers of blocks) {
      out.length = 0;
      await new Promise<void>((resolve) => inflate.write(pack(encodeHeaders(headers)), () => resolve()));
      assert.deepEqual(decodeHeaders(Buffer.concat(out)), headers);
    }
    inflate.close();
  });

  it('refuses blocks that are cut short and other versions', () => {
    assert.throws(() => decodeHeaders(encodeHeaders({ a: 'bc' }).subarray(0, 12)), /cut short/);
    assert.throws(() => decodeHeaders(Buffer.from([255, 255, 255, 255])), /too many/);
    const v2 = controlFrame(FRAME.PING, 0, Buffer.alloc(4));
    v2.writeUInt16BE(0x8002, 0);
    assert.throws(() => readHead(v2), /unsupported SPDY version 2/);
    assert.deepEqual(readHead(dataHeader(5, true, 70_000)), {
      control: false,
      type: 0,
      stream: 5,
      flags: 1,
      length: 70_000,
    });
  });
});

describe('SPDY connections', () => {
  it('lets what came right before a reset be read', async () => {
    const [a, b] = duplexPair();
    const client = createSpdyConnection(a, { role: 'client' });
    const stream = client.open({ streamtype: 'error' });
    stream.on('error', () => {});
    const read = text(stream);
    const reset = Buffer.alloc(8);
    reset.writeUInt32BE(1, 0);
    reset.writeUInt32BE(5, 4);
    // in one chunk, as a server does that is done
    b.write(Buffer.concat([dataHeader(1, false, 6), Buffer.from('status'), controlFrame(FRAME.RST_STREAM, 0, reset)]));
    assert.equal(await read, 'status');
    client.destroy();
  });

  function pair(onStream: (s: SpdyStream) => void, maxStreams?: number) {
    const [a, b] = duplexPair();
    const server = createSpdyConnection(b, { role: 'server', onStream, maxStreams });
    const client = createSpdyConnection(a, { role: 'client' });
    return { client, server, a, b };
  }

  it('carries streams both ways with half-close', async () => {
    const { client, server } = pair((s) => {
      s.reply({ hello: s.headers['name']! });
      void text(s).then((got) => s.end(`echo ${got}`));
    });
    const one = client.open({ name: 'one' });
    const two = client.open({ name: 'two' });
    assert.deepEqual(await one.replied, { hello: 'one' });
    two.end('second');
    one.write('fir');
    one.end('st');
    assert.deepEqual(await Promise.all([text(one), text(two)]), ['echo first', 'echo second']);
    client.close();
    await Promise.all([client.closed, server.closed]);
  });

  it('moves large data unharmed while the reader is slow', async () => {
    const data = Buffer.alloc(3 << 20, 'abcdefg');
    const { client } = pair((s) => {
      s.reply();
      s.end(data);
      s.resume();
    });
    const s = client.open({});
    s.end();
    assert.ok((await buffer(s)).equals(data));
    client.destroy();
  });

  it('ends streams when the connection breaks and refuses too many', async () => {
    const { client, b } = pair((s) => s.reply(), 1);
    const one = client.open({});
    await one.replied;
    const two = client.open({});
    two.on('error', () => {});
    await assert.rejects(two.replied, /reset/);
    const ended = assert.rejects(text(one), /closed/);
    b.destroy();
    await ended;
    await client.closed;
  });

  it('closes the connection on garbage', async () => {
    for (const garbage of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(64, 0xff),
      controlFrame(FRAME.SYN_STREAM, 0, Buffer.alloc(64, 7)),
    ]) {
      const [a, b] = duplexPair();
      const server = createSpdyConnection(b, { role: 'server' });
      a.on('error', () => {});
      a.write(garbage);
      a.end();
      a.resume();
      await server.closed;
    }
  });
});

/** A server that runs "commands" over SPDY as a container runtime does. */
function commandServer(run: (streams: Map<string, SpdyStream>) => void): http.Server {
  const server = http.createServer((_req, res) => res.writeHead(404).end('not here'));
  server.on('upgrade', (req: IncomingMessage, socket: Duplex) => {
    if (req.url === '/refused') return refuseUpgrade(socket, 403, 'no');
    socket.write(
      responseHead(101, {
        Connection: 'Upgrade',
        Upgrade: 'SPDY/3.1',
        'X-Stream-Protocol-Version': 'v4.channel.k8s.io',
      }),
    );
    const streams = new Map<string, SpdyStream>();
    createSpdyConnection(socket, {
      role: 'server',
      onStream(s) {
        s.reply();
        streams.set(s.headers['streamtype']!, s);
        if (streams.size === 4) run(streams);
      },
    });
  });
  return server;
}
const listen = async (server: http.Server) => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
};

describe('remote commands', () => {
  const STATUS = JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', message: 'exit 7' });
  let runtime: http.Server;
  let front: http.Server;
  let address: string;
  let done: Promise<void>[] = [];
  before(async () => {
    runtime = commandServer((s) => {
      void text(s.get('stdin')!).then((input) => {
        s.get('stdout')!.end(`got ${input}`);
        s.get('stderr')!.end('warning');
        s.get('error')!.end(STATUS);
      });
    });
    const target = await listen(runtime);
    front = http.createServer();
    front.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
      const protocol = chooseProtocol(req, COMMAND_PROTOCOLS)!;
      done.push(
        (async () => {
          const command = await dialCommand(
            { url: `http://${target}/exec` },
            { stdin: true, stdout: true, stderr: true, tty: false },
          );
          const ws = await acceptWebSocket(req, socket, head, protocol);
          await bridgeChannels(createChannels(ws, protocol), protocol, command);
        })(),
      );
    });
    address = await listen(front);
  });
  afterEach(async () => {
    await Promise.all(done);
    done = [];
  });
  after(() => {
    for (const s of [runtime, front]) {
      s.closeAllConnections();
      s.close();
    }
  });

  async function run(
    protocols: string[],
    input: (ws: WebSocket) => void,
  ): Promise<{ protocol: string; channels: Record<number, string> }> {
    const ws = new WebSocket(`ws://${address}/`, protocols);
    const channels: Record<number, string> = {};
    ws.on('message', (raw: Buffer, binary: boolean) => {
      const [channel, body] = binary
        ? [raw[0]!, raw.toString('utf8', 1)]
        : [raw[0]! - 48, Buffer.from(raw.toString('latin1', 1), 'base64').toString()];
      channels[channel] = (channels[channel] ?? '') + body;
    });
    ws.on('open', () => input(ws));
    await new Promise((resolve) => ws.on('close', resolve));
    return { protocol: ws.protocol, channels };
  }

  it('bridges v5 with the end of stdin to SPDY', async () => {
    const { protocol, channels } = await run(['v5.channel.k8s.io', 'v4.channel.k8s.io'], (ws) => {
      ws.send(Buffer.from('\0some '));
      ws.send(Buffer.from('\0text'));
      ws.send(Buffer.from([255, 0]));
    });
    assert.equal(protocol, 'v5.channel.k8s.io');
    assert.deepEqual(channels, {
      [CHANNEL.stdout]: 'got some text',
      [CHANNEL.stderr]: 'warning',
      [CHANNEL.error]: STATUS,
    });
  });

  it('ends the command when a client without half-close goes away', async () => {
    const ws = new WebSocket(`ws://${address}/`, ['base64.channel.k8s.io']);
    await new Promise((resolve) => ws.on('open', resolve));
    ws.send('0' + Buffer.from('x').toString('base64'));
    ws.close();
    await Promise.all(done);
  });

  it('passes on a refusal with its words', async () => {
    const target = `127.0.0.1:${(runtime.address() as AddressInfo).port}`;
    const ask = (path: string) =>
      dialCommand({ url: `http://${target}${path}` }, { stdin: false, stdout: true, stderr: false, tty: false });
    await assert.rejects(
      ask('/refused'),
      (e: unknown) => e instanceof UpgradeRefused && e.statusCode === 403 && e.message === 'no',
    );
  });

  it('keeps what a client says before anybody listens', async () => {
    const server = http.createServer();
    const heard: string[] = [];
    const finished = new Promise<void>((resolve) => {
      server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
        void acceptWebSocket(req, socket, head, 'v4.channel.k8s.io').then(async (ws) => {
          const channels = createChannels(ws, 'v4.channel.k8s.io');
          // as when a runtime is asked first
          await new Promise((r) => setImmediate(() => setImmediate(r)));
          channels.onMessage((n, data) => {
            heard.push(`${n}:${data.toString()}`);
            if (heard.length === 2) channels.close();
          });
          await channels.closed;
          resolve();
        });
      });
    });
    const ws = new WebSocket(`ws://${await listen(server)}/`, ['v4.channel.k8s.io']);
    ws.on('open', () => {
      ws.send(Buffer.from('\0one'));
      ws.send(Buffer.from('\0two'));
    });
    await finished;
    server.close();
    assert.deepEqual(heard, ['0:one', '0:two']);
  });

  it('chooses the first protocol that both sides know', () => {
    const req = (offered?: string) =>
      ({ headers: offered === undefined ? {} : { 'sec-websocket-protocol': offered } }) as IncomingMessage;
    assert.equal(chooseProtocol(req('v4.channel.k8s.io, v5.channel.k8s.io'), COMMAND_PROTOCOLS), 'v5.channel.k8s.io');
    assert.equal(chooseProtocol(req(), COMMAND_PROTOCOLS), '');
    assert.equal(chooseProtocol(req('chat'), COMMAND_PROTOCOLS), undefined);
  });
});

describe('joined upgrades', () => {
  it('tunnels bytes both ways and ends together', async () => {
    const echo = net.createServer((s) => s.pipe(s));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const server = http.createServer();
    server.on('upgrade', (_req: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.write(responseHead(101, { Connection: 'Upgrade', Upgrade: 'test' }));
      const to = net.connect((echo.address() as AddressInfo).port, '127.0.0.1');
      if (head.length) to.write(head);
      void join(socket, to);
    });
    const address = await listen(server);
    try {
      const up = await requestUpgrade({
        url: `http://${address}/`,
        headers: { Connection: 'Upgrade', Upgrade: 'test' },
      });
      up.socket.end('through and back');
      assert.equal(await text(up.socket), 'through and back');
    } finally {
      server.closeAllConnections();
      server.close();
      echo.close();
    }
  });
});
