/**
 * Replays what kube-apiserver v1.36.3 answered (a corpus that lies beside the project, where there is one) and holds
 * each group to what was reached before: test/parity/floor.json, raised whenever a group improves.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startPeerLikeServer } from './server.ts';

const here = dirname(fileURLToPath(import.meta.url));
const beside = join(here, '..', '..', '..', 'shared', 'parity');
// the player starts only under its real name
const corpus = existsSync(beside) ? realpathSync(beside) : beside;
const floor = JSON.parse(readFileSync(join(here, 'floor.json'), 'utf8')) as Record<string, number>;
const FILES = [
  'a-defaults',
  'b-validation',
  'c-patch',
  'd-listwatch',
  'e-subresource',
  'f-content',
  'g-crd',
  'h-auth',
  'i-apps',
];

if (existsSync(corpus)) {
  describe('recorded parity with kube-apiserver v1.36.3', function () {
    this.timeout(600_000);
    const reached: Record<string, { passed: number; failed: number }> = {};
    before(async () => {
      const dir = mkdtempSync(join(tmpdir(), 'k8ts-parity-'));
      const server = await startPeerLikeServer(dir);
      try {
        const out = join(dir, 'out.json');
        spawnSync(
          process.execPath,
          [
            join(corpus, 'parity.mjs'),
            'replay',
            '--server',
            server.url,
            '--pki',
            server.pki,
            '--json',
            out,
            ...FILES.map((f) => join(corpus, `${f}.jsonl`)),
          ],
          { stdio: ['ignore', 'ignore', 'inherit'], timeout: 560_000, maxBuffer: 1 << 30 },
        );
        Object.assign(reached, (JSON.parse(readFileSync(out, 'utf8')) as { groups: typeof reached }).groups);
      } finally {
        await server.stop();
        rmSync(dir, { recursive: true, force: true });
      }
    });
    for (const [group, least] of Object.entries(floor))
      it(`${group}: at least ${least}`, () => {
        const r = reached[group] ?? { passed: 0, failed: 0 };
        console.log(`        ${group}: ${r.passed} of ${r.passed + r.failed}`);
        assert.ok(r.passed >= least, `${group}: ${r.passed} passed, the floor is ${least}`);
      });
  });
} else {
  describe('recorded parity', () => {
    it('has no corpus beside this checkout: nothing is claimed', () => assert.equal(existsSync(corpus), false));
  });
}
