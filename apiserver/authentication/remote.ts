/** Requests to other servers that authentication and authorization ask: identity providers and webhooks. */
import https from 'node:https';
import { dirname, resolve } from 'node:path';
import { decodeYaml } from '../../api/codec/yaml.ts';
import type { JsonObject, JsonValue } from '../../api/types.ts';
import type { Clock } from '../../base/clock.ts';
import { exchange } from '../../base/exchange.ts';

/** How a server is reached. PEM everywhere; the runtime's authorities are trusted when `ca` is absent. */
export interface RemoteTarget {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  /** The name to verify in the certificate, when it differs from the URL's host. */
  serverName?: string;
  insecure?: boolean;
  /** The value of Authorization; asked before each request. */
  authorization?(): string | undefined;
}

/** The server gave no answer that could be used. Its message is for the log: it may name addresses. */
class RemoteError extends Error {
  /** Another attempt may help. */
  readonly transient: boolean;
  constructor(message: string, transient = false) {
    super(message);
    this.name = 'RemoteError';
    this.transient = transient;
  }
}

export interface Remote {
  /** The answer's body, parsed. Rejects with a RemoteError. */
  json(method: 'GET' | 'POST', url: string, body?: object): Promise<JsonObject>;
  close(): void;
}

/** Answers longer than this are refused, in bytes. */
const MAX_ANSWER = 4 * 1024 * 1024;
/** Codes after which another attempt may help. */
const TRANSIENT = new Set([429, 500, 504]);

/** Connections to a server, kept open between requests. */
export const agentFor = (target: RemoteTarget): https.Agent =>
  new https.Agent({
    keepAlive: true,
    maxSockets: 64,
    ca: target.ca,
    cert: target.cert,
    key: target.key,
    rejectUnauthorized: target.insecure !== true,
    ...(target.serverName === undefined ? {} : { servername: target.serverName }),
  });

/** A server that is asked for JSON; `close` ends its connections. */
export function createRemote(o: { clock: Clock; target: RemoteTarget; timeoutMs: number }): Remote {
  const { target } = o;
  const agent = agentFor(target);

  async function send(method: string, url: URL, body: Buffer | undefined): Promise<Buffer> {
    const authorization = target.authorization?.();
    const { code, body: answer } = await exchange({
      url,
      method,
      agent,
      headers: {
        accept: 'application/json',
        'user-agent': 'kube-apiserver',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body,
      limit: { clock: o.clock, ms: o.timeoutMs },
      maxAnswer: MAX_ANSWER,
    }).catch((error: Error & { code?: string }) => {
      throw new RemoteError(`${method} ${url.href}: ${error.message}`, error.code === 'ECONNRESET');
    });
    if (code >= 200 && code <= 206) return answer;
    throw new RemoteError(`${method} ${url.href}: the server answered ${code}`, TRANSIENT.has(code));
  }

  return {
    async json(method, url, body) {
      const answer = await send(method, new URL(url), body && Buffer.from(JSON.stringify(body)));
      let value: JsonValue;
      try {
        value = JSON.parse(answer.toString('utf8')) as JsonValue;
      } catch {
        throw new RemoteError(`${method} ${url}: the answer is not JSON`);
      }
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw new RemoteError(`${method} ${url}: the answer is no object`);
      return value;
    },
    close: () => agent.destroy(),
  };
}

const FIRST_PAUSE = 500;
const ATTEMPTS = 5;

/** Posts a review to a webhook, again after growing pauses while that may help; the answer is of the same kind. */
export async function postReview(remote: Remote, url: string, review: JsonObject, clock: Clock): Promise<JsonObject> {
  let pause = FIRST_PAUSE;
  for (let attempt = 1; ; attempt++) {
    try {
      const answer = await remote.json('POST', url, review);
      if (answer['kind'] !== review['kind'] || answer['apiVersion'] !== review['apiVersion'])
        throw new RemoteError('the answer is no review of the same kind and version');
      return answer;
    } catch (error) {
      if (!(error instanceof RemoteError) || !error.transient || attempt === ATTEMPTS) throw error;
    }
    await clock.sleep(pause);
    pause *= 1.5;
  }
}

/** Where a webhook's kubeconfig says it is: the cluster's server is the whole URL. */
export interface WebhookAddress extends RemoteTarget {
  url: string;
}

type Entry = Record<string, JsonValue>;

/** Reads the current context of a webhook's kubeconfig. Throws an Error that says what is wrong. */
export function readWebhookKubeconfig(file: string, readFile: (path: string) => Buffer): WebhookAddress {
  const config = decodeYaml(readFile(file)).value as JsonObject | null;
  const named = (list: string, name: unknown, part: string): Entry | undefined =>
    ((config?.[list] ?? []) as Entry[]).find((e) => e['name'] === name)?.[part] as Entry | undefined;
  const context = named('contexts', config?.['current-context'], 'context');
  if (!context) throw new Error('the kubeconfig has no current context');
  const cluster = named('clusters', context['cluster'], 'cluster');
  const server = cluster?.['server'];
  if (!cluster || typeof server !== 'string') throw new Error('the kubeconfig names no server');
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
    throw new Error(`the kubeconfig's server ${JSON.stringify(server)} is no URL`);
  const user = named('users', context['user'], 'user') ?? {};
  for (const way of ['exec', 'auth-provider'])
    if (user[way] !== undefined) throw new Error(`the kubeconfig's user wants ${way}, which webhooks can't use`);
  const beside = (path: string) => readFile(resolve(dirname(file), path));
  const pem = (from: Entry, key: string): Buffer | undefined => {
    const [data, path] = [from[`${key}-data`], from[key]];
    if (typeof data === 'string') return Buffer.from(data, 'base64');
    return typeof path === 'string' ? beside(path) : undefined;
  };
  const text = (key: string) => (typeof user[key] === 'string' ? user[key] : undefined);
  const [token, tokenFile, name] = [text('token'), text('tokenFile'), text('username')];
  return {
    url: url.href,
    ca: pem(cluster, 'certificate-authority'),
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
    serverName: typeof cluster['tls-server-name'] === 'string' ? cluster['tls-server-name'] : undefined,
    insecure: cluster['insecure-skip-tls-verify'] === true,
    authorization() {
      if (tokenFile !== undefined) return `Bearer ${beside(tokenFile).toString('utf8').trim()}`;
      if (token !== undefined) return `Bearer ${token}`;
      if (name === undefined) return undefined;
      return `Basic ${Buffer.from(`${name}:${text('password') ?? ''}`).toString('base64')}`;
    },
  };
}
