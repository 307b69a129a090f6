import assert from 'node:assert/strict';
import { mergeTyped, TypedConfigError } from '../../../api/apply/index.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import type { JsonObject } from '../../../api/types.ts';

describe('a part laid over an object', () => {
  const type = builtinSchemas().forKind({ group: '', version: 'v1', kind: 'Pod' })!;
  const pod: JsonObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', labels: { a: 'b' } },
    spec: { containers: [{ name: 'c', image: 'i', env: [{ name: 'A', value: '1' }] }] },
  };
  const lay = (part: JsonObject) => mergeTyped(type, pod, { apiVersion: 'v1', kind: 'Pod', ...part }) as typeof pod;

  it('merges maps and lists by their keys', () => {
    const out = lay({
      metadata: { labels: { c: 'd' } },
      spec: {
        containers: [
          { name: 'c', env: [{ name: 'B', value: '2' }] },
          { name: 'e', image: 'j' },
        ],
      },
    });
    assert.deepEqual((out['metadata'] as JsonObject)['labels'], { a: 'b', c: 'd' });
    assert.deepEqual((out['spec'] as JsonObject)['containers'], [
      {
        name: 'c',
        image: 'i',
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
      },
      { name: 'e', image: 'j' },
    ]);
  });

  it('refuses what can only be replaced as a whole, and fields that are not there', () => {
    const refused = (part: JsonObject, why: RegExp) =>
      assert.throws(
        () => lay(part),
        (e) => e instanceof TypedConfigError && why.test(e.message),
      );
    refused({ spec: { tolerations: [{ key: 'k' }] } }, /atomic .*\.spec\.tolerations/);
    refused({ spec: { containers: [{ name: 'c', args: ['x'] }] } }, /atomic/);
    refused({ spec: { nothing: 1 } }, /not declared in schema/);
  });
});
