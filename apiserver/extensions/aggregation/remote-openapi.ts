/** What an aggregated server's OpenAPI documents say of its group version. */
import type { RemoteDocuments } from '../../../api/openapi/index.ts';
import type { JsonObject, JsonValue } from '../../../api/types.ts';
import { isObject } from '../schema/equal.ts';
import type { RemoteServer } from './backend.ts';

/** Asks for both versions; what can't be had is left out. */
export async function fetchDocuments(remote: RemoteServer, signal: AbortSignal): Promise<RemoteDocuments> {
  const { group, version } = remote.service.spec!;
  const document = `apis/${group}/${version}`;
  const index = await fetchJson(remote, '/openapi/v3', signal);
  const entry = isObject(index?.['paths']) ? index['paths'][document] : undefined;
  const url =
    isObject(entry) && typeof entry['serverRelativeURL'] === 'string' ? entry['serverRelativeURL'] : undefined;
  const whole = await fetchJson(remote, '/openapi/v2', signal);
  return { document, url, v2: whole && partOf(whole, `/${document}`) };
}

async function fetchJson(remote: RemoteServer, path: string, signal: AbortSignal): Promise<JsonObject | undefined> {
  try {
    const { code, text } = await remote.get(path, 'application/json', signal);
    const value = code === 200 ? (JSON.parse(text) as JsonValue) : undefined;
    return isObject(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** The paths below `prefix`, with the definitions that they lead to. */
function partOf(document: JsonObject, prefix: string): { paths: JsonObject; definitions: JsonObject } {
  const paths: JsonObject = {};
  const definitions: JsonObject = {};
  const all = (isObject(document['definitions']) ? document['definitions'] : {}) as JsonObject;
  const follow = (value: JsonValue | undefined): void => {
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) return value.forEach(follow);
    const ref = value['$ref'];
    if (typeof ref === 'string' && ref.startsWith('#/definitions/')) {
      const name = ref.slice('#/definitions/'.length);
      if (!Object.hasOwn(definitions, name) && Object.hasOwn(all, name)) {
        definitions[name] = all[name]!;
        follow(all[name]);
      }
    }
    for (const v of Object.values(value)) follow(v);
  };
  for (const [path, item] of Object.entries((document['paths'] ?? {}) as JsonObject))
    if (path === prefix || path.startsWith(`${prefix}/`)) {
      paths[path] = item!;
      follow(item);
    }
  return { paths, definitions };
}
