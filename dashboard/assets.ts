/**
 * The files that a browser loads: TypeScript is served with its types stripped, under the paths that it has in the
 * project, so that imports resolve in the browser as they do here and nothing has to be built.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, extname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const TYPES: Readonly<Record<string, string>> = {
  '.ts': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const IMPORT = /^(?:import|export)\s[^'"]*?from\s+'(\.[^']+)'|^import\s+'(\.[^']+)'/gm;

/** What is served, by path: `/assets/dashboard/ui/app.ts` and all that it imports, the page and its style. */
export function loadAssets(): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
  const add = (file: string, text: string) =>
    assets.set(`/assets/${file}`, { type: TYPES[extname(file)]!, body: Buffer.from(text) });
  const script = (file: string) => {
    if (assets.has(`/assets/${file}`)) return;
    const code = stripTypeScriptTypes(read(file));
    add(file, code);
    for (const [, from, bare] of code.matchAll(IMPORT)) script(posix.join(posix.dirname(file), (from ?? bare)!));
  };
  script('dashboard/ui/app.ts');
  for (const file of ['dashboard/ui/style.css', 'dashboard/ui/icon.svg']) add(file, read(file));
  assets.set('/', { type: TYPES['.html']!, body: Buffer.from(read('dashboard/ui/index.html')) });
  return assets;
}
