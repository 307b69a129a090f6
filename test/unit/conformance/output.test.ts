import assert from 'node:assert/strict';
import { OutputReader, type SpecEnd } from '../../conformance/output.ts';

const A = '[sig-apps] Thing should work [Conformance]';
const B = '[sig-apps] Thing should work twice [Conformance]';
const DASHES = '-'.repeat(30);

function read(lines: string[]): { reader: OutputReader; ends: SpecEnd[] } {
  const ends: SpecEnd[] = [];
  const reader = new OutputReader([A, B], (e) => ends.push(e));
  for (const l of lines) reader.line(l);
  return { reader, ends };
}
const brief = (ends: SpecEnd[]) => ends.map((e) => [e.name, e.result, e.seconds]);

describe('conformance: what e2e.test prints', () => {
  it('sees a spec that passed, with labels behind its name', () => {
    const { ends, reader } = read([
      '[SynchronizedBeforeSuite] PASSED [0.300 seconds]',
      'SSSSSSSSSSSSS',
      DASHES,
      `${A} [sig-apps, Conformance]`,
      '  STEP: doing it',
      '• [12.345 seconds]',
      DASHES,
    ]);
    assert.deepEqual(brief(ends), [[A, 'PASS', 12.345]]);
    assert.match(ends[0]!.log, /STEP: doing it/);
    assert.equal(reader.running, undefined);
  });

  it('takes the message of a failed spec up to the next delimiter', () => {
    const { ends } = read([
      `${B} [Conformance]`,
      '• [FAILED] [3.000 seconds]',
      '[sig-apps] Thing [It] should work twice [Conformance]',
      '  [FAILED] expected 1, got 2',
      DASHES,
      `${A} [Conformance]`,
      '• [0.100 seconds]',
    ]);
    assert.deepEqual(brief(ends), [
      [B, 'FAIL', 3],
      [A, 'PASS', 0.1],
    ]);
    assert.match(ends[0]!.message!, /expected 1, got 2/);
    assert.doesNotMatch(ends[0]!.message!, /---/);
  });

  it('counts a spec that skipped itself, panicked or timed out as failed', () => {
    for (const line of [
      'S [SKIPPED] [0.100 seconds]',
      '• [PANICKED!] [0.100 seconds]',
      '• [TIMEDOUT] [0.100 seconds]',
    ]) {
      const { ends } = read([`${A} [Conformance]`, line, DASHES]);
      assert.deepEqual(brief(ends), [[A, 'FAIL', 0.1]], line);
    }
  });

  it('gives the spec under way when the program ends', () => {
    const { reader, ends } = read([`${A} [Conformance]`, '  STEP: hanging']);
    assert.equal(reader.running, A);
    reader.close('killed', 7);
    assert.deepEqual(
      ends.map((e) => [e.name, e.result, e.message, e.seconds]),
      [[A, 'FAIL', 'killed', 7]],
    );
  });

  it('gives nothing for a spec that was not begun', () => {
    const { reader, ends } = read([`${A} [Conformance]`, '• [0.100 seconds]']);
    reader.close('ended', 1);
    assert.deepEqual(brief(ends), [[A, 'PASS', 0.1]]);
  });
});
