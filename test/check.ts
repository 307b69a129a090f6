/** `npm run check`: types, lint (import directions, promises, switches, clocks), format. */
import { spawnSync } from 'node:child_process';

const steps: [name: string, command: string, args: string[]][] = [
  ['types', 'tsc', ['-p', '.']],
  ['types of the dashboard', 'tsc', ['-p', 'dashboard/ui']],
  ['lint', 'oxlint', ['--type-aware', '--quiet']],
  ['format', 'oxfmt', ['--check', '.']],
];

/** Runs all checks and returns the names of those that failed. */
export function check(fix: boolean): string[] {
  const failed: string[] = [];
  for (const [name, command, args] of steps) {
    const argv = name === 'format' && fix ? ['.'] : args;
    const { status } = spawnSync(command, argv, { stdio: 'inherit' });
    if (status !== 0) failed.push(name);
  }
  return failed;
}

if (import.meta.main) {
  const failed = check(process.argv.includes('--fix'));
  process.stdout.write(failed.length ? `failed: ${failed.join(', ')}\n` : 'types, lint and format are fine\n');
  process.exitCode = failed.length ? 1 : 0;
}
