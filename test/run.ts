/**
 * `npm test [-- TIER ...]`: checks, unit, integration, recorded parity, e2e with real containers, in this order.
 * The last line is `N passed, N failed`. `--full` adds the long matrices: every store, several versions of kubectl,
 * both address families over routes and VXLAN, and upstream's own components in place of ours.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../base/clock.ts';
import { createExec } from '../base/exec.ts';
import { takeLock } from '../base/lock.ts';
import { silentLogger } from '../base/log.ts';
import {
  ETCD_PREREQUISITES,
  FULL_TEST_PREREQUISITES,
  installPrerequisites,
  KUBECTL,
  missingPrerequisites,
  NODE_PREREQUISITES,
  SERVER_PREREQUISITES,
  TEST_PREREQUISITES,
} from '../deploy/prerequisites.ts';
import { check } from './check.ts';
import { buildComponents } from './conformance/build.ts';
import { debianKubectl } from './support/kubectls.ts';

const TIERS = ['check', 'unit', 'integration', 'parity', 'e2e', 'network', 'upstream'] as const;
/** Only in `--full`, or when named. */
const LONG: readonly string[] = ['network', 'upstream'];
type Tier = (typeof TIERS)[number];

const args = process.argv.slice(2);
const full = args.includes('--full');
const chosen = TIERS.filter((t) => args.includes(t));
const tiers = chosen.length ? chosen : TIERS.filter((t) => full || !LONG.includes(t));
const cluster = process.env['K8TS_E2E_CLUSTER'] ?? (await freeName('e2e'));
const scratch = mkdtempSync(join(tmpdir(), 'k8ts-test-'));
let passed = 0;
let failed = 0;

/** A name for the tests' cluster that no other run of this machine uses as long as this one lasts: e2e, e2e-2, ... */
async function freeName(base: string): Promise<string> {
  for (let i = 1; ; i++) {
    const name = i === 1 ? base : `${base}-${i}`;
    if (await takeLock(join(tmpdir(), `k8ts-test-${name}`))) return name;
  }
}

/** Test files of a folder; lint's fixtures are none. */
const filesOf = (folder: string) =>
  globSync(`test/${folder}/**/*.test.ts`, { exclude: ['test/**/lint-fixtures/**'] }).sort();

function mocha(
  tier: Tier,
  timeoutMinutes: number,
  env: Record<string, string> = {},
  files = filesOf(tier),
  fixture = `test/${tier}/setup.ts`,
): void {
  if (files.length === 0) return;
  const totals = join(scratch, `${tier}.json`);
  rmSync(totals, { force: true });
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
      env: {
        ...process.env,
        K8TS_E2E_CLUSTER: cluster,
        K8TS_TEST_TOTALS: totals,
        ...(full ? { K8TS_FULL: '1' } : {}),
        ...env,
      },
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

const say = (line: string) => void process.stdout.write(`${line}\n`);
const exec = createExec({ clock: systemClock, logger: silentLogger });

/** Upstream's components (built when they are missing) and the other versions of kubectl. */
async function upstream() {
  const file = await buildComponents(exec, say);
  return { file, kubectls: [await debianKubectl(exec), file.kubectl].join(':') };
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
      mocha('unit', full ? 30 : 15);
      break;
    case 'integration':
      mocha('integration', full ? 120 : 30);
      break;
    case 'parity':
      mocha('parity', full ? 60 : 30);
      break;
    case 'e2e':
      if (!full) mocha('e2e', 45);
      else
        for (const store of ['lmdb', 'etcd'])
          mocha('e2e', 60, { K8TS_E2E_STORE: store, K8TS_KUBECTLS: (await upstream()).kubectls });
      break;
    case 'network': {
      const files = [...filesOf('network'), 'test/e2e/policies.test.ts', 'test/e2e/loadbalancer.test.ts'];
      for (const network of ['routes', 'vxlan'])
        mocha('network', 30, { K8TS_E2E_IP_FAMILY: 'dual', K8TS_E2E_NETWORK: network }, files, 'test/e2e/setup.ts');
      break;
    }
    case 'upstream': {
      const { file, kubectls } = await upstream();
      // Without a cluster: the servers alone, on one etcd.
      const store = 'test/upstream/store/etcd-data.test.ts';
      mocha('upstream', 15, { K8TS_KUBE_APISERVER: file['kube-apiserver'] }, [store], '');
      const files = [
        ...filesOf('upstream').filter((f) => f !== store),
        'test/e2e/walkthrough.test.ts',
        'test/e2e/workloads.test.ts',
      ];
      const swaps = [
        { store: 'lmdb', controllers: 'kube-controller-manager', scheduler: 'kube-scheduler', kubelet: 'kubelet' },
        { store: 'etcd', apiserver: 'kube-apiserver' },
      ] as const;
      for (const { store, ...swap } of swaps) {
        const replace = Object.entries(swap).map(([ours, theirs]) => `${ours}=${file[theirs]}`);
        const env = { K8TS_E2E_STORE: store, K8TS_E2E_REPLACE: replace.join(), K8TS_KUBECTLS: kubectls };
        mocha('upstream', 30, env, files, 'test/e2e/setup.ts');
      }
      break;
    }
  }
  say(`=== ${tier}: ${Math.round((systemClock.monotonic() - began) / 1000)} s`);
}

try {
  const missing = missingPrerequisites([
    ...NODE_PREREQUISITES,
    ...SERVER_PREREQUISITES,
    ...ETCD_PREREQUISITES,
    ...TEST_PREREQUISITES,
    ...(full ? FULL_TEST_PREREQUISITES : []),
    KUBECTL,
  ]);
  if (full) await upstream(); // before anything that takes long
  if (missing.length && tiers.some((t) => t !== 'check' && t !== 'unit'))
    await installPrerequisites(exec, missing, say);
  for (const tier of tiers) await runTier(tier);
} catch (error) {
  failed++;
  process.stdout.write(`${error instanceof Error ? error.stack : String(error)}\n`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
  // a tier that was killed could not take its clusters down
  if (tiers.some((t) => t === 'e2e' || LONG.includes(t)) && !process.env['K8TS_E2E_KEEP'])
    for (const name of [cluster, `${cluster}-other`])
      spawnSync(process.execPath, ['deploy/bin/run.mjs', 'down', '--name', name], {
        stdio: 'ignore',
        timeout: 120_000,
      });
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed ? 1 : 0;
