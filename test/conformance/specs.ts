/** The [Conformance] specs of upstream's v1.36.3 and which of them a run takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../deploy/paths.ts';
import type { Results } from './results.ts';

export interface Spec {
  /** In full, as ginkgo prints it. */
  name: string;
  /** Without the `sig-`. */
  sig: string;
  /** Must run alone. */
  serial: boolean;
  /** What it took on an upstream cluster; null where none was measured. */
  upstreamSeconds: number | null;
}

export const DOCS = join(ROOT, 'docs', 'conformance');

export const readSpecs = (): Spec[] => JSON.parse(readFileSync(join(DOCS, 'specs.json'), 'utf8')) as Spec[];

/** Specs beyond [Conformance] that a plain cluster isn't made for: features that are off, drivers, clouds, upheaval. */
export const NOT_FOR_ALL =
  '\\[(Conformance|Slow|Disruptive|Flaky|Feature:|Driver: (?!emptydir|hostPath|local)|Environment:|sig-cloud|sig-windows)';

/** Reads what `e2e.test --list-tests` prints: a line per spec, its place in the source before its name. */
export function parseSpecList(text: string): Spec[] {
  const names = text.split('\n').flatMap((l) => /^\s+\S+:\d+: (\[sig-.*)$/.exec(l)?.[1] ?? []);
  return [...new Set(names)].map((name) => ({
    name,
    sig: /^\[sig-([^\]]+)\]/.exec(name)![1]!,
    serial: /\[(Serial|Disruptive)\]/.test(name),
    upstreamSeconds: null,
  }));
}

export interface Choice {
  sig?: string;
  /** A regular expression over the full name. */
  focus?: string;
  skip?: string;
  /** Only those that have not passed yet. */
  failed?: boolean;
  only?: 'serial' | 'parallel';
  /** At most so many of each sig, those that upstream runs fastest. */
  smoke?: number;
}

const seconds = (s: Spec) => s.upstreamSeconds ?? 30;
/** Slow ones first, so that none is left alone at the end. */
export const slowestFirst = (a: Spec, b: Spec) => seconds(b) - seconds(a);
/** For runs that will be cut off: as many results as possible. */
export const fastestFirst = (a: Spec, b: Spec) => seconds(a) - seconds(b);

/** The specs of the choice, in the order of `specs`. */
export function chooseSpecs(specs: readonly Spec[], choice: Choice, results: Results): Spec[] {
  const focus = choice.focus === undefined ? undefined : new RegExp(choice.focus);
  const skip = choice.skip === undefined ? undefined : new RegExp(choice.skip);
  const chosen = specs.filter(
    (s) =>
      (choice.sig === undefined || s.sig === choice.sig.replace(/^sig-/, '')) &&
      (focus === undefined || focus.test(s.name)) &&
      (skip === undefined || !skip.test(s.name)) &&
      (choice.only === undefined || s.serial === (choice.only === 'serial')) &&
      (!choice.failed || results.get(s.name)?.result !== 'PASS'),
  );
  const { smoke } = choice;
  if (smoke === undefined) return chosen;
  const perSig = Map.groupBy(chosen.toSorted(fastestFirst), (s) => s.sig);
  const kept = new Set([...perSig.values()].flatMap((list) => list.slice(0, smoke)));
  return chosen.filter((s) => kept.has(s));
}

/**
 * Parts a list into batches that one e2e.test each runs one after the other: the program takes two seconds to start,
 * so short specs share one; a long one has a batch of its own. The order of the list is kept.
 */
export function batches(specs: readonly Spec[], limit: { specs: number; seconds: number }): Spec[][] {
  const out: Spec[][] = [];
  let sum = Infinity;
  for (const s of specs) {
    const last = out.at(-1);
    if (last && last.length < limit.specs && sum + seconds(s) <= limit.seconds) {
      last.push(s);
      sum += seconds(s);
    } else {
      out.push([s]);
      sum = seconds(s);
    }
  }
  return out;
}
