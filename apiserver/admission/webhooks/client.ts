/** Sends AdmissionReviews to webhooks over HTTPS and reads their answers. */
import https from 'node:https';
import { isIP } from 'node:net';
import { encodeJson } from '../../../api/codec/json.ts';
import type { KubeObject, Status } from '../../../api/types.ts';
import type { Clock } from '../../../base/clock.ts';
import { exchange } from '../../../base/exchange.ts';
import type { Hook } from './hook.ts';

/** The part of an answer that counts. */
export interface AdmissionResponse {
  uid?: string;
  allowed?: boolean;
  status?: Status;
  patch?: string;
  patchType?: string;
  warnings?: string[];
  auditAnnotations?: Record<string, string>;
}

/** Where a Service is reached: the address to connect to. */
export type ServiceResolver = (namespace: string, name: string, port: number) => { host: string; port: number };

/** The webhook could not be asked, or its answer is no answer. */
export class WebhookCallError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WebhookCallError';
  }
}

/** Answers longer than this are refused, in bytes. */
const MAX_ANSWER = 8 * 1024 * 1024;
/** Connections kept for hooks that are gone are closed once so many hooks were seen. */
const MAX_AGENTS = 256;

export interface WebhookClient {
  /** Rejects with a WebhookCallError. */
  call(hook: Hook, review: object): Promise<AdmissionResponse>;
  close(): void;
}

/** Keeps a connection pool for each hook; `close` ends them. */
export function createWebhookClient(o: { clock: Clock; resolve: ServiceResolver }): WebhookClient {
  const agents = new Map<string, https.Agent>();

  function agentOf(hook: Hook): https.Agent {
    let agent = agents.get(hook.id);
    if (!agent) {
      if (agents.size >= MAX_AGENTS) {
        for (const a of agents.values()) a.destroy();
        agents.clear();
      }
      const ca = hook.client.caBundle ? Buffer.from(hook.client.caBundle, 'base64') : undefined;
      agent = new https.Agent({ keepAlive: true, maxSockets: 64, ca });
      agents.set(hook.id, agent);
    }
    return agent;
  }

  function target(hook: Hook): { url: URL; host: string; port: number; serverName: string } {
    const { url: text, service } = hook.client;
    if (service) {
      const name = `${service.name}.${service.namespace}.svc`;
      const port = service.port ?? 443;
      const path = service.path?.startsWith('/') ? service.path : `/${service.path ?? ''}`;
      return {
        url: new URL(`https://${name}:${port}${path}`),
        serverName: name,
        ...o.resolve(service.namespace, service.name, port),
      };
    }
    const url = new URL(text ?? '');
    const host = url.hostname.replace(/^\[|\]$/g, '');
    return { url, host, port: Number(url.port || 443), serverName: host };
  }

  async function send(hook: Hook, body: Buffer): Promise<Buffer> {
    const { url, host, port, serverName } = target(hook);
    url.searchParams.set('timeout', `${hook.timeoutSeconds}s`);
    const { code, body: answer } = await exchange({
      url,
      at: { host, port },
      headers: {
        'Content-Type': 'application/json',
        Accept: 'application/json',
        'User-Agent': 'kube-apiserver-admission',
      },
      body,
      agent: agentOf(hook),
      servername: isIP(serverName) ? undefined : serverName,
      limit: { clock: o.clock, ms: hook.timeoutSeconds * 1000, message: 'context deadline exceeded' },
      maxAnswer: MAX_ANSWER,
    }).catch((error: Error) => {
      throw new Error(`Post ${JSON.stringify(url.href)}: ${error.message}`);
    });
    if (code === 200) return answer;
    throw new Error(`the server answered ${code}: ${answer.toString('utf8').slice(0, 200)}`);
  }

  return {
    async call(hook, review) {
      const { uid } = (review as { request: { uid: string } }).request;
      let answer: Buffer;
      try {
        answer = await send(hook, Buffer.from(encodeJson(review)));
      } catch (error) {
        throw new WebhookCallError(`failed to call webhook: ${error instanceof Error ? error.message : String(error)}`);
      }
      let parsed: (KubeObject & { response?: AdmissionResponse }) | undefined;
      try {
        parsed = JSON.parse(answer.toString('utf8')) as typeof parsed;
      } catch {
        throw new WebhookCallError('received invalid webhook response: it is not JSON');
      }
      const bad = (what: string) => new WebhookCallError(`received invalid webhook response: ${what}`);
      if (parsed?.kind !== 'AdmissionReview' || parsed.apiVersion !== 'admission.k8s.io/v1') {
        throw bad(
          `expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ${parsed?.apiVersion ?? ''}, Kind=${parsed?.kind ?? ''}`,
        );
      }
      const { response } = parsed;
      if (!response) throw bad('webhook response was absent');
      if (response.uid !== uid)
        throw bad(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid)}`);
      if (response.patch && response.patchType !== 'JSONPatch')
        throw bad(`expected response.patchType="JSONPatch", got ${JSON.stringify(response.patchType ?? '')}`);
      return response;
    },
    close() {
      for (const a of agents.values()) a.destroy();
      agents.clear();
    },
  };
}
