/** What is rendered must be what the kernel takes: each golden file is loaded into a network namespace of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const UNIT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'unit', 'proxy');

describe('the kernel takes the rules of', () => {
  for (const file of globSync(join(UNIT, '**/*.nft')).sort())
    it(basename(file, '.nft'), () => {
      const out = execFileSync('unshare', ['-n', 'sh', '-c', 'nft -f "$0" && nft list ruleset', file], {
        encoding: 'utf8',
        timeout: 30_000,
      });
      assert.match(out, /^table ip k8ts-/);
    });
});
