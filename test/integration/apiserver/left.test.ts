import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import type { ApiRequest, Reply } from '../../../apiserver/http/request.ts';
import { listen, type ListeningServer } from '../../../apiserver/http/server.ts';
import { Outbox, responseSink } from '../../../apiserver/http/watch.ts';
import { systemClock } from '../../../base/clock.ts';
import { servingIdentity } from '../insight/harness.ts';

describe('what is done for clients that have left', () => {
  let server: ListeningServer;
  /** Resolves with what a handler found that began when its client had gone. */
  let found: PromiseWithResolvers<string[]>;
  const { ca, serving } = servingIdentity('localhost');

  let arrived: PromiseWithResolvers<void>;

  async function handle(request: ApiRequest, reply: Reply): Promise<void> {
    arrived.resolve();
    await once(reply.native, 'close');
    const told: string[] = [];
    reply.onClose(() => told.push('reply'));
    responseSink(reply.stream(200, 'application/json'), new Outbox(systemClock)).onClose(() => told.push('sink'));
    if (request.signal.aborted) told.push('request');
    found.resolve(told);
  }
  before(async () => {
    const upgrade = () => Promise.resolve();
    server = await listen({ clock: systemClock, tls: serving, handle, upgrade }, '127.0.0.1', 0);
  });
  after(() => server.close());
  beforeEach(() => {
    found = Promise.withResolvers();
    arrived = Promise.withResolvers();
  });

  it('ends when it has begun late, over HTTP/1.1', async () => {
    const req = https.request({
      host: '127.0.0.1',
      port: server.port,
      path: '/api',
      ca: ca.cert,
      servername: 'localhost',
    });
    req.on('error', () => {});
    req.flushHeaders();
    await arrived.promise;
    req.destroy();
    assert.deepEqual((await found.promise).sort(), ['reply', 'request', 'sink']);
  });

  it('ends when it has begun late, over HTTP/2', async () => {
    const session = http2.connect(`https://localhost:${server.port}`, { ca: ca.cert });
    const stream = session.request({ ':path': '/api', ':method': 'POST' });
    stream.on('error', () => {});
    stream.write('{');
    await arrived.promise;
    stream.close(http2.constants.NGHTTP2_CANCEL);
    assert.deepEqual((await found.promise).sort(), ['reply', 'request', 'sink']);
    session.close();
  });
});
