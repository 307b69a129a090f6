/** Calls over our own HTTP/2 against Node's, and against servers that are written by hand. */
import assert from 'node:assert/strict';
import http2, { type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '../../../base/clock.ts';
import { Channel, CODE, framed, MessageReader, RpcError } from '../../../base/grpc.ts';
import { encodeHeaders, HeaderDecoder } from '../../../base/http2/hpack.ts';
import { createAuthority, issue } from '../../../base/pki.ts';

const clock = systemClock;
const LONG_MS = 60_000;
const MIB = 1024 * 1024;
/** Bytes that our client sends before its first request: preface, settings, window, and its word that it has ours. */
const GREETING = 24 + 21 + 13 + 9;

const portOf = (server: Server | Http2Server): Promise<number> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));

/** Answers with what it was sent, message by message. */
function echo(stream: ServerHttp2Stream): void {
  stream.on('error', () => {});
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': '' }));
  stream.pipe(stream);
}

const fails = (code: number, unsent: boolean, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RpcError);
  assert.equal(error.code, code, error.message);
  assert.equal(error.unsent, unsent, error.message);
  assert.match(error.message, text);
  return true;
};

describe('gRPC over our own HTTP/2', function () {
  this.timeout(60_000);
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0).reverse()) close();
  });

  async function start(
    onStream: (stream: ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
    options: http2.ServerOptions = {},
  ) {
    const sessions: ServerHttp2Session[] = [];
    const server = http2.createServer(options);
    server.on('session', (s) => sessions.push(s));
    server.on('stream', onStream);
    server.on('sessionError', () => {});
    const port = await portOf(server);
    closers.push(() => {
      for (const s of sessions) s.destroy();
      server.close();
    });
    return { port, sessions };
  }

  function channelTo(port: number, metadata?: Record<string, string>): Channel {
    const channel = new Channel(`http://127.0.0.1:${port}`, { clock, metadata });
    closers.push(() => channel.close());
    return channel;
  }

  /** A server that greets, and calls `onRequest` when the first one is there. */
  async function byHand(onRequest: (socket: Socket, n: number) => void): Promise<number> {
    const sockets: Socket[] = [];
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      const n = sockets.push(socket);
      socket.write(frame(4, 0, 0, Buffer.alloc(0)));
      let seen = 0;
      socket.on('data', (chunk: Buffer) => {
        const before = seen;
        seen += chunk.length;
        if (before <= GREETING && seen > GREETING) onRequest(socket, n);
      });
    });
    closers.push(() => {
      for (const s of sockets) s.destroy();
      server.close();
    });
    return portOf(server);
  }

  it('sends what gRPC asks for, and metadata', async () => {
    let seen: http2.IncomingHttpHeaders = {};
    const { port } = await start((stream, headers) => {
      seen = headers;
      echo(stream);
    });
    const answer = await channelTo(port, { hasleader: 'true' }).call('/a.B/C', Buffer.from('hello'), 1500);
    assert.equal(answer.toString(), 'hello');
    const { ':method': method, ':path': path, ':scheme': scheme, ':authority': authority } = seen;
    assert.deepEqual([method, path, scheme, authority], ['POST', '/a.B/C', 'http', `127.0.0.1:${port}`]);
    const { te, hasleader, 'content-type': type, 'grpc-timeout': timeout } = seen;
    assert.deepEqual([te, hasleader, type, timeout], ['trailers', 'true', 'application/grpc', '1500m']);
  });

  it('moves large messages both ways through small windows, many at a time', async () => {
    const settings = { initialWindowSize: 1000, maxConcurrentStreams: 3 };
    const { port } = await start((stream) => echo(stream), { settings });
    const channel = channelTo(port);
    const sizes = [0, 1, 16_379, 16_384, 65_535, 200_000, MIB, 6 * MIB];
    const messages = sizes.map((size, i) => Buffer.alloc(size, i + 1));
    const answers = await Promise.all(messages.map((m) => channel.call('/a.B/C', m, LONG_MS)));
    for (const [i, m] of messages.entries()) assert.ok(m.equals(answers[i]!), `${m.length} bytes`);
  });

  it('speaks TLS, and trusts only who is named', async () => {
    const validity = { notBefore: clock.now() - 3600_000, notAfter: clock.now() + 3600_000 };
    const authority = createAuthority({ commonName: 'ca', ...validity });
    const other = createAuthority({ commonName: 'other', ...validity });
    const serving = issue(authority, {
      subject: { commonName: 'server' },
      altNames: { dns: ['localhost'], ip: ['127.0.0.1'] },
      extendedUsages: ['server auth'],
      ...validity,
    });
    const server = http2.createSecureServer({ cert: serving.cert, key: serving.key });
    server.on('stream', echo);
    server.on('sessionError', () => {});
    const port = await portOf(server as unknown as Server);
    closers.push(() => server.close());
    for (const host of ['127.0.0.1', 'localhost']) {
      const good = new Channel(`https://${host}:${port}`, { clock, tls: { ca: Buffer.from(authority.cert) } });
      assert.equal((await good.call('/a.B/C', Buffer.from('hello'), LONG_MS)).toString(), 'hello');
      good.close();
    }
    const bad = new Channel(`https://127.0.0.1:${port}`, { clock, tls: { ca: Buffer.from(other.cert) } });
    await assert.rejects(bad.call('/a.B/C', Buffer.from('x'), LONG_MS), fails(CODE.unavailable, true, /certificate/));
    bad.close();
  });

  it('streams in both directions until one side ends it', async () => {
    let reset: (code: number) => void = () => {};
    const cancelled = new Promise<number>((resolve) => (reset = resolve));
    const { port } = await start((stream) => {
      stream.once('close', () => reset(stream.rstCode));
      echo(stream);
    });
    const got: string[] = [];
    let more: () => void = () => {};
    const until = async (n: number) => {
      while (got.length < n) await new Promise<void>((resolve) => (more = resolve));
    };
    let ended = false;
    const stream = channelTo(port).stream('/a.B/C', {
      message: (bytes) => {
        got.push(bytes.toString());
        more();
      },
      end: () => (ended = true),
    });
    stream.send(Buffer.from('one'));
    await until(1);
    stream.send(Buffer.from('two'));
    await until(2);
    stream.cancel();
    assert.equal(await cancelled, http2.constants.NGHTTP2_CANCEL);
    assert.deepEqual([got, ended], [['one', 'two'], false]);
  });

  it('tells the end of a stream that the server ends', async () => {
    const { port } = await start((stream) => echo(stream));
    const error = await new Promise<RpcError>((resolve) => {
      const stream = channelTo(port).stream('/a.B/C', { message: () => stream.finish(), end: resolve });
      stream.send(Buffer.from('one'));
    });
    assert.equal(error.code, CODE.unavailable);
  });

  it('says when time is up, and lets the server know', async () => {
    let reset: (code: number) => void = () => {};
    const cancelled = new Promise<number>((resolve) => (reset = resolve));
    const { port } = await start((stream, headers) => {
      if (headers[':path'] === '/a.B/C') return echo(stream);
      stream.on('error', () => {});
      stream.once('close', () => reset(stream.rstCode));
    });
    const channel = channelTo(port);
    await channel.call('/a.B/C', Buffer.from('x'), LONG_MS);
    const call = channel.call('/a.B/Held', Buffer.from('x'), 50);
    await assert.rejects(call, fails(CODE.deadlineExceeded, false, /too long/));
    assert.equal(await cancelled, http2.constants.NGHTTP2_CANCEL);
  });

  it('tells errors with their text, with and without an answer before', async () => {
    const { port } = await start((stream, headers) => {
      const status = { 'grpc-status': '5', 'grpc-message': 'nothing %C3%A4 here' };
      if (headers[':path'] === '/a.B/Short') return stream.respond({ ':status': 200, ...status }, { endStream: true });
      if (headers[':path'] === '/a.B/Proxy') return stream.respond({ ':status': 503 }, { endStream: true });
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers(status));
      stream.end(framed(Buffer.from('part')));
    });
    const channel = channelTo(port);
    const ask = (path: string) => channel.call(path, Buffer.from('x'), LONG_MS);
    await assert.rejects(ask('/a.B/Short'), fails(CODE.notFound, false, /^nothing ä here$/));
    await assert.rejects(ask('/a.B/Long'), fails(CODE.notFound, false, /^nothing ä here$/));
    await assert.rejects(ask('/a.B/Proxy'), fails(CODE.unavailable, false, /503/));
  });

  it('finishes what is open when the server goes away, and connects anew for what follows', async () => {
    const held: ServerHttp2Stream[] = [];
    let arrived: () => void = () => {};
    const first = new Promise<void>((resolve) => (arrived = resolve));
    const { port, sessions } = await start((stream, headers) => {
      if (headers[':path'] !== '/a.B/Held') return echo(stream);
      held.push(stream);
      arrived();
    });
    const channel = channelTo(port);
    const slow = channel.call('/a.B/Held', Buffer.from('slow'), LONG_MS);
    await first;
    sessions[0]!.close();
    // Until it has heard of that, it uses the old connection; then a new one.
    while (sessions.length < 2) {
      const answer = await channel.call('/a.B/C', Buffer.from('x'), LONG_MS).catch((error: unknown) => {
        assert.ok(error instanceof RpcError && error.unsent, String(error));
      });
      if (answer) assert.equal(answer.toString(), 'x');
    }
    echo(held[0]!);
    assert.equal((await slow).toString(), 'slow');
  });

  it('knows what the server has not seen', async () => {
    const nobody = net.createServer();
    const free = await portOf(nobody);
    await new Promise((resolve) => nobody.close(resolve));
    const call = (port: number) => channelTo(port).call('/a.B/C', Buffer.from('x'), LONG_MS);
    await assert.rejects(call(free), fails(CODE.unavailable, true, /ECONNREFUSED/));
    const refusing = await start((stream) => {
      stream.on('error', () => {});
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    });
    await assert.rejects(call(refusing.port), fails(CODE.unavailable, true, /reset/));
    const breaking = await start((stream) => stream.session!.destroy());
    await assert.rejects(call(breaking.port), fails(CODE.unavailable, false, /lost|ECONNRESET/));
    const closed = channelTo(free);
    closed.close();
    await assert.rejects(closed.call('/a.B/C', Buffer.from('x'), LONG_MS), fails(CODE.unavailable, true, /closed/));
  });

  it('understands frames however they are cut, padded and spread', async () => {
    const block = encodeHeaders([
      [':status', '200'],
      ['x-long', 'y'.repeat(40_000)],
    ]);
    const trailers = encodeHeaders([['grpc-status', '0']]);
    const message = framed(Buffer.from('hello'));
    const frames = Buffer.concat([
      frame(0xfa, 0xff, 77, Buffer.from('who knows')),
      frame(1, 0x28, 1, Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 9]), block.subarray(0, 5), Buffer.alloc(2)])),
      frame(9, 0, 1, Buffer.alloc(0)),
      ...pieces(block.subarray(5), 16_000).map((p, i, all) => frame(9, i === all.length - 1 ? 4 : 0, 1, p)),
      frame(0, 8, 1, Buffer.concat([Buffer.from([3]), message.subarray(0, 2), Buffer.alloc(3)])),
      frame(0, 0, 1, Buffer.alloc(0)),
      frame(0, 0, 1, message.subarray(2)),
      frame(6, 0, 0, Buffer.from('12345678')),
      frame(1, 5, 1, trailers),
    ]);
    const port = await byHand((socket) => {
      socket.setNoDelay(true);
      const slowly = (at: number) => (at < 300 || at > frames.length - 300 ? 1 : 977);
      for (let at = 0; at < frames.length; at += slowly(at)) socket.write(frames.subarray(at, at + slowly(at)));
    });
    assert.equal((await channelTo(port).call('/a.B/C', Buffer.from('x'), LONG_MS)).toString(), 'hello');
  });

  it('hangs up on servers that break the rules, and tries anew with the next call', async () => {
    const bad: Buffer[] = [
      Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
      frame(5, 4, 1, Buffer.alloc(8)),
      frame(1, 4, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
      frame(1, 4, 1, Buffer.from([0xbf])),
      frame(1, 4, 1, Buffer.from([0x00, 0x81, 0x00, 0x00])),
      frame(1, 0, 1, Buffer.from([0x88])).subarray(0, 9 + 1),
      frame(9, 4, 1, Buffer.from([0x88])),
      frame(0, 8, 1, Buffer.from([200, 1])),
      frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
      frame(3, 0, 1, Buffer.alloc(1)),
      Buffer.concat([frame(1, 0, 1, Buffer.from([0x88])), frame(0, 0, 1, Buffer.from('x'))]),
    ];
    let connections = 0;
    const port = await byHand((socket, n) => {
      connections = n;
      socket.end(bad[n - 1]!);
    });
    const channel = channelTo(port);
    for (const [i] of bad.entries()) {
      await assert.rejects(channel.call('/a.B/C', Buffer.from('x'), LONG_MS), (error: unknown) => {
        assert.ok(error instanceof RpcError && !error.unsent, `${i}: ${String(error)}`);
        return true;
      });
      assert.equal(connections, i + 1);
    }
  });

  it('reads headers as other encoders write them, one block after the other', async () => {
    const got: Map<string, string>[] = [];
    const decoder = new HeaderDecoder();
    const sent = Array.from({ length: 60 }, (_, i) => ({
      'content-type': 'application/grpc',
      // More than the table holds, with characters of short and long codes.
      [`x-name-${i % 7}`]: `${String.fromCharCode(33 + i)}~{}|\\^<>"'#$%&()*+;=?@[] ${i}`.repeat(1 + (i % 5) * 3),
      'grpc-status': String(i),
    }));
    let blocks: () => void = () => {};
    const done = new Promise<void>((resolve) => (blocks = resolve));
    // Node's client is the other encoder; its frames are read by hand.
    let rest = Buffer.alloc(0);
    let preface = 24;
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.write(frame(4, 0, 0, Buffer.alloc(0)));
      socket.on('data', (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        while (rest.length >= preface + 9) {
          const end = preface + 9 + rest.readUIntBE(preface, 3);
          if (rest.length < end) return;
          const [type, flags] = [rest[preface + 3], rest[preface + 4]!];
          const payload = rest.subarray(preface + 9 + (flags & 0x20 ? 5 : 0), end);
          if (type === 1 && got.push(decoder.decode(payload)) === sent.length) blocks();
          rest = rest.subarray(end);
          preface = 0;
        }
      });
    });
    const session = http2.connect(`http://127.0.0.1:${await portOf(server)}`);
    closers.push(() => server.close());
    session.on('error', () => {});
    closers.push(() => session.destroy());
    for (const headers of sent)
      session.request({ ':path': '/p', ...headers }, { endStream: true }).on('error', () => {});
    await done;
    for (const [i, headers] of sent.entries())
      for (const [name, value] of Object.entries(headers)) assert.equal(got[i]!.get(name), value);
  });

  it('takes messages out of bytes however they are cut', () => {
    const seen: string[] = [];
    const reader = new MessageReader((m) => seen.push(m.toString()), 100);
    const bytes = Buffer.concat([framed(Buffer.from('a')), framed(Buffer.alloc(0)), framed(Buffer.from('ccc'))]);
    for (const b of bytes) assert.ok(reader.take(Buffer.of(b)));
    assert.ok(reader.take(bytes));
    assert.deepEqual(seen, ['a', '', 'ccc', 'a', '', 'ccc']);
    assert.equal(reader.take(framed(Buffer.alloc(101))), false);
  });
});

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function pieces(bytes: Buffer, size: number): Buffer[] {
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.subarray(at, at + size));
  return out;
}
