#!/usr/bin/env node
// The entry of every npm script. Plain JavaScript for any Node from 18 on: installs the packages when they are
// missing or out of date, then goes on under the Node that package-lock.json pins.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Whether what lies in node_modules is what the lock asks for on this platform; more may lie there. */
function packagesAreThere(lock) {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages ?? {};
  const fits = (list, own) => !list || list.includes(own);
  return Object.entries(JSON.parse(lock).packages).every(([path, wanted]) => {
    if (path === '' || have[path]?.version === wanted.version) return true;
    if (!wanted.optional || have[path]) return false;
    const elsewhere = !fits(wanted.os, process.platform) || !fits(wanted.cpu, process.arch);
    return elsewhere || !fits(wanted.libc, 'glibc');
  });
}

function installPackages() {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const want = createHash('sha256').update(lock).digest('hex');
  const stamp = join(root, 'node_modules', '.k8ts-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === want) return;
  if (packagesAreThere(lock)) return writeFileSync(stamp, want);
  process.stderr.write('installing packages (npm ci) ...\n');
  const done = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (done.error || done.status !== 0) {
    process.stderr.write('npm ci failed: is npm installed and its registry reachable?\n');
    process.exit(done.status ?? 1);
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, want);
}

installPackages();
const node = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
if (!existsSync(node)) {
  process.stderr.write(`no pinned Node for linux-${process.arch} in node_modules; k8ts runs on linux x64 and arm64\n`);
  process.exit(1);
}
const [command, ...args] = process.argv.slice(2);
const scripts = {
  test: 'test/run.ts',
  check: 'test/check.ts',
  bench: 'test/bench/main.ts',
  conformance: 'test/conformance/main.ts',
};
const target = scripts[command];
const argv = target
  ? [join(root, target), ...args]
  : [join(root, 'deploy/main.ts'), ...(command ? [command] : []), ...args];
const env = {
  ...process.env,
  NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'node'),
  PATH: `${dirname(node)}:${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
};
// what is started now runs for long
if (['up', 'server', 'agent', 'bench'].includes(command))
  spawnSync(node, ['--disable-warning=ExperimentalWarning', join(root, 'deploy/bin/compile.mjs')], {
    stdio: 'ignore',
    env,
  });
const child = spawn(node, ['--disable-warning=ExperimentalWarning', ...argv], {
  cwd: target ? root : process.cwd(),
  stdio: 'inherit',
  env,
});
// Signals are meant for the program. Ctrl-C at a terminal reaches it by itself: once is enough.
const atTerminal = [0, 1, 2].some((fd) => isatty(fd));
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'])
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !atTerminal) child.kill(signal);
  });
child.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  if (!signal) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
