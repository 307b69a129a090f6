/** Reads a kubeconfig into what createClient takes. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';

/** Where the API server is and who we are to it. PEM everywhere. */
export interface ConnectionOptions {
  /** https://host:port without a trailing slash. */
  server: string;
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  /** A bearer token, or a function that is asked before each request (tokens rotate). */
  token?: string | (() => string);
  /** The name to verify in the server's certificate, when it differs from the URL's host. */
  serverName?: string;
  insecureSkipTlsVerify?: boolean;
}

interface KubeconfigFile {
  'current-context'?: string;
  clusters?: { name: string; cluster: Record<string, unknown> }[];
  users?: { name: string; user: Record<string, unknown> }[];
  contexts?: { name: string; context: { cluster: string; user: string } }[];
}

/** Loads the current (or the named) context of a kubeconfig file; relative paths are relative to the file. */
export function loadKubeconfig(file: string, context?: string): ConnectionOptions {
  const config = parse(readFileSync(file, 'utf8')) as KubeconfigFile;
  const name = context ?? config['current-context'];
  const ctx = config.contexts?.find((c) => c.name === name)?.context;
  if (!ctx) throw new Error(`kubeconfig ${file} has no context ${JSON.stringify(name)}`);
  const cluster = config.clusters?.find((c) => c.name === ctx.cluster)?.cluster;
  if (!cluster) throw new Error(`kubeconfig ${file} has no cluster ${JSON.stringify(ctx.cluster)}`);
  const user = config.users?.find((u) => u.name === ctx.user)?.user ?? {};
  const pem = (from: Record<string, unknown>, key: string): Buffer | undefined => {
    const data = from[`${key}-data`];
    if (typeof data === 'string') return Buffer.from(data, 'base64');
    const path = from[key];
    return typeof path === 'string' ? readFileSync(resolve(dirname(file), path)) : undefined;
  };
  const tokenFile = user['tokenFile'];
  const token = user['token'];
  return {
    server: String(cluster['server']).replace(/\/$/, ''),
    ca: pem(cluster, 'certificate-authority'),
    cert: pem(user, 'client-certificate'),
    key: pem(user, 'client-key'),
    token:
      typeof token === 'string'
        ? token
        : typeof tokenFile === 'string'
          ? () => readFileSync(resolve(dirname(file), tokenFile), 'utf8').trim()
          : undefined,
    serverName: cluster['tls-server-name'] as string | undefined,
    insecureSkipTlsVerify: cluster['insecure-skip-tls-verify'] === true,
  };
}
