/** Discovery in both forms, the index and /version. */
import { KUBERNETES_MAJOR, KUBERNETES_MINOR, KUBERNETES_VERSION } from '../../api/version.ts';
import type { JsonObject } from '../../api/types.ts';
import { pathNotFound, StatusError } from '../../api/status.ts';
import { demandAccepted, MethodPaths, methodRefused, pageNotFound, type PathRoutes } from '../http/paths.ts';
import { negotiate, type View } from '../http/negotiate.ts';
import { contentType, encodeObject } from '../http/render.ts';
import { gzipIfWanted } from '../http/compress.ts';
import type { ApiRequest, Reply } from '../http/request.ts';
import type { DiscoveryOverlay } from './overlay.ts';
import type { Catalog } from '../registry/catalog.ts';
import { AggregatedDiscovery } from './aggregated.ts';
import { groupList, groupOf, resourceList, coreVersions } from './legacy.ts';

/** The version that this server answers for. */
export const VERSION = {
  major: KUBERNETES_MAJOR,
  minor: KUBERNETES_MINOR,
  emulationMajor: KUBERNETES_MAJOR,
  emulationMinor: KUBERNETES_MINOR,
  minCompatibilityMajor: KUBERNETES_MAJOR,
  minCompatibilityMinor: String(Number(KUBERNETES_MINOR) - 1),
  gitVersion: KUBERNETES_VERSION,
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2026-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

const OFFER = { transforms: false, protobuf: true } as const;
const TYPES = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];

/** What upstream's router demands of a document's path. */
function routed(request: ApiRequest): void {
  if (request.method !== 'GET') throw methodRefused();
  demandAccepted(request, TYPES);
}

function plainly(request: ApiRequest): View {
  try {
    return negotiate(request, OFFER);
  } catch (error) {
    if (error instanceof StatusError) delete error.status.details;
    throw error;
  }
}

export function discoveryRoutes(paths: PathRoutes, catalog: Catalog, overlay: DiscoveryOverlay): void {
  const aggregated = new AggregatedDiscovery(catalog, overlay);
  const get = new MethodPaths(paths, ['GET']);
  const answer = (request: ApiRequest, reply: Reply, object: JsonObject) => {
    const view = plainly(request);
    gzipIfWanted(request, reply, 200, contentType(view), encodeObject(object, view));
  };
  for (const slash of ['', '/']) {
    get.exact(`/version${slash}`, (request, reply) => {
      demandAccepted(request, ['application/json']);
      reply.send(200, 'application/json', Buffer.from(JSON.stringify(VERSION, null, 2)));
    });
    get.exact(`/api${slash}`, (request, reply) => {
      demandAccepted(request, TYPES);
      if (!aggregated.serve(request, reply, true)) answer(request, reply, coreVersions(request));
    });
    // Any method will do here, as upstream.
    paths.exact(`/apis${slash}`, (request, reply) => {
      if (!aggregated.serve(request, reply, false)) answer(request, reply, groupList(catalog, overlay));
    });
  }
  get.prefix('/version/', () => {
    throw pathNotFound();
  });
  paths.prefix('/api/', (request, reply) => {
    const [version, ...rest] = segments(request.path, '/api/');
    if (rest.length > 0 || !version || !catalog.hasGroup('', version)) throw pathNotFound();
    routed(request);
    answer(request, reply, resourceList(catalog, '', version));
  });
  paths.prefix('/apis/', (request, reply) => {
    const [group, version, ...rest] = segments(request.path, '/apis/');
    if (
      rest.length > 0 ||
      !group ||
      !(catalog.hasGroup(group, version) || (version === undefined && overlay.groups(catalog).has(group)))
    ) {
      if (group !== undefined && !catalog.hasBuiltinGroup(group)) return pageNotFound(reply);
      throw pathNotFound();
    }
    // A group answers any method, too.
    if (version !== undefined) routed(request);
    answer(
      request,
      reply,
      version === undefined ? groupOf(catalog, overlay, group) : resourceList(catalog, group, version),
    );
  });
  for (const index of ['/', '/index.html']) {
    paths.exact(index, (_request, reply) => {
      const list = new Set(
        paths
          .paths()
          .filter(
            (p) => p !== '/' && p !== '/index.html' && (p === '/apis/' || p === '/openapi/v3/' || !p.endsWith('/')),
          ),
      );
      list.add('/api/v1');
      for (const [group, versions] of overlay.groups(catalog)) {
        list.add(`/apis/${group}`);
        for (const v of versions) list.add(`/apis/${group}/${v}`);
      }
      reply.send(200, 'application/json', Buffer.from(JSON.stringify({ paths: [...list].sort() }, null, 2)));
    });
  }
}

function segments(path: string, prefix: string): string[] {
  return path
    .slice(prefix.length)
    .split('/')
    .filter((s) => s !== '');
}
