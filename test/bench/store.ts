/**
 * Measures the storage engines and the watch cache: `node test/bench/store.ts [memory] [lmdb] [etcd] [cache]`.
 * Prints one JSON object a line. etcd is started for it: ETCD, or the one on the PATH.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json, KubeObject } from '../../api/types.ts';
import { openStore } from '../../apiserver/storage/open.ts';
import type { Store } from '../../apiserver/storage/store.ts';
import { createWatchCache } from '../../apiserver/storage/watch-cache.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/log.ts';
import { startEtcd } from '../integration/store/etcd.ts';

const chosen = process.argv.slice(2);
const wanted = (name: string) => chosen.length === 0 || chosen.includes(name);
const common = { clock: systemClock, logger: silentLogger };
const report = (line: object) => process.stdout.write(JSON.stringify(line) + '\n');

function podBytes(i: number): Buffer {
  return Buffer.from(
    JSON.stringify({
      kind: 'Pod',
      apiVersion: 'v1',
      metadata: {
        name: `pod-${String(i).padStart(5, '0')}`,
        namespace: `ns-${i % 20}`,
        uid: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
        labels: { app: `app-${i % 50}`, tier: 'web', 'pod-template-hash': `h${i % 100}` },
      },
      spec: {
        nodeName: `node-${i % 100}`,
        containers: [{ name: 'main', image: 'registry.example.com/team/app:1.2.3', env: environment }],
      },
      status: { phase: 'Running', podIP: '10.1.2.3' },
    }),
  );
}
const environment = Array.from({ length: 28 }, (_, i) => ({ name: `VARIABLE_${i}`, value: `the value of it ${i}` }));
const podKey = (i: number) => `/pods/ns-${i % 20}/pod-${String(i).padStart(5, '0')}`;

async function writes(engine: string, store: Store): Promise<void> {
  const value = podBytes(1);
  let n = 0;
  for (const writers of [1, 32, 500]) {
    const before = n;
    const latencies: number[] = [];
    const start = performance.now();
    const cpu = process.cpuUsage();
    await Promise.all(
      Array.from({ length: writers }, async () => {
        while (performance.now() - start < 2000) {
          const t = performance.now();
          await store.create(`/pods/ns/${n++}`, value);
          latencies.push(performance.now() - t);
        }
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    const used = process.cpuUsage(cpu);
    latencies.sort((a, b) => a - b);
    report({
      engine,
      writers,
      writesPerSecond: Math.round((n - before) / seconds),
      medianMs: Number(latencies[latencies.length >> 1]!.toFixed(2)),
      p99Ms: Number(latencies[Math.floor(latencies.length * 0.99)]!.toFixed(2)),
      cpuMicrosPerWrite: Math.round((used.user + used.system) / (n - before)),
    });
  }
}

/** Microseconds per call. */
async function time(what: string, count: number, action: (i: number) => unknown): Promise<void> {
  for (let i = 0; i < Math.min(20, count - 1); i++) await action(i);
  const start = performance.now();
  for (let i = 0; i < count; i++) await action(i);
  report({ what, micros: Number((((performance.now() - start) * 1000) / count).toFixed(1)) });
}

async function cacheBench(): Promise<void> {
  const pods = 10_000;
  const source = await openStore({ backend: 'memory', ...common });
  for (let i = 0; i < pods; i++) await source.create(podKey(i), podBytes(i));
  report({ what: 'bytes per pod', bytes: podBytes(1).length });
  const gc = globalThis.gc;
  gc?.();
  const before = process.memoryUsage();
  const start = performance.now();
  const cache = createWatchCache({ store: source, ...common });
  const resource = await cache.resource({
    prefix: '/pods/',
    namespaced: true,
    fields: (o: Json<KubeObject>) => ({
      'spec.nodeName': (o as { spec?: { nodeName?: string } }).spec?.nodeName ?? '',
    }),
    indexedFields: ['spec.nodeName'],
  });
  report({ what: 'load 10,000 pods', ms: Math.round(performance.now() - start) });
  const memory = (what: string) => {
    // What the first one finds dead is given back by the second.
    gc?.();
    gc?.();
    const now = process.memoryUsage();
    report({
      what,
      heapMiB: Number(((now.heapUsed - before.heapUsed) / 2 ** 20).toFixed(1)),
      buffersMiB: Number(((now.arrayBuffers - before.arrayBuffers) / 2 ** 20).toFixed(1)),
      exact: gc !== undefined,
    });
  };
  memory('memory of 10,000 pods');
  await time('first list by a label (builds the index)', 1, () =>
    resource.list({ label: { key: 'app', value: 'app-7' } }),
  );
  memory('memory with labels and fields taken');
  await time('list all 10,000', 500, () => resource.list());
  await time('list a namespace of 500', 500, (i) => resource.list({ namespace: `ns-${i % 20}` }));
  await time('list 2% by a label', 500, (i) => resource.list({ label: { key: 'app', value: `app-${i % 50}` } }));
  await time('list 1% by node', 500, (i) =>
    resource.list({ field: { key: 'spec.nodeName', value: `node-${i % 100}` } }),
  );
  await time('join the bytes of 10,000', 50, async () =>
    Buffer.concat((await resource.list()).entries.map((e) => e.json)),
  );
  const update = async (i: number) => {
    const current = (await source.get(podKey(i)))!;
    await source.update(podKey(i), Buffer.from(current.value), current.revision);
  };
  await time('update with indexes, no watchers', 5000, (i) => update(i));
  let told = 0;
  const handlers = { event: () => (told++, true), progress() {}, end() {} };
  for (let i = 0; i < 1000; i++) {
    resource.watch(resource.revision, { field: { key: 'spec.nodeName', value: `node-${i}` } }, handlers);
  }
  await time('update with 1,000 watchers by node', 5000, (i) => update(i));
  report({ what: 'events told to them', told });
  for (let i = 0; i < 1000; i++) resource.watch(resource.revision, {}, handlers);
  await time('update with 1,000 more watchers of everything', 1000, (i) => update(i));
  const old = resource.revision;
  await update(1);
  await time('list at an older revision', 100, () => resource.listAt(old, { namespace: 'ns-1' }));
  memory('memory at the end, with the history');
  await cache.close();
  await source.close();
}

if (wanted('memory')) {
  const store = await openStore({ backend: 'memory', ...common });
  await writes('memory', store);
  await store.close();
}
if (wanted('lmdb')) {
  const dataDir = await mkdtemp(join(tmpdir(), 'k8ts-bench-'));
  const store = await openStore({ backend: 'lmdb', dataDir, ...common });
  await writes('lmdb', store);
  await store.close();
  await rm(dataDir, { recursive: true, force: true });
}
if (wanted('etcd')) {
  const etcd = await startEtcd({ binary: process.env['ETCD'] });
  const store = await openStore({ backend: 'etcd3', etcd: etcd.options, ...common });
  await writes('etcd', store);
  await store.close();
  await etcd.close();
}
if (wanted('cache')) await cacheBench();
