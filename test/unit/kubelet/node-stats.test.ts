import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemContainers, interfacesOf, listenerOf } from '../../../kubelet/server/node-stats.ts';

describe("the node's part of the statistics", () => {
  it('counts what interfaces carried, the first for all', () => {
    const table =
      'Inter-|   Receive   |  Transmit\n face |bytes\n' +
      '    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n' +
      '  ens3: 70 7 1 0 0 0 0 0 90 9 2 0 0 0 0 0\n  eth0:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n';
    assert.deepEqual(interfacesOf(table, 't'), {
      time: 't',
      name: 'eth0',
      rxBytes: 7,
      rxErrors: 0,
      txBytes: 8,
      txErrors: 0,
      interfaces: [
        { name: 'ens3', rxBytes: 70, rxErrors: 1, txBytes: 90, txErrors: 2 },
        { name: 'eth0', rxBytes: 7, rxErrors: 0, txBytes: 8, txErrors: 0 },
      ],
    });
    assert.equal(interfacesOf('a\nb\n', 't'), undefined);
  });

  it('finds the runtime by its socket', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'node-stats-'));
    const socket = join(dir, 'r.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      assert.equal(await listenerOf(socket), process.pid);
      const read = createSystemContainers({
        cgroups: { usage: async () => ({ cpuNanos: 5, memoryBytes: 30, workingSetBytes: 20, rssBytes: 10 }) },
        machine: { memoryBytes: 100 },
        runtimeSocket: socket,
        began: 0,
      });
      const list = (await read('t', () => 1)) as { name: string; memory: { availableBytes?: number } }[];
      assert.deepEqual(
        list.map((c) => c.name),
        ['kubelet', 'runtime', 'pods'],
      );
      assert.equal(list[2]!.memory.availableBytes, 80);
    } finally {
      await new Promise((resolve) => server.close(resolve));
      assert.equal(await listenerOf(socket), undefined);
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
