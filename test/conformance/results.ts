/** What is kept of a run: docs/conformance/results.tsv, the table in docs/scoreboard.md, JSON and JUnit reports. */
import { existsSync, readFileSync } from 'node:fs';
import type { Spec } from './specs.ts';

/** NOTRUN counts as failed in every total. SKIP: of those beyond [Conformance], a spec that can't run on this cluster. */
export type Outcome = 'PASS' | 'FAIL' | 'NOTRUN' | 'SKIP';

export interface Result {
  result: Outcome;
  seconds: number | null;
}

/** The last known result of each spec, by name. */
export type Results = Map<string, Result>;

/** One spec of one run. */
export interface SpecRun {
  name: string;
  result: 'PASS' | 'FAIL';
  seconds: number;
  /** Why it failed, in ginkgo's words. */
  message?: string;
  skipped?: boolean;
}

const HEADER = 'spec\tsig\tresult\tseconds\tupstream seconds';

/** Reads a table; a missing file is an empty one. */
export function readResults(file: string): Results {
  const results: Results = new Map();
  if (!existsSync(file)) return results;
  for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
    const [name, , result, seconds] = line.split('\t');
    if (name && (result === 'PASS' || result === 'FAIL' || result === 'SKIP'))
      results.set(name, { result, seconds: seconds ? Number(seconds) : null });
  }
  return results;
}

/** The table of all specs, those without a result as NOTRUN. */
export function formatResults(specs: readonly Spec[], results: Results): string {
  const cell = (n: number | null | undefined) => (n === null || n === undefined ? '' : n.toFixed(1));
  const rows = specs.map((s) => {
    const r = results.get(s.name);
    return [s.name, s.sig, r?.result ?? 'NOTRUN', cell(r?.seconds), cell(s.upstreamSeconds)].join('\t');
  });
  return [HEADER, ...rows, ''].join('\n');
}

/** The table of specs beyond [Conformance]: those that have ever been run. */
export function formatOthers(results: Results): string {
  const rows = [...results].sort(([a], [b]) => (a < b ? -1 : 1));
  const sig = (name: string) => /^\[sig-([^\]]+)\]/.exec(name)?.[1] ?? '';
  return [
    'spec\tsig\tresult\tseconds',
    ...rows.map(([name, r]) => [name, sig(name), r.result, r.seconds?.toFixed(1) ?? ''].join('\t')),
    '',
  ].join('\n');
}

/** What a run was, for the line above the table. */
export interface RunFacts {
  commit: string;
  /** ISO date. */
  date: string;
  specs: number;
  wallSeconds: number;
  procs: number;
}

/** The markdown table per sig. */
export function formatScoreboard(specs: readonly Spec[], results: Results, run: RunFacts): string {
  const row = (sig: string, list: readonly Spec[]) => {
    const of = (o: Outcome) => list.filter((s) => (results.get(s.name)?.result ?? 'NOTRUN') === o);
    const passed = of('PASS').filter((s) => s.upstreamSeconds !== null);
    const ours = passed.reduce((n, s) => n + (results.get(s.name)?.seconds ?? 0), 0);
    const theirs = passed.reduce((n, s) => n + (s.upstreamSeconds ?? 0), 0);
    const slow = passed.filter((s) => (results.get(s.name)?.seconds ?? 0) > 2 * Math.max(s.upstreamSeconds ?? 0, 1));
    const cells = [
      sig,
      list.length,
      of('PASS').length,
      of('FAIL').length,
      of('NOTRUN').length,
      ours.toFixed(0),
      theirs.toFixed(0),
      slow.length,
    ];
    return `| ${cells.join(' | ')} |`;
  };
  const sigs = [...Map.groupBy(specs, (s) => s.sig)].sort(([a], [b]) => (a < b ? -1 : 1));
  const total = row('**all**', specs);
  const passed = specs.filter((s) => results.get(s.name)?.result === 'PASS').length;
  return [
    `**${passed} of ${specs.length}** [Conformance] specs of upstream's e2e suite v1.36.3 passed when they were last run (one that was not run counts as failed).`,
    `Last run: ${run.date}, commit ${run.commit}, ${run.specs} specs, ${run.procs} at a time, ${Math.round(run.wallSeconds)} s of wall time.`,
    'Command: `npm run conformance`. Each spec: [conformance/results.tsv](conformance/results.tsv).',
    '',
    '| sig | specs | passed | failed | not run | seconds of the passed | upstream, same specs | more than twice upstream |',
    '|---|---|---|---|---|---|---|---|',
    ...sigs.map(([sig, list]) => row(sig, list)),
    total,
  ].join('\n');
}

const BEGIN = '<!-- conformance:begin -->';
const END = '<!-- conformance:end -->';

/** Puts the table between the markers, which are added under a heading of their own when they are missing. */
export function intoScoreboard(page: string, table: string): string {
  const block = `${BEGIN}\n${table}\n${END}`;
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin >= 0 && end > begin) return page.slice(0, begin) + block + page.slice(end + END.length);
  return `${page.trimEnd()}\n\n## Conformance\n\n${block}\n`;
}

const escape = (text: string) =>
  text
    .replace(/[^\t\n\r\x20-\uFFFD]/g, '')
    .replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);

/** A JUnit report: what was chosen and not run is a failure too. */
export function formatJUnit(chosen: readonly Spec[], runs: ReadonlyMap<string, SpecRun>): string {
  const cases = chosen.map((s) => {
    const run = runs.get(s.name);
    const open = `  <testcase classname="${escape(s.sig)}" name="${escape(s.name)}" time="${(run?.seconds ?? 0).toFixed(3)}"`;
    if (run?.result === 'PASS') return `${open}/>`;
    return `${open}><failure>${escape(run ? (run.message ?? 'failed') : 'not run')}</failure></testcase>`;
  });
  const failures = chosen.filter((s) => runs.get(s.name)?.result !== 'PASS').length;
  const head = `<testsuite name="conformance" tests="${chosen.length}" failures="${failures}">`;
  return ['<?xml version="1.0" encoding="UTF-8"?>', head, ...cases, '</testsuite>', ''].join('\n');
}
