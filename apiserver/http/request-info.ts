/** What a URL means to the API: verb, group, version, namespace, resource, name, subresource. */

/** The parts of one request's path, as authorization, admission and routing see them. */
export interface RequestInfo {
  readonly isResourceRequest: boolean;
  readonly path: string;
  /** API verb (get, list, watch, create, update, patch, delete, deletecollection) or the lower-case HTTP method. */
  verb: string;
  apiPrefix: string;
  apiGroup: string;
  apiVersion: string;
  namespace: string;
  resource: string;
  subresource: string;
  name: string;
  /** What follows the subresource (proxy paths), without a leading slash. */
  rest: string;
  /** The path had more than a name and a subresource. */
  readonly parts: readonly string[];
  /** `/api/v1/watch/...`: the old way to ask for a watch. */
  readonly deprecatedWatch: boolean;
}

const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);

function decode(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function methodVerb(method: string): string {
  switch (method) {
    case 'POST':
      return 'create';
    case 'GET':
    case 'HEAD':
      return 'get';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    default:
      return '';
  }
}

function nonResource(path: string, method: string): RequestInfo {
  return {
    isResourceRequest: false,
    path,
    verb: method.toLowerCase(),
    apiPrefix: '',
    apiGroup: '',
    apiVersion: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    rest: '',
    parts: [],
    deprecatedWatch: false,
  };
}

/** True for the spellings of true that Kubernetes' query parameters take; other texts that are not a false also count. */
function queryBool(value: string | null | undefined): boolean {
  if (value === null || value === undefined) return false;
  return !(value === '0' || value.toLowerCase() === 'false');
}

/**
 * Parses a request line. Never fails: what doesn't look like a resource path is a non-resource request.
 * `query` is asked only for watch and for `metadata.name` field selectors of list verbs.
 */
export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  let from = 0;
  let to = path.length;
  while (from < to && path.charCodeAt(from) === 0x2f) from++;
  while (to > from && path.charCodeAt(to - 1) === 0x2f) to--;
  const tail = to < path.length;
  const segments = path.slice(from, to).split('/');
  const prefix = segments[0];
  if (segments.length < 3 || (prefix !== 'api' && prefix !== 'apis')) return nonResource(path, method);
  let at = 1;
  let apiGroup = '';
  if (prefix === 'apis') {
    if (segments.length < 4) return nonResource(path, method);
    apiGroup = segments[1]!;
    at = 2;
  }
  const apiVersion = segments[at++]!;
  let verb = methodVerb(method);
  let deprecatedWatch = false;
  if (segments[at] === 'watch' && segments.length > at + 1) {
    verb = 'watch';
    deprecatedWatch = true;
    at++;
  }
  let namespace = '';
  if (segments[at] === 'namespaces' && segments.length > at + 1) {
    namespace = decode(segments[at + 1]!);
    if (segments.length > at + 2 && !NAMESPACE_SUBRESOURCES.has(segments[at + 2]!)) at += 2;
  }
  const parts = segments.slice(at).map(decode);
  const name = parts[1] ?? '';
  let rest = parts.length > 3 ? segments.slice(at + 3).join('/') : '';
  if (rest !== '' && tail) rest += '/';
  const info: RequestInfo = {
    isResourceRequest: true,
    path,
    verb,
    apiPrefix: prefix,
    apiGroup,
    apiVersion,
    namespace,
    resource: parts[0] ?? '',
    subresource: parts[2] ?? '',
    name,
    rest,
    parts,
    deprecatedWatch,
  };
  if (name === '') {
    if (verb === 'get') info.verb = queryBool(query.get('watch')) && query.has('watch') ? 'watch' : 'list';
    else if (verb === 'delete') info.verb = 'deletecollection';
    if (info.verb === 'list' || info.verb === 'watch' || info.verb === 'deletecollection')
      info.name = nameOf(query.get('fieldSelector'));
  }
  return info;
}

/** The single name that a field selector asks for: authorization by resourceNames counts it. */
function nameOf(fieldSelector: string | null): string {
  if (!fieldSelector?.includes('metadata.name')) return '';
  for (const term of fieldSelector.split(',')) {
    const m = /^metadata\.name==?([^=!]+)$/.exec(term);
    if (m) return m[1]!;
  }
  return '';
}

const LONG_SUBRESOURCES = new Set(['attach', 'exec', 'proxy', 'log', 'portforward']);

/** Requests that may take as long as they like: no timeout, not counted by max-in-flight. */
export function isLongRunning(info: RequestInfo): boolean {
  return (
    info.verb === 'watch' ||
    info.verb === 'proxy' ||
    LONG_SUBRESOURCES.has(info.subresource) ||
    info.path.startsWith('/debug/pprof/')
  );
}
