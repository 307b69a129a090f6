import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openLmdbStore } from '../../../apiserver/storage/lmdb/store.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { Recorder, written } from './contract.ts';

const child = join(import.meta.dirname, 'writer-child.ts');
const full = process.env['K8TS_FULL'] === '1';

/** Runs a writer until it has told `lines` lines, kills it with -9 and returns all that it told. */
async function runAndKill(dataDir: string, round: number, lines: number): Promise<string[]> {
  const p: ChildProcess = spawn(process.execPath, [child, dataDir, String(round), '40', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => p.once('exit', resolve));
  const told: string[] = [];
  for await (const line of createInterface(p.stdout!)) {
    told.push(line);
    if (told.length === lines) p.kill('SIGKILL');
  }
  await gone;
  return told;
}

describe('lmdb store', function () {
  this.timeout(300_000);
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'k8ts-lmdb-'));
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));
  const open = () => openLmdbStore({ dataDir, clock: systemClock, logger: silentLogger });

  it('has every acknowledged write after kill -9', async () => {
    const expected = new Map<string, number>();
    let last = 0;
    for (let round = 0; round < (full ? 20 : 3); round++) {
      const told = await runAndKill(dataDir, round, 1500 + round * 137);
      assert.equal(told[0], 'open');
      for (const line of told.slice(1)) {
        const [what, key, revision] = line.split(' ') as [string, string, string];
        assert.ok(Number(revision) > 0);
        last = Math.max(last, Number(revision));
        if (what === 'put') expected.set(key, Number(revision));
        else expected.delete(key);
      }
      const store = await open();
      assert.ok((await store.currentRevision()) >= last, 'the revision went back');
      const found = new Map((await store.list('/')).items.map((i) => [i.key, i]));
      for (const [key, revision] of expected) {
        const item = found.get(key);
        // Its deletion may have been under way, unacknowledged, when the end came.
        if (!item && Number(key.split('/')[3]) % 3 === 0) continue;
        assert.equal(item?.revision, revision, key);
        assert.equal(item.value.toString().slice(0, key.length), key);
      }
      last = await store.currentRevision();
      await store.close();
    }
    assert.ok(expected.size > 1000);
  });

  it('has its keys, revisions, history and times to live after it is opened again', async () => {
    let store = await open();
    const r1 = written(await store.create('/a', Buffer.from('1')));
    const r2 = written(await store.update('/a', Buffer.from('2'), r1));
    const r3 = written(await store.create('/gone', Buffer.from('g')));
    const r4 = written(await store.delete('/gone', r3));
    written(await store.create('/soon', Buffer.from('s'), { ttlSeconds: 1 }));
    await store.compact(r2);
    const last = await store.currentRevision();
    await store.close();

    store = await open();
    assert.equal(await store.currentRevision(), last);
    assert.deepEqual(await store.get('/a'), { key: '/a', value: Buffer.from('2'), revision: r2 });
    assert.equal((await store.get('/gone', r3))?.value.toString(), 'g');
    assert.equal((await store.stats()).compactRevision, r2);
    const r = new Recorder();
    const w = store.watch('/', r2, r.handlers);
    await r.until(() => r.events.some((e) => e.type === 'delete' && e.key === '/soon'));
    assert.deepEqual(
      r.events.map((e) => [e.type, e.key, e.value.toString()]),
      [
        ['put', '/gone', 'g'],
        ['delete', '/gone', 'g'],
        ['put', '/soon', 's'],
        ['delete', '/soon', 's'],
      ],
    );
    assert.equal(r.events[1]!.revision, r4);
    w.close();
    // A revision is never given twice, even when compaction has removed the newest writes.
    const top = await store.currentRevision();
    await store.compact(top);
    await store.close();
    store = await open();
    assert.ok(written(await store.create('/b', Buffer.from('b'))) > top);
    await store.close();
  });

  it('gives back the space of what was compacted', async () => {
    const store = await open();
    let revision = written(await store.create('/a', Buffer.alloc(100_000)));
    const churn = async () => {
      for (let i = 0; i < 50; i++) revision = written(await store.update('/a', Buffer.alloc(100_000, i), revision));
      await store.compact(revision);
    };
    await churn();
    const { sizeBytes } = await store.stats();
    for (let i = 0; i < 4; i++) await churn();
    assert.ok((await store.stats()).sizeBytes < sizeBytes * 2, 'the file grows with every rewrite');
    await store.close();
  });

  it('lets one process own a directory and says who has it', async () => {
    const store = await open();
    await assert.rejects(open(), /in use by this process already/);
    const other = spawnSync(process.execPath, [child, dataDir, '0', '1', '1'], { encoding: 'utf8' });
    assert.notEqual(other.status, 0);
    assert.match(other.stderr, new RegExp(`in use by process ${process.pid}; only one API server may own it`));
    written(await store.create('/still', Buffer.from('fine')));
    await store.close();
    const next = spawnSync(process.execPath, [child, dataDir, '0', '1', '1'], { encoding: 'utf8' });
    assert.equal(next.status, 0, next.stderr);
  });

  it('refuses writes when the disk takes no more, keeps what it promised and goes on', async () => {
    // A limit on the size of files stands for a full disk; the runtime turns it into an error of the write.
    const command = 'ulimit -f 1024; exec "$0" "$@"';
    const run = spawnSync('bash', ['-c', command, process.execPath, child, dataDir, '0', '40', '0'], {
      encoding: 'utf8',
    });
    assert.match(run.stderr, /StoreUnavailableError: (the write|compaction) failed/);
    const acknowledged = run.stdout.split('\n').filter((line) => line.startsWith('put'));
    assert.ok(acknowledged.length > 100);
    const deleted = new Set(run.stdout.split('\n').map((line) => /^delete (\S+)/.exec(line)?.[1]));
    const store = await open();
    const found = new Map((await store.list('/')).items.map((i) => [i.key, i.revision]));
    for (const line of acknowledged) {
      const [, key, revision] = line.split(' ') as [string, string, string];
      if (!deleted.has(key)) assert.equal(found.get(key), Number(revision), key);
    }
    written(await store.create('/more', Buffer.from('x')));
    await store.close();
  });

  it('comes back from kill -9 at each step of a write', async () => {
    if (!existsSync('/usr/bin/strace')) throw new Error('this test needs strace (Debian: apt-get install strace)');
    // The process dies as it enters the nth of these calls: before the data, between data and sync, before the header.
    let acknowledged = 0;
    const counts = full ? Array.from({ length: 20 }, (_, i) => 1 + i * 2) : [4, 9];
    for (const call of ['pwrite64', 'fdatasync'])
      for (const n of counts) {
        const dir = join(dataDir, `${call}-${n}`);
        const inject = [
          '-f',
          '-o',
          '/dev/null',
          '-e',
          `trace=${call}`,
          '-e',
          `inject=${call}:signal=SIGKILL:when=${n}`,
        ];
        const run = spawnSync('strace', [...inject, process.execPath, child, dir, '0', '3', '0'], { encoding: 'utf8' });
        assert.equal(run.signal ?? 'SIGKILL', 'SIGKILL', run.stderr);
        const told = run.stdout.split('\n');
        const store = await openLmdbStore({ dataDir: dir, clock: systemClock, logger: silentLogger });
        const found = new Map((await store.list('/')).items.map((i) => [i.key, i]));
        let last = 0;
        for (const line of told) {
          const [what, key, revision] = line.split(' ') as [string, string, string];
          if (what !== 'put' && what !== 'delete') continue;
          last = Math.max(last, Number(revision));
          acknowledged++;
          // A deletion that nobody was told of may have happened.
          if (what === 'delete') assert.ok(!found.has(key), `${call} ${n}: ${line}`);
          else if (Number(key.split('/')[3]) % 3 !== 0)
            assert.equal(found.get(key)?.revision, Number(revision), `${call} ${n}: ${line}`);
        }
        assert.ok((await store.currentRevision()) >= last);
        for (const [key, item] of found) assert.ok(item.value.toString().startsWith(key));
        written(await store.create('/more', Buffer.from('x')));
        await store.close();
      }
    assert.ok(acknowledged > 0);
  });

  it('acknowledges only what was synced to disk', async function () {
    if (!existsSync('/usr/bin/strace')) throw new Error('this test needs strace (Debian: apt-get install strace)');
    const trace = join(dataDir, 'trace');
    const args = ['-f', '-o', trace, '-e', 'trace=openat,pwrite64,fdatasync,fsync,write'];
    const run = spawnSync('strace', [...args, process.execPath, child, join(dataDir, 'db'), '0', '1', '8']);
    assert.equal(run.status, 0, run.stderr.toString());
    let synced = false;
    let valid = false;
    let header = '';
    let told = 0;
    for (const line of (await readFile(trace, 'utf8')).split('\n')) {
      // The page that makes a commit valid is written through a descriptor that syncs each write.
      const opened = /data\.mdb", O_WRONLY\|O_DSYNC.* = (\d+)/.exec(line);
      if (opened) header = opened[1]!;
      else if (/(fdatasync|fsync).*= 0$/.test(line)) synced = true;
      else if (synced && header !== '' && line.includes(`pwrite64(${header},`)) valid = true;
      else if (/write\(1, "(put|delete) /.test(line)) {
        assert.ok(synced && valid, `acknowledged without a sync: ${line}`);
        synced = valid = false;
        told++;
      }
    }
    assert.equal(told, 8 + 3);
  });
});
