/** Delegated access to a component's own port: the cluster's client CA, TokenReviews and SubjectAccessReviews. */
import { readFileSync } from 'node:fs';
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { plainAnswer, type Answer, type ServingGuard } from '../base/serving.ts';
import { followFiles } from '../base/tls.ts';
import { StatusError, unauthorized } from '../api/status.ts';
import type { Client } from './client.ts';
import { createDelegatedAuth } from './delegated-auth.ts';
import { createInformer } from './informer.ts';
import { configMaps } from './resources.ts';

/** Where the API server publishes the CA that it knows clients by. */
const CONFIG_NAMESPACE = 'kube-system';
const CONFIG_NAME = 'extension-apiserver-authentication';

export interface GuardOptions {
  /** Whom to ask about tokens and the client CA. */
  authentication: Client;
  /** Whom to ask about access. */
  authorization: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  /** Takes the place of the cluster's published CA. */
  clientCaFile?: string;
  /** Don't look the cluster's CA up. */
  skipLookup?: boolean;
  /** Paths open to everybody, a final `*` matches anything; defaults to /healthz, /readyz and /livez. */
  alwaysAllow?: readonly string[];
  /** Default to 10 s each, in milliseconds. */
  tokenTtlMs?: number;
  allowedTtlMs?: number;
  deniedTtlMs?: number;
}

const TTL_MS = 10_000;
const OPEN_PATHS = ['/healthz', '/readyz', '/livez'];

/** Asks for every request as upstream's components do; members of system:masters may do anything. */
export function guardServing(options: GuardOptions): ServingGuard & { close(): void } {
  const { clock, rand, logger } = options;
  const [exact, prefixes] = [new Set<string>(), [] as string[]];
  for (const p of options.alwaysAllow ?? OPEN_PATHS) {
    if (p.endsWith('*')) prefixes.push(p.slice(0, -1));
    else exact.add(p);
  }
  const isOpen = (path: string) => exact.has(path) || prefixes.some((p) => path.startsWith(p));
  const common = {
    clock,
    x509: true,
    tokens: true,
    anonymous: true,
    tokenTtlMs: options.tokenTtlMs ?? TTL_MS,
    allowedTtlMs: options.allowedTtlMs ?? TTL_MS,
    deniedTtlMs: options.deniedTtlMs ?? TTL_MS,
  };
  const authentication = createDelegatedAuth({ ...common, client: options.authentication });
  const authorization = createDelegatedAuth({ ...common, client: options.authorization });

  let changed = (): void => {};
  let ca: string | undefined;
  const take = (text: string | undefined): void => {
    if (text === ca) return;
    ca = text;
    changed();
  };
  const closers: (() => void)[] = [];
  if (options.clientCaFile) {
    ca = readFileSync(options.clientCaFile, 'utf8');
    const file = followFiles({ clock, log: logger, files: [options.clientCaFile] });
    file.onChange(([text]) => take(text!.toString('utf8')));
    closers.push(() => file.close());
  } else if (!options.skipLookup) {
    const published = createInformer(configMaps, {
      client: options.authentication,
      clock,
      rand,
      logger,
      namespace: CONFIG_NAMESPACE,
      fieldSelector: `metadata.name=${CONFIG_NAME}`,
    });
    const seen = (c: { readonly data?: Readonly<Record<string, string>> }) => take(c.data?.['client-ca-file']);
    published.on({ added: seen, updated: seen });
    published.start();
    closers.push(() => published.stop());
  }

  return {
    get clientCa() {
      return ca;
    },
    onChange: (listener) => (changed = listener),
    async refusal(req, path) {
      if (isOpen(path)) return undefined;
      try {
        const user = await authentication.authenticate(req);
        if (!user) return statusAnswer(unauthorized());
        if (user.groups.includes('system:masters')) return undefined;
        const verb = (req.method ?? 'GET').toLowerCase();
        const reason = await authorization.authorize(user, { path, verb });
        if (reason === undefined) return undefined;
        const why = `forbidden: User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(path)}`;
        return statusAnswer(new StatusError(403, 'Forbidden', reason === '' ? why : `${why}: ${reason}`, {}));
      } catch (error) {
        logger.warn('access could not be decided', { path, error: (error as Error).message });
        return plainAnswer(500, 'access could not be decided\n');
      }
    },
    close: () => closers.forEach((c) => c()),
  };
}

const statusAnswer = (error: StatusError): Answer => ({
  code: error.code,
  type: 'application/json',
  body: JSON.stringify(error.status),
});
