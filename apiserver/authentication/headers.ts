/** Headers as authentication needs them: repeated ones apart, names in lower case. */
import { badRequest } from '../../api/status.ts';

export type HeaderSource = {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly rawHeaders?: readonly string[];
};

/** All values of one header (lower-case name), in order. */
export function headerValues(source: HeaderSource, name: string): string[] {
  const present = source.headers[name];
  if (present === undefined) return [];
  if (source.rawHeaders) {
    const out: string[] = [];
    for (let i = 0; i + 1 < source.rawHeaders.length; i += 2) {
      if (source.rawHeaders[i]!.toLowerCase() === name) out.push(source.rawHeaders[i + 1]!);
    }
    return out;
  }
  return Array.isArray(present) ? present : [present];
}

/** Headers that begin with `prefix` (lower case): what follows it, percent-decoded, with the values. */
export function prefixedHeaders(source: HeaderSource, prefix: string): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const name of Object.keys(source.headers)) {
    if (!name.startsWith(prefix) || name.length === prefix.length) continue;
    let key = name.slice(prefix.length);
    try {
      key = decodeURIComponent(key);
    } catch {
      // kept as it came
    }
    const values = headerValues(source, name);
    out.set(key, [...(out.get(key) ?? []), ...values]);
  }
  return out;
}

const TOKEN_PROTOCOL = 'base64url.bearer.authorization.k8s.io.';

/** The bearer token of a request: from Authorization, else from a WebSocket subprotocol. */
export function bearerToken(source: HeaderSource): string | undefined {
  const authorization = source.headers['authorization'];
  if (typeof authorization === 'string') {
    const [scheme, token] = authorization.trim().split(' ');
    if (scheme?.toLowerCase() === 'bearer' && token) return token;
  }
  const protocols = source.headers['sec-websocket-protocol'];
  if (typeof protocols !== 'string' || !protocols.includes(TOKEN_PROTOCOL)) return undefined;
  const list = protocols.split(',').map((p) => p.trim());
  const found = list.find((p) => p.startsWith(TOKEN_PROTOCOL));
  if (!found) return undefined;
  // One more protocol is needed, since the token must not be echoed to the client.
  if (list.length < 2) throw badRequest('a WebSocket with a bearer token needs one more subprotocol');
  const token = Buffer.from(found.slice(TOKEN_PROTOCOL.length), 'base64url').toString('utf8');
  return token === '' ? undefined : token;
}

/** The subprotocols of a request without the one that carries a token. */
export function withoutTokenProtocol(protocols: string): string[] {
  return protocols
    .split(',')
    .map((p) => p.trim())
    .filter((p) => p !== '' && !p.startsWith(TOKEN_PROTOCOL));
}
