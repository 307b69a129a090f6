/**
 * How a node that holds nothing but a URL and a token comes to trust a server: the ConfigMap kube-public/cluster-info
 * carries the CA and is signed with the token's secret (KEP-130, "bootstrap tokens").
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { parse } from 'yaml';
import type { Clock } from '../../base/clock.ts';
import { StatusError } from '../../api/status.ts';
import { createClient } from '../../client/client.ts';
import { configMaps } from '../../client/resources.ts';
import { NODE_CONFIG_MAP, type NodeSettings } from './options.ts';

/** A failure that trying again won't mend; its message is one sentence for a person. */
export class JoinError extends Error {}

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const base64url = (s: string | Buffer) => Buffer.from(s).toString('base64url');

function signatureHolds(kubeconfig: string, jws: string, tokenSecret: string): boolean {
  const [header = '', , signature = ''] = jws.split('.');
  const mac = createHmac('sha256', tokenSecret)
    .update(`${header}.${base64url(kubeconfig)}`)
    .digest();
  const given = Buffer.from(signature, 'base64url');
  return given.length === mac.length && timingSafeEqual(given, mac);
}

/** What a node learns of its cluster before it joins. */
export interface Discovered {
  ca: string;
  settings: NodeSettings;
}

const errorCode = (error: unknown) => (error as { code?: unknown }).code;

/**
 * Fetches and verifies the cluster's CA, then its node settings over a verified connection.
 * Tries for `waitMs` while the server can't be reached or hasn't signed for this token yet.
 */
export async function discover(options: {
  server: string;
  token: string;
  clock: Clock;
  waitMs: number;
  say(line: string): void;
}): Promise<Discovered> {
  const m = TOKEN.exec(options.token);
  if (!m)
    throw new JoinError(
      `the token must look like abcdef.0123456789abcdef; make one on the server with: k8ts token create`,
    );
  const [, id, secret] = m as unknown as [string, string, string];
  const until = options.clock.monotonic() + options.waitMs;
  let said = '';
  for (;;) {
    try {
      return await attempt(options.server, options.token, id, secret);
    } catch (error) {
      if (error instanceof JoinError) throw error;
      const why = describe(error, options.server);
      if (options.clock.monotonic() > until) throw new JoinError(why);
      if (why !== said) options.say(`waiting: ${why}`);
      said = why;
      await options.clock.sleep(500);
    }
  }
}

function describe(error: unknown, server: string): string {
  const code = errorCode(error);
  if (error instanceof NotSigned) return error.message;
  if (error instanceof StatusError) return `${server} answered: ${error.message}`;
  if (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || code === 'ETIMEDOUT')
    return `no API server answers at ${server}`;
  return `${server} can't be reached: ${error instanceof Error ? error.message : String(error)}`;
}

/** The server has no signature for this token: unknown, expired, or not signed yet. */
class NotSigned extends Error {}

async function attempt(server: string, token: string, id: string, secret: string): Promise<Discovered> {
  const open = createClient({ server, insecureSkipTlsVerify: true, userAgent: 'k8ts-agent' });
  let kubeconfig: string;
  try {
    const info = await open.get(configMaps, 'cluster-info', 'kube-public');
    kubeconfig = info.data?.['kubeconfig'] ?? '';
    const jws = info.data?.[`jws-kubeconfig-${id}`];
    if (jws === undefined)
      throw new NotSigned(`the server at ${server} doesn't know the token ${id} (or it has expired)`);
    if (!signatureHolds(kubeconfig, jws, secret))
      throw new JoinError(
        `the server at ${server} doesn't hold the secret of token ${id}: wrong token or wrong server`,
      );
  } finally {
    open.close();
  }
  const config = parse(kubeconfig) as { clusters: { cluster: { 'certificate-authority-data': string } }[] };
  const ca = Buffer.from(config.clusters[0]!.cluster['certificate-authority-data'], 'base64').toString('utf8');
  const verified = createClient({ server, ca, token, userAgent: 'k8ts-agent' });
  try {
    const settings = await verified.get(configMaps, NODE_CONFIG_MAP, 'kube-system');
    return { ca, settings: JSON.parse(settings.data?.['settings'] ?? '{}') as NodeSettings };
  } catch (error) {
    if (String(errorCode(error)).includes('CERT'))
      throw new JoinError(`the certificate of ${server} isn't signed by the cluster's CA`);
    throw error;
  } finally {
    verified.close();
  }
}
