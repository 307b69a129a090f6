import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { ApiRequest } from '../../../apiserver/http/request.ts';

describe('the body of a request', () => {
  for (const [what, body] of [
    ['whole', '{"a":1}'],
    ['in part', '{"a"'],
  ])
    it(`is refused when the client that sent it ${what} has gone before it is asked for`, async () => {
      const server = http.createServer();
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      try {
        const asked = once(server, 'request') as Promise<[http.IncomingMessage]>;
        const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
        socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n${body}`);
        const [native] = await asked;
        native.on('error', () => {});
        const left = new Promise<void>((resolve) => native.once('close', resolve));
        socket.destroy();
        await left;
        await assert.rejects(new ApiRequest(native, 0).body(), { code: 400 });
      } finally {
        server.close();
      }
    });
});
