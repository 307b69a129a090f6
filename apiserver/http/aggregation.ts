/** The seam for group versions that other servers answer (API aggregation). */
import type { Duplex } from 'node:stream';
import type { ApiRequest, Reply } from './request.ts';

/** Answers requests in place of this server. */
export interface Elsewhere {
  handle(request: ApiRequest, reply: Reply): Promise<void> | void;
  upgrade(request: ApiRequest, socket: Duplex, head: Buffer): Promise<void>;
}

/** By `group/version`, and by path for documents. */
export class Aggregation {
  readonly #versions = new Map<string, Elsewhere>();

  set(groupVersion: string, elsewhere: Elsewhere): void {
    this.#versions.set(groupVersion, elsewhere);
  }
  delete(groupVersion: string): void {
    this.#versions.delete(groupVersion);
  }

  /** Who answers `/apis/GROUP/VERSION[/...]` or `/openapi/v3/apis/GROUP/VERSION`; undefined for this server. */
  find(path: string): Elsewhere | undefined {
    if (this.#versions.size === 0) return undefined;
    const from = path.startsWith('/apis/') ? 6 : path.startsWith('/openapi/v3/apis/') ? 17 : 0;
    if (from === 0) return undefined;
    const slash = path.indexOf('/', from);
    if (slash < 0) return undefined;
    const end = path.indexOf('/', slash + 1);
    return this.#versions.get(path.slice(from, end < 0 ? undefined : end));
  }
}
