/** The subresources that lead to a node: log, exec, attach, portforward, and proxy for pods, services and nodes. */
import { badRequest, notFound, pathNotFound } from '../../api/status.ts';
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Clock, Rand } from '../../base/clock.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import { webSocketSinkFor } from '../http/upgrade.ts';
import type { ObjectReader } from '../registry/definition.ts';
import type { RawHandler, SpecialHandlers } from '../registry/special.ts';
import { fetchFrom, passOn, passUpgrade, readText, statusOf, type Backend } from './backend.ts';
import {
  locateKubelet,
  locatePod,
  locateService,
  splitProxyName,
  type KubeletSettings,
  type Located,
} from './locate.ts';
import { checkLogOptions } from './log-options.ts';

export interface ProxyDeps {
  reader: ObjectReader;
  rand: Rand;
  clock: Clock;
  kubelet: KubeletSettings;
}

const PODS = { group: '', resource: 'pods' };

/** Registers all of them. */
export function registerProxyHandlers(special: SpecialHandlers, deps: ProxyDeps): void {
  special.register('pods/log', {
    type: 'raw',
    handle: (request, reply) => serveLog(deps, request, reply),
    upgrade: (request, socket, head) => serveLogOverWebSocket(deps, request, socket, head),
  });
  for (const [subresource, path, names] of [
    ['exec', 'exec', STREAM_FLAGS],
    ['attach', 'attach', STREAM_FLAGS],
  ] as const)
    special.register(
      `pods/${subresource}`,
      upgradeOnly((request) => containerStream(deps, request, path, names)),
    );
  special.register(
    'pods/portforward',
    upgradeOnly((request) => {
      const pod = scheduledPod(deps, request);
      const query = new URLSearchParams();
      for (const p of request.query.getAll('ports')) query.append('port', p);
      return kubeletBackend(deps, pod, `/portForward/${segments(request.info.namespace, request.info.name)}`, query);
    }),
  );
  const proxies: [string, (request: ApiRequest) => Located & { kubelet?: boolean }][] = [
    ['pods/proxy', (r) => locatePod(deps.reader, r.info.namespace, r.info.name)],
    ['services/proxy', (r) => locateService(deps.reader, deps.rand, r.info.namespace, r.info.name)],
    ['nodes/proxy', (r) => locateNode(deps, r.info.name)],
  ];
  // pods and services behind the proxy subresource have certificates that nobody here can know
  const unverified = new Agent({ rejectUnauthorized: false });
  for (const [key, locate] of proxies) special.register(key, proxyHandler(deps, locate, unverified));
}

const segments = (...parts: string[]) => parts.map(encodeURIComponent).join('/');

function locateNode(deps: ProxyDeps, id: string): Located & { kubelet?: boolean } {
  const { scheme, name, port } = splitProxyName(id);
  const kubelet = locateKubelet(deps.reader, name, deps.kubelet);
  if (port === '' || Number(port) === kubelet.port) return { ...kubelet, kubelet: true };
  return { scheme: scheme === 'https' ? 'https' : 'http', host: kubelet.host, port: Number(port) };
}

function findPod(deps: ProxyDeps, request: ApiRequest): DeepReadonly<Pod> {
  const pod = deps.reader.get<Pod>('pods', request.info.namespace, request.info.name);
  if (!pod) throw notFound(PODS, request.info.name);
  return pod;
}

function scheduledPod(deps: ProxyDeps, request: ApiRequest): DeepReadonly<Pod> {
  const pod = findPod(deps, request);
  if (!pod.spec?.nodeName) throw badRequest(`pod ${pod.metadata?.name} does not have a host assigned`);
  return pod;
}

/** The container a request is about: named, or the only one. */
function containerOf(pod: DeepReadonly<Pod>, asked: string | null): string {
  const spec = pod.spec;
  const name = pod.metadata?.name;
  const main = (spec?.containers ?? []).map((c) => c.name);
  const init = (spec?.initContainers ?? []).map((c) => c.name);
  const ephemeral = (spec?.ephemeralContainers ?? []).map((c) => c.name);
  if (!asked) {
    if (main.length === 1) return main[0]!;
    const others = init.length ? ` or one of the init containers: [${init.join(' ')}]` : '';
    throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${main.join(' ')}]${others}`);
  }
  if (![...main, ...init, ...ephemeral].includes(asked))
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  return asked;
}

function kubeletBackend(deps: ProxyDeps, pod: DeepReadonly<Pod>, path: string, query: URLSearchParams): Backend {
  const at = locateKubelet(deps.reader, pod.spec!.nodeName!, deps.kubelet);
  const q = query.toString();
  return { ...at, path: q === '' ? path : `${path}?${q}`, agent: deps.kubelet.agent };
}

/** The API's names of stream flags, and the kubelet's. */
const STREAM_FLAGS = { stdin: 'input', stdout: 'output', stderr: 'error', tty: 'tty' } as const;

function containerStream(deps: ProxyDeps, request: ApiRequest, path: string, names: typeof STREAM_FLAGS): Backend {
  const pod = scheduledPod(deps, request);
  const container = containerOf(pod, request.query.get('container'));
  const query = new URLSearchParams();
  for (const [ours, theirs] of Object.entries(names)) if (isTrue(request.query.get(ours))) query.set(theirs, '1');
  for (const c of request.query.getAll('command')) query.append('command', c);
  return kubeletBackend(deps, pod, `/${path}/${segments(request.info.namespace, request.info.name, container)}`, query);
}

const isTrue = (v: string | null) =>
  v === 'true' || v === '1' || v === 'True' || v === 'TRUE' || v === 't' || v === 'T';

function upgradeOnly(target: (request: ApiRequest) => Backend): RawHandler {
  return {
    type: 'raw',
    async handle(request) {
      target(request); // what is wrong with the request itself comes first
      throw badRequest('Upgrade request required');
    },
    upgrade: (request, socket, head) => passUpgrade(request, socket, head, target(request)),
  };
}

/** Where the kubelet serves the log that is asked for; undefined while the pod has no node. */
function logBackend(deps: ProxyDeps, request: ApiRequest): Backend | undefined {
  const query = checkLogOptions(request.query, request.info.name);
  const pod = findPod(deps, request);
  const container = containerOf(pod, request.query.get('container'));
  if (!pod.spec?.nodeName) return undefined;
  const path = `/containerLogs/${segments(request.info.namespace, request.info.name, container)}`;
  return kubeletBackend(deps, pod, path, query);
}

/** The kubelet's answer; throws a StatusError made of a refusal. */
async function openLog(backend: Backend, signal: AbortSignal): Promise<IncomingMessage> {
  const answer = await fetchFrom(backend, 'GET', {}, signal);
  if ((answer.statusCode ?? 500) >= 300) throw statusOf(answer.statusCode ?? 500, await readText(answer));
  return answer;
}

async function serveLog(deps: ProxyDeps, request: ApiRequest, reply: Reply): Promise<void> {
  if (request.info.verb !== 'get') throw pathNotFound();
  const backend = logBackend(deps, request);
  if (!backend) return reply.send(204, '', Buffer.alloc(0));
  const gone = new AbortController();
  reply.onClose(() => gone.abort());
  const answer = await openLog(backend, gone.signal);
  const sink = reply.stream(200, 'text/plain');
  answer.pipe(sink);
  await new Promise<void>((resolve) => {
    answer.once('close', resolve);
    answer.once('error', () => sink.destroy());
  });
}

/** Bytes that may wait for a slow reader before the kubelet is read on. */
const MAX_PENDING = 1024 * 1024;

async function serveLogOverWebSocket(
  deps: ProxyDeps,
  request: ApiRequest,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const open = webSocketSinkFor(request, socket, head, false);
  const backend = logBackend(deps, request);
  const gone = new AbortController();
  const answer = backend && (await openLog(backend, gone.signal));
  const sink = await open();
  sink.onClose(() => gone.abort());
  try {
    for await (const chunk of (answer ?? []) as AsyncIterable<Buffer>) {
      sink.write(chunk);
      while (sink.pending > MAX_PENDING && !gone.signal.aborted) await deps.clock.sleep(20);
    }
    sink.end();
  } catch {
    sink.destroy(); // the client or the kubelet broke off
  }
}

function proxyHandler(
  deps: ProxyDeps,
  locate: (request: ApiRequest) => Located & { kubelet?: boolean },
  unverified: Agent,
): RawHandler {
  /** The API path that stands before the backend's own. */
  const prefixOf = (request: ApiRequest) => {
    const { path, info } = request;
    const tail = info.rest === '' ? '' : `/${info.rest}`;
    return path.slice(0, path.length - tail.length).replace(/\/$/, '');
  };
  const backendOf = (request: ApiRequest): Backend => {
    const { kubelet, ...at } = locate(request);
    const path = `/${request.info.rest}${request.rawQuery === '' ? '' : `?${request.rawQuery}`}`;
    return { ...at, path, ...(at.scheme === 'https' ? { agent: kubelet ? deps.kubelet.agent : unverified } : {}) };
  };
  return {
    type: 'raw',
    async handle(request, reply) {
      const backend = backendOf(request);
      if (
        request.info.rest === '' &&
        !request.path.endsWith('/') &&
        (request.method === 'GET' || request.method === 'HEAD')
      ) {
        reply.header('location', `${request.path}/${request.rawQuery === '' ? '' : `?${request.rawQuery}`}`);
        return reply.send(301, '', Buffer.alloc(0));
      }
      const own = `${backend.scheme}://${backend.host}`;
      await passOn(request, reply, backend, (location) => {
        if (location.startsWith('/')) return prefixOf(request) + location;
        return location.startsWith(own) ? prefixOf(request) + new URL(location).pathname : location;
      });
    },
    upgrade: (request, socket, head) => passUpgrade(request, socket, head, backendOf(request)),
  };
}
