/** A DRA driver that is updated: for a while two instances of it are registered, under sockets of their own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import type { Pod } from '../../../api/types.ts';
import { createDraManager, type DraManager, type ResourceClaim } from '../../../kubelet/dra/manager.ts';
import { loadService } from '../../../kubelet/grpc.ts';
import { serve } from '../../../kubelet/grpc-server.ts';

const DRIVER = 'dra.example.com';

describe('a DRA driver that is updated', function () {
  let dir: string;
  let manager: DraManager;
  const stops: (() => void)[] = [];
  const asked: string[] = [];

  const claimOf = (name: string): ResourceClaim => ({
    metadata: { name, namespace: 'default', uid: `${name}-uid` },
    spec: {},
    status: {
      allocation: { devices: { results: [{ request: 'r', driver: DRIVER, pool: 'p', device: 'd' }] } },
      reservedFor: [{ resource: 'pods', name, uid: `pod-${name}` }],
    },
  });
  const podOf = (name: string): Pod => ({
    metadata: { name, namespace: 'default', uid: `pod-${name}` },
    spec: { containers: [{ name: 'c' }], resourceClaims: [{ name: 'mine', resourceClaimName: name }] },
  });
  /** Starts an instance of the driver; its registration. */
  async function instance(name: string) {
    const endpoint = join(dir, `${name}.sock`);
    type Claims = { claims: { uid: string }[] };
    const answer = (r: never) => {
      asked.push(name);
      return { claims: Object.fromEntries((r as Claims).claims.map((c) => [c.uid, { devices: [] }])) };
    };
    const service = loadService('kubelet-dra-v1', 'k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin');
    const server = await serve(endpoint, [[service, { NodePrepareResources: answer, NodeUnprepareResources: answer }]]);
    stops.push(() => server.stop());
    return { type: 'DRAPlugin', name: DRIVER, endpoint, supported_versions: ['v1.DRAPlugin'] };
  }
  async function askedFor(claim: string): Promise<string> {
    asked.length = 0;
    await manager.prepare(podOf(claim));
    return asked.join();
  }

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'dra-update-'));
    manager = createDraManager({
      file: join(dir, 'state', 'claims.json'),
      clock: systemClock,
      logger: silentLogger,
      claim: (_namespace, name) => Promise.resolve(claimOf(name)),
      healthChanged() {},
      wipe: () => Promise.resolve(),
    });
  });
  after(() => {
    manager.stop();
    for (const s of stops) s();
    rmSync(dir, { recursive: true, force: true });
  });

  it('asks the new instance, and the old one again when the new one fails', async () => {
    const old = await instance('old');
    await manager.register(old);
    assert.equal(await askedFor('a'), 'old');
    const failing = await instance('failing');
    await manager.register(failing);
    assert.equal(await askedFor('b'), 'failing');
    manager.deregister(failing);
    assert.equal(await askedFor('c'), 'old');
    const better = await instance('better');
    await manager.register(better);
    manager.deregister(old);
    assert.equal(await askedFor('d'), 'better');
    manager.deregister(better);
    await assert.rejects(manager.prepare(podOf('e')), /dra\.example\.com is not registered/);
  });
});
