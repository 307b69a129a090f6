/** Reads a kubeconfig into what createClient takes. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { parseYaml } from '../base/yaml.ts';
import { followFiles, type ReloadingFiles } from '../base/tls.ts';

/** Where the API server is and who we are to it. PEM everywhere. */
export interface ConnectionOptions {
  /** https://host:port without a trailing slash. */
  server: string;
  ca?: string | Buffer;
  /** The file that `ca` was read from, if it was one. */
  caFile?: string;
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
export const loadKubeconfig = (file: string, context?: string): ConnectionOptions =>
  readKubeconfig(file, context).connection;

/** Also the files that the context is made of, the kubeconfig first. A token's file is no part: it is read each time. */
export function readKubeconfig(file: string, context?: string): Reading {
  const files = [file];
  const config = parseYaml(readFileSync(file, 'utf8')) as KubeconfigFile;
  const name = context ?? config['current-context'];
  const ctx = config.contexts?.find((c) => c.name === name)?.context;
  if (!ctx) throw new Error(`kubeconfig ${file} has no context ${JSON.stringify(name)}`);
  const cluster = config.clusters?.find((c) => c.name === ctx.cluster)?.cluster;
  if (!cluster) throw new Error(`kubeconfig ${file} has no cluster ${JSON.stringify(ctx.cluster)}`);
  const user = config.users?.find((u) => u.name === ctx.user)?.user ?? {};
  const pem = (from: Record<string, unknown>, key: string): Buffer | undefined => {
    const data = from[`${key}-data`];
    if (typeof data === 'string') return Buffer.from(data, 'base64');
    if (typeof from[key] !== 'string') return undefined;
    const path = resolve(dirname(file), from[key]);
    files.push(path);
    return readFileSync(path);
  };
  const tokenFile = user['tokenFile'];
  const token = user['token'];
  const connection: ConnectionOptions = {
    server: String(cluster['server']).replace(/\/$/, ''),
    ca: pem(cluster, 'certificate-authority'),
    caFile: files[1],
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
  return { connection, files: [...new Set(files)] };
}

/** What a connection is made of, and the files that it was read from. */
export interface Reading {
  connection: ConnectionOptions;
  files: string[];
}

export interface FollowOptions {
  clock: Clock;
  logger: Logger;
  changed(connection: ConnectionOptions): void;
  /** See ReloadOptions. */
  intervalMs?: number;
}

/**
 * Follows the files of a connection: `changed` hears of each new one, so that rotated certificates, keys and
 * authorities are taken up without a restart. What can't be read (or what `changed` refuses by throwing) leaves the old
 * connection in force.
 */
export function followConnection(read: () => Reading, options: FollowOptions): { close(): void } {
  const { clock, logger } = options;
  let followed: ReloadingFiles;
  function follow(files: string[]): void {
    followed = followFiles({ clock, log: logger, files, intervalMs: options.intervalMs });
    followed.onChange(() => {
      const next = read();
      options.changed(next.connection);
      logger.info('the connection to the API server was read again', { files });
      if (next.files.join('\n') === files.join('\n')) return;
      followed.close();
      follow(next.files);
    });
  }
  follow(read().files);
  return { close: () => followed.close() };
}

/** The same for a kubeconfig and the files that it names. */
export const followKubeconfig = (file: string, options: FollowOptions): { close(): void } =>
  followConnection(() => readKubeconfig(file), options);
