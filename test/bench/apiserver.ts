/**
 * Measures the API server against kube-apiserver: `node test/bench/apiserver.ts [--rounds 5] [--pods 3000] [--ours]`.
 * Both in turn on an etcd of their own, same certificates, same client; the peer's program is KUBE_APISERVER or the one
 * in ~/.cache/k8ts-peer/bin, etcd is ETCD or the one on the PATH. One JSON object a line; the last ones are ratios
 * (peer / ours) of medians. CPU is that of the server's process alone, from /proc.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { pods } from '../../client/resources.ts';
import { startEtcd } from '../integration/store/etcd.ts';
import { startBenchServer, type BenchServer } from './server.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    pods: { type: 'string', default: '3000' },
    ours: { type: 'boolean', default: false },
  },
});
const ROUNDS = Number(values.rounds);
const PODS = Number(values.pods);
const CLIENTS = 32;
const TICK_MS = 10;

const cpuMs = (pid: number) => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(f[11]) + Number(f[12])) * TICK_MS;
};
const rssMiB = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
const median = (list: number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
const pod = (name: string, i: number): Pod => ({
  metadata: { name, namespace: 'default', labels: { app: `app-${i % 50}`, tier: 'bench' } },
  spec: {
    nodeName: `node-${i % 100}`,
    containers: [
      {
        name: 'main',
        image: 'example.org/app:v1',
        ports: [{ containerPort: 8080 }],
        env: Array.from({ length: 8 }, (_, n) => ({ name: `VARIABLE_${n}`, value: `value ${n}` })),
        resources: { requests: { cpu: '10m', memory: '16Mi' } },
        readinessProbe: { httpGet: { path: '/healthz', port: 8080 } },
      },
    ],
  },
});

/** Runs `one` for 0..n-1 with a bounded number under way. */
async function each(n: number, one: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (next < n) await one(next++);
    }),
  );
}

type Row = { cpuMs: number; perSecond: number };
const STEPS: [
  name: string,
  count: (n: number) => number,
  one: (c: Client, i: number, round: number) => Promise<unknown>,
][] = [
  ['create', (n) => n, (c, i, r) => c.create(pods, pod(`p-${r}-${i}`, i))],
  ['get', (n) => n, (c, i, r) => c.get(pods, `p-${r}-${i}`, 'default')],
  [
    'patch status',
    (n) => n / 2,
    (c, i, r) =>
      c.patch(
        pods,
        `p-${r}-${i}`,
        'merge',
        { status: { phase: 'Running', podIP: `10.0.${i >> 8}.${i & 255}` } },
        { namespace: 'default', subresource: 'status' },
      ),
  ],
  [
    'apply',
    (n) => n / 4,
    (c, i, r) =>
      c.patch(
        pods,
        `p-${r}-${i}`,
        'apply',
        { apiVersion: 'v1', kind: 'Pod', metadata: { name: `p-${r}-${i}`, labels: { applied: 'yes' } } },
        { namespace: 'default', fieldManager: 'bench', force: true },
      ),
  ],
  ['list', () => 20, (c) => c.request({ path: '/api/v1/pods' })],
  [
    'list by label (2%)',
    () => 100,
    (c, i) => c.request({ path: '/api/v1/pods', query: { labelSelector: `app=app-${i % 50}` } }),
  ],
  ['delete', (n) => n, (c, i, r) => c.delete(pods, `p-${r}-${i}`, { namespace: 'default', gracePeriodSeconds: 0 })],
];

async function measure(name: string, program: readonly string[] | undefined): Promise<Record<string, Row>> {
  const dir = await mkdtemp(join(tmpdir(), 'k8ts-bench-'));
  const etcd = await startEtcd({ binary: process.env['ETCD'] });
  let server: BenchServer | undefined;
  try {
    const began = performance.now();
    server = await startBenchServer(
      dir,
      ['--storage-backend=etcd3', `--etcd-servers=${etcd.options.servers.join(',')}`],
      program,
    );
    process.stdout.write(
      JSON.stringify({ name, step: 'start to ready', ms: Math.round(performance.now() - began) }) + '\n',
    );
    await server.client
      .create(
        { group: '', version: 'v1', resource: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true },
        { metadata: { name: 'default', namespace: 'default' } },
      )
      .catch(() => {});
    const rows = new Map<string, Row[]>();
    for (let round = 0; round < ROUNDS; round++)
      for (const [step, count, one] of STEPS) {
        const n = Math.floor(count(PODS));
        const [cpu, time] = [cpuMs(server.pid), performance.now()];
        await each(n, (i) => one(server!.client, i, round));
        const row = { cpuMs: (cpuMs(server.pid) - cpu) / n, perSecond: (n / (performance.now() - time)) * 1000 };
        rows.set(step, [...(rows.get(step) ?? []), row]);
      }
    const medians: Record<string, Row> = {};
    for (const [step, list] of rows) {
      medians[step] = { cpuMs: median(list.map((r) => r.cpuMs)), perSecond: median(list.map((r) => r.perSecond)) };
      process.stdout.write(
        JSON.stringify({
          name,
          step,
          cpuMs: Number(medians[step].cpuMs.toFixed(3)),
          perSecond: Math.round(medians[step].perSecond),
        }) + '\n',
      );
    }
    process.stdout.write(
      JSON.stringify({ name, step: 'memory at the end', MiB: Math.round(rssMiB(server.pid)) }) + '\n',
    );
    return medians;
  } finally {
    await server?.stop();
    await etcd.close();
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

const ours = await measure('k8ts', undefined);
const peer = process.env['KUBE_APISERVER'] ?? join(homedir(), '.cache/k8ts-peer/bin/kube-apiserver');
if (values.ours) process.exit(0);
if (!existsSync(peer)) {
  process.stdout.write(`# no ratios: ${peer} is not there\n`);
  process.exit(0);
}
const theirs = await measure('kube-apiserver', [peer]);
for (const step of Object.keys(ours))
  process.stdout.write(
    JSON.stringify({
      step,
      cpuRatio: Number((theirs[step]!.cpuMs / ours[step]!.cpuMs).toFixed(2)),
      rateRatio: Number((ours[step]!.perSecond / theirs[step]!.perSecond).toFixed(2)),
    }) + '\n',
  );
process.exit(0);
