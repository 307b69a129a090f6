/** Paths that aren't resources: health, metrics, version, documents. Others may add theirs. */
import { notAcceptable, StatusError } from '../../api/status.ts';
import type { ApiRequest, Reply } from './request.ts';

/** 405 for a path that exists. */
export function methodRefused(): StatusError {
  return new StatusError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  );
}

export type PathHandler = (request: ApiRequest, reply: Reply) => Promise<void> | void;

/** Registers paths that only some methods may use; others get 405. */
export class MethodPaths {
  readonly #routes: PathRoutes;
  readonly #methods: readonly string[];
  constructor(routes: PathRoutes, methods: readonly string[]) {
    this.#routes = routes;
    this.#methods = methods;
  }
  exact(path: string, handler: PathHandler): void {
    this.#routes.exact(path, this.#checked(handler));
  }
  prefix(prefix: string, handler: PathHandler): void {
    this.#routes.prefix(prefix, this.#checked(handler));
  }
  #checked(handler: PathHandler): PathHandler {
    return (request, reply) => {
      if (!this.#methods.includes(request.method)) throw methodRefused();
      return handler(request, reply);
    };
  }
}

/**
 * Refuses a request that accepts none of these types, whatever parameters it names: what upstream's router says before
 * any handler is asked.
 */
export function demandAccepted(request: ApiRequest, types: readonly string[]): void {
  const accept = request.header('accept') || '*/*';
  const accepted = accept.split(',').map((c) => c.split(';')[0]!.trim());
  if (accepted.some((a) => a === '*/*' || types.includes(a))) return;
  throw notAcceptable(`406: Not Acceptable\n\nAvailable representations: ${types.join(', ')}`);
}

const PAGE_NOT_FOUND = Buffer.from('404 page not found\n');

/** The answer to paths that belong to nobody: no Status, as nothing of the API is there. */
export const pageNotFound = (reply: Reply) => reply.send(404, 'text/plain; charset=utf-8', PAGE_NOT_FOUND);

/** Exact paths first, then the longest prefix that ends in a slash. */
export class PathRoutes {
  readonly #exact = new Map<string, PathHandler>();
  readonly #prefixes: { prefix: string; handler: PathHandler }[] = [];

  exact(path: string, handler: PathHandler): void {
    this.#exact.set(path, handler);
  }
  prefix(prefix: string, handler: PathHandler): void {
    this.#prefixes.push({ prefix, handler });
    this.#prefixes.sort((a, b) => b.prefix.length - a.prefix.length);
  }
  /** Registered exact paths, for the index. */
  paths(): string[] {
    return [...this.#exact.keys()].sort();
  }
  find(path: string): PathHandler | undefined {
    const exact = this.#exact.get(path);
    if (exact) return exact;
    for (const p of this.#prefixes) if (path.startsWith(p.prefix)) return p.handler;
    return undefined;
  }
  serve(request: ApiRequest, reply: Reply): Promise<void> | void {
    const handler = this.find(request.path);
    if (!handler) return pageNotFound(reply);
    return handler(request, reply);
  }
}
