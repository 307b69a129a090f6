/** Failures of decoding: what the client sent can't be read as what it should be (HTTP 400). */

/** The bytes are no such value; `message` reads as Go's decoders put it, `path` is where (`spec.replicas`), when known. */
export class DecodeError extends Error {
  readonly path: string;
  constructor(message: string, path = '') {
    super(message);
    this.name = 'DecodeError';
    this.path = path;
  }
}

/**
 * One complaint for each path, as they stand in Warning headers and in strict decoding errors: in the order of the
 * document, when it is given.
 */
export function strictComplaints(
  duplicates: readonly string[],
  unknown: readonly string[],
  document?: unknown,
): string[] {
  const list = [
    ...unknown.map((path) => ({ path, text: `unknown field ${JSON.stringify(path)}` })),
    ...duplicates.map((path) => ({ path, text: `duplicate field ${JSON.stringify(path)}` })),
  ];
  if (list.length > 1 && document !== undefined) {
    const wanted = new Set(list.map((c) => c.path));
    const rank = new Map<string, number>();
    walk(document, '', (path) => {
      if (wanted.has(path) && !rank.has(path)) rank.set(path, rank.size);
    });
    const of = (c: { path: string }) => rank.get(c.path) ?? rank.size;
    list.sort((a, b) => of(a) - of(b));
  }
  return list.map((c) => c.text);
}

function walk(value: unknown, path: string, visit: (path: string) => void): void {
  if (Array.isArray(value)) value.forEach((v, i) => walk(v, `${path}[${i}]`, visit));
  else if (value !== null && typeof value === 'object')
    for (const [key, v] of Object.entries(value)) {
      const at = path === '' ? key : `${path}.${key}`;
      visit(at);
      walk(v, at, visit);
    }
}
