import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../../deploy/paths.ts';

/** Prints what it was made of, and whether Node had to strip types for it. */
const MAIN = `import { part } from './part.ts';
const text: string = part;
if (import.meta.main) console.log(text, process.moduleLoadList.some((m) => m.includes('amaro')) ? 'stripped' : 'compiled');
`;

describe('compiling ahead', function () {
  this.timeout(120_000);
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'k8ts-compile-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const node = (home: string, ...args: string[]) =>
    execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
      encoding: 'utf8',
      env: { NODE_COMPILE_CACHE: join(home, 'cache'), NODE_COMPILE_CACHE_PORTABLE: '1' },
    }).trim();
  const compile = (home: string) => node(home, join(ROOT, 'deploy/bin/compile.mjs'), home, 'src');
  const run = (home: string) => node(home, join(home, 'src/main.ts'));
  const write = (home: string, part: string) =>
    writeFileSync(join(home, 'src/part.ts'), `export const part: string = '${part}';\n`);

  it('spares programs the type stripper, wherever the folder is moved, until a source changes', () => {
    const home = join(dir, 'a');
    mkdirSync(join(home, 'src'), { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
    writeFileSync(join(home, 'src/main.ts'), MAIN);
    write(home, 'one');
    compile(home);
    assert.equal(run(home), 'one compiled');

    const elsewhere = join(dir, 'b');
    renameSync(home, elsewhere);
    assert.equal(run(elsewhere), 'one compiled');

    write(elsewhere, 'three');
    assert.match(run(elsewhere), /^three /);
    compile(elsewhere);
    assert.equal(run(elsewhere), 'three compiled');
  });

  it('goes on past modules that are no TypeScript', () => {
    mkdirSync(join(dir, 'src'));
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
    writeFileSync(join(dir, 'src/broken.ts'), 'export const = ;\n');
    writeFileSync(join(dir, 'src/main.ts'), MAIN);
    write(dir, 'one');
    compile(dir);
    assert.equal(run(dir), 'one compiled');
  });
});
