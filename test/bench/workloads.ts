/** What the API server is asked to do when it is measured. */
import http2, { type ClientHttp2Session } from 'node:http2';
import type { Pod } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { each, type RawClient } from './raw-client.ts';
import type { BenchServer } from './server.ts';

export interface Bench {
  readonly client: Client;
  readonly raw: RawClient;
  /** Objects that a round writes. */
  readonly writes: number;
  /** Created pods as they were answered, for updates. */
  readonly kept: Map<string, string>;
}

export interface Step {
  readonly name: string;
  readonly count: (writes: number) => number;
  /** Defaults to 32. */
  readonly clients?: number;
  /** The others can't do without it. */
  readonly needed?: boolean;
  one(b: Bench, i: number, round: number): Promise<unknown>;
}

const PODS = '/api/v1/namespaces/default/pods';
const LISTED = '/api/v1/namespaces/listed/pods';
const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const DELETE_NOW = JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0 });

/** About 2.5 kB as stored: a pod as a Deployment makes it. */
export function pod(name: string, i: number): Pod {
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name, labels: { app: `app-${i % 50}`, tier: 'bench' } },
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
  };
}

/** Namespaces and what pods need. */
export async function prepare(b: Bench): Promise<void> {
  const ignore = () => {};
  for (const name of ['default', 'listed'])
    await b.raw
      .send({ method: 'POST', path: '/api/v1/namespaces', body: JSON.stringify({ metadata: { name } }) })
      .catch(ignore);
  for (const ns of ['default', 'listed'])
    await b.raw
      .send({
        method: 'POST',
        path: `/api/v1/namespaces/${ns}/serviceaccounts`,
        body: JSON.stringify({ metadata: { name: 'default' } }),
      })
      .catch(ignore);
}

/** Pods that lists find. */
export const loadPods = (b: Bench, from: number, to: number): Promise<void> =>
  each(32, to - from, (i) =>
    b.raw.send({ method: 'POST', path: LISTED, body: JSON.stringify(pod(`listed-${from + i}`, from + i)) }),
  );

const list = (name: string, count: number, query: (i: number) => string, accept?: string): Step => ({
  name,
  count: () => count,
  clients: 4,
  one: (b, i) => b.raw.send({ path: `${LISTED}${query(i)}`, accept }),
});

async function pages(b: Bench, accept?: string): Promise<void> {
  let token = '';
  do {
    const body = await b.raw.send({
      path: `${LISTED}?limit=500${token && `&continue=${encodeURIComponent(token)}`}`,
      accept,
    });
    // In JSON the token stands in the list's metadata at the front, in protobuf as a plain string as well.
    const found = /"continue":"([^"]+)"|(eyJ[A-Za-z0-9_-]+)/.exec(body.toString('latin1', 0, 600));
    token = found?.[1] ?? found?.[2] ?? '';
  } while (token !== '');
}

export const STEPS: readonly Step[] = [
  {
    name: 'create',
    count: (n) => n,
    needed: true,
    async one(b, i, r) {
      const name = `p-${r}-${i}`;
      const made = await b.raw.send({ method: 'POST', path: PODS, body: JSON.stringify(pod(name, i)) });
      b.kept.set(name, made.toString());
    },
  },
  { name: 'get', count: (n) => 2 * n, one: (b, i, r) => b.raw.send({ path: `${PODS}/p-${r}-${i % b.writes}` }) },
  {
    name: 'update',
    count: (n) => n,
    one(b, i, r) {
      const name = `p-${r}-${i}`;
      const body = b.kept.get(name)!.replace('"tier":"bench"', '"tier":"updated"');
      b.kept.delete(name);
      return b.raw.send({ method: 'PUT', path: `${PODS}/${name}`, body });
    },
  },
  {
    name: 'patch',
    count: (n) => n,
    one: (b, i, r) =>
      b.raw.send({
        method: 'PATCH',
        path: `${PODS}/p-${r}-${i}/status`,
        type: 'application/strategic-merge-patch+json',
        body: JSON.stringify({
          status: {
            phase: 'Running',
            podIP: `10.0.${i >> 8}.${i & 255}`,
            conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }],
          },
        }),
      }),
  },
  {
    name: 'apply',
    count: (n) => n,
    one: (b, i, r) =>
      b.raw.send({
        method: 'PATCH',
        path: `${PODS}/p-${r}-${i}?fieldManager=bench&force=true`,
        type: 'application/apply-patch+yaml',
        body: JSON.stringify({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: `p-${r}-${i}`, labels: { applied: 'yes' } },
        }),
      }),
  },
  {
    name: 'delete',
    count: (n) => n,
    needed: true,
    one: (b, i, r) => b.raw.send({ method: 'DELETE', path: `${PODS}/p-${r}-${i}`, body: DELETE_NOW }),
  },
  list('list all', 8, () => ''),
  list('list all, protobuf', 8, () => '', PROTOBUF),
  list('list by label', 100, (i) => `?labelSelector=app%3Dapp-${i % 50}`),
  list('list by label, protobuf', 100, (i) => `?labelSelector=app%3Dapp-${i % 50}`, PROTOBUF),
  list('list by node', 100, (i) => `?fieldSelector=spec.nodeName%3Dnode-${i % 100}`),
  list('list by node, protobuf', 100, (i) => `?fieldSelector=spec.nodeName%3Dnode-${i % 100}`, PROTOBUF),
  { name: 'list in pages', count: () => 4, clients: 1, one: (b) => pages(b) },
  { name: 'list in pages, protobuf', count: () => 4, clients: 1, one: (b) => pages(b, PROTOBUF) },
];

/** Watches a connection carries: as many as the peer allows by default. */
const PER_CONNECTION = 100;

/** Opens watches, makes updates one after the other, and tells how long each event took to each watcher. */
export async function fanOut(
  server: BenchServer,
  b: Bench,
  watchers: number,
  updates: number,
): Promise<{ seconds: number; delays: number[] }> {
  const { ca, cert, key } = server.client.options;
  const path = '/api/v1/namespaces/default/configmaps';
  const name = `fan-${Date.now()}`;
  await b.raw.send({ method: 'POST', path, body: JSON.stringify({ metadata: { name }, data: { sent: '0' } }) });
  const sessions: ClientHttp2Session[] = [];
  const delays: number[] = [];
  let open = 0;
  let seen = 0;
  let wake: () => void = () => {};
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  const sentAt = new Map<string, number>();
  for (let i = 0; i < watchers; i++) {
    if (i % PER_CONNECTION === 0) sessions.push(http2.connect(server.url, { ca, cert, key }));
    const stream = sessions.at(-1)!.request({ ':path': `${path}?watch=true&fieldSelector=metadata.name%3D${name}` });
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('error', () => {});
    stream.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      const now = performance.now();
      for (const line of lines) {
        const number = /"sent":"(\d+)"/.exec(line)?.[1] ?? '';
        const sent = sentAt.get(number);
        if (sent === undefined) open++;
        else {
          seen++;
          delays.push(now - sent);
        }
      }
      wake();
    });
  }
  await until(() => open === watchers);
  const began = performance.now();
  for (let i = 1; i <= updates; i++) {
    sentAt.set(String(i), performance.now());
    await b.raw.send({
      method: 'PATCH',
      path: `${path}/${name}`,
      type: 'application/merge-patch+json',
      body: JSON.stringify({ data: { sent: String(i) } }),
    });
  }
  await until(() => seen >= watchers * updates);
  const seconds = (performance.now() - began) / 1000;
  for (const s of sessions) s.destroy();
  await b.raw.send({ method: 'DELETE', path: `${path}/${name}` });
  return { seconds, delays };
}
