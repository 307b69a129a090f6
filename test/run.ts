/**
 * `npm test [-- TIER ...]`: checks, unit, integration, recorded parity, e2e with real containers, in this order.
 * The last line is `N passed, N failed`. `--full` adds the long matrices.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { createExec } from '../base/exec.ts';
import { silentLogger } from '../base/log.ts';
import {
  ETCD_PREREQUISITES,
  installPrerequisites,
  KUBECTL,
  missingPrerequisites,
  NODE_PREREQUISITES,
  SERVER_PREREQUISITES,
  TEST_PREREQUISITES,
} from '../deploy/prerequisites.ts';
import { check } from './check.ts';

const TIERS = ['check', 'unit', 'integration', 'parity', 'e2e'] as const;
type Tier = (typeof TIERS)[number];

const args = process.argv.slice(2);
const full = args.includes('--full');
const chosen = TIERS.filter((t) => args.includes(t));
const tiers = chosen.length ? chosen : TIERS;
const scratch = mkdtempSync(join(tmpdir(), 'k8ts-test-'));
let passed = 0;
let failed = 0;

function mocha(tier: Tier, timeoutMinutes: number, env: Record<string, string> = {}): void {
  const files = globSync(`test/${tier}/**/*.test.ts`, { exclude: ['test/**/lint-fixtures/**'] }).sort();
  if (files.length === 0) return;
  const totals = join(scratch, `${tier}.json`);
  rmSync(totals, { force: true });
  const fixture = `test/${tier}/setup.ts`;
  const run = spawnSync(
    'mocha',
    [
      '--reporter',
      'test/support/reporter.mjs',
      ...(existsSync(fixture) ? ['--require', `./${fixture}`] : []),
      ...files,
    ],
    {
      stdio: 'inherit',
      timeout: timeoutMinutes * 60_000,
      killSignal: 'SIGKILL',
      env: { ...process.env, K8TS_TEST_TOTALS: totals, ...(full ? { K8TS_FULL: '1' } : {}), ...env },
    },
  );
  const t = existsSync(totals)
    ? (JSON.parse(readFileSync(totals, 'utf8')) as { passed: number; failed: number })
    : { passed: 0, failed: 0 };
  passed += t.passed;
  failed += t.failed;
  if (run.status !== 0 && t.failed === 0) {
    failed++;
    process.stdout.write(
      `${tier}: ended with ${run.signal ?? `status ${run.status}`} and no failed test to show for it\n`,
    );
  }
}

async function runTier(tier: Tier): Promise<void> {
  process.stdout.write(`\n=== ${tier}\n`);
  const began = systemClock.monotonic();
  switch (tier) {
    case 'check': {
      const bad = check(false);
      failed += bad.length;
      passed += 4 - bad.length;
      break;
    }
    case 'unit':
      mocha('unit', 5);
      break;
    case 'integration':
      mocha('integration', full ? 60 : 10);
      break;
    case 'parity':
      mocha('parity', 12);
      break;
    case 'e2e':
      mocha('e2e', 18);
      if (full) mocha('e2e', 18, { K8TS_E2E_STORE: 'etcd' });
      break;
  }
  process.stdout.write(`=== ${tier}: ${Math.round((systemClock.monotonic() - began) / 1000)} s\n`);
}

try {
  const exec = createExec({ clock: systemClock, logger: silentLogger });
  const missing = missingPrerequisites([
    ...NODE_PREREQUISITES,
    ...SERVER_PREREQUISITES,
    ...ETCD_PREREQUISITES,
    ...TEST_PREREQUISITES,
    KUBECTL,
  ]);
  if (missing.length && tiers.some((t) => t !== 'check' && t !== 'unit'))
    await installPrerequisites(exec, missing, (l) => void process.stdout.write(l + '\n'));
  for (const tier of tiers) await runTier(tier);
} catch (error) {
  failed++;
  process.stdout.write(`${error instanceof Error ? error.stack : String(error)}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
  // a tier that was killed could not take its clusters down
  if (tiers.includes('e2e') && !process.env['K8TS_E2E_KEEP'])
    for (const name of ['e2e', 'e2e-other'])
      spawnSync(process.execPath, ['deploy/bin/run.mjs', 'down', '--name', name], {
        stdio: 'ignore',
        timeout: 120_000,
      });
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed ? 1 : 0;
