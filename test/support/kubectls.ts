/** The kubectl versions that the full tier tries: Debian's (which is old) and upstream's newest. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Exec } from '../../base/exec.ts';

/** Debian's kubectl, taken out of its package without installing it, since a newer one may be installed. */
export async function debianKubectl(exec: Exec): Promise<string> {
  const dir = join(homedir(), '.cache', 'k8ts', 'kubectl-debian');
  const file = join(dir, 'usr', 'bin', 'kubectl');
  if (existsSync(file)) return file;
  mkdirSync(dir, { recursive: true });
  await exec('apt-get', ['download', '-q', 'kubernetes-client'], { cwd: dir, timeoutMs: 300_000 });
  const archive = readdirSync(dir).find((f) => f.endsWith('.deb'))!;
  await exec('dpkg-deb', ['-x', join(dir, archive), dir]);
  return file;
}
