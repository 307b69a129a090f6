/** Planted mistakes prove that the rules of the house are on. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** What lint says of one file at this path of the project. */
function lint(path: string, code: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-lint-'));
  try {
    for (const f of ['.oxlintrc.json', 'tsconfig.json']) cpSync(join(root, f), join(dir, f));
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), code);
    const run = spawnSync(join(root, 'node_modules/.bin/oxlint'), ['--type-aware', path], {
      cwd: dir,
      encoding: 'utf8',
    });
    return run.status === 0 ? '' : run.stdout;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

describe('the rules of the house', function () {
  this.timeout(60_000);
  const imports: [string, string, boolean][] = [
    ['scheduler/a.ts', '../kubelet/b.ts', false],
    ['kubelet/x/a.ts', '../../controllers/b.ts', false],
    ['apiserver/a.ts', '../client/b.ts', false],
    ['api/a.ts', '../base/b.ts', false],
    ['base/a.ts', '../client/b.ts', false],
    ['proxy/a.ts', '../client/b.ts', true],
    ['deploy/a.ts', '../kubelet/start.ts', true],
  ];
  for (const [path, target, allowed] of imports)
    it(`${allowed ? 'lets' : 'forbids'} ${path.split('/')[0]} import ${target}`, () => {
      const said = lint(path, `import { x } from '${target}';\nexport const y: unknown = x;\n`);
      assert.equal(/no-restricted-imports/.test(said), !allowed, said);
    });
  for (const code of ['Date.now()', 'Math.random()', 'setTimeout(() => {}, 1)', 'performance.now()'])
    it(`forbids ${code} outside of base/clock.ts`, () => {
      assert.match(
        lint('scheduler/a.ts', `export const a: unknown = ${code};\n`),
        /no-restricted-(globals|properties)/,
      );
      assert.equal(lint('base/clock.ts', `export const a: unknown = ${code};\n`), '');
    });
  it('forbids a promise that nobody waits for', () => {
    assert.match(lint('scheduler/a.ts', 'async function f(): Promise<void> {}\nf();\n'), /no-floating-promises/);
  });
  it('wants every case of a union', () => {
    const code = "export function f(k: 'a' | 'b'): void {\n  switch (k) {\n    case 'a':\n      break;\n  }\n}\n";
    assert.match(lint('scheduler/a.ts', code), /switch-exhaustiveness-check/);
  });
});
