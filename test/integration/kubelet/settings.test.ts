/** Fields of the KubeletConfiguration that change what a node does. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemIds } from '../../../base/clock.ts';
import { nodes } from '../../../client/resources.ts';
import { createHollowRuntime } from '../../../kubelet/cri/hollow.ts';
import { eventually } from '../../support/wait.ts';
import { isReady, startTestNode, type TestNode } from './harness.ts';

const MARK = 'volumes.kubernetes.io/controller-managed-attach-detach';

describe("the kubelet's configuration", () => {
  let node: TestNode;
  let dir: string;
  let admin: { cert: string; key: string };
  /** Takes every upgrade and says nothing more. */
  const streamer = http.createServer();
  const streams = new Set<Socket>();

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'kubelet-settings-'));
    const ca = join(dir, 'ca.crt');
    streamer.on('upgrade', (_req, socket: Socket) => {
      streams.add(socket);
      socket.on('close', () => streams.delete(socket)).on('error', () => {});
      socket.on('end', () => socket.end());
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.resume();
    });
    await new Promise<void>((resolve) => streamer.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(streamer.address() as AddressInfo).port}/`;
    node = await startTestNode({
      fields: {
        port: 0,
        healthzPort: 0,
        address: '127.0.0.1',
        authentication: { x509: { clientCAFile: ca } },
        streamingConnectionIdleTimeout: '500ms',
        enableControllerAttachDetach: false,
      },
      kubelet: {
        hollowServer: true,
        runtime: { ...createHollowRuntime({ clock: systemClock, ids: systemIds }), exec: async () => url },
      },
      prepare(server) {
        writeFileSync(ca, server.ca);
        admin = server.identity('admin', 'system:masters');
      },
    });
    await node.kubelet.registered();
  });
  after(async () => {
    await node.stop();
    streamer.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('ends a stream in which nothing comes or goes (streamingConnectionIdleTimeout)', async () => {
    await node.create('web');
    await node.until('web', isReady);
    const open = () =>
      new Promise<Socket>((resolve, reject) => {
        https
          .request({
            method: 'POST',
            host: '127.0.0.1',
            port: node.kubelet.port,
            path: '/exec/default/web/c?command=cat&stdout=1',
            headers: { Connection: 'Upgrade', Upgrade: 'SPDY/3.1' },
            rejectUnauthorized: false,
            agent: false,
            ...admin,
          })
          .on('upgrade', (_res, s) => resolve(s as Socket))
          .on('response', (res) => reject(new Error(`answered with ${res.statusCode}`)))
          .on('error', reject)
          .end();
      });
    // a machine that takes longer than the bound for the answer has ended it already
    const socket = await eventually(open);
    await new Promise((resolve) => {
      socket.on('error', () => {}).on('close', resolve);
      socket.resume();
    });
    await eventually(() => assert.equal(streams.size, 0, 'the runtime is told as well'));
  });

  it('says on the node who attaches its volumes (enableControllerAttachDetach)', async () => {
    const mark = async () => (await node.client.get(nodes, 'n1')).metadata?.annotations?.[MARK];
    assert.equal(await mark(), undefined);
    for (const [on, said] of [
      [true, 'true'],
      [false, undefined],
    ] as const) {
      await node.kubelet.stop();
      await node.startKubelet({ fields: { enableControllerAttachDetach: on, enableServer: false } });
      await node.kubelet.registered();
      assert.equal(await mark(), said);
    }
  });
});
