/** The recorded applications told in other ways: applied where they were posted, by several managers, put and patched. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '../../../api/types.ts';
import { Scenario } from './step.ts';

const corpus = join(
  dirname(fileURLToPath(import.meta.url)),
  '..',
  '..',
  '..',
  '..',
  'shared',
  'parity',
  'i-apps.jsonl',
);
const PARTS = 5;

/** Objects of built-in kinds in namespaces, by the path they were written to without it. */
function written(): { path: string; object: JsonObject }[] {
  const out: { path: string; object: JsonObject }[] = [];
  for (const line of readFileSync(corpus, 'utf8').split('\n')) {
    if (!line.startsWith('{')) continue;
    const step = JSON.parse(line) as { method: string; path: string; body?: JsonObject; res?: { code?: number } };
    const name = (step.body?.['metadata'] as JsonObject | undefined)?.['name'];
    const at = /^\/api(?:s\/[a-z0-9.]+)?\/[a-z0-9]+\/namespaces\/[^/]+\/([a-z]+)/.exec(step.path);
    if (!at || typeof name !== 'string' || step.res?.code !== 201 || !/^(POST|PATCH)$/.test(step.method)) continue;
    if (step.path.includes('dryRun') || step.path.includes('gateway.networking')) continue;
    out.push({ path: at[0].replace(/namespaces\/[^/]+/, 'namespaces/NS'), object: step.body! });
  }
  return out;
}

export function retold(): Scenario[] {
  const all = written();
  return Array.from({ length: PARTS }, (_, part) => {
    const s = new Scenario('apps', `retold-${part}`);
    const ns = s.namespace(`sc-retold-${part}`);
    for (const [i, w] of all.entries()) {
      if (i % PARTS !== part) continue;
      const metadata = {
        ...(w.object['metadata'] as JsonObject),
        name: `${(w.object['metadata'] as { name: string }).name.slice(0, 40)}-${i}`,
      };
      if ('namespace' in metadata) metadata['namespace'] = ns;
      const object = { ...w.object, metadata };
      const path = w.path.replace('/NS/', `/${ns}/`);
      const one = `${path}/${metadata.name}`;
      const apply = (manager: string, more = '') => s.patch('apply', `${one}?fieldManager=${manager}${more}`, object);
      if (i % 2) s.post(path, object);
      else apply('kubectl');
      apply('kubectl', i % 2 ? '&force=true' : '');
      apply('gitops');
      s.patch('strategic', `${one}?fieldManager=old`, object);
      s.patch('merge', `${one}?fieldManager=old&dryRun=All`, object);
      s.put(`${one}?fieldManager=put`, object);
      s.table(one);
      s.del(`${one}?gracePeriodSeconds=0`, undefined, { view: 'code' });
    }
    return s;
  });
}
