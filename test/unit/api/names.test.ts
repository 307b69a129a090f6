import assert from 'node:assert/strict';
import * as names from '../../../api/validation/names.ts';

/** What each check takes and what it refuses. */
const cases: Record<string, { check: (v: string) => string[]; good: string[]; bad: string[] }> = {
  isDNS1123Label: {
    check: names.isDNS1123Label,
    good: ['a', '1', 'a-b', '0-9', 'x'.repeat(63)],
    bad: ['', '-a', 'a-', 'A', 'a.b', 'a_b', 'é', 'x'.repeat(64), 'a\n'],
  },
  isDNS1123Subdomain: {
    check: names.isDNS1123Subdomain,
    good: ['a', 'a.b', '1.2', `${'x'.repeat(63)}.y`, 'a'.repeat(253)],
    bad: ['', '.', 'a.', '.a', 'a..b', 'A.b', 'a_b', 'a'.repeat(254)],
  },
  isDNS1123SubdomainWithUnderscore: {
    check: names.isDNS1123SubdomainWithUnderscore,
    good: ['_a.b_c', 'a'],
    bad: ['a_', '-a', ''],
  },
  isDNS1035Label: { check: names.isDNS1035Label, good: ['a', 'a1', 'a-1'], bad: ['', '1a', 'a-', 'A', 'x'.repeat(64)] },
  isWildcardDNS1123Subdomain: {
    check: names.isWildcardDNS1123Subdomain,
    good: ['*.a', '*.a.b'],
    bad: ['*', 'a.b', '*.', '*.*.a', 'x*.a'],
  },
  isQualifiedName: {
    check: names.isQualifiedName,
    good: ['a', 'A_b.c-d', 'example.com/a', `${'a'.repeat(253)}/b`, 'x'.repeat(63)],
    bad: ['', '/a', 'a/', 'a/b/c', '-a', 'a-', 'Example.com/a', 'x'.repeat(64), 'a b'],
  },
  isLabelValue: {
    check: names.isLabelValue,
    good: ['', 'a', 'A.b_c-1'],
    bad: ['-a', 'a.', 'a b', 'x'.repeat(64), 'é'],
  },
  isPathSegmentName: { check: names.isPathSegmentName, good: ['a', 'system:x', 'A b'], bad: ['.', '..', 'a/b', 'a%b'] },
  isCIdentifier: { check: names.isCIdentifier, good: ['a', '_A1'], bad: ['', '1a', 'a-b'] },
  isValidPortName: {
    check: names.isValidPortName,
    good: ['a', '8a', 'http-2'],
    bad: ['', '80', '-a', 'a-', 'a--b', 'A', 'x'.repeat(16)],
  },
  isValidPercent: { check: names.isValidPercent, good: ['0%', '150%'], bad: ['%', '1', '1.5%', '-1%'] },
  isHTTPHeaderName: { check: names.isHTTPHeaderName, good: ['X-A', 'a1'], bad: ['', 'a b', 'a:'] },
  isRelaxedEnvVarName: { check: names.isRelaxedEnvVarName, good: ['1A', 'a b', 'a/b'], bad: ['', 'A=B', 'é', 'a\n'] },
  isConfigMapKey: {
    check: names.isConfigMapKey,
    good: ['a', '.a', 'a..b', 'A_b-c'],
    bad: ['', '.', '..', '..a', 'a/b', 'a'.repeat(254)],
  },
};

describe('name checks', () => {
  for (const [name, { check, good, bad }] of Object.entries(cases)) {
    it(name, () => {
      for (const v of good) assert.deepEqual(check(v), [], JSON.stringify(v));
      for (const v of bad) assert.notEqual(check(v).length, 0, JSON.stringify(v));
    });
  }

  it('ports', () => {
    assert.deepEqual(names.isValidPortNum(65535), []);
    assert.equal(names.isValidPortNum(0).length, 1);
  });

  it('answers at once, however long the text', () => {
    const long = `${'a-'.repeat(200_000)}!`;
    for (const { check } of Object.values(cases)) check(long);
  });
});
