/** Objects to start from: what the recorded corpus created with success, the richest of each kind first. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject } from '../../../api/types.ts';

export interface Seed {
  /** The path that the object is posted to, in the namespace `NAMESPACE`. */
  readonly path: string;
  readonly resource: string;
  readonly object: JsonObject;
}

export const NAMESPACE = 'differ';
const PER_KIND = 3;

/** Reads `a-defaults` and `i-apps`: at most three objects for each collection path. */
export function readSeeds(corpus: string, files = ['a-defaults', 'i-apps']): Seed[] {
  const found = new Map<string, Seed[]>();
  for (const file of files)
    for (const line of readFileSync(join(corpus, `${file}.jsonl`), 'utf8').split('\n')) {
      if (!line.startsWith('{')) continue;
      const step = JSON.parse(line) as {
        method: string;
        path: string;
        user?: string;
        body?: unknown;
        res?: { code?: number };
      };
      if (step.method !== 'POST' || step.user || step.res?.code !== 201) continue;
      if (typeof step.body !== 'object' || step.body === null) continue;
      const object = JSON.parse(
        JSON.stringify(step.body).replaceAll(/"namespace":"[^"]*"/g, `"namespace":"${NAMESPACE}"`),
      ) as JsonObject & { metadata?: { name?: string } };
      if (!object.metadata?.name) continue;
      const path = step.path.replace(/\?.*/, '').replace(/\/namespaces\/[^/]+\//, `/namespaces/${NAMESPACE}/`);
      if (path.split('/').length > (path.includes('/namespaces/') ? 7 : 5)) continue;
      const list = found.get(path) ?? [];
      list.push({ path, resource: path.slice(path.lastIndexOf('/') + 1), object });
      found.set(path, list);
    }
  const size = (s: Seed) => JSON.stringify(s.object).length;
  return [...found.values()].flatMap((list) => list.sort((a, b) => size(b) - size(a)).slice(0, PER_KIND));
}
