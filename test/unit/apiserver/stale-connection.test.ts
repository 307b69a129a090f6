import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { fetchFrom, readText } from '../../../apiserver/proxying/backend.ts';

describe('connections to nodes', () => {
  it('are made anew when a kept one turns out to be closed', async () => {
    const used = new WeakSet<Socket>();
    const server = http.createServer((req, res) => {
      if (used.has(req.socket)) return void req.socket.resetAndDestroy();
      used.add(req.socket);
      res.end('here');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { port } = server.address() as AddressInfo;
    const backend = { scheme: 'http', host: '127.0.0.1', port, path: '/', agent } as const;
    try {
      for (let i = 0; i < 4; i++) assert.equal(await readText(await fetchFrom(backend, 'GET', {})), 'here');
    } finally {
      agent.destroy();
      server.closeAllConnections();
      server.close();
    }
  });
});
