/** The HTTPS server in front of the groups: discovery, access, objects and Tables. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { forbidden, internalError, methodNotAllowed, pathNotFound, StatusError, unauthorized } from '../api/status.ts';
import type { JsonObject } from '../api/types.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { listen } from '../base/serving.ts';
import { followServerCertificate } from '../base/tls.ts';
import type { Access } from './access.ts';
import type { ApiGroup, ReadRequest, Rows } from './group.ts';
import { openApi } from './openapi.ts';

export interface ServerOptions {
  address: string;
  port: number;
  /** PEM, or the files to follow. */
  tls: { cert: string; key: string } | { certFile: string; keyFile: string };
  clock: Clock;
  logger: Logger;
  access: Access;
  groups: readonly ApiGroup[];
  isReady(): boolean;
}

interface Target extends ReadRequest {
  readonly group: ApiGroup;
}

/** Serves until stopped; resolves when it listens. */
export async function serve(options: ServerOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const { access, clock, logger, tls } = options;
  const followed = 'certFile' in tls ? followServerCertificate({ ...tls, clock, log: logger }) : undefined;
  const more = (): SecureContextOptions => ({ ca: [...access.authorities] });
  const context = (): SecureContextOptions => ({ ...more(), ...(followed?.secureContext() ?? (tls as object)) });
  const server = https.createServer(
    { ...context(), requestCert: true, rejectUnauthorized: false },
    (req, res) => void reply(req, res),
  );
  followed?.attach(server, more);
  access.onChange(() => server.setSecureContext(context()));
  server.on('tlsClientError', () => {});

  async function reply(req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      const url = new URL(req.url ?? '/', 'https://x');
      if (/^\/(healthz|livez|readyz)(\/|$)/.test(url.pathname)) {
        const ok = !url.pathname.startsWith('/readyz') || options.isReady();
        res.writeHead(ok ? 200 : 500, { 'Content-Type': 'text/plain; charset=utf-8' }).end(ok ? 'ok' : 'not ready');
        return;
      }
      send(res, 200, await answer(req, url));
    } catch (error) {
      const known = error instanceof StatusError ? error : undefined;
      if (!known) logger.warn('a request failed', { path: req.url, error: (error as Error).message });
      const status = known ?? internalError('the request could not be answered');
      send(res, status.code, status.status as unknown as JsonObject);
    }
  }

  async function answer(req: IncomingMessage, url: URL): Promise<JsonObject> {
    const user = await access.user(req);
    if (!user) throw unauthorized();
    const found = discovery(options.groups, url.pathname) ?? openApi(options.groups, url.pathname);
    if (found) return found;
    const target = parse(options.groups, url);
    const { group, resource, namespace, name } = target;
    const named = { group: group.group, resource };
    if (req.method !== 'GET') throw methodNotAllowed(named, (req.method ?? '').toLowerCase());
    const verb = name === undefined ? 'list' : 'get';
    const reason = await access.refusal(user, {
      verb,
      group: group.group,
      version: group.version,
      resource,
      namespace,
      name,
    });
    if (reason !== undefined) {
      const where = namespace ? `in the namespace ${JSON.stringify(namespace)}` : 'at the cluster scope';
      const why = `User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(group.group)} ${where}`;
      throw forbidden(named, name ?? '', reason === '' ? why : `${why}: ${reason}`);
    }
    const object = await group.read(target);
    const rows = group.rows?.(resource);
    return rows && wantsTable(req) ? toTable(object, rows) : object;
  }

  const { port, close } = await listen(server, options.port, options.address);
  return {
    port,
    async stop() {
      followed?.close();
      await close();
    },
  };
}

function send(res: ServerResponse, code: number, body: JsonObject): void {
  res.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

const versions = (g: ApiGroup) => {
  const version = { groupVersion: `${g.group}/${g.version}`, version: g.version };
  return { name: g.group, versions: [version], preferredVersion: version };
};

/** The documents that say what there is; undefined for other paths. */
function discovery(groups: readonly ApiGroup[], path: string): JsonObject | undefined {
  const plain = path.replace(/\/$/, '');
  if (plain === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(versions) };
  for (const g of groups) {
    if (plain === `/apis/${g.group}`) return { kind: 'APIGroup', apiVersion: 'v1', ...versions(g) };
    if (plain === `/apis/${g.group}/${g.version}`)
      return {
        kind: 'APIResourceList',
        apiVersion: 'v1',
        groupVersion: `${g.group}/${g.version}`,
        resources: g.resources.map((r) => ({ ...r, verbs: [...r.verbs] })),
      };
  }
  return undefined;
}

function parse(groups: readonly ApiGroup[], url: URL): Target {
  const [root, groupName, version, ...rest] = url.pathname.split('/').slice(1).map(decodeURIComponent);
  const group = groups.find((g) => root === 'apis' && g.group === groupName && g.version === version);
  if (!group) throw pathNotFound();
  const inNamespace = rest[0] === 'namespaces' && rest.length > 2;
  const namespace = inNamespace ? rest[1] : undefined;
  const [resource, name, ...more] = inNamespace ? rest.slice(2) : rest;
  const info = group.resources.find((r) => r.name === resource);
  if (!resource || more.length > 0 || name === '') throw pathNotFound();
  if (info ? inNamespace && !info.namespaced : !group.open) throw pathNotFound();
  return { group, resource, namespace, name, query: url.searchParams };
}

const wantsTable = (req: IncomingMessage): boolean => {
  const first = String(req.headers.accept ?? '').split(',')[0]!;
  return /;\s*as=Table/.test(first);
};

function toTable(object: JsonObject, rows: Rows): JsonObject {
  const items = (Array.isArray(object['items']) ? object['items'] : [object]) as JsonObject[];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: (Array.isArray(object['items']) ? object['metadata'] : undefined) ?? {},
    columnDefinitions: rows.columns.map((c) => ({ ...c, format: '', priority: 0 })),
    rows: items.map((o) => ({
      cells: [...rows.cells(o)],
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: o['metadata'] },
    })),
  };
}
