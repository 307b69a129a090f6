/** Reaching an aggregated server: its endpoints, TLS with the front proxy's certificate, the user in headers. */
import https from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { StatusError } from '../../../api/status.ts';
import type { DeepReadonly } from '../../../api/types.ts';
import type { Rand } from '../../../base/clock.ts';
import { exchange } from '../../../base/exchange.ts';
import type { UserInfo } from '../../authentication/types.ts';
import type { Elsewhere } from '../../http/aggregation.ts';
import type { ApiRequest, Reply } from '../../http/request.ts';
import { passOn, passUpgrade, type Backend } from '../../proxying/backend.ts';
import { locateService } from '../../proxying/locate.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import { isAvailable, type APIService } from './types.ts';

/** The certificate by which aggregated servers know this one; read anew for each new connection. */
export interface ProxyIdentity {
  cert: Buffer;
  key: Buffer;
}

export interface BackendDeps {
  readonly reader: ObjectReader;
  readonly rand: Rand;
  identity(): ProxyIdentity | undefined;
}

type Headers = Record<string, string | string[]>;

/** The user as front proxies tell it. https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/ */
export function userHeaders(user: UserInfo): Headers {
  const out: Headers = { 'X-Remote-User': user.name };
  if (user.uid) out['X-Remote-Uid'] = user.uid;
  if (user.groups.length > 0) out['X-Remote-Group'] = [...user.groups];
  for (const [k, values] of Object.entries(user.extra ?? {})) out[`X-Remote-Extra-${escapeKey(k)}`] = [...values];
  return out;
}

/** Bytes that can't stand in a header's name are percent-encoded. */
function escapeKey(key: string): string {
  let out = '';
  for (const b of Buffer.from(key)) {
    const c = String.fromCharCode(b);
    out += /[A-Za-z0-9!#$&'*+.^_`|~-]/.test(c) ? c : `%${b.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** One APIService's server. */
export class RemoteServer implements Elsewhere {
  readonly #deps: BackendDeps;
  #service: DeepReadonly<APIService>;
  #agent: https.Agent | undefined;
  #settings = '';

  constructor(service: DeepReadonly<APIService>, deps: BackendDeps) {
    this.#deps = deps;
    this.#service = service;
  }

  /** The service as it is now. */
  get service(): DeepReadonly<APIService> {
    return this.#service;
  }
  set service(service: DeepReadonly<APIService>) {
    this.#service = service;
  }

  close(): void {
    this.#agent?.destroy();
  }

  /** Where a path of it is to be asked for; throws a StatusError (503) when no endpoint serves it. */
  backend(path: string): Backend {
    const { service } = this.#service.spec!;
    const port = service?.port ?? 443;
    const at = locateService(
      this.#deps.reader,
      this.#deps.rand,
      service?.namespace ?? '',
      `https:${service?.name}:${port}`,
    );
    return { ...at, path, agent: this.#currentAgent() };
  }

  /** GETs something as the aggregator itself; resolves with code, type and text. */
  async get(path: string, accept: string, signal: AbortSignal): Promise<{ code: number; type: string; text: string }> {
    const headers: Headers = { ...userHeaders({ name: 'system:kube-aggregator', groups: ['system:masters'] }), accept };
    const { host, port, agent } = this.backend(path);
    const url = new URL(`https://${isIP(host) === 6 ? `[${host}]` : host}:${port}${path}`);
    const answer = await exchange({ url, headers, agent, signal, maxAnswer: MAX_DOCUMENT });
    return { code: answer.code, type: answer.headers['content-type'] ?? '', text: answer.body.toString('utf8') };
  }

  async handle(request: ApiRequest, reply: Reply): Promise<void> {
    let backend: Backend;
    try {
      if (!isAvailable(this.#service)) throw new StatusError(503, '', '');
      backend = this.backend(request.path + (request.rawQuery === '' ? '' : `?${request.rawQuery}`));
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return reply.send(503, 'text/plain; charset=utf-8', Buffer.from('service unavailable\n'));
    }
    await passOn(request, reply, backend, (location) => location, this.#headers(request));
  }

  async upgrade(request: ApiRequest, socket: Duplex, head: Buffer): Promise<void> {
    if (!isAvailable(this.#service)) throw new StatusError(503, 'ServiceUnavailable', 'service unavailable');
    await passUpgrade(
      request,
      socket,
      head,
      this.backend(request.path + (request.rawQuery === '' ? '' : `?${request.rawQuery}`)),
      this.#headers(request),
    );
  }

  /** What is added to a client's headers; its own attempts at being somebody are taken away. */
  #headers(request: ApiRequest): Record<string, string | string[] | undefined> {
    const out: Record<string, string | string[] | undefined> = {};
    for (const name of Object.keys(request.headers)) if (name.startsWith('x-remote-')) out[name] = undefined;
    return { ...out, ...userHeaders(request.user) };
  }

  #currentAgent(): https.Agent {
    const { spec } = this.#service;
    const identity = this.#deps.identity();
    const settings = JSON.stringify([
      spec?.caBundle,
      spec?.insecureSkipTLSVerify,
      spec?.service,
      identity?.cert.toString('base64'),
    ]);
    if (!this.#agent || settings !== this.#settings) {
      this.#agent?.destroy();
      this.#settings = settings;
      this.#agent = new https.Agent({
        cert: identity?.cert,
        key: identity?.key,
        ca: spec?.caBundle ? Buffer.from(spec.caBundle, 'base64') : undefined,
        rejectUnauthorized: spec?.insecureSkipTLSVerify !== true,
        servername: `${spec?.service?.name}.${spec?.service?.namespace}.svc`,
        keepAlive: true,
      });
    }
    return this.#agent;
  }
}

const MAX_DOCUMENT = 16 * 1024 * 1024;
