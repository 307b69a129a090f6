/**
 * The service proxy beside kube-proxy (nftables mode), in turn, on the same node (a network namespace) and API server:
 * `node test/bench/proxy.ts [--services 10,1000,10000] [--peer FILE]`. For each count of Services (five endpoints each):
 * time from a change of a Service's endpoints to the first connection that gets there, connection set-up time, memory,
 * CPU. Prints JSON lines. Root.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { endpointSlices, nodes, services } from '../../client/resources.ts';
import { program } from '../../deploy/paths.ts';
import { startBenchServer } from './server.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '10,1000,10000' },
    changes: { type: 'string', default: '20' },
    connections: { type: 'string', default: '2000' },
    peer: { type: 'string', default: join(homedir(), '.cache/k8ts-peer/bin/kube-proxy') },
    only: { type: 'string', default: '' },
  },
});
const NETNS = 'k8ts-bench-proxy';
const [HOST, NODE] = ['10.198.77.1', '10.198.77.2'];
const PARALLEL = 50;
const here = import.meta.dirname;
const dir = mkdtempSync(join(tmpdir(), 'k8ts-bench-'));
const ip = (...args: string[]) => execFileSync('ip', args);
const inside = ['netns', 'exec', NETNS];

async function eachOf(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

/** Answers each connection with one letter. */
function letterServer(letter: string): Promise<{ port: number; close(): void }> {
  return new Promise((resolve) => {
    const server = net.createServer((s) => s.on('error', () => {}).end(letter));
    server.listen(0, HOST, () =>
      resolve({ port: (server.address() as net.AddressInfo).port, close: () => server.close() }),
    );
  });
}

/** Lets the namespace reach a port of the machine's loopback. */
function relay(port: number): Promise<{ port: number; close(): void }> {
  return new Promise((resolve) => {
    const server = net.createServer((a) => {
      const b = net.connect(port, '127.0.0.1');
      a.pipe(b).pipe(a);
      for (const s of [a, b]) s.on('error', () => (a.destroy(), b.destroy()));
    });
    server.listen(0, HOST, () =>
      resolve({ port: (server.address() as net.AddressInfo).port, close: () => server.close() }),
    );
  });
}

const status = (pid: number, field: string) =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
/** Pages shared with other processes (the program itself) count in part. */
const proportional = (pid: number) =>
  Number(/Pss:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024;
const cpuSeconds = (pid: number) => {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  // with the children it has waited for: nft is one
  return (Number(f[11]) + Number(f[12]) + Number(f[13]) + Number(f[14])) / 100;
};
const percentile = (list: readonly number[], p: number) => {
  const sorted = [...list].filter((x) => !Number.isNaN(x)).sort((a, b) => a - b);
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? NaN).toFixed(2));
};
const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms));

// what a run that was killed has left
for (const left of [
  ['netns', 'del', NETNS],
  ['link', 'del', 'k8ts-bp'],
])
  try {
    execFileSync('ip', left, { stdio: 'ignore' });
  } catch {
    // nothing there
  }
ip('netns', 'add', NETNS);
ip('link', 'add', 'k8ts-bp', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NETNS);
ip('addr', 'add', `${HOST}/24`, 'dev', 'k8ts-bp');
ip('link', 'set', 'k8ts-bp', 'up');
for (const args of [
  ['addr', 'add', `${NODE}/24`, 'dev', 'eth0'],
  ['link', 'set', 'eth0', 'up'],
  ['link', 'set', 'lo', 'up'],
  ['route', 'add', 'default', 'via', HOST],
])
  ip('-n', NETNS, ...args);

const server = await startBenchServer(dir);
const running: ChildProcess[] = [];
try {
  const { client } = server;
  const [a, b, api] = [await letterServer('a'), await letterServer('b'), await relay(Number(new URL(server.url).port))];
  const kubeconfig = server.kubeconfig('bench-proxy', 'system:masters');
  const config = JSON.parse(readFileSync(kubeconfig, 'utf8')) as { clusters: { cluster: Record<string, string> }[] };
  Object.assign(config.clusters[0]!.cluster, { server: `https://${HOST}:${api.port}`, 'tls-server-name': 'localhost' });
  writeFileSync(kubeconfig, JSON.stringify(config));
  await client.create(nodes, { metadata: { name: 'bench' } });
  await client.patch(
    nodes,
    'bench',
    'merge',
    { status: { addresses: [{ type: 'InternalIP', address: NODE }] } },
    { subresource: 'status' },
  );

  const slice = (name: string, endpoints: { ip: string; port: number }[]) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name, 'app.kubernetes.io/part-of': 'bench' },
    },
    addressType: 'IPv4',
    ports: [{ name: '', port: endpoints[0]!.port, protocol: 'TCP' }],
    endpoints: endpoints.map((e, i) => ({
      addresses: [e.ip],
      nodeName: `n${i}`,
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', namespace: 'default', name: `${name}-${i}`, uid: `0-${name}-${i}` },
    })),
  });
  const service = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { ports: [{ port: 80, targetPort: 8080 }] },
  });
  const marker = await client.create(services, service('marker'), { namespace: 'default' });
  const clusterIP = marker.spec?.clusterIP ?? '';
  await client.create(endpointSlices, slice('marker', [{ ip: HOST, port: a.port }]) as never, { namespace: 'default' });
  const point = (to: { port: number }) =>
    client.patch(
      endpointSlices,
      'marker',
      'merge',
      { ports: [{ name: '', port: to.port, protocol: 'TCP' }] },
      { namespace: 'default' },
    );

  const probe = spawn('ip', [...inside, process.execPath, join(here, 'proxy-probe.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  running.push(probe);
  const lines = createInterface({ input: probe.stdout })[Symbol.asyncIterator]();
  const ask = async (line: string) => {
    probe.stdin.write(`${line}\n`);
    return JSON.parse(String((await lines.next()).value)) as { at: number; ms: number[] };
  };

  const own = program('proxy/main.ts');
  const ours = [
    own.command,
    ...own.args,
    '--hostname-override=bench',
    '--cluster-cidr=10.244.0.0/16',
    `--kubeconfig=${kubeconfig}`,
  ];
  const theirs = [
    values.peer,
    '--proxy-mode=nftables',
    '--hostname-override=bench',
    '--cluster-cidr=10.244.0.0/16',
    '--conntrack-max-per-core=0',
    '--conntrack-tcp-timeout-established=0',
    '--conntrack-tcp-timeout-close-wait=0',
    '--detect-local-mode=ClusterCIDR',
    `--kubeconfig=${kubeconfig}`,
  ];
  const programs = [
    ['k8ts', ours],
    ['kube-proxy', theirs],
  ] as const;
  let made = 0;
  for (const count of values.services.split(',').map(Number)) {
    const from = made;
    await eachOf(Math.max(0, count - from), async (k) => {
      const i = from + k;
      const name = `s${i}`;
      await client.create(services, service(name), { namespace: 'default' });
      const endpoints = Array.from({ length: 5 }, (_, e) => ({
        ip: `10.244.${(i * 5 + e) >> 8}.${(i * 5 + e) & 255}`,
        port: 8080,
      }));
      await client.create(endpointSlices, slice(name, endpoints) as never, { namespace: 'default' });
    });
    made = Math.max(made, count);
    for (const [name, command] of programs) {
      if ((values.only && values.only !== name) || !existsSync(command[0]!)) continue;
      await point(a);
      execFileSync('ip', [...inside, 'nft', 'flush', 'ruleset']);
      const began = Date.now();
      const child = spawn('ip', [...inside, ...command], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...own.env },
      });
      running.push(child);
      const log = createWriteStream(join(dir, `${name}-${count}.log`));
      child.stdout.pipe(log);
      child.stderr.pipe(log);
      const pid = child.pid!; // `ip netns exec` becomes the program
      const first = await ask(`await ${clusterIP} 80 a`);
      await sleep(5_000);
      const startCpu = cpuSeconds(pid);
      const changes: number[] = [];
      for (let i = 0; i < Number(values.changes); i++) {
        const [to, letter] = i % 2 ? [a, 'a'] : [b, 'b'];
        const answer = ask(`await ${clusterIP} 80 ${letter}`);
        const at = Date.now();
        await point(to);
        changes.push((await answer).at - at);
        await sleep(1_000); // both hold changes back for a time after the last one
      }
      const changeCpu = cpuSeconds(pid) - startCpu;
      const { ms } = await ask(`latency ${clusterIP} 80 ${values.connections}`);
      const line = {
        program: name,
        services: count,
        firstSyncMs: first.at ? first.at - began : -1,
        firstCpuSeconds: Number(startCpu.toFixed(2)),
        changeMs: { p50: percentile(changes, 0.5), p90: percentile(changes, 0.9) },
        cpuMsPerChange: Math.round((changeCpu * 1000) / Number(values.changes)),
        connectMs: { p50: percentile(ms, 0.5), p99: percentile(ms, 0.99) },
        rssMiB: Math.round(status(pid, 'VmRSS')),
        peakMiB: Math.round(status(pid, 'VmHWM')),
        pssMiB: Math.round(proportional(pid)),
      };
      process.stdout.write(`${JSON.stringify(line)}\n`);
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
    }
  }
  for (const s of [a, b, api]) s.close();
} finally {
  for (const c of running) c.kill('SIGKILL');
  await server.stop();
  execFileSync('ip', ['netns', 'del', NETNS]);
  if (!process.env['K8TS_BENCH_KEEP']) rmSync(dir, { recursive: true, force: true });
  else process.stderr.write(`${dir}\n`);
}
