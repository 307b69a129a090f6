import assert from 'node:assert/strict';
import { showExplanation } from '../../../deploy/commands/why.ts';

describe('k8ts why', () => {
  it('prints reasons as a tree with what would help, then nodes and the smallest change', () => {
    const lines = showExplanation({
      state: 'Waiting',
      summary: 'pod web fits on no node',
      reasons: [
        { message: 'one', because: [{ message: 'because', fix: 'mend it' }], fix: 'mend all' },
        { message: 'two' },
      ],
      nodes: [
        { node: 'n1', fits: false, objections: [{ plugin: 'P', reasons: ['r1', 'r2'], changes: ['do x'] }] },
        { node: 'n2', fits: true, objections: [] },
      ],
      smallestChange: { node: 'n1', changes: ['do x'], tried: true },
    });
    assert.deepEqual(lines, [
      'pod web fits on no node',
      '  - one',
      '    - because',
      '      => mend it',
      '    => mend all',
      '  - two',
      'n1:',
      '  P: r1, r2',
      '    => do x',
      'The smallest change that makes it fit:',
      '  do x',
    ]);
  });
});
