/**
 * The name server beside CoreDNS, in turn, on the same Services (half of them headless) and questions:
 * `node test/bench/dns.ts [--services 1000] [--seconds 5] [--peer FILE]`. Prints JSON lines: questions a second with 64
 * under way, time to answer, CPU of the server per question, memory.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endpointSlices, services } from '../../client/resources.ts';
import { program } from '../../deploy/paths.ts';
import { startBenchServer } from './server.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '2' },
    peer: { type: 'string', default: join(homedir(), '.cache/k8ts-peer/bin/coredns') },
  },
});
const COUNT = Number(values.services);
const UNDER_WAY = 64;
const dir = mkdtempSync(join(tmpdir(), 'k8ts-bench-'));
const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms));

function question(name: string, type: number): Buffer {
  const labels = name.split('.').flatMap((l) => [Buffer.from([l.length]), Buffer.from(l)]);
  const head = Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, type, 0, 1])]);
}
/** What pods ask: addresses by the search path, some of which do not exist. */
const questions = Array.from({ length: COUNT }, (_, i) => [
  question(`s${i}.default.svc.cluster.local`, 1),
  question(`s${i}.default.svc.cluster.local`, 28),
  question(`s${i}.default.svc.default.svc.cluster.local`, 1),
]).flat();

/** Asks for so many milliseconds; the microseconds that each answer took. */
async function load(port: number, ms: number): Promise<{ micros: number[]; lost: number; ms: number }> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  const sent = new Float64Array(65_536);
  const micros: number[] = [];
  let next = 0;
  let id = 0;
  let lost = 0;
  const began = performance.now();
  const until = began + ms;
  const send = () => {
    const q = questions[next++ % questions.length]!;
    id = (id + 1) & 0xffff;
    q.writeUInt16BE(id, 0);
    sent[id] = performance.now();
    socket.send(q, port, '127.0.0.1');
  };
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  let last = performance.now();
  socket.on('message', (m) => {
    const now = performance.now();
    last = now;
    micros.push((now - sent[m.readUInt16BE(0)]!) * 1000);
    if (now < until) send();
  });
  for (let i = 0; i < UNDER_WAY; i++) send();
  while (performance.now() < until) {
    await sleep(100);
    // lost on the way: begin anew
    if (performance.now() - last > 500) for (let i = 0; i < UNDER_WAY; i++, lost++) send();
  }
  await sleep(200);
  socket.close();
  return { micros, lost, ms: performance.now() - began - 200 };
}

const memory = (pid: number) => {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const get = (f: string) => Math.round(Number(new RegExp(`${f}:\\s+(\\d+)`).exec(text)?.[1]) / 1024);
  const pss = Number(/Pss:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) / 1024;
  return { rssMiB: get('VmRSS'), anonMiB: get('RssAnon'), pssMiB: Math.round(pss) };
};
const cpuSeconds = (pid: number) => {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(f[11]) + Number(f[12])) / 100;
};

const server = await startBenchServer(dir);
const running: ChildProcess[] = [];
try {
  const { client } = server;
  let at = 0;
  const worker = async () => {
    while (at < COUNT) {
      const i = at++;
      const name = `s${i}`;
      const headless = i % 2 === 1;
      await client.create(
        services,
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name, namespace: 'default' },
          spec: { ports: [{ name: 'http', port: 80 }], ...(headless ? { clusterIP: 'None' } : {}) },
        },
        { namespace: 'default' },
      );
      await client.create(
        endpointSlices,
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: {
            name,
            namespace: 'default',
            labels: {
              'kubernetes.io/service-name': name,
              ...(headless ? { 'service.kubernetes.io/headless': '' } : {}),
            },
          },
          addressType: 'IPv4',
          ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
          endpoints: Array.from({ length: 5 }, (_, e) => ({
            addresses: [`10.244.${(i * 5 + e) >> 8}.${(i * 5 + e) & 255}`],
            conditions: { ready: true, serving: true, terminating: false },
          })),
        },
        { namespace: 'default' },
      );
    }
  };
  await Promise.all(Array.from({ length: 50 }, worker));

  const kubeconfig = server.kubeconfig('bench-dns', 'system:masters');
  const corefile = join(dir, 'Corefile');
  writeFileSync(
    corefile,
    `.:15453 {\n  errors\n  health :15480\n  ready :15481\n  kubernetes cluster.local in-addr.arpa ip6.arpa {\n    kubeconfig ${kubeconfig}\n    pods insecure\n    fallthrough in-addr.arpa ip6.arpa\n    ttl 30\n  }\n  prometheus :15482\n  cache 30\n  loadbalance\n}\n`,
  );
  const own = program('proxy/dns/main.ts');
  const ours = [
    ...own.args,
    `--kubeconfig=${kubeconfig}`,
    '--port=15353',
    '--status-port=15381',
    '--metrics-port=15382',
  ];
  const programs = [
    { name: 'k8ts', command: own.command, args: ours, port: 15353, ready: 'http://127.0.0.1:15381/ready' },
    {
      name: 'coredns',
      command: values.peer,
      args: ['-conf', corefile],
      port: 15453,
      ready: 'http://127.0.0.1:15481/ready',
    },
  ].filter((p) => existsSync(p.command));
  for (let round = 0; round < Number(values.rounds); round++)
    for (const p of programs) {
      const child = spawn(p.command, p.args, {
        env: { ...process.env, ...own.env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      running.push(child);
      const log = createWriteStream(join(dir, `${p.name}.log`));
      child.stdout.pipe(log);
      child.stderr.pipe(log);
      for (let i = 0; ; i++) {
        if (
          await fetch(p.ready).then(
            (r) => r.ok,
            () => false,
          )
        )
          break;
        if (i > 600) throw new Error(`${p.name} is not ready`);
        await sleep(100);
      }
      await load(p.port, 2_000); // warm
      const before = cpuSeconds(child.pid!);
      const { micros, lost, ms } = await load(p.port, Number(values.seconds) * 1000);
      const cpu = cpuSeconds(child.pid!) - before;
      micros.sort((a, b) => a - b);
      const line = {
        program: p.name,
        services: COUNT,
        qps: Math.round((micros.length * 1000) / ms),
        microsP50: Math.round(micros[micros.length >> 1]!),
        microsP99: Math.round(micros[Math.floor(micros.length * 0.99)]!),
        cpuMicrosPerQuestion: Math.round((cpu * 1e6) / micros.length),
        lost,
        ...memory(child.pid!),
      };
      process.stdout.write(`${JSON.stringify(line)}\n`);
      child.kill('SIGTERM');
      await new Promise((resolve) => child.once('exit', resolve));
    }
} finally {
  for (const c of running) c.kill('SIGKILL');
  await server.stop();
  if (!process.env['K8TS_BENCH_KEEP']) rmSync(dir, { recursive: true, force: true });
  else process.stderr.write(`${dir}\n`);
}
