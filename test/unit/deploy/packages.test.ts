import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

interface Lock {
  packages: Record<string, { optional?: boolean; engines?: { node?: string }; dev?: boolean }>;
}
const read = <T>(file: string) => JSON.parse(readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8')) as T;

describe('package-lock.json', () => {
  // npm leaves out optional packages whose engines exclude the Node that it runs under: that is the machine's own, not
  // the pinned one, which comes with the packages. So what is only for newer ones must not say so in the lock.
  it('has optional packages that every Node of package.json installs', () => {
    const picky = Object.entries(read<Lock>('package-lock.json').packages)
      .filter(([, p]) => p.optional && p.engines)
      .map(([name]) => name);
    assert.deepEqual(picky, [], 'take "engines" out of these entries');
  });
});
