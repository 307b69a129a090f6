/**
 * Runs the command lines of `kubectl-lines.txt` against kube-apiserver, then against this API server, and reports what
 * was printed differently:
 *
 *     node test/parity/kubectl.ts [--only REGEX] [--lines FILE]
 *
 * The player and its comparison are those of the recorded corpus; kubectl lies with the peer's programs.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startPeer } from './differ/servers.ts';
import { startPeerLikeServer } from './server.ts';

const here = dirname(fileURLToPath(import.meta.url));
const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    lines: { type: 'string', default: join(here, 'kubectl-lines.txt') },
  },
});
const corpus = realpathSync(join(here, '..', '..', '..', 'shared', 'parity'));
const kubectl = join(process.env['PEER'] ?? join(homedir(), '.cache', 'k8ts-peer'), 'bin', 'kubectl');

function play(mode: 'record' | 'replay', at: { url: string; pki: string }, file: string): Promise<string> {
  const args = [join(corpus, 'kubectl.mjs'), mode, '--server', at.url, '--pki', at.pki, '--kubectl', kubectl, file];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (s: string) => (out += s));
    child.on('error', reject);
    child.on('close', () => resolve(out));
  });
}

async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-kubectl-'));
  cpSync(join(corpus, 'kubectl-files'), join(dir, 'kubectl-files'), { recursive: true });
  const only = new RegExp(flags.only);
  const cases = readFileSync(flags.lines, 'utf8')
    .split('\n')
    .filter((l) => l !== '' && !l.startsWith('#') && only.test(l))
    .map((l, i) => {
      const [cmd, view] = l.split(/ {2}##/) as [string, string?];
      const id = `kubectl.${String(i + 1).padStart(3, '0')}`;
      return JSON.stringify({
        id,
        group: 'kubectl',
        cmd,
        ...(view === 'sort' ? { sort: true } : view ? { view } : {}),
      });
    });
  const asked = join(dir, 'lines.jsonl');
  writeFileSync(asked, `${cases.join('\n')}\n`);
  const theirs = await startPeer(dir, join(corpus, 'pki.sh'));
  const mine = await startPeerLikeServer(dir);
  try {
    const answered = join(dir, 'answers.jsonl');
    writeFileSync(answered, await play('record', theirs, asked));
    console.log(await play('replay', mine, answered));
  } finally {
    await mine.stop();
    await theirs.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

await main();
