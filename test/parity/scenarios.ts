/**
 * Plays scenarios (steps that build upon each other: custom resources, policies, quotas, rights ...) to kube-apiserver,
 * then to this API server, and reports what was answered differently:
 *
 *     node test/parity/scenarios.ts [--only REGEX] [--peer URL --peer-pki DIR] [--ours URL --ours-pki DIR] [--full]
 *                                   [--manifests DIR ...]
 *
 * With `--manifests` it plays the objects in the YAML files of those folders instead.
 * The steps are told in `scenarios/`; the players and their comparison are those of the recorded corpus.
 */
import { copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startPeer } from './differ/servers.ts';
import { scenarios } from './scenarios/index.ts';
import { manifests } from './scenarios/manifests.ts';
import type { Scenario } from './scenarios/step.ts';
import { startPeerLikeServer } from './server.ts';

/** Scenarios don't meet, so some run beside each other. */
const AT_ONCE = 5;

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    peer: { type: 'string' },
    'peer-pki': { type: 'string' },
    ours: { type: 'string' },
    'ours-pki': { type: 'string' },
    full: { type: 'boolean', default: false },
    keep: { type: 'string' },
    manifests: { type: 'string', multiple: true },
  },
});
const corpus = realpathSync(join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'shared', 'parity'));
interface Player {
  record(o: { server: string; pki: string }, files: string[], write: (line: string) => void): Promise<void>;
  replay(
    o: { server: string; pki: string; full: boolean },
    files: string[],
    log: (line: string) => void,
  ): Promise<number>;
}

const UID_KEY = /\['k:\{"uid":"[^"]*"\}'\]: want (\{\}, got \(absent\)|\(absent\), got \{\})$/;

/** What the player told about each failed step; how many objects of a name came before and owners' uids are left out. */
function failures(told: readonly string[]): string[] {
  const found: string[][] = [];
  for (const line of told)
    if (line.startsWith('FAIL')) found.push([line]);
    else if (line.startsWith('  ') && !UID_KEY.test(line) && !/want "<uid:[^"]*#\d+>", got "<uid:[^"]*>"$/.test(line))
      found.at(-1)?.push(line);
  return found.filter((lines) => lines.length > 1).map((lines) => lines.join('\n'));
}

async function main(): Promise<void> {
  const player = (await import(join(corpus, 'parity.mjs'))) as Player;
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-scenarios-'));
  const only = new RegExp(flags.only);
  const told = flags.manifests?.map(manifests) ?? scenarios();
  const waiting = told.filter((s) => only.test(`${s.group}.${s.name}`));
  const given = (url: string | undefined, pki: string | undefined) =>
    url === undefined ? undefined : { url, pki: pki!, async stop() {} };
  const theirs = given(flags.peer, flags['peer-pki']) ?? (await startPeer(dir, join(corpus, 'pki.sh')));
  const mine = given(flags.ours, flags['ours-pki']) ?? (await startPeerLikeServer(dir));
  let [steps, failed] = [0, 0];
  const play = async (s: Scenario) => {
    const [asked, answered] = ['steps', 'answers'].map((f) => join(dir, `${s.group}-${s.name}.${f}.jsonl`)) as [
      string,
      string,
    ];
    writeFileSync(asked, s.steps.map((step) => `${JSON.stringify(step)}\n`).join(''));
    const lines: string[] = [];
    await player.record({ server: theirs.url, pki: theirs.pki }, [asked], (line) => lines.push(line));
    writeFileSync(answered, lines.join(''));
    if (flags.keep !== undefined) copyFileSync(answered, join(flags.keep, `${s.group}-${s.name}.jsonl`));
    const heard: string[] = [];
    await player.replay({ server: mine.url, pki: mine.pki, full: flags.full }, [answered], (line) => heard.push(line));
    steps += s.steps.length;
    const differ = failures(heard);
    failed += differ.length;
    console.log([`== ${s.group}.${s.name}: ${differ.length} of ${s.steps.length} differ`, ...differ].join('\n'));
  };
  try {
    const worker = async () => {
      for (let s = waiting.shift(); s; s = waiting.shift()) await play(s);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } finally {
    await mine.stop();
    await theirs.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  console.log(`${steps - failed} of ${steps} agreed`);
  process.exitCode = failed > 0 ? 1 : 0;
}

await main();
