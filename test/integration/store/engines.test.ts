import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEtcdStore } from '../../../apiserver/storage/etcd/store.ts';
import { openStore } from '../../../apiserver/storage/open.ts';
import { StoreUnavailableError, type Store } from '../../../apiserver/storage/store.ts';
import { transformValues } from '../../../apiserver/storage/transform.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { eventually } from '../../support/wait.ts';
import { Recorder, storeContract, written } from './contract.ts';
import { etcdBinaries, startEtcd, type Etcd } from './etcd.ts';

const common = { clock: systemClock, logger: silentLogger };

storeContract({
  name: 'memory',
  async open() {
    const store = await openStore({ backend: 'memory', ...common });
    return { store, discard: () => store.close() };
  },
});

storeContract({
  name: 'lmdb',
  async open() {
    const dataDir = await mkdtemp(join(tmpdir(), 'k8ts-lmdb-'));
    const store = await openStore({ backend: 'lmdb', dataDir, ...common });
    return {
      store,
      async discard() {
        await store.close();
        await rm(dataDir, { recursive: true, force: true });
      },
    };
  },
});

storeContract({
  name: 'memory behind a value transformer',
  async open() {
    const flip = (_: string, value: Buffer) => Promise.resolve(Buffer.from(value.map((b) => b ^ 0x5a)));
    const store = transformValues(await openStore({ backend: 'memory', ...common }), {
      toStorage: flip,
      fromStorage: flip,
    });
    return { store, discard: () => store.close() };
  },
});

for (const { name, binary } of etcdBinaries()) {
  describe(name, function () {
    this.timeout(300_000);
    let etcd: Etcd;
    let count = 0;
    before(async () => {
      etcd = await startEtcd({ binary });
    });
    after(() => etcd?.close());

    storeContract({
      name,
      contenders: process.env['K8TS_FULL'] === '1' ? 200 : 40,
      async open() {
        const options = { ...etcd.options, prefix: `/registry-${count++}` };
        const store = await openStore({ backend: 'etcd3', etcd: options, ...common });
        return { store, discard: () => store.close() };
      },
    });

    it('keeps to its prefix', async () => {
      const a = createEtcdStore({ ...etcd.options, prefix: '/p', clock: systemClock });
      const b = createEtcdStore({ ...etcd.options, prefix: '/pq', clock: systemClock });
      written(await b.create('/x', Buffer.from('b')));
      assert.equal(await a.get('/x'), undefined);
      assert.deepEqual((await a.list('/')).items, []);
      await a.close();
      await b.close();
    });

    it('turns to another endpoint when the first is down', async () => {
      const servers = ['http://127.0.0.1:1', ...etcd.options.servers];
      const store = createEtcdStore({ ...etcd.options, servers, prefix: '/many', clock: systemClock });
      await store.ping();
      written(await store.create('/x', Buffer.from('x')));
      await store.close();
    });

    it('is not missed when it is away for a moment', async () => {
      const upstream = new URL(etcd.options.servers[0]!);
      const door = createServer((client) => {
        const server = connect(Number(upstream.port), upstream.hostname);
        client.pipe(server).pipe(client);
        for (const end of [client, server]) end.on('error', () => (client.destroy(), server.destroy()));
      });
      const listen = (port: number) =>
        new Promise<void>((resolve, reject) => {
          door.once('error', reject);
          door.listen(port, '127.0.0.1', resolve);
        });
      await listen(0);
      const { port } = door.address() as AddressInfo;
      await new Promise((resolve) => door.close(resolve));

      const store = createEtcdStore({ servers: [`http://127.0.0.1:${port}`], prefix: '/moment', clock: systemClock });
      const requests = [store.create('/x', Buffer.from('x')), store.get('/y')] as const;
      await listen(port);
      const [created, read] = await Promise.all(requests);
      written(created);
      assert.equal(read, undefined);
      await store.close();
      await new Promise((resolve) => door.close(resolve));
    });

    it('says that etcd is away, and serves again when it is back', async () => {
      const store = createEtcdStore({ ...etcd.options, prefix: '/away', clock: systemClock });
      const r1 = written(await store.create('/x', Buffer.from('1')));
      const r = new Recorder();
      store.watch('/', r1, r.handlers);
      await etcd.kill();
      await r.until(() => r.error !== undefined);
      assert.ok(r.error instanceof StoreUnavailableError);
      await assert.rejects(store.get('/x'), StoreUnavailableError);
      await etcd.start();
      const again = await eventually(() => store.get('/x'));
      assert.equal(again!.revision, r1);
      await store.close();
    });
  });
}

describe('etcd with TLS', function () {
  this.timeout(300_000);
  let etcd: Etcd;
  let store: Store;
  before(async () => {
    etcd = await startEtcd({ tls: true });
    store = createEtcdStore({ ...etcd.options, clock: systemClock });
  });
  after(async () => {
    await store?.close();
    await etcd?.close();
  });

  it('reads, writes and watches with a client certificate', async () => {
    const r = new Recorder();
    const w = store.watch('/', await store.currentRevision(), r.handlers);
    const revision = written(await store.create('/x', Buffer.from('x')));
    await r.until(() => r.events.length === 1);
    assert.equal(r.events[0]!.revision, revision);
    w.close();
  });

  it('is refused without one', async () => {
    const { servers, cafile } = etcd.options;
    const stranger = createEtcdStore({ servers, cafile: cafile!, clock: systemClock });
    await assert.rejects(stranger.ping(), StoreUnavailableError);
    await stranger.close();
  });
});
