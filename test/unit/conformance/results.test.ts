import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  formatJUnit,
  formatResults,
  formatScoreboard,
  intoScoreboard,
  readResults,
  type Results,
} from '../../conformance/results.ts';
import { batches, chooseSpecs, NOT_FOR_ALL, parseSpecList, readSpecs, type Spec } from '../../conformance/specs.ts';

const spec = (name: string, more: Partial<Spec> = {}): Spec => ({
  name,
  sig: 'apps',
  serial: false,
  upstreamSeconds: 10,
  ...more,
});
const SPECS = [spec('one'), spec('two', { sig: 'node', upstreamSeconds: 1 }), spec('three', { serial: true })];
const RUN = { commit: 'abc1234', date: '2026-01-02', specs: 2, wallSeconds: 61, procs: 4 };

describe('conformance: results', () => {
  it('knows all 446 specs, each once', () => {
    const all = readSpecs();
    assert.equal(all.length, 446);
    assert.equal(new Set(all.map((s) => s.name)).size, 446);
    assert.equal(all.filter((s) => s.serial).length, 29);
  });

  it('reads what it wrote; what has no result is NOTRUN', () => {
    const dir = mkdtempSync(join(tmpdir(), 'k8ts-conformance-'));
    try {
      const file = join(dir, 'results.tsv');
      const results: Results = new Map([
        ['one', { result: 'PASS', seconds: 12.5 }],
        ['two', { result: 'FAIL', seconds: 3 }],
      ]);
      const text = formatResults(SPECS, results);
      assert.match(text, /^three\tapps\tNOTRUN\t\t10\.0$/m);
      writeFileSync(file, text);
      assert.deepEqual(readResults(file), results);
      assert.equal(readResults(join(dir, 'none')).size, 0);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('chooses among all specs of the suite those that need nothing special', () => {
    const all = parseSpecList(
      [
        'The following spec names can be used with:',
        '    a/b.go:1: [sig-apps] Job should work',
        '    a/b.go:2: [sig-node] Pods [Serial] should work alone',
        '    a/b.go:3: [sig-node] Pods should work [Conformance]',
        '    a/b.go:4: [sig-storage] Volumes [Driver: nfs] should work',
        '    a/b.go:5: [sig-storage] Volumes [Driver: emptydir] should work',
        '    a/b.go:6: [sig-auth] Tokens [Feature:OffByDefault] should work',
        '',
      ].join('\n'),
    );
    assert.equal(all.length, 6);
    const chosen = chooseSpecs(all, { skip: NOT_FOR_ALL }, new Map());
    assert.deepEqual(
      chosen.map((s) => [s.sig, s.serial]),
      [
        ['apps', false],
        ['node', true],
        ['storage', false],
      ],
    );
  });

  it('counts what was not run as failed, and names what is slower than twice upstream', () => {
    const results: Results = new Map([['one', { result: 'PASS', seconds: 25 }]]);
    const table = formatScoreboard(SPECS, results, RUN);
    assert.match(table, /\*\*1 of 3\*\*/);
    assert.match(table, /^\| apps \| 2 \| 1 \| 0 \| 1 \| 25 \| 10 \| 1 \|$/m);
    assert.match(table, /^\| \*\*all\*\* \| 3 \| 1 \| 0 \| 2 \|/m);
    assert.match(table, /commit abc1234/);
  });

  it('replaces the table on the page and keeps the rest', () => {
    const first = intoScoreboard('# Page\n\nText.\n', 'old');
    const second = intoScoreboard(`${first}\n## After\n`, 'new');
    assert.match(second, /Text\.[\s\S]*new[\s\S]*## After/);
    assert.doesNotMatch(second, /old/);
  });

  it('reports specs that were not run as failures', () => {
    const xml = formatJUnit(
      SPECS,
      new Map([['one', { name: 'one', result: 'FAIL' as const, seconds: 1, message: '<&' }]]),
    );
    assert.match(xml, /tests="3" failures="3"/);
    assert.match(xml, /&lt;&amp;/);
    assert.match(xml, /name="two"[^>]*><failure>not run</);
  });

  it('chooses by sig, name, seriality and what failed', () => {
    const results: Results = new Map([['one', { result: 'PASS', seconds: 1 }]]);
    const names = (choice: Parameters<typeof chooseSpecs>[1]) => chooseSpecs(SPECS, choice, results).map((s) => s.name);
    assert.deepEqual(names({}), ['one', 'two', 'three']);
    assert.deepEqual(names({ sig: 'sig-node' }), ['two']);
    assert.deepEqual(names({ focus: '^t' }), ['two', 'three']);
    assert.deepEqual(names({ only: 'parallel' }), ['one', 'two']);
    assert.deepEqual(names({ failed: true }), ['two', 'three']);
    assert.deepEqual(names({ smoke: 1 }), ['one', 'two']);
  });

  it('gives a long spec a batch of its own', () => {
    const list = [spec('a', { upstreamSeconds: 300 }), ...['b', 'c', 'd'].map((n) => spec(n))];
    const parts = batches(list, { specs: 2, seconds: 60 }).map((b) => b.map((s) => s.name));
    assert.deepEqual(parts, [['a'], ['b', 'c'], ['d']]);
  });
});
