/** The cluster's API as the page sees it: the same origin, the person's cookie. */
import type { ObjectMeta } from '../../api/types.ts';

export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

export interface Table {
  columnDefinitions: { name: string; type: string; priority: number }[];
  rows: { cells: (string | number | boolean | null)[]; object: KubeObject }[];
  metadata?: { resourceVersion?: string };
}

/** A resource as discovery names it. `group` is empty for the core. */
export interface ResourceName {
  group: string;
  version: string;
  resource: string;
}

/** The API refused. `code` 401 means: sign in. */
export class ApiError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Called when the session is over. */
export const session = { lost: () => {} };

/** The path of a resource, of a namespace's part of it, or of one object. */
export function pathOf(r: ResourceName, namespace?: string, name?: string, subresource?: string): string {
  const parts = [r.group ? `/apis/${r.group}/${r.version}` : `/api/${r.version}`];
  if (namespace) parts.push('namespaces', namespace);
  parts.push(r.resource);
  if (name) parts.push(encodeURIComponent(name));
  if (subresource) parts.push(subresource);
  return parts.join('/');
}

/** One request. @throws ApiError */
export async function request(
  path: string,
  init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> } = {},
): Promise<Response> {
  const answer = await fetch(path, { ...init, headers: { 'x-k8ts-dashboard': '1', ...init.headers } });
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text;
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    // not every refusal is JSON
  }
  if (answer.status === 401 && path !== '/session') session.lost();
  throw new ApiError(answer.status, message);
}

/** The JSON at a path. @throws ApiError */
export async function get<T>(path: string, accept = 'application/json'): Promise<T> {
  return (await (await request(path, { headers: { accept } })).json()) as T;
}

export const AS_TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';

/** The lines of an answer that goes on; ends when the answer does or the signal says so. */
export async function* lines(path: string, signal: AbortSignal, accept = 'application/json'): AsyncGenerator<string> {
  const answer = await request(path, { signal, headers: { accept } });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest) yield rest;
}
